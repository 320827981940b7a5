//! Which marks a trial has.

use std::collections::BTreeSet;

use bench_core::{
    protocol::ClientReport,
    spec::{Role, Workload},
};
use histogram::Series;

use super::Mark;
use crate::{
    clock::{self, Ahead},
    placement::Placement,
    record::Record,
    sample::MachineSample,
};

/// Share of the measured window from which a client's core counts as full: the rest is lost between its system calls.
pub const FULL: f64 = 0.95;

/// Share of the offered rate below which a server counts as saturated.
const SATURATED: f64 = 0.99;

/// Lateness of a generator, at p99, that no latency of a WebSocket echo is sensitive to.
pub const LATE_NS: u64 = 20_000;

/// The same where the generator shares its core with the server: the wake-up of the kernel's timers is part of it.
const LATE_SHARED_NS: u64 = 200_000;

/// Share of the window of the used cores that others may take before a trial counts as disturbed.
const FOREIGN: f64 = 0.05;

/// Share of the window of the used cores that the hypervisor may take.
const STOLEN: f64 = 0.02;

/// What the kernel's counting in ticks of 10 ms may add to that, on two cores.
const TICKS_NS: u64 = 20_000_000;

/// The marks of a trial that did not fail.
pub fn marks(record: &Record) -> BTreeSet<Mark> {
    let mut marks = BTreeSet::new();
    let Some(report) = record.report().filter(|_| record.error.is_none()) else {
        return marks;
    };
    let workload = record.scenario.load.workload();
    if record.cores.cores_shared {
        marks.insert(Mark::CoresShared);
    }
    if record.cores.siblings {
        marks.insert(Mark::Siblings);
    }
    // In a trial of wsbench's own servers this is an error.
    if report.failed_connections > 0 {
        marks.insert(Mark::ConnectionsFailed);
    }
    if is_throttled(record) {
        marks.insert(Mark::Throttled);
    }
    if workload.is_closed_loop() && record.placement == Placement::Split && is_full(record, report) {
        marks.insert(Mark::ClientSaturated);
    }
    if matches!(workload, Workload::Paced | Workload::Broadcast) {
        // A client that is compared is late by its own timers, and that is what is measured.
        if record.role == Role::Server && generator_is_late(record, report) {
            marks.insert(Mark::GeneratorLate);
        } else if rate(report) < SATURATED * offered(record, report) {
            marks.insert(Mark::ServerSaturated);
        }
    }
    if is_disturbed(record, report) {
        marks.insert(Mark::Disturbed);
    }
    marks
}

/// Units a second that the load asks for; of a broadcast without those that a policy dropped.
fn offered(record: &Record, report: &ClientReport) -> f64 {
    let load = &record.scenario.load;
    let rate = load.rate_per_s().unwrap_or(0) as f64;
    match load.workload() {
        Workload::Broadcast => {
            rate * f64::from(load.connections) - record.dropped as f64 * 1e9 / report.elapsed_ns as f64
        }
        _ => rate,
    }
}

fn rate(report: &ClientReport) -> f64 {
    report.units as f64 * 1e9 / report.elapsed_ns as f64
}

/// Whether the client of the main load was busy all the time.
fn is_full(record: &Record, report: &ClientReport) -> bool {
    let samples = record.samples(Role::Client);
    let Some((before, after)) = samples.both() else { return false };
    let busy = after.cpu_ns.saturating_sub(before.cpu_ns) as f64;
    busy >= FULL * report.elapsed_ns as f64 * f64::from(record.client.workers)
}

fn generator_is_late(record: &Record, report: &ClientReport) -> bool {
    let quantile = |series, q| {
        let distribution = report.series.get(&series)?;
        distribution.quantile_of_ns(&distribution.histogram().ok()?, q)
    };
    let Some(lag_ns) = quantile(Series::GeneratorLag, 0.99) else { return false };
    let latency = match record.scenario.load.workload() {
        Workload::Broadcast => Series::Delivery,
        _ => Series::FromIntended,
    };
    let half_median_ns = quantile(latency, 0.5).unwrap_or(0) / 2;
    let bound_ns = match record.placement {
        // The other client, or the server, takes time of the same core.
        Placement::Split if record.clients.len() > 1 || record.cores.siblings => {
            LATE_SHARED_NS.max(half_median_ns)
        }
        Placement::Split => LATE_NS.max(half_median_ns),
        Placement::Shared => LATE_SHARED_NS,
    };
    lag_ns > bound_ns
}

/// Whether a quota stopped anybody of this control group in the measured window.
fn is_throttled(record: &Record) -> bool {
    let Some((before, after)) = record.machine_samples.both() else { return false };
    let periods = |sample: &MachineSample| sample.throttled_periods.unwrap_or(0);
    periods(after) > periods(before)
}

fn is_disturbed(record: &Record, report: &ClientReport) -> bool {
    let Some((before, after)) = record.machine_samples.both() else { return false };
    let ahead = |sample: &MachineSample| Ahead {
        boot_ns: sample.boot_clock_ahead_ns,
        wall_ns: sample.wall_clock_ahead_ns,
    };
    if clock::step(ahead(before), ahead(after)).is_some() {
        return true;
    }
    let used_cores = record.cores.server.iter().chain(&record.cores.client).collect::<BTreeSet<_>>().len();
    if used_cores == 0 {
        return false;
    }
    let window_ns = report.elapsed_ns as f64 * used_cores as f64;
    let others_ns = after.others_cpu_ns.saturating_sub(before.others_cpu_ns);
    let stolen_ns = after.used_cores_stolen_ns.saturating_sub(before.used_cores_stolen_ns);
    others_ns as f64 > FOREIGN * window_ns || stolen_ns as f64 > STOLEN * window_ns + TICKS_NS as f64
}
