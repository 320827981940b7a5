//! The statistics behind a verdict: rank tests of log ratios, their intervals, and the correction for many of them.
//!
//! One value is the log ratio of two rows in one block, so its noise is that of two trials seconds apart. Rows that are
//! equal could be swapped inside each block without a difference: their log ratios are symmetric about 0 whatever the
//! noise looks like, slow phases included, and that is all that the signed-rank test asks for.

/// The test that decides, and whose inversion is the interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// Counts signs only: Dixon and Mood, "The statistical sign test", 1946. Its interval is a pair of order statistics
    /// around the median.
    Sign,
    /// Weighs signs by the ranks of the distances: Wilcoxon, "Individual comparisons by ranking methods", 1945. Its
    /// interval is a pair of order statistics of the pairwise means (Hodges and Lehmann, 1963).
    SignedRank,
}

/// Most values for which the signed-rank distribution is counted out; beyond, the normal approximation is as good.
const MAX_EXACT: usize = 200;

/// Added to a level before something is compared with it: 1 − 0.9 is a little less than 0.1.
const ROUNDING: f64 = 1e-12;

/// The two-sided probability of values at least as far from 0 as these, if the true centre is 0.
///
/// Values of exactly 0 speak for neither side and are left out, as is usual with both tests.
pub fn p_value(test: Test, values: &[f64]) -> f64 {
    let values: Vec<f64> = values.iter().copied().filter(|value| *value != 0.0).collect();
    let count = values.len();
    if count == 0 {
        return 1.0;
    }
    let statistic = match test {
        Test::Sign => 2 * values.iter().filter(|value| **value > 0.0).count(),
        Test::SignedRank => doubled_rank_sum(&values),
    };
    // Both statistics are doubled, so that tied ranks stay whole numbers; both are symmetric about the middle.
    let most = 2 * greatest(test, count);
    let tail = statistic.min(most - statistic);
    // With ties the distribution is that without them: the usual, slightly conservative choice.
    (2.0 * at_most(test, count, tail / 2)).min(1.0)
}

/// Twice the sum of the ranks of the positive values; equal distances share their mean rank.
fn doubled_rank_sum(values: &[f64]) -> usize {
    let mut sorted = values.to_vec();
    sorted.sort_by(|left, right| left.abs().total_cmp(&right.abs()));
    let mut sum = 0;
    let mut first = 0;
    while first < sorted.len() {
        let tied = sorted[first..].iter().take_while(|value| value.abs() == sorted[first].abs()).count();
        // The mean of the ranks first + 1 to first + tied, doubled.
        let doubled_rank = 2 * first + tied + 1;
        sum += doubled_rank * sorted[first..first + tied].iter().filter(|value| **value > 0.0).count();
        first += tied;
    }
    sum
}

/// The greatest value of a test's statistic.
fn greatest(test: Test, count: usize) -> usize {
    match test {
        Test::Sign => count,
        Test::SignedRank => count * (count + 1) / 2,
    }
}

/// The probability that a test's statistic is at most `statistic`, if the true centre is 0.
fn at_most(test: Test, count: usize, statistic: usize) -> f64 {
    if count > MAX_EXACT {
        let (mean, variance) = match test {
            Test::Sign => (count as f64 / 2.0, count as f64 / 4.0),
            Test::SignedRank => {
                let n = count as f64;
                (n * (n + 1.0) / 4.0, n * (n + 1.0) * (2.0 * n + 1.0) / 24.0)
            }
        };
        return normal_cdf((statistic as f64 + 0.5 - mean) / variance.sqrt());
    }
    distribution(test, count).iter().take(statistic + 1).sum::<f64>().min(1.0)
}

/// The probability of each value of a test's statistic: each of `count` values adds its weight or not, evenly.
fn distribution(test: Test, count: usize) -> Vec<f64> {
    let mut chances = vec![0.0; greatest(test, count) + 1];
    chances[0] = 1.0;
    let mut reached = 0;
    for rank in 1..=count {
        let weight = match test {
            Test::Sign => 1,
            Test::SignedRank => rank,
        };
        reached += weight;
        for sum in (0..=reached).rev() {
            let with = if sum >= weight { chances[sum - weight] } else { 0.0 };
            chances[sum] = f64::midpoint(chances[sum], with);
        }
    }
    chances
}

fn normal_cdf(z: f64) -> f64 {
    use statrs::distribution::{ContinuousCDF, Normal};
    Normal::standard().cdf(z)
}

