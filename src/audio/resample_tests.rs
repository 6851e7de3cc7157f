//! What a tone, a sweep of lengths and any cutting into chunks must survive.

use proptest::prelude::*;

use super::*;

const RATES_HZ: [u32; 9] = [
    8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000,
];

fn sine(hz: f64, rate_hz: u32, seconds: f64) -> Vec<i16> {
    let count = (f64::from(rate_hz) * seconds) as usize;
    (0..count)
        .map(|at| ((2.0 * PI * hz * at as f64 / f64::from(rate_hz)).sin() * 16_000.0) as i16)
        .collect()
}

/// Error power against signal power, in decibels, without the edges where the filter sees silence.
fn error_db(got: &[i16], wanted: &[i16]) -> f64 {
    let edge = wanted.len() / 10;
    let inner = edge..wanted.len() - edge;
    let power = |x: f64| x * x;
    let error: f64 = inner
        .clone()
        .map(|at| power(f64::from(got[at]) - f64::from(wanted[at])))
        .sum();
    let signal: f64 = inner.map(|at| power(f64::from(wanted[at]))).sum();
    10.0 * (error / signal).log10()
}

#[test]
fn a_tone_keeps_pitch_phase_and_loudness_between_all_usual_rates() {
    for source in RATES_HZ {
        for target in RATES_HZ {
            let got = resample(&sine(700.0, source, 0.4), source, target);
            let wanted = sine(700.0, target, 0.4);
            assert!(got.len() == wanted.len(), "{source} {target}");
            let error = error_db(&got, &wanted);
            assert!(error < -60.0, "{source} to {target}: {error:.1} dB");
        }
    }
}

#[test]
fn a_tone_keeps_its_place_at_a_rate_that_has_too_many_phases_for_the_table() {
    let got = resample(&sine(1_000.0, 44_099, 0.5), 44_099, 47_999);
    let wanted = sine(1_000.0, 47_999, 0.5);
    let length = got.len().min(wanted.len());
    let error = error_db(&got[..length], &wanted[..length]);
    assert!(error < -55.0, "{error:.1} dB");
}

#[test]
fn what_the_lower_rate_cannot_hold_is_taken_away_and_not_folded_back() {
    for (hz, source) in [(9_000.0, 48_000), (12_000.0, 44_100), (20_000.0, 48_000)] {
        let got = resample(&sine(hz, source, 0.5), source, 16_000);
        let loudest = got[800..got.len() - 800].iter().map(|s| s.abs()).max();
        assert!(
            loudest < Some(20),
            "{hz} Hz at {source} left {loudest:?} of 16000"
        );
    }
}

#[test]
fn full_scale_noise_is_clipped_and_does_not_wrap() {
    let square: Vec<i16> = (0..4_800)
        .map(|at| if at / 40 % 2 == 0 { i16::MAX } else { i16::MIN })
        .collect();
    let got = resample(&square, 48_000, 44_100);
    // A wrapped overshoot would make a negative sample in the middle of a positive half wave.
    let half = (20.0 * 44_100.0 / 48_000.0) as usize;
    assert!(got[half] > 30_000, "{}", got[half]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_length_is_the_ratio_rounded_up(
        length in 0usize..3_000,
        source in prop::sample::select(&RATES_HZ[..]),
        target in 4_000u32..100_000,
    ) {
        let got = resample(&vec![1_000; length], source, target);
        let wanted = (length as u64 * u64::from(target)).div_ceil(u64::from(source));
        prop_assert_eq!(got.len() as u64, wanted);
    }

    #[test]
    fn borders_between_chunks_leave_no_trace(
        samples in prop::collection::vec(any::<i16>(), 0..2_000),
        cuts in prop::collection::vec(0usize..2_000, 0..12),
        source in prop::sample::select(&RATES_HZ[..]),
        target in prop::sample::select(&RATES_HZ[..]),
    ) {
        let whole = resample(&samples, source, target);
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= samples.len()).collect();
        cuts.sort_unstable();
        let mut resampler = Resampler::new(source, target);
        let (mut pieces, mut from) = (Vec::new(), 0);
        for cut in cuts {
            resampler.process(&samples[from..cut], &mut pieces);
            from = cut;
        }
        resampler.process(&samples[from..], &mut pieces);
        resampler.finish(&mut pieces);
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn a_finished_resampler_is_as_new(samples in prop::collection::vec(any::<i16>(), 1..500)) {
        let mut resampler = Resampler::new(44_100, 16_000);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        resampler.process(&samples, &mut first);
        resampler.finish(&mut first);
        resampler.process(&samples, &mut second);
        resampler.finish(&mut second);
        prop_assert_eq!(first, second);
    }
}
