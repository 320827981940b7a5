//! What stands above and below a table: the scenario, its conditions, and what marks and verdicts mean.

use bench_core::spec::Role;
use trial::{
    mark::Mark,
    metric::{self, Metric},
};

use crate::{
    analysis::{
        group::Group,
        verdict::{Judged, Verdict},
    },
    output::text::{count, list, percent, plain},
};

pub(crate) fn title(group: &Group) -> String {
    let what = if group.ranking == metric::SERVER_RSS_PER_CONNECTION {
        group.scenario.about.clone()
    } else {
        group.scenario.summary()
    };
    format!("{} · {what}", plain(&group.name()))
}

pub(crate) fn conditions(group: &Group) -> String {
    let cores = match (group.cores.server.first(), group.cores.client.first()) {
        (Some(server), Some(client)) if server == client => format!("both ends on core {server}"),
        (Some(server), Some(client)) => {
            let siblings = if group.cores.siblings { ", threads of one physical core" } else { "" };
            format!("server on core {server}, client on core {client}{siblings}")
        }
        _ => "not pinned".to_owned(),
    };
    let mut others: Vec<&str> =
        group.rows.iter().map(|row| group.role.other(&*row.server, &*row.client)).collect();
    others.sort_unstable();
    others.dedup();
    let other = match (group.role, &others[..]) {
        (Role::Server, [one]) => format!("client {}", plain(one)),
        (Role::Client, [one]) => format!("server {}", plain(one)),
        _ if group.rows.iter().all(|row| row.server == row.client) => "each row with itself".to_owned(),
        _ => "every server with every client".to_owned(),
    };
    if group.seeds.is_empty() {
        let drives = count(group.rounds, "drive");
        return format!("{other}, {cores} · {drives} · ranked by {}", group.ranking.label);
    }
    let rounds = if group.rounds == 1 { "1 round".to_owned() } else { format!("{} rounds", group.rounds) };
    let seeds: Vec<String> = group.seeds.iter().map(u64::to_string).collect();
    format!(
        "{} · {cores} · {other} · flushed {} · {rounds}, seed {} · ranked by {}",
        group.placement,
        match group.scenario.socket.flush {
            bench_core::spec::Flush::BeforeWait => "before each wait",
            bench_core::spec::Flush::Each => "after each message",
        },
        seeds.join(", "),
        group.ranking.label,
    )
}

/// What the marks of a group's rows stand for.
pub(crate) fn marks(group: &Group) -> Vec<String> {
    let mut lines = Vec::new();
    for mark in Mark::ALL {
        let trials: usize = group.rows.iter().filter_map(|row| row.marks.get(&mark)).sum();
        if trials > 0 {
            let plural = if trials == 1 { "trial" } else { "trials" };
            lines.push(format!("{} {} in {trials} {plural}: {}", mark.letter(), mark.name(), mark.meaning()));
        }
    }
    lines
}

/// What verdicts rest on, or why there are none.
pub(crate) fn verdicts(group: &Group, confidence: f64) -> Option<String> {
    let compared = |metric: Metric| {
        let judged = group.rows.iter().filter_map(move |row| row.judged_by(metric));
        judged.filter(|judged| judged.verdict != Verdict::Baseline)
    };
    let rows = compared(group.ranking).count();
    if rows == 0 {
        return None;
    }
    let floors: Vec<String> = group
        .judged
        .iter()
        .filter(|judged| compared(judged.metric).any(|row| few(row).is_none()))
        .filter_map(|judged| Some(format!("{} ±{:.1} %", judged.metric.label, (judged.floor? - 1.0) * 100.0)))
        .collect();
    let decided = (!floors.is_empty()).then(|| {
        format!(
            "verdicts at {} % over {} and {}, beyond the A/A floors: {}",
            confidence * 100.0,
            count(rows, "row"),
            count(group.judged.len(), "metric"),
            floors.join(", ")
        )
    });
    // Metrics that lack the same rounds stand together.
    let mut lacking: Vec<((usize, usize, usize), Vec<String>)> = Vec::new();
    for metric in group.judged.iter().map(|judged| judged.metric) {
        let missing = compared(metric).filter_map(few);
        let Some((blocks, needed)) = missing.clone().min() else { continue };
        let (key, label) = ((missing.count(), blocks, needed), metric.label.to_owned());
        match lacking.iter_mut().find(|(known, _)| *known == key) {
            Some((_, labels)) => labels.push(label),
            None => lacking.push((key, vec![label])),
        }
    }
    let reasons = lacking.into_iter().map(|((missing, blocks, needed), labels)| {
        format!(
            "no verdict by {} on {missing} of {}: {needed} unmarked rounds are needed, and the least is {blocks}",
            list(&labels),
            count(rows, "row")
        )
    });
    Some(decided.into_iter().chain(reasons).collect::<Vec<_>>().join("; "))
}

/// The rounds that count for a row and those that it would need, where these are too few for a verdict.
fn few(judged: Judged) -> Option<(usize, usize)> {
    match judged.verdict {
        Verdict::TooFew { blocks, needed } => Some((blocks, needed)),
        _ => None,
    }
}

/// How far the baseline differs from itself: what a difference has to exceed to mean anything.
pub(crate) fn floor(group: &Group) -> Option<String> {
    let twin = group.twin.as_ref()?;
    let spreads: Vec<String> = std::iter::once(group.ranking)
        .chain(group.columns.iter().copied())
        .filter_map(|column| {
            let ratio = twin.figures.get(column.name)?.ratio?;
            Some(match ratio.interval {
                Some((low, high)) => format!("{} [{} … {}] %", column.label, percent(low), percent(high)),
                None if ratio.min == ratio.max => format!("{} {} %", column.label, percent(ratio.median)),
                None => format!("{} {} … {} %", column.label, percent(ratio.min), percent(ratio.max)),
            })
        })
        .collect();
    (!spreads.is_empty())
        .then(|| format!("A/A, {} against itself: {}", plain(&group.baseline), spreads.join(", ")))
}
