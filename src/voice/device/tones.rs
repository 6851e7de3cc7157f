//! The box's small sounds, played beside whatever goes on.

use std::rc::Rc;
use std::time::Duration;

use super::ear::Mask;
use crate::audio::{Audio, Earcon};
use crate::limits::{THINKING_EACH, THINKING_FIRST};
use crate::voice::earcons::Earcons;

/// What the card still has to play when it has taken all: its two periods, and one of the microphone.
const CARD_QUEUE: Duration = Duration::from_millis(60);

/// Ticks softly while somebody waits; ends when dropped.
pub(super) struct Thinking(tokio::task::JoinHandle<()>);

impl Thinking {
    pub(super) fn start(audio: &Audio, earcons: &Rc<Earcons>) -> Thinking {
        let (audio, earcons) = (audio.clone(), Rc::clone(earcons));
        Thinking(tokio::task::spawn_local(async move {
            tokio::time::sleep(THINKING_FIRST).await;
            loop {
                play_earcon(&audio, &earcons, Earcon::Thinking, None);
                tokio::time::sleep(THINKING_EACH).await;
            }
        }))
    }
}

impl Drop for Thinking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// `mask` knows while it sounds.
pub(super) fn play_earcon(
    audio: &Audio,
    earcons: &Earcons,
    earcon: Earcon,
    mask: Option<Rc<Mask>>,
) {
    let Ok(playback) = audio.play() else {
        return;
    };
    let (samples, rate_hz) = earcons.sound(earcon);
    tokio::task::spawn_local(async move {
        let sound = async {
            // From its first sample on, which sounds before the last one is handed over.
            let _sounds = mask.as_ref().map(|mask| mask.raise());
            playback.write(&samples, rate_hz).await?;
            let played = playback.finished().await;
            if mask.is_some() {
                tokio::time::sleep(CARD_QUEUE).await;
            }
            played
        };
        // Without a speaker there is nobody to tell; its state is in the status already.
        let _ = tokio::time::timeout(Duration::from_secs(3), sound).await;
    });
}
