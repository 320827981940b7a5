//! Figures that say how a trial went on: before, during and after what happened beside it, its steps, its drift.

use std::{num::NonZeroU64, ops::Range};

use bench_core::{
    protocol::ClientReport,
    spec::{Load, StallPlan, Workload},
};
use histogram::{Distribution, Series, quantile_of_all};

use super::{
    BESIDE_RATE, CAPACITY, HANDSHAKE_P50, HANDSHAKE_P99, HANDSHAKE_RATE, LAG_DRIFT, Metric, OVERLOAD_KEPT,
    OVERLOAD_OFFERED, P50_REST, P50_START, P99_9_AFTER, P99_9_BEFORE, P99_9_DURING, P99_AFTER, P99_BEFORE,
    P99_DURING, P99_REST, P99_START, RECOVERY, REFUSED, SETTLED, TIMED_OUT, quantiles::quantiles_of,
};
use crate::record::Record;

/// A slice belongs to the recovered state where its p99 is at most this much of what it was before.
const RECOVERED: f64 = 1.1;

/// So many slices in a row have to be within it: one alone may be luck.
const IN_A_ROW: usize = 3;

/// All of them for one trial, whose main load's client reported `report`.
pub(super) fn figures(record: &Record, report: &ClientReport) -> Vec<(Metric, f64)> {
    let mut figures = Vec::new();
    let load = &record.scenario.load;
    if load.workload() == Workload::Connect {
        figures.push((HANDSHAKE_RATE, rate(report.units, report.elapsed_ns)));
        figures.extend([(REFUSED, report.refused as f64), (TIMED_OUT, report.timed_out as f64)]);
    }
    if let Some((beside, its_report)) = record.scenario.beside.as_ref().zip(record.report_beside()) {
        figures.extend(of_beside(beside, its_report));
        if load.slice_ms > 0 {
            figures.extend(around(load, report, beside, its_report));
        }
    }
    if load.workload() == Workload::Push {
        figures.extend(drift(&report.slices).map(|drift_ns| (LAG_DRIFT, drift_ns)));
    }
    if let Some(stall) = load.stall().filter(|_| load.slice_ms > 0) {
        figures.extend(around_stall(load, report, stall));
    }
    if record.scenario.bursts.is_some() && load.slice_ms > 0 {
        figures.extend(around_silence(load, report));
    }
    figures.extend(report.capacity_per_s.map(|capacity| (CAPACITY, capacity as f64)));
    figures.extend(overload(load, report));
    figures
}

fn rate(units: u64, elapsed_ns: u64) -> f64 {
    units as f64 * 1e9 / elapsed_ns as f64
}

fn of_beside(load: &Load, report: &ClientReport) -> Vec<(Metric, f64)> {
    let its_rate = rate(report.units, report.elapsed_ns);
    let mut figures = vec![(BESIDE_RATE, its_rate)];
    if load.workload() == Workload::Connect {
        figures.push((HANDSHAKE_RATE, its_rate));
        figures.extend([(REFUSED, report.refused as f64), (TIMED_OUT, report.timed_out as f64)]);
        if let Some(handshakes) = report.series.get(&Series::Handshake) {
            figures.extend(quantiles_of(handshakes, &[(HANDSHAKE_P50, 0.5), (HANDSHAKE_P99, 0.99)]));
        }
    }
    figures
}

/// The latency of the others before, during and after some stop reading, and how long after it their latency is back.
fn around_stall(load: &Load, report: &ClientReport, stall: StallPlan) -> Vec<(Metric, f64)> {
    let (start_ms, end_ms) = (stall.after_ms, stall.after_ms + stall.for_ms);
    let mut figures = parts(load, report, start_ms * 1_000_000, end_ms * 1_000_000);
    let slice = |ms: u64| (ms / load.slice_ms) as usize;
    let end = end_ms.div_ceil(load.slice_ms) as usize;
    let recovered = recovery(&report.slices, slice(start_ms), end, slice(load.window_ms()));
    figures.extend(recovered.map(|slices| (RECOVERY, slices as f64 * load.slice_ms as f64 * 1e6)));
    figures
}

/// The latency before, during and after the load beside.
fn around(
    load: &Load,
    report: &ClientReport,
    beside: &Load,
    its_report: &ClientReport,
) -> Vec<(Metric, f64)> {
    let start_ns = beside.delay_ms * 1_000_000;
    parts(load, report, start_ns, start_ns + its_report.elapsed_ns)
}

/// The latency in the first slice of the bursts, and in the others, and how long after the start of a burst it is what it
/// remains.
fn around_silence(load: &Load, report: &ClientReport) -> Vec<(Metric, f64)> {
    let Some((first, rest)) = report.slices.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return Vec::new();
    };
    let of = |slices: &[Distribution], metrics: [(Metric, f64); 2]| {
        metrics.map(|(metric, q)| Some((metric, quantile_of_all(slices, q)? as f64)))
    };
    let start = of(std::slice::from_ref(first), [(P50_START, 0.5), (P99_START, 0.99)]);
    let after = of(rest, [(P50_REST, 0.5), (P99_REST, 0.99)]);
    let settled = settled(&report.slices).map(|slices| (SETTLED, slices as f64 * load.slice_ms as f64 * 1e6));
    start.into_iter().chain(after).flatten().chain(settled).collect()
}

