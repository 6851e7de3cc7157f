//! The answering stage: the answer's text comes, is cut into sentences, made sound and heard,
//! all at the same time.
//!
//! Sentences are heard strictly in order, each from its first piece of sound on, and the first
//! before the last is written. While one is heard the next is made, never more. Dropping the
//! stage ends all of it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

use super::dialogue::VoiceError;
use super::port::{Mouth, News, Port};
use super::providers::{EngineError, Speech, Tts, is_cjk};
use super::sentence::{Cutter, Sentence};
use super::turn::Turn;
use crate::limits::{SPEECH_ASKED_AHEAD, SPEECH_PIECES_AHEAD_MAX, SPOKEN_CHARS_MAX};

/// After this many sentences without sound the next voice speaks; without one the rest is only
/// shown.
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
    /// All of a text that is there.
    pub fn of(text: &str) -> Sentences {
        let sentences = Sentences::default();
        sentences.push(text);
        sentences.close();
        sentences
    }

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

    /// Nobody writes on and what waits is not spoken any more.
    pub fn abandon(&self) {
        self.queue.borrow_mut().clear();
        self.closed.set(true);
        self.changed.notify_one();
    }

    /// The next sentence, once it is there; `None` after the last. For one reader.
    pub async fn take(&self) -> Option<Sentence> {
        loop {
            if let Some(sentence) = self.next() {
                return Some(sentence);
            }
            if self.closed.get() {
                return None;
            }
            self.changed.notified().await;
        }
    }

    pub fn add(&self, sentences: impl IntoIterator<Item = Sentence>) {
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

    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    fn is_over(&self) -> bool {
        self.closed.get() && self.queue.borrow().is_empty()
    }
}

/// How far the voice has come; the driver asks it when the turn is interrupted.
#[derive(Default)]
pub struct Said {
    mouth: RefCell<Option<Rc<dyn Mouth>>>,
    sentences: RefCell<Vec<Uttered>>,
}

/// One sentence handed on to the mouth.
#[derive(Clone, Copy, Debug)]
struct Uttered {
    /// Where it ends in the source.
    end_chars: usize,
    /// Of the sound that was handed on.
    length: Duration,
    /// How long all of it will be; known once it has all come.
    whole: Duration,
}

impl Said {
    /// Characters of the answer that were really heard.
    pub fn heard_chars(&self) -> usize {
        heard_chars(&self.sentences.borrow(), self.played())
    }

    /// Silence, now.
    pub fn stop(&self) {
        if let Some(mouth) = self.mouth.borrow_mut().take() {
            mouth.stop();
        }
    }

    fn played(&self) -> Duration {
        let mouth = self.mouth.borrow();
        mouth
            .as_ref()
            .map_or(Duration::ZERO, |mouth| mouth.played())
    }

    /// Sound that is still to be heard, of what was handed on and what is to come.
    fn left(&self) -> Duration {
        let sentences = self.sentences.borrow();
        let whole: Duration = sentences.iter().map(|one| one.whole.max(one.length)).sum();
        whole.saturating_sub(self.played())
    }

    fn begin(&self, sentence: &Sentence) {
        self.sentences.borrow_mut().push(Uttered {
            end_chars: sentence.source_chars,
            length: Duration::ZERO,
            whole: guessed_length(&sentence.text),
        });
    }

    fn grow(&self, by: Duration) {
        if let Some(last) = self.sentences.borrow_mut().last_mut() {
            last.length += by;
        }
    }

    fn end(&self) {
        if let Some(last) = self.sentences.borrow_mut().last_mut() {
            last.whole = last.length;
        }
    }
}

/// A voice reads about fifteen letters or four ideographs a second.
fn guessed_length(text: &str) -> Duration {
    let ms = |c: char| if is_cjk(c) { 250 } else { 65 };
    Duration::from_millis(text.chars().map(ms).sum())
}

fn heard_chars(sentences: &[Uttered], played: Duration) -> usize {
    let mut left = played;
    let mut from = 0;
    for one in sentences {
        let length = one.whole.max(one.length);
        if left < length {
            let part = left.as_secs_f64() / length.as_secs_f64();
            return from + ((one.end_chars - from) as f64 * part) as usize;
        }
        left -= length;
        from = one.end_chars;
    }
    from
}

/// Speaks what comes through `sentences`.
pub struct Speaking<'a> {
    turn: Turn,
    port: &'a dyn Port,
    tts: Rc<dyn Tts>,
    language: Option<String>,
    sentences: &'a Sentences,
    said: &'a Said,
    on: &'a dyn Fn(Step<'_>),
    /// Being made while another is heard.
    next: RefCell<Option<(Sentence, Making)>>,
    failures: Cell<usize>,
    /// How long the last sentence's first sound took.
    latency: Cell<Duration>,
}

/// What the driver wants to know of speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The first sentence is complete.
    FirstSentence,
    /// Its sound begins to come.
    FirstSpeech,
    /// Sound goes out.
    Sound,
    /// A sentence could not be made sound.
    Failed(&'a VoiceError),
}

/// What an answer is spoken with.
pub struct SpeakingParts<'a> {
    pub turn: Turn,
    pub port: &'a dyn Port,
    pub tts: Rc<dyn Tts>,
    pub language: Option<String>,
    pub sentences: &'a Sentences,
    pub said: &'a Said,
    pub on: &'a dyn Fn(Step<'_>),
}

