//! From checked rows to an account, in small steps; what came goes again where one fails.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::read::{Archive, Checked, damaged};
use super::{conflict, no_room_on_card, want_card};
use crate::happy::Happy;
use crate::happy::answer::store_error;
use crate::happy::db::archive::{self, Fault, Incoming};
use crate::happy::db::{WriteError, accounts, removal};
use crate::limits;
use crate::server::upload::on_thread;
use crate::server::{HttpError, StatusCode};
use crate::store::{Connection, StoreError};

/// An account that came.
pub struct Loaded {
    pub account: String,
    pub counts: BTreeMap<String, usize>,
    pub is_name_taken: bool,
}

/// Why one did not.
enum Refusal {
    Fault(Fault),
    Write(WriteError),
    Http(HttpError),
}

/// Rows for one transaction.
struct Chunk {
    rows: Vec<Incoming>,
    bytes: usize,
}

impl Happy {
    /// Takes an archive in. When this fails nothing of it is here.
    pub(super) async fn load(&self, path: PathBuf) -> Result<Loaded, HttpError> {
        let loaded = self.load_checked(path).await;
        match &loaded {
            Ok(loaded) => {
                let messages = loaded.counts.get("message").copied().unwrap_or_default();
                log::info!("event=happy_account_imported messages={messages}");
            }
            Err(Refusal::Fault(Fault::Archive(why))) => {
                log::warn!("event=happy_import_refused error=\"{why}\"");
            }
            Err(_) => {}
        }
        loaded.map_err(told)
    }

    async fn load_checked(&self, path: PathBuf) -> Result<Loaded, Refusal> {
        let columns = self.0.store.query(archive::columns).await?;
        let checking = on_thread("import", move || {
            let archive = Archive::open(&path, columns)?;
            let checked = archive.check()?;
            Ok::<_, Fault>((Arc::new(archive), checked))
        });
        let (archive, checked) = checking.await.map_err(Refusal::Http)??;
        let card = want_card(self.0.data_dir.clone(), archive.bytes);
        card.await.map_err(Refusal::Http)?;
        let Checked {
            account,
            counts,
            weight,
        } = checked;
        let (id, name) = (
            account.text("id").to_owned(),
            account.text("username").to_owned(),
        );
        self.write_archive(0, move |db| archive::begin(db, &account))
            .await?;
        let filled = self.fill(&id, archive, weight).await;
        let filled = match filled {
            Ok(()) => self.finish(&id, name).await,
            Err(refusal) => Err(refusal),
        };
        match filled {
            Ok(is_name_taken) => Ok(Loaded {
                account: id,
                counts,
                is_name_taken,
            }),
            Err(refusal) => {
                self.give_up(&id).await;
                Err(refusal)
            }
        }
    }

    async fn fill(
        &self,
        account: &str,
        archive: Arc<Archive<std::fs::File>>,
        weight: usize,
    ) -> Result<(), Refusal> {
        let rows = archive.clone();
        self.pour(account, move |chunks| {
            let mut filling = Filling::new(chunks);
            // The account itself is there.
            rows.each_row(&mut |row, bytes| match row.table.kind {
                archive::Kind::Account => Ok(()),
                _ => filling.push(row, bytes),
            })?;
            filling.finish()
        })
        .await?;
        let owner = account.to_owned();
        let has_room = self
            .0
            .store
            .query(move |db| accounts::want_room(db, &owner, weight));
        has_room.await.map_err(Refusal::Write)?;
        let data_dir = self.0.data_dir.clone();
        self.pour(account, move |chunks| {
            let files = crate::happy::files::Files::new(&data_dir);
            let mut filling = Filling::new(chunks);
            archive.each_attachment(&mut |row, content| {
                let mut blob = Vec::with_capacity(row.bytes);
                std::io::Read::read_to_end(content, &mut blob).map_err(damaged)?;
                let place = files.attachment(row.text("session_id"), row.text("name"));
                place.write_here(&blob).map_err(damaged)?;
                filling.push(row, limits::HAPPY_ATTACHMENT_OVERHEAD)
            })?;
            filling.finish()
        })
        .await
    }

