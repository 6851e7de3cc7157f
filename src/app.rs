//! Builds the rooms and wires them together: the only file that knows all of them.
