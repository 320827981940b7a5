//! How far two rows differ, and how sure that is: an exact test of log ratios, and the interval that it inverts.
//!
//! One value is the log ratio of two rows in one block. Two equal rows could be swapped in each block without a
//! difference, so their log ratios are symmetric about 0, whatever the noise is like: slow phases, heavy tails and drift
//! included. If the second row costs `centre` more, on a log scale, the values less `centre` are symmetric. That is all
//! that is assumed: each of the 2ⁿ ways to give the n distances a sign was then equally likely (Fisher, "The Design of
//! Experiments", 1935; Efron, "Student's t-test under symmetry conditions", 1969). The test asks how many of these ways
//! give a sum as far from 0 as the one seen.
//!
//! What is summed decides how sharp the test is, and not whether it is valid. The mean suffers from slow phases, and
//! counting signs throws away how far the values are apart. We sum Cauchy's score, `d / (1 + (d / 2s)²)`, where d is a
//! distance from the centre and s the median of all distances. It grows like the distance for ordinary blocks and
//! falls again for those far out, so that a slow phase counts for little. s depends on distances only and never on
//! signs, so the test stays exact. Maritz ("A note on exact robust confidence intervals for location", Biometrika 66,
//! 1979) inverts this kind of test. tests/simulation.rs compares it with signed ranks and with what we used before.
//!
//! Several rows are judged at a fraction of the level (Bonferroni), which is fixed before anything is seen. So a row's
//! interval does not depend on how other rows came out, and the interval that is printed is the one that decides.

use crate::analysis::statistics::{median, two_sided_tail};

/// Typical distances from which a value begins to count less. Between 1.5 and 3 the intervals of simulated tables differ
/// by a few percent. Less is better where slow phases are frequent, more where noise is normal.
const SOFTNESS: f64 = 2.0;

/// Most values whose signs are all counted out. Beyond, a series is within a few percent of the exact answer, less than
/// one value more or less changes it.
const MOST_COUNTED: usize = 16;

/// Relative difference below which two sums are the same: they are added in another order.
const ROUNDING: f64 = 1e-9;

/// The two-sided probability of values at least as far from `centre` as these, if that is where they are symmetric.
pub fn p_value(values: &[f64], centre: f64) -> f64 {
    Test::new(values).p_value(centre)
}

/// The centre of the values: the one at which the test sees no difference to either side.
///
/// `values` is not empty.
pub fn estimate(values: &[f64]) -> f64 {
    /// The steps halve the distance to the answer or better.
    const STEPS: usize = 60;
    let mut centre = median(values);
    let mut distances = Vec::with_capacity(values.len());
    for _ in 0..STEPS {
        let typical = typical_distance(values, centre, &mut distances);
        if typical == 0.0 {
            break;
        }
        let (mut sum, mut weights) = (0.0, 0.0);
        for value in values {
            let weight = 1.0 / (1.0 + ((value - centre) / (SOFTNESS * typical)).powi(2));
            sum += weight * value;
            weights += weight;
        }
        let next = sum / weights;
        if (next - centre).abs() <= ROUNDING * typical {
            break;
        }
        centre = next;
    }
    centre
}

/// All centres that the test does not reject at this level, as an interval. It holds the true centre with a probability
/// of at least 1 − `level`.
///
/// `None` where so few values cannot reject anything.
pub fn interval(values: &[f64], level: f64) -> Option<(f64, f64)> {
    if values.is_empty() || least_p(values.len()) > level + f64::EPSILON {
        return None;
    }
    let centre = estimate(values);
    let mut test = Test::new(values);
    let low = test.end(centre, -1.0, level)?;
    Some((low, test.end(centre, 1.0, level)?))
}

/// Rounds from which a verdict at this confidence is possible at all, if so many comparisons share the level: where all
/// of n values are on the same side of the centre, the test has p = 2^(1 − n).
pub fn rounds_needed(comparisons: usize, confidence: f64) -> usize {
    let level = shared_level(comparisons, confidence);
    (1..).find(|rounds| least_p(*rounds) <= level + f64::EPSILON).unwrap_or(0)
}

/// The level of each of so many comparisons, so that together they err with a probability of at most 1 − `confidence`:
/// an equal share of it (Bonferroni). It is the same whatever is seen.
pub fn shared_level(comparisons: usize, confidence: f64) -> f64 {
    (1.0 - confidence) / comparisons.max(1) as f64
}

/// The smallest p that so many values can have.
fn least_p(count: usize) -> f64 {
    2_f64.powi(1 - i32::try_from(count).unwrap_or(i32::MAX))
}

