//! Understands and answers what had to wait. Each step stores its result and the next step's job
//! in one transaction, and with the last result the job itself is done: a power cut anywhere repeats
//! work but never its result.

use std::path::PathBuf;
use std::rc::Rc;

use serde_json::json;

use super::pieces::{cuts_of_file, read_piece};
use super::unpack::unpack;
use super::{Mode, Recorded, State};
use crate::audio::decode::{DecodeError as SoundError, SoundFormat};
use crate::limits::{LISTEN_MAX, MEMORY_BYTES_MAX, PIECE_MAX};
use crate::store::StoreError;
use crate::voice::db;
use crate::voice::decode::{DecodeError, Decoded, Source, decode};
use crate::voice::dialogue::Question;
use crate::voice::error::VoiceError;
use crate::voice::memory::{NewMemory, Source as MemorySource};
use crate::voice::providers::{EngineError, Sound, SttOptions};
use crate::voice::queue::{Job, JobKind, Outcome, Work, Worker};
use crate::voice::session::Room;

/// Works off late transcripts and answers from now on.
pub fn work(room: &Rc<Room>) {
    let queue = room.recordings.queue().clone();
    queue.work(JobKind::Stt, Rc::new(LateStt(Rc::clone(room))));
    queue.work(JobKind::Reply, Rc::new(LateReply(Rc::clone(room))));
}

struct LateStt(Rc<Room>);

impl Worker for LateStt {
    fn run<'a>(&'a self, job: &'a Job) -> Work<'a> {
        Box::pin(async { self.transcribe(job).await.unwrap_or_else(|stop| stop.0) })
    }
}

/// Why a try ends early.
struct Stop(Outcome);

impl From<VoiceError> for Stop {
    fn from(error: VoiceError) -> Stop {
        Stop(match error {
            VoiceError::Store(StoreError::Constraint(_)) | VoiceError::Invalid(_) => {
                Outcome::Failed(error.to_string())
            }
            error => later(error.to_string()),
        })
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Stop {
        let after = match &error {
            EngineError::Limited { retry_after, .. } => *retry_after,
            _ => None,
        };
        let why = error.to_string();
        Stop(match error.is_retryable() {
            true => Outcome::Later { why, after },
            false => Outcome::Failed(why),
        })
    }
}

fn later(why: String) -> Outcome {
    Outcome::Later { why, after: None }
}

fn failed(why: &str) -> Stop {
    Stop(Outcome::Failed(String::from(why)))
}

impl LateStt {
    async fn transcribe(&self, job: &Job) -> Result<Outcome, Stop> {
        let recordings = &self.0.recordings;
        let recorded = recordings.get(&job.subject)?;
        let mut recorded = recorded.ok_or_else(|| failed("the recording is gone"))?;
        if recorded.state == State::Done {
            return Ok(Outcome::Done);
        }
        let Some(file) = &recorded.file else {
            return Err(failed("the sound of the recording is gone"));
        };
        let path = recordings.path_of(file);
        let text = match (is_long(&recorded), recorded.format.as_str()) {
            (true, "wav") => self.in_pieces(job, &recorded, path).await?,
            (true, _) => self.unpacked(job, &mut recorded, path).await?,
            (false, format) => match load(format, path.clone()).await {
                Ok(mut decoded) => self.understand(decoded.sound(), &recorded).await?,
                Err(LoadError::TooLong(_)) => self.unpacked(job, &mut recorded, path).await?,
                Err(error) => return Err(error.into()),
            },
        };
        self.store(&recorded, text).await?;
        self.0.recordings.after_use(&recorded.id).await?;
        Ok(Outcome::Done)
    }

    /// Compressed sound that is too long for memory. How long it is nobody knew before.
    async fn unpacked(
        &self,
        job: &Job,
        recorded: &mut Recorded,
        path: PathBuf,
    ) -> Result<String, Stop> {
        let unpacked = unpack(path, &recorded.format).await?;
        let duration_ms = unpacked.duration.as_millis() as u64;
        recorded.duration_ms = Some(duration_ms);
        let (id, now) = (recorded.id.clone(), self.0.clock.wall());
        let store = self.0.recordings.database();
        store
            .write(move |connection| db::recordings::set_length(connection, &id, duration_ms, now))
            .await
            .map_err(|error: VoiceError| Stop::from(error))?;
        self.in_pieces(job, recorded, unpacked.path.clone()).await
    }

    async fn understand(&self, sound: Sound, recorded: &Recorded) -> Result<String, Stop> {
        let engines = self.0.engines();
        let stt = engines.stt.clone().map_err(Stop::from)?;
        let language = recorded.language.clone();
        let options = SttOptions {
            language: language.or_else(|| self.0.settings().language.clone()),
            prompt: None,
        };
        let transcript = stt.transcribe(&sound, &options).await;
        let transcript = match transcript {
            Ok(transcript) => transcript,
            Err(error) => {
                self.0.stt_calls.failed(&error.clone().of_stt());
                return Err(error.into());
            }
        };
        self.0.stt_calls.succeeded(self.0.clock.wall());
        Ok(transcript.text.trim().to_string())
    }

