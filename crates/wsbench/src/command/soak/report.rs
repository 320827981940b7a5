//! What a soak found, for a person, and what of it is a fault.

use std::{
    fmt, fs, thread,
    time::{Duration, Instant},
};

use bench_core::{payload::Class, protocol::ClientReport, tally::Tally};
use histogram::Series;
use trial::{Peer, process::Process};
use units::{Unit, human};

use super::load::{CHURN_LANES, PACED_CONNECTIONS};

/// Most that the server's memory may grow from the end of the settling on, in thousandths.
const MOST_GROWTH_PERMILLE: u64 = 50;

/// Growth that is no leak yet however small the server is: what an allocator takes at once.
const STEP_BYTES: u64 = 512 << 10;

/// Part of the time after the settling of which the median is taken, at its beginning and at its end.
const PART: u32 = 5;

/// Time for the last connections to be gone.
const QUIET_LIMIT: Duration = Duration::from_secs(10);

/// What the server used at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub at: Duration,
    pub files: u64,
    pub rss_bytes: u64,
}

/// Everything that a soak found.
#[derive(Debug)]
pub struct Report {
    pub row: String,
    pub time: Duration,
    pub settling: Duration,
    /// Before the load.
    pub before: Reading,
    /// Under load.
    pub readings: Vec<Reading>,
    /// When all connections should be gone.
    pub after: Option<Reading>,
    pub churn: ClientReport,
    pub paced: ClientReport,
    pub slow: Tally,
    pub slow_connections: u64,
    /// What does not add up.
    pub faults: Vec<String>,
}

/// Reads what the server uses now; `None` where the system does not tell.
pub fn read(server: &mut Process, at: Duration) -> Option<Reading> {
    let files = fs::read_dir(format!("/proc/{}/fd", server.id())).ok()?.count() as u64;
    Some(Reading { at, files, rss_bytes: server.sample()?.rss_bytes })
}

/// What the server uses once it has no more open files than before, or when that takes too long.
pub fn quiet(server: &mut Process, files: u64) -> Option<Reading> {
    let deadline = Instant::now() + QUIET_LIMIT;
    loop {
        let reading = read(server, Duration::ZERO)?;
        if reading.files <= files || Instant::now() > deadline {
            return Some(reading);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

impl Report {
    /// Connections that were opened by the load.
    pub fn connections(&self) -> u64 {
        self.churn.units + u64::from(PACED_CONNECTIONS) + self.slow_connections
    }

    /// Medians of the readings right after the settling and at the end.
    fn under_load(&self) -> Option<(Reading, Reading)> {
        let part = (self.time - self.settling) / PART;
        let begin = |reading: &&Reading| (self.settling..self.settling + part).contains(&reading.at);
        let end = |reading: &&Reading| reading.at >= self.time - part;
        Some((median(self.readings.iter().filter(begin))?, median(self.readings.iter().filter(end))?))
    }

    /// Open files and memory that have grown.
    pub fn growth(&self) -> Vec<String> {
        let Some(((begin, end), after)) = self.under_load().zip(self.after) else {
            return vec!["the server's use could not be read".to_owned()];
        };
        let mut faults = Vec::new();
        if after.files > self.before.files {
            faults
                .push(format!("{} open files before the load, {} after it", self.before.files, after.files));
        }
        // The churn opens and closes between any two readings.
        if end.files > begin.files + u64::from(CHURN_LANES) {
            faults.push(format!("open files grew from {} to {} under load", begin.files, end.files));
        }
        let allowed = (begin.rss_bytes * MOST_GROWTH_PERMILLE / 1_000).max(STEP_BYTES);
        if end.rss_bytes > begin.rss_bytes + allowed {
            faults.push(format!("memory grew by {}", growth(begin.rss_bytes, end.rss_bytes)));
        }
        faults
    }
}

fn median<'a>(readings: impl Iterator<Item = &'a Reading>) -> Option<Reading> {
    let (mut files, mut rss): (Vec<u64>, Vec<u64>) =
        readings.map(|reading| (reading.files, reading.rss_bytes)).unzip();
    files.sort_unstable();
    rss.sort_unstable();
    let middle = files.len() / 2;
    Some(Reading { at: Duration::ZERO, files: *files.get(middle)?, rss_bytes: rss[middle] })
}

fn growth(from: u64, to: u64) -> String {
    format!("{:+.1} %", (to as f64 / from as f64 - 1.0) * 100.0)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}: {} under load", self.row, humantime::format_duration(self.time))?;
        writeln!(out, "  churn         {} connections opened and closed", self.churn.units)?;
        let slow = self.slow.class(Class::Other).received_messages;
        writeln!(out, "  slow readers  {slow} messages on {} connections", self.slow_connections)?;
        writeln!(out, "  paced         {}", tail(&self.paced))?;
        if let Some((begin, end)) = self.under_load() {
            let settling = humantime::format_duration(Duration::from_secs(self.settling.as_secs()));
            writeln!(
                out,
                "  open files    {} before, {} after {settling}, {} at the end of the load, {} after it",
                self.before.files,
                begin.files,
                end.files,
                self.after.map_or_else(|| "?".to_owned(), |after| after.files.to_string())
            )?;
            writeln!(
                out,
                "  memory        {} before, {} after {settling}, {} at the end of the load ({})",
                mebibytes(self.before.rss_bytes),
                mebibytes(begin.rss_bytes),
                mebibytes(end.rss_bytes),
                growth(begin.rss_bytes, end.rss_bytes)
            )?;
        }
        match self.faults.as_slice() {
            [] => writeln!(out, "  everything adds up: no message is unaccounted for"),
            faults => faults.iter().try_for_each(|fault| writeln!(out, "  FAILED: {fault}")),
        }
    }
}