    /// Stores what a thread reads, one chunk ahead.
    async fn pour(
        &self,
        account: &str,
        read: impl FnOnce(mpsc::Sender<Chunk>) -> Result<(), Fault> + Send + 'static,
    ) -> Result<(), Refusal> {
        let (chunks, mut arriving) = mpsc::channel(1);
        let reading = on_thread("import", move || read(chunks));
        let storing = async move {
            while let Some(Chunk { rows, bytes }) = arriving.recv().await {
                let owner = account.to_owned();
                self.write_archive(bytes, move |db| archive::put(db, &owner, &rows))
                    .await?;
            }
            // On the way out, early or not, the channel closes and the reader ends.
            Ok::<(), Refusal>(())
        };
        let (read, stored) = tokio::join!(reading, storing);
        // The store's word first: it may have ended the reader.
        stored?;
        Ok(read.map_err(Refusal::Http)??)
    }

    async fn finish(&self, account: &str, name: String) -> Result<bool, Refusal> {
        let id = account.to_owned();
        let job = move |db: &Connection| {
            let name = Some(name.as_str()).filter(|name| !name.is_empty());
            Ok(Ok(!archive::finish(db, &id, name)?))
        };
        self.write_archive(0, job).await
    }

    /// What the store refuses now goes at the next start.
    async fn give_up(&self, account: &str) {
        let id = account.to_owned();
        let job = move |db: &Connection| Ok(removal::give_up(db, Some(&id))?);
        let given_up = self.write_event(0, job).await;
        let gone = match given_up {
            Ok(_) => self.take_apart_account(account).await,
            Err(WriteError::Store(error)) => Err(error),
            Err(WriteError::NoRoom) => Err(StoreError::Full),
        };
        if let Err(error) = gone {
            log::warn!("event=happy_import_left error=\"{error}\"");
        }
    }

    async fn write_archive<T: Send + 'static>(
        &self,
        bytes: usize,
        job: impl Fn(&Connection) -> Result<Result<T, Fault>, WriteError> + Send + Sync + 'static,
    ) -> Result<T, Refusal> {
        let written = self.write_event(bytes, job).await;
        written.map_err(Refusal::Write)?.map_err(Refusal::Fault)
    }
}

struct Filling {
    chunks: mpsc::Sender<Chunk>,
    chunk: Chunk,
}

impl Filling {
    fn new(chunks: mpsc::Sender<Chunk>) -> Filling {
        Filling {
            chunks,
            chunk: Chunk {
                rows: Vec::new(),
                bytes: 0,
            },
        }
    }

    fn push(&mut self, row: Incoming, bytes: usize) -> Result<(), Fault> {
        self.chunk.rows.push(row);
        self.chunk.bytes += bytes;
        let is_full = self.chunk.rows.len() >= limits::IMPORT_CHUNK_ROWS
            || self.chunk.bytes >= limits::IMPORT_CHUNK_BYTES;
        match is_full {
            true => self.send(),
            false => Ok(()),
        }
    }

    fn send(&mut self) -> Result<(), Fault> {
        let empty = Chunk {
            rows: Vec::new(),
            bytes: 0,
        };
        let chunk = std::mem::replace(&mut self.chunk, empty);
        let sent = self.chunks.blocking_send(chunk);
        sent.map_err(|_| damaged("it was not stored to its end"))
    }

    fn finish(mut self) -> Result<(), Fault> {
        match self.chunk.rows.is_empty() {
            true => Ok(()),
            false => self.send(),
        }
    }
}

fn told(refusal: Refusal) -> HttpError {
    let no_room =
        |message| HttpError::new(StatusCode::INSUFFICIENT_STORAGE, "STORAGE_FULL", message);
    match refusal {
        Refusal::Fault(Fault::Archive(why)) => {
            HttpError::invalid(format!("The archive cannot be taken in: {why}."))
        }
        Refusal::Fault(Fault::Taken(why)) => conflict(why),
        Refusal::Fault(Fault::Accounts) => conflict("This box has all its accounts."),
        Refusal::Write(WriteError::NoRoom) => {
            no_room("The account is larger than one may be on this box.")
        }
        Refusal::Write(WriteError::Store(StoreError::Full)) => no_room_on_card(),
        Refusal::Write(WriteError::Store(error)) => store_error(error),
        Refusal::Http(error) => error,
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal::Fault(fault)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        Refusal::Write(error.into())
    }
}
