//! From the figures of many rounds to *faster*, *slower* or *tie*: by the letter of docs/METHODOLOGY.md.
//!
//! Values are compared only inside a block, by the test of [`inference`](super::inference). A verdict needs the interval of
//! the log ratio to lie wholly beyond the floor, which is how far the baseline was found to differ from itself. The level of
//! the interval is an equal share of what all comparisons of a scenario may err. It is fixed before anything is seen, so
//! that rows with the same ratios get the same verdict.

use std::collections::BTreeMap;

use trial::metric::Metric;

use crate::analysis::inference::{estimate, interval, rounds_needed, shared_level};

/// A block of a run.
pub type Block = (String, u32);

/// The values of one row's trials that count for verdicts, by block.
pub type Values = BTreeMap<Block, f64>;

/// Least floor, on log scale: a difference of less than a tenth of a percent, which tables round away, is a tie however
/// regular it is. Where a metric hardly varies, as Jain's index of a fair server, the baseline's own floor is next to nothing.
const LEAST_FLOOR: f64 = 0.001;

/// What is judged together: the rows of one scenario by one metric.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The values of each row.
    pub rows: Vec<Values>,
    /// Place of the baseline among the rows.
    pub baseline: Option<usize>,
    /// The baseline's second measurement.
    pub twin: Values,
    /// Metrics by which these rows are judged together, if more than one: all comparisons share one level.
    pub metrics: usize,
}

impl Sample {
    /// Comparisons that share one level: of each row but the baseline, by each metric.
    fn comparisons(&self) -> usize {
        self.rows.len().saturating_sub(1) * self.metrics.max(1)
    }
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
    /// The estimated ratio to the baseline.
    pub ratio: Option<f64>,
    /// The interval of that ratio by which the verdict was reached; with too few blocks for one, an interval of its own
    /// that is not corrected for the number of rows.
    pub interval: Option<(f64, f64)>,
    /// 1 + the number of rows that are better than this one.
    pub rank: Option<usize>,
}

/// Two rows with a rank, compared with each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Places of the two.
    pub rows: (usize, usize),
    /// The estimated ratio of the first to the second.
    pub ratio: f64,
    /// The interval of that ratio.
    pub interval: (f64, f64),
    /// How the first one compares with the second: greater, less or a tie.
    pub verdict: Verdict,
}

impl Pair {
    /// The same pair seen from the second row.
    pub(crate) fn reversed(self) -> Pair {
        let Pair { rows: (one, other), ratio, interval: (low, high), verdict } = self;
        let verdict = match verdict {
            Verdict::Greater => Verdict::Less,
            Verdict::Less => Verdict::Greater,
            same => same,
        };
        Pair { rows: (other, one), ratio: 1.0 / ratio, interval: (1.0 / high, 1.0 / low), verdict }
    }

    /// Whether the first row is shown to be better by this metric than the second.
    pub(crate) fn is_better(self, metric: Metric) -> bool {
        self.verdict == better(metric)
    }
}

/// The verdict of a row that is better than another one.
fn better(metric: Metric) -> Verdict {
    if metric.higher_is_better { Verdict::Greater } else { Verdict::Less }
}

/// The judgement of all rows by one metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// How far the baseline differs from itself, as a ratio over 1; a difference within it is a tie.
    pub floor: Option<f64>,
    /// One for each row, in their order.
    pub rows: Vec<Judged>,
    /// All pairs of rows with a rank that enough blocks hold both of.
    pub pairs: Vec<Pair>,
}

/// Judges the rows of a sample of a metric.
pub fn judge(sample: &Sample, metric: Metric, confidence: f64) -> Judgement {
    let comparison = Comparison::new(sample, confidence);
    let mut rows = comparison.judged();
    let pairs = comparison.pairs(&rows);
    for (place, rank) in ranks(&ranked(&rows), &pairs, metric) {
        rows[place].rank = Some(rank);
    }
    Judgement { floor: comparison.floor.map(f64::exp), rows, pairs }
}

/// A sample that is about to be judged.
struct Comparison<'a> {
    sample: &'a Sample,
    base: &'a Values,
    confidence: f64,
    /// The level of each comparison.
    level: f64,
    /// Blocks that a row needs for a verdict.
    needed: usize,
    floor: Option<f64>,
}

