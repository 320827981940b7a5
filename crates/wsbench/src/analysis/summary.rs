//! From trials to figures: medians over rounds, and the median of the ratios inside blocks.

use std::collections::{BTreeMap, BTreeSet};

use bench_core::{
    catalogue::Scenario,
    mark::Mark,
    metric::{self, Metric},
    record::{Machine, Record},
    trial::{
        Role,
        placement::{Cores, Placement},
    },
};

use crate::{
    analysis::{
        results::{Results, is_same_machine},
        slope,
        statistics::median,
        verdict::{Judged, Sample, Value, Values, control_metric, judge, plain_interval},
    },
    run::plan::{self, TWIN, row_of},
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

/// All rows of one scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The scenario.
    pub scenario: Scenario,
    /// Where the processes ran.
    pub placement: Placement,
    /// Cores they ran on.
    pub cores: Cores,
    /// Which side is compared.
    pub role: Role,
    /// The metric that ranks the rows, and the only one that gets verdicts.
    pub ranking: Metric,
    /// How far the baseline's ranking metric differs from itself, as a ratio over 1.
    pub floor: Option<f64>,
    /// Rounds that do not count for the floor because the machine changed between the baseline's two trials.
    pub floor_unsteady: usize,
    /// The metrics that a table shows beside it.
    pub columns: Vec<Metric>,
    /// Name of the row that the others are compared with.
    pub baseline: String,
    /// Rounds with at least one trial that counts.
    pub rounds: usize,
    /// Seeds of the shuffled orders.
    pub seeds: BTreeSet<u64>,
    /// The rows, best first; the twin is not among them.
    pub rows: Vec<RowFigures>,
    /// The second measurement of the baseline.
    pub twin: Option<RowFigures>,
}

/// The figures of one pair of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RowFigures {
    /// Name of the server's row.
    pub server: String,
    /// Name of the client's row.
    pub client: String,
    /// Maintenance status of the compared row.
    pub status: Option<String>,
    /// Worker threads of the compared row.
    pub workers: u32,
    /// Trials with each mark.
    pub marks: BTreeMap<Mark, usize>,
    /// Failed trials.
    pub failed: usize,
    /// By the group's ranking metric; absent where rows are not compared one by one, as in a matrix.
    pub judged: Option<Judged>,
    /// Figures by the name of their metric.
    pub figures: BTreeMap<&'static str, Figure>,
}

/// One figure over all rounds, in the base unit of its metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Median over rounds.
    pub median: f64,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
    /// Rounds.
    pub rounds: usize,
    /// This row over the baseline, from the blocks that hold both; absent for the baseline itself.
    pub ratio: Option<Ratio>,
}

impl Figure {
    /// From the values of the rounds, of which there is at least one, and the ratios to the baseline where there are any.
    pub(crate) fn new(values: &[f64], ratios: &[f64], confidence: f64) -> Figure {
        let ratio = (!ratios.is_empty()).then(|| Ratio {
            median: log_median(ratios),
            interval: plain_interval(ratios, confidence),
            min: least(ratios),
            max: greatest(ratios),
        });
        Figure {
            median: median(values),
            min: least(values),
            max: greatest(values),
            rounds: values.len(),
            ratio,
        }
    }
}

/// Ratios to the baseline inside blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Median over rounds, on a log scale.
    pub median: f64,
    /// An interval that holds the true ratio with the summary's confidence, not corrected for the number of rows;
    /// absent where so few rounds cannot give one.
    pub interval: Option<(f64, f64)>,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
}

/// The trials of each block of each run, with their figures.
type Blocks<'a> = BTreeMap<(String, u32), Vec<(&'a Record, BTreeMap<&'static str, f64>)>>;

