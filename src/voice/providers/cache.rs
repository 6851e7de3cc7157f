//! Sentences that were spoken before, kept on disk as sound.
//!
//! A sentence is kept once the same voice says it a second time: greetings, errors and the answers
//! of the rules come again, most others never. One thread owns the folder; a card that is slow
//! only means that the voice is asked again. A kept file carries its own hash, so that one that
//! was cut by a power loss is thrown away, never heard; nothing is synced, since all of it can be
//! made again. The longest unused go first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::sound::Pieces;
use super::{Call, FileWish, Speech, SpeechFile, SpeechStream, Tts};
use crate::limits::{
    SPEECH_CACHE_QUEUE_MAX, SPEECH_CACHE_RECENT_MAX, SPEECH_CACHE_WAIT_MAX,
    SPEECH_CACHED_BYTES_MAX, SYNTHESIZED_MAX, THREAD_STACK_BYTES,
};

const MARK: &[u8; 8] = b"MAGPIE-1";
const HEAD_BYTES: usize = 8 + 4 + 32;
const EXTENSION: &str = "speech";
/// A file that is used is marked so at most this often, to spare the card.
const TOUCHED_EVERY: Duration = Duration::from_secs(86_400);

/// Of provider, voice and text.
type Key = [u8; 32];

/// Clones share one folder.
#[derive(Clone)]
pub struct SpeechCache(Option<SyncSender<Order>>);

enum Order {
    Get(Key, oneshot::Sender<Found>),
    Put(Key, Speech),
}

enum Found {
    Speech(Speech),
    /// Not there; `again`: it was asked for a moment ago too.
    Nothing {
        again: bool,
    },
}

impl SpeechCache {
    /// Keeps nothing.
    pub fn off() -> SpeechCache {
        SpeechCache(None)
    }

    /// `bytes_max` of all files together; 0 keeps none.
    pub fn open(folder: PathBuf, bytes_max: u64) -> SpeechCache {
        if bytes_max == 0 {
            return SpeechCache::off();
        }
        let (orders, ordered) = sync_channel(SPEECH_CACHE_QUEUE_MAX);
        let started = std::thread::Builder::new()
            .name(String::from("speech-cache"))
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || Shelf::open(folder, bytes_max).serve(&ordered));
        match started {
            Ok(_) => SpeechCache(Some(orders)),
            Err(error) => {
                log::warn!("event=no_speech_cache error=\"{error}\"");
                SpeechCache::off()
            }
        }
    }

    async fn get(&self, key: Key) -> Found {
        let nothing = Found::Nothing { again: false };
        let Some(orders) = &self.0 else {
            return nothing;
        };
        let (sender, found) = oneshot::channel();
        if orders.try_send(Order::Get(key, sender)).is_err() {
            return nothing;
        }
        match tokio::time::timeout(SPEECH_CACHE_WAIT_MAX, found).await {
            Ok(Ok(found)) => found,
            _ => nothing,
        }
    }

    /// What finds the thread busy is not kept.
    fn put(&self, key: Key, speech: Speech) {
        if let Some(orders) = &self.0 {
            let _ = orders.try_send(Order::Put(key, speech));
        }
    }
}

/// A voice whose repeated sentences come from the cache.
pub struct Cached {
    pub voice: Rc<dyn Tts>,
    pub cache: SpeechCache,
    /// It may be out of reach when it is needed.
    pub prepares: bool,
}

impl Cached {
    fn key(&self, text: &str, language: Option<&str>) -> Key {
        let mut hash = Sha256::new();
        for part in [
            self.voice.name(),
            &self.voice.voice(),
            language.unwrap_or_default(),
            text.trim(),
        ] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }
}

impl Tts for Cached {
    fn name(&self) -> &str {
        self.voice.name()
    }

    fn voice(&self) -> String {
        self.voice.voice()
    }

    fn encodes(&self) -> bool {
        self.voice.encodes()
    }

    fn encode<'a>(&'a self, wish: &'a FileWish) -> Call<'a, Option<SpeechFile>> {
        self.voice.encode(wish)
    }

    fn prepare<'a>(&'a self, text: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            let key = self.key(text, None);
            if !self.prepares || matches!(self.cache.get(key).await, Found::Speech(_)) {
                return Ok(());
            }
            let stream = self.voice.synthesize(text, None).await?;
            self.cache.put(key, stream.collect(SYNTHESIZED_MAX).await?);
            Ok(())
        })
    }

    fn synthesize<'a>(
        &'a self,
        text: &'a str,
        language: Option<&'a str>,
    ) -> Call<'a, SpeechStream> {
        Box::pin(async move {
            let key = self.key(text, language);
            let again = match self.cache.get(key).await {
                Found::Speech(speech) => return Ok(SpeechStream::whole(speech)),
                Found::Nothing { again } => again,
            };
            let stream = self.voice.synthesize(text, language).await?;
            if !again {
                return Ok(stream);
            }
            Ok(SpeechStream::new(Keeping {
                stream,
                key,
                cache: self.cache.clone(),
                whole: None,
            }))
        })
    }
}

/// Passes speech on and keeps it when all of it has come.
struct Keeping {
    stream: SpeechStream,
    key: Key,
    cache: SpeechCache,
    whole: Option<Speech>,
}

impl Pieces for Keeping {
    fn next(&mut self) -> Call<'_, Option<Speech>> {
        Box::pin(async {
            let piece = self.stream.next().await?;
            match (&piece, &mut self.whole) {
                (Some(piece), None) => self.whole = Some(piece.clone()),
                (Some(piece), Some(whole)) => whole.append(piece.clone()),
                (None, _) => {
                    if let Some(whole) = self.whole.take() {
                        self.cache.put(self.key, whole);
                    }
                }
            }
            Ok(piece)
        })
    }
}

