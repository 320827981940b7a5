//! Metrics: the figures of one trial, derived from its record.

use std::collections::BTreeMap;

use bench_core::spec::{Role, Workload};
use histogram::{Distribution, Series};
use units::Unit;

use crate::{catalogue::Scenario, record::Record};

mod course;

/// A figure that a trial yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name in JSON, CSV and on the command line.
    pub name: &'static str,
    /// Heading in a table.
    pub label: &'static str,
    /// What it is counted in.
    pub unit: Unit,
    /// Whether more is better.
    pub higher_is_better: bool,
}

macro_rules! metrics {
    ($($constant:ident: $name:literal, $label:literal, $unit:ident, $higher:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $label, ".")]
            pub const $constant: Metric = Metric {
                name: $name,
                label: $label,
                unit: Unit::$unit,
                higher_is_better: $higher,
            };
        )*
        /// Every metric.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    RATE: "rate", "rate", PerSecond, true;
    P50: "p50", "p50", Nanoseconds, false;
    P95: "p95", "p95", Nanoseconds, false;
    P99: "p99", "p99", Nanoseconds, false;
    P99_9: "p99_9", "p99.9", Nanoseconds, false;
    P99_99: "p99_99", "p99.99", Nanoseconds, false;
    MAX: "max", "max", Nanoseconds, false;
    SEND_RATE: "send_rate", "sent rate", PerSecond, true;
    TCP_CONNECT_P50: "tcp_connect_p50", "TCP p50", Nanoseconds, false;
    UPGRADE_P50: "upgrade_p50", "upgrade p50", Nanoseconds, false;
    FIRST_PUSH_P50: "first_push_p50", "first push p50", Nanoseconds, false;
    CONNECT_TO_FIRST_PUSH_P50: "connect_to_first_push_p50", "connect to push p50", Nanoseconds, false;
    LAG_P50: "lag_p50", "lag p50", Nanoseconds, false;
    LAG_P99: "lag_p99", "lag p99", Nanoseconds, false;
    LAG_MAX: "lag_max", "lag max", Nanoseconds, false;
    LAG_DRIFT: "lag_drift", "drift", Nanoseconds, false;
    THROUGHPUT: "throughput", "throughput", BytesPerSecond, true;
    RATE_PER_CORE: "rate_per_core", "rate per core", PerSecond, true;
    LEAST_SHARE: "least_share", "least served", Percent, true;
    JAIN: "jain_index", "Jain's index", Percent, true;
    HANDSHAKE_RATE: "handshake_rate", "handshakes", PerSecond, true;
    HANDSHAKE_P50: "handshake_p50", "handshake p50", Nanoseconds, false;
    HANDSHAKE_P99: "handshake_p99", "handshake p99", Nanoseconds, false;
    REFUSED: "refused", "refused", Count, false;
    TIMED_OUT: "timed_out", "timed out", Count, false;
    BESIDE_RATE: "beside_rate", "rate beside", PerSecond, true;
    P99_BEFORE: "p99_before", "p99 before", Nanoseconds, false;
    P99_DURING: "p99_during", "p99 during", Nanoseconds, false;
    P99_AFTER: "p99_after", "p99 after", Nanoseconds, false;
    P99_9_BEFORE: "p99_9_before", "p99.9 before", Nanoseconds, false;
    P99_9_DURING: "p99_9_during", "p99.9 during", Nanoseconds, false;
    P99_9_AFTER: "p99_9_after", "p99.9 after", Nanoseconds, false;
    CAPACITY: "capacity", "capacity", PerSecond, true;
    OVERLOAD_OFFERED: "overload_offered", "offered", PerSecond, true;
    OVERLOAD_KEPT: "overload_kept", "rate kept", PerSecond, true;
    RECOVERY: "recovery_time", "recovery", Nanoseconds, false;
    FIRST_DELIVERY_P50: "first_delivery_p50", "first p50", Nanoseconds, false;
    MEDIAN_DELIVERY_P50: "median_delivery_p50", "median p50", Nanoseconds, false;
    LAST_DELIVERY_P50: "last_delivery_p50", "last p50", Nanoseconds, false;
    LAST_DELIVERY_P99: "last_delivery_p99", "last p99", Nanoseconds, false;
    DELIVERED: "delivered", "delivered", Percent, true;
    DROPPED: "dropped", "dropped", Count, false;
    DISCONNECTED: "disconnected", "disconnected", Count, false;
    MEMORY_BOUND: "memory_bound", "memory bound", Bytes, false;
    MEMORY_USED: "memory_of_bound", "of the bound", Percent, false;
    ACHIEVED: "achieved", "achieved", Percent, true;
    NOT_SENT: "not_sent", "not sent", Percent, false;
    GENERATOR_LAG_P50: "generator_lag_p50", "generator lag p50", Nanoseconds, false;
    GENERATOR_LAG_P99: "generator_lag_p99", "generator lag p99", Nanoseconds, false;
    TOTAL_TIME: "total_time", "total time", Nanoseconds, false;
    SERVER_CPU: "server_cpu_per_message", "server CPU", Nanoseconds, false;
    SERVER_CPU_PER_BYTE: "server_cpu_per_byte", "server CPU a byte", Nanoseconds, false;
    CLIENT_CPU: "client_cpu_per_message", "client CPU", Nanoseconds, false;
    SERVER_USER_CPU: "server_user_cpu_per_message", "server user CPU", Nanoseconds, false;
    SERVER_SYSTEM_CPU: "server_system_cpu_per_message", "server system CPU", Nanoseconds, false;
    CLIENT_USER_CPU: "client_user_cpu_per_message", "client user CPU", Nanoseconds, false;
    CLIENT_SYSTEM_CPU: "client_system_cpu_per_message", "client system CPU", Nanoseconds, false;
    SERVER_VOLUNTARY: "server_voluntary_switches_per_message", "server waits", Count, false;
    SERVER_INVOLUNTARY: "server_involuntary_switches_per_message", "server preemptions", Count, false;
    CLIENT_VOLUNTARY: "client_voluntary_switches_per_message", "client waits", Count, false;
    CLIENT_INVOLUNTARY: "client_involuntary_switches_per_message", "client preemptions", Count, false;
    SERVER_SYSTEM_CALLS: "server_system_calls_per_message", "server system calls", Count, false;
    CLIENT_SYSTEM_CALLS: "client_system_calls_per_message", "client system calls", Count, false;
    SERVER_INSTRUCTIONS: "server_instructions_per_message", "server instructions", Count, false;
    CLIENT_INSTRUCTIONS: "client_instructions_per_message", "client instructions", Count, false;
    SERVER_SWITCHES: "server_switches_per_message", "server switches", Count, false;
    CLIENT_SWITCHES: "client_switches_per_message", "client switches", Count, false;
    SERVER_RSS: "server_rss", "server memory", Bytes, false;
    SERVER_RSS_PER_CONNECTION: "server_rss_per_connection", "memory per connection", Bytes, false;
    RSS_SLOPE_LOW: "server_rss_per_connection_low", "from", Bytes, false;
    RSS_SLOPE_HIGH: "server_rss_per_connection_high", "to", Bytes, false;
    SERVER_RSS_PEAK: "server_rss_peak", "server peak", Bytes, false;
    CLIENT_RSS_PEAK: "client_rss_peak", "client peak", Bytes, false;
    SERVER_RSS_GROWTH: "server_rss_growth", "memory grown", Bytes, false;
    SERVER_FILES_GROWTH: "server_files_growth", "files grown", Count, false;
    SERVER_THREADS: "server_threads", "server threads", Count, false;
    SERVER_IDLE_CPU: "server_cpu_share", "server CPU share", Percent, false;
    MACHINE_CPU: "machine_cpu", "machine CPU", Percent, false;
    MACHINE_MEMORY: "machine_memory", "machine memory", Percent, false;
}

