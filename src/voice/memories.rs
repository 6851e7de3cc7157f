//! The memories: made, changed, found, forgotten.
//!
//! The handle through which everything else reaches them. A memory's row, tags, facts and index
//! entry are written in one transaction, and the event that tells of it is published after its
//! commit. What is forgotten goes everywhere in one transaction: row, index, vector, proposals,
//! transcript and sound; the files follow, at the latest with the next start.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use serde_json::json;

use super::dialogue::{MemorySaved, MemoryUsed};
use super::error::VoiceError;
use super::index::Query;
use super::memory::{Forget, MemoryFilter, MemoryPatch, NewMemory, Page, unknown};
use super::recordings::Recordings;
use super::vectors::{Embedder, Vector};
use super::{db, recall};
use crate::bus::Bus;
use crate::clock::Clock;
use crate::limits::{EMBED_QUERY_TIMEOUT, FORGET_CHUNK_ROWS, IMPORT_CHUNK_ROWS};
use crate::store::Store;

/// Topic of `memory_saved`, `memory_changed`, `memory_deleted`, `memory_suggested` and `private`.
pub const TOPIC: &str = "memories";

/// Under this key the settings keep whether the box files nothing by itself.
const PRIVATE: &str = "private";

/// Removes files of recordings that no row speaks of any more.
pub trait Sounds {
    fn remove(&self, files: &[String]);
}

impl Sounds for Recordings {
    fn remove(&self, files: &[String]) {
        self.unlink_all(files);
    }
}

/// Whoever files by a model what waits for it.
pub trait Filer {
    fn has_model(&self) -> bool;
    /// Whether it does so without being asked.
    fn files_by_itself(&self) -> bool;
    /// There may be something new.
    fn wake(&self);
}

/// Handle of the memories; clones share everything.
#[derive(Clone)]
pub struct Memories {
    pub(super) store: Store,
    pub(super) clock: Clock,
    bus: Bus,
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    sounds: OnceCell<Rc<dyn Sounds>>,
    embedder: RefCell<Option<Rc<Embedder>>>,
    filer: OnceCell<Rc<dyn Filer>>,
    is_private: Cell<bool>,
}

impl Memories {
    pub fn new(store: Store, bus: Bus, clock: Clock) -> Memories {
        let kept = store.read(|connection| db::settings::get(connection, PRIVATE));
        let is_private = kept.unwrap_or_else(|error| {
            // In doubt nothing is filed.
            log::warn!("event=private_mode_unknown error=\"{error}\"");
            Some(String::from("1"))
        });
        Memories {
            store,
            clock,
            bus,
            shared: Rc::new(Shared {
                is_private: Cell::new(is_private.as_deref() == Some("1")),
                ..Shared::default()
            }),
        }
    }

    /// Whoever keeps recordings; set once.
    pub fn keep_sound_in(&self, sounds: Rc<dyn Sounds>) {
        let _ = self.shared.sounds.set(sounds);
    }

    /// Search by meaning too; `None` ends it.
    pub fn embed_with(&self, embedder: Option<Rc<Embedder>>) {
        self.shared.embedder.replace(embedder);
    }

    pub fn embedder(&self) -> Option<Rc<Embedder>> {
        self.shared.embedder.borrow().clone()
    }

    /// Set once.
    pub fn file_with(&self, filer: Rc<dyn Filer>) {
        let _ = self.shared.filer.set(filer);
    }

    /// Whether a model is to file what is kept now; `asked`: a person said so or said no.
    pub fn wants_organizing(&self, asked: Option<bool>) -> bool {
        self.shared.filer.get().is_some_and(|filer| {
            asked.unwrap_or_else(|| filer.files_by_itself()) && filer.has_model()
        })
    }

    /// Whether what is said now is never filed by itself.
    pub fn is_private(&self) -> bool {
        self.shared.is_private.get()
    }

