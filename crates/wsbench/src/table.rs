//! Tables: the same summary for a terminal, in Markdown, CSV and JSON.

use bench_core::{
    metric::{self, Metric, human},
    trial::Role,
};
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::{
    matrix::{is_matrix, matrices},
    summary::{Figure, Group, Ratio, RowFigures, Summary},
};

/// How a table is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person, aligned
    #[default]
    Terminal,
    /// For a README or an issue
    Markdown,
    /// One line a figure
    Csv,
    /// An array with one object a figure
    Json,
}

/// Writes a summary.
pub fn render(summary: &Summary, format: Format) -> String {
    match format {
        Format::Terminal => text(summary, presets::NOTHING, ""),
        Format::Markdown => text(summary, presets::ASCII_MARKDOWN, "### "),
        Format::Csv => csv(summary),
        Format::Json => {
            let json = serde_json::to_string_pretty(&figures(summary));
            json.expect("names and finite numbers are JSON") + "\n"
        }
    }
}

/// What the mark `!` stands for.
const CORES_SHARED: &str =
    "! too few cores: server and client share one, which cannot be compared with rows of one thread";

fn text(summary: &Summary, style: comfy_table::TableStyle, heading: &str) -> String {
    let mut parts: Vec<String> = summary
        .groups
        .iter()
        .map(|group| {
            let mut lines = vec![format!("{heading}{}", title(group)), String::new()];
            lines.push(conditions(group));
            lines.push(String::new());
            if is_matrix(group) {
                lines.push(matrices(group, style).join("\n\n"));
            } else {
                lines.push(table(group, style).trim_fmt());
            }
            if group.rows.iter().any(|row| row.cores_shared) {
                lines.push(String::new());
                lines.push(CORES_SHARED.to_owned());
            }
            let floor = floor(group);
            if !floor.is_empty() {
                lines.push(String::new());
                lines.push(floor);
            }
            lines.join("\n")
        })
        .collect();
    let mut notes = Vec::new();
    for (row, reason) in &summary.unavailable {
        notes.push(format!("{}: not available: {}", plain(row), plain(reason)));
    }
    notes.extend(summary.left_out.iter().map(|note| plain(note).to_string()));
    if summary.orphaned > 0 {
        notes.push(format!("{} trials of unfinished blocks are left out.", summary.orphaned));
    }
    if !summary.failures.is_empty() {
        notes.push(format!("{} trials failed:", summary.failures.len()));
        notes.extend(summary.failures.iter().map(|failure| format!("  {}", plain(failure))));
    }
    notes.extend(summary.origins.iter().cloned());
    if !notes.is_empty() {
        parts.push(notes.join("\n"));
    }
    parts.join("\n\n") + "\n"
}

fn title(group: &Group) -> String {
    let what = if group.ranking == metric::SERVER_RSS_PER_CONNECTION {
        group.scenario.about.clone()
    } else {
        group.scenario.summary()
    };
    format!("{} · {what}", plain(&group.scenario.name))
}

fn conditions(group: &Group) -> String {
    let cores = match (group.cores.server.first(), group.cores.client.first()) {
        (Some(server), Some(client)) if server == client => format!("both ends on core {server}"),
        (Some(server), Some(client)) => {
            let siblings = if group.cores.siblings { ", threads of one physical core" } else { "" };
            format!("server on core {server}, client on core {client}{siblings}")
        }
        _ => "not pinned".to_owned(),
    };
    let mut others: Vec<&str> = group
        .rows
        .iter()
        .map(|row| match group.role {
            Role::Server => row.client.as_str(),
            Role::Client => row.server.as_str(),
        })
        .collect();
    others.sort_unstable();
    others.dedup();
    let other = match (group.role, &others[..]) {
        (Role::Server, [one]) => format!("client {}", plain(one)),
        (Role::Client, [one]) => format!("server {}", plain(one)),
        _ if group.rows.iter().all(|row| row.server == row.client) => "each row with itself".to_owned(),
        _ => "every server with every client".to_owned(),
    };
    let rounds = if group.rounds == 1 { "1 round".to_owned() } else { format!("{} rounds", group.rounds) };
    let seeds: Vec<String> = group.seeds.iter().map(u64::to_string).collect();
    format!(
        "{} · {cores} · {other} · flushed {} · {rounds}, seed {} · sorted by {}",
        group.placement,
        match group.scenario.socket.flush {
            bench_core::spec::Flush::BeforeWait => "before each wait",
            bench_core::spec::Flush::Each => "after each message",
        },
        seeds.join(", "),
        group.ranking.label,
    )
}

