//! A voice that keeps what it says as the provider encodes it, for clients that want files.
//!
//! The turn goes on with the samples, as with every voice. MP3 may be joined file to file, so that
//! an answer is the row of its sentences; when one of them came otherwise there is no file.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use crate::audio::SPEECH_RATE_HZ;
use crate::audio::decode::SoundFormat;
use crate::limits::SPEECH_ANSWER_BYTES_MAX;
use crate::voice::decode::{Source, decode};
use crate::voice::providers::{
    Call, EngineError, FileFormat, FileWish, MemberHealth, Speech, SpeechStream, Tts,
};

/// The sentences of one answer as MP3, in the order in which they were asked for; `None` is one
/// that is not there.
#[derive(Default)]
pub(super) struct Encoded(RefCell<Vec<Option<Bytes>>>);

impl Encoded {
    /// All of it, once; `None` when it is not whole.
    pub fn take(&self) -> Option<Vec<u8>> {
        let files: Option<Vec<Bytes>> = self.0.take().into_iter().collect();
        files
            .filter(|files| !files.is_empty())
            .map(|all| all.concat())
    }

    /// The place of the next sentence.
    fn begin(&self) -> usize {
        let mut files = self.0.borrow_mut();
        files.push(None);
        files.len() - 1
    }

    fn put(&self, place: usize, bytes: Bytes) {
        let mut files = self.0.borrow_mut();
        let held: usize = files.iter().flatten().map(Bytes::len).sum();
        if held + bytes.len() <= SPEECH_ANSWER_BYTES_MAX
            && let Some(file) = files.get_mut(place)
        {
            *file = Some(bytes);
        }
    }
}

pub(super) struct EncodingVoice {
    pub tts: Rc<dyn Tts>,
    pub encoded: Rc<Encoded>,
}

impl EncodingVoice {
    /// `None`: no file is to be had.
    async fn file(&self, text: &str, place: usize) -> Result<Option<SpeechStream>, EngineError> {
        let wish = FileWish {
            text: text.to_owned(),
            voice: None,
            model: None,
            format: FileFormat::Mp3,
        };
        let Some(file) = self.tts.encode(&wish).await? else {
            return Ok(None);
        };
        let bytes = Bytes::from(file.collect().await?);
        // A server of one's own may send what it likes.
        if SoundFormat::sniff(&bytes) != Some(SoundFormat::Mp3) {
            return Ok(None);
        }
        let source = Source::bytes(bytes.clone(), Some(SoundFormat::Mp3));
        let Ok(mut decoded) = decode(source).await else {
            return Ok(None);
        };
        self.encoded.put(place, bytes);
        Ok(Some(SpeechStream::whole(Speech {
            samples: std::mem::take(&mut decoded.samples),
            rate_hz: SPEECH_RATE_HZ,
        })))
    }
}

impl Tts for EncodingVoice {
    fn name(&self) -> &str {
        self.tts.name()
    }

    fn synthesize<'a>(
        &'a self,
        text: &'a str,
        language: Option<&'a str>,
    ) -> Call<'a, SpeechStream> {
        Box::pin(async move {
            let place = self.encoded.begin();
            if self.tts.encodes()
                && let Some(stream) = self.file(text, place).await?
            {
                return Ok(stream);
            }
            self.tts.synthesize(text, language).await
        })
    }

    fn voice(&self) -> String {
        self.tts.voice()
    }

    fn next_voice(&self) -> bool {
        self.tts.next_voice()
    }

    fn members(&self) -> Vec<MemberHealth> {
        self.tts.members()
    }
}
