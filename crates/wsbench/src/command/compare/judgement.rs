//! What is found of each row of BASE: the same, better, worse, or not judged, and why.

use std::collections::{BTreeMap, BTreeSet};

use trial::{
    mark::Mark,
    metric::{self, Metric},
    record::Record,
};

use super::{
    condition::Condition,
    side::{Key, Side, Trial, both},
};
use crate::analysis::{
    inference::shared_level,
    measured::is_standard,
    rank_sum::{RankSum, blocks_needed, regression_level},
    statistics::median,
};

/// The two runs, and how they are compared.
pub(super) struct Comparison<'a> {
    pub(super) base: &'a Side,
    pub(super) new: &'a Side,
    /// The row that has not changed, through which the others are seen.
    pub(super) control: &'a str,
    /// Confidence of intervals and verdicts.
    pub(super) confidence: f64,
}

/// What is said of one row in one scenario by one metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) scenario: String,
    /// The row; `None` where it is said of all rows of the scenario.
    pub(super) row: Option<String>,
    /// What was compared.
    pub(super) metric: Metric,
    /// Trials of BASE and NEW.
    pub(super) trials: (Trials, Trials),
    pub(super) finding: Finding,
}

/// How many trials of a row there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trials {
    /// Those whose figures are compared.
    pub(super) compared: usize,
    pub(super) failed: usize,
    /// Those with a mark that withdraws the metric.
    pub(super) marked: usize,
}

/// What a comparison of one row comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Finding {
    Judged(Change),
    NotJudged(Reason),
}

/// How a metric of a row has changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) verdict: Verdict,
    pub(super) size: Size,
}

/// How large a change is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Size {
    /// Of the ratio to the control row, as a share: 0.1 is +10 %. The interval is of the same.
    Ratio { change: f64, interval: Option<(f64, f64)> },
    /// Of the values themselves, because some are 0 or less and have no ratio: their medians.
    Values { base: f64, new: f64 },
}

impl Size {
    /// The change as a share, infinite where something came out of nothing.
    fn share(self) -> f64 {
        match self {
            Size::Ratio { change, .. } => change,
            Size::Values { base, new } if base == new => 0.0,
            Size::Values { base, new } => (new - base) / base.abs(),
        }
    }
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No change was shown.
    Same,
    Better,
    Worse,
    /// It is significant at the stricter level, and meets a condition that fails the comparison.
    Regression,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::Regression => "regression",
        }
    }
}

