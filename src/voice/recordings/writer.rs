//! The `recorder` thread: sound goes to the card piece by piece, and the loop never waits for it.
//!
//! A file is there, with its header and its name synced, before its first sound; what came is
//! synced every [`RECORDER_SYNC`] and at the end. A power cut costs the seconds since the last sync
//! and the length in the header, which [`super::repair`] puts right at the next start.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::repair::{Found, repair_folder};
use crate::audio::{SPEECH_RATE_HZ, wav};
use crate::limits::{RECORDER_QUEUE_BYTES_MAX, RECORDER_SYNC, THREAD_STACK_BYTES};

/// Handle of the thread; it ends with the last handle.
#[derive(Clone)]
pub struct Writer {
    orders: Sender<Order>,
    queued: Arc<AtomicUsize>,
    numbers: Arc<AtomicUsize>,
}

/// One file being written.
pub struct Handle {
    writer: Writer,
    number: usize,
    failed: Arc<AtomicBool>,
}

/// A file that is whole and synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Of the whole file.
    pub bytes: u64,
    /// SHA-256 of the sound; of a WAV written here without its header.
    pub hash: [u8; 32],
}

enum Order {
    Open {
        number: usize,
        path: PathBuf,
        is_wav: bool,
        failed: Arc<AtomicBool>,
    },
    Append {
        number: usize,
        sound: Vec<u8>,
    },
    Finish {
        number: usize,
        told: oneshot::Sender<io::Result<Written>>,
    },
    Discard {
        number: usize,
    },
    Remove {
        path: PathBuf,
    },
}

impl Writer {
    /// Repairs what the last run left, then writes. What was found comes over the channel.
    pub fn start(folder: PathBuf) -> io::Result<(Writer, oneshot::Receiver<Vec<Found>>)> {
        let (orders, inbox) = channel();
        let (told, found) = oneshot::channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            orders,
            queued: Arc::clone(&queued),
            numbers: Arc::default(),
        };
        std::thread::Builder::new()
            .name(String::from("recorder"))
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || {
                let _ = told.send(repair_folder(&folder));
                Thread {
                    folder,
                    queued,
                    open: HashMap::new(),
                }
                .run(&inbox);
            })?;
        Ok((writer, found))
    }

    /// A file of its own; live sound (`is_wav`) gets a header of ours, other sound is whole or goes.
    pub fn open(&self, path: PathBuf, is_wav: bool) -> Handle {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let failed = Arc::new(AtomicBool::new(false));
        self.order(Order::Open {
            number,
            path,
            is_wav,
            failed: Arc::clone(&failed),
        });
        Handle {
            writer: self.clone(),
            number,
            failed,
        }
    }

    pub fn remove(&self, path: PathBuf) {
        self.order(Order::Remove { path });
    }

    /// Bytes that wait for the card.
    pub fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    fn order(&self, order: Order) {
        // Fails only when the thread has panicked; the files then tell of their failure.
        let _ = self.orders.send(order);
    }
}

impl Handle {
    /// `false`: the card failed or cannot keep up; what came before is kept.
    pub fn append(&self, sound: Vec<u8>) -> bool {
        let queued = self.writer.queued_bytes() + sound.len();
        if self.failed.load(Ordering::Relaxed) || queued > RECORDER_QUEUE_BYTES_MAX {
            self.failed.store(true, Ordering::Relaxed);
            return false;
        }
        self.writer.queued.fetch_add(sound.len(), Ordering::Relaxed);
        self.writer.order(Order::Append {
            number: self.number,
            sound,
        });
        true
    }

    /// That was all; told when it is synced.
    pub fn finish(self) -> oneshot::Receiver<io::Result<Written>> {
        let (told, done) = oneshot::channel();
        self.writer.order(Order::Finish {
            number: self.number,
            told,
        });
        done
    }

    pub fn discard(self) {
        self.writer.order(Order::Discard {
            number: self.number,
        });
    }
}

struct Thread {
    folder: PathBuf,
    queued: Arc<AtomicUsize>,
    open: HashMap<usize, Open>,
}

struct Open {
    file: File,
    path: PathBuf,
    is_wav: bool,
    hash: Sha256,
    bytes: u64,
    unsynced: bool,
    synced: Instant,
    failed: Arc<AtomicBool>,
    error: Option<io::Error>,
}