/// The paced load in a line.
fn tail(paced: &ClientReport) -> String {
    let mut text = format!("{} round trips", paced.units);
    if paced.not_sent > 0 {
        text += &format!(", {} could not be sent in time", paced.not_sent);
    }
    let Some(waits) = paced.series.get(&Series::FromIntended) else { return text };
    if let Ok(histogram) = waits.histogram() {
        for (label, q) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)] {
            if let Some(ns) = waits.quantile_of_ns(&histogram, q) {
                text += &format!(", {label} {}", human(ns as f64, Unit::Nanoseconds));
            }
        }
    }
    text + &format!(", max {}", human(waits.max_ns as f64, Unit::Nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rss: impl Fn(u64) -> u64, files: impl Fn(u64) -> u64) -> Report {
        let reading = |second| Reading {
            at: Duration::from_secs(second),
            files: files(second),
            rss_bytes: rss(second),
        };
        Report {
            row: "row".to_owned(),
            time: Duration::from_secs(300),
            settling: Duration::from_secs(60),
            before: Reading { at: Duration::ZERO, files: 12, rss_bytes: 4 << 20 },
            readings: (1..=300).map(reading).collect(),
            after: Some(Reading { at: Duration::ZERO, files: 12, rss_bytes: 6 << 20 }),
            churn: ClientReport::default(),
            paced: ClientReport::default(),
            slow: Tally::default(),
            slow_connections: 0,
            faults: Vec::new(),
        }
    }

    #[test]
    fn what_grows_before_the_settling_or_moves_about_is_no_fault() {
        let settles = |second| if second < 50 { second << 20 } else { (50 << 20) + second % 7 };
        assert_eq!(report(settles, |second| 66 + second % 4).growth(), Vec::<String>::new());
    }

    #[test]
    fn a_leak_is_named() {
        let leaks = report(|second| (50 << 20) + (second << 14), |second| 66 + second / 10).growth();
        assert!(leaks[0].contains("open files grew from"), "{leaks:?}");
        assert!(leaks[1].contains("memory grew by"), "{leaks:?}");
        let mut left = report(|_| 1, |_| 66);
        left.after = Some(Reading { files: 13, ..left.before });
        assert!(left.growth()[0].contains("12 open files before the load, 13 after"));
    }
}