fn table(group: &Group, style: comfy_table::TableStyle) -> Table {
    let (ranking, columns) = (group.ranking, &group.columns);
    let mut table = Table::new();
    let mut header = vec![
        "row".to_owned(),
        ranking.label.to_owned(),
        "min–max".to_owned(),
        format!("against {}", plain(&group.baseline)),
    ];
    header.extend(columns.iter().map(|column| column.label.to_owned()));
    table.load_style(style).set_header(header);
    for row in &group.rows {
        let mut cells = vec![name(group, row)];
        match row.figures.get(ranking.name) {
            None => cells.extend([missing(row), String::new(), String::new()]),
            Some(figure) => {
                // Without a ratio it is the baseline, or the baseline failed wherever this row was measured.
                let without = if compared(group, row) == group.baseline { "baseline" } else { "–" };
                let against = figure.ratio.map_or_else(|| without.to_owned(), percentages);
                cells.extend([human(figure.median, ranking.unit), range(figure, ranking), against]);
            }
        }
        for column in columns {
            let figure = row.figures.get(column.name);
            cells.push(figure.map_or("–".to_owned(), |figure| human(figure.median, column.unit)));
        }
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn name(group: &Group, row: &RowFigures) -> String {
    let compared = match group.role {
        Role::Server => row.server.clone(),
        Role::Client => row.client.clone(),
    };
    let status = row.status.as_ref().map_or(String::new(), |status| format!(" ({status})"));
    let workers = if row.workers > 1 { format!(" ×{}", row.workers) } else { String::new() };
    let shared = if row.cores_shared { " !" } else { "" };
    let failed = if row.failed > 0 { format!(" [{} failed]", row.failed) } else { String::new() };
    plain(&format!("{compared}{workers}{shared}{status}{failed}"))
}

/// The name of the row that a line is about.
fn compared<'a>(group: &Group, row: &'a RowFigures) -> &'a str {
    match group.role {
        Role::Server => &row.server,
        Role::Client => &row.client,
    }
}

fn missing(row: &RowFigures) -> String {
    if row.failed > 0 { "failed".to_owned() } else { "–".to_owned() }
}

fn range(figure: &Figure, metric: Metric) -> String {
    if figure.rounds == 1 {
        return "1 round".to_owned();
    }
    let (min, max) = (human(figure.min, metric.unit), human(figure.max, metric.unit));
    match (min.split_once(' '), max.split_once(' ')) {
        (Some((min, small)), Some((max, large))) if small == large => format!("{min}–{max} {large}"),
        _ => format!("{min}–{max}"),
    }
}

/// `+25.0 % [+22.1 … +28.3]`: the median of the ratios, and their least and greatest.
fn percentages(ratio: Ratio) -> String {
    if ratio.min == ratio.max {
        return format!("{} %", percent(ratio.median));
    }
    format!("{} % [{} … {}]", percent(ratio.median), percent(ratio.min), percent(ratio.max))
}

fn percent(ratio: f64) -> String {
    let text = format!("{:+.1}", (ratio - 1.0) * 100.0);
    text.replace('-', "−")
}

/// How far the baseline differs from itself: what a difference has to exceed to mean anything.
fn floor(group: &Group) -> String {
    let Some(twin) = &group.twin else { return String::new() };
    let spreads: Vec<String> = std::iter::once(group.ranking)
        .chain(group.columns.iter().copied())
        .filter_map(|column| {
            let ratio = twin.figures.get(column.name)?.ratio?;
            Some(match ratio.min == ratio.max {
                true => format!("{} {} %", column.label, percent(ratio.median)),
                false => format!("{} {} … {} %", column.label, percent(ratio.min), percent(ratio.max)),
            })
        })
        .collect();
    if spreads.is_empty() {
        return String::new();
    }
    format!("A/A, {} against itself: {}", plain(&group.baseline), spreads.join(", "))
}

/// A name without what could act on a terminal or break a Markdown table.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect::<String>().replace('|', "\\|")
}

/// A figure as JSON and CSV give it.
#[derive(Serialize)]
struct FlatFigure<'a> {
    scenario: &'a str,
    role: Role,
    server: &'a str,
    client: &'a str,
    placement: String,
    metric: &'static str,
    unit: &'static str,
    median: f64,
    min: f64,
    max: f64,
    rounds: usize,
    baseline: &'a str,
    ratio: Option<f64>,
    ratio_min: Option<f64>,
    ratio_max: Option<f64>,
}

