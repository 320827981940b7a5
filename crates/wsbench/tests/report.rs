//! The report and every other form of the results: golden files, hostile names, and figures that are recomputed from the
//! records by code that shares nothing with the one that printed them.
//!
//! `WSBENCH_UPDATE_GOLDEN=1 cargo test -p wsbench --test report` writes the golden files anew; look at the difference.

// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use common::{
    run,
    synthetic::{Run, full, large, small},
};
use hdrhistogram::{Histogram, serialization::Deserializer};
use rand::{RngExt, SeedableRng};
use serde_json::Value;

fn wsbench(arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wsbench"));
    let (code, stdout, stderr) = run(command.args(arguments));
    assert_eq!(code, 0, "{arguments:?}\n{stderr}");
    stdout
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The page of some records, kept where scripts/test-report finds it.
fn page(name: &str, records: &Path) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    std::fs::create_dir_all(&folder).unwrap();
    let out = folder.join(format!("{name}.html"));
    wsbench(&["report", text(records), "-o", text(&out)]);
    std::fs::read_to_string(out).unwrap()
}

/// The page of some records, for no one but this test.
fn page_beside(records: &Path) -> String {
    let out = wsbench(&["report", text(records)]);
    std::fs::read_to_string(out.trim_end()).unwrap()
}

/// What stands between two marks, the first time after `from`.
fn between<'a>(text: &'a str, open: &str, close: &str) -> &'a str {
    let start = text.find(open).unwrap_or_else(|| panic!("`{open}` is missing")) + open.len();
    &text[start..start + text[start..].find(close).unwrap_or_else(|| panic!("`{close}` is missing"))]
}

fn data(page: &str) -> Value {
    serde_json::from_str(between(page, "id=\"data\">", "</script>")).unwrap()
}

fn tiny(path: &Path) {
    let rows = &[("tokio", 5_000), ("smol", 6_000)];
    Run { rows, scenarios: &["rtt-24"], rounds: 8, samples: 2_000, matrix: false }.write(path, |_| {});
}

fn golden(name: &str, actual: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("WSBENCH_UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let place = expected.lines().zip(actual.lines()).position(|(expected, actual)| expected != actual);
    assert!(
        expected == actual,
        "{} differs, first in line {}; WSBENCH_UPDATE_GOLDEN=1 writes it anew",
        path.display(),
        place.unwrap_or(expected.lines().count().min(actual.lines().count())) + 1
    );
}

#[test]
fn every_form_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("tiny.ndjson");
    tiny(&records);
    for (format, name) in [
        ("terminal", "table.txt"),
        ("markdown", "table.md"),
        ("csv", "table.csv"),
        ("json", "table.json"),
        ("bencher", "bencher.json"),
        ("github", "github.json"),
    ] {
        golden(name, &wsbench(&["table", text(&records), "--format", format]));
    }
    golden("columns.txt", &wsbench(&["table", text(&records), "--columns", "rate,p99.9,server_rss_peak"]));
    for (format, files) in [
        ("csv", &["trials.csv"][..]),
        ("hgrm", &["rtt-24-shared-server-smol-tokio-round_trip.hgrm"]),
        ("svg", &["rtt-24-shared-server-ratio.svg", "rtt-24-shared-server-percentiles.svg"]),
    ] {
        wsbench(&["export", text(&records), "--format", format, "-o", text(folder.path())]);
        for file in files {
            golden(file, &std::fs::read_to_string(folder.path().join(file)).unwrap());
        }
    }
}

#[test]
fn the_page_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("small.ndjson");
    small(&records);
    let page = page("small", &records);
    // Drawings and libraries have golden files, or a version, of their own.
    let mut words = String::new();
    let mut rest = &page[page.find("<body>").unwrap()..page.find("<script type").unwrap()];
    while let Some(start) = rest.find("<svg") {
        words.push_str(&rest[..start]);
        rest = &rest[start + rest[start..].find("</svg>").unwrap() + "</svg>".len()..];
    }
    words.push_str(rest);
    golden("page.html", &words);
    for sentence in [
        "share the least server CPU: no difference between any two of them was shown",
        "the server ended early",
    ] {
        assert!(page.contains(sentence), "{sentence}");
    }
}

