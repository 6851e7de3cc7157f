//! Compressed sound from strangers: WAV, MP3, FLAC, Ogg, AAC, MP4 and WebM, whole and in pieces.
//! No panic, no endless work, and no more sound than was allowed.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use magpie::audio::decode::{Decoder, SoundFormat, speech_of};

const MAX: Duration = Duration::from_secs(5);

fuzz_target!(|data: &[u8]| {
    let Some((step, bytes)) = data.split_first() else {
        return;
    };
    let claimed = (step & 0x80 != 0).then_some(SoundFormat::Pcm);
    let whole = speech_of(bytes, claimed, MAX);
    if let Ok(speech) = &whole {
        assert!(speech.len() <= 16_000 * 6);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let streamed = runtime.block_on(async {
        let mut decoder = Decoder::new(claimed, MAX);
        let mut seconds = 0.0;
        for piece in bytes.chunks(usize::from(step & 0x7F) * 16 + 1) {
            decoder.push(piece.to_vec())?;
            while let Some(sound) = decoder.next().await? {
                seconds += sound.duration().as_secs_f64();
            }
        }
        decoder.finish();
        while let Some(sound) = decoder.next().await? {
            seconds += sound.duration().as_secs_f64();
        }
        Ok::<_, magpie::audio::decode::DecodeError>(seconds)
    });
    if let Ok(seconds) = streamed {
        assert!(seconds <= 5.1);
    }
});
