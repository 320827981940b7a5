//! Groups of trials: the medians of each row over rounds, and the ratios inside blocks.

use std::collections::{BTreeMap, BTreeSet};

use bench_core::{
    row::Accounting,
    spec::{Pacing, Role},
};
use trial::{
    mark::Mark,
    metric::{self, Metric},
    record::Record,
};

use super::{
    alike::Pool,
    group::{Figure, Group, JudgedMetric, RowFigures, sort},
    planned::judged_metrics,
    states,
    twin::{is_twin, name_of, row_of},
    verdict::{Judgement, Sample, Values, judge},
};

/// The trials of each block of each run, with their figures.
type Blocks<'a> = BTreeMap<(String, u32), Vec<(&'a Record, BTreeMap<&'static str, f64>)>>;

/// All rows of trials that are alike.
pub(crate) fn group(pool: Pool<'_>, confidence: f64) -> Group {
    let sessions = pool.sessions();
    let Pool { trials, baseline, apart, is_driven } = pool;
    let of_states = states::by_state(&trials, baseline);
    let trials: Vec<&Record> = of_states.as_ref().map_or(trials, |split| split.iter().collect());
    let first = trials[0];

    let mut blocks = Blocks::new();
    for &trial in &trials {
        let key = (trial.session.clone(), trial.block);
        blocks.entry(key).or_default().push((trial, metric::figures(trial)));
    }

    let mut pairs: Vec<(&str, &str)> =
        trials.iter().map(|trial| (trial.server.row.as_str(), trial.client.row.as_str())).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut rows: Vec<RowFigures> =
        pairs.iter().map(|pair| row(*pair, &blocks, baseline, first.role, confidence)).collect();

    let twin = take_twin(&mut rows, baseline, first.role);
    let ranking = metric::ranking(&first.scenario, first.role);
    sort(&mut rows, ranking);
    let judged = judge_rows(&mut rows, twin.as_ref(), &blocks, (baseline, first), confidence);

    let counted = trials.iter().filter(|trial| trial.error.is_none());
    let rounds: BTreeSet<(&str, u32)> = counted.map(|trial| (trial.session.as_str(), trial.round)).collect();
    Group {
        scenario: first.scenario.clone(),
        apart,
        sessions,
        placement: first.placement,
        // Those of the rows with the fewest workers: what the others have besides is marked row by row.
        cores: trials
            .iter()
            .min_by_key(|trial| u64::from(trial.server.workers) + u64::from(trial.client.workers))
            .map_or(first.cores.clone(), |trial| trial.cores.clone()),
        role: first.role,
        ranking,
        columns: columns(first, &rows, &judged),
        judged,
        baseline: baseline.to_owned(),
        rounds: rounds.len(),
        seeds: trials.iter().filter(|_| !is_driven).map(|trial| trial.seed).collect(),
        rows,
        twin,
    }
}

/// Takes the second measurement of the baseline out of the rows. That of another row says nothing about how far this
/// baseline differs from itself.
pub(crate) fn take_twin(rows: &mut Vec<RowFigures>, baseline: &str, role: Role) -> Option<RowFigures> {
    let name = |row: &RowFigures| role.own(&row.server, &row.client).clone();
    let place = rows.iter().position(|row| name(row) == name_of(baseline));
    let twin = place.map(|place| rows.remove(place));
    rows.retain(|row| !is_twin(&name(row)));
    twin
}

/// The columns of a workload, what is judged besides, and what was counted where a run asked for that.
fn columns(first: &Record, rows: &[RowFigures], judged: &[JudgedMetric]) -> Vec<Metric> {
    let counted = first.role.own(
        [metric::SERVER_SYSTEM_CALLS, metric::SERVER_INSTRUCTIONS],
        [metric::CLIENT_SYSTEM_CALLS, metric::CLIENT_INSTRUCTIONS],
    );
    let mut columns = metric::columns(&first.scenario, first.role);
    let further = judged.iter().skip(1).map(|judged| judged.metric);
    let further: Vec<Metric> = further.filter(|metric| !columns.contains(metric)).collect();
    columns.splice(0..0, further);
    columns.extend(
        counted.into_iter().filter(|counted| rows.iter().any(|row| row.figures.contains_key(counted.name))),
    );
    if first.server.info.accounting == Accounting::Client {
        // Without a figure: what is known only of a server that was started for the trial, such as its cost.
        columns.retain(|column| rows.iter().any(|row| row.figures.contains_key(column.name)));
    }
    columns
}

