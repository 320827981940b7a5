//! Two samples that are not paired, as the blocks of two runs: whether one lies above the other, and by how much.
//!
//! The rank-sum test of Mann and Whitney ("On a test of whether one of two random variables is stochastically larger than
//! the other", 1947). It assumes that blocks of both runs were drawn from one distribution if nothing has changed, and
//! nothing about its shape. The interval is the one that it inverts, two order statistics of all differences; their median
//! is the estimate (Hodges and Lehmann, "Estimates of location based on rank tests", 1963).

use crate::analysis::statistics::{median, two_sided_tail};

/// Most pairs for which the distribution is counted out. Beyond, the normal approximation errs on the safe side.
const MOST_COUNTED: usize = 2_500;

/// Added to a level before something is compared with it: 1 − 0.9 is a little less than 0.1.
const ROUNDING: f64 = 1e-12;

/// The level at which a change may fail a build, where so much is enough to call it significant: a fifth.
///
/// Two builds that are equal differ significantly in 5 of 100 comparisons, half of them to the worse side. With noise of
/// 5 % a trial most of these also look larger than the change that is allowed, so that the size of a change is no second
/// net. At a fifth of the level 1 of 100 comparisons of equal builds fails at most.
pub fn regression_level(level: f64) -> f64 {
    level / 5.0
}

/// Two samples, and all differences between them.
pub struct RankSum {
    left: usize,
    right: usize,
    /// Each of the right sample less each of the left one, in ascending order.
    differences: Vec<f64>,
    /// The probability of at most so many pairs with the greater value on one given side, if both samples are of one
    /// distribution; empty where it is not counted out.
    at_most: Vec<f64>,
}

impl RankSum {
    /// Prepares two samples.
    pub fn new(left: &[f64], right: &[f64]) -> RankSum {
        let mut differences: Vec<f64> =
            left.iter().flat_map(|left| right.iter().map(move |right| right - left)).collect();
        differences.sort_unstable_by(f64::total_cmp);
        let at_most =
            if differences.len() > MOST_COUNTED { Vec::new() } else { counted(left.len(), right.len()) };
        RankSum { left: left.len(), right: right.len(), differences, at_most }
    }

    /// The two-sided probability of samples that lie at least as far apart, if both are of one distribution.
    pub fn p_value(&self) -> f64 {
        if self.differences.is_empty() {
            return 1.0;
        }
        // A tie counts for both sides by half; doubled, so that it stays a whole number.
        let doubled: usize = self
            .differences
            .iter()
            .map(|difference| 1 + usize::from(*difference > 0.0) - usize::from(*difference < 0.0))
            .sum();
        let tail = doubled.min(2 * self.differences.len() - doubled) / 2;
        (2.0 * self.at_most(tail)).min(1.0)
    }

    /// The smallest p that samples of this size can have: more than a level where they are too few for it.
    pub fn least_p(&self) -> f64 {
        (2.0 * self.at_most(0)).min(1.0)
    }

    /// How much greater the right sample is: the median of all differences. The samples are not empty.
    pub fn shift(&self) -> f64 {
        median(&self.differences)
    }

    /// An interval for that, which holds the true shift with a probability of at least 1 − `level`; `None` where so few
    /// values cannot give one.
    pub fn interval(&self, level: f64) -> Option<(f64, f64)> {
        let tail = level / 2.0 + ROUNDING;
        let count = self.differences.len();
        if count == 0 || self.at_most(0) > tail {
            return None;
        }
        // As many may be cut off at each end.
        let (mut cut, mut too_many) = (0, count.div_ceil(2));
        while too_many - cut > 1 {
            let middle = usize::midpoint(cut, too_many);
            match self.at_most(middle) <= tail {
                true => cut = middle,
                false => too_many = middle,
            }
        }
        Some((self.differences[cut], self.differences[count - 1 - cut]))
    }

    /// The probability that at most so many pairs have the greater value on one given side.
    fn at_most(&self, pairs: usize) -> f64 {
        if let Some(chance) = self.at_most.get(pairs) {
            return *chance;
        }
        let (left, right) = (self.left as f64, self.right as f64);
        let variance = left * right * (left + right + 1.0) / 12.0;
        let z = (pairs as f64 + 0.5 - left * right / 2.0) / variance.sqrt();
        if z < 0.0 { two_sided_tail(-z) / 2.0 } else { 1.0 - two_sided_tail(z) / 2.0 }
    }
}

/// Blocks of each of two runs from which a difference can be significant at a level at all: where all of one lie above all of
/// the other.
pub fn blocks_needed(level: f64) -> usize {
    // Two of all ways to divide the blocks among the runs are this extreme.
    let mut ways = 1.0;
    (1_u32..)
        .find(|blocks| {
            let blocks = f64::from(*blocks);
            ways *= 2.0 * (2.0 * blocks - 1.0) / blocks;
            2.0 / ways <= level + ROUNDING
        })
        .map_or(0, |blocks| blocks as usize)
}

/// The distribution of the number of pairs with the greater value on one given side, added up.
fn counted(left: usize, right: usize) -> Vec<f64> {
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
    let mut sum = 0.0;
    rows[left]
        .iter()
        .map(|chance| {
            sum += chance;
            f64::min(sum, 1.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_the_rank_sum_needs() {
        // 2 of 70 orders of four and four are extreme, and 2 of 20 of three and three.
        assert_eq!(blocks_needed(0.05), 4);
        assert_eq!(blocks_needed(0.05 / 14.0), 6);
    }

    #[test]
    fn the_rank_sum_of_two_samples() {
        // By hand: of the 20 ways to divide six values into two threes, one has all of the right ones on top.
        let samples = RankSum::new(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]);
        assert!((samples.p_value() - 0.1).abs() < 1e-12);
        assert_eq!(RankSum::new(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]).p_value(), 1.0);
        assert_eq!((samples.interval(0.05), samples.interval(0.1)), (None, Some((1.0, 5.0))));
        assert_eq!(samples.shift(), 3.0);
        assert!((RankSum::new(&[1.0; 2], &[2.0; 3]).at_most(6) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_approximation_is_close_and_on_the_safe_side() {
        let exact = counted(50, 50);
        let samples = RankSum { left: 50, right: 50, differences: Vec::new(), at_most: Vec::new() };
        for cut in [740, 830, 900, 966] {
            let share = samples.at_most(cut) / exact[cut];
            assert!((0.99..1.25).contains(&share), "{cut}: {share}");
        }
    }
}
