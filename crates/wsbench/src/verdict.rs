//! From the figures of many rounds to *faster*, *slower* or *tie*: by the letter of docs/METHODOLOGY.md.
//!
//! Values are compared only inside a block. A verdict needs the corrected interval of the log ratio to lie wholly
//! beyond the floor, which is how far the baseline differs from itself.

use std::collections::BTreeMap;

use crate::statistics::{TEST, Test, holm, interval, p_value, rounds_needed};

/// A block of a run.
pub type Block = (String, u32);

/// One metric's values that count for verdicts, by block.
pub type Values = BTreeMap<Block, f64>;

/// What is judged together: the rows of one scenario by one metric.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The values of each row.
    pub rows: Vec<Values>,
    /// Place of the baseline among the rows.
    pub baseline: Option<usize>,
    /// The baseline's second measurement.
    pub twin: Values,
}

/// What can be said of one row against the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The row that the others are compared with.
    Baseline,
    /// Its values are greater.
    Greater,
    /// Its values are less.
    Less,
    /// No difference beyond the noise.
    Tie,
    /// Too few blocks count; so many are needed.
    TooFew {
        /// Blocks that count.
        blocks: usize,
        /// Blocks that are needed.
        needed: usize,
    },
}

/// One row's judgement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Against the baseline.
    pub verdict: Verdict,
    /// The ratio to the baseline, with the confidence that the correction asks for.
    pub interval: Option<(f64, f64)>,
    /// 1 + the number of rows that are better than this one, each pair judged in the same way.
    pub rank: Option<usize>,
}

/// The judgement of all rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// How far the baseline differs from itself, as a ratio over 1; a difference within it is a tie.
    pub floor: Option<f64>,
    /// One for each row, in their order.
    pub rows: Vec<Judged>,
}

/// Judges the rows of a sample, of which the lesser or the greater values are better.
pub fn judge(sample: &Sample, higher_is_better: bool, confidence: f64) -> Judgement {
    judge_by(TEST, sample, higher_is_better, confidence)
}

/// The same by a test of one's choice, for the simulation that chose the one above.
pub fn judge_by(test: Test, sample: &Sample, higher_is_better: bool, confidence: f64) -> Judgement {
    let none = Values::new();
    let base = sample.baseline.map_or(&none, |place| &sample.rows[place]);
    let floor = floor(test, &log_ratios(&sample.twin, base), confidence);
    let others = sample.rows.len().saturating_sub(1);
    let needed = rounds_needed(others, confidence).max(rounds_needed(1, confidence));

    let against: Vec<Vec<f64>> = sample.rows.iter().map(|row| log_ratios(row, base)).collect();
    let compared: Vec<usize> = (0..sample.rows.len())
        .filter(|place| Some(*place) != sample.baseline && against[*place].len() >= needed)
        .collect();
    let p_values: Vec<f64> = compared.iter().map(|place| p_value(test, &against[*place])).collect();
    let levels: BTreeMap<usize, Option<f64>> =
        compared.iter().copied().zip(holm(&p_values, confidence)).collect();

    // Of all pairs, and of rows that the first correction leaves undecided: every row counts as one comparison.
    let level = (1.0 - confidence) / others.max(1) as f64;
    let is_better = |one: &Values, other: &Values| {
        let ratios = log_ratios(one, other);
        let (Some(floor), Some(bounds)) = (floor, interval(test, &ratios, 1.0 - level)) else { return false };
        ratios.len() >= needed && beyond(bounds, floor) == Some(higher_is_better)
    };
    let judged = |(place, row): (usize, &Values)| {
        let ratios = &against[place];
        let enough = floor.is_some() && (base.len() >= needed) && row.len() >= needed;
        let rank = enough.then(|| 1 + sample.rows.iter().filter(|other| is_better(other, row)).count());
        if Some(place) == sample.baseline {
            return Judged { verdict: Verdict::Baseline, interval: None, rank };
        }
        let Some((floor, holm_level)) = floor.zip(levels.get(&place)) else {
            let blocks = ratios.len().min(sample.twin.len());
            let bounds = interval(test, ratios, confidence);
            return Judged {
                verdict: Verdict::TooFew { blocks, needed },
                interval: bounds.map(|(low, high)| (low.exp(), high.exp())),
                rank: None,
            };
        };
        let bounds = interval(test, ratios, 1.0 - holm_level.unwrap_or(level));
        let verdict = match bounds.filter(|_| holm_level.is_some()).and_then(|bounds| beyond(bounds, floor)) {
            Some(true) => Verdict::Greater,
            Some(false) => Verdict::Less,
            None => Verdict::Tie,
        };
        Judged { verdict, interval: bounds.map(|(low, high)| (low.exp(), high.exp())), rank }
    };
    Judgement { floor: floor.map(f64::exp), rows: sample.rows.iter().enumerate().map(judged).collect() }
}