/// Judges rows by the metrics of their scenario, where each is compared with the baseline one by one.
fn judge_rows(
    rows: &mut [RowFigures],
    twin: Option<&RowFigures>,
    blocks: &Blocks<'_>,
    (baseline, first): (&str, &Record),
    confidence: f64,
) -> Vec<JudgedMetric> {
    let role = first.role;
    let name = |row: &RowFigures| role.own(&row.server, &row.client).clone();
    let names: BTreeSet<String> = rows.iter().map(name).collect();
    // A matrix has several lines for a row.
    if names.len() < rows.len() {
        return Vec::new();
    }
    let trials = blocks.values().flatten().map(|(trial, _)| *trial);
    let compared = names.iter().map(String::as_str).collect();
    let planned = judged_metrics(&first.scenario, role, &compared, is_standard(trials));
    // Where both ends are full, they take the same time per message whatever they cost, and their quotient says nothing.
    let is_full = rows.iter().any(|row| row.marks.contains_key(&Mark::ClientSaturated));
    let is_blind = |metric: Metric| is_full && metric.is_relative();
    let baseline = rows.iter().position(|row| name(row) == baseline);
    let mut all = Vec::new();
    for metric in planned.iter().copied().filter(|metric| !is_blind(*metric)) {
        let sample = Sample {
            rows: rows.iter().map(|row| values(row, rows, blocks, metric)).collect(),
            baseline,
            twin: twin.map(|twin| values(twin, rows, blocks, metric)).unwrap_or_default(),
            metrics: planned.len(),
        };
        let Judgement { floor, rows: judged, pairs } = judge(&sample, metric, confidence);
        for (row, judged) in rows.iter_mut().zip(judged) {
            row.judged.insert(metric.name, judged);
        }
        all.push(JudgedMetric { metric, floor, pairs });
    }
    all
}

/// A row's values of a metric in the trials that no mark spoils.
fn values(row: &RowFigures, rows: &[RowFigures], blocks: &Blocks<'_>, metric: Metric) -> Values {
    // A row that had to share a core is not to be compared with one that did not; among themselves they are alike.
    let all_have = |mark: &Mark| rows.iter().all(|row| row.marks.contains_key(mark));
    let own = blocks.iter().filter_map(|(block, trials)| {
        let is_own = |trial: &Record| (&trial.server.row, &trial.client.row) == (&row.server, &row.client);
        let (trial, figures) = trials.iter().find(|(trial, _)| is_own(trial))?;
        let spoils = |mark: &Mark| mark.spoils(metric) && !(mark.is_of_placement() && all_have(mark));
        let spoilt = trial.marks.iter().any(spoils);
        let value = *figures.get(metric.name).filter(|figure| !spoilt && **figure > 0.0)?;
        Some((block.clone(), value))
    });
    own.collect()
}

/// Whether the other end of these trials can stand for how fast the machine was: the same program in all of them, and not
/// one that spins, which uses its core whole whatever the machine is like.
pub(crate) fn is_standard<'a>(trials: impl Iterator<Item = &'a Record>) -> bool {
    let mut others = BTreeSet::new();
    for trial in trials {
        if trial.pacing == Some(Pacing::Spin) {
            return false;
        }
        others.insert(trial.role.other(&trial.server.row, &trial.client.row));
    }
    others.len() == 1
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
        (status, workers) = (end.info.remark(), end.workers);
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
        judged: BTreeMap::new(),
        figures: figures.collect(),
    }
}
