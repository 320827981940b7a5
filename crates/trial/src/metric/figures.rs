//! The figures of one trial: for each metric, how it follows from the record.

use std::collections::BTreeMap;

use bench_core::{
    protocol::ClientReport,
    spec::{Role, Workload},
};
use histogram::{Distribution, Series};

use super::{
    ACHIEVED, CLIENT_CPU, CLIENT_CPU_RELATIVE, CLIENT_INSTRUCTIONS, CLIENT_INVOLUNTARY, CLIENT_RSS_PEAK,
    CLIENT_SWITCHES, CLIENT_SYSTEM_CALLS, CLIENT_SYSTEM_CPU, CLIENT_USER_CPU, CLIENT_VOLUNTARY,
    CONNECT_TO_FIRST_PUSH_P50, DELIVERED, DISCONNECTED, DROPPED, FIRST_DELIVERY_P50, FIRST_PUSH_P50,
    GENERATOR_LAG_P50, GENERATOR_LAG_P99, HANDSHAKE_P50, HANDSHAKE_P99, HELD, JAIN, LAG_MAX, LAG_P50,
    LAG_P99, LAST_DELIVERY_P50, LAST_DELIVERY_P99, LEAST_SHARE, MACHINE_CPU, MACHINE_MEMORY, MAX,
    MEDIAN_DELIVERY_P50, MEMORY_BOUND, MEMORY_OF_BOUND, Metric, NOT_SENT, P50, P95, P99, P99_9, P99_99, RATE,
    RATE_PER_CORE, SEND_RATE, SERVER_CPU, SERVER_CPU_PER_BYTE, SERVER_CPU_RELATIVE, SERVER_CPU_SHARE,
    SERVER_FILES_GROWTH, SERVER_INSTRUCTIONS, SERVER_INVOLUNTARY, SERVER_RSS, SERVER_RSS_GROWTH,
    SERVER_RSS_PEAK, SERVER_SWITCHES, SERVER_SWITCHES_PER_BURST, SERVER_SYSTEM_CALLS, SERVER_SYSTEM_CPU,
    SERVER_THREADS, SERVER_USER_CPU, SERVER_VOLUNTARY, TCP_CONNECT_P50, THROUGHPUT, TOTAL_TIME, UPGRADE_P50,
    course, quantiles::quantiles_of,
};
use crate::{record::Record, sample::Sample};

/// All figures of one trial, by the name of their metric. A failed trial has none.
pub fn figures(record: &Record) -> BTreeMap<&'static str, f64> {
    let Some(report) = record.report().filter(|_| record.error.is_none()) else {
        return BTreeMap::new();
    };
    let of_trial = OF_TRIAL.iter().filter_map(|(metric, value)| Some((*metric, value(record, report)?)));
    let all = of_trial
        .chain(course::figures(record, report))
        .chain(of_distributions(record, report))
        .chain(of_server(record, report))
        .chain(of_client(record, report));
    let mut figures: BTreeMap<&str, f64> =
        all.filter(|(_, value)| value.is_finite()).map(|(metric, value)| (metric.name, value)).collect();
    figures.extend(relative_costs(&figures));
    figures
}

