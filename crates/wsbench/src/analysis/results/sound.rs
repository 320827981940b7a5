//! What a line has to be for its figures to mean anything: no run could have written the others.

use histogram::Distribution;
use trial::{
    catalogue::MAX_ROUNDS,
    record::{Record, Session},
};

/// Far above any number that means something, and low enough for sums of a few of them.
const MOST: u32 = 1 << 30;

/// Checks a run's settings.
pub(super) fn session(session: &Session) -> Result<(), String> {
    if !(1..=MAX_ROUNDS).contains(&session.rounds) {
        return Err(format!("a run of {} rounds: 1 to {MAX_ROUNDS} are possible", session.rounds));
    }
    if session.pairs.is_empty() || session.scenarios.is_empty() {
        return Err("a run without rows or without scenarios".to_owned());
    }
    Ok(())
}

/// Checks that a trial's figures add up.
pub(super) fn trial(record: &Record) -> Result<(), String> {
    for (what, number) in [
        ("round", record.round),
        ("block", record.block),
        ("attempt", record.attempt),
        ("order", record.order),
        ("workers of the server", record.server.workers),
        ("workers of the client", record.client.workers),
    ] {
        if number > MOST {
            return Err(format!("{what}: {number} is out of range, 0 to {MOST}"));
        }
    }
    if record.error.is_none() {
        let loads = record.scenario.loads().count();
        let reports = record.clients.iter().filter(|client| client.report.is_some()).count();
        let Some(report) = record.report().filter(|_| reports == loads) else {
            return Err(format!("a trial that counts, with {reports} reports of clients for {loads} loads"));
        };
        // A client without a connection has nothing to wait for.
        if report.elapsed_ns == 0 && record.scenario.load.connections > 0 {
            return Err("a trial that counts and took no time".to_owned());
        }
    }
    let reports = record.clients.iter().filter_map(|client| client.report.as_ref());
    for (name, series) in reports.flat_map(|report| &report.series) {
        distribution(series).map_err(|reason| format!("{name:?}: {reason}"))?;
    }
    Ok(())
}

fn distribution(series: &Distribution) -> Result<(), String> {
    let histogram = series.histogram().map_err(|error| error.to_string())?;
    let Distribution { count, sum_ns, min_ns, max_ns, .. } = *series;
    let least = u128::from(count) * u128::from(min_ns);
    let most = u128::from(count) * u128::from(max_ns);
    // A sum that is full says nothing more.
    let adds_up = sum_ns == u64::MAX || (least..=most).contains(&u128::from(sum_ns));
    if min_ns > max_ns || !adds_up {
        return Err(format!("{count} samples from {min_ns} to {max_ns} ns cannot sum up to {sum_ns} ns"));
    }
    // Compared through the histogram's own steps, beyond whose end everything counts as its end.
    if count > 0 && max_ns < histogram.high() && !histogram.equivalent(histogram.max(), max_ns) {
        return Err(format!("its histogram ends at {} ns and not at {max_ns} ns", histogram.max()));
    }
    Ok(())
}
