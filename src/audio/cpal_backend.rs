//! The sound system through cpal, with rate, format, channels and period chosen here and never by
//! the library.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, Device, ErrorKind, Host, SampleFormat, StreamConfig, SupportedBufferSize,
    SupportedStreamConfigRange,
};

use super::backend::{Backend, Direction, OpenStream};
use super::stream::{CardSample, InputSink, Loss, OutputSource, StreamShared};
use super::{AudioError, DeviceInfo, SPEECH_RATE_HZ, alsa_config};

/// Rates to play at, best first.
const PLAY_RATES_HZ: [u32; 3] = [48_000, 44_100, 16_000];
/// Sample formats that the callbacks convert, best first.
const FORMATS: [SampleFormat; 3] = [SampleFormat::I16, SampleFormat::I32, SampleFormat::F32];
const CHANNELS_MAX: u16 = 8;
/// Lets the library look after a card that vanished without an event.
const POLL_LIMIT: Duration = Duration::from_millis(500);

/// libasound reads and frees one configuration for the whole process, and not all of that is safe
/// from several threads; cpal itself frees it with its last stream. One thread at a time is inside.
static ALSA: Mutex<()> = Mutex::new(());

fn alsa_alone() -> MutexGuard<'static, ()> {
    ALSA.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds nothing between calls: a fresh view of the sound system finds cards plugged in meanwhile.
pub(super) struct Cpal;

/// What is asked of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Agreed {
    rate_hz: u32,
    channels: u16,
    format: SampleFormat,
    /// `None`: the period that the card has.
    period_frames: Option<u32>,
}

impl Backend for Cpal {
    fn check(&mut self, direction: Direction, device: &str) -> Result<Option<String>, AudioError> {
        let _alone = alsa_alone();
        alsa_config::hush();
        let warning = alsa_config::judge(direction, device)?;
        let found = find(direction, device)?;
        ranges(direction, &found).map_err(|error| explain(direction, device, &error))?;
        Ok(warning)
    }

    fn open_input(
        &mut self,
        device: &str,
        period: Duration,
        make: &mut dyn FnMut(u32) -> InputSink,
    ) -> Result<OpenStream, AudioError> {
        let _alone = alsa_alone();
        let (found, agreed) = agree(Direction::Input, device, period)?;
        let (agreed, stream) = with_some_period(agreed, |agreed| {
            let sink = make(agreed.rate_hz);
            match agreed.format {
                SampleFormat::I32 => input_stream::<i32>(&found, agreed, sink),
                SampleFormat::F32 => input_stream::<f32>(&found, agreed, sink),
                _ => input_stream::<i16>(&found, agreed, sink),
            }
        });
        start(Direction::Input, device, agreed, stream)
    }

    fn open_output(
        &mut self,
        device: &str,
        period: Duration,
        make: &mut dyn FnMut(u32) -> OutputSource,
    ) -> Result<OpenStream, AudioError> {
        let _alone = alsa_alone();
        let (found, agreed) = agree(Direction::Output, device, period)?;
        let (agreed, stream) = with_some_period(agreed, |agreed| {
            let source = make(agreed.rate_hz);
            match agreed.format {
                SampleFormat::I32 => output_stream::<i32>(&found, agreed, source),
                SampleFormat::F32 => output_stream::<f32>(&found, agreed, source),
                _ => output_stream::<i16>(&found, agreed, source),
            }
        });
        start(Direction::Output, device, agreed, stream)
    }

    fn devices(&mut self) -> Vec<DeviceInfo> {
        let _alone = alsa_alone();
        alsa_config::hush();
        let Ok(host) = host(Direction::Output) else {
            return Vec::new();
        };
        let Ok(devices) = host.devices() else {
            return Vec::new();
        };
        devices.filter_map(|device| describe(&device)).collect()
    }
}

fn describe(device: &Device) -> Option<DeviceInfo> {
    let name = device.id().ok()?.id().to_string();
    let description = device.description().ok()?;
    Some(DeviceInfo {
        kind: alsa_config::kind(&name).unwrap_or_default(),
        description: description.name().to_string(),
        input: device.supports_input(),
        output: device.supports_output(),
        name,
    })
}

