//! From the figures of many rounds to *faster*, *slower* or *tie*: by the letter of docs/METHODOLOGY.md.
//!
//! Values are compared only inside a block. A verdict needs the corrected interval of the log ratio to lie wholly
//! beyond the floor, which is how far the baseline differs from itself.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use bench_core::spec::Pacing;
use trial::{
    metric::{self, Metric},
    record::Record,
};

use crate::analysis::statistics::{Test, holm, interval, median, p_value, rounds_needed};

/// The tests that verdicts use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tests {
    /// Where a control has left only steady blocks.
    pub steady: Test,
    /// Where there is no control, or it would have left too few.
    pub other: Test,
}

/// What the simulation chose (tests/simulation.rs; docs/METHODOLOGY.md has its figures). All hold their level. The slow
/// phases of a virtual machine move one ratio in six by far more than any difference looked for: counting signs, the true
/// one is found more often than by weighing them. Where a control has told those phases, weighing finds more.
pub const TESTS: Tests = Tests { steady: Test::SignedRank, other: Test::Sign };

/// A block of a run.
pub type Block = (String, u32);

/// What one trial says: the value of the metric that is judged, and a control.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// The metric.
    pub metric: f64,
    /// What the other end, which is the same program in every trial, cost: it tells what the machine was like.
    pub control: Option<f64>,
}

impl Value {
    /// The ratio to another trial's.
    pub(crate) fn over(self, base: Value) -> Ratio {
        let control = self.control.zip(base.control).map(|(own, base)| (own / base).ln());
        Ratio { log: (self.metric / base.metric).ln(), control }
    }
}

/// Of two trials of a block: the log ratio of the metric, and that of the control.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) log: f64,
    pub(crate) control: Option<f64>,
}

/// One row's trials that count for verdicts, by block.
pub type Values = BTreeMap<Block, Value>;

/// How far the controls of two trials may differ from what they do in the median block, on log scale. Beyond, the machine
/// has changed between the two: steady blocks stay within 1 %, and a slow phase of a virtual machine moves them by 10 to
/// 25 %.
const STEADY: f64 = 0.03;

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
    /// The median of the ratios to the baseline in the blocks that count.
    pub ratio: Option<f64>,
    /// Blocks that do not count because the machine changed between the two trials.
    pub unsteady: usize,
    /// The ratio to the baseline, with the confidence that the correction asks for.
    pub interval: Option<(f64, f64)>,
    /// 1 + the number of rows that are better than this one: the baseline by the verdict, every other pair in the same way.
    pub rank: Option<usize>,
}

/// The judgement of all rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// How far the baseline differs from itself, as a ratio over 1; a difference within it is a tie.
    pub floor: Option<f64>,
    /// Blocks that do not count for the floor because the machine changed between the baseline's two trials.
    pub floor_unsteady: usize,
    /// One for each row, in their order.
    pub rows: Vec<Judged>,
}

/// Judges the rows of a sample of a metric.
pub fn judge(sample: &Sample, metric: Metric, confidence: f64) -> Judgement {
    judge_by(TESTS, sample, metric, confidence)
}

/// The same by tests of one's choice, for the simulation that chose those above.
pub fn judge_by(tests: Tests, sample: &Sample, metric: Metric, confidence: f64) -> Judgement {
    let comparison = Comparison::new(tests, sample, confidence);
    let mut rows = comparison.judged();
    let ranks = comparison.ranks(&rows, metric);
    for (place, rank) in ranks {
        rows[place].rank = Some(rank);
    }
    Judgement { floor: comparison.floor.map(f64::exp), floor_unsteady: comparison.twin.unsteady, rows }
}

/// A sample whose rows have been tested against the baseline.
struct Comparison<'a> {
    tests: Tests,
    sample: &'a Sample,
    base: &'a Values,
    confidence: f64,
    /// The level of pairs without the baseline, and of rows that Holm's correction leaves undecided: every row counts as
    /// one comparison.
    level: f64,
    /// Blocks that a row needs for a verdict.
    needed: usize,
    twin: Ratios,
    floor: Option<f64>,
    /// Each row's ratios to the baseline.
    against: Vec<Ratios>,
    /// For each row with blocks enough, by its place: the level that it reached by Holm's correction, if it reached one.
    reached: BTreeMap<usize, Option<f64>>,
}