impl<'a> Comparison<'a> {
    fn new(sample: &'a Sample, confidence: f64) -> Comparison<'a> {
        static NONE: Values = Values::new();
        let base = sample.baseline.map_or(&NONE, |place| &sample.rows[place]);
        Comparison {
            sample,
            base,
            confidence,
            level: shared_level(sample.comparisons(), confidence),
            needed: rounds_needed(sample.comparisons(), confidence),
            floor: floor(&logs(&sample.twin, base), confidence),
        }
    }

    /// Every row against the baseline, without ranks.
    fn judged(&self) -> Vec<Judged> {
        (0..self.sample.rows.len()).map(|place| self.judged_row(place)).collect()
    }

    fn judged_row(&self, place: usize) -> Judged {
        if Some(place) == self.sample.baseline {
            return Judged { verdict: Verdict::Baseline, ratio: None, interval: None, rank: None };
        }
        let logs = logs(&self.sample.rows[place], self.base);
        let ratio = (!logs.is_empty()).then(|| estimate(&logs).exp());
        let enough = logs.len() >= self.needed;
        let (verdict, bounds) = match self.floor.filter(|_| enough) {
            Some(floor) => {
                let bounds = interval(&logs, self.level);
                (bounds.map_or(Verdict::Tie, |bounds| beyond(bounds, floor)), bounds)
            }
            None => {
                let blocks = logs.len().min(self.sample.twin.len());
                let bounds = interval(&logs, shared_level(1, self.confidence));
                (Verdict::TooFew { blocks, needed: self.needed }, bounds)
            }
        };
        let interval = bounds.map(|(low, high)| (low.exp(), high.exp()));
        Judged { verdict, ratio, interval, rank: None }
    }

    /// All pairs of rows with a rank.
    fn pairs(&self, rows: &[Judged]) -> Vec<Pair> {
        let ranked = ranked(rows);
        let pairs = ranked.iter().enumerate().flat_map(|(place, one)| {
            ranked[place + 1..].iter().filter_map(move |other| self.pair(*one, *other))
        });
        pairs.collect()
    }

    fn pair(&self, one: usize, other: usize) -> Option<Pair> {
        let logs = logs(&self.sample.rows[one], &self.sample.rows[other]);
        let floor = self.floor.filter(|_| logs.len() >= self.needed)?;
        let bounds = interval(&logs, self.level)?;
        Some(Pair {
            rows: (one, other),
            ratio: estimate(&logs).exp(),
            interval: (bounds.0.exp(), bounds.1.exp()),
            verdict: beyond(bounds, floor),
        })
    }
}

/// The rows that have a rank, by place.
fn ranked(rows: &[Judged]) -> Vec<usize> {
    let decided = rows.iter().any(|row| !matches!(row.verdict, Verdict::Baseline | Verdict::TooFew { .. }));
    let has_rank = |place: &usize| match rows[*place].verdict {
        // First of one is not a rank.
        Verdict::Baseline => decided,
        Verdict::TooFew { .. } => false,
        Verdict::Greater | Verdict::Less | Verdict::Tie => true,
    };
    (0..rows.len()).filter(has_rank).collect()
}

/// The places of the rows that have a rank, with their ranks.
fn ranks(ranked: &[usize], pairs: &[Pair], metric: Metric) -> BTreeMap<usize, usize> {
    let mut ranks: BTreeMap<usize, usize> = ranked.iter().map(|place| (*place, 1)).collect();
    for pair in pairs {
        let worse = match pair.verdict {
            verdict if verdict == better(metric) => pair.rows.1,
            Verdict::Greater | Verdict::Less => pair.rows.0,
            Verdict::Baseline | Verdict::Tie | Verdict::TooFew { .. } => continue,
        };
        *ranks.entry(worse).or_insert(1) += 1;
    }
    ranks
}

/// The log ratios of two rows in the blocks that hold both.
fn logs(row: &Values, base: &Values) -> Vec<f64> {
    let in_both = row.iter().filter_map(|(block, value)| Some((value / base.get(block)?).ln()));
    in_both.filter(|log| log.is_finite()).collect()
}

/// How far the baseline was found to differ from itself: the middle of that interval.
///
/// The test holds its level without a floor. The floor is there for what symmetry inside blocks does not cover: a
/// difference between two measurements of the same program that stays for a whole run. Its far end would add the twin's
/// own noise to each row's and cost more power than all noise does.
fn floor(twin: &[f64], confidence: f64) -> Option<f64> {
    let bounds = interval(twin, shared_level(1, confidence));
    bounds.map(|(low, high)| f64::midpoint(low, high).abs().max(LEAST_FLOOR))
}

/// Whether an interval lies wholly above the floor or wholly below it.
fn beyond((low, high): (f64, f64), floor: f64) -> Verdict {
    if low > floor {
        Verdict::Greater
    } else if high < -floor {
        Verdict::Less
    } else {
        Verdict::Tie
    }
}

/// The ratios of a row to the baseline with an interval that is not corrected, for metrics that get no verdict.
pub fn plain_interval(ratios: &[f64], confidence: f64) -> Option<(f64, f64)> {
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    interval(&logs, shared_level(1, confidence)).map(|(low, high)| (low.exp(), high.exp()))
}

#[cfg(test)]
mod tests {
    use trial::metric;

