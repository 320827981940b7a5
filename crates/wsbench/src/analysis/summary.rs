//! From trials to figures: medians over rounds, and the median of the ratios inside blocks.

use std::collections::{BTreeMap, BTreeSet};

use trial::{
    machine::Machine,
    metric::Metric,
    record::{Record, Session},
};

use super::{
    alike::pools,
    group::Group,
    measured,
    origin::{is_same_machine, short_build},
    planned,
    results::Results,
    slope,
};

/// Everything that a table shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Confidence of intervals and verdicts.
    pub confidence: f64,
    /// One group for each scenario, placement and compared side.
    pub groups: Vec<Group>,
    /// Failed trials, one line each.
    pub failures: Vec<String>,
    /// Trials of unfinished blocks that were left out.
    pub orphaned: usize,
    /// Rows that were not available, with the reason.
    pub unavailable: BTreeMap<String, String>,
    /// Rows that were left out of a scenario that they cannot carry out, and scenarios that were left out, one line each.
    pub left_out: BTreeSet<String>,
    /// What has to be known of all figures: runs that are not complete, trials of several machines.
    pub notes: Vec<String>,
    /// What was measured where: the machine and the build, once each.
    pub origins: Vec<String>,
}

impl Summary {
    /// The figures of all trials, compared with the baseline of their run at this confidence, from 0 to 1.
    pub fn new(results: &Results, confidence: f64) -> Summary {
        let measured = by_scenario(results);
        Summary {
            confidence,
            groups: measured
                .iter()
                .flat_map(|trials| pools(trials, results))
                .map(|pool| measured::group(pool, confidence))
                .chain(slope::groups(results, confidence))
                .collect(),
            failures: results.trials.iter().filter_map(failure).collect(),
            orphaned: results.orphaned,
            unavailable: results.sessions.iter().flat_map(|session| session.unavailable.clone()).collect(),
            left_out: results.sessions.iter().flat_map(left_out).collect(),
            notes: partial_runs(results).chain(several_machines(results)).collect(),
            origins: origins(results),
        }
    }

    /// Shows these metrics beside the ranking one, wherever some row has them.
    pub fn show(&mut self, metrics: &[Metric]) {
        for group in &mut self.groups {
            let has = |metric: &Metric| group.rows.iter().any(|row| row.figures.contains_key(metric.name));
            let columns = metrics.iter().filter(|metric| **metric != group.ranking && has(metric)).copied();
            group.columns = columns.collect();
        }
    }
}

/// The trials of each scenario, placement and compared side, in the order of their session's scenarios.
fn by_scenario(results: &Results) -> Vec<Vec<&Record>> {
    let mut groups: Vec<Vec<&Record>> = Vec::new();
    for trial in &results.trials {
        let is_same = |first: &Record| {
            let of = |trial: &Record| (trial.scenario.name.clone(), trial.placement, trial.role);
            of(first) == of(trial)
        };
        match groups.iter_mut().find(|trials| is_same(trials[0])) {
            Some(trials) => trials.push(trial),
            None => groups.push(vec![trial]),
        }
    }
    let order = |record: &Record| {
        let session = results.sessions.iter().find(|session| session.session == record.session);
        session.and_then(|session| session.scenarios.iter().position(|scenario| *scenario == record.scenario))
    };
    groups.sort_by_key(|trials| order(trials[0]));
    groups
}

/// A line about a trial that failed.
fn failure(trial: &Record) -> Option<String> {
    let error = trial.error.as_ref()?;
    let (name, server, client) = (&trial.scenario.name, &trial.server.row, &trial.client.row);
    let round = trial.round.saturating_add(1);
    Some(format!("round {round}, {name}, server {server}, client {client}: {error}"))
}

/// A line about each row and each scenario that a session leaves out.
fn left_out(session: &Session) -> impl Iterator<Item = String> {
    let rows = session.left_out.iter().flat_map(|(scenario, rows)| {
        rows.iter().map(move |(row, what)| format!("{row}: left out of {scenario}, it does not offer {what}"))
    });
    let scenarios = session.not_possible.iter();
    rows.chain(scenarios.map(|(scenario, reason)| format!("{scenario}: left out, it {reason}")))
}

