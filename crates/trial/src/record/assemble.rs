//! The record of a trial, from its outcome.

use std::collections::{BTreeMap, BTreeSet};

use bench_core::spec::Load;

use super::{Beside, End, Origin, Position, Record, SCHEMA};
use crate::{mark, outcome::Outcome, program::Program, sample::Sample, setup::Setup};

impl Record {
    /// The record of a trial.
    pub fn new(
        origin: &Origin,
        position: Position,
        setup: Setup<'_>,
        started_unix_ms: u64,
        took_ns: u64,
        outcome: Outcome,
    ) -> Record {
        let mut clients = outcome.clients.into_iter();
        let first = clients.next().unwrap_or_default();
        let drove = first.report.unwrap_or_default();
        let served = outcome.server_report.unwrap_or_default();
        let end = |row: &str, program: &Program, samples, tally| End {
            row: row.to_owned(),
            info: program.info.clone(),
            binary_sha256: program.sha256.clone(),
            workers: program.threads(setup.threads),
            samples,
            tally,
        };
        let is_paced = setup.scenario.loads().any(Load::is_paced);
        let mut record = Record {
            schema: SCHEMA,
            session: origin.session.clone(),
            round: position.round,
            block: position.block,
            attempt: position.attempt,
            order: position.order,
            seed: origin.seed,
            scenario: setup.scenario.clone(),
            role: origin.role,
            placement: setup.placement,
            cores: setup.cores.clone(),
            server: end(&setup.pair.server, setup.server, outcome.server_samples, served.tally),
            client: end(&setup.pair.client, setup.client, first.samples, drove.tally),
            started_unix_ms,
            took_ns,
            units: drove.units,
            elapsed_ns: drove.elapsed_ns,
            not_sent: drove.not_sent,
            refused: drove.refused,
            timed_out: drove.timed_out,
            capacity_per_s: drove.capacity_per_s,
            steps: drove.steps,
            pacing: is_paced.then(|| setup.pacing(origin)),
            dropped: served.dropped_messages,
            disconnected: served.disconnected,
            memory_bound_bytes: memory_bound(setup, outcome.server_samples.ready.as_ref()),
            tls: drove.tls,
            // Those of a failed trial are no figures, and may not even decode.
            series: if outcome.failure.is_none() { drove.series } else { BTreeMap::new() },
            slices: drove.slices,
            counts: drove.counts,
            beside: clients.next().map(Beside::from),
            machine_samples: outcome.machine_samples,
            machine: origin.machine.clone(),
            build: origin.build.clone(),
            marks: BTreeSet::new(),
            error: outcome.failure,
        };
        record.marks = mark::marks(&record);
        record
    }
}

/// See [`Record::memory_bound_bytes`].
fn memory_bound(setup: Setup<'_>, ready: Option<&Sample>) -> Option<u64> {
    let scenario = setup.scenario;
    let stalls = scenario.loads().any(|load| load.stall().is_some());
    let held: u64 = scenario.loads().map(|load| load.memory_bound_bytes(&scenario.socket)).sum();
    ready.filter(|_| stalls).map(|ready| ready.rss_bytes + held)
}