impl Thread {
    fn run(mut self, inbox: &Receiver<Order>) {
        loop {
            match inbox.recv_timeout(self.next_sync()) {
                Ok(order) => self.take(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.sync_due();
        }
        for (_, open) in self.open.drain() {
            match open.is_wav {
                true => drop(open.close()),
                // More of it was to come.
                false => remove(&open.path),
            }
        }
    }

    fn next_sync(&self) -> Duration {
        let waits = self.open.values().filter(|open| open.unsynced);
        let next = waits.map(|open| RECORDER_SYNC.saturating_sub(open.synced.elapsed()));
        next.min().unwrap_or(Duration::from_secs(60))
    }

    fn sync_due(&mut self) {
        for open in self.open.values_mut() {
            if open.unsynced && open.synced.elapsed() >= RECORDER_SYNC {
                let synced = open.file.sync_data();
                open.unsynced = false;
                open.synced = Instant::now();
                open.note(synced);
            }
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Open {
                number,
                path,
                is_wav,
                failed,
            } => match Open::begin(&self.folder, path, is_wav, Arc::clone(&failed)) {
                Ok(open) => drop(self.open.insert(number, open)),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    log::warn!("event=recording_not_begun error=\"{error}\"");
                }
            },
            Order::Append { number, sound } => {
                self.queued.fetch_sub(sound.len(), Ordering::Relaxed);
                if let Some(open) = self.open.get_mut(&number) {
                    open.append(&sound);
                }
            }
            Order::Finish { number, told } => {
                let written = match self.open.remove(&number) {
                    Some(open) => open.close(),
                    None => Err(io::Error::other("the file could not be begun")),
                };
                let _ = told.send(written);
            }
            Order::Discard { number } => {
                if let Some(open) = self.open.remove(&number) {
                    remove(&open.path);
                }
            }
            Order::Remove { path } => remove(&path),
        }
    }
}

impl Open {
    fn begin(
        folder: &Path,
        path: PathBuf,
        is_wav: bool,
        failed: Arc<AtomicBool>,
    ) -> io::Result<Open> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        if is_wav {
            file.write_all(&wav::header(0, SPEECH_RATE_HZ))?;
        }
        file.sync_data()?;
        sync_folder(folder)?;
        Ok(Open {
            file,
            path,
            is_wav,
            hash: Sha256::new(),
            bytes: if is_wav { wav::HEADER_BYTES as u64 } else { 0 },
            unsynced: false,
            synced: Instant::now(),
            failed,
            error: None,
        })
    }

    fn append(&mut self, sound: &[u8]) {
        if self.error.is_some() {
            return;
        }
        if !self.unsynced {
            self.unsynced = true;
            self.synced = Instant::now();
        }
        let written = self.file.write_all_at(sound, self.bytes);
        if written.is_ok() {
            self.bytes += sound.len() as u64;
            self.hash.update(sound);
        }
        self.note(written);
    }

    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            log::warn!(
                "event=recording_broke_off file={} error=\"{error}\"",
                self.path.display()
            );
            self.failed.store(true, Ordering::Relaxed);
            self.error.get_or_insert(error);
        }
    }

    /// Fills in the header and syncs. Of live sound that broke off the card has what came before.
    fn close(mut self) -> io::Result<Written> {
        let closed = self.settle();
        if closed.is_err() && !self.is_wav {
            remove(&self.path);
        }
        closed.map(|()| Written {
            bytes: self.bytes,
            hash: self.hash.finalize().into(),
        })
    }

    fn settle(&mut self) -> io::Result<()> {
        if self.is_wav {
            let data = self.bytes - wav::HEADER_BYTES as u64;
            let data = u32::try_from(data).unwrap_or(u32::MAX);
            let header = wav::header(data, SPEECH_RATE_HZ);
            self.file.write_all_at(&header, 0)?;
        }
        self.file.sync_data()?;
        self.error.take().map_or(Ok(()), Err)
    }
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => log::warn!(
            "event=recording_not_removed path={} error=\"{error}\"",
            path.display()
        ),
        _ => {}
    }
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