fn figures(summary: &Summary) -> Vec<FlatFigure<'_>> {
    let mut flat = Vec::new();
    for group in &summary.groups {
        for row in group.rows.iter().chain(&group.twin) {
            for metric in metric::ALL {
                let Some(figure) = row.figures.get(metric.name) else { continue };
                flat.push(FlatFigure {
                    scenario: &group.scenario.name,
                    role: group.role,
                    server: &row.server,
                    client: &row.client,
                    placement: group.placement.to_string(),
                    metric: metric.name,
                    unit: metric.unit.name(),
                    median: figure.median,
                    min: figure.min,
                    max: figure.max,
                    rounds: figure.rounds,
                    baseline: &group.baseline,
                    ratio: figure.ratio.map(|ratio| ratio.median),
                    ratio_min: figure.ratio.map(|ratio| ratio.min),
                    ratio_max: figure.ratio.map(|ratio| ratio.max),
                });
            }
        }
    }
    flat
}

fn csv(summary: &Summary) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for figure in figures(summary) {
        writer.serialize(figure).expect("a flat struct is a CSV line and a Vec takes it");
    }
    let bytes = writer.into_inner().expect("a Vec takes every write");
    String::from_utf8(bytes).expect("CSV of strings and numbers is UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{
        Results,
        tests::{session, trial},
    };

    fn summary() -> Summary {
        let mut session = session();
        session.unavailable.insert("glommio".to_owned(), "io_uring is disabled".to_owned());
        let trials = (0..3).flat_map(|block| {
            [
                trial("tokio", block, 0, 5_000_000),
                trial("smol", block, 1, 6_000_000),
                trial("tokio#aa", block, 2, 5_050_000),
            ]
        });
        Summary::new(&Results { sessions: vec![session], trials: trials.collect(), ..Results::default() })
    }

    #[test]
    fn a_terminal_table() {
        let text = render(&summary(), Format::Terminal);
        for expected in [
            "rtt-24 · 1 connection · 24 B text · closed loop",
            "client tokio",
            "3 rounds, seed 7",
            "against tokio",
            "+20.0 %",
            "6.00–6.00 µs",
            "A/A, tokio against itself: server CPU +1.0 %",
            "glommio: not available: io_uring is disabled",
        ] {
            assert!(text.contains(expected), "`{expected}` is missing in\n{text}");
        }
        assert!(!text.contains("tokio#aa"));
    }

    #[test]
    fn a_row_whose_baseline_failed_is_not_called_the_baseline() {
        let mut failed = trial("tokio", 0, 0, 5_000_000);
        failed.error = Some(bench_core::trial::Failure {
            step: bench_core::trial::Step::Measure,
            message: "the server ended early".to_owned(),
        });
        let trials = vec![failed, trial("smol", 0, 1, 6_000_000)];
        let results = Results { sessions: vec![session()], trials, ..Results::default() };
        let text = render(&Summary::new(&results), Format::Terminal);
        assert!(!text.contains("baseline"), "{text}");
    }

    #[test]
    fn a_markdown_table() {
        let text = render(&summary(), Format::Markdown);
        assert!(text.starts_with("### rtt-24"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("| smol") && line.ends_with('|')), "{text}");
    }

    #[test]
    fn json_figures_are_unique_by_their_first_six_keys() {
        let json: serde_json::Value = serde_json::from_str(&render(&summary(), Format::Json)).unwrap();
        let figures = json.as_array().unwrap();
        let mut keys: Vec<String> = figures
            .iter()
            .map(|figure| {
                ["scenario", "role", "server", "client", "placement", "metric"]
                    .map(|key| figure[key].to_string())
                    .join("/")
            })
            .collect();
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all);
        let smol = figures
            .iter()
            .find(|figure| figure["server"] == "smol" && figure["metric"] == "server_cpu_per_message");
        let smol = smol.unwrap();
        assert_eq!(
            (smol["median"].as_f64(), smol["ratio"].as_f64().map(|r| (r * 10.0).round())),
            (Some(6000.0), Some(12.0))
        );
        assert_eq!(smol["unit"], "ns");
    }

    #[test]
    fn csv_has_a_header_and_as_many_lines_as_json_has_figures() {
        let csv = render(&summary(), Format::Csv);
        assert!(csv.starts_with("scenario,role,server,client,placement,metric,unit,median,min,max,rounds"));
        let json: serde_json::Value = serde_json::from_str(&render(&summary(), Format::Json)).unwrap();
        assert_eq!(csv.lines().count(), json.as_array().unwrap().len() + 1);
    }

    #[test]
    fn hostile_names_are_inert() {
        assert_eq!(plain("a\u{1b}[31mb|c\n"), "a[31mb\\|c");
    }
}
