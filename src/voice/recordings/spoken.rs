//! The box's own answers as sound for whoever asked over HTTP and plays it there.
//!
//! A sentence's sound waits in memory for a short while; the sound of the whole answer is kept
//! with its message for as long as recordings are kept. Both are bounded, and neither is ever
//! taken for something that a person said.

use std::collections::VecDeque;

use bytes::Bytes;

use super::upload::wait_for_card;
use super::{Kept, Mode, NewRecording, Origin, Recordings, State};
use crate::audio::wav;
use crate::clock::MonoMillis;
use crate::limits::{REPLY_BYTES_MAX, REPLY_LIFE, REPLY_SOUND_MAX, SPEAK_STALL_MAX};
use crate::voice::db;
use crate::voice::dialogue::Answer;
use crate::voice::error::VoiceError;
use crate::voice::memory::fresh_id;
use crate::voice::providers::{EngineError, Speech};
use crate::voice::session::Room;

/// Of the ids of answers' sound.
pub const REPLY_PREFIX: &str = "say_";
/// After this many sentences without sound the next voice speaks; without one the rest is only
/// to be read.
const FAILURES_MAX: usize = 2;

/// Sound that waits to be fetched, oldest first.
#[derive(Default)]
pub(super) struct Fresh {
    sounds: VecDeque<Waiting>,
    bytes: usize,
}

struct Waiting {
    id: String,
    sound: Bytes,
    until: MonoMillis,
}

impl Fresh {
    fn keep(&mut self, id: String, sound: Bytes, now: MonoMillis) {
        self.bytes += sound.len();
        self.sounds.push_back(Waiting {
            id,
            sound,
            until: MonoMillis(now.0 + REPLY_LIFE.as_millis() as u64),
        });
        self.sweep(now);
    }

    fn get(&mut self, id: &str, now: MonoMillis) -> Option<Bytes> {
        self.sweep(now);
        let found = self.sounds.iter().find(|waiting| waiting.id == id);
        found.map(|waiting| waiting.sound.clone())
    }

    fn remove(&mut self, id: &str) -> bool {
        let Some(at) = self.sounds.iter().position(|waiting| waiting.id == id) else {
            return false;
        };
        if let Some(removed) = self.sounds.remove(at) {
            self.bytes -= removed.sound.len();
        }
        true
    }

    /// The newest stays, however large it is: it was only just promised.
    fn sweep(&mut self, now: MonoMillis) {
        while let Some(oldest) = self.sounds.front() {
            let is_surplus = self.bytes > REPLY_BYTES_MAX && self.sounds.len() > 1;
            if !is_surplus && oldest.until > now {
                return;
            }
            self.bytes -= oldest.sound.len();
            self.sounds.pop_front();
        }
    }
}

impl Recordings {
    /// Sound of an answer that is not on the card.
    pub(super) fn fresh(&self, id: &str) -> Option<Bytes> {
        let now = self.0.clock.mono();
        self.0.fresh.borrow_mut().get(id, now)
    }

    pub(super) fn remove_fresh(&self, id: &str) -> bool {
        self.0.fresh.borrow_mut().remove(id)
    }

    fn keep_fresh(&self, sound: Vec<u8>) -> String {
        let (id, now) = (fresh_id(REPLY_PREFIX), self.0.clock.mono());
        let url = url_of(&id);
        self.0.fresh.borrow_mut().keep(id, sound.into(), now);
        url
    }

    /// On the card and with its message when this returns.
    async fn keep_reply(
        &self,
        answer: &Answer,
        sound: Vec<u8>,
        length_ms: u64,
    ) -> Result<String, VoiceError> {
        self.check_room()?;
        let mut recording = self.begin(NewRecording {
            conversation_id: Some(answer.conversation_id.clone()),
            ..NewRecording::live(Origin::Reply, Mode::Chat)
        })?;
        wait_for_card(self).await;
        recording.push_bytes(sound)?;
        let kept = Kept {
            state: State::Done,
            duration_ms: Some(length_ms),
            ..recording.finish().await?
        };
        let url = url_of(&kept.id);
        let (message, now) = (answer.id.clone(), self.0.clock.wall());
        self.0
            .store
            .write(move |connection| db::recordings::keep_reply(connection, &kept, &message, now))
            .await
            .map(|()| url)
    }
}

fn url_of(id: &str) -> String {
    format!("/api/v1/audio/{id}")
}

/// One answer being made sound, sentence by sentence.
pub struct Recital<'a> {
    room: &'a Room,
    language: Option<String>,
    whole: Option<Speech>,
    failures: usize,
    /// No voice is left, or the answer is too long.
    is_over: bool,
    trouble: Option<VoiceError>,
}

