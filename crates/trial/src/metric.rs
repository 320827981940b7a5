//! Metrics: the figures of one trial, derived from its record.

use units::Unit;

mod columns;
mod course;
mod figures;
mod quantiles;

pub use columns::{columns, judged, ranking};
pub use figures::figures;

/// A figure that a trial yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name in JSON, CSV and on the command line.
    pub name: &'static str,
    /// Heading in a table.
    pub label: &'static str,
    /// What it says something about.
    pub kind: MetricKind,
    /// What it is counted in.
    pub unit: Unit,
    /// Whether more is better.
    pub higher_is_better: bool,
}

/// What a metric says something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// How much work was done in a time.
    Rate,
    /// How long something took.
    Latency,
    /// How much of the work was done, and for whom.
    Completeness,
    /// What an end used for it, whoever of the two was slow.
    Cost,
    /// How much of a machine, a core or a limit was in use.
    Utilisation,
}

macro_rules! metrics {
    ($($constant:ident: $name:literal, $label:literal, $kind:ident, $unit:ident, $higher:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $label, ".")]
            pub const $constant: Metric = Metric {
                name: $name,
                label: $label,
                kind: MetricKind::$kind,
                unit: Unit::$unit,
                higher_is_better: $higher,
            };
        )*
        /// Every metric.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    RATE: "rate", "rate", Rate, PerSecond, true;
    P50: "p50", "p50", Latency, Nanoseconds, false;
    P95: "p95", "p95", Latency, Nanoseconds, false;
    P99: "p99", "p99", Latency, Nanoseconds, false;
    P99_9: "p99_9", "p99.9", Latency, Nanoseconds, false;
    P99_99: "p99_99", "p99.99", Latency, Nanoseconds, false;
    MAX: "max", "max", Latency, Nanoseconds, false;
    SEND_RATE: "send_rate", "sent rate", Rate, PerSecond, true;
    TCP_CONNECT_P50: "tcp_connect_p50", "TCP p50", Latency, Nanoseconds, false;
    UPGRADE_P50: "upgrade_p50", "upgrade p50", Latency, Nanoseconds, false;
    FIRST_PUSH_P50: "first_push_p50", "first push p50", Latency, Nanoseconds, false;
    CONNECT_TO_FIRST_PUSH_P50: "connect_to_first_push_p50", "connect to push p50", Latency, Nanoseconds, false;
    LAG_P50: "lag_p50", "lag p50", Latency, Nanoseconds, false;
    LAG_P99: "lag_p99", "lag p99", Latency, Nanoseconds, false;
    LAG_MAX: "lag_max", "lag max", Latency, Nanoseconds, false;
    LAG_DRIFT: "lag_drift", "drift", Latency, Nanoseconds, false;
    THROUGHPUT: "throughput", "throughput", Rate, BytesPerSecond, true;
    RATE_PER_CORE: "rate_per_core", "rate per core", Rate, PerSecond, true;
    LEAST_SHARE: "least_share", "least served", Completeness, Percent, true;
    JAIN: "jain_index", "Jain's index", Completeness, Percent, true;
    HANDSHAKE_RATE: "handshake_rate", "handshakes", Rate, PerSecond, true;
    HANDSHAKE_P50: "handshake_p50", "handshake p50", Latency, Nanoseconds, false;
    HANDSHAKE_P99: "handshake_p99", "handshake p99", Latency, Nanoseconds, false;
    REFUSED: "refused", "refused", Completeness, Count, false;
    TIMED_OUT: "timed_out", "timed out", Completeness, Count, false;
    BESIDE_RATE: "beside_rate", "rate beside", Rate, PerSecond, true;
    P99_BEFORE: "p99_before", "p99 before", Latency, Nanoseconds, false;
    P99_DURING: "p99_during", "p99 during", Latency, Nanoseconds, false;
    P99_AFTER: "p99_after", "p99 after", Latency, Nanoseconds, false;
    P50_START: "p50_start", "p50 at the start", Latency, Nanoseconds, false;
    P99_START: "p99_start", "p99 at the start", Latency, Nanoseconds, false;
    P50_REST: "p50_rest", "p50 after it", Latency, Nanoseconds, false;
    P99_REST: "p99_rest", "p99 after it", Latency, Nanoseconds, false;
    SETTLED: "settled", "settled after", Latency, Nanoseconds, false;
    P99_9_BEFORE: "p99_9_before", "p99.9 before", Latency, Nanoseconds, false;
    P99_9_DURING: "p99_9_during", "p99.9 during", Latency, Nanoseconds, false;
    P99_9_AFTER: "p99_9_after", "p99.9 after", Latency, Nanoseconds, false;
    CAPACITY: "capacity", "capacity", Rate, PerSecond, true;
    OVERLOAD_OFFERED: "overload_offered", "offered", Rate, PerSecond, true;
    OVERLOAD_KEPT: "overload_kept", "rate kept", Rate, PerSecond, true;
    RECOVERY: "recovery_time", "recovery", Latency, Nanoseconds, false;
    FIRST_DELIVERY_P50: "first_delivery_p50", "first p50", Latency, Nanoseconds, false;
    MEDIAN_DELIVERY_P50: "median_delivery_p50", "median p50", Latency, Nanoseconds, false;
    LAST_DELIVERY_P50: "last_delivery_p50", "last p50", Latency, Nanoseconds, false;
    LAST_DELIVERY_P99: "last_delivery_p99", "last p99", Latency, Nanoseconds, false;
    DELIVERED: "delivered", "delivered", Completeness, Percent, true;
    DROPPED: "dropped", "dropped", Completeness, Count, false;
    DISCONNECTED: "disconnected", "disconnected", Completeness, Count, false;
    MEMORY_BOUND: "memory_bound", "memory bound", Cost, Bytes, false;
    MEMORY_OF_BOUND: "memory_of_bound", "of the bound", Utilisation, Percent, false;
    ACHIEVED: "achieved", "achieved", Completeness, Percent, true;
    NOT_SENT: "not_sent", "not sent", Completeness, Percent, false;
    HELD: "connections_held", "connections held", Completeness, Percent, true;
    GENERATOR_LAG_P50: "generator_lag_p50", "generator lag p50", Latency, Nanoseconds, false;
    GENERATOR_LAG_P99: "generator_lag_p99", "generator lag p99", Latency, Nanoseconds, false;
    TOTAL_TIME: "total_time", "total time", Latency, Nanoseconds, false;
    SERVER_CPU: "server_cpu_per_message", "server CPU", Cost, Nanoseconds, false;
    SERVER_CPU_PER_BYTE: "server_cpu_per_byte", "server CPU a byte", Cost, Nanoseconds, false;
    CLIENT_CPU: "client_cpu_per_message", "client CPU", Cost, Nanoseconds, false;
    SERVER_CPU_RELATIVE: "server_cpu_relative_to_client", "CPU relative to client", Cost, Percent, false;
    CLIENT_CPU_RELATIVE: "client_cpu_relative_to_server", "CPU relative to server", Cost, Percent, false;
    SERVER_USER_CPU: "server_user_cpu_per_message", "server user CPU", Cost, Nanoseconds, false;
    SERVER_SYSTEM_CPU: "server_system_cpu_per_message", "server system CPU", Cost, Nanoseconds, false;
    CLIENT_USER_CPU: "client_user_cpu_per_message", "client user CPU", Cost, Nanoseconds, false;
    CLIENT_SYSTEM_CPU: "client_system_cpu_per_message", "client system CPU", Cost, Nanoseconds, false;
    SERVER_VOLUNTARY: "server_voluntary_switches_per_message", "server waits", Cost, Count, false;
    SERVER_INVOLUNTARY: "server_involuntary_switches_per_message", "server preemptions", Cost, Count, false;
    CLIENT_VOLUNTARY: "client_voluntary_switches_per_message", "client waits", Cost, Count, false;
    CLIENT_INVOLUNTARY: "client_involuntary_switches_per_message", "client preemptions", Cost, Count, false;
    SERVER_SYSTEM_CALLS: "server_system_calls_per_message", "server system calls", Cost, Count, false;
    CLIENT_SYSTEM_CALLS: "client_system_calls_per_message", "client system calls", Cost, Count, false;
    SERVER_INSTRUCTIONS: "server_instructions_per_message", "server instructions", Cost, Count, false;
    CLIENT_INSTRUCTIONS: "client_instructions_per_message", "client instructions", Cost, Count, false;
    SERVER_SWITCHES: "server_switches_per_message", "server switches", Cost, Count, false;
    SERVER_SWITCHES_PER_BURST: "server_switches_per_burst", "switches per burst", Cost, Count, false;
    CLIENT_SWITCHES: "client_switches_per_message", "client switches", Cost, Count, false;
    SERVER_RSS: "server_rss", "server memory", Cost, Bytes, false;
    SERVER_RSS_PER_CONNECTION: "server_rss_per_connection", "memory per connection", Cost, Bytes, false;
    RSS_SLOPE_LOW: "server_rss_per_connection_low", "from", Cost, Bytes, false;
    RSS_SLOPE_HIGH: "server_rss_per_connection_high", "to", Cost, Bytes, false;
    SERVER_RSS_PEAK: "server_rss_peak", "server peak", Cost, Bytes, false;
    CLIENT_RSS_PEAK: "client_rss_peak", "client peak", Cost, Bytes, false;
    SERVER_RSS_GROWTH: "server_rss_growth", "memory grown", Cost, Bytes, false;
    SERVER_FILES_GROWTH: "server_files_growth", "files grown", Cost, Count, false;
    SERVER_THREADS: "server_threads", "server threads", Cost, Count, false;
    SERVER_CPU_SHARE: "server_cpu_share", "server CPU share", Utilisation, Percent, false;
    MACHINE_CPU: "machine_cpu", "machine CPU", Utilisation, Percent, false;
    MACHINE_MEMORY: "machine_memory", "machine memory", Utilisation, Percent, false;
}

/// The metric of that name.
pub fn by_name(name: &str) -> Option<Metric> {
    ALL.iter().find(|metric| metric.name == name).copied()
}

impl Metric {
    /// Whether it is a cost relative to that of the other end of its trial.
    pub fn is_relative(self) -> bool {
        [SERVER_CPU_RELATIVE, CLIENT_CPU_RELATIVE].contains(&self)
    }
}

/// The same cost relative to that of the other end of its trial, where there is such a metric.
pub fn relative(metric: Metric) -> Option<Metric> {
    match metric {
        SERVER_CPU => Some(SERVER_CPU_RELATIVE),
        CLIENT_CPU => Some(CLIENT_CPU_RELATIVE),
        _ => None,
    }
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
