//! Tables: the same summary for a terminal, in Markdown, CSV and JSON.

use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, TableStyle, presets};

use self::{
    cells::sheet,
    matrix::matrices,
    notes::{conditions, floor, marks, title, verdicts},
    pictures::Pictures,
};
use super::{text::plain, trackers};
use crate::analysis::{group::Group, objective::Slo, results::Results, summary::Summary};

pub(crate) mod cells;
pub(crate) mod curve;
pub(crate) mod flat;
mod matrix;
pub(crate) mod notes;
mod pictures;

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

/// Writes the summary of some results.
pub fn render(summary: &Summary, results: &Results, format: Format, slo: Slo) -> String {
    match format {
        // Known only where stdout is a terminal.
        Format::Terminal => {
            let style = Style { table: presets::NOTHING, heading: "", width: Table::new().width() };
            text(summary, &style, slo, |group| Pictures::of(group, results))
        }
        // A name could hold markup or a link, and the tables themselves have neither.
        Format::Markdown => {
            let style = Style { table: presets::ASCII_MARKDOWN, heading: "### ", width: None };
            text(summary, &style, slo, |_| Pictures::default()).replace('<', "&lt;").replace("](", "]\\(")
        }
        Format::Csv => flat::csv(summary),
        Format::Bencher => trackers::bencher(summary),
        Format::Github => trackers::github(summary),
        Format::Json => {
            let json = serde_json::to_string_pretty(&flat::figures(summary));
            json.expect("names and finite numbers are JSON") + "\n"
        }
    }
}

/// How the tables for people are written.
struct Style {
    table: TableStyle,
    /// What a heading begins with.
    heading: &'static str,
    /// Columns of the terminal, where there is one.
    width: Option<u16>,
}

fn text(summary: &Summary, style: &Style, slo: Slo, draw: impl Fn(&Group) -> Pictures) -> String {
    // The points of a curve stand in its table.
    let own = summary.groups.iter().filter(|group| group.scenario.curve.is_none());
    let mut parts: Vec<String> =
        own.map(|group| section(group, draw(group), style, summary.confidence)).collect();
    let curves = curve::tables(&summary.groups, slo, style.table);
    parts.extend(curves.into_iter().map(|table| format!("{}{table}", style.heading)));
    let notes = notes_on_all(summary);
    if !notes.is_empty() {
        parts.push(notes.join("\n"));
    }
    parts.join("\n\n") + "\n"
}

/// The table of a group, with what stands above and below it.
fn section(group: &Group, pictures: Pictures, style: &Style, confidence: f64) -> String {
    let table = if group.is_matrix() {
        matrices(group, style.table).join("\n\n")
    } else {
        fitted(group, pictures, style.table, style.width)
    };
    let mut text = format!("{}{}\n\n{}\n\n{table}", style.heading, title(group), conditions(group));
    let notes: Vec<String> =
        marks(group).into_iter().chain(verdicts(group, confidence)).chain(floor(group)).collect();
    if !notes.is_empty() {
        text += &format!("\n\n{}", notes.join("\n"));
    }
    text
}

/// What is missing from all tables, what failed, and where the figures come from.
fn notes_on_all(summary: &Summary) -> Vec<String> {
    let mut notes = Vec::new();
    for (row, reason) in &summary.unavailable {
        notes.push(format!("{}: not available: {}", plain(row), plain(reason)));
    }
    notes.extend(summary.left_out.iter().map(|note| plain(note)));
    if summary.orphaned > 0 {
        notes.push(format!("{} trials of unfinished blocks are left out.", summary.orphaned));
    }
    if !summary.failures.is_empty() {
        notes.push(format!("{} trials failed:", summary.failures.len()));
        notes.extend(summary.failures.iter().map(|failure| format!("  {}", plain(failure))));
    }
    let of_all = summary.notes.iter().chain(&summary.origins);
    notes.extend(of_all.flat_map(|note| note.lines()).map(plain));
    notes
}

