//! What is kept of a driven server: the same record as that of a trial, with what only a client can know.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use bench_core::{
    DriveSpec, RowInfo,
    protocol::ClientReport,
    row::{Accounting, BuildInfo},
    spec::{Role, Target, Workload},
    tally::Tally,
};
use trial::{
    Edges, Failure, Program, Step,
    catalogue::Scenario,
    machine::Machine,
    mark::{self, Mark},
    metric,
    placement::{Cores, Placement},
    record::{
        Client, End, Line, Pair, Partial, Record, SCHEMA, Session, Writer, command_line, new_session, unix_ms,
    },
};

use super::{
    client::{Cut, Driven},
    reach,
};
use crate::{exit::Stop, output::files::refuse_unfinished_line, run::signals::Signal};

/// The session of one drive, before it begins.
///
/// Both ends have cores of their own, as far as anybody knows: the client is not pinned, and where the server runs is up to
/// whoever runs it.
pub(super) fn session(target: &Target, spec: &DriveSpec, program: &Program, build: BuildInfo) -> Session {
    let name = name(target);
    let about = "One client against a server that is not wsbench's own".to_owned();
    let scenario = Scenario {
        about,
        placement: Placement::Split,
        socket: spec.socket.clone(),
        judged_by: judged_by(spec.load.workload()),
        ..Scenario::new(&format!("drive-{}", spec.load.workload().name()), spec.load.clone())
    };
    Session {
        schema: SCHEMA,
        session: new_session(),
        command: command_line(),
        started_unix_ms: unix_ms(),
        seed: 0,
        rounds: 1,
        rounds_of: BTreeMap::new(),
        further: Vec::new(),
        profile: None,
        role: Role::Server,
        pairs: vec![Pair { server: name.clone(), client: program.row.clone() }],
        baseline: name.clone(),
        unavailable: BTreeMap::new(),
        missing: false,
        started_by: Vec::new(),
        server_cores: 1,
        left_out: BTreeMap::new(),
        counts: false,
        not_possible: BTreeMap::new(),
        scenarios: vec![scenario],
        waves: Vec::new(),
        objective: None,
        target: Some(name),
        machine: Machine::this(&build),
        build,
    }
}

/// The row of the results: host, port and path, and nothing that may be a secret.
fn name(target: &Target) -> String {
    let port = target.addrs.first().map_or(0, |addr| addr.port());
    let named = target.authority.ends_with(&format!(":{port}"));
    let port = if named { String::new() } else { format!(":{port}") };
    let path = target.path.as_deref().unwrap_or("/");
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    // In the name of a row it would stand before the path of a program.
    format!("{}{port}{}", target.authority, path.trim_end_matches('/').replace('@', "%40"))
}

/// What stands first in a table: nothing is known of the server's cost.
fn judged_by(workload: Workload) -> Vec<String> {
    let metrics = match workload {
        Workload::Idle => vec![metric::HELD],
        _ => vec![metric::P50, metric::P99],
    };
    metrics.into_iter().map(|metric| metric.name.to_owned()).collect()
}

/// The end of the server: nobody has described it, nor started it.
fn server(name: &str) -> End {
    let info = RowInfo {
        row: name.to_owned(),
        services: vec!["echo".to_owned()],
        workloads: Vec::new(),
        flush: Vec::new(),
        features: Vec::new(),
        accounting: Accounting::Client,
        ..RowInfo::new("unknown", "")
    };
    End { row: name.to_owned(), info, binary_sha256: String::new(), workers: 1 }
}

