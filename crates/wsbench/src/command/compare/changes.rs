//! How each row's ratio to the control row has changed between two runs.

use std::collections::BTreeMap;

use trial::{
    metric::{self, Metric},
    record::Record,
};

use super::condition::Condition;
use crate::analysis::{
    statistics::{holm, median, rank_sum_p, rank_sum_rounds_needed, shift_interval},
    twin::is_twin,
    verdict::{Ratio, Value, control_metric, steady},
};

/// Least number of steady blocks of a run, for the median of their controls to mean something.
const LEAST_STEADY: usize = 5;

/// A row of one scenario.
type Key = (String, String);

/// What is compared: the trials of both runs, seen through a row that has not changed.
pub(super) struct Runs<'a> {
    pub(super) base: &'a [Record],
    pub(super) new: &'a [Record],
    /// The control row.
    pub(super) control: &'a str,
    /// Confidence of intervals and verdicts.
    pub(super) confidence: f64,
}

/// One row's change in one scenario by one metric.
pub(super) struct Change {
    pub(super) row: String,
    pub(super) metric: Metric,
    /// As a share: 0.1 is +10 %.
    pub(super) change: f64,
    /// Ends of its interval, as log ratios.
    pub(super) interval: Option<(f64, f64)>,
    /// Blocks of both runs that count.
    pub(super) blocks: (usize, usize),
    /// Ratios that were left out, because the machine changed between the two trials.
    pub(super) unsteady: usize,
    pub(super) outcome: Outcome,
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is significant and fails a condition.
    Regression,
    /// It is significant.
    Changed,
    /// It may be noise.
    Noise,
}

/// The changes of all rows in one scenario that both runs have.
pub(super) fn of_scenario(runs: &Runs<'_>, scenario: &str, conditions: &[Condition]) -> Vec<Change> {
    let of = |trials: &[Record]| -> Vec<Record> {
        trials.iter().filter(|trial| trial.scenario.name == scenario).cloned().collect()
    };
    let (base, new) = (of(runs.base), of(runs.new));
    let default = [Condition::worse(metric::ranking(&new[0].scenario, new[0].role))];
    let conditions = if conditions.is_empty() { &default } else { conditions };
    let own = Runs { base: &base, new: &new, ..*runs };
    conditions.iter().flat_map(|condition| by_condition(&own, *condition)).collect()
}

/// The changes of all rows by one metric, corrected for their number.
fn by_condition(runs: &Runs<'_>, condition: Condition) -> Vec<Change> {
    let (metric, confidence) = (condition.metric, runs.confidence);
    let mut before = ratios(runs.base, runs.control, metric);
    let after = ratios(runs.new, runs.control, metric);
    before.retain(|key, _| after.contains_key(key));
    let needed = rank_sum_rounds_needed(before.len(), confidence).max(LEAST_STEADY);
    let rows: Vec<(&Key, Samples)> =
        before.iter().map(|(key, old)| (key, Samples::new(old, &after[key], needed))).collect();
    let p_of = |samples: &Samples| rank_sum_p(&samples.old, &samples.new);
    let p_values: Vec<f64> = rows.iter().map(|(_, samples)| p_of(samples)).collect();
    let change = |((key, samples), level): (&(&Key, Samples), Option<f64>)| {
        let Samples { old, new, unsteady } = samples;
        let change = median_shift(old, new).exp() - 1.0;
        let outcome = match level {
            Some(_) if condition.holds(change) => Outcome::Regression,
            Some(_) => Outcome::Changed,
            None => Outcome::Noise,
        };
        Change {
            row: key.0.clone(),
            metric,
            change,
            interval: shift_interval(old, new, level.map_or(confidence, |level| 1.0 - level)),
            blocks: (old.len(), new.len()),
            unsteady: *unsteady,
            outcome,
        }
    };
    rows.iter().zip(holm(&p_values, confidence)).map(change).collect()
}

/// A row's log ratios to the control row in both runs.
struct Samples {
    old: Vec<f64>,
    new: Vec<f64>,
    /// Ratios that were left out of them.
    unsteady: usize,
}

