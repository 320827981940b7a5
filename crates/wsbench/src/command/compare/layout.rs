//! How a comparison is written: for a terminal, for a pull request, and for programs.

use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, TableStyle, presets};
use schemars::JsonSchema;
use serde::Serialize;
use trial::metric::Metric;
use units::human;

use super::judgement::{Change, Entry, Finding, Size, Trials, Verdict};
use crate::output::text::{count, list, percent, plain};

/// How a comparison is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Layout {
    /// For a person, aligned
    #[default]
    Terminal,
    /// A Markdown table
    Markdown,
    /// Markdown for a comment on a pull request: what is the same is folded away
    Github,
    /// One object with an entry for each row, scenario and metric
    Json,
}

/// Everything that a comparison says.
pub(super) struct Report<'a> {
    pub(super) entries: &'a [Entry],
    pub(super) notes: &'a [String],
    pub(super) control: &'a str,
    pub(super) confidence: f64,
    pub(super) is_allowed: &'a dyn Fn(&Entry) -> bool,
}

impl Entry {
    /// Scenario, row and metric in words.
    pub(super) fn name(&self) -> String {
        let row = self.row.as_ref().map_or(String::new(), |row| format!(", {row}"));
        format!("{}{row}: {}", self.scenario, self.metric.label)
    }

    fn verdict(&self) -> Option<Verdict> {
        match self.finding {
            Finding::Judged(Change { verdict, .. }) => Some(verdict),
            Finding::NotJudged(_) => None,
        }
    }
}

/// A change in words: of a ratio in percent, of values that are 0 as they are.
pub(super) fn size(size: Size, metric: Metric) -> String {
    match size {
        Size::Ratio { change, .. } => format!("{} %", percent(1.0 + change)),
        Size::Values { base, new } => format!("{} → {}", human(base, metric.unit), human(new, metric.unit)),
    }
}

impl Report<'_> {
    pub(super) fn render(&self, layout: Layout) -> String {
        match layout {
            Layout::Terminal => {
                let all: Vec<&Entry> = self.entries.iter().collect();
                format!("{}\n\n{}\n\n{}\n", self.claim(), self.table(&all, presets::NOTHING), self.summary())
            }
            Layout::Markdown => inert(&format!("{}\n", self.markdown())),
            Layout::Github => self.github(),
            Layout::Json => self.json(),
        }
    }

    fn markdown(&self) -> String {
        let all: Vec<&Entry> = self.entries.iter().collect();
        let notes: String = self.notes.iter().map(|note| format!("\n\n> {}", plain(note))).collect();
        let table = self.table(&all, presets::ASCII_MARKDOWN);
        format!("**{}**{notes}\n\n{table}\n\n{}", self.summary(), self.claim())
    }

    /// What asks for a reader's eyes, and the rest folded away.
    fn github(&self) -> String {
        let (same, rest): (Vec<&Entry>, Vec<&Entry>) =
            self.entries.iter().partition(|entry| entry.verdict() == Some(Verdict::Same));
        let mut parts = vec![format!("### wsbench: {}", self.summary())];
        parts.extend(self.notes.iter().map(|note| format!("> {}", plain(note))));
        if !rest.is_empty() {
            parts.push(self.table(&rest, presets::ASCII_MARKDOWN));
        }
        let mut text = inert(&parts.join("\n\n"));
        if !same.is_empty() {
            let table = inert(&self.table(&same, presets::ASCII_MARKDOWN));
            let title = count(same.len(), "comparison") + " without a change";
            text += &format!("\n\n<details><summary>{title}</summary>\n\n{table}\n\n</details>");
        }
        format!("{text}\n\n<sub>{}</sub>\n", inert(&self.claim()))
    }

    /// What the figures are.
    fn claim(&self) -> String {
        let comparisons = count(self.entries.len(), "comparison");
        let mut claim = format!(
            "Change of each row against {}, {} % confidence, corrected for {comparisons}.",
            plain(self.control),
            self.confidence * 100.0,
        );
        if self.entries.iter().any(|entry| entry.metric.is_relative()) {
            claim += " CPU relative to client: divided by the CPU time of the other end of the same trial, which is the same \
                      row in both runs.";
        }
        claim
    }

    /// How many comparisons came to what.
    fn summary(&self) -> String {
        let number = |verdict| self.entries.iter().filter(|entry| entry.verdict() == verdict).count();
        let words = [
            (Some(Verdict::Regression), "regression"),
            (Some(Verdict::Worse), "worse"),
            (Some(Verdict::Better), "better"),
            (None, "not judged"),
            (Some(Verdict::Same), "same"),
        ];
        let parts: Vec<String> = words
            .into_iter()
            .filter_map(|(verdict, word)| match number(verdict) {
                0 => None,
                1 => Some(format!("1 {word}")),
                more if verdict == Some(Verdict::Regression) => Some(format!("{more} regressions")),
                more => Some(format!("{more} {word}")),
            })
            .collect();
        list(&parts)
    }

    fn table(&self, entries: &[&Entry], style: TableStyle) -> String {
        let is_markdown = style == presets::ASCII_MARKDOWN;
        let remarks: Vec<String> = entries.iter().map(|entry| self.remarks(entry)).collect();
        let has_remarks = remarks.iter().any(|remark| !remark.is_empty());
        let mut table = Table::new();
        table.load_style(style);
        let header = ["scenario", "row", "metric", "verdict", "change", "interval", "blocks", "remarks"];
        let columns = if has_remarks { header.len() } else { header.len() - 1 };
        table.set_header(&header[..columns]);
        for (entry, remark) in entries.iter().zip(&remarks) {
            let (verdict, change, interval) = match &entry.finding {
                Finding::Judged(change) => {
                    (change.verdict.word(), size(change.size, entry.metric), interval(change.size))
                }
                Finding::NotJudged(_) => ("not judged", "–".to_owned(), "–".to_owned()),
            };
            let (base, new) = entry.trials;
            let blocks = format!("{} and {}", base.compared, new.compared);
            let calls_for_eyes = is_markdown && entry.verdict() != Some(Verdict::Same);
            let cells = [
                plain(&entry.scenario),
                plain(entry.row.as_deref().unwrap_or("all")),
                entry.metric.label.to_owned(),
                if calls_for_eyes { format!("**{verdict}**") } else { verdict.to_owned() },
                unbroken(&change, is_markdown),
                unbroken(&interval, is_markdown),
                unbroken(&blocks, is_markdown),
                plain(remark),
            ];
            table.add_row(&cells[..columns]);
        }
        for place in [4, 5, 6] {
            if let Some(column) = table.column_mut(place) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.trim_fmt()
    }

    /// Why something was not judged, and trials that do not count.
    fn remarks(&self, entry: &Entry) -> String {
        let mut remarks = Vec::new();
        if let Finding::NotJudged(reason) = &entry.finding {
            let allowed = if (self.is_allowed)(entry) { " (allowed)" } else { "" };
            remarks.push(format!("{}{allowed}", reason.text()));
        } else {
            for (Trials { failed, marked, .. }, side) in [(entry.trials.0, "BASE"), (entry.trials.1, "NEW")] {
                let parts = [(failed, "failed"), (marked, "marked")];
                let parts = parts.into_iter().filter(|(number, _)| *number > 0);
                remarks.extend(parts.map(|(number, word)| format!("{number} {word} in {side}")));
            }
        }
        remarks.join(", ")
    }

    fn json(&self) -> String {
        let entries = self.entries.iter().map(|entry| self.flat(entry)).collect();
        let all = Flat { control: self.control, confidence: self.confidence, notes: self.notes, entries };
        serde_json::to_string_pretty(&all).expect("names and finite numbers are JSON") + "\n"
    }

    fn flat<'a>(&self, entry: &'a Entry) -> FlatEntry<'a> {
        let (verdict, change, interval, values, reason) = match &entry.finding {
            Finding::NotJudged(reason) => ("not judged", None, None, None, Some(reason.text())),
            Finding::Judged(Change { verdict, size }) => match *size {
                Size::Ratio { change, interval } => (verdict.word(), Some(change), interval, None, None),
                Size::Values { base, new } => (verdict.word(), None, None, Some((base, new)), None),
            },
        };
        let (base, new) = entry.trials;
        FlatEntry {
            scenario: &entry.scenario,
            row: entry.row.as_deref(),
            metric: entry.metric.name,
            verdict,
            change,
            change_low: interval.map(|(low, _)| low),
            change_high: interval.map(|(_, high)| high),
            base_value: values.map(|(base, _)| base),
            new_value: values.map(|(_, new)| new),
            base_blocks: base.compared,
            new_blocks: new.compared,
            base_failed: base.failed,
            new_failed: new.failed,
            base_marked: base.marked,
            new_marked: new.marked,
            reason,
            allowed: (self.is_allowed)(entry),
        }
    }
}