impl Summary {
    /// The figures of all trials, compared with the baseline of their run at this confidence, from 0 to 1.
    pub fn new(results: &Results, confidence: f64) -> Summary {
        let mut groups: Vec<(&Record, Vec<&Record>)> = Vec::new();
        for trial in &results.trials {
            let same = groups.iter_mut().find(|(first, _)| {
                (&first.scenario, first.placement, first.role)
                    == (&trial.scenario, trial.placement, trial.role)
            });
            match same {
                Some((_, trials)) => trials.push(trial),
                None => groups.push((trial, vec![trial])),
            }
        }
        let order = |record: &Record| {
            let session = results.sessions.iter().find(|session| session.session == record.session);
            session.and_then(|session| {
                session.scenarios.iter().position(|scenario| *scenario == record.scenario)
            })
        };
        groups.sort_by_key(|(first, _)| order(first));
        let failed = results.trials.iter().filter_map(|trial| {
            let error = trial.error.as_ref()?;
            let (server, client) = (&trial.server.row, &trial.client.row);
            let name = &trial.scenario.name;
            Some(format!(
                "round {}, {name}, server {server}, client {client}: {error}",
                trial.round.saturating_add(1)
            ))
        });
        let left_out =
            results.sessions.iter().flat_map(|session| &session.left_out).flat_map(|(scenario, rows)| {
                rows.iter().map(move |(row, what)| {
                    format!("{row}: left out of {scenario}, it does not offer {what}")
                })
            });
        let not_possible = results.sessions.iter().flat_map(|session| &session.not_possible);
        let not_possible =
            not_possible.map(|(scenario, reason)| format!("{scenario}: left out, it {reason}"));
        let mut origins: Vec<String> = Vec::new();
        for trial in &results.trials {
            let build = crate::run::rows::short(&trial.build);
            let origin = format!("{} · {}\n{build}", trial.machine.host, trial.machine.summary());
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        Summary {
            confidence,
            groups: groups
                .iter()
                .map(|(_, trials)| group(trials, results, confidence))
                .chain(slope::groups(results, confidence))
                .collect(),
            failures: failed.collect(),
            orphaned: results.orphaned,
            unavailable: results.sessions.iter().flat_map(|session| session.unavailable.clone()).collect(),
            left_out: left_out.chain(not_possible).collect(),
            notes: partial_runs(results).chain(several_machines(results)).collect(),
            origins,
        }
    }
}

impl Group {
    /// The name of the row that a line is about.
    pub fn compared<'a>(&self, row: &'a RowFigures) -> &'a str {
        self.role.own(&row.server, &row.client)
    }
}

impl Summary {
    /// Shows these metrics beside the ranking one, wherever some row has them.
    pub fn show(&mut self, metrics: &[Metric]) {
        for group in &mut self.groups {
            let has = |metric: &Metric| group.rows.iter().any(|row| row.figures.contains_key(metric.name));
            let columns = metrics.iter().filter(|metric| **metric != group.ranking && has(metric)).copied();
            group.columns = columns.collect();
        }
    }
}

