//! One container opened and its packets decoded one after the other; blocks on its source.

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::default::formats::{
    AdtsReader, FlacReader, IsoMp4Reader, MkvReader, MpaReader, OggReader,
};

use super::opus::Opus;
use super::{CHANNELS_MAX, DecodeError, RATE_HZ_MAX, RATE_HZ_MIN, Sound, SoundFormat};
use crate::limits::{DECODE_EMPTY_PACKETS_MAX, DECODE_WORK_MAX, NOTE_MAX};

pub(super) struct Reader<'s> {
    format: SoundFormat,
    container: Box<dyn FormatReader + 's>,
    track: u32,
    coding: Coding,
    clock: WorkClock,
    max: Duration,
    given: Duration,
    /// Packets in a row that gave no sound.
    empty: u32,
    /// Why the last bad packet was bad.
    complaint: Option<String>,
    interleaved: Vec<i16>,
}

enum Coding {
    Known(Box<dyn AudioDecoder>),
    Opus(Box<Opus>),
}

impl<'s> Reader<'s> {
    /// `opus_rate_hz`: the rate wanted where the coding leaves the choice.
    pub fn open(
        format: SoundFormat,
        source: Box<dyn MediaSource + 's>,
        opus_rate_hz: u32,
        max: Duration,
    ) -> Result<Reader<'s>, DecodeError> {
        let clock = WorkClock::start();
        let source = Box::new(Watched { source, clock });
        let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
        let container =
            open_container(format, stream).map_err(|error| open_error(format, &error))?;
        let Some(track) = container.default_track(TrackType::Audio) else {
            return Err(DecodeError::Unsupported(format!(
                "there is no sound in this {format} file that is understood"
            )));
        };
        let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
            return Err(DecodeError::Unsupported(format!(
                "the coding of the sound in this {format} file is not understood"
            )));
        };
        let coding = open_coding(format, parameters, opus_rate_hz)?;
        Ok(Reader {
            format,
            track: track.id,
            container,
            coding,
            clock,
            max,
            given: Duration::ZERO,
            empty: 0,
            complaint: None,
            interleaved: Vec::new(),
        })
    }

    /// The next samples; `None` at the end. A file that breaks off after some sound ends there.
    pub fn next(&mut self) -> Result<Option<Sound>, DecodeError> {
        loop {
            if self.empty > DECODE_EMPTY_PACKETS_MAX || self.clock.is_over(self.given) {
                return Err(DecodeError::TooMuchWork {
                    format: self.format,
                });
            }
            let packet = match self.container.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return self.end(None),
                Err(Error::IoError(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    return Err(DecodeError::broken(self.format, error));
                }
                // A chain of Ogg streams: what follows is another recording.
                Err(Error::ResetRequired) => return self.end(None),
                Err(error) => return self.end(Some(error.to_string())),
            };
            self.empty += 1;
            if packet.track_id != self.track {
                continue;
            }
            let sound = match self.decode(&packet)? {
                Some(sound) if !sound.samples.is_empty() => sound,
                _ => continue,
            };
            self.empty = 0;
            self.given += Duration::from_secs_f64(
                sound.samples.len() as f64 / f64::from(sound.rate_hz.max(1)),
            );
            if self.given > self.max {
                return Err(DecodeError::TooLong { max: self.max });
            }
            return Ok(Some(sound));
        }
    }

    /// `None` for a packet that is damaged: the next may be whole.
    fn decode(
        &mut self,
        packet: &symphonia::core::packet::Packet,
    ) -> Result<Option<Sound>, DecodeError> {
        match &mut self.coding {
            Coding::Opus(opus) => {
                let rate_hz = opus.rate_hz();
                match opus.decode(&packet.data) {
                    Ok(samples) => Ok(Some(Sound {
                        samples: samples.to_vec(),
                        rate_hz,
                    })),
                    Err(why) => {
                        self.complaint = Some(why);
                        Ok(None)
                    }
                }
            }
            Coding::Known(decoder) => match decoder.decode(packet) {
                Ok(buffer) => mono(&buffer, &mut self.interleaved).map(Some),
                Err(Error::DecodeError(why)) => {
                    self.complaint = Some(why.to_string());
                    Ok(None)
                }
                Err(Error::IoError(error)) => {
                    self.complaint = Some(error.to_string());
                    Ok(None)
                }
                Err(Error::ResetRequired) => Ok(None),
                Err(error) => Err(DecodeError::broken(self.format, error)),
            },
        }
    }

    fn end(&mut self, why: Option<String>) -> Result<Option<Sound>, DecodeError> {
        if !self.given.is_zero() {
            return Ok(None);
        }
        let why = why.or_else(|| self.complaint.take());
        let why = why.unwrap_or_else(|| "there is no sound in it".to_string());
        Err(DecodeError::broken(self.format, why))
    }
}

