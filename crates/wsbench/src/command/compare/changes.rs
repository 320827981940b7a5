//! How each row's ratio to the control row has changed between two runs.

use std::collections::BTreeMap;

use trial::{
    mark::Mark,
    metric::{self, Metric},
    record::Record,
};

use super::condition::Condition;
use crate::analysis::{
    inference::shared_level,
    measured::is_standard,
    rank_sum::{RankSum, regression_level},
    twin::is_twin,
};

/// A row of one scenario: itself, and the other end.
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
    pub(super) scenario: String,
    pub(super) row: String,
    /// What was compared.
    pub(super) metric: Metric,
    /// As a share: 0.1 is +10 %.
    pub(super) change: f64,
    /// Ends of its interval, as log ratios.
    pub(super) interval: Option<(f64, f64)>,
    /// Blocks of both runs that count.
    pub(super) blocks: (usize, usize),
    pub(super) outcome: Outcome,
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is significant at the stricter level, and fails a condition.
    Regression,
    /// It is significant.
    Changed,
    /// It may be noise.
    Noise,
}

/// The changes of all rows in these scenarios, which both runs have. All share one level.
pub(super) fn changes(runs: &Runs<'_>, scenarios: &[String], conditions: &[Condition]) -> Vec<Change> {
    let candidates: Vec<Candidate> =
        scenarios.iter().flat_map(|scenario| candidates(runs, scenario, conditions)).collect();
    let level = shared_level(candidates.len(), runs.confidence);
    candidates.into_iter().map(|candidate| candidate.judged(level)).collect()
}

/// A row whose change by one metric can be judged.
struct Candidate {
    scenario: String,
    row: String,
    condition: Condition,
    metric: Metric,
    /// The log ratios to the control row in both runs.
    old: Vec<f64>,
    new: Vec<f64>,
}

impl Candidate {
    fn judged(self, level: f64) -> Change {
        let Candidate { scenario, row, condition, metric, old, new } = self;
        let shift = RankSum::new(&old, &new);
        let change = shift.shift().exp() - 1.0;
        let p = shift.p_value();
        let outcome = if p <= regression_level(level) && condition.holds(change) {
            Outcome::Regression
        } else if p <= level {
            Outcome::Changed
        } else {
            Outcome::Noise
        };
        let interval = shift.interval(level);
        let blocks = (old.len(), new.len());
        Change { scenario, row, metric, change, interval, blocks, outcome }
    }
}

/// The rows of one scenario that both runs hold, by the metric of each condition.
fn candidates(runs: &Runs<'_>, scenario: &str, conditions: &[Condition]) -> Vec<Candidate> {
    let of = |trials: &'_ [Record]| -> Vec<Record> {
        trials.iter().filter(|trial| trial.scenario.name == scenario).cloned().collect()
    };
    let (base, new) = (of(runs.base), of(runs.new));
    let default = [Condition::worse(metric::ranking(&new[0].scenario, new[0].role))];
    let conditions = if conditions.is_empty() { &default } else { conditions };
    let of_condition = |condition: &Condition| -> Vec<Candidate> {
        let metric = compared_by(condition.metric, &base, &new);
        let before = logs(&base, runs.control, metric);
        let mut after = logs(&new, runs.control, metric);
        let candidate = |(key, old): (Key, Vec<f64>)| {
            let new = after.remove(&key)?;
            let (scenario, row, condition) = (scenario.to_owned(), key.0, *condition);
            Some(Candidate { scenario, row, condition, metric, old, new })
        };
        before.into_iter().filter_map(candidate).collect()
    };
    conditions.iter().flat_map(of_condition).collect()
}

/// The metric by which a change of another one is seen: a cost relative to the other end's, wherever that end is the same
/// program in all trials. A change of the row hardly changes it, so that its share cancels between the runs.
///
/// Where both ends are full, they take the same time a message whatever they cost, and only the row's own cost is left.
fn compared_by(metric: Metric, base: &[Record], new: &[Record]) -> Metric {
    let trials = || base.iter().chain(new);
    let is_full = trials().any(|trial| trial.marks.contains(&Mark::ClientSaturated));
    metric::relative(metric).filter(|_| !is_full && is_standard(trials())).unwrap_or(metric)
}

