//! The answering stage: the answer's text comes, is cut into sentences, made sound and heard,
//! all at the same time.
//!
//! At most two sentences are being made into sound or wait to be played; they are heard strictly
//! in order, and the first is heard before the last is written. Dropping the stage ends all of it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};

use super::dialogue::VoiceError;
use super::port::{Mouth, News, Port};
use super::providers::{EngineError, Speech, Tts};
use super::sentence::{Cutter, Sentence};
use super::turn::Turn;
use crate::limits::{SPOKEN_CHARS_MAX, TTS_COMMANDS_MAX};

/// After this many sentences without sound the rest is only shown.
const FAILURES_MAX: usize = 2;

/// Sentences on their way from the text to the voice.
#[derive(Default)]
pub struct Sentences {
    queue: RefCell<VecDeque<Sentence>>,
    cutter: RefCell<Cutter>,
    chars: Cell<usize>,
    closed: Cell<bool>,
    changed: Notify,
}

impl Sentences {
    /// Takes the next piece of text; what goes over [`SPOKEN_CHARS_MAX`] is not spoken.
    pub fn push(&self, piece: &str) {
        let room = SPOKEN_CHARS_MAX.saturating_sub(self.chars.get());
        let end = piece
            .char_indices()
            .nth(room)
            .map_or(piece.len(), |(at, _)| at);
        self.chars
            .set(self.chars.get() + piece[..end].chars().count());
        let mut sentences = Vec::new();
        self.cutter.borrow_mut().push(&piece[..end], &mut sentences);
        self.add(sentences);
    }

    /// No more text comes.
    pub fn close(&self) {
        let rest = self.cutter.borrow_mut().finish();
        self.add(rest);
        self.closed.set(true);
        self.changed.notify_one();
    }

    fn add(&self, sentences: impl IntoIterator<Item = Sentence>) {
        let mut queue = self.queue.borrow_mut();
        let before = queue.len();
        queue.extend(sentences);
        if queue.len() > before {
            self.changed.notify_one();
        }
    }

    fn next(&self) -> Option<Sentence> {
        self.queue.borrow_mut().pop_front()
    }

    fn is_over(&self) -> bool {
        self.closed.get() && self.queue.borrow().is_empty()
    }
}

/// How far the voice has come; the driver asks it when the turn is interrupted.
#[derive(Default)]
pub struct Said {
    mouth: RefCell<Option<Rc<dyn Mouth>>>,
    /// End in the source and length of each sentence handed on.
    sentences: RefCell<Vec<(usize, Duration)>>,
}

impl Said {
    /// Characters of the answer that were really heard.
    pub fn heard_chars(&self) -> usize {
        let played = match &*self.mouth.borrow() {
            Some(mouth) => mouth.played(),
            None => return 0,
        };
        heard_chars(&self.sentences.borrow(), played)
    }

    /// Silence, now.
    pub fn stop(&self) {
        if let Some(mouth) = self.mouth.borrow_mut().take() {
            mouth.stop();
        }
    }
}

fn heard_chars(sentences: &[(usize, Duration)], played: Duration) -> usize {
    let mut left = played;
    let mut from = 0;
    for (end, length) in sentences {
        if left < *length {
            let part = left.as_secs_f64() / length.as_secs_f64();
            return from + ((*end - from) as f64 * part) as usize;
        }
        left -= *length;
        from = *end;
    }
    from
}

/// Speaks what comes through `sentences`.
pub struct Speaking<'a> {
    pub turn: Turn,
    pub port: &'a dyn Port,
    pub tts: Rc<dyn Tts>,
    pub language: Option<String>,
    pub sentences: &'a Sentences,
    pub said: &'a Said,
    pub on: &'a dyn Fn(Step<'_>),
}

/// What the driver wants to know of speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The first sentence is complete.
    FirstSentence,
    /// Its sound is there.
    FirstSpeech,
    /// A sentence's sound goes out.
    Sound,
    /// A sentence could not be made sound.
    Failed(&'a VoiceError),
}

type Making = Task<Result<Speech, EngineError>>;