fn open_container<'s>(
    format: SoundFormat,
    stream: MediaSourceStream<'s>,
) -> Result<Box<dyn FormatReader + 's>, Error> {
    let options = FormatOptions::default();
    Ok(match format {
        SoundFormat::Mp3 => Box::new(MpaReader::try_new(stream, options)?),
        SoundFormat::Flac => Box::new(FlacReader::try_new(stream, options)?),
        SoundFormat::Ogg => Box::new(OggReader::try_new(stream, options)?),
        SoundFormat::Aac => Box::new(AdtsReader::try_new(stream, options)?),
        SoundFormat::Mp4 => Box::new(IsoMp4Reader::try_new(stream, options)?),
        SoundFormat::WebM => Box::new(MkvReader::try_new(stream, options)?),
        SoundFormat::Wav | SoundFormat::Pcm => {
            return Err(Error::Unsupported("plain samples have no packets"));
        }
    })
}

fn open_error(format: SoundFormat, error: &Error) -> DecodeError {
    match error {
        Error::Unsupported(what) => {
            DecodeError::Unsupported(format!("this {format} file is not understood: {what}"))
        }
        other => DecodeError::broken(format, other),
    }
}

fn open_coding(
    format: SoundFormat,
    parameters: &AudioCodecParameters,
    opus_rate_hz: u32,
) -> Result<Coding, DecodeError> {
    let unsupported = |what: &dyn std::fmt::Display| {
        DecodeError::Unsupported(format!(
            "the sound in this {format} file is not understood: {what}"
        ))
    };
    if parameters.codec == CODEC_ID_OPUS {
        let opus = Opus::new(parameters.extra_data.as_deref(), opus_rate_hz);
        let opus = opus.map_err(|error| unsupported(&error))?;
        return Ok(Coding::Opus(Box::new(opus)));
    }
    if let Some(rate_hz) = parameters.sample_rate {
        check_rate(rate_hz)?;
    }
    let options = AudioDecoderOptions::default();
    let decoder = symphonia::default::get_codecs().make_audio_decoder(parameters, &options);
    decoder
        .map(Coding::Known)
        .map_err(|error| unsupported(&error))
}

/// All channels mixed to one.
fn mono(
    buffer: &GenericAudioBufferRef<'_>,
    interleaved: &mut Vec<i16>,
) -> Result<Sound, DecodeError> {
    let rate_hz = buffer.spec().rate();
    let channels = buffer.spec().channels().count();
    if buffer.frames() == 0 {
        return Ok(Sound {
            samples: Vec::new(),
            rate_hz,
        });
    }
    check_rate(rate_hz)?;
    if !(1..=CHANNELS_MAX).contains(&channels) {
        return Err(DecodeError::Unsupported(format!(
            "the sound has {channels} channels; send 1 to {CHANNELS_MAX}"
        )));
    }
    buffer.copy_to_vec_interleaved(interleaved);
    let samples = interleaved
        .chunks_exact(channels)
        .map(|frame| {
            let sum: i32 = frame.iter().map(|sample| i32::from(*sample)).sum();
            (sum / channels as i32) as i16
        })
        .collect();
    Ok(Sound { samples, rate_hz })
}

fn check_rate(rate_hz: u32) -> Result<(), DecodeError> {
    if (RATE_HZ_MIN..=RATE_HZ_MAX).contains(&rate_hz) {
        Ok(())
    } else {
        Err(DecodeError::Unsupported(format!(
            "the sound has {rate_hz} Hz; send {RATE_HZ_MIN} to {RATE_HZ_MAX}"
        )))
    }
}

/// What this thread has worked since; waiting does not count.
#[derive(Clone, Copy)]
struct WorkClock(Duration);

impl WorkClock {
    fn start() -> WorkClock {
        WorkClock(thread_cpu_time())
    }

    /// Whether it took longer than `given` much sound can be worth.
    fn is_over(self, given: Duration) -> bool {
        thread_cpu_time().saturating_sub(self.0) > DECODE_WORK_MAX + given / 2
    }
}

fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock is one that every Linux has, and `time` is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Ends a search through a source that never comes to a packet.
struct Watched<'s> {
    source: Box<dyn MediaSource + 's>,
    clock: WorkClock,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.clock.is_over(NOTE_MAX) {
            return Err(io::Error::other("it does not end"));
        }
        self.source.read(buffer)
    }
}

impl Seek for Watched<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to)
    }
}

impl MediaSource for Watched<'_> {
    fn is_seekable(&self) -> bool {
        self.source.is_seekable()
    }

    fn byte_len(&self) -> Option<u64> {
        self.source.byte_len()
    }
}
