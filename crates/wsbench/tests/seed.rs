//! The four tests of the original evaluation, as each runner prints them: every printed figure is recomputed here from
//! the records, by code that shares nothing with the one that printed it.

mod common;

use std::{path::Path, process::Command};

use base64::{Engine, prelude::BASE64_STANDARD};
use hdrhistogram::{Histogram, serialization::Deserializer};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

fn main() -> std::process::ExitCode {
    let tests = ["runner-tokio", "runner-async-std", "runner-smol"]
        .map(|runner| Trial::test(runner, move || body(runner)));
    let arguments = Arguments { test_threads: Some(3), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, tests.into()).exit_code()
}

fn body(runner: &str) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out.ndjson");
    let output = Command::new(common::programs().join(runner)).arg("--out").arg(&out).output()?;
    let stdout = String::from_utf8(output.stdout)?;
    let stderr = String::from_utf8(output.stderr)?;
    if !output.status.success() {
        return Err(format!("{}\n{stdout}\n{stderr}", output.status).into());
    }
    if cfg!(debug_assertions) && !stdout.contains("not a release build") {
        return Err("a build that is no release build has to say so".into());
    }
    let records = Records::read(&out)?;
    let figures = [
        ("first push, once connected", micros(records.quantile("seed-latency", "first_push", 0.5))),
        (
            "first push, connecting included",
            micros(records.quantile("seed-latency", "connect_to_first_push", 0.5)),
        ),
        ("round trip of 24 B, p50", micros(records.quantile("seed-latency-rtt", "round_trip", 0.5))),
        ("round trip of 24 B, p99 ", micros(records.quantile("seed-latency-rtt", "round_trip", 0.99))),
        ("round trip of 24 B, p99.9", micros(records.quantile("seed-latency-rtt", "round_trip", 0.999))),
        ("10,000 × 24 B, until sent", rate(records.sent_rate())),
        ("10,000 × 24 B, until acknowledged", rate(records.rate("seed-throughput"))),
        ("CPU of the whole machine", percent(records.machine_cpu())),
        ("memory of the whole machine", percent(records.machine_memory())),
        ("100 connections echo: messages", rate(records.rate("seed-resources"))),
        ("server CPU per message", micros(records.per_unit("server", &["cpu_ns"]))),
        (
            "server context switches per message",
            plain(records.per_unit("server", &["voluntary_switches", "involuntary_switches"])),
        ),
        ("server peak memory", mebibytes(records.peak("server"))),
        ("client CPU per message", micros(records.per_unit("client", &["cpu_ns"]))),
        (
            "client context switches per message",
            plain(records.per_unit("client", &["voluntary_switches", "involuntary_switches"])),
        ),
        ("client peak memory", mebibytes(records.peak("client"))),
        (
            "100 clients × 20 pushes at 1 Hz, total",
            seconds(records.reported("seed-scalability", "/elapsed_ns")),
        ),
        (
            "lag of a push behind its due time, p50",
            micros(records.quantile("seed-scalability", "push_lag", 0.5)),
        ),
        (
            "lag of a push behind its due time, p99",
            micros(records.quantile("seed-scalability", "push_lag", 0.99)),
        ),
        (
            "lag of a push behind its due time, max",
            micros(records.reported("seed-scalability", "/series/push_lag/max_ns")),
        ),
    ];
    let printed =
        stdout.lines().filter(|line| line.contains(" seed ") || line.contains(" corrected ")).count();
    assert_eq!(printed, figures.len(), "every printed figure is recomputed\n{stdout}");
    for (label, expected) in figures {
        let line = stdout.lines().find(|line| line.contains(label));
        let line = line.ok_or_else(|| format!("`{label}` is not printed\n{stdout}"))?;
        if !line.trim_end().ends_with(&expected) {
            return Err(format!("`{label}` should be {expected}: {line}").into());
        }
    }
    // Nineteen periods and nothing that could make it shorter: the only bound that no machine can miss.
    assert!(records.reported("seed-scalability", "/elapsed_ns") >= 19e9);
    Ok(())
}