impl Speaking<'_> {
    /// Resolves when all has been heard. A sentence that cannot be spoken is told and left out.
    pub async fn run(&self) -> Result<(), VoiceError> {
        let mut ahead: VecDeque<(Sentence, Making)> = VecDeque::new();
        let mut failures = 0;
        loop {
            self.fill(&mut ahead);
            let Some((sentence, speech)) = self.first_ready(&mut ahead).await else {
                break;
            };
            match speech {
                Ok(speech) => self.say(&sentence, &speech, &mut ahead).await?,
                Err(error) => {
                    failures += 1;
                    let error = error.of_tts();
                    (self.on)(Step::Failed(&error));
                    let turn = Some(self.turn);
                    self.port.tell(&News::Error {
                        turn,
                        error: &error,
                    });
                    if failures >= FAILURES_MAX {
                        return Ok(());
                    }
                }
            }
        }
        let mouth = self.said.mouth.borrow().clone();
        match mouth {
            Some(mouth) => mouth.finished().await,
            None => Ok(()),
        }
    }

    /// Starts making sound of the next sentences.
    fn fill(&self, ahead: &mut VecDeque<(Sentence, Making)>) {
        while ahead.len() < TTS_COMMANDS_MAX
            && let Some(sentence) = self.sentences.next()
        {
            if sentence.index == 0 {
                (self.on)(Step::FirstSentence);
            }
            let tts = Rc::clone(&self.tts);
            let (text, language) = (sentence.text.clone(), self.language.clone());
            let making = async move { tts.synthesize(&text, language.as_deref()).await };
            ahead.push_back((sentence, Task(spawn_local(making))));
        }
    }

    /// The oldest sentence when its sound is there; `None` when no more comes.
    async fn first_ready(
        &self,
        ahead: &mut VecDeque<(Sentence, Making)>,
    ) -> Option<(Sentence, Result<Speech, EngineError>)> {
        loop {
            let full = ahead.len() >= TTS_COMMANDS_MAX;
            let speech = match ahead.front_mut() {
                Some((_, making)) => tokio::select! {
                    speech = making => Some(speech),
                    () = self.sentences.changed.notified(), if !full => None,
                },
                None if self.sentences.is_over() => return None,
                None => {
                    self.sentences.changed.notified().await;
                    None
                }
            };
            if let Some(speech) = speech {
                let (sentence, _) = ahead.pop_front()?;
                return Some((sentence, speech));
            }
            self.fill(ahead);
        }
    }

    async fn say(
        &self,
        sentence: &Sentence,
        speech: &Speech,
        ahead: &mut VecDeque<(Sentence, Making)>,
    ) -> Result<(), VoiceError> {
        let mouth = self.open_mouth()?;
        if sentence.index == 0 {
            (self.on)(Step::FirstSpeech);
        }
        self.port.tell(&News::Sentence {
            turn: self.turn,
            sentence,
        });
        let length = (sentence.source_chars, speech.duration());
        self.said.sentences.borrow_mut().push(length);
        (self.on)(Step::Sound);
        let saying = mouth.say(sentence, speech);
        tokio::pin!(saying);
        loop {
            self.fill(ahead);
            let full = ahead.len() >= TTS_COMMANDS_MAX;
            tokio::select! {
                said = &mut saying => return said,
                () = self.sentences.changed.notified(), if !full => {}
            }
        }
    }

    fn open_mouth(&self) -> Result<Rc<dyn Mouth>, VoiceError> {
        let mut open = self.said.mouth.borrow_mut();
        if let Some(mouth) = &*open {
            return Ok(Rc::clone(mouth));
        }
        let mouth = self.port.mouth(self.turn)?;
        *open = Some(Rc::clone(&mouth));
        Ok(mouth)
    }
}

/// A task of the loop that ends with its handle.
struct Task<T>(JoinHandle<T>);

impl Future for Task<Result<Speech, EngineError>> {
    type Output = Result<Speech, EngineError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|ended| match ended {
                Ok(result) => result,
                Err(_) => Err(EngineError::Failed(String::from(
                    "making speech broke off; see the log",
                ))),
            })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_of_an_answer_is_counted_by_time() {
        let second = Duration::from_secs(1);
        let sentences = [(10, second), (30, 2 * second)];
        for (played_ms, chars) in [(0, 0), (500, 5), (1_000, 10), (2_000, 20), (9_000, 30)] {
            let heard = heard_chars(&sentences, Duration::from_millis(played_ms));
            assert_eq!(heard, chars, "after {played_ms} ms");
        }
        assert_eq!(heard_chars(&[], second), 0);
    }

    #[test]
    fn an_endless_answer_is_not_spoken_for_ever() {
        let sentences = Sentences::default();
        for _ in 0..10_000 {
            sentences.push("Again and again the same words. ");
        }
        sentences.close();
        let mut chars = 0;
        while let Some(sentence) = sentences.next() {
            chars += sentence.text.chars().count();
        }
        assert!(chars <= SPOKEN_CHARS_MAX, "{chars}");
        assert!(sentences.is_over());
    }
}
