//! What a session plans, counted without laying out its blocks.

use bench_core::spec::Role;
use trial::{
    catalogue::Scenario,
    record::{FoundPoint, Pair, Session},
};

use super::{missing_capability::MissingCapability, twin::row_of};

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

/// Rounds of a session, with those in place of disturbed ones.
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