/// The median distance from a centre.
fn typical_distance(values: &[f64], centre: f64, distances: &mut Vec<f64>) -> f64 {
    distances.clear();
    distances.extend(values.iter().map(|value| (value - centre).abs()));
    let middle = distances.len() / 2;
    let (below, upper, _) = distances.select_nth_unstable_by(middle, f64::total_cmp);
    match values.len() % 2 {
        1 => *upper,
        _ => f64::midpoint(below.iter().copied().fold(0.0, f64::max), *upper),
    }
}

/// The test of some values, with room for what it computes again for each centre.
struct Test<'a> {
    values: &'a [f64],
    distances: Vec<f64>,
    scores: Vec<f64>,
    halves: [Vec<f64>; 2],
    merged: Vec<f64>,
}

impl Test<'_> {
    fn new(values: &[f64]) -> Test<'_> {
        Test {
            values,
            distances: Vec::new(),
            scores: Vec::new(),
            halves: [Vec::new(), Vec::new()],
            merged: Vec::new(),
        }
    }

    fn p_value(&mut self, centre: f64) -> f64 {
        let typical = typical_distance(self.values, centre, &mut self.distances);
        let score = |value: &f64| {
            let distance = value - centre;
            match typical {
                // More than half lie on the centre itself: what the others are far from is not known.
                0.0 => distance.signum() * f64::from(u8::from(distance != 0.0)),
                _ => distance / (1.0 + (distance / (SOFTNESS * typical)).powi(2)),
            }
        };
        self.scores.clear();
        self.scores.extend(self.values.iter().map(score).filter(|score| *score != 0.0));
        let sum = self.scores.iter().sum::<f64>().abs();
        match self.scores.len() {
            0 => 1.0,
            count if count <= MOST_COUNTED => self.counted(sum),
            count => by_series(&self.scores, sum).max(least_p(count)),
        }
    }

    /// The share of all ways to choose the signs of the scores whose sum is at least this far from 0.
    ///
    /// The sums of each half are sorted, so that for each sum of one half the sums of the other that reach far enough are
    /// found without looking at all of them (Horowitz and Sahni, 1974).
    fn counted(&mut self, sum: f64) -> f64 {
        let bound = sum * (1.0 - ROUNDING);
        let (one, other) = self.scores.split_at(self.scores.len() / 2);
        let [left, right] = &mut self.halves;
        signed_sums(one, left, &mut self.merged);
        signed_sums(other, right, &mut self.merged);
        let mut short = right.len();
        let mut far = 0;
        for sum in &*left {
            while short > 0 && sum + right[short - 1] >= bound {
                short -= 1;
            }
            far += right.len() - short;
        }
        // As many sums are this far on the other side of 0.
        (2.0 * far as f64 / (left.len() * right.len()) as f64).min(1.0)
    }

    /// How far the centre can move in one direction before the test rejects it.
    fn end(&mut self, centre: f64, direction: f64, level: f64) -> Option<f64> {
        /// On a log scale: differences below it are of no interest.
        const FIRST_STEP: f64 = 1e-7;
        /// A ratio of e⁵⁰ between two rows is not a measurement.
        const FARTHEST: f64 = 50.0;
        const GROWTH: f64 = 1.4;
        /// Of an end, relative and absolute.
        const PRECISION: (f64, f64) = (1e-6, 1e-9);
        let level = level * (1.0 + ROUNDING);
        let typical = typical_distance(self.values, centre, &mut self.distances);
        let mut inside = 0.0;
        let mut outside = (0.5 * typical / (self.values.len() as f64).sqrt()).max(FIRST_STEP);
        while self.p_value(centre + direction * outside) > level {
            inside = outside;
            outside *= GROWTH;
            if outside > FARTHEST {
                return None;
            }
        }
        while outside - inside > (PRECISION.0 * outside).max(PRECISION.1) {
            let middle = f64::midpoint(inside, outside);
            match self.p_value(centre + direction * middle) > level {
                true => inside = middle,
                false => outside = middle,
            }
        }
        Some(centre + direction * outside)
    }
}

/// The sums of the values with all choices of their signs, in ascending order.
fn signed_sums(values: &[f64], sums: &mut Vec<f64>, merged: &mut Vec<f64>) {
    sums.clear();
    sums.push(0.0);
    for value in values.iter().map(|value| value.abs()) {
        merged.clear();
        let (mut less, mut more) = (0, 0);
        while more < sums.len() {
            if less < sums.len() && sums[less] - value <= sums[more] + value {
                merged.push(sums[less] - value);
                less += 1;
            } else {
                merged.push(sums[more] + value);
                more += 1;
            }
        }
        std::mem::swap(sums, merged);
    }
}