/// The runs that lack trials, one line each.
fn partial_runs(results: &Results) -> impl Iterator<Item = String> {
    results.sessions.iter().filter_map(|session| {
        let planned = plan::trials(session);
        let done: usize = results.progress(&session.session).values().map(|(_, orders)| orders.len()).sum();
        let done = done as u64;
        (done < planned).then(|| {
            format!(
                "partial: {done} of {planned} trials of the run {} are there; `wsbench run --resume` goes on with it",
                session.session
            )
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

fn group(trials: &[&Record], results: &Results, confidence: f64) -> Group {
    let first = trials[0];
    let session = results.sessions.iter().find(|session| session.session == first.session);
    let baseline = match session {
        Some(session) => session.baseline.clone(),
        None => trials
            .iter()
            .find_map(|trial| compared(trial).strip_suffix(TWIN))
            .unwrap_or(compared(first))
            .to_owned(),
    };

    let mut blocks = Blocks::new();
    for &trial in trials {
        let key = (trial.session.clone(), trial.block);
        blocks.entry(key).or_default().push((trial, metric::figures(trial)));
    }

    let mut pairs: Vec<(&str, &str)> =
        trials.iter().map(|trial| (trial.server.row.as_str(), trial.client.row.as_str())).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut rows: Vec<RowFigures> =
        pairs.iter().map(|pair| row(*pair, &blocks, &baseline, first.role, confidence)).collect();

    let is_twin = |row: &RowFigures| row.server.ends_with(TWIN) || row.client.ends_with(TWIN);
    let twin = rows.iter().position(is_twin).map(|place| rows.remove(place));
    let ranking = metric::ranking(&first.scenario, first.role);
    sort(&mut rows, ranking);
    let (floor, floor_unsteady) =
        judge_rows(&mut rows, twin.as_ref(), &blocks, ranking, (&baseline, first.role), confidence);

    let counted = trials.iter().filter(|trial| trial.error.is_none());
    let rounds: BTreeSet<(&str, u32)> = counted.map(|trial| (trial.session.as_str(), trial.round)).collect();
    Group {
        scenario: first.scenario.clone(),
        placement: first.placement,
        // Those of the rows with the fewest workers: what the others have besides is marked row by row.
        cores: trials
            .iter()
            .min_by_key(|trial| u64::from(trial.server.workers) + u64::from(trial.client.workers))
            .map_or(first.cores.clone(), |trial| trial.cores.clone()),
        role: first.role,
        ranking,
        floor,
        floor_unsteady,
        columns: columns(first, &rows),
        baseline,
        rounds: rounds.len(),
        seeds: trials.iter().map(|trial| trial.seed).collect(),
        rows,
        twin,
    }
}

/// The columns of a workload, and what was counted where a run asked for that.
fn columns(first: &Record, rows: &[RowFigures]) -> Vec<Metric> {
    let counted = first.role.own(
        [metric::SERVER_SYSTEM_CALLS, metric::SERVER_INSTRUCTIONS],
        [metric::CLIENT_SYSTEM_CALLS, metric::CLIENT_INSTRUCTIONS],
    );
    let mut columns = metric::columns(&first.scenario, first.role);
    columns.extend(
        counted.into_iter().filter(|counted| rows.iter().any(|row| row.figures.contains_key(counted.name))),
    );
    columns
}

/// Best first; what has no figure comes last.
pub(crate) fn sort(rows: &mut [RowFigures], ranking: Metric) {
    let rank = |row: &RowFigures| {
        let median = row.figures.get(ranking.name).map(|figure| figure.median);
        median.map_or(f64::INFINITY, |median| if ranking.higher_is_better { -median } else { median })
    };
    rows.sort_by(|left, right| rank(left).total_cmp(&rank(right)));
}

/// Judges rows by the ranking metric, where each is compared with the baseline one by one; returns the floor, and the rounds
/// that do not count for it.
fn judge_rows(
    rows: &mut [RowFigures],
    twin: Option<&RowFigures>,
    blocks: &Blocks<'_>,
    ranking: Metric,
    (baseline, role): (&str, Role),
    confidence: f64,
) -> (Option<f64>, usize) {
    let name = |row: &RowFigures| role.own(&row.server, &row.client).clone();
    let names: BTreeSet<String> = rows.iter().map(name).collect();
    // A matrix has several lines for a row.
    if names.len() < rows.len() {
        return (None, 0);
    }
    let control = control_metric(ranking, blocks.values().flatten().map(|(trial, _)| *trial));
    // A row that had to share a core is not to be compared with one that did not; among themselves they are alike.
    let alike = rows.iter().all(|row| row.marks.contains_key(&Mark::CoresShared));
    let values = |row: &RowFigures| -> Values {
        let own = blocks.iter().filter_map(|(block, trials)| {
            let (trial, figures) = trials
                .iter()
                .find(|(trial, _)| (&trial.server.row, &trial.client.row) == (&row.server, &row.client))?;
            let spoils = |mark: &Mark| mark.spoils(ranking) && !(alike && *mark == Mark::CoresShared);
            let spoilt = trial.marks.iter().any(spoils);
            let metric = *figures.get(ranking.name).filter(|_| !spoilt)?;
            let control = control.and_then(|control| figures.get(control.name).copied());
            Some((block.clone(), Value { metric, control }))
        });
        own.collect()
    };
    let sample = Sample {
        rows: rows.iter().map(values).collect(),
        baseline: rows.iter().position(|row| name(row) == baseline),
        twin: twin.map(values).unwrap_or_default(),
    };
    let judgement = judge(&sample, ranking.higher_is_better, confidence);
    for (row, judged) in rows.iter_mut().zip(judgement.rows) {
        row.judged = Some(judged);
    }
    (judgement.floor, judgement.floor_unsteady)
}

/// The name of the row that a trial is about.
fn compared(trial: &Record) -> &str {
    trial.role.own(&trial.server.row, &trial.client.row)
}

fn row(
    (server, client): (&str, &str),
    blocks: &Blocks<'_>,
    baseline: &str,
    role: Role,
    confidence: f64,
) -> RowFigures {
    let is =
        |trial: &Record, server: &str, client: &str| trial.server.row == server && trial.client.row == client;
    let mut failed = 0;
    let (mut status, mut workers, mut marks) = (None, 1, BTreeMap::new());
    let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut ratios: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for block in blocks.values() {
        let Some((trial, own)) = block.iter().find(|(trial, _)| is(trial, server, client)) else {
            continue;
        };
        failed += usize::from(trial.error.is_some());
        let end = role.own(&trial.server, &trial.client);
        (status, workers) = (end.info.status.clone(), end.workers);
        trial.marks.iter().for_each(|mark| *marks.entry(*mark).or_default() += 1);
        // The same other end where it was measured; where every row meets itself, the baseline with itself.
        let (fixed_server, fixed_client) = role.own((baseline, row_of(client)), (row_of(server), baseline));
        let base = block
            .iter()
            .find(|(trial, _)| is(trial, fixed_server, fixed_client))
            .or_else(|| block.iter().find(|(trial, _)| is(trial, baseline, baseline)));
        let is_baseline = base.is_some_and(|(base, _)| std::ptr::eq(*base, *trial));
        for (name, value) in own {
            values.entry(name).or_default().push(*value);
            let base = base.filter(|_| !is_baseline).and_then(|(_, figures)| figures.get(name));
            if let Some(base) = base.filter(|base| **base > 0.0 && *value > 0.0) {
                ratios.entry(name).or_default().push(value / base);
            }
        }
    }
    let figures = metric::ALL.iter().filter_map(|Metric { name, .. }| {
        let ratios = ratios.get(name).map_or(&[][..], Vec::as_slice);
        Some((*name, Figure::new(values.get(name)?, ratios, confidence)))
    });
    RowFigures {
        server: server.to_owned(),
        client: client.to_owned(),
        status,
        workers,
        marks,
        failed,
        judged: None,
        figures: figures.collect(),
    }
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn greatest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// The median of ratios: between two middle values, their geometric mean, so that a ratio and its inverse are treated
/// alike.
fn log_median(ratios: &[f64]) -> f64 {
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    median(&logs).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{
        results::tests::{session, trial},
        verdict::Verdict,
    };

    fn summary(trials: Vec<Record>) -> Summary {
        Summary::new(&Results { sessions: vec![session()], trials, ..Results::default() }, 0.95)
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert!((log_median(&[4.0, 1.0]) - 2.0).abs() < 1e-12);
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
            smol.and_then(|row| row.judged).map(|judged| judged.verdict)
        };
        assert_eq!(verdict(&["tokio", "smol", "tokio#aa"]), Some(Verdict::Greater));
        assert!(matches!(verdict(&["smol"]), Some(Verdict::TooFew { .. })));
    }

    #[test]
    fn a_failed_trial_counts_as_failed_and_not_as_a_figure() {
        let mut failed = trial("smol", 0, 1, 7_500_000);
        failed.error = Some(bench_core::trial::Failure {
            step: bench_core::trial::Step::Measure,
            message: "the server ended early".to_owned(),
        });
        let summary = summary(vec![trial("tokio", 0, 0, 5_000_000), failed]);
        let smol = &summary.groups[0].rows[1];
        assert_eq!((smol.server.as_str(), smol.failed, smol.figures.len()), ("smol", 1, 0));
        assert!(summary.failures[0].contains("server smol") && summary.failures[0].contains("ended early"));
    }
}