impl<'a> Speaking<'a> {
    pub fn new(parts: SpeakingParts<'a>) -> Speaking<'a> {
        Speaking {
            turn: parts.turn,
            port: parts.port,
            tts: parts.tts,
            language: parts.language,
            sentences: parts.sentences,
            said: parts.said,
            on: parts.on,
            next: RefCell::default(),
            failures: Cell::new(0),
            latency: Cell::new(Duration::ZERO),
        }
    }

    /// Resolves when all has been heard. A sentence that cannot be spoken is told and left out.
    pub async fn run(&self) -> Result<(), VoiceError> {
        while let Some((sentence, making)) = self.next_sentence().await {
            if let Err(error) = self.say(&sentence, making).await? {
                self.failures.set(self.failures.get() + 1);
                let error = error.of_tts();
                (self.on)(Step::Failed(&error));
                let turn = Some(self.turn);
                self.port.tell(&News::Error {
                    turn,
                    error: &error,
                });
                if self.failures.get() >= FAILURES_MAX {
                    if !self.tts.next_voice() {
                        // What was made so far is still being heard.
                        break;
                    }
                    self.failures.set(0);
                }
            }
        }
        let mouth = self.said.mouth.borrow().clone();
        match mouth {
            Some(mouth) => mouth.finished().await,
            None => Ok(()),
        }
    }

    /// The sentence whose turn it is; `None` when no more comes.
    async fn next_sentence(&self) -> Option<(Sentence, Making)> {
        loop {
            if let Some(next) = self.next.take() {
                return Some(next);
            }
            if self.sentences.is_over() {
                return None;
            }
            match self.request_in() {
                Some(wait) => {
                    tokio::time::sleep(wait).await;
                    self.request();
                }
                None => self.sentences.changed.notified().await,
            }
        }
    }

    /// Inner error: this sentence was not (wholly) spoken.
    async fn say(
        &self,
        sentence: &Sentence,
        mut making: Making,
    ) -> Result<Result<(), EngineError>, VoiceError> {
        let mut mouth = None;
        let outcome = loop {
            match self.requesting(making.next()).await {
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
                Ok(Some(piece)) => {
                    let mouth = match &mouth {
                        Some(mouth) => mouth,
                        None => {
                            self.latency.set(making.asked.elapsed());
                            mouth.insert(self.begin(sentence)?)
                        }
                    };
                    self.said.grow(piece.duration());
                    (self.on)(Step::Sound);
                    self.requesting(mouth.say(sentence, &piece)).await?;
                }
            }
        };
        if let Some(mouth) = mouth {
            self.said.end();
            self.requesting(mouth.end(sentence)).await?;
        }
        Ok(outcome)
    }

    /// The sentence's first sound is there.
    fn begin(&self, sentence: &Sentence) -> Result<Rc<dyn Mouth>, VoiceError> {
        let mouth = self.open_mouth()?;
        if sentence.index == 0 {
            (self.on)(Step::FirstSpeech);
        }
        self.port.tell(&News::Sentence {
            turn: self.turn,
            sentence,
        });
        self.said.begin(sentence);
        Ok(mouth)
    }

    /// Does `work`, and meanwhile asks for the next sentence's sound when its time has come.
    async fn requesting<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            let due = self.request_in();
            let wait = async {
                match due {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = wait => self.request(),
                () = self.sentences.changed.notified() => {}
            }
        }
    }

    /// When to ask for the next sentence's sound: so late that little is made in vain when somebody
    /// interrupts, so early that no gap is heard.
    fn request_in(&self) -> Option<Duration> {
        if self.next.borrow().is_some() || self.sentences.queue.borrow().is_empty() {
            return None;
        }
        let early = SPEECH_ASKED_AHEAD.max(self.latency.get() * 2);
        Some(self.said.left().saturating_sub(early))
    }

    fn request(&self) {
        let Some(sentence) = self.sentences.next() else {
            return;
        };
        if sentence.index == 0 {
            (self.on)(Step::FirstSentence);
        }
        let making = Making::start(
            Rc::clone(&self.tts),
            sentence.text.clone(),
            self.language.clone(),
        );
        self.next.replace(Some((sentence, making)));
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

/// One sentence being made sound, as a task of the loop that ends with its handle.
struct Making {
    task: JoinHandle<()>,
    pieces: mpsc::Receiver<Result<Speech, EngineError>>,
    asked: Instant,
}

impl Making {
    fn start(tts: Rc<dyn Tts>, text: String, language: Option<String>) -> Making {
        let (sender, pieces) = mpsc::channel(SPEECH_PIECES_AHEAD_MAX);
        let task = spawn_local(async move {
            let made = async {
                let mut stream = tts.synthesize(&text, language.as_deref()).await?;
                while let Some(piece) = stream.next().await? {
                    if sender.send(Ok(piece)).await.is_err() {
                        break;
                    }
                }
                Ok(())
            };
            if let Err(error) = made.await {
                // Nobody waits for it any more when this fails.
                let _ = sender.send(Err(error)).await;
            }
        });
        Making {
            task,
            pieces,
            asked: Instant::now(),
        }
    }

    async fn next(&mut self) -> Result<Option<Speech>, EngineError> {
        self.pieces.recv().await.transpose()
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_of_an_answer_is_counted_by_time() {
        let second = Duration::from_secs(1);
        let uttered = |end_chars, length| Uttered {
            end_chars,
            length,
            whole: length,
        };
        let mut sentences = [uttered(10, second), uttered(30, 2 * second)];
        for (played_ms, chars) in [(0, 0), (500, 5), (1_000, 10), (2_000, 20), (9_000, 30)] {
            let heard = heard_chars(&sentences, Duration::from_millis(played_ms));
            assert_eq!(heard, chars, "after {played_ms} ms");
        }
        assert_eq!(heard_chars(&[], second), 0);
        sentences[1].length = second;
        let heard = heard_chars(&sentences, 2 * second);
        assert_eq!(heard, 20, "half of the sentence had come");
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