impl<'a> Comparison<'a> {
    fn new(tests: Tests, sample: &'a Sample, confidence: f64) -> Comparison<'a> {
        static NONE: Values = Values::new();
        let base = sample.baseline.map_or(&NONE, |place| &sample.rows[place]);
        let others = sample.rows.len().saturating_sub(1);
        let needed_for_floor = rounds_needed(1, confidence);
        let needed = rounds_needed(others, confidence).max(needed_for_floor);
        let twin = Ratios::new(tests, &sample.twin, base, needed_for_floor);
        let against: Vec<Ratios> =
            sample.rows.iter().map(|row| Ratios::new(tests, row, base, needed)).collect();
        let compared: Vec<usize> = (0..sample.rows.len())
            .filter(|place| Some(*place) != sample.baseline && against[*place].logs.len() >= needed)
            .collect();
        let p_values: Vec<f64> = compared.iter().map(|place| against[*place].p_value()).collect();
        Comparison {
            tests,
            sample,
            base,
            confidence,
            level: (1.0 - confidence) / others.max(1) as f64,
            needed,
            floor: floor(&twin, confidence),
            twin,
            against,
            reached: compared.into_iter().zip(holm(&p_values, confidence)).collect(),
        }
    }

    fn is_baseline(&self, place: usize) -> bool {
        Some(place) == self.sample.baseline
    }

    /// Every row against the baseline, without ranks.
    fn judged(&self) -> Vec<Judged> {
        let judged = |(place, ratios): (usize, &Ratios)| {
            if self.is_baseline(place) {
                return Judged {
                    verdict: Verdict::Baseline,
                    ratio: None,
                    unsteady: 0,
                    interval: None,
                    rank: None,
                };
            }
            let (verdict, bounds) = self.verdict(place, ratios);
            Judged {
                verdict,
                ratio: (!ratios.logs.is_empty()).then(|| median(&ratios.logs).exp()),
                unsteady: ratios.unsteady,
                interval: bounds.map(|(low, high)| (low.exp(), high.exp())),
                rank: None,
            }
        };
        self.against.iter().enumerate().map(judged).collect()
    }

    /// The verdict on a row, and the interval of its log ratio.
    fn verdict(&self, place: usize, ratios: &Ratios) -> (Verdict, Option<(f64, f64)>) {
        let Some((floor, reached)) = self.floor.zip(self.reached.get(&place).copied()) else {
            let blocks = ratios.logs.len().min(self.sample.twin.len());
            return (Verdict::TooFew { blocks, needed: self.needed }, ratios.interval(self.confidence));
        };
        let bounds = ratios.interval(1.0 - reached.unwrap_or(self.level));
        let verdict = match bounds.filter(|_| reached.is_some()).map(|bounds| beyond(bounds, floor)) {
            Some(Ordering::Greater) => Verdict::Greater,
            Some(Ordering::Less) => Verdict::Less,
            Some(Ordering::Equal) | None => Verdict::Tie,
        };
        (verdict, bounds)
    }

    /// The places of the rows that have a rank, with their ranks.
    fn ranks(&self, rows: &[Judged], metric: Metric) -> Vec<(usize, usize)> {
        let ranked: Vec<usize> =
            (0..rows.len()).filter(|place| self.is_ranked(*place, rows[*place].verdict)).collect();
        let rank = |place: usize| {
            1 + ranked.iter().filter(|other| self.is_better(**other, place, rows, metric)).count()
        };
        ranked.iter().map(|place| (*place, rank(*place))).collect()
    }

    fn is_ranked(&self, place: usize, verdict: Verdict) -> bool {
        let can_be = match verdict {
            // First of one is not a rank.
            Verdict::Baseline => !self.reached.is_empty(),
            Verdict::TooFew { .. } => false,
            Verdict::Greater | Verdict::Less | Verdict::Tie => true,
        };
        let has_blocks = |row: &Values| row.len() >= self.needed;
        can_be && self.floor.is_some() && has_blocks(self.base) && has_blocks(&self.sample.rows[place])
    }

    /// Whether one row is better than another by a metric.
    fn is_better(&self, one: usize, other: usize, rows: &[Judged], metric: Metric) -> bool {
        let (better, worse) = match metric.higher_is_better {
            true => (Verdict::Greater, Verdict::Less),
            false => (Verdict::Less, Verdict::Greater),
        };
        // What has a verdict is judged by it: a rank never says otherwise.
        if self.is_baseline(one) {
            return rows[other].verdict == worse;
        }
        if self.is_baseline(other) {
            return rows[one].verdict == better;
        }
        let rows = &self.sample.rows;
        let ratios = Ratios::new(self.tests, &rows[one], &rows[other], self.needed);
        let Some((floor, bounds)) = self.floor.zip(ratios.interval(1.0 - self.level)) else { return false };
        let wanted = if metric.higher_is_better { Ordering::Greater } else { Ordering::Less };
        ratios.logs.len() >= self.needed && beyond(bounds, floor) == wanted
    }
}

/// The larger end of the interval of the baseline's ratio to itself.
fn floor(twin: &Ratios, confidence: f64) -> Option<f64> {
    twin.interval(confidence).map(|(low, high)| low.abs().max(high.abs()).max(LEAST_FLOOR))
}

/// Whether an interval lies wholly above the floor or wholly below it; `Equal` where it does neither.
fn beyond((low, high): (f64, f64), floor: f64) -> Ordering {
    if low > floor {
        Ordering::Greater
    } else if high < -floor {
        Ordering::Less
    } else {
        Ordering::Equal
    }
}

/// The log ratios of two rows.
struct Ratios {
    logs: Vec<f64>,
    /// The test that suits them.
    test: Test,
    /// Blocks that were left out of them.
    unsteady: usize,
}

impl Ratios {
    /// In the blocks that hold both, but for those in which the control says that the machine changed between the two
    /// trials. Where fewer than `needed` would be left, all count: better a wide interval than none.
    ///
    /// What is left out is decided by the control alone. Equal rows stay exchangeable in each block that is left, so that
    /// the test holds its level.
    fn new(tests: Tests, row: &Values, base: &Values, needed: usize) -> Ratios {
        let in_both = row.iter().filter_map(|(block, value)| Some((*value, *base.get(block)?)));
        let pairs: Vec<Ratio> = in_both
            .filter(|(value, base)| value.metric > 0.0 && base.metric > 0.0)
            .map(|(value, base)| value.over(base))
            .collect();
        match steady(&pairs, needed) {
            Some(logs) => Ratios { unsteady: pairs.len() - logs.len(), logs, test: tests.steady },
            None => {
                Ratios { logs: pairs.iter().map(|pair| pair.log).collect(), test: tests.other, unsteady: 0 }
            }
        }
    }