/// The record of a drive that took so long in all, of what its client did; `failure` where it has no figures.
pub(super) fn trial(
    session: &Session,
    spec: &DriveSpec,
    program: &Program,
    took: Duration,
    driven: Option<&Driven>,
    failure: Option<Failure>,
) -> Record {
    let mut report = driven.map(|driven| driven.report.clone());
    if let Some(report) = report.as_mut().filter(|_| failure.is_some()) {
        report.series.clear();
    }
    let samples = driven.map_or(Edges::default(), |driven| driven.samples);
    let cut = driven.and_then(|driven| driven.cut);
    let [scenario] = &session.scenarios[..] else { unreachable!("a drive has one scenario") };
    let [Pair { server: name, client }] = &session.pairs[..] else { unreachable!("and one pair") };
    let mut record = Record {
        schema: SCHEMA,
        session: session.session.clone(),
        round: 0,
        block: 0,
        attempt: 0,
        order: 0,
        seed: session.seed,
        scenario: scenario.clone(),
        role: session.role,
        placement: scenario.placement,
        cores: Cores::anywhere(),
        server: server(name),
        client: End {
            row: client.clone(),
            info: program.info.clone(),
            binary_sha256: program.sha256.clone(),
            workers: spec.threads,
        },
        server_samples: Edges::default(),
        server_tally: Tally::default(),
        clients: vec![Client { load: 0, samples, report }],
        started_unix_ms: session.started_unix_ms,
        took_ns: took.as_nanos() as u64,
        pacing: spec.load.is_paced().then_some(spec.pacing),
        dropped: 0,
        disconnected: 0,
        memory_bound_bytes: None,
        bursts: Vec::new(),
        machine_samples: driven.map_or(Edges::default(), |driven| driven.machine_samples),
        machine: session.machine.clone(),
        build: session.build.clone(),
        marks: BTreeSet::new(),
        error: failure,
    };
    record.marks = mark::marks(&record);
    if record.error.is_none() && cut.is_some_and(Cut::is_of_window) {
        record.marks.insert(Mark::Interrupted);
    }
    record
}

/// Why there are no figures at all, where that is so: no connection got as far as a first answer, or the client panicked.
pub(super) fn failure(report: &ClientReport, workload: Workload) -> Option<Failure> {
    use bench_core::payload::Class;

    if report.panics > 0 {
        let message = format!("the client panicked in {} of its tasks", report.panics);
        return Some(Failure { step: Step::Measure, message });
    }
    let answers = |class| report.tally.class(class).received_messages;
    let has_answers = answers(Class::WarmUp) + answers(Class::Measured) > 0;
    let first = report.failures.first().filter(|_| workload != Workload::Idle && !has_answers)?;
    let hint = reach::hint(&first.kind);
    let message =
        format!("no connection got an answer; {} of them: {}{hint}", first.connections, first.first);
    Some(Failure { step: Step::Ready, message })
}

/// The file that records are appended to, where one was asked for.
pub(super) struct Kept(Option<(Writer, PathBuf)>);

impl Kept {
    /// Opens the file and begins the session in it.
    ///
    /// # Errors
    /// When the file cannot be appended to.
    pub(super) fn begin(path: Option<&Path>, session: &Session) -> Result<Kept, Stop> {
        let Some(path) = path else { return Ok(Kept(None)) };
        refuse_unfinished_line(path)?;
        let writer = Writer::append(path).map_err(|error| {
            Stop::usage(format!("{} cannot be written: {error}; --out names another file", path.display()))
        })?;
        let mut kept = Kept(Some((writer, path.to_owned())));
        kept.write(&Line::Session(session.clone()))?;
        Ok(kept)
    }

    /// Keeps what became of the session: its trial, where it has one, and the signal that ended it, where one did.
    ///
    /// # Errors
    /// When the file cannot be written any more.
    pub(super) fn end(
        &mut self,
        session: &Session,
        record: Option<Record>,
        signal: Option<Signal>,
    ) -> Result<(), Stop> {
        if let Some(record) = record {
            self.write(&Line::Trial(record))?;
        }
        let Some(signal) = signal else { return Ok(()) };
        let (session, signal) = (session.session.clone(), signal.name().to_owned());
        self.write(&Line::Partial(Partial { schema: SCHEMA, session, signal, at_unix_ms: unix_ms() }))
    }

    fn write(&mut self, line: &Line) -> Result<(), Stop> {
        let Some((writer, path)) = &mut self.0 else { return Ok(()) };
        writer.write(line).map_err(|error| {
            Stop::failed(format!(
                "{} cannot be written any more: {error}; --out names another file",
                path.display()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_named_by_host_port_and_path() {
        let name = |url: &str| name(&Target::parse(url).unwrap());
        assert_eq!(name("ws://127.0.0.1:9001/"), "127.0.0.1:9001");
        assert_eq!(name("127.0.0.1:9001"), "127.0.0.1:9001");
        assert_eq!(name("ws://127.0.0.1:80/chat?token=secret"), "127.0.0.1:80/chat");
        assert_eq!(name("wss://[::1]/@me#aa"), "[::1]:443/%40me");
    }
}