fn host(direction: Direction) -> Result<Host, AudioError> {
    cpal::host_from_id(cpal::HostId::Alsa).map_err(|error| {
        AudioError::Unavailable(format!(
            "no sound system for the {}: {error}; install ALSA or set {} to off",
            direction.name(),
            direction.setting()
        ))
    })
}

fn find(direction: Direction, name: &str) -> Result<Device, AudioError> {
    let host = host(direction)?;
    let device = match (name, direction) {
        ("default", Direction::Input) => host.default_input_device(),
        ("default", Direction::Output) => host.default_output_device(),
        _ => host.device_by_id(&cpal::DeviceId::new(cpal::HostId::Alsa, name)),
    };
    device.ok_or_else(|| {
        AudioError::Unavailable(format!(
            "there is no {} {name:?}; plug it in, or set {} to a name that `magpie devices` lists \
             (a device of your own in asoundrc needs `hint {{ show on }}`)",
            direction.name(),
            direction.setting()
        ))
    })
}

fn ranges(
    direction: Direction,
    device: &Device,
) -> Result<Vec<SupportedStreamConfigRange>, cpal::Error> {
    Ok(match direction {
        Direction::Input => device.supported_input_configs()?.collect(),
        Direction::Output => device.supported_output_configs()?.collect(),
    })
}

fn agree(
    direction: Direction,
    name: &str,
    period: Duration,
) -> Result<(Device, Agreed), AudioError> {
    let device = find(direction, name)?;
    let ranges = ranges(direction, &device).map_err(|error| explain(direction, name, &error))?;
    let agreed = choose(direction, &ranges, period).ok_or_else(|| {
        AudioError::Refused(format!(
            "the {} {name:?} offers no 16 or 32 bit format with up to {CHANNELS_MAX} channels; set {} to plug{name} or another device",
            direction.name(),
            direction.setting()
        ))
    })?;
    Ok((device, agreed))
}

/// The best of what a card offers: rate first, then format, then fewest channels.
fn choose(
    direction: Direction,
    ranges: &[SupportedStreamConfigRange],
    period: Duration,
) -> Option<Agreed> {
    let mut best: Option<((u32, usize, u16), Agreed)> = None;
    for range in ranges {
        let channels = range.channels();
        let format = FORMATS.iter().position(|f| *f == range.sample_format());
        let (Some(format), 1..=CHANNELS_MAX) = (format, channels) else {
            continue;
        };
        let rate_hz = nearest_rate(direction, range.min_sample_rate(), range.max_sample_rate());
        let cost = (rate_cost(direction, rate_hz), format, channels);
        if best.as_ref().is_some_and(|(least, _)| *least <= cost) {
            continue;
        }
        let frames = (u64::from(rate_hz) * period.as_millis() as u64 / 1000) as u32;
        let period_frames = match range.buffer_size() {
            SupportedBufferSize::Range { min, max } => frames.clamp(*min, (*max).max(*min)),
            SupportedBufferSize::Unknown => frames,
        };
        let agreed = Agreed {
            rate_hz,
            channels,
            format: FORMATS[format],
            period_frames: Some(period_frames),
        };
        best = Some((cost, agreed));
    }
    best.map(|(_, agreed)| agreed)
}

/// A card that several programs share (dmix, dsnoop) has one period, and tells which only for a
/// rate that is fixed already: 341 frames at 16 kHz of its 1024 at 48. It keeps that one.
fn with_some_period(
    agreed: Agreed,
    mut build: impl FnMut(Agreed) -> Result<cpal::Stream, cpal::Error>,
) -> (Agreed, Result<cpal::Stream, cpal::Error>) {
    match build(agreed) {
        Err(error) if error.kind() == ErrorKind::UnsupportedConfig => {
            let of_the_card = Agreed {
                period_frames: None,
                ..agreed
            };
            (of_the_card, build(of_the_card))
        }
        built => (agreed, built),
    }
}

