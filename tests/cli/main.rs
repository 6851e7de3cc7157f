//! The command line as people and programs use it: the real program, in a folder of its own.

#[path = "../support/mod.rs"]
mod support;

mod archive;
mod backups;
mod binary;
mod commands;
mod papers;
mod serving;
mod settings;
mod stored;