/// The metric of that name.
pub fn by_name(name: &str) -> Option<Metric> {
    ALL.iter().find(|metric| metric.name == name).copied()
}

/// The metric that ranks the rows of a scenario: its own, or that of its workload.
///
/// In a closed loop both ends are saturated, so the rates are squeezed together at the top, while CPU time for each
/// message still tells the rows apart.
pub fn ranking(scenario: &Scenario, role: Role) -> Metric {
    let own = scenario.ranked_by.as_deref().and_then(by_name);
    own.unwrap_or(match (scenario.load.workload, role) {
        (Workload::Push, _) => LAG_P99,
        (Workload::Paced | Workload::Broadcast, _) => P99,
        (Workload::Idle, _) => SERVER_RSS,
        (_, Role::Server) => SERVER_CPU,
        (_, Role::Client) => CLIENT_CPU,
    })
}

/// The columns that a table shows for a scenario, after the ranking metric. Those that a scenario adds stand for what it
/// alone shows.
pub fn columns(scenario: &Scenario, role: Role) -> Vec<Metric> {
    let load = &scenario.load;
    let (own_cpu, other_cpu) = (role.own(SERVER_CPU, CLIENT_CPU), role.other(SERVER_CPU, CLIENT_CPU));
    let mut columns = match load.workload {
        Workload::Paced if !load.steps.is_empty() => {
            vec![CAPACITY, OVERLOAD_OFFERED, OVERLOAD_KEPT, NOT_SENT, RECOVERY, GENERATOR_LAG_P99]
        }
        // What the server uses is for both loads, so that no message of one has a part of it.
        Workload::Paced if scenario.beside.is_some() => {
            vec![P50, P99, P99_9, MAX, ACHIEVED, GENERATOR_LAG_P99, SERVER_IDLE_CPU]
        }
        Workload::Paced => vec![P50, P99, P99_9, MAX, ACHIEVED, GENERATOR_LAG_P99, own_cpu],
        Workload::PingPong | Workload::Window => vec![RATE, P50, P99, P99_9, other_cpu],
        Workload::OneWay => vec![RATE, SEND_RATE, other_cpu],
        Workload::Connect if load.exchanges > 0 || load.is_paced() => {
            vec![HANDSHAKE_RATE, HANDSHAKE_P50, HANDSHAKE_P99, REFUSED, TIMED_OUT, other_cpu]
        }
        Workload::Connect => {
            vec![TCP_CONNECT_P50, UPGRADE_P50, FIRST_PUSH_P50, CONNECT_TO_FIRST_PUSH_P50, other_cpu]
        }
        Workload::Push => vec![LAG_P50, LAG_MAX, TOTAL_TIME, SERVER_CPU, CLIENT_CPU],
        Workload::Idle => vec![SERVER_IDLE_CPU, SERVER_THREADS, MACHINE_CPU, MACHINE_MEMORY],
        Workload::Broadcast => vec![
            FIRST_DELIVERY_P50,
            MEDIAN_DELIVERY_P50,
            LAST_DELIVERY_P50,
            LAST_DELIVERY_P99,
            DELIVERED,
            GENERATOR_LAG_P99,
            own_cpu,
        ],
    };
    if load.stall_percent > 0 {
        // What the others see, and what the server holds for those that do not read.
        columns = vec![P50, P99, MAX];
        if load.slice_ms > 0 {
            columns.extend([P99_BEFORE, P99_DURING, P99_AFTER, RECOVERY]);
        }
        if load.workload == Workload::Broadcast {
            columns.extend([DELIVERED, DROPPED, DISCONNECTED]);
        }
        columns.extend([SERVER_RSS_PEAK, MEMORY_BOUND, MEMORY_USED]);
    }
    if load.workload == Workload::Push && load.slice_ms > 0 {
        columns.push(LAG_DRIFT);
    }
    if let Some(beside) = &scenario.beside {
        columns.extend(match beside.workload {
            Workload::Connect => vec![HANDSHAKE_RATE, HANDSHAKE_P99, REFUSED, TIMED_OUT],
            _ => vec![BESIDE_RATE],
        });
        if load.slice_ms > 0 {
            // Of p99.9 a storm is mostly too short; where it is not, JSON and CSV have it before and after as well.
            columns.extend([P99_BEFORE, P99_DURING, P99_AFTER, P99_9_DURING]);
        }
        if beside.workload == Workload::Connect {
            columns.extend([SERVER_RSS_GROWTH, SERVER_FILES_GROWTH]);
        }
    }
    if load.payload_bytes >= LARGE_BYTES && load.stall_percent == 0 {
        columns.extend([THROUGHPUT, SERVER_CPU_PER_BYTE]);
    }
    if scenario.server_cores.is_some() {
        columns.push(RATE_PER_CORE);
    }
    if scenario.needs(Role::Client).contains("counts") {
        columns.extend([LEAST_SHARE, JAIN, own_cpu]);
    }
    let ranking = ranking(scenario, role);
    columns.retain(|column| *column != ranking);
    columns
}

