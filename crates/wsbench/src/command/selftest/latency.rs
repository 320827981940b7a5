//! Latency and lateness that are known.

use histogram::Series;
use trial::{mark::Mark, record::Record};

use super::{
    bench::{Bench, RATE},
    check::Check,
};

/// Fault: the server does not stop.
pub(super) const NO_STALL: &str = "no-stall";

/// Fault: latency counts from the send.
pub(super) const UNCORRECTED: &str = "uncorrected";

/// A quantile of a series, in milliseconds.
fn quantile_ms(record: &Record, series: Series, q: f64) -> Option<f64> {
    let distribution = record.report()?.series.get(&series)?;
    let ns = distribution.quantile_of_ns(&distribution.histogram().ok()?, q)?;
    Some(ns as f64 / 1e6)
}

/// The whole server stops for a tenth of the window: each of the messages that were intended meanwhile waits for the rest
/// of it, so that the slowest tenth of all is spread evenly over the stall.
pub(super) fn stall(bench: &mut Bench) -> Vec<Check> {
    let stall_ms = bench.window_ms / 10;
    let in_the_middle = RATE * bench.window_ms / 1_000 / 2;
    let behaviour =
        if bench.has_fault(NO_STALL) { String::new() } else { format!("stall:{in_the_middle}:{stall_ms}") };
    let record = bench.trial(&bench.known(&behaviour), &bench.tokio.clone(), bench.paced());
    let series = if bench.has_fault(UNCORRECTED) { Series::RoundTrip } else { Series::FromIntended };
    let stall_ms = stall_ms as f64;
    let check = Check::new("a stall is charged to all that waited")
        .expect_ms("p95", quantile_ms(&record, series, 0.95), 0.4 * stall_ms, 0.6 * stall_ms)
        .expect_ms("p99", quantile_ms(&record, series, 0.99), 0.8 * stall_ms, stall_ms);
    vec![check]
}

/// Two messages of a hundred are answered 20 ms late. One of a hundred would be exactly what p99 leaves out.
pub(super) fn late_answers(bench: &mut Bench) -> Vec<Check> {
    let record = bench.trial(&bench.known("late:50:20"), &bench.tokio.clone(), bench.paced());
    let check = Check::new("late answers show in p99 and not in p50")
        .expect_ms("p99", quantile_ms(&record, Series::FromIntended, 0.99), 20.0, 60.0)
        .expect_ms("p50", quantile_ms(&record, Series::FromIntended, 0.5), 0.0, 10.0);
    vec![check]
}

pub(super) fn late_client(bench: &mut Bench) -> Vec<Check> {
    let record = bench.trial(&bench.tokio.clone(), &bench.known("client-late"), bench.paced());
    let marks: Vec<&str> = record.marks.iter().map(|mark| mark.name()).collect();
    let holds = record.marks.contains(&Mark::GeneratorLate);
    let check = Check::new("a client that sends late is marked");
    vec![check.expect(Mark::GeneratorLate.name(), marks.join(", "), holds)]
}
