//! The sounds of the box: its own, or the owner's WAV files in their place.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use crate::audio::earcon::EARCON_RATE_HZ;
use crate::audio::{Earcon, wav};
use crate::limits::{EARCON_BYTES_MAX, EARCON_MAX};

/// Samples and their rate.
type Sound = (Vec<i16>, u32);

#[derive(Default)]
pub struct Earcons(HashMap<&'static str, Sound>);

impl Earcons {
    /// A file that cannot be used is told in the log, and the built-in sound stays.
    pub fn of(folder: Option<&Path>) -> Earcons {
        let mut own = HashMap::new();
        for earcon in Earcon::ALL {
            let name = name(earcon);
            let Some(path) = folder.map(|folder| folder.join(name).with_extension("wav")) else {
                continue;
            };
            match read(&path) {
                Ok(Some(sound)) => {
                    own.insert(name, sound);
                }
                Ok(None) => {}
                Err(error) => {
                    log::warn!(
                        "event=earcon_not_usable path={} error=\"{error}\"",
                        path.display()
                    );
                }
            }
        }
        Earcons(own)
    }

    pub fn sound(&self, earcon: Earcon) -> Sound {
        match self.0.get(name(earcon)) {
            Some(sound) => sound.clone(),
            None => (earcon.samples(), EARCON_RATE_HZ),
        }
    }
}

/// Name of its file.
fn name(earcon: Earcon) -> &'static str {
    match earcon {
        Earcon::Listen => "listen",
        Earcon::Done => "done",
        Earcon::Thinking => "thinking",
        Earcon::Error => "error",
        Earcon::Mute => "mute",
        Earcon::Unmute => "unmute",
        Earcon::Offline => "offline",
        Earcon::Saved => "saved",
        Earcon::Timer => "timer",
    }
}

fn read(path: &Path) -> Result<Option<Sound>, String> {
    let size = match std::fs::metadata(path) {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if size > EARCON_BYTES_MAX {
        return Err(format!("more than {EARCON_BYTES_MAX} bytes"));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let sound = wav::decode(&bytes, EARCON_MAX + Duration::from_millis(1))
        .map_err(|error| format!("{error:?}"))?;
    Ok(Some((sound.samples, sound.rate_hz)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owners_file_takes_the_place_of_its_sound_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let own = vec![1_000i16; 800];
        std::fs::write(folder.path().join("timer.wav"), wav::encode(&own, 16_000)).unwrap();
        std::fs::write(folder.path().join("done.wav"), b"no sound").unwrap();
        let long = vec![0i16; 16_000 * 20];
        std::fs::write(folder.path().join("mute.wav"), wav::encode(&long, 16_000)).unwrap();
        let earcons = Earcons::of(Some(folder.path()));
        assert_eq!(earcons.sound(Earcon::Timer), (own, 16_000));
        for built_in in [Earcon::Done, Earcon::Mute, Earcon::Listen] {
            let sound = (built_in.samples(), EARCON_RATE_HZ);
            assert_eq!(earcons.sound(built_in), sound, "{built_in:?}");
        }
    }
}