fn nearest_rate(direction: Direction, min: u32, max: u32) -> u32 {
    let (wanted, others): (u32, &[u32]) = match direction {
        Direction::Input => (SPEECH_RATE_HZ, &[48_000, 32_000]),
        Direction::Output => (PLAY_RATES_HZ[0], &PLAY_RATES_HZ[1..]),
    };
    let fits = |rate: &&u32| (min..=max).contains(*rate);
    std::iter::once(&wanted)
        .chain(others)
        .find(fits)
        .copied()
        .unwrap_or_else(|| wanted.clamp(min, max))
}

/// Zero is best. A rate below the wanted one loses sound, so it costs more than any above it.
fn rate_cost(direction: Direction, rate_hz: u32) -> u32 {
    let preferred: &[u32] = match direction {
        Direction::Input => &[SPEECH_RATE_HZ, 48_000, 32_000],
        Direction::Output => &PLAY_RATES_HZ,
    };
    if let Some(place) = preferred.iter().position(|rate| *rate == rate_hz) {
        return place as u32;
    }
    match rate_hz.checked_sub(preferred[0]) {
        Some(above) => 10 + above,
        None => 10_000_000 + (preferred[0] - rate_hz),
    }
}

impl Agreed {
    fn config(self) -> StreamConfig {
        StreamConfig {
            channels: self.channels,
            sample_rate: self.rate_hz,
            buffer_size: self
                .period_frames
                .map_or(BufferSize::Default, BufferSize::Fixed),
        }
    }
}

fn input_stream<T: CardSample + cpal::SizedSample>(
    device: &Device,
    agreed: Agreed,
    mut sink: InputSink,
) -> Result<cpal::Stream, cpal::Error> {
    let shared = sink.shared();
    let channels = usize::from(agreed.channels);
    device.build_input_stream(
        agreed.config(),
        move |samples: &[T], _: &cpal::InputCallbackInfo| sink.push(samples, channels),
        move |error| note(&shared, &error),
        Some(POLL_LIMIT),
    )
}

fn output_stream<T: CardSample + cpal::SizedSample>(
    device: &Device,
    agreed: Agreed,
    mut source: OutputSource,
) -> Result<cpal::Stream, cpal::Error> {
    let shared = source.shared();
    let channels = usize::from(agreed.channels);
    device.build_output_stream(
        agreed.config(),
        move |samples: &mut [T], _: &cpal::OutputCallbackInfo| source.fill(samples, channels),
        move |error| note(&shared, &error),
        Some(POLL_LIMIT),
    )
}

/// Runs on the callback's thread.
fn note(shared: &Arc<StreamShared>, error: &cpal::Error) {
    match error.kind() {
        ErrorKind::Xrun => shared.xrun(),
        ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable => shared.lost(Loss::Gone),
        ErrorKind::StreamInvalidated => shared.lost(Loss::Invalid),
        // The stream goes on: rerouted, or without real-time priority.
        ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {}
        _ => shared.error(),
    }
}

fn start(
    direction: Direction,
    device: &str,
    agreed: Agreed,
    stream: Result<cpal::Stream, cpal::Error>,
) -> Result<OpenStream, AudioError> {
    let stream = stream
        .and_then(|stream| stream.play().map(|()| stream))
        .map_err(|error| explain(direction, device, &error))?;
    Ok(OpenStream {
        rate_hz: agreed.rate_hz,
        agreed: format!(
            "rate_hz={} channels={} format={} period_frames={}",
            agreed.rate_hz,
            agreed.channels,
            agreed.format,
            agreed
                .period_frames
                .map_or_else(|| String::from("of_the_card"), |frames| frames.to_string())
        ),
        _stream: Box::new(Closing(Some(stream))),
    })
}

/// A stream that is closed while nobody else is inside libasound.
struct Closing(Option<cpal::Stream>);

impl Drop for Closing {
    fn drop(&mut self) {
        let _alone = alsa_alone();
        self.0 = None;
    }
}

