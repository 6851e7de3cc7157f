//! The recorder as a library to preload, built from its source once a run.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::machine;

pub fn recorder_library() -> &'static Path {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LIBRARY.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("recorder.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/recorder.c");
        machine::library(&source, &path, &["-ldl", "-lpthread"]);
        (folder, path)
    });
    path
}