    /// Each piece's text is stored before the next is begun.
    async fn in_pieces(
        &self,
        job: &Job,
        recorded: &Recorded,
        path: PathBuf,
    ) -> Result<String, Stop> {
        let store = self.0.recordings.database();
        let id = recorded.id.clone();
        let known = store
            .query(move |connection| db::recordings::pieces(connection, &id))
            .await?;
        let mut pieces = known;
        if pieces.is_empty() {
            let at = path.clone();
            let cuts = off_the_loop(move || cuts_of_file(&at)).await?;
            pieces = cuts.iter().map(|(from, to)| (*from, *to, None)).collect();
            let id = recorded.id.clone();
            store
                .write(move |connection| db::recordings::set_pieces(connection, &id, &cuts))
                .await
                .map_err(|error: VoiceError| Stop::from(error))?;
        }
        let count = pieces.len();
        for (number, (from, to, text)) in pieces.iter_mut().enumerate() {
            self.tell_progress(job, recorded, number, count);
            if text.is_some() {
                continue;
            }
            let (at, from, to) = (path.clone(), *from, *to);
            let samples = off_the_loop(move || read_piece(&at, from, to)).await?;
            let understood = self.understand(Sound::new(samples), recorded).await?;
            *text = Some(understood.clone());
            let id = recorded.id.clone();
            store
                .write(move |connection| {
                    db::recordings::set_piece_text(connection, &id, number, &understood)
                })
                .await
                .map_err(|error: VoiceError| Stop::from(error))?;
        }
        self.tell_progress(job, recorded, count, count);
        let texts: Vec<String> = pieces.into_iter().filter_map(|(_, _, text)| text).collect();
        let words = texts.iter().map(String::as_str);
        Ok(words
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join("\n"))
    }

    fn tell_progress(&self, job: &Job, recorded: &Recorded, done: usize, count: usize) {
        let payload = json!({
            "id": job.id, "recording_id": recorded.id, "pieces_done": done, "pieces": count,
        });
        let queue = self.0.recordings.queue();
        queue.tell("progress", Some(&recorded.id), payload);
    }

    /// The text, and with it the memory of a note or the job of an answer.
    async fn store(&self, recorded: &Recorded, text: String) -> Result<(), Stop> {
        let now = self.0.clock.wall();
        let id = recorded.id.clone();
        if text.is_empty() {
            self.0.recordings.done(&id, "", None, None).await?;
            self.tell(json!({"event": "nothing_heard", "recording_id": id}));
            return Ok(());
        }
        // Hours of speech are more text than one memory holds.
        let parts = match is_note(recorded) {
            true => parts_of(&text, MEMORY_BYTES_MAX),
            false => Vec::new(),
        };
        let memories = parts.into_iter().map(|part| {
            NewMemory {
                recording_id: Some(id.clone()),
                recorded_at: Some(recorded.recorded_at),
                conversation_id: recorded.conversation_id.clone(),
                wants_organizing: self.0.dialogue.memories().wants_organizing(None),
                ..NewMemory::told(part.to_string(), MemorySource::Voice, now)
            }
            .check()
        });
        let memories: Vec<NewMemory> = memories.collect::<Result<_, _>>()?;
        let saved: Vec<_> = memories.iter().map(NewMemory::saved).collect();
        let words = text.clone();
        let key = id.clone();
        self.0
            .recordings
            .database()
            .write(move |connection| {
                let Some(first) = memories.first() else {
                    return db::recordings::to_be_answered(connection, &key, &words, now);
                };
                for memory in &memories {
                    db::memories::insert(connection, memory)?;
                }
                let memory = Some(first.id.as_str());
                db::recordings::answered(connection, &key, &words, memory, None, now)
            })
            .await
            .map_err(|error: VoiceError| Stop::from(error))?;
        self.0.recordings.queue().wake();
        for saved in &saved {
            self.0.dialogue.memories().announce_saved(saved);
        }
        match saved.first() {
            Some(first) => self.tell(json!({
                "event": "note_stored", "recording_id": id, "text": text,
                "memory_id": first.id,
            })),
            None => self.tell(json!({"event": "transcribed", "recording_id": id, "text": text})),
        }
        Ok(())
    }