    use super::*;

    /// Values around `centre`, moved a little from block to block, the same for every row but for `phase`.
    fn values(centre: f64, blocks: u32, phase: u32) -> Values {
        let wave = |block: u32| 1.0 + 0.004 * f64::from((block * 7 + phase * 3) % 11) - 0.02;
        (0..blocks).map(|block| (("s".to_owned(), block), centre * wave(block))).collect()
    }

    fn sample(blocks: u32, centres: &[f64]) -> Sample {
        let rows = centres.iter().zip(1..).map(|(centre, phase)| values(*centre, blocks, phase)).collect();
        Sample { rows, baseline: Some(0), twin: values(centres[0], blocks, 9), ..Sample::default() }
    }

    fn verdicts(judgement: &Judgement) -> Vec<Verdict> {
        judgement.rows.iter().map(|row| row.verdict).collect()
    }

    #[test]
    fn clear_differences_get_a_verdict_and_small_ones_are_ties() {
        let judgement = judge(&sample(10, &[100.0, 130.0, 101.0, 80.0]), metric::SERVER_CPU, 0.95);
        assert_eq!(verdicts(&judgement), [Verdict::Baseline, Verdict::Greater, Verdict::Tie, Verdict::Less]);
        let ranks: Vec<Option<usize>> = judgement.rows.iter().map(|row| row.rank).collect();
        assert_eq!(ranks, [Some(2), Some(4), Some(2), Some(1)]);
        let (low, high) = judgement.rows[1].interval.unwrap();
        assert!(low > 1.25 && high < 1.35, "{low} {high}");
        let higher = judge(&sample(10, &[100.0, 130.0]), metric::RATE, 0.95);
        assert_eq!(higher.rows[1].rank, Some(1));
    }

    #[test]
    fn rows_with_the_same_ratios_get_the_same_verdict() {
        // Between the level of one comparison and that of two: a correction that depends on the order of rows would call
        // one of them a tie.
        let mut sample = sample(7, &[100.0, 103.0, 103.0]);
        let (own, base) = ([0.9, 3.0, 3.1, 3.2, 3.3, 3.4, 3.5], 100.0);
        for (place, more) in own.iter().enumerate() {
            let block = ("s".to_owned(), place as u32);
            for row in [1, 2] {
                sample.rows[row].insert(block.clone(), base + more);
            }
            for row in [&mut sample.rows[0], &mut sample.twin] {
                row.insert(block.clone(), base);
            }
        }
        let judgement = judge(&sample, metric::SERVER_CPU, 0.95);
        assert_eq!(judgement.rows[1].verdict, judgement.rows[2].verdict);
        assert_eq!(judgement.rows[1].interval, judgement.rows[2].interval);
        assert_eq!(judgement.rows[1].rank, judgement.rows[2].rank);
        // The interval of a row does not depend on how another one came out.
        let mut other = sample.clone();
        other.rows[2].values_mut().for_each(|value| *value = 250.0);
        assert_eq!(judge(&other, metric::SERVER_CPU, 0.95).rows[1], judgement.rows[1]);
    }