/// Messages from which on bytes, and not messages, are what a server works for.
const LARGE_BYTES: u64 = 1_024;

/// All figures of one trial, by the name of their metric. A failed trial has none.
pub fn figures(record: &Record) -> BTreeMap<&'static str, f64> {
    let mut figures = BTreeMap::new();
    if record.error.is_some() {
        return figures;
    }
    let mut set = |metric: Metric, value: Option<f64>| {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            figures.insert(metric.name, value);
        }
    };
    let seconds = record.elapsed_ns as f64 / 1e9;
    let units = (record.units > 0).then_some(record.units as f64);
    // What both ends use is for both loads where there are two: it is no cost of one load's messages.
    let alone = units.filter(|_| record.beside.is_none());
    let per_unit = |total: f64| alone.map(|units| total / units);

    set(RATE, units.map(|units| units / seconds));
    if record.scenario.load.workload == Workload::Push {
        set(TOTAL_TIME, Some(record.elapsed_ns as f64));
    }
    if let (Workload::Paced, Some(offered)) = (record.scenario.load.workload, record.scenario.load.rate_per_s)
    {
        set(ACHIEVED, units.map(|units| units / seconds / offered as f64 * 100.0));
        set(NOT_SENT, Some(record.not_sent as f64 / record.scenario.load.offered() as f64 * 100.0));
    }
    if record.scenario.load.workload == Workload::Broadcast {
        let load = &record.scenario.load;
        let all = load.offered() as f64 * f64::from(load.connections);
        set(DELIVERED, units.map(|units| units / all * 100.0));
        set(DROPPED, Some(record.dropped as f64));
        set(DISCONNECTED, Some(record.disconnected as f64));
    }
    let sent = record.series.get(&Series::BatchSent);
    set(SEND_RATE, sent.and_then(|sent| per_unit(sent.sum_ns as f64)).map(|each| 1e9 / each));
    let load = &record.scenario.load;
    if matches!(load.workload, Workload::PingPong | Workload::Window | Workload::OneWay | Workload::Paced) {
        set(THROUGHPUT, units.map(|units| units / seconds * load.payload_bytes as f64));
    }
    if record.scenario.server_cores.is_some() {
        set(RATE_PER_CORE, units.map(|units| units / seconds / f64::from(record.server.workers.max(1))));
    }
    if let Some(counts) = &record.counts {
        set(LEAST_SHARE, counts.least_share().map(|share| share * 100.0));
        set(JAIN, counts.jain().map(|index| index * 100.0));
    }
    for (metric, value) in course::figures(record) {
        set(metric, Some(value));
    }

    // The round trip of a paced message begins when it was intended to be sent, not when it could be.
    let round_trip = match record.scenario.load.workload {
        Workload::Paced => Series::FromIntended,
        Workload::Broadcast => Series::Delivery,
        _ => Series::RoundTrip,
    };
    for (series, quantiles, max) in [
        (
            round_trip,
            &[(P50, 0.5), (P95, 0.95), (P99, 0.99), (P99_9, 0.999), (P99_99, 0.9999)][..],
            Some(MAX),
        ),
        (Series::TcpConnect, &[(TCP_CONNECT_P50, 0.5)], None),
        (Series::Upgrade, &[(UPGRADE_P50, 0.5)], None),
        (Series::Handshake, &[(HANDSHAKE_P50, 0.5), (HANDSHAKE_P99, 0.99)], None),
        (Series::FirstPush, &[(FIRST_PUSH_P50, 0.5)], None),
        (Series::ConnectToFirstPush, &[(CONNECT_TO_FIRST_PUSH_P50, 0.5)], None),
        (Series::GeneratorLag, &[(GENERATOR_LAG_P50, 0.5), (GENERATOR_LAG_P99, 0.99)], None),
        (Series::FirstDelivery, &[(FIRST_DELIVERY_P50, 0.5)], None),
        (Series::MedianDelivery, &[(MEDIAN_DELIVERY_P50, 0.5)], None),
        (Series::LastDelivery, &[(LAST_DELIVERY_P50, 0.5), (LAST_DELIVERY_P99, 0.99)], None),
        (Series::PushLag, &[(LAG_P50, 0.5), (LAG_P99, 0.99)], Some(LAG_MAX)),
    ] {
        let Some(distribution) = record.series.get(&series) else { continue };
        for (metric, value) in quantiles_of(distribution, quantiles) {
            set(metric, Some(value));
        }
        if let Some(max) = max {
            set(max, Some(distribution.max_ns as f64));
        }
    }

    if let Some((before, after)) = record.server.samples.both() {
        let cpu_ns = after.cpu_ns.saturating_sub(before.cpu_ns) as f64;
        set(SERVER_CPU, per_unit(cpu_ns));
        let bytes = record.scenario.load.payload_bytes as f64;
        set(SERVER_CPU_PER_BYTE, per_unit(cpu_ns).map(|each| each / bytes));
        set(SERVER_RSS_GROWTH, Some(after.rss_bytes as f64 - before.rss_bytes as f64));
        let files = after.open_files.zip(before.open_files);
        set(SERVER_FILES_GROWTH, files.map(|(after, before)| after as f64 - before as f64));
        set(SERVER_IDLE_CPU, Some(cpu_ns / record.elapsed_ns as f64 * 100.0));
        set(SERVER_USER_CPU, per_unit(grown(before.user_ns, after.user_ns)));
        set(SERVER_SYSTEM_CPU, per_unit(grown(before.system_ns, after.system_ns)));
        set(SERVER_VOLUNTARY, per_unit(grown(before.voluntary_switches, after.voluntary_switches)));
        set(SERVER_INVOLUNTARY, per_unit(grown(before.involuntary_switches, after.involuntary_switches)));
        set(SERVER_SWITCHES, per_unit(switches(before, after)));
        set(SERVER_SYSTEM_CALLS, counted(before.system_calls, after.system_calls).and_then(per_unit));
        set(SERVER_INSTRUCTIONS, counted(before.instructions, after.instructions).and_then(per_unit));
        set(SERVER_RSS, Some(after.rss_bytes as f64));
        set(SERVER_RSS_PEAK, Some(after.peak_rss_bytes as f64));
        if let Some(bound) = record.memory_bound_bytes {
            set(MEMORY_BOUND, Some(bound as f64));
            set(MEMORY_USED, Some(after.peak_rss_bytes as f64 / bound as f64 * 100.0));
        }
        set(SERVER_THREADS, Some(after.threads as f64));
    }
    if let Some((before, after)) = record.client.samples.both() {
        set(CLIENT_CPU, per_unit(after.cpu_ns.saturating_sub(before.cpu_ns) as f64));
        set(CLIENT_USER_CPU, per_unit(grown(before.user_ns, after.user_ns)));
        set(CLIENT_SYSTEM_CPU, per_unit(grown(before.system_ns, after.system_ns)));
        set(CLIENT_VOLUNTARY, per_unit(grown(before.voluntary_switches, after.voluntary_switches)));
        set(CLIENT_INVOLUNTARY, per_unit(grown(before.involuntary_switches, after.involuntary_switches)));
        set(CLIENT_SWITCHES, per_unit(switches(before, after)));
        set(CLIENT_SYSTEM_CALLS, counted(before.system_calls, after.system_calls).and_then(per_unit));
        set(CLIENT_INSTRUCTIONS, counted(before.instructions, after.instructions).and_then(per_unit));
        set(CLIENT_RSS_PEAK, Some(after.peak_rss_bytes as f64));
    }
    if let Some(machine) = record.machine_samples.measured {
        set(MACHINE_CPU, Some(f64::from(machine.cpu_permille) / 10.0));
        let share = machine.memory_used_bytes as f64 / machine.memory_total_bytes as f64;
        set(MACHINE_MEMORY, Some(share * 100.0));
    }
    figures
}

fn grown(before: u64, after: u64) -> f64 {
    after.saturating_sub(before) as f64
}

/// What a counter that a machine need not have has grown by.
fn counted(before: Option<u64>, after: Option<u64>) -> Option<f64> {
    Some(grown(before?, after?))
}

fn quantiles_of<'a>(
    distribution: &'a Distribution,
    quantiles: &'a [(Metric, f64)],
) -> impl Iterator<Item = (Metric, f64)> + 'a {
    // Decoded once: a report holds several percentiles of the same histogram.
    let decoded = distribution.histogram().ok();
    quantiles.iter().filter_map(move |(metric, q)| {
        let value = distribution.quantile_of_ns(decoded.as_ref()?, *q)?;
        Some((*metric, value as f64))
    })
}

fn switches(before: &crate::Sample, after: &crate::Sample) -> f64 {
    let all = |sample: &crate::Sample| sample.voluntary_switches.saturating_add(sample.involuntary_switches);
    all(after).saturating_sub(all(before)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for metric in ALL {
            assert_eq!(by_name(metric.name), Some(*metric));
        }
    }
}