    /// Takes effect at once and survives a restart.
    pub async fn set_private(&self, private: bool) -> Result<(), VoiceError> {
        let before = self.shared.is_private.get();
        // Nothing said from now on is filed, also while this is being stored.
        self.shared.is_private.set(before || private);
        let now = self.clock.wall();
        let value = if private { "1" } else { "0" };
        self.store
            .write(move |connection| db::settings::set(connection, PRIVATE, value, now))
            .await?;
        self.shared.is_private.set(private);
        self.bus
            .publish(TOPIC, "private", json!({ "private": private }));
        Ok(())
    }

    /// Stores one memory; resolves once it is durable.
    pub async fn create(&self, memory: NewMemory) -> Result<MemorySaved, VoiceError> {
        let memory = memory.check()?;
        let saved = memory.saved();
        self.store
            .write(move |connection| db::memories::insert(connection, &memory))
            .await?;
        self.announce_saved(&saved);
        Ok(saved)
    }

    /// Stores many, [`IMPORT_CHUNK_ROWS`] to a transaction. On an error the chunks before it are kept.
    pub async fn import(&self, memories: Vec<NewMemory>) -> Result<usize, VoiceError> {
        let mut stored = 0;
        let mut waiting = memories.into_iter().peekable();
        while waiting.peek().is_some() {
            let chunk: Vec<NewMemory> = waiting
                .by_ref()
                .take(IMPORT_CHUNK_ROWS)
                .map(NewMemory::check)
                .collect::<Result<_, _>>()?;
            stored += chunk.len();
            self.store
                .write(move |connection| {
                    chunk
                        .iter()
                        .try_for_each(|memory| db::memories::insert(connection, memory))
                })
                .await?;
        }
        Ok(stored)
    }

    /// One memory as JSON, read on the loop.
    pub fn json(&self, id: &str, prefix: &str, suffix: &str) -> Result<Vec<u8>, VoiceError> {
        self.store
            .read(|connection| db::memories::json(connection, id, prefix, suffix))?
            .ok_or_else(|| unknown(id))
    }

    /// A page of memories, newest first, as a JSON object made on the query thread.
    pub async fn list_json(&self, filter: MemoryFilter, page: Page) -> Result<Vec<u8>, VoiceError> {
        self.store
            .query(move |connection| db::memories::list_json(connection, &filter, page))
            .await
    }

    pub async fn patch(&self, id: &str, patch: MemoryPatch) -> Result<(), VoiceError> {
        let patch = patch.check()?;
        let now = self.clock.wall();
        let key = id.to_string();
        let found = self
            .store
            .write(move |connection| db::memories::update(connection, &key, &patch, now))
            .await?;
        if !found {
            return Err(unknown(id));
        }
        self.announce_changed(id);
        Ok(())
    }

    /// Removes row, tags, facts, index entry and vector, and unless another memory speaks of it the
    /// transcript it came from, and its sound unless that is to be kept.
    pub async fn delete(&self, id: &str, keep_sound: bool) -> Result<(), VoiceError> {
        let (key, now) = (id.to_string(), self.clock.wall());
        let files = self
            .store
            .write(move |connection| {
                let Some(removed) = db::memories::delete(connection, &key)? else {
                    return Ok(None);
                };
                db::recordings::forget(connection, &removed.recordings, keep_sound, now).map(Some)
            })
            .await?
            .ok_or_else(|| unknown(id))?;
        self.bus
            .publish(TOPIC, "memory_deleted", json!({ "id": id }));
        self.remove_sounds(&files);
        Ok(())
    }

    /// The memories that fit best, best first, by words alone.
    pub async fn search(
        &self,
        query: Query,
        filter: MemoryFilter,
        limit: usize,
    ) -> Result<recall::Found, VoiceError> {
        let now = self.clock.wall();
        self.store
            .query(move |connection| recall::search(connection, &query, &filter, now, limit))
            .await
    }

