//! The sound check: plays a tone and listens meanwhile, for people who ask whether sound works.

use std::time::Duration;

use super::earcon::{EARCON_RATE_HZ, test_tone};
use super::level::{dbfs_of_power, mean_power};
use super::{Audio, AudioError, Capture};

const TONE_HZ: f32 = 440.0;
const TONE: Duration = Duration::from_secs(1);
/// Frames listened to before the tone: about a third of a second.
const QUIET_FRAMES: u32 = 20;

#[derive(Debug, Clone, PartialEq)]
pub struct SoundCheck {
    /// Whether the tone was played.
    pub speaker: Result<(), AudioError>,
    pub microphone: Result<Levels, AudioError>,
}

/// What the microphone heard, in dBFS. A tone well above the quiet means that both work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    pub quiet_dbfs: f32,
    pub tone_dbfs: f32,
}

impl Audio {
    /// Takes about a second and a half. Either half may fail alone.
    pub async fn check(&self) -> SoundCheck {
        match self.capture().await {
            Ok(capture) => self.check_both(capture).await,
            Err(error) => SoundCheck {
                speaker: self.play_tone().await,
                microphone: Err(error),
            },
        }
    }

    async fn check_both(&self, mut capture: Capture) -> SoundCheck {
        let quiet = hear(&mut capture, QUIET_FRAMES).await;
        let mut power = 0.0;
        let mut frames = 0;
        let tone = self.play_tone();
        tokio::pin!(tone);
        let (speaker, lost) = loop {
            tokio::select! {
                speaker = &mut tone => break (speaker, None),
                frame = capture.frame() => match frame {
                    Ok(frame) => {
                        power += mean_power(&frame);
                        frames += 1;
                    }
                    Err(error) => break (tone.await, Some(error)),
                },
            }
        };
        let microphone = match (quiet, lost) {
            (Err(error), _) | (_, Some(error)) => Err(error),
            (Ok(quiet_dbfs), None) => Ok(Levels {
                quiet_dbfs,
                tone_dbfs: dbfs_of_power(power / frames.max(1) as f32),
            }),
        };
        SoundCheck {
            speaker,
            microphone,
        }
    }

    async fn play_tone(&self) -> Result<(), AudioError> {
        let playback = self.play()?;
        playback
            .write(&test_tone(TONE_HZ, TONE), EARCON_RATE_HZ)
            .await?;
        playback.finished().await
    }
}

async fn hear(capture: &mut Capture, frames: u32) -> Result<f32, AudioError> {
    let mut power = 0.0;
    for _ in 0..frames {
        power += mean_power(&capture.frame().await?);
    }
    Ok(dbfs_of_power(power / frames as f32))
}