struct Records(Vec<Value>);

impl Records {
    fn read(path: &Path) -> Result<Records, Failed> {
        let text = std::fs::read_to_string(path)?;
        Ok(Records(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?))
    }

    fn trial(&self, scenario: &str) -> &Value {
        self.0.iter().find(|line| line["scenario"]["name"] == scenario).expect("the scenario was run")
    }

    fn number(&self, scenario: &str, pointer: &str) -> f64 {
        self.trial(scenario).pointer(pointer).and_then(Value::as_f64).expect("the record has it")
    }

    /// A number of the client's report.
    fn reported(&self, scenario: &str, pointer: &str) -> f64 {
        self.number(scenario, &format!("/clients/0/report{pointer}"))
    }

    fn quantile(&self, scenario: &str, series: &str, q: f64) -> f64 {
        let text = self.trial(scenario)["clients"][0]["report"]["series"][series]["hdr"]
            .as_str()
            .expect("a histogram");
        let bytes = BASE64_STANDARD.decode(text).expect("base64");
        let histogram: Histogram<u64> =
            Deserializer::new().deserialize(&mut &bytes[..]).expect("HdrHistogram");
        let max = self.reported(scenario, &format!("/series/{series}/max_ns"));
        (histogram.value_at_quantile(q) as f64).min(max)
    }

    fn rate(&self, scenario: &str) -> f64 {
        self.reported(scenario, "/units") / (self.reported(scenario, "/elapsed_ns") / 1e9)
    }

    fn sent_rate(&self) -> f64 {
        let scenario = "seed-throughput";
        self.reported(scenario, "/units") / (self.reported(scenario, "/series/batch_sent/sum_ns") / 1e9)
    }

    fn machine_cpu(&self) -> f64 {
        self.number("seed-resources-idle", "/machine_samples/measured/cpu_permille") / 10.0
    }

    fn machine_memory(&self) -> f64 {
        let of = |key: &str| self.number("seed-resources-idle", &format!("/machine_samples/measured/{key}"));
        of("memory_used_bytes") / of("memory_total_bytes") * 100.0
    }

    fn per_unit(&self, end: &str, keys: &[&str]) -> f64 {
        let edge = |edge: &str| -> f64 {
            let of = |key: &&str| self.number("seed-resources", &format!("/{}/{edge}/{key}", samples(end)));
            keys.iter().map(of).sum()
        };
        (edge("measured") - edge("ready")) / self.reported("seed-resources", "/units")
    }

    fn peak(&self, end: &str) -> f64 {
        self.number("seed-resources", &format!("/{}/measured/peak_rss_bytes", samples(end)))
    }
}

/// Three significant digits.
fn digits(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn micros(ns: f64) -> String {
    match ns {
        ns if ns >= 1e9 => format!("{} s", digits(ns / 1e9)),
        ns if ns >= 1e6 => format!("{} ms", digits(ns / 1e6)),
        ns if ns >= 1e3 => format!("{} µs", digits(ns / 1e3)),
        ns => format!("{} ns", digits(ns)),
    }
}

fn seconds(ns: f64) -> String {
    format!("{} s", digits(ns / 1e9))
}

fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1e6 => format!("{} M/s", digits(rate / 1e6)),
        rate if rate >= 1e3 => format!("{} k/s", digits(rate / 1e3)),
        rate => format!("{} /s", digits(rate)),
    }
}

fn percent(value: f64) -> String {
    format!("{} %", digits(value))
}

fn plain(value: f64) -> String {
    digits(value)
}

fn mebibytes(bytes: f64) -> String {
    format!("{} MiB", digits(bytes / 1_048_576.0))
}

/// Where a record has the samples of an end.
fn samples(end: &str) -> &'static str {
    if end == "server" { "server_samples" } else { "clients/0/samples" }
}
