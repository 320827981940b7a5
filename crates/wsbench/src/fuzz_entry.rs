//! What is made of bytes that somebody else has written: the entries of `fuzz/`, whose findings an ordinary test replays.
//!
//! Each takes any bytes. What is wrong with them is said somewhere else; here it must not panic, hang or take all memory.

use bench_core::{RowInfo, protocol::Event, tally::reconcile};
use clap::ValueEnum;
use trial::catalogue::Catalogue;

use crate::{
    analysis::{objective::Slo, results::Results, summary::Summary},
    output::table::{Format, render},
};

/// A result file: read, summed up, and written in every format.
pub fn record(bytes: &[u8]) {
    let results = Results::parse(bytes);
    let summary = Summary::new(&results, 0.95);
    for format in Format::value_variants() {
        render(&summary, &results, *format, Slo::default());
    }
}

/// A line of a runner: its events, and what it says of its row.
pub fn protocol(bytes: &[u8]) {
    let Ok(line) = std::str::from_utf8(bytes) else { return };
    // The description is on its own line of another command; both parsers see everything.
    let _ = serde_json::from_str::<RowInfo>(line);
    match serde_json::from_str(line) {
        Ok(Event::Drove(drove)) => {
            for series in drove.series.values() {
                let _ = series.histogram();
            }
            let _ = reconcile(&drove.tally, &drove.tally, 0..=u64::MAX);
        }
        Ok(Event::Served(served)) => {
            let _ = reconcile(&served.tally, &served.tally, served.dropped());
        }
        _ => {}
    }
}

/// A file of scenarios and profiles: read, and estimated as before a run.
pub fn profile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut catalogue = Catalogue::built_in();
    let Ok(names) = catalogue.extend(text) else { return };
    for name in names {
        let scenarios = catalogue.of_profile(&catalogue.profiles[&name]);
        for scenario in &scenarios {
            let _ = (scenario.summary(), trial::execute::limit(scenario));
        }
    }
}