#[test]
fn a_page_of_a_full_run_is_small_and_closed() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("full.ndjson");
    full(&records);
    let page = page("full", &records);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    // askama writes the quotes of the policy as references.
    let policy = between(&page, "Content-Security-Policy\" content=\"", "\"");
    assert!(policy.starts_with("default-src &#39;none&#39;; style-src &#39;sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    for url in ["http://", "https://"] {
        let foreign = page.matches(url).count();
        let known = page.matches(&format!("{url}www.w3.org/2000/svg")).count()
            + page.matches(&format!("{url}github.com/leeoniya/uPlot")).count();
        assert_eq!(foreign, known, "{url}");
    }
    assert!(!page.contains(" style=\""), "the policy forbids it");
    for title in ["by message size", "by connections", "by messages in flight"] {
        assert!(page.contains(title), "{title}");
    }
}

#[test]
fn curves_memory_and_the_original_comparison_have_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("large.ndjson");
    large(&records);
    let page = page("large", &records);
    for title in [
        "The original comparison",
        "p99 against offered load",
        "Server memory by connections",
        "memory per connection",
    ] {
        assert!(page.contains(title), "{title}");
    }
}

/// What differs by more than the swept parameter is another load.
#[test]
fn a_sweep_joins_what_differs_by_its_parameter_alone() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("sweep.ndjson");
    let rows = &[("tokio", 5_000), ("smol", 6_000)];
    let scenarios = &["closed-100", "size-16384", "size-1048576", "tls-closed-100", "fair-100", "cores-1"];
    Run { rows, scenarios, rounds: 2, samples: 100, matrix: false }.write(&records, |_| {});
    let page = page_beside(&records);
    let joined = between(&page, "medians over rounds of ", ". Lines join");
    let mut joined: Vec<&str> = joined.split(", ").collect();
    joined.sort_unstable();
    assert_eq!(joined, ["closed-100", "size-1048576", "size-16384"]);
}

#[test]
fn a_matrix_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("matrix.ndjson");
    let rows = &[("tokio", 5_000), ("smol", 6_000)];
    Run { rows, scenarios: &["closed-100"], rounds: 2, samples: 100, matrix: true }.write(&records, |_| {});
    assert!(page("matrix", &records).contains("every server with every client"));
}

