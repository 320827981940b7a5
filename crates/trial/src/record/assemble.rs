//! The record of a trial, from its outcome.

use std::collections::BTreeSet;

use bench_core::spec::Load;

use super::{Client, End, Origin, Position, Record, SCHEMA};
use crate::{
    mark,
    outcome::{ClientOutcome, Outcome},
    program::Program,
    sample::Sample,
    setup::Setup,
};

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
        let server = outcome.server_report.unwrap_or_default();
        let failed = outcome.failure.is_some();
        let end = |row: &str, program: &Program| End {
            row: row.to_owned(),
            info: program.info.clone(),
            binary_sha256: program.sha256.clone(),
            workers: program.threads(setup.threads),
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
            server: end(&setup.pair.server, setup.server),
            client: end(&setup.pair.client, setup.client),
            server_samples: outcome.server_samples,
            server_tally: server.tally,
            clients: (0..).zip(outcome.clients).map(|(load, client)| kept(load, client, failed)).collect(),
            started_unix_ms,
            took_ns,
            pacing: is_paced.then(|| setup.pacing(origin)),
            dropped: server.dropped_messages,
            disconnected: server.disconnected,
            memory_bound_bytes: memory_bound(setup, outcome.server_samples.ready.as_ref()),
            bursts: outcome.bursts,
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

/// What is kept of a client.
fn kept(load: u32, client: ClientOutcome, failed: bool) -> Client {
    let mut report = client.report;
    if let Some(report) = report.as_mut().filter(|_| failed) {
        // Those of a failed trial are not figures, and may not even decode.
        report.series.clear();
        report.slices.clear();
    }
    Client { load, samples: client.samples, report }
}

/// See [`Record::memory_bound_bytes`].
fn memory_bound(setup: Setup<'_>, ready: Option<&Sample>) -> Option<u64> {
    let scenario = setup.scenario;
    let stalls = scenario.loads().any(|load| load.stall().is_some());
    let held: u64 = scenario.loads().map(|load| load.memory_bound_bytes(&scenario.socket)).sum();
    ready.filter(|_| stalls).map(|ready| ready.rss_bytes + held)
}