    /// The memories that fit best by words and, where vectors are set up, by meaning. `query` is
    /// what of `text` is looked for word by word.
    pub async fn recall(
        &self,
        text: &str,
        query: Query,
        filter: MemoryFilter,
        limit: usize,
    ) -> Result<recall::Found, VoiceError> {
        let meaning = self.meaning_of(text).await;
        let now = self.clock.wall();
        self.store
            .query(move |connection| {
                recall::search_both(connection, &query, meaning.as_ref(), &filter, now, limit)
            })
            .await
    }

    /// Model and vector of a text; `None` without vectors, or when they take too long.
    pub async fn meaning_of(&self, text: &str) -> Option<(String, Vector)> {
        let embedder = self.embedder()?;
        if text.trim().is_empty() || super::secrets::secret_in(text).is_some() {
            return None;
        }
        let texts = [text];
        let asked = embedder.embed(&texts, EMBED_QUERY_TIMEOUT);
        match tokio::time::timeout(EMBED_QUERY_TIMEOUT, asked).await {
            Ok(Ok(vectors)) => Some((embedder.model().to_string(), vectors.into_iter().next()?)),
            Ok(Err(error)) => {
                log::info!("event=search_by_words_alone error=\"{error}\"");
                None
            }
            Err(_) => None,
        }
    }

    /// How many memories [`Memories::forget`] would remove, and the newest of their ids, at most
    /// `PAGE_ROWS_MAX`.
    pub async fn would_forget(&self, what: Forget) -> Result<(usize, Vec<String>), VoiceError> {
        self.store
            .query(move |connection| db::memories::would_forget(connection, &what))
            .await
    }

    /// Removes for good, sound included, and tells how many there were. Many go in several
    /// transactions; each memory goes whole.
    pub async fn forget(&self, what: Forget) -> Result<usize, VoiceError> {
        let mut count = 0;
        loop {
            let (chunk, now) = (what.clone(), self.clock.wall());
            let (gone, files) = self
                .store
                .write(move |connection| {
                    let removed = db::memories::forget(connection, &chunk)?;
                    let files =
                        db::recordings::forget(connection, &removed.recordings, false, now)?;
                    Ok::<_, VoiceError>((removed.count, files))
                })
                .await?;
            count += gone;
            self.remove_sounds(&files);
            if gone < FORGET_CHUNK_ROWS {
                break;
            }
        }
        if count > 0 {
            self.bus
                .publish(TOPIC, "memory_deleted", json!({ "count": count }));
        }
        Ok(count)
    }

    /// Notes that memories were used in an answer; never waited for.
    pub fn recalled(&self, used: &[MemoryUsed]) {
        if used.is_empty() {
            return;
        }
        let now = self.clock.wall();
        let ids: Vec<String> = used.iter().map(|memory| memory.id.clone()).collect();
        self.store
            .relaxed(move |connection| db::memories::count_recall(connection, &ids, now));
    }

    /// Whether the search index agrees with the tables.
    pub async fn check_index(&self) -> Result<db::search::IndexCheck, VoiceError> {
        self.store.query(db::search::check_index).await
    }

    /// Makes the search index anew from the tables, in one transaction.
    pub async fn rebuild_index(&self) -> Result<(), VoiceError> {
        self.store.write(db::search::rebuild_index).await
    }

    pub(super) fn announce_saved(&self, saved: &MemorySaved) {
        if let Some(filer) = self.shared.filer.get() {
            filer.wake();
        }
        self.bus.publish(TOPIC, "memory_saved", json!(saved));
    }

    pub(super) fn announce_changed(&self, id: &str) {
        self.bus
            .publish(TOPIC, "memory_changed", json!({ "id": id }));
    }

    /// So many proposed memories wait for a person's word.
    pub(super) fn announce_suggestions(&self) {
        let waiting = self.store.read(db::filing::waiting);
        if let Ok(count) = waiting {
            self.bus
                .publish(TOPIC, "memory_suggested", json!({ "count": count }));
        }
    }

    fn remove_sounds(&self, files: &[String]) {
        if let Some(sounds) = self.shared.sounds.get() {
            sounds.remove(files);
        }
    }
}
