//! What stands above and below a table: the scenario, its conditions, and what marks and verdicts mean.

use bench_core::spec::Role;
use trial::{mark::Mark, metric};

use crate::{
    analysis::{
        group::Group,
        verdict::{Basis, Judged, Verdict},
    },
    output::text::{percent, plain},
};

pub(crate) fn title(group: &Group) -> String {
    let what = if group.ranking == metric::SERVER_RSS_PER_CONNECTION {
        group.scenario.about.clone()
    } else {
        group.scenario.summary()
    };
    format!("{} · {what}", plain(&group.scenario.name))
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
    let judged = || group.rows.iter().filter_map(|row| row.judged);
    let compared = judged().filter(|judged| judged.verdict != Verdict::Baseline).count();
    if compared == 0 {
        return None;
    }
    let few = judged().filter_map(|judged| match judged.verdict {
        Verdict::TooFew { blocks, needed } => Some((blocks, needed)),
        _ => None,
    });
    let missing = few.clone().count();
    let reason = few.min().map(|(blocks, needed)| {
        format!("no verdict on {missing} of {compared} rows: {needed} unmarked rounds are needed, and the least is {blocks}")
    });
    let percent = confidence * 100.0;
    let of = |floor: f64| format!("±{:.1} %", (floor - 1.0) * 100.0);
    let floor = group.floor.map(|floor| {
        format!(
            "verdicts by {} at {percent} % over {compared} rows, beyond the A/A floor of {}",
            group.ranking.label,
            of(floor)
        )
    });
    let builds = group.rows.iter().filter(|row| row.judged.is_some_and(|judged| is_relative(&judged)));
    let builds: Vec<String> = builds.map(|row| plain(group.compared(row))).collect();
    let relative = group.relative_floor.filter(|_| !builds.is_empty()).map(|floor| {
        let other = group.role.other("server", "client");
        format!(
            "{} relative to its {other}, because it is another build of {}, beyond a floor of {}",
            builds.join(", "),
            plain(&group.baseline),
            of(floor)
        )
    });
    let decided = (missing < compared).then_some(floor).flatten();
    let relative = relative.filter(|_| decided.is_some());
    Some(decided.into_iter().chain(relative).chain(reason).collect::<Vec<_>>().join("; "))
}

fn is_relative(judged: &Judged) -> bool {
    judged.verdict != Verdict::Baseline && judged.basis == Basis::RelativeToOtherEnd
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
