//! Voice Memory: a conversation that is heard, answered from what is remembered, and spoken.

pub mod dialogue;
