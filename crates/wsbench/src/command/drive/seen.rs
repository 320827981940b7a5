//! What a client saw of a server, in words.

use std::collections::BTreeSet;

use bench_core::{
    DriveSpec,
    protocol::{ClientReport, Failures},
    socket::Secured,
    spec::{Pacing, Role, Workload},
};
use histogram::Series;
use indicatif::HumanCount;
use schemars::JsonSchema;
use serde::Serialize;
use trial::{
    mark::Mark,
    record::{Record, public_url},
};
use units::{Unit, human};

use super::{
    client::{Cut, Why},
    condition::Judged,
    figures::{Figures, Latency, Percentile},
};
use crate::output::text::count;

/// What a client saw.
pub(super) struct Seen<'a> {
    pub(super) spec: &'a DriveSpec,
    /// As it is kept.
    pub(super) record: &'a Record,
    pub(super) report: &'a ClientReport,
    pub(super) figures: &'a Figures,
    /// Why it ended before its time, if it did.
    pub(super) cut: Option<Cut>,
    /// The conditions that were set on it.
    pub(super) judged: &'a [Judged<'a>],
}

impl Seen<'_> {
    /// For a person.
    pub(super) fn text(&self) -> String {
        let figures = match self.figures.workload {
            Workload::Idle => self.held(),
            _ => self.round_trips() + &self.latency(),
        };
        self.partial() + &figures + &self.secured() + &self.limits() + &self.failures()
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let ClientReport { units, elapsed_ns, not_sent, failed_connections, open_connections, .. } =
            *self.report;
        let flat = Flat {
            url: &public_url(&self.spec.target),
            workload: self.figures.workload,
            connections: self.figures.connections,
            payload_bytes: self.spec.load.payload_bytes,
            interrupted: self.cut.is_some(),
            units,
            elapsed_ns,
            rate_per_s: self.figures.rate_per_s(),
            not_sent,
            latency: self.figures.latency.as_ref(),
            generator_lag_p99_ns: self.generator_lag_ns(),
            tls: self.report.tls.as_ref(),
            client_busy_percent: self.busy().map(|busy| busy * 100.0),
            marks: &self.record.marks,
            open_connections,
            failed_connections,
            failures: &self.report.failures,
            conditions: self.judged,
        };
        serde_json::to_string_pretty(&flat).expect("names and finite numbers are JSON") + "\n"
    }

    /// That the window was shorter than it was meant to be, where it was.
    fn partial(&self) -> String {
        let Some(cut) = self.cut.filter(|cut| cut.is_of_window()) else { return String::new() };
        let why = match cut.why {
            Why::Signal(signal) => format!("interrupted by {}", signal.name()),
            Why::TimeLimit(limit) => format!("the time limit of {:.0} s ran out", limit.as_secs_f64()),
        };
        let seconds = self.figures.elapsed_ns as f64 / 1e9;
        let of = match self.spec.load.messages() {
            Some(messages) => format!("{} messages for each connection", HumanCount(messages)),
            None => format!("{:.2} s", self.spec.load.window_ms() as f64 / 1e3),
        };
        format!("partial: {why} after {seconds:.2} s of {of}\n")
    }

    fn generator_lag_ns(&self) -> Option<u64> {
        let lag = self.report.series.get(&Series::GeneratorLag)?;
        lag.quantile_of_ns(&lag.histogram().ok()?, 0.99)
    }

    /// CPU time of the client in the window over its length; `None` where the system does not tell.
    fn busy(&self) -> Option<f64> {
        let samples = self.record.samples(Role::Client);
        let (before, after) = samples.both().filter(|_| self.report.elapsed_ns > 0)?;
        Some(after.cpu_ns.saturating_sub(before.cpu_ns) as f64 / self.report.elapsed_ns as f64)
    }

    fn held(&self) -> String {
        let all = u64::from(self.figures.connections);
        let held = match self.report.open_connections {
            Some(open) => open,
            None => all.saturating_sub(self.report.failed_connections),
        };
        let seconds = match self.cut {
            Some(_) => self.figures.elapsed_ns as f64 / 1e9,
            None => self.spec.load.window_ms() as f64 / 1e3,
        };
        format!("{held} of {} held for {seconds:.2} s\n", count(all as usize, "connection"))
    }

    fn round_trips(&self) -> String {
        let Figures { units, elapsed_ns, not_sent, .. } = *self.figures;
        let what = match self.figures.workload {
            Workload::Paced => "paced, latency from the intended instant",
            _ => "closed loop",
        };
        let seconds = elapsed_ns as f64 / 1e9;
        let rate = self.figures.rate_per_s().unwrap_or(0.0);
        let mut text = format!(
            "{units} verified round trips in {seconds:.2} s: {} ({what})\n",
            human(rate, Unit::PerSecond)
        );
        if not_sent > 0 {
            text += &format!("{not_sent} more were intended and could not be sent in time\n");
        }
        text
    }

    fn latency(&self) -> String {
        let Some(latency) = &self.figures.latency else { return String::new() };
        let mut text = String::new();
        for percentile in Percentile::ALL {
            if let Some(ns) = latency.at(percentile) {
                text += &format!("{:>7}  {:>9}\n", percentile.label(), human(ns as f64, Unit::Nanoseconds));
            }
        }
        if latency.over_range > 0 {
            let longer = histogram::HIGHEST.as_secs() / 60;
            text += &format!(
                "{} took longer than {longer} minutes\n",
                count(latency.over_range as usize, "round trip")
            );
        }
        text
    }

    /// What TLS has negotiated.
    fn secured(&self) -> String {
        self.report.tls.as_ref().map_or_else(String::new, |tls| {
            format!("{} with {}, key exchange by {}\n", tls.protocol, tls.cipher_suite, tls.key_exchange)
        })
    }

    /// What else decided the figures than the server: the client, and what the marks of the trial say.
    fn limits(&self) -> String {
        let has = |mark: Mark| self.record.marks.contains(&mark);
        let mut text = String::new();
        if let Some(busy) = self.busy() {
            let why = if self.spec.load.is_paced() && self.spec.pacing == Pacing::Spin {
                ": it spins until the next instant"
            } else if has(Mark::ClientSaturated) {
                ": rate and latency are its own as much as the server's (client-saturated)"
            } else {
                ""
            };
            text += &format!("the client was {:.0} % busy{why}\n", busy * 100.0);
        }
        if let Some(lag) = self.generator_lag_ns() {
            let late = match has(Mark::GeneratorLate) {
                true => ": part of the latency is the client's own (generator-late)",
                false => "",
            };
            let lag = human(lag as f64, Unit::Nanoseconds);
            text += &format!("the client sent up to {lag} late at p99{late}\n");
        }
        for (mark, meaning) in [
            (Mark::ServerSaturated, "the server kept up with less than 99 % of the offered rate"),
            (Mark::Throttled, "a CPU quota stopped the client while it measured"),
            (Mark::Disturbed, "a clock of this machine stepped while the client measured"),
        ] {
            if has(mark) {
                text += &format!("{meaning} ({})\n", mark.name());
            }
        }
        text
    }

    fn failures(&self) -> String {
        let ClientReport { failed_connections, failures, errors, .. } = self.report;
        if *failed_connections == 0 {
            return String::new();
        }
        let all = count(self.spec.load.connections as usize, "connection");
        let mut text = format!("{failed_connections} of {all} failed:\n");
        for failure in failures {
            // Where the kind is the whole error, only its connection is new.
            let first = failure.first.strip_suffix(&failure.kind).unwrap_or(&failure.first);
            let first = first.trim_end_matches(": ");
            text += &format!("{:>7}  {} ({first})\n", failure.connections, failure.kind);
        }
        // A client that does not tell kinds apart quotes the first errors.
        for error in errors.iter().filter(|_| failures.is_empty()) {
            text += &format!("         {error}\n");
        }
        text
    }
}

