//! Changes the rate of mono sound with a windowed-sinc polyphase filter.
//!
//! Promises: the state is kept across chunks, so chunk borders cannot be heard; the output of a
//! whole signal has exactly `ceil(samples * target / source)` samples and is not shifted in time;
//! memory is bounded by the filter table. It never reads a clock and never blocks.

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side, counted at the lower of the two rates.
const CROSSINGS: f64 = 16.0;
/// Share of the lower rate's bandwidth that passes.
const PASS_BAND: f64 = 0.93;
/// Kaiser window; about 80 dB of stop band.
const KAISER_BETA: f64 = 8.0;
/// Rows of the table; a ratio with more phases interpolates between two rows.
const ROWS_MAX: usize = 512;

/// Rates that a card or a file may have.
pub const RATE_HZ_MIN: u32 = 4_000;
pub const RATE_HZ_MAX: u32 = 384_000;

pub struct Resampler {
    /// `target / source` in lowest terms.
    up: usize,
    down: usize,
    taps: usize,
    rows: usize,
    /// `rows + 1` rows of `taps` weights.
    table: Vec<f32>,
    /// Samples that later outputs still need; the first belongs to input time `base`.
    window: Vec<f32>,
    /// Phase of the next output within its input sample, in units of `1 / up`.
    phase: usize,
    taken: u64,
    given: u64,
}

impl Resampler {
    /// Rates are brought into [`RATE_HZ_MIN`]..=[`RATE_HZ_MAX`].
    pub fn new(source_hz: u32, target_hz: u32) -> Resampler {
        let source = source_hz.clamp(RATE_HZ_MIN, RATE_HZ_MAX) as usize;
        let target = target_hz.clamp(RATE_HZ_MIN, RATE_HZ_MAX) as usize;
        let divisor = greatest_common_divisor(source, target);
        let (up, down) = (target / divisor, source / divisor);
        let lower = (up as f64 / down as f64).min(1.0);
        let half = (CROSSINGS / lower).ceil() as usize;
        let rows = up.min(ROWS_MAX);
        Resampler {
            up,
            down,
            taps: 2 * half,
            rows,
            table: table(rows, half, lower * PASS_BAND),
            window: vec![0.0; half - 1],
            phase: 0,
            taken: 0,
            given: 0,
        }
    }

    /// Appends to `out` what `input` makes certain; the last few samples stay inside for the next call.
    pub fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        self.taken += input.len() as u64;
        if self.up == self.down {
            self.given = self.taken;
            out.extend_from_slice(input);
            return;
        }
        self.window
            .extend(input.iter().map(|sample| f32::from(*sample)));
        self.run(u64::MAX, out);
    }

    /// Ends the signal: appends the samples held back. The resampler is as new afterwards.
    pub fn finish(&mut self, out: &mut Vec<i16>) {
        if self.up != self.down {
            let whole = (self.taken * self.up as u64).div_ceil(self.down as u64);
            self.window.resize(self.window.len() + self.taps, 0.0);
            self.run(whole, out);
        }
        self.window.clear();
        self.window.resize(self.taps / 2 - 1, 0.0);
        (self.phase, self.taken, self.given) = (0, 0, 0);
    }

    fn run(&mut self, whole: u64, out: &mut Vec<i16>) {
        let mut at = 0;
        while at + self.taps <= self.window.len() && self.given < whole {
            let value = self.output(&self.window[at..at + self.taps]);
            out.push(value.round().clamp(-32_768.0, 32_767.0) as i16);
            self.given += 1;
            self.phase += self.down;
            at += self.phase / self.up;
            self.phase %= self.up;
        }
        // A step of more than the window's rest leaves some of the input still to be skipped.
        let used = at.min(self.window.len());
        self.window.drain(..used);
        debug_assert_eq!(used, at, "a step is shorter than the filter");
    }

    fn output(&self, window: &[f32]) -> f32 {
        let row = |index: usize| {
            let weights = &self.table[index * self.taps..(index + 1) * self.taps];
            weights.iter().zip(window).map(|(w, x)| w * x).sum::<f32>()
        };
        if self.rows == self.up {
            return row(self.phase);
        }
        let place = self.phase as f64 * self.rows as f64 / self.up as f64;
        let low = place as usize;
        let part = (place - low as f64) as f32;
        row(low) * (1.0 - part) + row(low + 1) * part
    }
}

/// A whole signal at once.
pub fn resample(samples: &[i16], source_hz: u32, target_hz: u32) -> Vec<i16> {
    let mut resampler = Resampler::new(source_hz, target_hz);
    let mut out = Vec::new();
    resampler.process(samples, &mut out);
    resampler.finish(&mut out);
    out
}

/// Row `r` holds the weights of an output that lies `r / rows` of a sample after the window's middle.
fn table(rows: usize, half: usize, cutoff: f64) -> Vec<f32> {
    let mut table = Vec::with_capacity((rows + 1) * 2 * half);
    for row in 0..=rows {
        let shift = row as f64 / rows as f64;
        let weights: Vec<f64> = (0..2 * half)
            .map(|tap| {
                let distance = tap as f64 - (half as f64 - 1.0) - shift;
                cutoff * sinc(cutoff * distance) * kaiser(distance / half as f64)
            })
            .collect();
        // Each phase passes a constant unchanged: no ripple at the source's rate.
        let sum: f64 = weights.iter().sum();
        table.extend(weights.iter().map(|weight| (weight / sum) as f32));
    }
    table
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// `x` in -1..=1 over the window.
fn kaiser(x: f64) -> f64 {
    if x.abs() >= 1.0 {
        return 0.0;
    }
    bessel_i0(KAISER_BETA * (1.0 - x * x).sqrt()) / bessel_i0(KAISER_BETA)
}

fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
#[path = "resample_tests.rs"]
mod tests;