/// A comparison as JSON gives it.
#[derive(Serialize, JsonSchema)]
struct Flat<'a> {
    /// The row that has not changed.
    control: &'a str,
    /// Confidence of intervals and verdicts.
    confidence: f64,
    /// What has to be known of all entries.
    notes: &'a [String],
    entries: Vec<FlatEntry<'a>>,
}

/// What is said of one row in one scenario by one metric.
#[derive(Serialize, JsonSchema)]
struct FlatEntry<'a> {
    scenario: &'a str,
    /// Absent where it is said of all rows of the scenario.
    row: Option<&'a str>,
    metric: &'static str,
    /// `same`, `better`, `worse`, `regression` or `not judged`.
    verdict: &'static str,
    /// Change of the ratio to the control row, as a share: 0.1 is +10 %.
    change: Option<f64>,
    change_low: Option<f64>,
    change_high: Option<f64>,
    /// Median of the values, where some of them are 0 and have no ratio.
    base_value: Option<f64>,
    new_value: Option<f64>,
    /// Blocks that hold both the row and the control row.
    base_blocks: usize,
    new_blocks: usize,
    base_failed: usize,
    new_failed: usize,
    base_marked: usize,
    new_marked: usize,
    /// Why it was not judged.
    reason: Option<String>,
    /// Whether it was allowed not to be judged.
    allowed: bool,
}

/// The JSON Schema of `compare --format json`.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Flat<'static>)
}

fn interval(size: Size) -> String {
    match size {
        Size::Ratio { interval: Some((low, high)), .. } => {
            format!("{} … {} %", percent(1.0 + low), percent(1.0 + high))
        }
        _ => "–".to_owned(),
    }
}

/// Figures that a browser does not break into two lines.
fn unbroken(figures: &str, is_markdown: bool) -> String {
    if is_markdown { figures.replace(' ', "\u{a0}") } else { figures.to_owned() }
}

/// Markdown in which names cannot be markup or links.
fn inert(text: &str) -> String {
    text.replace('<', "&lt;").replace("](", "]\\(")
}
