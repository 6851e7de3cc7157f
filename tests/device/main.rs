//! The box as a device: a machine made of files stands for the board, and the real program runs.

#[path = "../support/mod.rs"]
mod support;

mod machine;
mod update;
mod update_cut;
mod update_trial;
