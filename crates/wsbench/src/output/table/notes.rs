//! What stands above and below a table: the scenario, its conditions, and what marks and verdicts mean.

use bench_core::spec::Role;
use trial::{mark::Mark, metric};

use crate::{
    analysis::{group::Group, verdict::Verdict},
    output::text::{count, percent, plain},
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
    let floor = group.floor.map(|floor| {
        format!(
            "verdicts by {} at {percent} % over {compared} rows, beyond the A/A floor of ±{:.1} %",
            group.ranking.label,
            (floor - 1.0) * 100.0
        )
    });
    let decided = (missing < compared).then_some(floor).flatten();
    let unsteady: usize = judged().map(|judged| judged.unsteady).sum();
    let unsteady = match (unsteady, group.floor_unsteady) {
        (0, 0) => None,
        (of_rows, 0) => Some(count(of_rows, "ratio")),
        (0, of_floor) => Some(format!("{} of the floor", count(of_floor, "ratio"))),
        (of_rows, of_floor) => Some(format!("{} and {of_floor} of the floor", count(of_rows, "ratio"))),
    };
    let unsteady = unsteady
        .filter(|_| decided.is_some())
        .map(|some| format!("{some} left out, because the machine changed between the two trials"));
    Some(decided.into_iter().chain(unsteady).chain(reason).collect::<Vec<_>>().join("; "))
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
    (!spreads.is_empty()).then(|| {
        // The floor is of steady rounds, so that it may be less than what stands here.
        let all = if group.floor_unsteady > 0 { " in all rounds" } else { "" };
        format!("A/A, {} against itself{all}: {}", plain(&group.baseline), spreads.join(", "))
    })
}
