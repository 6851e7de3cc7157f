//! Every kind of sound that comes in, made by the tools that people use, against its source.
//!
//! Streams, whole files, files that are cut short, called by a wrong name, damaged, or lie.

mod damage;
mod formats;
mod lies;
mod material;
mod mux;