/// The probability that a sum of the scores with signs thrown evenly is at least this far from 0: Edgeworth's series,
/// with the fourth and the sixth cumulant, which are known exactly.
fn by_series(scores: &[f64], sum: f64) -> f64 {
    let power = |exponent: i32| scores.iter().map(|score| score.powi(exponent)).sum::<f64>();
    let variance = power(2);
    let (fourth, sixth) = (-2.0 * power(4) / variance.powi(2), 16.0 * power(6) / variance.powi(3));
    let z = sum / variance.sqrt();
    // Hermite's polynomials.
    let third = z * (z.powi(2) - 3.0);
    let fifth = z * (z.powi(4) - 10.0 * z.powi(2) + 15.0);
    let seventh = z * (z.powi(6) - 21.0 * z.powi(4) + 105.0 * z.powi(2) - 105.0);
    let correction = fourth / 24.0 * third + sixth / 720.0 * fifth + fourth.powi(2) / 1152.0 * seventh;
    let density = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
    (two_sided_tail(z) + 2.0 * density * correction).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By trying all signs one after the other.
    fn by_hand(values: &[f64], centre: f64) -> f64 {
        let distances: Vec<f64> = values.iter().map(|value| value - centre).collect();
        let typical = median(&distances.iter().map(|distance| distance.abs()).collect::<Vec<_>>());
        let scores: Vec<f64> = distances.iter().map(|d| d / (1.0 + (d / (2.0 * typical)).powi(2))).collect();
        let seen = scores.iter().sum::<f64>().abs();
        let ways = 1_u32 << scores.len();
        let reaches = |way: &u32| {
            let sign = |place: usize| if way >> place & 1 == 1 { -1.0 } else { 1.0 };
            let sum: f64 = scores.iter().enumerate().map(|(place, score)| sign(place) * score).sum();
            sum.abs() >= seen * (1.0 - 1e-9)
        };
        (0..ways).filter(reaches).count() as f64 / f64::from(ways)
    }

    const VALUES: [f64; 10] = [0.9, 1.4, 1.1, 2.0, 0.7, 1.3, 1.2, 1.05, 0.95, 6.0];

    #[test]
    fn the_probability_is_that_of_all_signs_tried_by_hand() {
        for centre in [0.0, 0.8, 1.0, 1.1, 1.5, 3.0] {
            assert!((p_value(&VALUES, centre) - by_hand(&VALUES, centre)).abs() < 1e-12, "{centre}");
        }
    }

    #[test]
    fn few_values_cannot_reject() {
        assert!((p_value(&[0.1, 0.2, 0.3], 0.0) - 0.25).abs() < 1e-12);
        assert_eq!(interval(&[0.1, 0.2, 0.3, 0.4, 0.5], 0.05), None);
        let (low, high) = interval(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 0.05).unwrap();
        // Only where all values are on one side is the sum the greatest.
        assert!((low - 0.1).abs() < 1e-6 && (high - 0.6).abs() < 1e-6, "{low} {high}");
        assert_eq!((p_value(&[0.0, 0.0], 0.0), p_value(&[1.0, -1.0], 0.0)), (1.0, 1.0));
        assert_eq!((rounds_needed(1, 0.95), rounds_needed(2, 0.95), rounds_needed(14, 0.95)), (6, 7, 10));
        assert_eq!(rounds_needed(3 * 14, 0.95), 11);
    }

    #[test]
    fn the_interval_is_the_tests_inversion() {
        for level in [0.05, 0.01] {
            let (low, high) = interval(&VALUES, level).unwrap();
            assert!(p_value(&VALUES, low - 1e-5) <= level && p_value(&VALUES, high + 1e-5) <= level);
            assert!(p_value(&VALUES, low + 1e-5) > level && p_value(&VALUES, high - 1e-5) > level);
        }
    }

    #[test]
    fn one_value_far_out_moves_little() {
        let (near, far): ([f64; 10], [f64; 10]) = (VALUES.map(|value| value.min(1.6)), VALUES);
        // The mean moves by 0.44.
        assert!((estimate(&near) - estimate(&far)).abs() < 0.1);
        let (low, high) = interval(&VALUES, 0.05).unwrap();
        assert!(low > 0.9 && high < 2.0, "{low} {high}");
    }

    #[test]
    fn values_that_are_all_alike_have_a_narrow_interval() {
        let (low, high) = interval(&[0.25; 8], 0.05).unwrap();
        assert!((low - 0.25).abs() < 1e-6 && (high - 0.25).abs() < 1e-6, "{low} {high}");
        assert_eq!(estimate(&[0.25; 8]), 0.25);
    }

    #[test]
    fn the_series_is_close_to_the_count() {
        let waves = |count: usize| (0..count).map(|place| ((place * 7 % 13) as f64).sin() + 0.55);
        for count in [13, 16] {
            let scores: Vec<f64> = waves(count).collect();
            let sum: f64 = scores.iter().sum();
            let mut test = Test::new(&[]);
            test.scores = scores.clone();
            let (exact, series) = (test.counted(sum), by_series(&scores, sum));
            assert!((series / exact - 1.0).abs() < 0.1, "{count}: {series} for {exact}");
        }
    }
}
