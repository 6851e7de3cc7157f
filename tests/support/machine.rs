//! The machine that a test was built for, when it is not the one it runs on: programs of that
//! machine are started by the emulator that started the test, libraries for them are built by its
//! compiler. Both are told by the variables in which cargo and the `cc` crate look for them
//! (`tools/arm64-toolchain --env`); natively neither is set.

#![allow(dead_code)] // Each test target uses its own part of this.

use std::env::{self, consts::ARCH};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// A program that was built with this test.
pub fn program(path: impl AsRef<OsStr>) -> Command {
    let words = emulator();
    let Some((emulator, options)) = words.split_first() else {
        return Command::new(path);
    };
    let mut command = Command::new(emulator);
    command.args(options).arg(path);
    command
}

/// This test program again.
pub fn this_program() -> Command {
    program(env::current_exe().expect("the test program has a path"))
}

/// Builds a library that such a program loads.
pub fn library(source: &Path, library: &Path, flags: &[&str]) {
    let compiler = env::var(format!("CC_{ARCH}_unknown_linux_gnu"));
    let status = Command::new(compiler.as_deref().unwrap_or("cc"))
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o"])
        .arg(library)
        .arg(source)
        .args(flags)
        .status()
        .expect("run a C compiler (apt install gcc)");
    assert!(status.success(), "{} does not compile", source.display());
}

/// The emulator and its options, which stand before a program's path; nothing natively.
fn emulator() -> Vec<String> {
    let name = format!(
        "CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER",
        ARCH.to_uppercase()
    );
    let runner = env::var(name).unwrap_or_default();
    runner.split_whitespace().map(String::from).collect()
}