fn explain(direction: Direction, device: &str, error: &cpal::Error) -> AudioError {
    let name = direction.name();
    let setting = direction.setting();
    match error.kind() {
        ErrorKind::DeviceBusy => AudioError::Busy(format!(
            "the {name} {device:?} is in use by another program; close that, it is tried again"
        )),
        ErrorKind::PermissionDenied => AudioError::Refused(format!(
            "no permission for the {name} {device:?}; add this user to the group audio"
        )),
        ErrorKind::UnsupportedConfig
        | ErrorKind::UnsupportedOperation
        | ErrorKind::InvalidInput => AudioError::Refused(format!(
            "the {name} {device:?} cannot be used as one ({error}); set {setting} to another device"
        )),
        _ => AudioError::Unavailable(format!(
            "the {name} {device:?} cannot be opened ({}); plug it in, it is tried again, or set {setting} to off",
            error.to_string().trim_end_matches('.')
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A card's offer: channels, lowest and highest rate, format.
    type Offer = (u16, u32, u32, SampleFormat);

    type Chosen = Option<(u32, u16, SampleFormat)>;

    fn chosen(direction: Direction, offers: &[Offer]) -> Chosen {
        let ranges: Vec<SupportedStreamConfigRange> = offers
            .iter()
            .map(|(channels, min, max, format)| {
                let buffer = SupportedBufferSize::Range {
                    min: 64,
                    max: 8_192,
                };
                SupportedStreamConfigRange::new(*channels, *min, *max, buffer, *format)
            })
            .collect();
        let agreed = choose(direction, &ranges, Duration::from_millis(20))?;
        Some((agreed.rate_hz, agreed.channels, agreed.format))
    }

    #[test]
    fn a_microphone_is_asked_for_16_khz_mono_or_what_is_nearest() {
        use SampleFormat::{F32, I16, I32, U8};
        let cases: [(&[Offer], Chosen); 8] = [
            (
                &[(1, 4_000, u32::MAX, I16), (1, 4_000, u32::MAX, F32)],
                Some((16_000, 1, I16)),
            ),
            (
                &[(2, 48_000, 48_000, I16), (2, 44_100, 44_100, I16)],
                Some((48_000, 2, I16)),
            ),
            (
                &[(1, 44_100, 44_100, I16), (1, 96_000, 96_000, I16)],
                Some((44_100, 1, I16)),
            ),
            (
                &[(1, 8_000, 8_000, I16), (1, 22_050, 22_050, I16)],
                Some((22_050, 1, I16)),
            ),
            (&[(1, 8_000, 8_000, I16)], Some((8_000, 1, I16))),
            (
                &[(4, 16_000, 16_000, I32), (2, 16_000, 16_000, I32)],
                Some((16_000, 2, I32)),
            ),
            (&[(1, 16_000, 16_000, U8)], None),
            (&[(32, 48_000, 48_000, I16)], None),
        ];
        for (offers, wanted) in cases {
            assert_eq!(chosen(Direction::Input, offers), wanted, "{offers:?}");
        }
    }

    #[test]
    fn a_speaker_is_asked_for_48_then_44_then_16_khz() {
        use SampleFormat::{F32, I16};
        let cases: [(&[Offer], u32); 4] = [
            (&[(2, 8_000, 192_000, I16)], 48_000),
            (
                &[(2, 44_100, 44_100, I16), (2, 16_000, 16_000, I16)],
                44_100,
            ),
            (
                &[(2, 16_000, 16_000, I16), (2, 32_000, 32_000, I16)],
                16_000,
            ),
            (&[(2, 96_000, 192_000, F32)], 96_000),
        ];
        for (offers, rate_hz) in cases {
            let got = chosen(Direction::Output, offers).map(|(rate_hz, ..)| rate_hz);
            assert_eq!(got, Some(rate_hz), "{offers:?}");
        }
    }

    #[test]
    fn a_period_is_brought_into_what_the_card_can_do() {
        let buffer = SupportedBufferSize::Range { min: 64, max: 512 };
        let range = SupportedStreamConfigRange::new(1, 48_000, 48_000, buffer, SampleFormat::I16);
        let period = Duration::from_millis(20);
        let agreed = choose(Direction::Output, &[range], period).map(|agreed| agreed.period_frames);
        assert_eq!(agreed, Some(Some(512)), "20 ms would be 960 frames");
    }
}