/// A group's table, in which columns are left out from the right until it fits.
fn fitted(group: &Group, mut pictures: Pictures, style: TableStyle, width: Option<u16>) -> String {
    let mut group = group.clone();
    let mut left_out = Vec::new();
    loop {
        let text = table(&group, &pictures, style).trim_fmt();
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        let is_drawn = pictures.bars.is_some() || pictures.sparklines.is_some();
        let is_bare = group.columns.is_empty() && !is_drawn;
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
        if group.columns.len() > 2 || !is_drawn {
            left_out.extend(group.columns.pop().map(|column| column.name));
        } else if pictures.sparklines.take().is_some() {
            left_out.push("sparklines");
        } else if pictures.bars.take().is_some() {
            left_out.push("bars");
        }
    }
}

fn table(group: &Group, pictures: &Pictures, style: TableStyle) -> Table {
    let mut sheet = sheet(group);
    let Pictures { bars, sparklines } = pictures;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::results::{
        Results,
        tests::{session, trial},
    };

    fn results() -> Results {
        let mut session = session();
        session.unavailable.insert("glommio".to_owned(), "io_uring is disabled".to_owned());
        let trials = (0..3).flat_map(|block| {
            [
                trial("tokio", block, 0, 5_000_000),
                trial("smol", block, 1, 6_000_000),
                trial("tokio#aa", block, 2, 5_050_000),
            ]
        });
        Results { sessions: vec![session], trials: trials.collect(), ..Results::default() }
    }

    fn render_plain(results: &Results, format: Format) -> String {
        render(&Summary::new(results, 0.95), results, format, Slo::default())
    }

    #[test]
    fn a_terminal_table() {
        let text = render_plain(&results(), Format::Terminal);
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
        failed.error =
            Some(trial::Failure { step: trial::Step::Measure, message: "the server ended early".to_owned() });
        let trials = vec![failed, trial("smol", 0, 1, 6_000_000)];
        let results = Results { sessions: vec![session()], trials, ..Results::default() };
        let text = render_plain(&results, Format::Terminal);
        assert!(!text.contains("baseline"), "{text}");
    }

    #[test]
    fn a_markdown_table() {
        let text = render_plain(&results(), Format::Markdown);
        assert!(text.starts_with("### rtt-24"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("| smol") && line.ends_with('|')), "{text}");
    }

    #[test]
    fn json_figures_are_unique_by_their_first_six_keys() {
        let json: serde_json::Value = serde_json::from_str(&render_plain(&results(), Format::Json)).unwrap();
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
        let csv = render_plain(&results(), Format::Csv);
        assert!(csv.starts_with("scenario,role,server,client,placement,metric,unit,median,min,max,rounds"));
        let json: serde_json::Value = serde_json::from_str(&render_plain(&results(), Format::Json)).unwrap();
        assert_eq!(csv.lines().count(), json.as_array().unwrap().len() + 1);
    }

    #[test]
    fn trackers_get_their_own_json() {
        let bencher: serde_json::Value =
            serde_json::from_str(&render_plain(&results(), Format::Bencher)).unwrap();
        assert_eq!(bencher["rtt-24/smol/tokio"]["server_cpu_per_message"]["value"], 6_000.0);
        let github: serde_json::Value =
            serde_json::from_str(&render_plain(&results(), Format::Github)).unwrap();
        let names: Vec<&str> =
            github.as_array().unwrap().iter().filter_map(|entry| entry["name"].as_str()).collect();
        assert!(names.contains(&"rtt-24/smol/tokio server_cpu_per_message"), "{names:?}");
        assert!(names.iter().all(|name| !name.ends_with(" rate")));
    }

    #[test]
    fn a_narrow_terminal_gets_fewer_columns() {
        let results = results();
        let group = &Summary::new(&results, 0.95).groups[0];
        let fitted = |width| fitted(group, Pictures::of(group, &results), presets::NOTHING, width);
        let wide = fitted(None);
        let narrow = fitted(Some(80));
        assert!(wide.contains("client CPU") && !wide.contains("left out"), "{wide}");
        let (table, _) = narrow.split_once("\n\n").unwrap();
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        assert_eq!(fitted(Some(400)), wide);
    }
}
