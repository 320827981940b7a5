//! Lines of earlier versions of the format, brought up to the present one.
//!
//! Schema 1 had one client in mind: its report was spread over the trial, and a second client was nested in `beside`.
//! Schema 2 has a list of clients, each with its whole report.

use serde_json::{Map, Value, json};

use super::{BESIDE, MAIN, SCHEMA};

/// The earliest version that can be read.
pub(super) const OLDEST: u32 = 1;

/// What schema 1 kept of the first client's report, in the trial itself.
const OF_REPORT: [&str; 11] = [
    "units",
    "elapsed_ns",
    "not_sent",
    "refused",
    "timed_out",
    "capacity_per_s",
    "steps",
    "tls",
    "series",
    "slices",
    "counts",
];

/// The same line in schema 2. What a line lacks is missing afterwards as well, for the reader to name.
pub(super) fn from_schema_1(mut line: Value) -> Value {
    if let Some(fields) = line.as_object_mut() {
        fields.insert("schema".to_owned(), SCHEMA.into());
        if fields.get("kind").is_some_and(|kind| kind == "trial") {
            trial(fields);
        }
    }
    line
}

fn trial(fields: &mut Map<String, Value>) {
    let of_server = [("samples", "server_samples"), ("tally", "server_tally")];
    for (old, new) in of_server {
        if let Some(value) = take(fields.get_mut("server"), old) {
            fields.insert(new.to_owned(), value);
        }
    }
    let samples = take(fields.get_mut("client"), "samples");
    let tally = take(fields.get_mut("client"), "tally");
    let mut report: Map<String, Value> =
        OF_REPORT.iter().filter_map(|name| fields.remove_entry(*name)).collect();
    report.extend(tally.map(|tally| ("tally".to_owned(), tally)));
    // Not kept by schema 1. A trial that counts had none of them; what went wrong in another is in its `error`.
    report.extend([
        ("errors".to_owned(), json!([])),
        ("failed_connections".to_owned(), json!(0)),
        ("panics".to_owned(), json!(0)),
    ]);
    // Schema 1 wrote zeros where a trial failed before the report.
    let has_failed = fields.get("error").is_some_and(|error| !error.is_null());
    let is_absent = has_failed && report.get("elapsed_ns").is_some_and(|elapsed_ns| *elapsed_ns == 0);
    let report = if is_absent { Value::Null } else { report.into() };
    let mut clients = vec![json!({ "load": MAIN, "samples": samples, "report": report })];
    if let Some(mut beside) = fields.remove("beside") {
        let samples = take(Some(&mut beside), "samples");
        let report = take(Some(&mut beside), "drove");
        clients.push(json!({ "load": BESIDE, "samples": samples, "report": report }));
    }
    fields.insert("clients".to_owned(), clients.into());
}

fn take(object: Option<&mut Value>, name: &str) -> Option<Value> {
    object?.as_object_mut()?.remove(name)
}

#[cfg(test)]
mod tests {
    use histogram::Series;

    use crate::{
        metric,
        record::{Line, ReadError, Record, SCHEMA},
    };

    /// A run and one of its trials as the last build of schema 1 wrote them, and a trial of two loads that lost most of
    /// its distributions, and with them its checksum.
    const OLD: &str = include_str!("upgrade/schema-1.ndjson");

    fn old(line: usize) -> &'static str {
        OLD.lines().nth(line).unwrap()
    }

    fn trial(text: &str) -> Record {
        match Line::read(text) {
            Ok(Line::Trial(record)) => record,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_trial_of_schema_1_has_its_one_client() {
        let record = trial(old(1));
        let report = record.report().unwrap();
        assert_eq!((record.schema, record.clients.len()), (SCHEMA, 1));
        assert_eq!((report.units, report.elapsed_ns), (93_016, 700_011_710));
        assert_eq!(report.series[&Series::RoundTrip].count, report.units);
        assert_eq!(report.counts.unwrap().sum, report.units);
        let of_client = record.clients[0].samples.measured.unwrap();
        assert_eq!(of_client.voluntary_switches, 68_971);
        assert_eq!(record.server_samples.measured.unwrap().voluntary_switches, 58_341);
        let sent = |tally: &bench_core::tally::Tally| {
            tally.class(bench_core::payload::Class::Measured).sent_messages
        };
        assert_eq!((sent(&report.tally), sent(&record.server_tally)), (report.units, report.units));
        let figures = metric::figures(&record);
        assert!((figures["rate"] - 132_877.777).abs() < 0.001, "{figures:?}");
        assert!((figures["server_cpu_per_message"] - 3_592.468).abs() < 0.001, "{figures:?}");
    }

    #[test]
    fn a_trial_of_two_loads_has_both_clients() {
        let record = trial(old(2));
        let (report, beside) = (record.report().unwrap(), record.report_beside().unwrap());
        assert_eq!((report.units, beside.units, report.slices.len()), (50_000, 1_000, 1));
        assert_eq!(record.clients[1].samples.measured.unwrap().rss_bytes, 36_737_024);
        assert!(!metric::figures(&record).contains_key("server_cpu_per_message"));
    }

    #[test]
    fn a_trial_that_failed_early_has_no_report() {
        let text = old(2)
            .replacen("\"units\":50000,\"elapsed_ns\":4999972368", "\"units\":0,\"elapsed_ns\":0", 1)
            .replacen("\"error\":null", "\"error\":{\"step\":\"ready\",\"message\":\"gone\"}", 1);
        let record = trial(&text);
        assert!(record.error.is_some() && record.report().is_none() && record.report_beside().is_some());
    }

    #[test]
    fn what_is_upgraded_stays_as_it_is() {
        assert!(matches!(Line::read(old(0)), Ok(Line::Session(session)) if session.schema == SCHEMA));
        let record = trial(old(1));
        let text = serde_json::to_string(&Line::Trial(record.clone())).unwrap();
        assert_eq!(trial(&text), record);
    }

    #[test]
    fn damage_and_other_versions_are_refused() {
        let flipped = old(1).replacen("93016", "93017", 1);
        assert!(matches!(Line::read(&flipped), Err(ReadError::Seal(_))));
        let later = old(2).replacen("\"schema\":1", "\"schema\":3", 1);
        let error = Line::read(&later).unwrap_err().to_string();
        assert_eq!(error, "a record of schema 3: this program reads schemas 1 to 2");
        let without = old(2).replacen("\"units\":50000,", "", 1);
        assert_eq!(Line::read(&without).unwrap_err().to_string(), "no record: missing field `units`");
    }
}
