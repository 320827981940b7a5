//! What a client saw of a server, as numbers.

use bench_core::{
    DriveSpec,
    protocol::ClientReport,
    spec::{Load, Workload},
};
use histogram::{Distribution, Series};
use schemars::JsonSchema;
use serde::Serialize;

/// What a client saw of a server, so far as conditions can be set on it.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub(super) workload: Workload,
    pub(super) is_paced: bool,
    pub(super) connections: u32,
    pub(super) failed_connections: u64,
    pub(super) units: u64,
    pub(super) elapsed_ns: u64,
    pub(super) not_sent: u64,
    pub(super) latency: Option<Latency>,
}

impl Figures {
    pub(super) fn new(report: &ClientReport, spec: &DriveSpec) -> Figures {
        let load = &spec.load;
        Figures {
            workload: load.workload(),
            is_paced: load.is_paced(),
            connections: load.connections,
            failed_connections: report.failed_connections,
            units: report.units,
            elapsed_ns: report.elapsed_ns,
            not_sent: report.not_sent,
            latency: latency_of(report, load).and_then(Latency::of),
        }
    }

    /// Round trips a second; `None` where nothing was to be sent, or no time went by.
    pub(super) fn rate_per_s(&self) -> Option<f64> {
        let is_known = self.elapsed_ns > 0 && self.workload != Workload::Idle;
        is_known.then(|| self.units as f64 * 1e9 / self.elapsed_ns as f64)
    }
}

/// The latency that a load is about.
pub(super) fn latency_of<'a>(report: &'a ClientReport, load: &Load) -> Option<&'a Distribution> {
    let series = match load.workload() {
        Workload::Paced => Series::FromIntended,
        _ => Series::RoundTrip,
    };
    report.series.get(&series)
}

/// A latency, as it is stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Percentile {
    P50,
    P90,
    P99,
    P99_9,
    P99_99,
    Max,
}

impl Percentile {
    /// All of them, the lowest first.
    pub(super) const ALL: [Percentile; 6] = [
        Percentile::P50,
        Percentile::P90,
        Percentile::P99,
        Percentile::P99_9,
        Percentile::P99_99,
        Percentile::Max,
    ];

    /// What a person calls it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Percentile::P50 => "p50",
            Percentile::P90 => "p90",
            Percentile::P99 => "p99",
            Percentile::P99_9 => "p99.9",
            Percentile::P99_99 => "p99.99",
            Percentile::Max => "max",
        }
    }
}

/// Percentiles, each absent with too few samples for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Latency {
    p50_ns: Option<u64>,
    p90_ns: Option<u64>,
    p99_ns: Option<u64>,
    p99_9_ns: Option<u64>,
    p99_99_ns: Option<u64>,
    max_ns: u64,
    /// Samples above the range of the histogram.
    pub(super) over_range: u64,
}

impl Latency {
    fn of(series: &Distribution) -> Option<Latency> {
        let histogram = series.histogram().ok().filter(|_| series.count > 0)?;
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
    }

    /// One of them, in nanoseconds.
    pub(super) fn at(&self, percentile: Percentile) -> Option<u64> {
        match percentile {
            Percentile::P50 => self.p50_ns,
            Percentile::P90 => self.p90_ns,
            Percentile::P99 => self.p99_ns,
            Percentile::P99_9 => self.p99_9_ns,
            Percentile::P99_99 => self.p99_99_ns,
            Percentile::Max => Some(self.max_ns),
        }
    }
}