/// An interval for the centre of the values that holds it with at least `confidence`; `None` where so few values
/// cannot give one.
pub fn interval(test: Test, values: &[f64], confidence: f64) -> Option<(f64, f64)> {
    let count = values.len();
    if count == 0 {
        return None;
    }
    let mut points = match test {
        Test::Sign => values.to_vec(),
        Test::SignedRank => pairwise_means(values),
    };
    points.sort_by(f64::total_cmp);
    // The most points that may be cut off at each end: the statistic of the test at a point's place.
    let tail = (1.0 - confidence) / 2.0 + ROUNDING;
    if at_most(test, count, 0) > tail {
        return None;
    }
    let mut cut = 0;
    while 2 * (cut + 1) < points.len() && at_most(test, count, cut + 1) <= tail {
        cut += 1;
    }
    Some((points[cut], points[points.len() - 1 - cut]))
}

/// The means of all pairs of values, each with itself as well.
fn pairwise_means(values: &[f64]) -> Vec<f64> {
    let pairs = values
        .iter()
        .enumerate()
        .flat_map(|(place, left)| values[place..].iter().map(move |right| f64::midpoint(*left, *right)));
    pairs.collect()
}

/// The middle value; between two middle values, their mean. `values` is not empty.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Rounds from which a test of `comparisons` rows at this confidence can reject at all: with n values that all point
/// the same way, both tests have p = 2^(1 − n).
pub fn rounds_needed(comparisons: usize, confidence: f64) -> usize {
    let level = (1.0 - confidence) / comparisons.max(1) as f64;
    (1..).find(|rounds| 2_f64.powi(1 - rounds) <= level).map_or(0, |rounds| rounds as usize)
}

/// Holm's correction ("A simple sequentially rejective multiple test procedure", 1979): for each p-value, the level
/// that it has to reach, or `None` from the first one on that does not reach its own.
pub fn holm(p_values: &[f64], confidence: f64) -> Vec<Option<f64>> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|left, right| p_values[*left].total_cmp(&p_values[*right]));
    let mut levels = vec![None; p_values.len()];
    for (step, place) in order.into_iter().enumerate() {
        let level = (1.0 - confidence) / (p_values.len() - step) as f64;
        if p_values[place] > level {
            break;
        }
        levels[place] = Some(level);
    }
    levels
}

/// The two-sided probability of two samples that lie at least as far apart, if both are of one distribution: the
/// rank-sum test of Mann and Whitney ("On a test of whether one of two random variables is stochastically larger than the
/// other", 1947).
pub fn rank_sum_p(left: &[f64], right: &[f64]) -> f64 {
    if left.is_empty() || right.is_empty() {
        return 1.0;
    }
    let pairs = left.iter().flat_map(|left| right.iter().map(move |right| (left, right)));
    // A tie counts for both sides by half; doubled, so that it stays a whole number.
    let doubled: usize =
        pairs.map(|(left, right)| 1 + usize::from(right > left) - usize::from(right < left)).sum();
    let most = 2 * left.len() * right.len();
    let tail = doubled.min(most - doubled) / 2;
    (2.0 * rank_sum_at_most(left.len(), right.len(), tail)).min(1.0)
}

/// Blocks of each of two runs from which the rank-sum test of `comparisons` rows at this confidence can reject at all:
/// where all of one lie above all of the other.
pub fn rank_sum_rounds_needed(comparisons: usize, confidence: f64) -> usize {
    let level = (1.0 - confidence) / comparisons.max(1) as f64;
    (1..).find(|rounds| 2.0 * rank_sum_at_most(*rounds, *rounds, 0) <= level).unwrap_or(0)
}

/// An interval for how much greater `right` is than `left`, with at least this confidence: order statistics of all
/// differences (Hodges and Lehmann, 1963); `None` where so few values cannot give one.
pub fn shift_interval(left: &[f64], right: &[f64], confidence: f64) -> Option<(f64, f64)> {
    let mut differences: Vec<f64> =
        left.iter().flat_map(|left| right.iter().map(move |right| right - left)).collect();
    differences.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0 + ROUNDING;
    let chance = |cut| rank_sum_at_most(left.len(), right.len(), cut);
    if differences.is_empty() || chance(0) > tail {
        return None;
    }
    let mut cut = 0;
    while 2 * (cut + 1) < differences.len() && chance(cut + 1) <= tail {
        cut += 1;
    }
    Some((differences[cut], differences[differences.len() - 1 - cut]))
}

