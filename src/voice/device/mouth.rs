//! The box's loudspeaker as the way of one answer's sound.

use std::future::ready;
use std::time::Duration;

use super::audio_error;
use crate::audio::Playback;
use crate::voice::port::{Mouth, Work};
use crate::voice::providers::Speech;
use crate::voice::sentence::Sentence;

pub(super) struct DeviceMouth(pub(super) Playback);

impl Mouth for DeviceMouth {
    fn say<'a>(&'a self, _sentence: &'a Sentence, piece: &'a Speech) -> Work<'a, ()> {
        Box::pin(async {
            let written = self.0.write(&piece.samples, piece.rate_hz).await;
            written.map_err(audio_error)
        })
    }

    fn end<'a>(&'a self, _sentence: &'a Sentence) -> Work<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    fn finished(&self) -> Work<'_, ()> {
        Box::pin(async { self.0.finished().await.map_err(audio_error) })
    }

    fn played(&self) -> Duration {
        self.0.played()
    }

    fn stop(&self) {
        self.0.stop();
    }
}