#[test]
fn hostile_names_are_inert_everywhere() {
    const NAME: &str = "=x</script><script>alert(1)</script>\"'&|](javascript:1)\u{202e}\u{1b}[31m\n`";
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("hostile.ndjson");
    let rows = &[("tokio", 5_000), (NAME, 6_000)];
    let run = Run { rows, scenarios: &["rtt-24", "closed-100"], rounds: 8, samples: 200, matrix: false };
    run.write(&records, |record| {
        record.machine.host = NAME.to_owned();
        record.scenario.about = NAME.to_owned();
        record.server.info.scheduler = NAME.to_owned();
    });
    // Trials of another machine than their run would not count.
    let name = serde_json::to_string(NAME).unwrap();
    let written = std::fs::read_to_string(&records).unwrap();
    std::fs::write(&records, written.replacen("\"nowhere\"", &name, 1)).unwrap();
    let page = page("hostile", &records);
    assert_eq!(page.matches("<script").count(), 3, "the data, uPlot, and the page's own");
    assert!(data(&page)["rows"].as_array().unwrap().len() == 2);
    let mut forms: Vec<(String, String)> = vec![("page".to_owned(), page)];
    for format in ["terminal", "markdown", "csv"] {
        forms.push((format.to_owned(), wsbench(&["table", text(&records), "--format", format])));
    }
    for format in ["csv", "svg", "hgrm"] {
        let out = folder.path().join(format);
        wsbench(&["export", text(&records), "--format", format, "-o", text(&out)]);
        for entry in std::fs::read_dir(&out).unwrap() {
            let path = entry.unwrap().path();
            forms.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    for (form, content) in &forms {
        assert!(!content.contains(['\u{1b}', '\u{202e}']), "{form}");
        let is_markup = form == "page" || form == "markdown" || form.ends_with("svg");
        assert!(!is_markup || !content.contains("<script>alert"), "{form}");
        assert!(form != "markdown" || !content.contains("](javascript"), "{form}");
        assert!(
            !form.ends_with("csv")
                || !content.lines().any(|line| line.starts_with('=') || line.contains(",=")),
            "{form}"
        );
    }
    let json: Value = serde_json::from_str(&wsbench(&["table", text(&records), "--format", "json"])).unwrap();
    assert!(
        json.as_array().unwrap().iter().any(|figure| figure["server"] == NAME),
        "JSON holds the name as it is"
    );
}

#[test]
fn json_keeps_to_its_schema() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("small.ndjson");
    small(&records);
    let schema: Value = serde_json::from_str(&wsbench(&["schema", "table"])).unwrap();
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/table.schema.json");
    let published: Value = serde_json::from_str(&std::fs::read_to_string(published).unwrap()).unwrap();
    assert_eq!(schema, published, "wsbench schema table > docs/table.schema.json");
    let json: Value = serde_json::from_str(&wsbench(&["table", text(&records), "--format", "json"])).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// What a tracker gets are costs and latencies that mean something, with their marks, and what it cannot see is said.
#[test]
fn trackers_hold_costs_and_latencies_without_zeros() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("small.ndjson");
    let run = Run {
        rows: &[("tokio", 5_000), ("smol", 6_000), ("async-std", 7_000)],
        scenarios: &["rtt-24", "paced-1000", "idle-1000"],
        rounds: 6,
        samples: 1_000,
        matrix: false,
    };
    run.write(&path, |record| match record.server.row.as_str() {
        "async-std" => {
            let message = "the server ended early".to_owned();
            record.error = Some(trial::Failure { step: trial::Step::Measure, message });
        }
        "smol" => {
            record.marks.insert(trial::mark::Mark::Disturbed);
        }
        _ => {}
    });
    let table = |format: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wsbench"));
        let (code, stdout, stderr) = common::run(command.args(["table", text(&path), "--format", format]));
        assert_eq!(code, 0, "{stderr}");
        let json: Value = serde_json::from_str(&stdout).unwrap();
        (json, stderr)
    };
    let (github, stderr) = table("github");
    assert!(stderr.contains("note: async-std has no figures in rtt-24: 6 trials failed"), "{stderr}");
    let entries = github.as_array().unwrap();
    assert!(!entries.is_empty());
    for entry in entries {
        let (name, value) = (entry["name"].as_str().unwrap(), entry["value"].as_f64().unwrap());
        let metric = name.rsplit(' ').next().unwrap();
        assert!(value > 0.0, "{name}: {value}");
        let of_others =
            ["machine", "generator", "client", "refused", "not_sent", "server_cpu_share", "achieved"];
        assert!(!of_others.iter().any(|other| metric.starts_with(other)), "{name}");
        let is_marked = entry["extra"].as_str().unwrap().ends_with("marks: disturbed");
        assert_eq!(is_marked, name.contains("/smol/"), "{entry}");
    }
    // There is no place for marks in it, nor for rows that failed.
    let (bencher, _) = table("bencher");
    let names: Vec<&String> = bencher.as_object().unwrap().keys().collect();
    assert!(names.iter().all(|name| name.contains("/tokio/")) && names.len() == 3, "{names:?}");
}

#[test]
fn terms_completions_and_man_pages() {
    assert!(wsbench(&["help", "A/A", "floor"]).starts_with("A/A floor: In every block"));
    assert!(wsbench(&["help", "run"]).contains("--rounds"));
    assert!(wsbench(&["help"]).contains("paced"));
    assert!(wsbench(&["completions", "bash"]).contains("_wsbench"));
    let folder = tempfile::tempdir().unwrap();
    wsbench(&["man", text(folder.path())]);
    assert!(folder.path().join("wsbench-report.1").exists());
}

// ---- every number can be traced

/// The trials that count, as plain JSON.
fn measured(records: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(records).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.filter(|line: &Value| line["kind"] == "trial" && line["error"].is_null()).collect()
}