    fn tell(&self, payload: serde_json::Value) {
        self.0.recordings.queue().tell("notice", None, payload);
    }
}

/// Cut where a line or a word ends, each part at most so many bytes.
fn parts_of(text: &str, bytes_max: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while rest.len() > bytes_max {
        let (head, _) = rest.split_at(rest.floor_char_boundary(bytes_max));
        let end = head.rfind('\n').or_else(|| head.rfind(char::is_whitespace));
        let (part, left) = rest.split_at(end.unwrap_or(head.len()));
        parts.push(part.trim_end());
        rest = left.trim_start();
    }
    parts.push(rest);
    parts
}

fn is_note(recorded: &Recorded) -> bool {
    match recorded.mode {
        Mode::Note => true,
        Mode::Chat => false,
        Mode::Auto => recorded.duration_ms.unwrap_or(0) > LISTEN_MAX.as_millis() as u64,
    }
}

fn is_long(recorded: &Recorded) -> bool {
    recorded.duration_ms.unwrap_or(0) > PIECE_MAX.as_millis() as u64
}

/// Why a file gives no sound.
pub(super) enum LoadError {
    /// It never will.
    Unreadable(String),
    /// It has to be understood in pieces.
    TooLong(String),
    Busy(String),
}

impl From<LoadError> for Stop {
    fn from(error: LoadError) -> Stop {
        Stop(match error {
            LoadError::Unreadable(why) | LoadError::TooLong(why) => Outcome::Failed(why),
            LoadError::Busy(why) => later(why),
        })
    }
}

/// A file's sound, at the speech rate and as it is.
pub(super) async fn load(format: &str, path: PathBuf) -> Result<Decoded, LoadError> {
    let bytes = off_the_loop(move || std::fs::read(path)).await?;
    let decoded = decode(Source::bytes(bytes, SoundFormat::of_type(format))).await;
    decoded.map_err(|error| match error {
        DecodeError::Busy => LoadError::Busy(error.to_string()),
        DecodeError::Sound(SoundError::TooLong { .. }) => LoadError::TooLong(error.to_string()),
        error => LoadError::Unreadable(format!("{error} (format {format})")),
    })
}

/// Reads of a card, on a thread of their own.
pub(super) async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, LoadError> {
    let (told, hear) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name(String::from("recording"))
        .stack_size(crate::limits::THREAD_STACK_BYTES)
        .spawn(move || {
            let _ = told.send(work());
        })
        .map_err(|error| LoadError::Busy(error.to_string()))?;
    let read = hear
        .await
        .unwrap_or_else(|_| Err(std::io::Error::other("the thread ended")));
    read.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            LoadError::Unreadable(String::from("the sound is gone from the card"))
        }
        _ => LoadError::Busy(format!("the sound cannot be read: {error}")),
    })
}

struct LateReply(Rc<Room>);

impl Worker for LateReply {
    fn run<'a>(&'a self, job: &'a Job) -> Work<'a> {
        Box::pin(async { self.answer(job).await.unwrap_or_else(|stop| stop.0) })
    }
}

impl LateReply {
    async fn answer(&self, job: &Job) -> Result<Outcome, Stop> {
        let recordings = &self.0.recordings;
        let recorded = recordings.get(&job.subject)?;
        let recorded = recorded.ok_or_else(|| failed("the recording is gone"))?;
        let text = recorded.text.clone().unwrap_or_default();
        let id = recorded.id.clone();
        if text.is_empty() {
            return Ok(Outcome::Done);
        }
        let question = Question {
            text: text.clone(),
            conversation: self.conversation_of(&recorded)?,
            remember: true,
            language: recorded.language.clone(),
            recording: Some(id.clone()),
            note: is_note(&recorded),
            is_late: true,
            ..Question::default()
        };
        let answer = self.0.dialogue.answer(question, &mut |_| {}).await?;
        if let Some(error) = answer.waits_for {
            return Err(error.into());
        }
        let memory = answer.memory_saved.as_ref().map(|saved| saved.id.clone());
        let result = super::api::result_of(&id, &text, &answer, None);
        recordings.done(&id, &text, memory, Some(result)).await?;
        let payload = json!({
            "event": "late_answer", "recording_id": id, "text": text, "reply": answer.content,
            "conversation_id": answer.conversation_id, "message_id": answer.id,
        });
        recordings.queue().tell("notice", None, payload);
        Ok(Outcome::Done)
    }

    /// Where the question stands already, or was asked; a conversation that was removed meanwhile
    /// is no reason to lose the answer.
    fn conversation_of(&self, recorded: &Recorded) -> Result<Option<String>, VoiceError> {
        self.0.recordings.database().read(|connection| {
            if let Some((_, id)) = db::conversations::question_of(connection, &recorded.id)? {
                return Ok(Some(id));
            }
            let asked = recorded.conversation_id.clone();
            let exists = asked
                .as_deref()
                .map(|id| db::conversations::exists(connection, id));
            Ok(asked.filter(|_| matches!(exists, Some(Ok(true)))))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_fit_and_keep_every_word(text in "[a-c记 \n]{0,200}", bytes_max in 4_usize..40) {
            let parts = parts_of(&text, bytes_max);
            prop_assert!(parts.iter().all(|part| part.len() <= bytes_max));
            let solid = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(solid(&parts.concat()), solid(&text));
        }
    }

    #[test]
    fn a_part_ends_with_a_line_or_a_word() {
        assert_eq!(
            parts_of("one two\nthree four", 12),
            ["one two", "three four"]
        );
        assert_eq!(parts_of("one two three", 9), ["one two", "three"]);
        assert_eq!(parts_of("short", 9), ["short"]);
    }
}
