//! A body of any size, straight to a file: the loop only passes pieces on.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{HttpError, Request, StatusCode};
use crate::limits::ARCHIVE_STACK_BYTES;

const FOLDER: &str = "uploads";
const PIECES_AHEAD: usize = 8;

/// An upload on disk, gone with this.
pub struct Upload {
    pub path: PathBuf,
}

impl Upload {
    /// Receives a body of at most `bytes_max` into a folder of `data_dir`.
    pub async fn receive(
        request: &mut Request,
        data_dir: &Path,
        bytes_max: u64,
    ) -> Result<Upload, HttpError> {
        let folder = data_dir.join(FOLDER);
        let name = format!("{:016x}", getrandom::u64().unwrap_or_default());
        let upload = Upload {
            path: folder.join(name),
        };
        let path = upload.path.clone();
        let (pieces, mut arriving) = mpsc::channel::<Bytes>(PIECES_AHEAD);
        let writing = on_thread("upload", move || {
            fs::create_dir_all(folder)?;
            let mut file = File::create(path)?;
            while let Some(piece) = arriving.blocking_recv() {
                file.write_all(&piece)?;
            }
            Ok::<(), std::io::Error>(())
        });
        let receiving = async move {
            let mut length = 0;
            while let Some(piece) = request.body_chunk(bytes_max).await? {
                length += piece.len();
                if pieces.send(piece).await.is_err() {
                    break;
                }
            }
            match length {
                0 => Err(HttpError::invalid("The body is empty: send a file.")),
                _ => Ok(()),
            }
        };
        let (written, received) = tokio::join!(writing, receiving);
        received?;
        written?.map_err(|error| {
            log::error!("event=upload_not_kept error=\"{error}\"");
            HttpError::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "STORAGE_FULL",
                "The file could not be kept on the card; make room and send it again.",
            )
        })?;
        Ok(upload)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        // A large file takes its time to go.
        let gone = std::thread::Builder::new()
            .name("upload".into())
            .spawn(move || fs::remove_file(path));
        if gone.is_err() {
            log::warn!("event=upload_left_behind");
        }
    }
}

/// Removes what an earlier process left; for the start.
pub fn clear(data_dir: &Path) {
    let _ = fs::remove_dir_all(data_dir.join(FOLDER));
}

/// Begins at once, on a thread of its own; what it answers.
pub fn on_thread<T, W>(
    name: &str,
    work: W,
) -> impl Future<Output = Result<T, HttpError>> + use<T, W>
where
    T: Send + 'static,
    W: FnOnce() -> T + Send + 'static,
{
    let (done, answer) = oneshot::channel();
    let started = std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(ARCHIVE_STACK_BYTES)
        .spawn(move || {
            // Whoever asked may have gone.
            let _ = done.send(work());
        });
    async move {
        started.map_err(|_| HttpError::busy("No thread could be started; try again.", 1))?;
        let died = |_| HttpError::busy("The work was ended; try again.", 1);
        answer.await.map_err(died)
    }
}