/// What a client saw, as JSON gives it.
#[derive(Serialize, JsonSchema)]
struct Flat<'a> {
    /// Without user, password and query.
    url: &'a str,
    workload: Workload,
    connections: u32,
    payload_bytes: u64,
    /// Whether it ended before its time, by a signal or its time limit: what was measured by then follows.
    interrupted: bool,
    /// Round trips whose echo was verified.
    units: u64,
    elapsed_ns: u64,
    rate_per_s: Option<f64>,
    /// Paced: messages that were intended and could not be sent in time.
    not_sent: u64,
    /// Absent without a round trip. Paced: from the intended instant.
    latency: Option<&'a Latency>,
    /// Paced: how late the client sent, at p99.
    generator_lag_p99_ns: Option<u64>,
    /// What was negotiated under TLS.
    tls: Option<&'a Secured>,
    /// CPU time of the client in percent of one core.
    client_busy_percent: Option<f64>,
    /// What else decided some of the figures than the server.
    marks: &'a BTreeSet<Mark>,
    /// Connections that were open when the window ended; absent for rows that do not tell.
    open_connections: Option<u64>,
    failed_connections: u64,
    failures: &'a [Failures],
    /// Those of --fail-if.
    conditions: &'a [Judged<'a>],
}

/// The JSON Schema of `drive --format json`.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Flat<'static>)
}
