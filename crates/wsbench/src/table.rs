//! Tables: the same summary for a terminal, in Markdown, CSV and JSON.

use bench_core::{
    mark::Mark,
    metric::{self, Metric, human},
    trial::Role,
};
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};

use crate::{
    curve::{self, Slo},
    export,
    matrix::{is_matrix, matrices},
    summary::{Figure, Group, Ratio, RowFigures, Summary},
    text::clean,
    verdict::Verdict,
};

mod flat;
mod pictures;

pub use flat::schema;
pub use pictures::{Pictures, draw};

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
    /// Bencher Metric Format, for bencher.dev
    Bencher,
    /// JSON for github-action-benchmark (customSmallerIsBetter)
    Github,
}

/// Writes a summary.
pub fn render(summary: &Summary, format: Format, slo: Slo) -> String {
    match format {
        // Known only where stdout is a terminal.
        Format::Terminal => text(summary, presets::NOTHING, "", slo, Table::new().width()),
        // A name could hold markup or a link, and the tables themselves have neither.
        Format::Markdown => text(summary, presets::ASCII_MARKDOWN, "### ", slo, None)
            .replace('<', "&lt;")
            .replace("](", "]\\("),
        Format::Csv => flat::csv(summary),
        Format::Bencher => export::bencher(summary),
        Format::Github => export::github(summary),
        Format::Json => {
            let json = serde_json::to_string_pretty(&flat::figures(summary));
            json.expect("names and finite numbers are JSON") + "\n"
        }
    }
}

fn text(
    summary: &Summary,
    style: comfy_table::TableStyle,
    heading: &str,
    slo: Slo,
    width: Option<u16>,
) -> String {
    let mut parts: Vec<String> = summary
        .groups
        .iter()
        // The points of a curve stand in its table.
        .filter(|group| group.scenario.curve.is_none())
        .map(|group| {
            let mut lines = vec![format!("{heading}{}", title(group)), String::new()];
            lines.push(conditions(group));
            lines.push(String::new());
            if is_matrix(group) {
                lines.push(matrices(group, style).join("\n\n"));
            } else {
                lines.push(fitted(group, style, width));
            }
            let notes: Vec<String> = marks(group)
                .into_iter()
                .chain(verdicts(group, summary.confidence))
                .chain(floor(group))
                .collect();
            if !notes.is_empty() {
                lines.push(String::new());
                lines.extend(notes);
            }
            lines.join("\n")
        })
        .collect();
    parts.extend(
        curve::tables(&summary.groups, slo, style).into_iter().map(|table| format!("{heading}{table}")),
    );
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
    let of_all = summary.notes.iter().chain(&summary.origins);
    notes.extend(of_all.flat_map(|note| note.lines()).map(plain));
    if !notes.is_empty() {
        parts.push(notes.join("\n"));
    }
    parts.join("\n\n") + "\n"
}

pub(crate) fn title(group: &Group) -> String {
    let what = if group.ranking == metric::SERVER_RSS_PER_CONNECTION {
        group.scenario.about.clone()
    } else {
        group.scenario.summary()
    };
    format!("{} · {what}", plain(&group.scenario.name))
}

pub(crate) fn conditions(group: &Group) -> String {
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
        "{} · {cores} · {other} · flushed {} · {rounds}, seed {} · ranked by {}",
        group.placement,
        match group.scenario.socket.flush {
            bench_core::spec::Flush::BeforeWait => "before each wait",
            bench_core::spec::Flush::Each => "after each message",
        },
        seeds.join(", "),
        group.ranking.label,
    )
}

/// A group's table, in which columns are left out from the right until it fits.
fn fitted(group: &Group, style: comfy_table::TableStyle, width: Option<u16>) -> String {
    let mut group = group.clone();
    let mut left_out = Vec::new();
    loop {
        let text = table(&group, style).trim_fmt();
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        let is_bare = group.columns.is_empty() && group.pictures == Pictures::default();
        if width.is_none_or(|width| widest <= usize::from(width)) || is_bare {
            if left_out.is_empty() {
                return text;
            }
            left_out.reverse();
            return format!(
                "{text}\n\nleft out, for this width: {} (--columns chooses)",
                left_out.join(", ")
            );
        }
        // Two columns of numbers before the pictures, and the pictures before the other numbers.
        let pictures = &mut group.pictures;
        if group.columns.len() > 2 || (pictures.sparklines.is_none() && pictures.bars.is_none()) {
            left_out.extend(group.columns.pop().map(|column| column.name));
        } else if pictures.sparklines.take().is_some() {
            left_out.push("sparklines");
        } else if pictures.bars.take().is_some() {
            left_out.push("bars");
        }
    }
}

