//! Compressed sound from strangers: WAV, MP3, FLAC, Ogg, AAC, MP4 and WebM, whole and in pieces.
//! No panic, no endless work, and no more sound than was allowed.
//!
//! The first byte says how it comes: its low half the size of the pieces, its high half the name it
//! is given. A panic inside of a decoder from elsewhere is caught by the code under test, and is no
//! finding.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use magpie::audio::decode::{DecodeError, Decoder, SoundFormat, speech_of};
use magpie::voice::decode::{DecodeError as DoorError, Source, decode};

const MAX: Duration = Duration::from_secs(5);
const NAMES: [Option<SoundFormat>; 9] = [
    None,
    Some(SoundFormat::Wav),
    Some(SoundFormat::Mp3),
    Some(SoundFormat::Flac),
    Some(SoundFormat::Ogg),
    Some(SoundFormat::Aac),
    Some(SoundFormat::Mp4),
    Some(SoundFormat::WebM),
    Some(SoundFormat::Pcm),
];

fuzz_target!(init: leave_caught_panics_alone(), |data: &[u8]| {
    let Some((way, bytes)) = data.split_first() else {
        return;
    };
    let step = usize::from(way & 0x0F) * 128 + 1;
    let claimed = NAMES[usize::from(way >> 4) % NAMES.len()];
    let whole = speech_of(bytes, claimed, MAX);
    if let Ok(speech) = &whole {
        assert!(speech.len() <= 16_000 * 6);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        match stream(bytes, step, claimed).await {
            Ok(seconds) => assert!(seconds <= 5.1, "{seconds} s"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        // The room's door allows more; what was short enough is the same sound there.
        if let Ok(speech) = whole {
            match decode(Source::bytes(bytes.to_vec(), claimed)).await {
                Ok(decoded) => assert!(decoded.samples == speech),
                // By the time that it took.
                Err(DoorError::Sound(DecodeError::TooMuchWork { .. })) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
});

async fn stream(
    bytes: &[u8],
    step: usize,
    claimed: Option<SoundFormat>,
) -> Result<f64, DecodeError> {
    let mut decoder = Decoder::new(claimed, MAX);
    let mut seconds = 0.0;
    for piece in bytes.chunks(step) {
        decoder.push(piece.to_vec())?;
        while let Some(sound) = decoder.next().await? {
            seconds += sound.duration().as_secs_f64();
        }
    }
    decoder.finish();
    while let Some(sound) = decoder.next().await? {
        seconds += sound.duration().as_secs_f64();
    }
    Ok(seconds)
}

/// The fuzzer's own hook ends the process at every panic.
fn leave_caught_panics_alone() {
    let end = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let file = info.location().map_or("", |location| location.file());
        if !["/symphonia", "/opus-decoder"].iter().any(|name| file.contains(name)) {
            end(info);
        }
    }));
}