/// Figures of the page, picked at random, are those of the records.
#[test]
fn figures_of_the_page_are_those_of_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("small.ndjson");
    small(&records);
    let page = page("small", &records);
    let lines = measured(&records);
    let table = between(&page, "<table id=\"grid\">", "</table>");
    let columns: Vec<(&str, &str)> = table
        .split("data-scenario=\"")
        .skip(1)
        .map(|head| (head.split('"').next().unwrap(), between(head, "class=\"metric\">", "<")))
        .collect();
    let rows: Vec<&str> = table.split("<tr data-row=").skip(1).collect();
    assert!(columns.len() >= 6 && rows.len() == 4);
    let mut random = rand_pcg::Pcg64::seed_from_u64(7);
    let mut traced = 0;
    for _ in 0..60 {
        let row = rows[random.random_range(0..rows.len())];
        let place = random.random_range(0..columns.len());
        let name = between(row, "data-name=\"", "\"");
        let (scenario, metric) = columns[place];
        let cell = row.split("<td").nth(place + 1).unwrap();
        let shown = between(cell, "class=\"value\">", "<").trim_end_matches(" !");
        let Some(figure) = figure_of(metric) else { continue };
        let values: Vec<f64> = lines
            .iter()
            .filter(|line| line["scenario"]["name"] == scenario && line["server"]["row"] == name)
            .map(figure)
            .collect();
        let expected = if metric.contains("memory") { bytes(middle(&values)) } else { time(middle(&values)) };
        assert_eq!(shown, expected, "{name}, {scenario}, {metric}");
        traced += 1;
    }
    assert!(traced > 30, "{traced}");
    rounds_are_those_of_the_records(&data(&page), &lines, &mut random);
}

/// Ratios, their intervals and their words, by code of its own: all signs are tried, and three rows by each judged metric
/// share the level.
#[test]
fn ratios_and_intervals_are_those_of_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("small.ndjson");
    small(&records);
    let page = page_beside(&records);
    let lines = measured(&records);
    for (scenario, metric, comparisons) in [("paced-1000", "p99", 6.0), ("push-100", "lag p99", 3.0)] {
        let figure = figure_of(metric).unwrap();
        let of = |name: &str| -> BTreeMap<u64, f64> {
            let own = lines.iter().filter(|line| line["scenario"]["name"] == scenario);
            let own = own.filter(|line| line["server"]["row"] == name);
            own.map(|line| (line["block"].as_u64().unwrap(), figure(line))).collect()
        };
        let base = of("tokio");
        let logs = |name: &str| -> Vec<f64> {
            of(name).iter().map(|(block, value)| (value / base[block]).ln()).collect()
        };
        let floor = (end(&logs("tokio#aa"), -1.0, 0.05) + end(&logs("tokio#aa"), 1.0, 0.05)).abs() / 2.0;
        for name in ["tokio-native", "smol", "async-std"] {
            let logs = logs(name);
            let level = 0.05 / comparisons;
            let (low, high) = (end(&logs, -1.0, level), end(&logs, 1.0, level));
            let percent = |log: f64| format!("{:+.1}", (log.exp() - 1.0) * 100.0).replace('-', "\u{2212}");
            let (ratio, low_text, high_text) = (percent(centre(&logs)), percent(low), percent(high));
            let shown = format!("{ratio} % [{low_text} … {high_text}] against tokio");
            let title =
                page.split("title=\"").find(|title| title.starts_with(&format!("{name}, {scenario}: ")));
            let title = title.unwrap().split('"').next().unwrap();
            assert!(title.contains(&shown), "{shown} is not in {title}");
            assert_eq!(title.contains("· slower"), low > floor.max(0.001), "{title}");
        }
    }
}

/// Cauchy's scores of the distances from a centre, in units of twice the median distance.
fn scores(logs: &[f64], centre: f64) -> Vec<f64> {
    let distances: Vec<f64> = logs.iter().map(|log| log - centre).collect();
    let unit = 2.0 * middle(&distances.iter().map(|distance| distance.abs()).collect::<Vec<_>>());
    distances.iter().map(|distance| distance / (1.0 + (distance / unit).powi(2))).collect()
}

/// The centre at which the scores add up to nothing, by halving.
fn centre(logs: &[f64]) -> f64 {
    let (mut low, mut high) = (middle(logs) - 0.05, middle(logs) + 0.05);
    for _ in 0..50 {
        let between = f64::midpoint(low, high);
        match scores(logs, between).iter().sum::<f64>() > 0.0 {
            true => low = between,
            false => high = between,
        }
    }
    low
}

