//! Medians, their intervals and normal tails: what the statistics behind verdicts and charts share.

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal};

/// Added to a level before something is compared with it: 1 − 0.9 is a little less than 0.1.
const ROUNDING: f64 = 1e-12;

/// The middle value; between two middle values, their mean. `values` is not empty.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// An interval for the median of what the values were drawn from, with at least this confidence; `None` where so few
/// values cannot give one.
///
/// Two order statistics, by the sign test (Dixon and Mood, "The statistical sign test", 1946). It asks nothing of the
/// distribution, not even symmetry, so that it suits absolute figures.
pub fn median_interval(values: &[f64], confidence: f64) -> Option<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let heads = Binomial::new(0.5, sorted.len() as u64).ok()?;
    let tail = (1.0 - confidence) / 2.0 + ROUNDING;
    let allowed = (0..sorted.len() / 2).take_while(|cut| heads.cdf(*cut as u64) <= tail);
    let cut = allowed.last()?;
    Some((sorted[cut], sorted[sorted.len() - 1 - cut]))
}

/// The probability that a standard normal value is at least this far from 0. `z` is not negative.
pub(crate) fn two_sided_tail(z: f64) -> f64 {
    2.0 * Normal::standard().sf(z)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_in_its_interval() {
        assert_eq!(median_interval(&[0.1, 0.2, 0.3, 0.4, 0.5], 0.95), None);
        assert_eq!(median_interval(&[0.6, 0.2, 0.3, 0.4, 0.5, 0.1], 0.95), Some((0.1, 0.6)));
        assert_eq!(median_interval(&[], 0.95), None);
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0])), (2.0, 2.5));
    }
}