impl Samples {
    /// From steady blocks alone, as verdicts have it, where each run has `needed` of these.
    fn new(old: &[Ratio], new: &[Ratio], needed: usize) -> Samples {
        match steady(old, needed).zip(steady(new, needed)) {
            Some((steady_old, steady_new)) => {
                let unsteady = old.len() + new.len() - steady_old.len() - steady_new.len();
                Samples { old: steady_old, new: steady_new, unsteady }
            }
            None => {
                let all = |ratios: &[Ratio]| ratios.iter().map(|ratio| ratio.log).collect();
                Samples { old: all(old), new: all(new), unsteady: 0 }
            }
        }
    }
}

/// The ratios of each row to the control row, block by block, without the trials that are marked for the metric.
fn ratios(trials: &[Record], control_row: &str, metric: Metric) -> BTreeMap<Key, Vec<Ratio>> {
    let other_end = control_metric(metric, trials.iter());
    let mut blocks: BTreeMap<(&str, u32), Vec<(Key, Value)>> = BTreeMap::new();
    for trial in trials {
        let spoilt = trial.marks.iter().any(|mark| mark.spoils(metric));
        let figures = metric::figures(trial);
        let figure = figures.get(metric.name).copied().filter(|figure| !spoilt && *figure > 0.0);
        let (server, client) = (&trial.server.row, &trial.client.row);
        let (own, other) = (trial.role.own(server, client), trial.role.other(server, client));
        if let Some(figure) = figure {
            let control = other_end.and_then(|cost| figures.get(cost.name).copied());
            let block = blocks.entry((&trial.session, trial.block)).or_default();
            block.push(((own.clone(), other.clone()), Value { metric: figure, control }));
        }
    }
    let mut ratios: BTreeMap<Key, Vec<Ratio>> = BTreeMap::new();
    for block in blocks.into_values() {
        let Some(base) = block.iter().find(|(key, _)| key.0 == control_row).map(|(_, value)| *value) else {
            continue;
        };
        for (key, value) in block {
            if key.0 != control_row && !is_twin(&key.0) {
                ratios.entry(key).or_default().push(value.over(base));
            }
        }
    }
    ratios
}

/// The median of all differences between two samples (Hodges and Lehmann).
fn median_shift(left: &[f64], right: &[f64]) -> f64 {
    let differences: Vec<f64> =
        left.iter().flat_map(|left| right.iter().map(move |right| right - left)).collect();
    median(&differences)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{analysis::results::tests::trial, command::compare::differences::differences};

    #[test]
    fn a_machine_that_is_slower_as_a_whole_changes_nothing() {
        let run = |factor: u64| -> Vec<Record> {
            let block =
                |block| [trial("tokio", block, 0, 5_000 * factor), trial("smol", block, 1, 6_000 * factor)];
            (0..3).flat_map(block).collect()
        };
        let (slow, fast) =
            (ratios(&run(3), "tokio", metric::SERVER_CPU), ratios(&run(2), "tokio", metric::SERVER_CPU));
        let key = ("smol".to_owned(), "tokio".to_owned());
        assert_eq!(slow.keys().collect::<Vec<_>>(), [&key]);
        let samples = Samples::new(&slow[&key], &fast[&key], 3);
        assert!(median_shift(&samples.old, &samples.new).abs() < 1e-9);
        assert!(differences(&run(1), &run(2)).is_empty());
    }

    #[test]
    fn blocks_in_which_the_machine_changed_do_not_count() {
        let ratio = |log: f64, control: f64| Ratio { log, control: Some(control) };
        let (calm, slow_phase) = ([0.1, 0.11, 0.12].map(|log| ratio(log, 0.2)), ratio(0.3, 0.4));
        let restless: Vec<Ratio> = calm.into_iter().chain([slow_phase]).collect();
        let samples = Samples::new(&calm, &restless, 3);
        assert_eq!((samples.old.len(), samples.new.len(), samples.unsteady), (3, 3, 1));
        // Rather all than too few, and then in both runs.
        let samples = Samples::new(&calm, &restless, 4);
        assert_eq!((samples.old.len(), samples.new.len(), samples.unsteady), (3, 4, 0));
        let samples = Samples::new(&[Ratio { log: 0.1, control: None }; 3], &restless, 3);
        assert_eq!((samples.new.len(), samples.unsteady), (4, 0));
    }
}