/// What each end used over what the other one did.
fn relative_costs(figures: &BTreeMap<&'static str, f64>) -> BTreeMap<&'static str, f64> {
    let cost = |metric: Metric| figures.get(metric.name).copied().filter(|cost| *cost > 0.0);
    let Some((server, client)) = cost(SERVER_CPU).zip(cost(CLIENT_CPU)) else {
        return BTreeMap::new();
    };
    let percent = [(SERVER_CPU_RELATIVE, server / client), (CLIENT_CPU_RELATIVE, client / server)];
    percent.map(|(metric, share)| (metric.name, share * 100.0)).into()
}

/// How a figure follows from the record as a whole and what the client of the main load reported.
type OfTrial = fn(&Record, &ClientReport) -> Option<f64>;

const OF_TRIAL: &[(Metric, OfTrial)] = &[
    (RATE, |_, report| rate(report)),
    (TOTAL_TIME, |record, report| (workload(record) == Workload::Push).then_some(report.elapsed_ns as f64)),
    (ACHIEVED, |record, report| Some(rate(report)? / paced_rate(record)? * 100.0)),
    (NOT_SENT, |record, report| {
        paced_rate(record)?;
        Some(report.not_sent as f64 / record.scenario.load.offered() as f64 * 100.0)
    }),
    (HELD, |record, report| {
        Some(report.open_connections? as f64 / f64::from(record.scenario.load.connections) * 100.0)
    }),
    (DELIVERED, |record, report| {
        let load = &record.scenario.load;
        let all = load.offered() as f64 * f64::from(load.connections);
        Some(of_broadcast(record, units(report)?)? / all * 100.0)
    }),
    (DROPPED, |record, _| of_broadcast(record, record.dropped as f64)),
    (DISCONNECTED, |record, _| of_broadcast(record, record.disconnected as f64)),
    (SEND_RATE, |record, report| {
        let sent = report.series.get(&Series::BatchSent)?;
        Some(1e9 / per_unit(record, report, sent.sum_ns as f64)?)
    }),
    (THROUGHPUT, |record, report| {
        use Workload::{OneWay, Paced, PingPong, Window};

        let counts = matches!(workload(record), PingPong | Window | OneWay | Paced);
        rate(report).filter(|_| counts).map(|rate| rate * record.scenario.load.payload_bytes as f64)
    }),
    (RATE_PER_CORE, |record, report| {
        record.scenario.server_cores?;
        Some(rate(report)? / f64::from(record.server.workers.max(1)))
    }),
    (LEAST_SHARE, |_, report| Some(report.counts?.least_share()? * 100.0)),
    (JAIN, |_, report| Some(report.counts?.jain()? * 100.0)),
    (MACHINE_CPU, |record, _| Some(f64::from(record.machine_samples.measured?.cpu_permille) / 10.0)),
    (MACHINE_MEMORY, |record, _| {
        let machine = record.machine_samples.measured?;
        Some(machine.memory_used_bytes as f64 / machine.memory_total_bytes as f64 * 100.0)
    }),
];

fn workload(record: &Record) -> Workload {
    record.scenario.load.workload()
}

fn units(report: &ClientReport) -> Option<f64> {
    (report.units > 0).then_some(report.units as f64)
}

fn rate(report: &ClientReport) -> Option<f64> {
    Some(units(report)? / (report.elapsed_ns as f64 / 1e9))
}

/// `total` per unit of work. Where there are several loads, what an end uses is for all of them and not the cost of one
/// load's messages: then there is no such figure.
fn per_unit(record: &Record, report: &ClientReport, total: f64) -> Option<f64> {
    units(report).filter(|_| record.clients.len() == 1).map(|units| total / units)
}

/// The rate that a paced load asks for.
fn paced_rate(record: &Record) -> Option<f64> {
    let rate = record.scenario.load.rate_per_s()?;
    (workload(record) == Workload::Paced).then_some(rate as f64)
}

fn of_broadcast(record: &Record, value: f64) -> Option<f64> {
    (workload(record) == Workload::Broadcast).then_some(value)
}

/// The percentiles of a series, and its greatest value.
type OfSeries = (Series, &'static [(Metric, f64)], Option<Metric>);

const OF_SERIES: &[OfSeries] = &[
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
];

fn of_distributions<'a>(
    record: &Record,
    report: &'a ClientReport,
) -> impl Iterator<Item = (Metric, f64)> + use<'a> {
    // The round trip of a paced message begins when it was intended to be sent, not when it could be.
    let latency = match workload(record) {
        Workload::Paced => Series::FromIntended,
        Workload::Broadcast => Series::Delivery,
        _ => Series::RoundTrip,
    };
    let quantiles: &[(Metric, f64)] =
        &[(P50, 0.5), (P95, 0.95), (P99, 0.99), (P99_9, 0.999), (P99_99, 0.9999)];
    let all = std::iter::once((latency, quantiles, Some(MAX))).chain(OF_SERIES.iter().copied());
    all.filter_map(|(series, quantiles, max)| Some((report.series.get(&series)?, quantiles, max))).flat_map(
        |(distribution, quantiles, max): (&Distribution, _, Option<Metric>)| {
            let max = max.map(|metric| (metric, distribution.max_ns as f64));
            quantiles_of(distribution, quantiles).chain(max)
        },
    )
}

/// What an end has used between the two edges of the window.
type Used = fn(&Sample, &Sample) -> Option<f64>;