/// The probability that of all pairs of two samples of one distribution at most `pairs` have the greater value on one
/// given side.
fn rank_sum_at_most(left: usize, right: usize, pairs: usize) -> f64 {
    /// Most pairs for which the distribution is counted out.
    const MAX_EXACT_PAIRS: usize = 10_000;
    if left * right > MAX_EXACT_PAIRS {
        let mean = (left * right) as f64 / 2.0;
        let variance = (left * right * (left + right + 1)) as f64 / 12.0;
        return normal_cdf((pairs as f64 + 0.5 - mean) / variance.sqrt());
    }
    // By the largest of all values: of the right sample it beats the whole left one, and of the left one none.
    let mut rows = vec![vec![1.0]; left + 1];
    for taken_right in 1..=right {
        let mut next: Vec<Vec<f64>> = vec![vec![1.0]];
        for taken_left in 1..=left {
            let share = taken_right as f64 / (taken_left + taken_right) as f64;
            let (of_right, of_left) = (&rows[taken_left], &next[taken_left - 1]);
            let chances = (0..=taken_left * taken_right).map(|sum| {
                let from_right =
                    sum.checked_sub(taken_left).and_then(|rest| of_right.get(rest)).unwrap_or(&0.0);
                let from_left = of_left.get(sum).unwrap_or(&0.0);
                share * from_right + (1.0 - share) * from_left
            });
            next.push(chances.collect());
        }
        rows = next;
    }
    rows[left].iter().take(pairs + 1).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_cannot_reject() {
        // Worked out by hand: all of n values on one side have p = 2 / 2^n.
        for test in [Test::Sign, Test::SignedRank] {
            assert!((p_value(test, &[0.1, 0.2, 0.3]) - 0.25).abs() < 1e-12);
            assert_eq!(interval(test, &[0.1, 0.2, 0.3, 0.4, 0.5], 0.95), None);
            assert_eq!(interval(test, &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 0.95), Some((0.1, 0.6)));
            assert_eq!(p_value(test, &[0.0, 0.0]), 1.0);
            assert_eq!(p_value(test, &[1.0, -1.0]), 1.0);
        }
        assert_eq!(rounds_needed(2, 0.95), 7);
        assert_eq!(rounds_needed(25, 0.95), 10);
    }

    #[test]
    fn the_interval_is_the_tests_inversion() {
        let values = [0.9, 1.4, 1.1, 2.0, 0.7, 1.3, 1.2, 1.05, 0.95, 1.6];
        for test in [Test::Sign, Test::SignedRank] {
            let (low, high) = interval(test, &values, 0.95).unwrap();
            let p_of = |centre: f64| p_value(test, &values.map(|value| value - centre));
            assert!(p_of(low - 1e-6) <= 0.05 && p_of(high + 1e-6) <= 0.05, "{test:?}");
            assert!(p_of(low + 1e-6) > 0.05 && p_of(high - 1e-6) > 0.05, "{test:?}");
        }
    }

    #[test]
    fn blocks_that_the_rank_sum_needs() {
        // 2 of 70 orders of four and four are extreme, and 2 of 20 of three and three.
        assert_eq!(rank_sum_rounds_needed(1, 0.95), 4);
        assert_eq!(rank_sum_rounds_needed(14, 0.95), 6);
    }

    #[test]
    fn the_rank_sum_of_two_samples() {
        // By hand: of the 20 ways to divide six values into two threes, one has all of the right ones on top.
        let (left, right) = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]);
        assert!((rank_sum_p(&left, &right) - 0.1).abs() < 1e-12);
        assert_eq!(rank_sum_p(&left, &left), 1.0);
        assert_eq!(shift_interval(&left, &right, 0.95), None);
        assert_eq!(shift_interval(&left, &right, 0.90), Some((1.0, 5.0)));
        assert!((rank_sum_at_most(2, 3, 6) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn holm_stops_at_the_first_that_does_not_hold() {
        let levels = holm(&[0.04, 0.001, 0.03], 0.95);
        assert_eq!(levels[1], Some(0.050000000000000044 / 3.0));
        assert_eq!((levels[0], levels[2]), (None, None));
        assert!(holm(&[0.01, 0.02], 0.95).iter().all(Option::is_some));
    }
}