/// Why something could not be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// NEW does not hold it.
    Missing,
    /// NEW holds the row with another one at the other end.
    OtherEnd { base: String, new: String },
    /// Every trial failed.
    Failed { side: &'static str, trials: usize },
    /// A mark withdraws the metric in every trial that did not fail.
    Marked { side: &'static str, trials: usize, marks: BTreeSet<Mark> },
    /// Too few blocks hold both the row and the control row.
    TooFew { base: usize, new: usize, needed: usize },
    /// No trial has a value of the metric.
    NoValue { sides: &'static str },
    /// The control row has no value there.
    NoControl { side: &'static str, control: String },
}

impl Reason {
    /// The reason for a person.
    pub(super) fn text(&self) -> String {
        match self {
            Reason::Missing => "missing in NEW".to_owned(),
            Reason::OtherEnd { base, new } => format!("its other end is {base} in BASE and {new} in NEW"),
            Reason::Failed { side, trials: 1 } => format!("its only trial in {side} failed"),
            Reason::Failed { side, trials } => format!("all {trials} trials in {side} failed"),
            Reason::Marked { side, trials, marks } => {
                let marks: Vec<&str> = marks.iter().map(|mark| mark.name()).collect();
                format!("all {trials} trials in {side} are marked {}", marks.join(", "))
            }
            Reason::TooFew { base, new, needed } => {
                format!("needs {needed} blocks of each run; BASE has {base}, NEW has {new}")
            }
            Reason::NoValue { sides } => format!("no value in {sides}"),
            Reason::NoControl { side, control } => {
                format!("the control row {control} has no value in {side}")
            }
        }
    }
}

/// Everything that is said of the rows of BASE. All comparisons share one level, also those that turn out impossible: the
/// level does not depend on how NEW came out.
pub(super) fn judge(comparison: &Comparison<'_>, conditions: &[Condition]) -> Vec<Entry> {
    let planned: Vec<Planned<'_>> = comparison
        .base
        .scenarios()
        .into_iter()
        .flat_map(|scenario| plan(comparison, scenario, conditions))
        .collect();
    let comparisons = planned.iter().map(|planned| planned.rows.len()).sum();
    let level = shared_level(comparisons, comparison.confidence);
    let mut entries: Vec<Entry> =
        planned.iter().flat_map(|planned| planned.judged(comparison, level)).collect();
    // A metric that one scenario has and another one lacks was not meant for the other.
    let is_nowhere = |entry: &Entry| {
        entry.row.is_none() && entry.finding == Finding::NotJudged(Reason::NoValue { sides: BOTH })
    };
    // A scenario that NEW does not hold says nothing of its metrics.
    let is_gone = |entry: &Entry| entry.finding == Finding::NotJudged(Reason::Missing);
    let with_values = entries.iter().filter(|entry| !is_nowhere(entry) && !is_gone(entry));
    let somewhere: BTreeSet<&str> = with_values.map(|entry| entry.metric.name).collect();
    entries.retain(|entry| !is_nowhere(entry) || !somewhere.contains(entry.metric.name));
    entries
}

const BOTH: &str = "BASE and NEW";

/// The rows of a scenario that are compared by one metric.
struct Planned<'a> {
    scenario: &'a str,
    condition: Condition,
    metric: Metric,
    rows: Vec<Key>,
}

fn plan<'a>(comparison: &Comparison<'a>, scenario: &'a str, conditions: &[Condition]) -> Vec<Planned<'a>> {
    let base = comparison.base.of(scenario);
    let first = &base[0].record;
    let default = [Condition::worse(metric::ranking(&first.scenario, first.role))];
    let conditions = if conditions.is_empty() { &default } else { conditions };
    let rows: Vec<Key> =
        comparison.base.rows(scenario).into_iter().filter(|key| key.row != comparison.control).collect();
    let new = comparison.new.of(scenario);
    let trials: Vec<&Record> = base.iter().chain(&new).map(|trial| &trial.record).collect();
    let planned = |condition: &Condition| Planned {
        scenario,
        condition: *condition,
        metric: compared_by(condition.metric, &trials),
        rows: rows.clone(),
    };
    conditions.iter().map(planned).collect()
}

impl Planned<'_> {
    fn judged(&self, comparison: &Comparison<'_>, level: f64) -> Vec<Entry> {
        let Comparison { base, new, control, .. } = comparison;
        let of_all = |reason: Reason| {
            let (scenario, metric) = (self.scenario.to_owned(), self.metric);
            let finding = Finding::NotJudged(reason);
            vec![Entry { scenario, row: None, metric, trials: Default::default(), finding }]
        };
        if new.of(self.scenario).is_empty() {
            return of_all(Reason::Missing);
        }
        let has = |side: &Side| side.of(self.scenario).iter().any(|trial| trial.value(self.metric).is_some());
        if !has(base) && !has(new) && self.is_measured(base) && self.is_measured(new) {
            return of_all(Reason::NoValue { sides: BOTH });
        }
        for (side, name) in both(base, new) {
            if !side.rows(self.scenario).iter().any(|key| key.row == *control) {
                return of_all(Reason::NoControl { side: name, control: (*control).to_owned() });
            }
        }
        self.rows.iter().map(|key| self.entry(comparison, key, level)).collect()
    }

    fn entry(&self, comparison: &Comparison<'_>, key: &Key, level: f64) -> Entry {
        let Comparison { base, new, control, .. } = comparison;
        let columns = [base, new].map(|side| Column::new(self, side, key, control));
        let finding = self.finding(comparison, key, &columns, level);
        let [base, new] = columns.map(|column| column.trials);
        let (scenario, row) = (self.scenario.to_owned(), Some(key.row.clone()));
        Entry { scenario, row, metric: self.metric, trials: (base, new), finding }
    }

    fn finding(&self, comparison: &Comparison<'_>, key: &Key, columns: &[Column; 2], level: f64) -> Finding {
        let reason = |reason| Finding::NotJudged(reason);
        let [base, new] = columns;
        if new.all == 0 {
            let of_row = comparison.new.rows(self.scenario).into_iter().find(|known| known.row == key.row);
            return reason(of_row.map_or(Reason::Missing, |found| Reason::OtherEnd {
                base: key.other.clone(),
                new: found.other,
            }));
        }
        for (column, side) in [(base, "BASE"), (new, "NEW")] {
            let Trials { failed, marked, .. } = column.trials;
            if failed == column.all {
                return reason(Reason::Failed { side, trials: failed });
            }
            if failed + marked == column.all {
                return reason(Reason::Marked { side, trials: marked, marks: column.marks.clone() });
            }
        }
        let without = [base, new].map(|column| column.values.is_empty());
        match without {
            [true, true] => return reason(Reason::NoValue { sides: BOTH }),
            [true, false] => return reason(Reason::NoValue { sides: "BASE" }),
            [false, true] => return reason(Reason::NoValue { sides: "NEW" }),
            [false, false] => {}
        }
        if [base, new].iter().any(|column| column.values.iter().any(|value| *value <= 0.0)) {
            // No ratio can be formed of what is 0, and it takes no control row to see it grow.
            let medians = Size::Values { base: median(&base.values), new: median(&new.values) };
            return self.judge(&base.values, &new.values, level, |_| medians);
        }
        for (column, side) in [(base, "BASE"), (new, "NEW")] {
            if !column.has_control {
                return reason(Reason::NoControl { side, control: comparison.control.to_owned() });
            }
        }
        let ratio = |log: f64| log.exp() - 1.0;
        self.judge(&base.logs, &new.logs, level, |shift| Size::Ratio {
            change: ratio(shift.shift()),
            interval: shift.interval(level).map(|(low, high)| (ratio(low), ratio(high))),
        })
    }

    /// Judges two samples that are not paired, unless they are too small for a regression to show.
    fn judge(&self, base: &[f64], new: &[f64], level: f64, size: impl FnOnce(&RankSum) -> Size) -> Finding {
        let shift = RankSum::new(base, new);
        if shift.least_p() > regression_level(level) {
            let needed = blocks_needed(regression_level(level));
            return Finding::NotJudged(Reason::TooFew { base: base.len(), new: new.len(), needed });
        }
        Finding::Judged(self.change(size(&shift), shift.p_value(), level))
    }

    fn change(&self, size: Size, p: f64, level: f64) -> Change {
        let share = size.share();
        let is_better = (share > 0.0) == self.metric.higher_is_better;
        let verdict = if p <= regression_level(level) && self.condition.holds(share) {
            Verdict::Regression
        } else if p > level || share == 0.0 {
            Verdict::Same
        } else if is_better {
            Verdict::Better
        } else {
            Verdict::Worse
        };
        Change { verdict, size }
    }

    /// Whether some trial of the scenario counts for the metric.
    fn is_measured(&self, side: &Side) -> bool {
        let counts = |trial: &&Trial| !trial.has_failed() && !trial.is_marked(self.metric);
        side.of(self.scenario).iter().any(counts)
    }
}

/// A row in one run.
struct Column {
    /// Trials, whatever became of them.
    all: usize,
    trials: Trials,
    marks: BTreeSet<Mark>,
    values: Vec<f64>,
    /// The log ratios to the control row, block by block.
    logs: Vec<f64>,
    has_control: bool,
}

impl Column {
    fn new(planned: &Planned<'_>, side: &Side, key: &Key, control: &str) -> Column {
        let (of_scenario, metric) = (side.of(planned.scenario), planned.metric);
        let own: Vec<&Trial> = of_scenario.iter().copied().filter(|trial| key.is_of(trial)).collect();
        let failed = own.iter().filter(|trial| trial.has_failed()).count();
        let mut trials = Trials { failed, ..Trials::default() };
        let mut marks = BTreeSet::new();
        for trial in own.iter().filter(|trial| !trial.has_failed() && trial.is_marked(metric)) {
            trials.marked += 1;
            marks.extend(trial.spoiling(metric));
        }
        let controls: BTreeMap<(String, u32), f64> = of_scenario
            .iter()
            .filter(|trial| Key::of(trial).row == control)
            .filter_map(|trial| Some((trial.block(), trial.value(metric).filter(|value| *value > 0.0)?)))
            .collect();
        let values: Vec<((String, u32), f64)> =
            own.iter().filter_map(|trial| Some((trial.block(), trial.value(metric)?))).collect();
        let log = |(block, value): &((String, u32), f64)| Some((value / controls.get(block)?).ln());
        let logs: Vec<f64> = values.iter().filter_map(log).collect();
        trials.compared = logs.len();
        let values = values.into_iter().map(|(_, value)| value).collect();
        Column { all: own.len(), trials, marks, values, logs, has_control: !controls.is_empty() }
    }
}

/// The metric by which a change of another one is seen: a cost relative to the other end's, wherever that end is the same
/// program in all trials. A change of the row hardly changes it, so that its share cancels between the runs.
///
/// Where both ends are full, they take the same time per message whatever they cost, and only the row's own cost is left.
fn compared_by(metric: Metric, trials: &[&Record]) -> Metric {
    let is_full = trials.iter().any(|trial| trial.marks.contains(&Mark::ClientSaturated));
    let relative = || metric::relative(metric).filter(|_| is_standard(trials.iter().copied()));
    if is_full { metric } else { relative().unwrap_or(metric) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::results::tests::trial;

    /// Ten rounds of tokio and smol. Both ends of a trial share their noise, and smol's server costs so much of tokio's.
    fn run(phase: u32, smol: f64, full: bool) -> Side {
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
        let block = |block| [trial("tokio", block, 0, 1.0), trial("smol", block, 1, smol)];
        Side::of_records((0..10).flat_map(block).collect())
    }

    fn only_entry(base: &Side, new: &Side) -> Entry {
        let comparison = Comparison { base, new, control: "tokio", confidence: 0.95 };
        judge(&comparison, &[]).remove(0)
    }

    fn change(base: &Side, new: &Side) -> (Metric, Verdict, f64, f64) {
        match only_entry(base, new) {
            Entry {
                metric,
                finding:
                    Finding::Judged(Change { verdict, size: Size::Ratio { change, interval: Some((low, high)) } }),
                ..
            } => (metric, verdict, change, high - low),
            entry => panic!("{entry:?}"),
        }
    }

    #[test]
    fn a_machine_that_is_slower_as_a_whole_changes_nothing() {
        let run = |factor: u64| {
            let block =
                |block| [trial("tokio", block, 0, 5_000 * factor), trial("smol", block, 1, 6_000 * factor)];
            Side::of_records((0..5).flat_map(block).collect())
        };
        let entry = only_entry(&run(3), &run(2));
        assert_eq!((entry.row.as_deref(), entry.trials.0.compared), (Some("smol"), 5));
        let (_, verdict, change, _) = change(&run(3), &run(2));
        assert!(verdict == Verdict::Same && change.abs() < 1e-9, "{change}");
    }

    #[test]
    fn what_slows_down_both_ends_of_a_trial_goes_out() {
        let (metric, verdict, share, _) = change(&run(0, 1.2, false), &run(3, 1.2 * 1.05, false));
        assert_eq!((metric, verdict), (metric::SERVER_CPU_RELATIVE, Verdict::Regression));
        assert!((share - 0.05).abs() < 0.005, "{share}");
        assert_eq!(change(&run(0, 1.2, false), &run(3, 1.2 / 1.05, false)).1, Verdict::Better);
        assert_eq!(change(&run(0, 1.2, false), &run(3, 1.2, false)).1, Verdict::Same);
    }

    #[test]
    fn where_the_client_is_full_the_rows_own_cost_is_compared() {
        let (metric, verdict, _, width) = change(&run(0, 1.2, true), &run(3, 1.2 * 1.05, true));
        assert_eq!((metric, verdict), (metric::SERVER_CPU, Verdict::Same));
        assert!(width > 0.1, "{width}");
    }

    #[test]
    fn what_has_too_few_blocks_is_not_judged() {
        let run = |blocks| {
            let block = |block| [trial("tokio", block, 0, 5_000), trial("smol", block, 1, 6_000)];
            Side::of_records((0..blocks).flat_map(block).collect())
        };
        let finding = only_entry(&run(2), &run(10)).finding;
        assert_eq!(finding, Finding::NotJudged(Reason::TooFew { base: 2, new: 10, needed: 5 }));
    }
}