/// The folder, as its thread sees it.
struct Shelf {
    folder: PathBuf,
    bytes_max: u64,
    bytes: u64,
    files: HashMap<Key, File>,
    /// Least recently used first.
    order: BTreeMap<u64, Key>,
    uses: u64,
    /// Asked for and not there, the oldest first.
    recent: VecDeque<Key>,
}

struct File {
    bytes: u64,
    used: u64,
    touched: SystemTime,
}

impl Shelf {
    fn open(folder: PathBuf, bytes_max: u64) -> Shelf {
        let mut shelf = Shelf {
            folder,
            bytes_max,
            bytes: 0,
            files: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
            recent: VecDeque::new(),
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(&shelf.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match key_of(&path) {
                Some(key) => {
                    if let Ok(facts) = entry.metadata() {
                        let touched = facts.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                        found.push((touched, key, facts.len()));
                    }
                }
                // Half a file of a process that was killed.
                None => {
                    let _ = fs::remove_file(path);
                }
            }
        }
        found.sort();
        for (touched, key, bytes) in found {
            shelf.add(key, bytes, touched);
        }
        shelf.make_room();
        shelf
    }

    fn serve(mut self, ordered: &Receiver<Order>) {
        while let Ok(order) = ordered.recv() {
            match order {
                Order::Get(key, sender) => {
                    let _ = sender.send(self.get(key));
                }
                Order::Put(key, speech) => {
                    if let Err(error) = self.put(key, &speech) {
                        log::info!("event=speech_not_kept error=\"{error}\"");
                    }
                }
            }
        }
    }

    fn get(&mut self, key: Key) -> Found {
        if self.files.contains_key(&key) {
            let read = fs::read(self.path(&key)).ok();
            if let Some(speech) = read.and_then(|bytes| decode(&bytes)) {
                self.note_use(&key);
                return Found::Speech(speech);
            }
            self.remove(&key);
        }
        let again = self.recent.contains(&key);
        if !again {
            if self.recent.len() >= SPEECH_CACHE_RECENT_MAX {
                self.recent.pop_front();
            }
            self.recent.push_back(key);
        }
        Found::Nothing { again }
    }

    fn put(&mut self, key: Key, speech: &Speech) -> io::Result<()> {
        let bytes = encode(speech);
        if bytes.len() > SPEECH_CACHED_BYTES_MAX || bytes.len() as u64 > self.bytes_max {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        let path = self.path(&key);
        let partial = path.with_extension("partial");
        fs::write(&partial, &bytes)?;
        fs::rename(&partial, &path)?;
        self.forget(&key);
        self.add(key, bytes.len() as u64, SystemTime::now());
        self.make_room();
        Ok(())
    }

    fn add(&mut self, key: Key, bytes: u64, touched: SystemTime) {
        self.uses += 1;
        let used = self.uses;
        self.bytes += bytes;
        self.order.insert(used, key);
        self.files.insert(
            key,
            File {
                bytes,
                used,
                touched,
            },
        );
    }

    fn note_use(&mut self, key: &Key) {
        let path = self.path(key);
        let Some(file) = self.files.get_mut(key) else {
            return;
        };
        self.uses += 1;
        self.order.remove(&file.used);
        file.used = self.uses;
        self.order.insert(file.used, *key);
        let now = SystemTime::now();
        if now
            .duration_since(file.touched)
            .is_ok_and(|age| age >= TOUCHED_EVERY)
        {
            file.touched = now;
            let _ = fs::File::options()
                .write(true)
                .open(path)
                .and_then(|open| open.set_modified(now));
        }
    }

    fn make_room(&mut self) {
        while self.bytes > self.bytes_max
            && let Some((_, key)) = self.order.first_key_value()
        {
            let key = *key;
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &Key) {
        let _ = fs::remove_file(self.path(key));
        self.forget(key);
    }

    fn forget(&mut self, key: &Key) {
        if let Some(file) = self.files.remove(key) {
            self.order.remove(&file.used);
            self.bytes -= file.bytes;
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name).with_extension(EXTENSION)
    }
}

fn key_of(path: &Path) -> Option<Key> {
    if path.extension()?.to_str()? != EXTENSION {
        return None;
    }
    let name = path.file_stem()?.to_str()?;
    let mut key = [0; 32];
    if name.len() != 64 || !name.is_ascii() {
        return None;
    }
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&name[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(key)
}

/// Mark, rate, hash of rate and samples, samples; little endian.
fn encode(speech: &Speech) -> Vec<u8> {
    let rate = speech.rate_hz.to_le_bytes();
    let samples = speech
        .samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes());
    let samples: Vec<u8> = samples.collect();
    let mut bytes = Vec::with_capacity(HEAD_BYTES + samples.len());
    bytes.extend_from_slice(MARK);
    bytes.extend_from_slice(&rate);
    bytes.extend_from_slice(&hash_of(&rate, &samples));
    bytes.extend_from_slice(&samples);
    bytes
}

/// `None`: not written to its end, or rotten.
fn decode(bytes: &[u8]) -> Option<Speech> {
    let (head, samples) = bytes.split_at_checked(HEAD_BYTES)?;
    let rate: [u8; 4] = head[8..12].try_into().ok()?;
    if !head.starts_with(MARK) || head[12..] != hash_of(&rate, samples) {
        return None;
    }
    let pairs = samples.chunks_exact(2);
    Some(Speech {
        samples: pairs
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect(),
        rate_hz: u32::from_le_bytes(rate),
    })
}

fn hash_of(rate: &[u8; 4], samples: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(rate);
    hash.update(samples);
    hash.finalize().into()
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
