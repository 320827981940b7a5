//! The end of a client: it closes its connections and adds up what they did.

use std::time::{Duration, Instant};

use histogram::Recorder;

use super::{
    Client,
    connection::Connection,
    cut::Cut,
    pass::{self, Pass},
    task::{Part, Task},
};
use crate::{
    ClientConnection, Runtime,
    panics::panics,
    payload::Class,
    protocol::{ClientReport, Counts, Failures, Measured, StepReport},
    workload::{Stop, Stretch},
};

/// Errors that are quoted; the rest is counted.
const ERRORS_QUOTED: usize = 5;

/// How long closing may take once a client was told to stop: whoever told it waits for the report.
const HASTY_CLOSE: Duration = Duration::from_secs(1);

impl<R: Runtime> Client<R> {
    /// Closes all connections and reports.
    pub(super) async fn finish(mut self, total: Measured, recorders: &[Recorder]) -> ClientReport {
        let open = self.connections.iter().filter(|connection| connection.socket.is_some()).count() as u64;
        self.close().await;
        let mut drove = ClientReport {
            units: total.units,
            elapsed_ns: total.elapsed_ns,
            capacity_per_s: self.capacity_per_s,
            series: Recorder::merge(recorders),
            slices: Recorder::merge_slices(recorders),
            // The publisher has no deliveries.
            counts: Counts::of(
                self.connections
                    .iter()
                    .filter(|connection| !self.publishes(connection.index))
                    .map(|connection| connection.progress.units),
            ),
            panics: panics(),
            failed_connections: self.panicked,
            open_connections: self.any_server.map(|_| open),
            ..ClientReport::default()
        };
        drove.failures = failures(&self.connections);
        for connection in &self.connections {
            drove.tally.add(&connection.progress.tally);
            drove.not_sent += connection.progress.not_sent;
            drove.refused += connection.progress.refused;
            drove.timed_out += connection.progress.timed_out;
            drove.missed += connection.progress.missed;
            drove.disconnected += connection.progress.disconnected;
            drove.tls = drove.tls.or_else(|| connection.secured.clone());
            if let Some(error) = &connection.error {
                drove.failed_connections += 1;
                if drove.errors.len() < ERRORS_QUOTED {
                    drove.errors.push(format!("connection {}: {error}", connection.index));
                }
            }
        }
        drove.steps = self.steps();
        drove
    }

    /// Closes all connections at once, in one limit for all.
    async fn close(&mut self) {
        let is_interrupted = self.interrupt.came();
        let limit = self.opener.spec.close_timeout();
        let until = Instant::now() + if is_interrupted { limit.min(HASTY_CLOSE) } else { limit };
        let pass = Pass::new(self.load.clone(), Class::Measured, Instant::now(), Stop::After(0), None);
        let mut connections = std::mem::take(&mut self.connections);
        // The publisher first: the server's end of a subscriber listens to it no sooner than when nothing more can come.
        connections.sort_by_key(|connection| connection.index);
        let publishers = connections.iter().take_while(|connection| self.publishes(connection.index)).count();
        let others = connections.split_off(publishers);
        let (mut done, mut panicked) = (Vec::new(), 0);
        for part in [connections, others] {
            let (open, closed): (Vec<_>, Vec<_>) =
                part.into_iter().partition(|connection| connection.socket.is_some());
            done.extend(closed);
            let close = |connection: ClientConnection<R>| {
                let is_cut = self.any_server.is_some() && !is_interrupted;
                let cut = is_cut.then(|| Cut { at: None, raised: self.interrupt.raised(connection.index) });
                let task = self.task(&pass, connection, None);
                self.runtime.spawn(Task { part: Part::Close { until }, begins: None, cut, ..task })
            };
            let closing: Vec<_> = open.into_iter().map(close).collect();
            for task in closing {
                match task.await {
                    // With a message on its way there is no telling when the server comes to the close.
                    Some(connection) if is_interrupted => done.push(Connection { error: None, ..connection }),
                    Some(connection) => done.push(connection),
                    None => panicked += 1,
                }
            }
        }
        self.connections = done;
        self.panicked += panicked;
    }

    /// What was offered and answered in each step, where the load has steps.
    fn steps(&self) -> Vec<StepReport> {
        if self.load.steps().is_empty() {
            return Vec::new();
        }
        let start = Instant::now();
        let stop = Stop::At(start + Duration::from_millis(self.load.window_ms()));
        let stretches = pass::stretches(&self.load, start, stop, self.capacity_per_s);
        let answered = |place| {
            self.connections
                .iter()
                .filter_map(|connection| connection.progress.answered.get(place))
                .sum::<u64>()
        };
        let report = |(place, stretch): (usize, &Stretch)| StepReport {
            rate_per_s: stretch.rate_per_s,
            duration_ms: stretch.length.as_millis() as u64,
            offered: stretch.messages,
            answered: answered(place),
        };
        stretches.iter().enumerate().map(report).collect()
    }
}

/// The connections with an error by its kind, the most frequent first.
fn failures<S>(connections: &[Connection<S>]) -> Vec<Failures> {
    /// Kinds that are told apart; a server can make up as many as it likes.
    const KINDS: usize = 20;
    let mut failures: Vec<Failures> = Vec::new();
    for connection in connections {
        let Some(error) = &connection.error else { continue };
        let kind = error.kind();
        let known = failures.iter().position(|failure| failure.kind == kind);
        match known.or((failures.len() == KINDS).then_some(KINDS - 1)) {
            Some(place) => failures[place].connections += 1,
            None => failures.push(Failures {
                kind,
                is_wrong_answer: error.is_wrong_answer(),
                connections: 1,
                first: format!("connection {}: {error}", connection.index),
            }),
        }
    }
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.connections));
    failures
}