/// The log ratios of each row to the control row, block by block, without the trials that are marked for the metric.
fn logs(trials: &[Record], control_row: &str, metric: Metric) -> BTreeMap<Key, Vec<f64>> {
    let mut blocks: BTreeMap<(&str, u32), Vec<(Key, f64)>> = BTreeMap::new();
    for trial in trials {
        let spoilt = trial.marks.iter().any(|mark| mark.spoils(metric));
        let figure = metric::figures(trial).get(metric.name).copied();
        let (server, client) = (&trial.server.row, &trial.client.row);
        let (own, other) = (trial.role.own(server, client), trial.role.other(server, client));
        if let Some(figure) = figure.filter(|figure| !spoilt && *figure > 0.0) {
            let block = blocks.entry((&trial.session, trial.block)).or_default();
            block.push(((own.clone(), other.clone()), figure));
        }
    }
    let mut logs: BTreeMap<Key, Vec<f64>> = BTreeMap::new();
    for block in blocks.into_values() {
        let control = block.iter().find(|(key, _)| key.0 == control_row).map(|(_, figure)| *figure);
        let Some(control) = control else { continue };
        let others = block.into_iter().filter(|(key, _)| key.0 != control_row && !is_twin(&key.0));
        others.for_each(|(key, own)| logs.entry(key).or_default().push((own / control).ln()));
    }
    logs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{analysis::results::tests::trial, command::compare::differences::differences};

    /// Ten rounds of tokio and smol. Both ends of a trial share their noise, and smol's server costs so much of tokio's.
    fn run(phase: u32, smol: f64, full: bool) -> Vec<Record> {
        let noise = |block: u32, order: u32| 1.0 + 0.2 * f64::from((block * 7 + order * 5 + phase) % 11);
        let trial = |row: &str, block: u32, order: u32, cost: f64| {
            let noise = noise(block, order);
            let own = 1.0 + 0.001 * f64::from((block * 3 + phase) % 7);
            let cpu = |cost: f64| (cost * noise) as u64;
            let mut record = trial(row, block, order, cpu(5e9 * cost * own));
            record.clients[0].samples.measured.as_mut().unwrap().cpu_ns = 1_000 + cpu(3e9);
            record.marks.extend(full.then_some(Mark::ClientSaturated));
            record
        };
        (0..10).flat_map(|block| [trial("tokio", block, 0, 1.0), trial("smol", block, 1, smol)]).collect()
    }

    fn only_change(old: &[Record], new: &[Record]) -> Change {
        let runs = Runs { base: old, new, control: "tokio", confidence: 0.95 };
        changes(&runs, &["rtt-24".to_owned()], &[]).remove(0)
    }

    #[test]
    fn a_machine_that_is_slower_as_a_whole_changes_nothing() {
        let run = |factor: u64| -> Vec<Record> {
            let block =
                |block| [trial("tokio", block, 0, 5_000 * factor), trial("smol", block, 1, 6_000 * factor)];
            (0..3).flat_map(block).collect()
        };
        let change = only_change(&run(3), &run(2));
        assert_eq!((change.row.as_str(), change.blocks), ("smol", (3, 3)));
        assert!(change.change.abs() < 1e-9);
        assert!(differences(&run(1), &run(2)).is_empty());
    }

    #[test]
    fn what_slows_down_both_ends_of_a_trial_goes_out() {
        let change = only_change(&run(0, 1.2, false), &run(3, 1.2 * 1.05, false));
        assert_eq!((change.metric, change.outcome), (metric::SERVER_CPU_RELATIVE, Outcome::Regression));
        assert!((change.change - 0.05).abs() < 0.005, "{}", change.change);
        let same = only_change(&run(0, 1.2, false), &run(3, 1.2, false));
        assert_eq!(same.outcome, Outcome::Noise);
    }

    #[test]
    fn where_the_client_is_full_the_rows_own_cost_is_compared() {
        let change = only_change(&run(0, 1.2, true), &run(3, 1.2 * 1.05, true));
        assert_eq!((change.metric, change.outcome), (metric::SERVER_CPU, Outcome::Noise));
        let (low, high) = change.interval.unwrap();
        assert!(high - low > 0.1, "{low} {high}");
    }
}