fn table(group: &Group, style: comfy_table::TableStyle) -> Table {
    let mut sheet = sheet(group);
    let Pictures { bars, sparklines } = &group.pictures;
    if let Some(bars) = bars {
        // Behind the ratios that they show.
        let place = sheet.names + 4;
        sheet.header.insert(place, bars.header.clone());
        sheet.rows.iter_mut().zip(&group.rows).for_each(|(cells, row)| cells.insert(place, bars.cell(row)));
    }
    if let Some(sparklines) = sparklines {
        sheet.header.push(sparklines.header.clone());
        sheet.rows.iter_mut().zip(&group.rows).for_each(|(cells, row)| cells.push(sparklines.cell(row)));
    }
    let mut table = Table::new();
    table.load_style(style).set_header(sheet.header.iter().map(|cell| plain(cell)).collect::<Vec<_>>());
    for cells in sheet.rows {
        table.add_row(cells.iter().map(|cell| plain(cell)).collect::<Vec<_>>());
    }
    for (place, column) in table.column_iter_mut().enumerate() {
        if place != sheet.names {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The cells of a group's table, as text.
pub(crate) struct Sheet {
    /// Place of the column with the rows' names.
    pub(crate) names: usize,
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// The cells of a group's table.
pub(crate) fn sheet(group: &Group) -> Sheet {
    let (ranking, columns) = (group.ranking, &group.columns);
    let is_ranked = group.rows.iter().any(|row| rank(row).is_some());
    let mut header = if is_ranked { vec!["rank".to_owned()] } else { Vec::new() };
    header.extend([
        "row".to_owned(),
        ranking.label.to_owned(),
        "min–max".to_owned(),
        format!("against {}", clean(&group.baseline)),
    ]);
    header.extend(columns.iter().map(|column| column.label.to_owned()));
    let cells = |row: &RowFigures| {
        let mut cells = Vec::new();
        if is_ranked {
            cells.push(rank(row).map_or("–".to_owned(), |rank| rank.to_string()));
        }
        cells.push(name(group, row));
        match row.figures.get(ranking.name) {
            None => cells.extend([missing(row), String::new(), String::new()]),
            Some(figure) => {
                // Without a ratio it is the baseline, or the baseline failed wherever this row was measured.
                let without = if compared(group, row) == group.baseline { "baseline" } else { "–" };
                let against =
                    figure.ratio.map_or_else(|| without.to_owned(), |ratio| against(group, row, ratio));
                cells.extend([human(figure.median, ranking.unit), range(figure, ranking), against]);
            }
        }
        for column in columns {
            let figure = row.figures.get(column.name);
            cells.push(figure.map_or("–".to_owned(), |figure| {
                let mark = if is_spoilt(row, *column) { " !" } else { "" };
                format!("{}{mark}", human(figure.median, column.unit))
            }));
        }
        cells
    };
    Sheet { names: usize::from(is_ranked), header, rows: group.rows.iter().map(cells).collect() }
}

/// Whether a figure is shown but not to be ranked by: its median is that of marked trials.
pub(crate) fn is_spoilt(row: &RowFigures, metric: Metric) -> bool {
    let rounds = row.figures.get(metric.name).map_or(0, |figure| figure.rounds);
    row.marks.iter().any(|(mark, trials)| mark.spoils(metric) && 2 * trials > rounds)
}

fn rank(row: &RowFigures) -> Option<usize> {
    row.judged.and_then(|judged| judged.rank)
}

/// `+25.0 % [+22.1 … +28.3] slower`: the median of the ratios, their interval at the corrected level and the verdict.
pub(crate) fn against(group: &Group, row: &RowFigures, ratio: Ratio) -> String {
    let Some(judged) = row.judged else { return percentages(ratio) };
    let Some((low, high)) = judged.interval else { return percentages(ratio) };
    let median = judged.ratio.unwrap_or(ratio.median);
    let figures = format!("{} % [{} … {}]", percent(median), percent(low), percent(high));
    match verdict_word(group.ranking, judged.verdict) {
        Some(word) => format!("{figures} {word}"),
        None => figures,
    }
}

/// What a verdict is called for a metric; `None` where there is none.
pub(crate) fn verdict_word(metric: Metric, verdict: Verdict) -> Option<&'static str> {
    let is_size = metric.unit == metric::Unit::Bytes;
    match verdict {
        Verdict::Tie => Some("tie"),
        Verdict::Greater if is_size => Some("more"),
        Verdict::Less if is_size => Some("less"),
        Verdict::Greater => Some(if metric.higher_is_better { "faster" } else { "slower" }),
        Verdict::Less => Some(if metric.higher_is_better { "slower" } else { "faster" }),
        Verdict::Baseline | Verdict::TooFew { .. } => None,
    }
}

/// What the marks of a group's rows stand for.
pub(crate) fn marks(group: &Group) -> Vec<String> {
    let mut lines = Vec::new();
    for mark in Mark::ALL {
        let trials: usize = group.rows.iter().filter_map(|row| row.marks.get(&mark)).sum();
        if trials > 0 {
            let plural = if trials == 1 { "trial" } else { "trials" };
            lines.push(format!("{} {} in {trials} {plural}: {}", mark.letter(), mark.name(), mark.meaning()));
        }
    }
    lines
}

/// What verdicts rest on, or why there are none.
pub(crate) fn verdicts(group: &Group, confidence: f64) -> Option<String> {
    let judged = || group.rows.iter().filter_map(|row| row.judged);
    let compared = judged().filter(|judged| judged.verdict != Verdict::Baseline).count();
    if compared == 0 {
        return None;
    }
    let few = judged().filter_map(|judged| match judged.verdict {
        Verdict::TooFew { blocks, needed } => Some((blocks, needed)),
        _ => None,
    });
    let missing = few.clone().count();
    let reason = few.min().map(|(blocks, needed)| {
        format!("no verdict on {missing} of {compared} rows: {needed} unmarked rounds are needed, and the least is {blocks}")
    });
    let percent = confidence * 100.0;
    let floor = group.floor.map(|floor| {
        format!(
            "verdicts by {} at {percent} % over {compared} rows, beyond the A/A floor of ±{:.1} %",
            group.ranking.label,
            (floor - 1.0) * 100.0
        )
    });
    let decided = (missing < compared).then_some(floor).flatten();
    let unsteady: usize = judged().map(|judged| judged.unsteady).sum();
    let unsteady = (unsteady > 0).then(|| {
        format!("{unsteady} of its ratios do not count, because the machine changed between the two trials")
    });
    Some(decided.into_iter().chain(unsteady).chain(reason).collect::<Vec<_>>().join("; "))
}

pub(crate) fn name(group: &Group, row: &RowFigures) -> String {
    let compared = match group.role {
        Role::Server => row.server.clone(),
        Role::Client => row.client.clone(),
    };
    let status = row.status.as_ref().map_or(String::new(), |status| format!(" ({status})"));
    let workers = if row.workers > 1 { format!(" ×{}", row.workers) } else { String::new() };
    let letters: String = row.marks.keys().map(|mark| mark.letter()).collect();
    let marked = if letters.is_empty() { String::new() } else { format!(" !{letters}") };
    let failed = if row.failed > 0 { format!(" [{} failed]", row.failed) } else { String::new() };
    clean(&format!("{compared}{workers}{status}{marked}{failed}"))
}

/// The name of the row that a line is about.
pub(crate) fn compared<'a>(group: &Group, row: &'a RowFigures) -> &'a str {
    match group.role {
        Role::Server => &row.server,
        Role::Client => &row.client,
    }
}

fn missing(row: &RowFigures) -> String {
    if row.failed > 0 { "failed".to_owned() } else { "–".to_owned() }
}

pub(crate) fn range(figure: &Figure, metric: Metric) -> String {
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
pub(crate) fn percentages(ratio: Ratio) -> String {
    if ratio.min == ratio.max {
        return format!("{} %", percent(ratio.median));
    }
    format!("{} % [{} … {}]", percent(ratio.median), percent(ratio.min), percent(ratio.max))
}

pub(crate) fn percent(ratio: f64) -> String {
    let text = format!("{:+.1}", (ratio - 1.0) * 100.0);
    text.replace('-', "−")
}

/// How far the baseline differs from itself: what a difference has to exceed to mean anything.
pub(crate) fn floor(group: &Group) -> Option<String> {
    let twin = group.twin.as_ref()?;
    let spreads: Vec<String> = std::iter::once(group.ranking)
        .chain(group.columns.iter().copied())
        .filter_map(|column| {
            let ratio = twin.figures.get(column.name)?.ratio?;
            Some(match ratio.interval {
                Some((low, high)) => format!("{} [{} … {}] %", column.label, percent(low), percent(high)),
                None if ratio.min == ratio.max => format!("{} {} %", column.label, percent(ratio.median)),
                None => format!("{} {} … {} %", column.label, percent(ratio.min), percent(ratio.max)),
            })
        })
        .collect();
    (!spreads.is_empty())
        .then(|| format!("A/A, {} against itself: {}", plain(&group.baseline), spreads.join(", ")))
}

/// A name without what could act on a terminal or break a Markdown table.
pub(crate) fn plain(text: &str) -> String {
    clean(text).replace('|', "\\|")
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
        let results = Results { sessions: vec![session], trials: trials.collect(), ..Results::default() };
        Summary::new(&results, 0.95)
    }

    fn render_plain(summary: &Summary, format: Format) -> String {
        render(summary, format, Slo::default())
    }

    #[test]
    fn a_terminal_table() {
        let text = render_plain(&summary(), Format::Terminal);
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
        let text = render_plain(&Summary::new(&results, 0.95), Format::Terminal);
        assert!(!text.contains("baseline"), "{text}");
    }

    #[test]
    fn a_markdown_table() {
        let text = render_plain(&summary(), Format::Markdown);
        assert!(text.starts_with("### rtt-24"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("| smol") && line.ends_with('|')), "{text}");
    }

    #[test]
    fn json_figures_are_unique_by_their_first_six_keys() {
        let json: serde_json::Value = serde_json::from_str(&render_plain(&summary(), Format::Json)).unwrap();
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
        let csv = render_plain(&summary(), Format::Csv);
        assert!(csv.starts_with("scenario,role,server,client,placement,metric,unit,median,min,max,rounds"));
        let json: serde_json::Value = serde_json::from_str(&render_plain(&summary(), Format::Json)).unwrap();
        assert_eq!(csv.lines().count(), json.as_array().unwrap().len() + 1);
    }

    #[test]
    fn trackers_get_their_own_json() {
        let bencher: serde_json::Value =
            serde_json::from_str(&render_plain(&summary(), Format::Bencher)).unwrap();
        assert_eq!(bencher["rtt-24/smol/tokio"]["server_cpu_per_message"]["value"], 6_000.0);
        let github: serde_json::Value =
            serde_json::from_str(&render_plain(&summary(), Format::Github)).unwrap();
        let names: Vec<&str> =
            github.as_array().unwrap().iter().filter_map(|entry| entry["name"].as_str()).collect();
        assert!(names.contains(&"rtt-24/smol/tokio server_cpu_per_message"), "{names:?}");
        assert!(names.iter().all(|name| !name.ends_with(" rate")));
    }

    #[test]
    fn a_narrow_terminal_gets_fewer_columns() {
        let group = &summary().groups[0];
        let wide = fitted(group, presets::NOTHING, None);
        let narrow = fitted(group, presets::NOTHING, Some(80));
        assert!(wide.contains("client CPU") && !wide.contains("left out"), "{wide}");
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        assert_eq!(fitted(group, presets::NOTHING, Some(400)), wide);
    }

    #[test]
    fn hostile_names_are_inert() {
        assert_eq!(plain("a\u{1b}[31mb|c\n"), "a[31mb\\|c");
    }
}
