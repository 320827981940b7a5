//! What a session plans, counted without laying out its blocks.

use std::collections::BTreeSet;

use bench_core::spec::Role;
use trial::{
    catalogue::Scenario,
    metric::{self, Metric},
    record::{FoundPoint, Pair, Session},
};

use super::{
    missing_capability::MissingCapability,
    twin::{is_twin, program_of, row_of},
};

/// Whether a pair is measured in a scenario: neither of its rows is left out of it.
pub(crate) fn takes_part(session: &Session, scenario: &str, pair: &Pair) -> bool {
    session.left_out.get(scenario).is_none_or(|rows| {
        let is_client = |row: &str| {
            rows.get(row).is_none_or(|what| MissingCapability::read(what).matters_to_servers_only())
        };
        !rows.contains_key(row_of(&pair.server)) && is_client(row_of(&pair.client))
    })
}

/// The name of the row that a pair is about.
pub(crate) fn compared(pair: &Pair, role: Role) -> &str {
    role.own(&pair.server, &pair.client)
}

/// Rounds of a session, with those that replace disturbed ones.
pub(crate) fn all_rounds(session: &Session) -> u32 {
    session.rounds.saturating_add(session.further.len() as u32)
}

/// Planned rounds of one scenario of a session.
pub(crate) fn rounds_of(session: &Session, scenario: &str) -> u32 {
    session.rounds_of.get(scenario).copied().unwrap_or(session.rounds)
}

/// The trials of all blocks of a session, counted without making them: a session may be of a file that somebody made up.
pub(crate) fn trials(session: &Session) -> u64 {
    let planned = session.scenarios.iter().map(|Scenario { name, .. }| {
        let pairs = session.pairs.iter().filter(|pair| takes_part(session, name, pair)).count();
        let further = session.further.iter().filter(|scenarios| scenarios.contains(name)).count();
        pairs as u64 * (u64::from(rounds_of(session, name).min(session.rounds)) + further as u64)
    });
    let found = session.waves.iter().flatten().map(|FoundPoint { rows, .. }| {
        let pairs = session.pairs.iter().filter(|pair| rows.contains(compared(pair, session.role))).count();
        pairs as u64 * u64::from(session.rounds)
    });
    planned.chain(found).sum()
}

/// The metrics by which these rows are to be judged in a scenario: its own and, where two rows are builds of one program,
/// their cost relative to the other end's.
///
/// Builds of one program hardly change the other end's cost differently, so that its share cancels and the noise that both
/// ends share goes out. A cost relative to the other end is only judged where that end is one standard for all rows. The
/// list follows from the plan alone, so that the level does not depend on what was measured.
pub(crate) fn judged_metrics(
    scenario: &Scenario,
    role: Role,
    rows: &BTreeSet<&str>,
    has_standard: bool,
) -> Vec<Metric> {
    let mut metrics = metric::judged(scenario, role);
    let cost = role.own(metric::SERVER_CPU, metric::CLIENT_CPU);
    let programs: BTreeSet<&str> = rows.iter().map(|row| program_of(row)).collect();
    if programs.len() < rows.len() && metrics.contains(&cost) {
        metrics.extend(metric::relative(cost).filter(|relative| !metrics.contains(relative)));
    }
    metrics.retain(|metric| has_standard || !metric.is_relative());
    metrics
}

/// What is judged together in one scenario of a session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Family {
    /// Rows that are compared with the baseline.
    pub(crate) rows: usize,
    /// The metrics by which they are.
    pub(crate) metrics: Vec<Metric>,
}

impl Family {
    /// The family of a scenario; `None` where rows are not compared one by one.
    pub(crate) fn new(session: &Session, scenario: &Scenario) -> Option<Family> {
        let pairs = || {
            let own = session.pairs.iter().filter(|pair| takes_part(session, &scenario.name, pair));
            own.filter(|pair| !is_twin(&pair.server) && !is_twin(&pair.client))
        };
        let rows: BTreeSet<&str> = pairs().map(|pair| compared(pair, session.role)).collect();
        // A matrix has several pairs for a row.
        if rows.len() < pairs().count() || rows.len() < 2 {
            return None;
        }
        let others: BTreeSet<&String> =
            pairs().map(|pair| session.role.other(&pair.server, &pair.client)).collect();
        let metrics = judged_metrics(scenario, session.role, &rows, others.len() == 1);
        Some(Family { rows: rows.len() - 1, metrics })
    }

    /// Comparisons that share one level.
    pub(crate) fn comparisons(&self) -> usize {
        self.rows * self.metrics.len()
    }
}