impl<'a> Recital<'a> {
    pub fn new(room: &'a Room, language: Option<String>) -> Recital<'a> {
        Recital {
            room,
            language,
            whole: None,
            failures: 0,
            is_over: false,
            trouble: None,
        }
    }

    /// Where the sound of this sentence waits; `None`: it has none.
    pub async fn sentence(&mut self, text: &str) -> Option<String> {
        let speech = self.say(text).await?;
        let sound = wav::encode(&speech.samples, speech.rate_hz);
        Some(self.room.recordings.keep_fresh(sound))
    }

    /// Makes the next sentence sound.
    pub async fn say(&mut self, text: &str) -> Option<Speech> {
        if self.is_over {
            return None;
        }
        let made = match self.make(text).await {
            Ok(speech) => speech,
            Err(error) => {
                self.failed(error.of_tts());
                return None;
            }
        };
        self.room.tts_calls.succeeded(self.room.clock.wall());
        match &mut self.whole {
            None => self.whole = Some(made.clone()),
            Some(whole) => whole.append(made.clone()),
        }
        let length = self.whole.as_ref().map(Speech::duration);
        if length.is_some_and(|length| length >= REPLY_SOUND_MAX) {
            self.is_over = true;
            self.trouble = Some(VoiceError::Tts(format!(
                "the answer is spoken for its first {} s only",
                REPLY_SOUND_MAX.as_secs()
            )));
        }
        Some(made)
    }

    async fn make(&self, text: &str) -> Result<Speech, EngineError> {
        let tts = self.room.engines().tts.clone()?;
        let stream = tts.synthesize(text, self.language.as_deref()).await?;
        stream.collect(SPEAK_STALL_MAX).await
    }

    fn failed(&mut self, error: VoiceError) {
        self.room.tts_calls.failed(&error);
        log::warn!("event=answer_not_spoken error=\"{error}\"");
        self.failures += 1;
        if self.failures >= FAILURES_MAX {
            let engines = self.room.engines();
            let has_next = engines.tts.as_ref().is_ok_and(|tts| tts.next_voice());
            self.is_over = !has_next;
            self.failures = 0;
        }
        self.trouble = Some(error);
    }

    /// Where the sound of the whole answer is, kept with its message if the answer `is_kept`; and
    /// why it has none, or not all of it.
    pub async fn end(self, answer: &Answer, is_kept: bool) -> (Option<String>, Option<VoiceError>) {
        let Some(whole) = self.whole else {
            return (None, self.trouble);
        };
        let length_ms = whole.duration().as_millis() as u64;
        let encoding = move || Ok(wav::encode(&whole.samples, whole.rate_hz));
        let Ok(sound) = super::late::off_the_loop(encoding).await else {
            let error = VoiceError::Tts(String::from("the box has no thread for it; try again"));
            return (None, Some(error));
        };
        let recordings = &self.room.recordings;
        if is_kept && !recordings.0.kept.get().is_zero() {
            match recordings
                .keep_reply(answer, sound.clone(), length_ms)
                .await
            {
                Ok(url) => return (Some(url), self.trouble),
                Err(error) => log::warn!("event=answer_sound_not_kept error=\"{error}\""),
            }
        }
        (Some(recordings.keep_fresh(sound)), self.trouble)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_that_waits_is_bounded_in_size_and_time() {
        let mut fresh = Fresh::default();
        let life = REPLY_LIFE.as_millis() as u64;
        for number in 0..64_u64 {
            let sound = Bytes::from(vec![0; REPLY_BYTES_MAX / 16]);
            fresh.keep(format!("say_{number}"), sound, MonoMillis(number));
            assert!(fresh.bytes <= REPLY_BYTES_MAX);
        }
        let now = MonoMillis(63);
        assert!(fresh.get("say_47", now).is_none(), "the oldest goes first");
        assert!(fresh.get("say_48", now).is_some());
        assert!(fresh.remove("say_50") && !fresh.remove("say_50"));
        assert!(fresh.get("say_63", MonoMillis(62 + life)).is_some());
        assert!(fresh.get("say_63", MonoMillis(63 + life)).is_none());
        assert_eq!((fresh.bytes, fresh.sounds.len()), (0, 0));
        let huge = Bytes::from(vec![0; REPLY_BYTES_MAX * 2]);
        fresh.keep(String::from("huge"), huge, now);
        assert!(
            fresh.get("huge", now).is_some(),
            "it was only just promised"
        );
    }
}