    #[test]
    fn a_row_with_a_verdict_does_not_share_the_baselines_rank() {
        let judgement = judge(&sample(12, &[100.0, 104.0, 104.5, 130.0]), metric::SERVER_CPU, 0.95);
        for row in &judgement.rows[1..] {
            assert_eq!(row.verdict == Verdict::Greater, row.rank > Some(1), "{row:?}");
        }
        assert_eq!((judgement.rows[0].rank, judgement.rows[3].rank), (Some(1), Some(4)));
        // Every pair has an interval of its own, and the baseline's are those of the verdicts.
        let with_baseline = judgement.pairs.iter().find(|pair| pair.rows == (0, 3)).unwrap().reversed();
        assert_eq!((with_baseline.verdict, with_baseline.rows), (Verdict::Greater, (3, 0)));
        assert!((with_baseline.ratio / judgement.rows[3].ratio.unwrap() - 1.0).abs() < 1e-6);
        let pair = judgement.pairs.iter().find(|pair| pair.rows == (1, 3)).unwrap();
        assert_eq!(pair.verdict, Verdict::Less);
        assert!(pair.interval.0 < pair.ratio && pair.ratio < pair.interval.1 && pair.interval.1 < 0.9);
    }

    #[test]
    fn too_few_rounds_carry_no_verdict_and_say_how_many_would() {
        let judgement = judge(&sample(6, &[100.0, 200.0, 300.0]), metric::SERVER_CPU, 0.95);
        assert_eq!(judgement.rows[1].verdict, Verdict::TooFew { blocks: 6, needed: 7 });
        assert_eq!(judgement.rows[0].rank, None);
        assert_eq!(
            judge(&sample(7, &[100.0, 200.0, 300.0]), metric::SERVER_CPU, 0.95).rows[1].verdict,
            Verdict::Greater
        );
    }

    #[test]
    fn a_row_without_a_rank_is_before_nobody() {
        let mut sample = sample(10, &[100.0, 130.0, 50.0]);
        // Eight blocks with the baseline for one row, six for the other, which has eight with that one.
        for (row, blocks) in [(0, [0, 1]), (2, [8, 9])] {
            sample.rows[row].retain(|(_, block), _| !blocks.contains(block));
        }
        let judgement = judge(&sample, metric::SERVER_CPU, 0.95);
        let ranks: Vec<Option<usize>> = judgement.rows.iter().map(|row| row.rank).collect();
        assert_eq!(judgement.rows[2].verdict, Verdict::TooFew { blocks: 6, needed: 7 });
        assert_eq!(ranks, [Some(1), Some(2), None]);
    }

    #[test]
    fn a_baseline_that_nothing_is_compared_with_has_no_rank() {
        let mut sample = sample(7, &[100.0, 200.0]);
        assert_eq!(judge(&sample, metric::SERVER_CPU, 0.95).rows[0].rank, Some(1));
        sample.rows[1].clear();
        let judgement = judge(&sample, metric::SERVER_CPU, 0.95);
        assert!(judgement.floor.is_some() && judgement.rows[0].rank.is_none());
    }

    #[test]
    fn a_difference_within_the_floor_is_a_tie_however_steady_it_is() {
        let mut sample = sample(20, &[100.0, 104.0]);
        assert_eq!(judge(&sample, metric::SERVER_CPU, 0.95).rows[1].verdict, Verdict::Greater);
        // The baseline itself was measured 6 % apart.
        sample.twin = values(106.0, 20, 9);
        let judgement = judge(&sample, metric::SERVER_CPU, 0.95);
        assert_eq!(judgement.rows[1].verdict, Verdict::Tie);
        assert!((judgement.floor.unwrap() - 1.06).abs() < 0.01);
    }

    #[test]
    fn metrics_that_are_judged_together_share_the_level() {
        let sample = Sample { metrics: 3, ..sample(7, &[100.0, 130.0, 140.0]) };
        let judgement = judge(&sample, metric::SERVER_CPU, 0.95);
        assert_eq!(judgement.rows[1].verdict, Verdict::TooFew { blocks: 7, needed: 8 });
    }

    #[test]
    fn without_a_twin_or_a_baseline_there_is_no_verdict() {
        let mut sample = sample(10, &[100.0, 200.0]);
        sample.twin.clear();
        assert!(matches!(
            judge(&sample, metric::SERVER_CPU, 0.95).rows[1].verdict,
            Verdict::TooFew { blocks: 0, .. }
        ));
        sample.baseline = None;
        assert!(judge(&sample, metric::SERVER_CPU, 0.95).rows.iter().all(|row| row.rank.is_none()));
    }
}
