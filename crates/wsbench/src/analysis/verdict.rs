//! From the figures of many rounds to *faster*, *slower* or *tie*: by the letter of docs/METHODOLOGY.md.
//!
//! Values are compared only inside a block, by the test of [`inference`](super::inference). A verdict needs the interval of
//! the log ratio to lie wholly beyond the floor, which is how far the baseline was found to differ from itself. The level of
//! the interval is an equal share of what all comparisons of a scenario may err. It is fixed before anything is seen, so
//! that rows with the same ratios get the same verdict.

use std::collections::{BTreeMap, BTreeSet};

use bench_core::spec::Pacing;
use trial::{
    metric::{self, Metric},
    record::Record,
};

use crate::analysis::inference::{estimate, interval, rounds_needed, shared_level};

/// A block of a run.
pub type Block = (String, u32);

/// What one trial says: the value of the metric that is judged, and a control.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// The metric.
    pub metric: f64,
    /// What the other end of the trial cost, where it is the same program in every trial.
    pub control: Option<f64>,
}

impl Value {
    /// The log ratio to another trial's; `None` where the basis needs a control and one is missing.
    pub(crate) fn over(self, base: Value, basis: Basis) -> Option<f64> {
        let own = (self.metric / base.metric).ln();
        let log = match basis {
            Basis::Own => own,
            Basis::RelativeToOtherEnd => own - (self.control? / base.control?).ln(),
        };
        log.is_finite().then_some(log)
    }
}

/// What of two trials is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// The metric as it is. Claims what it says: that a server costs more. The noise that is common to both ends of a trial
    /// stays in it.
    #[default]
    Own,
    /// The metric over the same of the other end of its trial, as an internal standard: the other end is the same program
    /// in the same window, so that what slows down both ends goes out. This is three to six times sharper, and another
    /// claim: that a server costs more *relative to its client*. A server can change its client's cost, too. Two builds of
    /// one row hardly do that differently. Where both ends are full, they take the same time whatever they cost, and the
    /// quotient is blind.
    RelativeToOtherEnd,
}

/// One row's trials that count for verdicts, by block.
pub type Values = BTreeMap<Block, Value>;

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
    /// What is compared.
    pub basis: Basis,
    /// The program that each row is a build of, by name. Two builds of one program are compared relative to the other end,
    /// whatever the basis of the others is. Empty where no two rows are.
    pub programs: Vec<String>,
    /// Metrics by which these rows are judged together, if more than one: all comparisons share one level.
    pub metrics: usize,
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
    /// What was compared.
    pub basis: Basis,
    /// The estimated ratio to the baseline.
    pub ratio: Option<f64>,
    /// The interval of that ratio by which the verdict was reached; with too few blocks for one, an interval of its own
    /// that is not corrected for the number of rows.
    pub interval: Option<(f64, f64)>,
    /// 1 + the number of rows that are better than this one.
    pub rank: Option<usize>,
}

/// Two rows with a rank, neither of them the baseline, compared with each other.
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

/// The judgement of all rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// How far the baseline differs from itself, as a ratio over 1; a difference within it is a tie.
    pub floor: Option<f64>,
    /// The same relative to the other end, where some row is compared so and others are not.
    pub relative_floor: Option<f64>,
    /// One for each row, in their order.
    pub rows: Vec<Judged>,
    /// All pairs of rows with a rank but those with the baseline.
    pub pairs: Vec<Pair>,
}

/// Judges the rows of a sample of a metric.
pub fn judge(sample: &Sample, metric: Metric, confidence: f64) -> Judgement {
    let comparison = Comparison::new(sample, confidence);
    let mut rows = comparison.judged();
    let pairs = comparison.pairs(&rows);
    for (place, rank) in comparison.ranks(&rows, &pairs, metric) {
        rows[place].rank = Some(rank);
    }
    let is_mixed = rows.iter().any(|row| row.basis != sample.basis);
    Judgement {
        floor: comparison.floor(sample.basis).map(f64::exp),
        relative_floor: comparison.floor(Basis::RelativeToOtherEnd).filter(|_| is_mixed).map(f64::exp),
        rows,
        pairs,
    }
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
    floors: [Option<f64>; 2],
}