/// Slices before the first of several in a row whose median is near that of the second half.
fn settled(slices: &[Distribution]) -> Option<usize> {
    let bound = quantile_of_all(&slices[slices.len() / 2..], 0.5)? as f64 * RECOVERED;
    let near = |slice: &Distribution| {
        quantile_of_all(std::slice::from_ref(slice), 0.5).is_some_and(|median| median as f64 <= bound)
    };
    let near: Vec<bool> = slices.iter().map(near).collect();
    near.windows(IN_A_ROW.min(near.len())).position(|row| row.iter().all(|near| *near))
}

/// The latency before, between and after two instants of the window. A slice that holds one of them is *during*.
fn parts(load: &Load, report: &ClientReport, start_ns: u64, end_ns: u64) -> Vec<(Metric, f64)> {
    let slice_ns = load.slice_ms * 1_000_000;
    let whole = load.window_ms().div_ceil(load.slice_ms) as usize;
    let all = whole.min(report.slices.len());
    let begins = ((start_ns / slice_ns) as usize).min(all);
    let ends = (end_ns.div_ceil(slice_ns) as usize).clamp(begins, all);
    let parts: [(Range<usize>, Metric, Metric); 3] = [
        (0..begins, P99_BEFORE, P99_9_BEFORE),
        (begins..ends, P99_DURING, P99_9_DURING),
        (ends..all, P99_AFTER, P99_9_AFTER),
    ];
    let of_part = |(slices, p99, p99_9): (Range<usize>, Metric, Metric)| {
        let slices = &report.slices[slices];
        [(p99, 0.99), (p99_9, 0.999)]
            .into_iter()
            .filter_map(|(metric, q)| Some((metric, quantile_of_all(slices, q)? as f64)))
    };
    parts.into_iter().flat_map(of_part).collect()
}

/// The median of the last slice over that of the first, of those that have one.
fn drift(slices: &[Distribution]) -> Option<f64> {
    let median = |slice: &Distribution| quantile_of_all(std::slice::from_ref(slice), 0.5);
    let first = slices.iter().find_map(median)?;
    let last = slices.iter().rev().find_map(median)?;
    (slices.len() > 1).then_some(last as f64 - first as f64)
}

/// What was offered and kept in the step that asks for the most, and how long after it the latency is back at what it was
/// before: `None` where it is not back in the window, or nothing came before.
fn overload(load: &Load, report: &ClientReport) -> Vec<(Metric, f64)> {
    let steps = &report.steps;
    let Some((peak, step)) = steps.iter().enumerate().max_by_key(|(_, step)| step.rate_per_s) else {
        return Vec::new();
    };
    let kept = step.answered as f64 * 1e3 / step.duration_ms as f64;
    let mut figures = vec![(OVERLOAD_OFFERED, step.rate_per_s as f64), (OVERLOAD_KEPT, kept)];
    if let Some(slice_ms) = NonZeroU64::new(load.slice_ms) {
        let until_ms = |place: usize| steps[..place].iter().map(|step| step.duration_ms).sum::<u64>();
        let before = (until_ms(peak) / slice_ms) as usize;
        let after = until_ms(peak + 1).div_ceil(slice_ms.get()) as usize;
        let all = (until_ms(steps.len()) / slice_ms) as usize;
        let recovered = recovery(&report.slices, before, after, all);
        figures.extend(recovered.map(|slices| (RECOVERY, slices as f64 * slice_ms.get() as f64 * 1e6)));
    }
    figures
}

/// Slices from `after` to the first of several in a row whose p99 is near the median p99 of the slices up to `before`.
fn recovery(slices: &[Distribution], before: usize, after: usize, all: usize) -> Option<usize> {
    let p99 = |slice: &Distribution| quantile_of_all(std::slice::from_ref(slice), 0.99);
    let mut earlier: Vec<u64> = slices.get(..before)?.iter().filter_map(p99).collect();
    earlier.sort_unstable();
    let bound = *earlier.get(earlier.len() / 2)? as f64 * RECOVERED;
    let later: Vec<bool> = slices
        .get(after..all.min(slices.len()))?
        .iter()
        .map(|slice| p99(slice).is_some_and(|value| value as f64 <= bound))
        .collect();
    later.windows(IN_A_ROW).position(|row| row.iter().all(|near| *near))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use histogram::Recorder;

    /// Slices of 1,000 equal samples each.
    fn slices(milliseconds: &[u64]) -> Vec<Distribution> {
        let recorder = Recorder::default();
        let (start, length) = (Instant::now(), Duration::from_secs(1));
        recorder.slice(start, length);
        for (place, ms) in (0..).zip(milliseconds) {
            for _ in 0..1_000 {
                recorder.record_at(Series::FromIntended, start + length * place, Duration::from_millis(*ms));
            }
        }
        Recorder::merge_slices(&[recorder])
    }

    #[test]
    fn latency_has_recovered_when_it_stays_near_what_it_was() {
        let course = slices(&[10, 10, 11, 50, 90, 80, 10, 40, 10, 11, 10, 30]);
        // Alone the slice in the middle does not count.
        assert_eq!(recovery(&course, 3, 5, 12), Some(3));
        assert_eq!(recovery(&course, 3, 5, 10), None);
        assert_eq!(recovery(&course, 0, 5, 12), None);
    }

    #[test]
    fn drift_is_the_last_slice_over_the_first() {
        let ms = drift(&slices(&[10, 30, 20])).map(|ns| (ns / 1e6).round());
        assert_eq!(ms, Some(10.0));
        assert_eq!(drift(&slices(&[10])), None);
    }
}