/// The first centre in one direction that all signs, tried one by one, reject.
fn end(logs: &[f64], direction: f64, level: f64) -> f64 {
    let rejects = |at: f64| {
        let scores = scores(logs, at);
        let seen = scores.iter().sum::<f64>().abs() - 1e-12;
        let ways = 1_u32 << scores.len();
        let sum = |way: u32| -> f64 {
            let signed = scores.iter().enumerate();
            signed.map(|(place, score)| if way >> place & 1 == 1 { -score } else { *score }).sum()
        };
        let far = (0..ways).filter(|way| sum(*way).abs() >= seen).count();
        far as f64 <= level * f64::from(ways)
    };
    const STEP: f64 = 0.0005;
    let start = centre(logs);
    let mut place = start + direction * STEP;
    while !rejects(place) {
        place += direction * STEP;
    }
    let (mut inside, mut outside) = (place - direction * STEP, place);
    for _ in 0..20 {
        let between = f64::midpoint(inside, outside);
        match rejects(between) {
            true => outside = between,
            false => inside = between,
        }
    }
    outside
}

/// The values behind the page's charts and ratios, block by block.
fn rounds_are_those_of_the_records(data: &Value, lines: &[Value], random: &mut rand_pcg::Pcg64) {
    let columns = data["grid"]["columns"].as_array().unwrap();
    let mut traced = 0;
    for _ in 0..40 {
        let column = &columns[random.random_range(0..columns.len())];
        let (Some(ranking), Some(card)) = (column["ranking"].as_str(), column["card"].as_str()) else {
            continue;
        };
        let label = match ranking {
            "server_cpu_per_message" => "server CPU",
            "p99" => "p99",
            "lag_p99" => "lag p99",
            _ => continue,
        };
        let figure = figure_of(label).unwrap();
        let key = random.random_range(0..data["rows"].as_array().unwrap().len());
        let name = data["rows"][key][0].as_str().unwrap();
        let Some(values) = column["values"][ranking][key.to_string()].as_array() else { continue };
        let own: Vec<f64> = lines
            .iter()
            .filter(|line| {
                let scenario = line["scenario"]["name"].as_str().unwrap();
                card.starts_with(&format!("{scenario}-")) && line["server"]["row"] == name
            })
            .map(figure)
            .collect();
        let shown: Vec<f64> = values.iter().filter_map(Value::as_f64).collect();
        assert_eq!(shown.len(), own.len(), "{card} {name}");
        for (shown, own) in shown.iter().zip(&own) {
            assert!((shown / own - 1.0).abs() < 1e-5, "{card} {name}: {shown} {own}");
        }
        traced += 1;
    }
    assert!(traced > 10, "{traced}");
}

fn figure_of(metric: &str) -> Option<fn(&Value) -> f64> {
    Some(match metric {
        "server CPU" => |line| {
            let cpu = |edge: &str| line["server_samples"][edge]["cpu_ns"].as_f64().unwrap();
            (cpu("measured") - cpu("ready")) / report(line)["units"].as_f64().unwrap()
        },
        "p99" => |line| quantile(&report(line)["series"]["from_intended"], 0.99),
        "lag p99" => |line| quantile(&report(line)["series"]["push_lag"], 0.99),
        "server memory" => |line| line["server_samples"]["measured"]["rss_bytes"].as_f64().unwrap(),
        _ => return None,
    })
}

/// What the client of the main load reported.
fn report(line: &Value) -> &Value {
    &line["clients"][0]["report"]
}

fn quantile(series: &Value, q: f64) -> f64 {
    let bytes = BASE64_STANDARD.decode(series["hdr"].as_str().unwrap()).unwrap();
    let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
    (histogram.value_at_quantile(q) as f64).min(series["max_ns"].as_f64().unwrap())
}

fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() % 2 {
        1 => sorted[sorted.len() / 2],
        _ => (sorted[sorted.len() / 2 - 1] + sorted[sorted.len() / 2]) / 2.0,
    }
}

fn digits(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns >= 1e6 => format!("{} ms", digits(ns / 1e6)),
        ns if ns >= 1e3 => format!("{} µs", digits(ns / 1e3)),
        ns => format!("{} ns", digits(ns)),
    }
}

fn bytes(bytes: f64) -> String {
    format!("{} MiB", digits(bytes / 1_048_576.0))
}
