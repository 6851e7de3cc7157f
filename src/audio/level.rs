//! How loud sound is, in decibels under full scale.

/// What silence counts as.
pub const FLOOR_DBFS: f32 = -96.0;

/// Root mean square in dBFS: 0 is a full-scale square wave, a full-scale sine is -3.
pub fn rms_dbfs(samples: &[i16]) -> f32 {
    dbfs_of_power(mean_power(samples))
}

/// Mean of the squares, full scale being 1.
pub fn mean_power(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    let sum: u64 = samples
        .iter()
        .map(|sample| u64::from(sample.unsigned_abs()).pow(2))
        .sum();
    (sum as f64 / samples.len() as f64 / 32_768f64.powi(2)) as f32
}

pub fn dbfs_of_power(power: f32) -> f32 {
    (10.0 * power.max(1e-12).log10()).max(FLOOR_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_scale_is_zero_and_silence_is_the_floor() {
        assert!(rms_dbfs(&[i16::MIN; 256]).abs() < 0.001);
        assert_eq!(rms_dbfs(&[0; 256]), FLOOR_DBFS);
        assert_eq!(rms_dbfs(&[]), FLOOR_DBFS);
    }

    #[test]
    fn half_the_amplitude_is_six_decibels_less() {
        let difference = rms_dbfs(&[8_000; 64]) - rms_dbfs(&[4_000; 64]);
        assert!((difference - 6.02).abs() < 0.01, "{difference}");
    }
}