impl<'a> Comparison<'a> {
    fn new(sample: &'a Sample, confidence: f64) -> Comparison<'a> {
        static NONE: Values = Values::new();
        let base = sample.baseline.map_or(&NONE, |place| &sample.rows[place]);
        let comparisons = sample.rows.len().saturating_sub(1) * sample.metrics.max(1);
        let floor = |basis: Basis| floor(&logs(&sample.twin, base, basis), confidence);
        Comparison {
            sample,
            base,
            confidence,
            level: shared_level(comparisons, confidence),
            needed: rounds_needed(comparisons, confidence),
            floors: [floor(Basis::Own), floor(Basis::RelativeToOtherEnd)],
        }
    }

    fn floor(&self, basis: Basis) -> Option<f64> {
        self.floors[usize::from(basis == Basis::RelativeToOtherEnd)]
    }

    fn is_baseline(&self, place: usize) -> bool {
        Some(place) == self.sample.baseline
    }

    /// What of two rows is compared.
    fn basis(&self, one: usize, other: usize) -> Basis {
        let programs = &self.sample.programs;
        let are_builds =
            one != other && programs.get(one).is_some_and(|program| programs.get(other) == Some(program));
        if are_builds { Basis::RelativeToOtherEnd } else { self.sample.basis }
    }

    /// Every row against the baseline, without ranks.
    fn judged(&self) -> Vec<Judged> {
        (0..self.sample.rows.len()).map(|place| self.judged_row(place)).collect()
    }

    fn judged_row(&self, place: usize) -> Judged {
        if self.is_baseline(place) {
            let basis = self.sample.basis;
            return Judged { verdict: Verdict::Baseline, basis, ratio: None, interval: None, rank: None };
        }
        let basis = self.basis(place, self.sample.baseline.unwrap_or(place));
        let logs = logs(&self.sample.rows[place], self.base, basis);
        let ratio = (!logs.is_empty()).then(|| estimate(&logs).exp());
        let enough = logs.len() >= self.needed;
        let (verdict, bounds) = match self.floor(basis).filter(|_| enough) {
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
        Judged {
            verdict,
            basis,
            ratio,
            interval: bounds.map(|(low, high)| (low.exp(), high.exp())),
            rank: None,
        }
    }

    /// The rows that have a rank, by place.
    fn ranked(&self, rows: &[Judged]) -> Vec<usize> {
        let decided =
            rows.iter().any(|row| !matches!(row.verdict, Verdict::Baseline | Verdict::TooFew { .. }));
        let has_rank = |place: &usize| match rows[*place].verdict {
            // First of one is not a rank.
            Verdict::Baseline => decided,
            Verdict::TooFew { .. } => false,
            Verdict::Greater | Verdict::Less | Verdict::Tie => true,
        };
        (0..rows.len()).filter(has_rank).collect()
    }

    /// All pairs of rows with a rank but the baseline.
    fn pairs(&self, rows: &[Judged]) -> Vec<Pair> {
        let ranked = self.ranked(rows);
        let others: Vec<usize> = ranked.into_iter().filter(|place| !self.is_baseline(*place)).collect();
        let pairs = others.iter().enumerate().flat_map(|(place, one)| {
            others[place + 1..].iter().filter_map(move |other| self.pair(*one, *other))
        });
        pairs.collect()
    }

    fn pair(&self, one: usize, other: usize) -> Option<Pair> {
        let basis = self.basis(one, other);
        let logs = logs(&self.sample.rows[one], &self.sample.rows[other], basis);
        let floor = self.floor(basis).filter(|_| logs.len() >= self.needed)?;
        let bounds = interval(&logs, self.level)?;
        Some(Pair {
            rows: (one, other),
            ratio: estimate(&logs).exp(),
            interval: (bounds.0.exp(), bounds.1.exp()),
            verdict: beyond(bounds, floor),
        })
    }

    /// The places of the rows that have a rank, with their ranks.
    fn ranks(&self, rows: &[Judged], pairs: &[Pair], metric: Metric) -> Vec<(usize, usize)> {
        let better = if metric.higher_is_better { Verdict::Greater } else { Verdict::Less };
        let mut ranks: BTreeMap<usize, usize> =
            self.ranked(rows).into_iter().map(|place| (place, 1)).collect();
        let of_baseline =
            self.sample.baseline.into_iter().flat_map(|base| {
                rows.iter().enumerate().map(move |(place, row)| ((place, base), row.verdict))
            });
        for ((one, other), verdict) in of_baseline.chain(pairs.iter().map(|pair| (pair.rows, pair.verdict))) {
            let worse = match verdict {
                Verdict::Greater | Verdict::Less if verdict == better => other,
                Verdict::Greater | Verdict::Less => one,
                Verdict::Baseline | Verdict::Tie | Verdict::TooFew { .. } => continue,
            };
            *ranks.entry(worse).or_insert(1) += 1;
        }
        ranks.into_iter().collect()
    }
}

/// The log ratios of two rows in the blocks that hold both.
fn logs(row: &Values, base: &Values, basis: Basis) -> Vec<f64> {
    let in_both = row.iter().filter_map(|(block, value)| Some((*value, *base.get(block)?)));
    in_both.filter_map(|(value, base)| value.over(base, basis)).collect()
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

/// What tells how fast the machine was while a metric was measured: the same cost of the other end, where that is one and
/// the same program in every trial.
pub(crate) fn control_metric<'a>(
    metric: Metric,
    trials: impl Iterator<Item = &'a Record> + Clone,
) -> Option<Metric> {
    let control = match metric {
        metric::SERVER_CPU => metric::CLIENT_CPU,
        metric::CLIENT_CPU => metric::SERVER_CPU,
        _ => return None,
    };
    let other = |trial: &'a Record| trial.role.other(&trial.server.row, &trial.client.row);
    let others: BTreeSet<&String> = trials.clone().map(other).collect();
    // One that spins uses its core whole, whatever the machine is like.
    let spins = trials.clone().any(|trial| trial.pacing == Some(Pacing::Spin));
    (others.len() == 1 && !spins).then_some(control)
}

/// The ratios of a row to the baseline with an interval that is not corrected, for metrics that get no verdict.
pub fn plain_interval(ratios: &[f64], confidence: f64) -> Option<(f64, f64)> {
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    interval(&logs, shared_level(1, confidence)).map(|(low, high)| (low.exp(), high.exp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values around `centre`, moved a little from block to block, the same for every row but for `phase`.
    fn values(centre: f64, blocks: u32, phase: u32) -> Values {
        let wave = |block: u32| 1.0 + 0.004 * f64::from((block * 7 + phase * 3) % 11) - 0.02;
        let value = |block| Value { metric: centre * wave(block), control: Some(1.0) };
        (0..blocks).map(|block| (("s".to_owned(), block), value(block))).collect()
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
                sample.rows[row].get_mut(&block).unwrap().metric = base + more;
            }
            for row in [&mut sample.rows[0], &mut sample.twin] {
                row.get_mut(&block).unwrap().metric = base;
            }
        }
        let judgement = judge(&sample, metric::SERVER_CPU, 0.95);
        assert_eq!(judgement.rows[1].verdict, judgement.rows[2].verdict);
        assert_eq!(judgement.rows[1].interval, judgement.rows[2].interval);
        assert_eq!(judgement.rows[1].rank, judgement.rows[2].rank);
        // The interval of a row does not depend on how another one came out.
        let mut other = sample.clone();
        other.rows[2].values_mut().for_each(|value| value.metric = 250.0);
        assert_eq!(judge(&other, metric::SERVER_CPU, 0.95).rows[1], judgement.rows[1]);
    }

    #[test]
    fn a_row_with_a_verdict_does_not_share_the_baselines_rank() {
        let judgement = judge(&sample(12, &[100.0, 104.0, 104.5, 130.0]), metric::SERVER_CPU, 0.95);
        for row in &judgement.rows[1..] {
            assert_eq!(row.verdict == Verdict::Greater, row.rank > Some(1), "{row:?}");
        }
        assert_eq!((judgement.rows[0].rank, judgement.rows[3].rank), (Some(1), Some(4)));
        // Pairs without the baseline have intervals of their own.
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
    fn builds_of_one_program_are_compared_relative_to_the_other_end() {
        let mut sample = sample(10, &[100.0, 104.0, 106.0]);
        // Noise of 10 % that is common to both ends of a trial.
        for (row, values) in sample.rows.iter_mut().chain([&mut sample.twin]).enumerate() {
            for (place, value) in values.values_mut().enumerate() {
                let slow = 1.0 + 0.1 * ((place * 5 + row * 3) % 7) as f64;
                *value = Value { metric: value.metric * slow, control: Some(slow) };
            }
        }
        sample.programs = ["tokio", "tokio", "smol"].map(str::to_owned).into();
        let judgement = judge(&sample, metric::SERVER_CPU, 0.95);
        let [_, build, other] = judgement.rows[..] else { panic!("three rows") };
        assert_eq!((build.basis, build.verdict), (Basis::RelativeToOtherEnd, Verdict::Greater));
        assert_eq!((other.basis, other.verdict), (Basis::Own, Verdict::Tie));
        assert!(judgement.relative_floor.unwrap() < 1.01);
        // So is every row where that is what is asked for.
        let relative = judge(
            &Sample { basis: Basis::RelativeToOtherEnd, programs: Vec::new(), ..sample },
            metric::SERVER_CPU,
            0.95,
        );
        assert_eq!(verdicts(&relative), [Verdict::Baseline, Verdict::Greater, Verdict::Greater]);
        assert_eq!(relative.relative_floor, None);
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
