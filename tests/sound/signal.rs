//! Signals to send and the measures to compare what came back.

use std::f64::consts::PI;

/// A sine that rises from 100 Hz to `top_hz`: unlike a single tone it fits only at one place.
pub fn sweep(rate_hz: u32, top_hz: f64, seconds: f64) -> Vec<i16> {
    let count = (f64::from(rate_hz) * seconds) as usize;
    (0..count)
        .map(|at| {
            let t = at as f64 / f64::from(rate_hz);
            let phase = 2.0 * PI * (100.0 * t + (top_hz - 100.0) * t * t / (2.0 * seconds));
            // Fades in and out over 10 ms, so that it ends without a click.
            let edge = (t.min(seconds - t) / 0.01).min(1.0);
            (phase.sin() * 12_000.0 * edge) as i16
        })
        .collect()
}

/// The best correlation of `part` anywhere in `whole`, and where it begins there. Loudness by 5 ms
/// tells a few places, the samples themselves decide between them.
pub fn find(part: &[i16], whole: &[i16]) -> (f64, usize) {
    const BLOCK: usize = 240;
    if part.is_empty() || whole.len() < part.len() {
        return (0.0, 0);
    }
    let last = whole.len() - part.len();
    let (shape, shapes) = (envelope(part, BLOCK), envelope(whole, BLOCK));
    let mut places: Vec<(f64, usize)> = (0..=last / BLOCK)
        .map(|block| (correlation(&shape, &shapes[block..], 1), block * BLOCK))
        .collect();
    places.sort_by(|a, b| b.0.total_cmp(&a.0));
    let near = |at: usize, reach: usize| at.saturating_sub(reach)..=(at + reach).min(last);
    let rough = places
        .iter()
        .take(3)
        .flat_map(|(_, at)| near(*at, BLOCK).step_by(2))
        .map(|at| (correlation(part, &whole[at..], 64), at))
        .fold((f64::MIN, 0), better);
    near(rough.1, 4)
        .map(|at| (correlation(part, &whole[at..], 1), at))
        .fold((f64::MIN, 0), better)
}

fn better(best: (f64, usize), next: (f64, usize)) -> (f64, usize) {
    if next.0 > best.0 { next } else { best }
}

fn envelope(samples: &[i16], block: usize) -> Vec<i16> {
    let mean = |block: &[i16]| {
        let sum: u64 = block.iter().map(|s| u64::from(s.unsigned_abs())).sum();
        (sum / block.len() as u64) as i16
    };
    samples.chunks(block).map(mean).collect()
}

/// Pearson's correlation of every `step`th sample.
pub fn correlation(a: &[i16], b: &[i16], step: usize) -> f64 {
    let (mut aa, mut bb, mut ab) = (0i64, 0i64, 0i64);
    for (x, y) in a.iter().zip(b).step_by(step) {
        let (x, y) = (i64::from(*x), i64::from(*y));
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    if aa == 0 || bb == 0 {
        return 0.0;
    }
    ab as f64 / ((aa as f64).sqrt() * (bb as f64).sqrt())
}