/// The machines and builds of all trials, once each.
fn origins(results: &Results) -> Vec<String> {
    let mut origins: Vec<String> = Vec::new();
    for trial in &results.trials {
        let build = short_build(&trial.build);
        let origin = format!("{} · {}\n{build}", trial.machine.host, trial.machine.summary());
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    origins
}

/// The runs that lack trials, one line each.
fn partial_runs(results: &Results) -> impl Iterator<Item = String> {
    results.sessions.iter().filter_map(|session| {
        let planned = planned::trials(session);
        let progress = results.progress(&session.session);
        let done = progress.values().map(|attempt| attempt.orders.len() as u64).sum::<u64>();
        (done < planned).then(|| match &session.target {
            Some(target) => format!("partial: the drive {} of {target} has no figures", session.session),
            None => format!(
                "partial: {done} of {planned} trials of the run {} are there; `wsbench run --resume` goes on with it",
                session.session
            ),
        })
    })
}

/// That the figures of several machines are in one table, if they are.
fn several_machines(results: &Results) -> Option<String> {
    let mut machines: Vec<&Machine> = Vec::new();
    for trial in &results.trials {
        if !machines.iter().any(|machine| is_same_machine(machine, &trial.machine)) {
            machines.push(&trial.machine);
        }
    }
    let hosts: BTreeSet<&str> = machines.iter().map(|machine| machine.host.as_str()).collect();
    (machines.len() > 1).then(|| {
        format!(
            "note: trials of {} machines or kernels ({}) are pooled: absolute figures mix them; ratios do not, because each is \
             formed inside a block; give one machine's files for figures of that machine",
            machines.len(),
            hosts.into_iter().collect::<Vec<_>>().join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use trial::{mark::Mark, metric};

    use super::*;
    use crate::analysis::{
        results::tests::{session, trial},
        verdict::Verdict,
    };

    fn summary(trials: Vec<Record>) -> Summary {
        Summary::new(&Results { sessions: vec![session()], trials, ..Results::default() }, 0.95)
    }

    #[test]
    fn ratios_are_formed_inside_blocks() {
        // The machine is twice as slow in the second block: the medians differ less than the rows do.
        let summary = summary(vec![
            trial("tokio", 0, 0, 5_000_000),
            trial("smol", 0, 1, 7_500_000),
            trial("tokio#aa", 0, 2, 5_500_000),
            trial("smol", 1, 0, 15_000_000),
            trial("tokio", 1, 1, 10_000_000),
            trial("tokio#aa", 1, 2, 9_000_000),
        ]);
        let [group] = &summary.groups[..] else { panic!("one group") };
        assert_eq!((group.rounds, group.baseline.as_str()), (2, "tokio"));
        let names: Vec<&str> = group.rows.iter().map(|row| row.server.as_str()).collect();
        assert_eq!(names, ["tokio", "smol"]);
        let cpu = group.rows[1].figures[metric::SERVER_CPU.name];
        assert_eq!((cpu.median, cpu.min, cpu.max, cpu.rounds), (11_250.0, 7_500.0, 15_000.0, 2));
        let ratio = cpu.ratio.unwrap();
        assert!((ratio.median - 1.5).abs() < 1e-9 && ratio.min == ratio.max);
        assert_eq!(group.rows[0].figures[metric::SERVER_CPU.name].ratio, None);
        let floor = group.twin.as_ref().unwrap().figures[metric::SERVER_CPU.name].ratio.unwrap();
        assert!((floor.min - 0.9).abs() < 1e-9 && (floor.max - 1.1).abs() < 1e-9);
    }

    #[test]
    fn rows_that_all_shared_a_core_are_compared_with_each_other_only() {
        let verdict = |marked: &[&str]| {
            let trials = (0..8).flat_map(|block| {
                ["tokio", "smol", "tokio#aa"].into_iter().zip(0..).map(move |(row, order)| {
                    trial(row, block, order, if row == "smol" { 7_500_000 } else { 5_000_000 })
                })
            });
            let mark = |mut trial: Record| {
                if marked.contains(&trial.server.row.as_str()) {
                    trial.marks.insert(Mark::CoresShared);
                }
                trial
            };
            let summary = summary(trials.map(mark).collect());
            let smol = summary.groups[0].rows.iter().find(|row| row.server == "smol");
            smol.and_then(|row| row.judged_by(metric::SERVER_CPU)).map(|judged| judged.verdict)
        };
        assert_eq!(verdict(&["tokio", "smol", "tokio#aa"]), Some(Verdict::Greater));
        assert!(matches!(verdict(&["smol"]), Some(Verdict::TooFew { .. })));
    }

    #[test]
    fn a_failed_trial_counts_as_failed_and_not_as_a_figure() {
        let mut failed = trial("smol", 0, 1, 7_500_000);
        failed.error =
            Some(trial::Failure { step: trial::Step::Measure, message: "the server ended early".to_owned() });
        let summary = summary(vec![trial("tokio", 0, 0, 5_000_000), failed]);
        let smol = &summary.groups[0].rows[1];
        assert_eq!((smol.server.as_str(), smol.failed, smol.figures.len()), ("smol", 1, 0));
        assert!(summary.failures[0].contains("server smol") && summary.failures[0].contains("ended early"));
    }
}