    fn p_value(&self) -> f64 {
        p_value(self.test, &self.logs)
    }

    fn interval(&self, confidence: f64) -> Option<(f64, f64)> {
        interval(self.test, &self.logs, confidence)
    }
}

/// The log ratios between whose two trials the machine did not change.
///
/// None where a control is missing, or fewer than `needed` would be left.
pub(crate) fn steady(pairs: &[Ratio], needed: usize) -> Option<Vec<f64>> {
    let controls: Vec<f64> = pairs.iter().filter_map(|pair| pair.control).collect();
    if controls.is_empty() || controls.len() < pairs.len() {
        return None;
    }
    let usual = median(&controls);
    let of_both = pairs.iter().zip(&controls);
    let steady = of_both.filter(|(_, control)| (*control - usual).abs() <= STEADY).map(|(pair, _)| pair.log);
    Some(steady.collect()).filter(|steady: &Vec<f64>| steady.len() >= needed)
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
    interval(TESTS.other, &logs, confidence).map(|(low, high)| (low.exp(), high.exp()))
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
        Sample { rows, baseline: Some(0), twin: values(centres[0], blocks, 9) }
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
    fn a_row_with_a_verdict_does_not_share_the_baselines_rank() {
        let mut centres = vec![200.0; 15];
        (centres[0], centres[14]) = (100.0, 130.0);
        let mut sample = sample(12, &centres);
        for value in sample.rows.iter_mut().chain([&mut sample.twin]).flat_map(|row| row.values_mut()) {
            value.control = None;
        }
        // By Holm one round of twelve may contradict the last row to be decided; of fifteen rows at once, none may.
        sample.rows[14].get_mut(&("s".to_owned(), 3)).unwrap().metric = 90.0;
        let judgement = judge(&sample, metric::SERVER_CPU, 0.95);
        assert_eq!((judgement.rows[14].verdict, judgement.rows[14].rank), (Verdict::Greater, Some(2)));
        assert_eq!(judgement.rows[0].rank, Some(1));
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
        for (place, value) in sample.twin.values_mut().enumerate() {
            value.metric = if place % 2 == 0 { 90.0 } else { 110.0 };
        }
        assert_eq!(judge(&sample, metric::SERVER_CPU, 0.95).rows[1].verdict, Verdict::Tie);
    }

    #[test]
    fn blocks_in_which_the_machine_changed_do_not_count() {
        let mut sample = sample(12, &[100.0, 105.0]);
        // The machine was slower by a fifth for one of the two in three blocks, and the other end shows it.
        for (_, value) in sample.rows[1].iter_mut().take(3) {
            *value = Value { metric: value.metric * 0.8, control: Some(0.8) };
        }
        let judged = judge(&sample, metric::SERVER_CPU, 0.95).rows[1];
        assert_eq!((judged.verdict, judged.unsteady), (Verdict::Greater, 3));
        assert!((judged.ratio.unwrap() - 1.05).abs() < 0.02, "{judged:?}");
        sample.rows[1].values_mut().for_each(|value| value.control = None);
        assert_eq!(judge(&sample, metric::SERVER_CPU, 0.95).rows[1].unsteady, 0);
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
