//! Why the box did not start, in words: one line that says what to do.

use std::fmt;

use super::StartError;

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Folder { path, error } => write!(
                f,
                "the data folder {} cannot be used: {error}; make it writable, or set DATA_DIR to another",
                path.display()
            ),
            StartError::Running { path, pid } => write!(
                f,
                "the data folder {} is in use by the process {pid}; stop that one first, or set DATA_DIR to another folder",
                path.display()
            ),
            StartError::Store(error) => error.fmt(f),
            StartError::Identity(error) => {
                write!(f, "the box's devices could not be read: {error}")
            }
            StartError::Settings(error) => {
                write!(f, "the stored settings could not be read: {error}")
            }
            StartError::Happy(error) => {
                write!(
                    f,
                    "the key that signs Happy's tokens could not be read or stored: {error}"
                )
            }
            StartError::Restore(error) => write!(
                f,
                "a restore was begun and cannot be finished: {error}; what was there is in a folder before-restore-… of the data folder"
            ),
            StartError::Setting { name, why } => write!(f, "{name}: {why}"),
            StartError::Tls(error) => write!(
                f,
                "HTTPS cannot start: {error}; HTTPS_PORT=off starts without"
            ),
            StartError::Listen(error) => error.fmt(f),
            StartError::Ops { address, error } => write!(
                f,
                "cannot listen on {address} for monitoring: {error}; set OPS_LISTEN to another address, or to off"
            ),
            StartError::Thread(error) => write!(f, "no thread could be started: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
