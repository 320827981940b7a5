//! What a client saw of a server, in words.

use bench_core::{
    DriveSpec,
    protocol::{ClientReport, Failures},
    socket::Secured,
    spec::{Pacing, Workload},
};
use histogram::{Distribution, Series};
use schemars::JsonSchema;
use serde::Serialize;
use trial::mark::{FULL, LATE_NS};
use units::{Unit, human};

use crate::output::text::count;

/// What a client saw.
pub(super) struct Seen<'a> {
    report: &'a ClientReport,
    spec: &'a DriveSpec,
    /// CPU time of the client in the window over its length; absent where the system does not tell.
    busy: Option<f64>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(report: &'a ClientReport, spec: &'a DriveSpec, cpu_ns: Option<u64>) -> Seen<'a> {
        let busy =
            cpu_ns.filter(|_| report.elapsed_ns > 0).map(|cpu_ns| cpu_ns as f64 / report.elapsed_ns as f64);
        Seen { report, spec, busy }
    }

    /// For a person.
    pub(super) fn text(&self) -> String {
        let figures = match self.workload() {
            Workload::Idle => self.held(),
            _ => self.round_trips() + &self.latency(),
        };
        figures + &self.secured() + &self.limits() + &self.failures()
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let ClientReport { units, elapsed_ns, not_sent, failed_connections, .. } = *self.report;
        let latency = self.series().and_then(|series| {
            let histogram = series.histogram().ok()?;
            let at = |q| series.quantile_of_ns(&histogram, q);
            Some(Latency {
                p50_ns: at(0.5),
                p90_ns: at(0.9),
                p99_ns: at(0.99),
                p99_9_ns: at(0.999),
                p99_99_ns: at(0.9999),
                max_ns: series.max_ns,
                over_range: series.over_range,
            })
        });
        let flat = Flat {
            url: &self.spec.target,
            workload: self.workload(),
            connections: self.spec.load.connections,
            payload_bytes: self.spec.load.payload_bytes,
            units,
            elapsed_ns,
            rate_per_s: (elapsed_ns > 0).then(|| units as f64 * 1e9 / elapsed_ns as f64),
            not_sent,
            latency,
            generator_lag_p99_ns: self.generator_lag_ns(),
            tls: self.report.tls.as_ref(),
            client_busy_percent: self.busy.map(|busy| busy * 100.0),
            failed_connections,
            failures: &self.report.failures,
        };
        serde_json::to_string_pretty(&flat).expect("names and finite numbers are JSON") + "\n"
    }

    /// The latency that the workload is about.
    fn series(&self) -> Option<&Distribution> {
        let series = match self.workload() {
            Workload::Paced => Series::FromIntended,
            _ => Series::RoundTrip,
        };
        self.report.series.get(&series)
    }

    fn generator_lag_ns(&self) -> Option<u64> {
        let lag = self.report.series.get(&Series::GeneratorLag)?;
        lag.quantile_of_ns(&lag.histogram().ok()?, 0.99)
    }

    fn workload(&self) -> Workload {
        self.spec.load.workload()
    }

    fn held(&self) -> String {
        let all = u64::from(self.spec.load.connections);
        let held = all.saturating_sub(self.report.failed_connections);
        let seconds = self.spec.load.window_ms() as f64 / 1e3;
        format!("{held} of {} held for {seconds:.2} s\n", count(all as usize, "connection"))
    }

    fn round_trips(&self) -> String {
        let ClientReport { units, elapsed_ns, not_sent, .. } = *self.report;
        let what = match self.workload() {
            Workload::Paced => "paced, latency from the intended instant",
            _ => "closed loop",
        };
        let seconds = elapsed_ns as f64 / 1e9;
        let rate = if elapsed_ns > 0 { units as f64 / seconds } else { 0.0 };
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
        let Some(latency) = self.series() else { return String::new() };
        let Ok(histogram) = latency.histogram() else { return String::new() };
        let mut text = String::new();
        for (label, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)] {
            if let Some(ns) = latency.quantile_of_ns(&histogram, q) {
                text += &format!("{label:>7}  {:>9}\n", human(ns as f64, Unit::Nanoseconds));
            }
        }
        text += &format!("{:>7}  {:>9}\n", "max", human(latency.max_ns as f64, Unit::Nanoseconds));
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

    /// What the client itself was the limit of.
    fn limits(&self) -> String {
        let mut text = String::new();
        if let Some(busy) = self.busy {
            let why = if self.spec.load.is_paced() && self.spec.pacing == Pacing::Spin {
                ": it spins until the next instant"
            } else if busy >= FULL {
                ": rate and latency are its own as much as the server's"
            } else {
                ""
            };
            text += &format!("the client was {:.0} % busy{why}\n", busy * 100.0);
        }
        if let Some(lag) = self.generator_lag_ns() {
            let late = if lag > LATE_NS { ": part of the latency is the client's own" } else { "" };
            let lag = human(lag as f64, Unit::Nanoseconds);
            text += &format!("the client sent up to {lag} late at p99{late}\n");
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
    url: &'a str,
    workload: Workload,
    connections: u32,
    payload_bytes: u64,
    /// Round trips whose echo was verified.
    units: u64,
    elapsed_ns: u64,
    rate_per_s: Option<f64>,
    /// Paced: messages that were intended and could not be sent in time.
    not_sent: u64,
    /// Absent without a round trip. Paced: from the intended instant.
    latency: Option<Latency>,
    /// Paced: how late the client sent, at p99.
    generator_lag_p99_ns: Option<u64>,
    /// What was negotiated under TLS.
    tls: Option<&'a Secured>,
    /// CPU time of the client in percent of one core.
    client_busy_percent: Option<f64>,
    failed_connections: u64,
    failures: &'a [Failures],
}

/// Percentiles, each absent with too few samples for it.
#[derive(Serialize, JsonSchema)]
struct Latency {
    p50_ns: Option<u64>,
    p90_ns: Option<u64>,
    p99_ns: Option<u64>,
    p99_9_ns: Option<u64>,
    p99_99_ns: Option<u64>,
    max_ns: u64,
    /// Samples above the range of the histogram.
    over_range: u64,
}

/// The JSON Schema of `drive --format json`.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Flat<'static>)
}