/// For each unit of work, of the server and of the client.
const OF_BOTH_ENDS: &[(Metric, Metric, Used)] = &[
    (SERVER_CPU, CLIENT_CPU, |before, after| Some(grown(before.cpu_ns, after.cpu_ns))),
    (SERVER_USER_CPU, CLIENT_USER_CPU, |before, after| Some(grown(before.user_ns, after.user_ns))),
    (SERVER_SYSTEM_CPU, CLIENT_SYSTEM_CPU, |before, after| Some(grown(before.system_ns, after.system_ns))),
    (SERVER_VOLUNTARY, CLIENT_VOLUNTARY, |before, after| {
        Some(grown(before.voluntary_switches, after.voluntary_switches))
    }),
    (SERVER_INVOLUNTARY, CLIENT_INVOLUNTARY, |before, after| {
        Some(grown(before.involuntary_switches, after.involuntary_switches))
    }),
    (SERVER_SWITCHES, CLIENT_SWITCHES, |before, after| Some(grown(switches(before), switches(after)))),
    // What a machine need not count.
    (SERVER_SYSTEM_CALLS, CLIENT_SYSTEM_CALLS, |before, after| {
        Some(grown(before.system_calls?, after.system_calls?))
    }),
    (SERVER_INSTRUCTIONS, CLIENT_INSTRUCTIONS, |before, after| {
        Some(grown(before.instructions?, after.instructions?))
    }),
];

/// What an end has used in all windows of a trial together.
fn used_in_all(windows: &[(Sample, Sample)], used: Used) -> Option<f64> {
    (!windows.is_empty())
        .then(|| windows.iter().map(|(before, after)| used(before, after)).sum::<Option<f64>>())?
}

/// How a figure follows from the server at the two edges of the window.
type OfServer = fn(&Record, &ClientReport, &Sample, &Sample) -> Option<f64>;

const OF_SERVER: &[(Metric, OfServer)] = &[
    (SERVER_CPU_PER_BYTE, |record, report, _, _| {
        let cpu_ns = per_unit(record, report, server_cpu_ns(record)?)?;
        Some(cpu_ns / record.scenario.load.payload_bytes as f64)
    }),
    (SERVER_CPU_SHARE, |record, report, _, _| {
        Some(server_cpu_ns(record)? / report.elapsed_ns as f64 * 100.0)
    }),
    (SERVER_SWITCHES_PER_BURST, |record, _, _, _| {
        let switched = used_in_all(&record.windows(Role::Server), |before, after| {
            Some(grown(switches(before), switches(after)))
        });
        (!record.bursts.is_empty()).then(|| Some(switched? / record.bursts.len() as f64))?
    }),
    (SERVER_RSS, |_, _, _, after| Some(after.rss_bytes as f64)),
    (SERVER_RSS_GROWTH, |_, _, before, after| Some(after.rss_bytes as f64 - before.rss_bytes as f64)),
    (SERVER_RSS_PEAK, |_, _, _, after| Some(after.peak_rss_bytes as f64)),
    (MEMORY_BOUND, |record, _, _, _| Some(record.memory_bound_bytes? as f64)),
    (MEMORY_OF_BOUND, |record, _, _, after| {
        Some(after.peak_rss_bytes as f64 / record.memory_bound_bytes? as f64 * 100.0)
    }),
    (SERVER_FILES_GROWTH, |_, _, before, after| Some(after.open_files? as f64 - before.open_files? as f64)),
    (SERVER_THREADS, |_, _, _, after| Some(after.threads as f64)),
];

fn server_cpu_ns(record: &Record) -> Option<f64> {
    used_in_all(&record.windows(Role::Server), |before, after| Some(grown(before.cpu_ns, after.cpu_ns)))
}

fn of_server(record: &Record, report: &ClientReport) -> Vec<(Metric, f64)> {
    let samples = record.samples(Role::Server);
    let Some((before, after)) = samples.both() else { return Vec::new() };
    let windows = record.windows(Role::Server);
    let of_both = OF_BOTH_ENDS.iter().filter_map(|(metric, _, used)| {
        Some((*metric, per_unit(record, report, used_in_all(&windows, *used)?)?))
    });
    let own =
        OF_SERVER.iter().filter_map(|(metric, value)| Some((*metric, value(record, report, before, after)?)));
    of_both.chain(own).collect()
}

fn of_client(record: &Record, report: &ClientReport) -> Vec<(Metric, f64)> {
    let samples = record.samples(Role::Client);
    let Some((_, after)) = samples.both() else { return Vec::new() };
    let windows = record.windows(Role::Client);
    let of_both = OF_BOTH_ENDS.iter().filter_map(|(_, metric, used)| {
        Some((*metric, per_unit(record, report, used_in_all(&windows, *used)?)?))
    });
    of_both.chain([(CLIENT_RSS_PEAK, after.peak_rss_bytes as f64)]).collect()
}

fn grown(before: u64, after: u64) -> f64 {
    after.saturating_sub(before) as f64
}

fn switches(sample: &Sample) -> u64 {
    sample.voluntary_switches.saturating_add(sample.involuntary_switches)
}