/// The logarithms of the ratios of two rows, in the blocks that hold both.
fn log_ratios(row: &Values, base: &Values) -> Vec<f64> {
    let in_both = row.iter().filter_map(|(block, value)| Some((*value, *base.get(block)?)));
    in_both
        .filter(|(value, base)| *value > 0.0 && *base > 0.0)
        .map(|(value, base)| (value / base).ln())
        .collect()
}

/// The larger end of the interval of the baseline's ratio to itself.
fn floor(test: Test, twin: &[f64], confidence: f64) -> Option<f64> {
    interval(test, twin, confidence).map(|(low, high)| low.abs().max(high.abs()))
}

/// Whether an interval lies wholly above (`true`) or below (`false`) the floor.
fn beyond((low, high): (f64, f64), floor: f64) -> Option<bool> {
    if low > floor {
        Some(true)
    } else if high < -floor {
        Some(false)
    } else {
        None
    }
}

/// The ratios of a row to the baseline with an interval that is not corrected, for metrics that get no verdict.
pub fn plain_interval(ratios: &[f64], confidence: f64) -> Option<(f64, f64)> {
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    interval(TEST, &logs, confidence).map(|(low, high)| (low.exp(), high.exp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values around `centre`, moved a little from block to block, the same for every row but for `phase`.
    fn values(centre: f64, blocks: u32, phase: u32) -> Values {
        let wave = |block: u32| 1.0 + 0.004 * f64::from((block * 7 + phase * 3) % 11) - 0.02;
        (0..blocks).map(|block| (("s".to_owned(), block), centre * wave(block))).collect()
    }

    fn sample(blocks: u32, centres: &[f64]) -> Sample {
        let rows = centres.iter().zip(1..).map(|(centre, phase)| values(*centre, blocks, phase)).collect();
        Sample { rows, baseline: Some(0), twin: values(centres[0], blocks, 9) }
    }

    fn verdicts(judgement: &Judgement) -> Vec<Verdict> {
        judgement.rows.iter().map(|row| row.verdict).collect()
    }

    #[test]
    fn clear_differences_get_a_verdict_and_small_ones_are_ties() {
        let judgement = judge(&sample(10, &[100.0, 130.0, 101.0, 80.0]), false, 0.95);
        assert_eq!(verdicts(&judgement), [Verdict::Baseline, Verdict::Greater, Verdict::Tie, Verdict::Less]);
        let ranks: Vec<Option<usize>> = judgement.rows.iter().map(|row| row.rank).collect();
        assert_eq!(ranks, [Some(2), Some(4), Some(2), Some(1)]);
        let (low, high) = judgement.rows[1].interval.unwrap();
        assert!(low > 1.25 && high < 1.35, "{low} {high}");
        let higher = judge(&sample(10, &[100.0, 130.0]), true, 0.95);
        assert_eq!(higher.rows[1].rank, Some(1));
    }

    #[test]
    fn too_few_rounds_carry_no_verdict_and_say_how_many_would() {
        let judgement = judge(&sample(6, &[100.0, 200.0, 300.0]), false, 0.95);
        assert_eq!(judgement.rows[1].verdict, Verdict::TooFew { blocks: 6, needed: 7 });
        assert_eq!(judgement.rows[0].rank, None);
        assert_eq!(judge(&sample(7, &[100.0, 200.0, 300.0]), false, 0.95).rows[1].verdict, Verdict::Greater);
    }

    #[test]
    fn a_difference_within_the_floor_is_a_tie_however_steady_it_is() {
        let mut sample = sample(20, &[100.0, 104.0]);
        for (place, value) in sample.twin.values_mut().enumerate() {
            *value = if place % 2 == 0 { 90.0 } else { 110.0 };
        }
        assert_eq!(judge(&sample, false, 0.95).rows[1].verdict, Verdict::Tie);
    }

    #[test]
    fn without_a_twin_or_a_baseline_there_is_no_verdict() {
        let mut sample = sample(10, &[100.0, 200.0]);
        sample.twin.clear();
        assert!(matches!(judge(&sample, false, 0.95).rows[1].verdict, Verdict::TooFew { blocks: 0, .. }));
        sample.baseline = None;
        assert!(judge(&sample, false, 0.95).rows.iter().all(|row| row.rank.is_none()));
    }
}
