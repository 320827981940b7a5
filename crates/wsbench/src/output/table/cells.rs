//! The cells of a group's table, as text: the same for a terminal, in Markdown and on the report's page.

use trial::metric::{Metric, MetricKind};
use units::human;

use crate::{
    analysis::{
        group::{Figure, Group, Ratio, RowFigures},
        verdict::Verdict,
    },
    output::text::{clean, percent},
};

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
    let rank = |row: &RowFigures| row.judged_by(ranking).and_then(|judged| judged.rank);
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
                let without = if group.compared(row) == group.baseline { "baseline" } else { "–" };
                let against =
                    figure.ratio.map_or_else(|| without.to_owned(), |ratio| against(group, row, ratio));
                cells.extend([human(figure.median, ranking.unit), range(figure, ranking), against]);
            }
        }
        cells.extend(columns.iter().map(|column| further(row, *column)));
        cells
    };
    Sheet { names: usize::from(is_ranked), header, rows: group.rows.iter().map(cells).collect() }
}

/// `8.14 µs +3.1 % slower`: the median and, where the metric is judged, the verdict with how far the row is from the
/// baseline where it is not a tie.
fn further(row: &RowFigures, column: Metric) -> String {
    let Some(figure) = row.figures.get(column.name) else { return "–".to_owned() };
    let mark = if row.is_spoilt(column) { " !" } else { "" };
    let judged = row.judged_by(column);
    let word = judged.and_then(|judged| VerdictWord::of(column, judged.verdict));
    let ratio = judged.and_then(|judged| judged.ratio).map_or(String::new(), percent);
    let verdict = match word {
        None => String::new(),
        Some(VerdictWord::Tie) => " tie".to_owned(),
        Some(word) => format!(" {ratio} % {}", word.text()),
    };
    format!("{}{mark}{verdict}", human(figure.median, column.unit))
}

/// `+25.0 % [+22.1 … +28.3] slower`: the median of the ratios, their interval at the corrected level and the verdict.
fn against(group: &Group, row: &RowFigures, ratio: Ratio) -> String {
    let Some(judged) = row.judged_by(group.ranking) else { return percentages(ratio) };
    let Some((low, high)) = judged.interval else { return percentages(ratio) };
    let median = judged.ratio.unwrap_or(ratio.median);
    let figures = format!("{} % [{} … {}]", percent(median), percent(low), percent(high));
    match VerdictWord::of(group.ranking, judged.verdict) {
        Some(word) => format!("{figures} {}", word.text()),
        None => figures,
    }
}

/// What a verdict is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum VerdictWord {
    Slower,
    More,
    Tie,
    Less,
    Faster,
}

impl VerdictWord {
    /// What a verdict is called for a metric; `None` where there is none.
    pub(crate) fn of(metric: Metric, verdict: Verdict) -> Option<VerdictWord> {
        // Memory is not fast, and neither is a share of the work that was done.
        let is_size = metric.unit == units::Unit::Bytes || metric.kind == MetricKind::Completeness;
        let (greater, less) = match (is_size, metric.higher_is_better) {
            (true, _) => (VerdictWord::More, VerdictWord::Less),
            (false, true) => (VerdictWord::Faster, VerdictWord::Slower),
            (false, false) => (VerdictWord::Slower, VerdictWord::Faster),
        };
        match verdict {
            Verdict::Tie => Some(VerdictWord::Tie),
            Verdict::Greater => Some(greater),
            Verdict::Less => Some(less),
            Verdict::Baseline | Verdict::TooFew { .. } => None,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            VerdictWord::Slower => "slower",
            VerdictWord::More => "more",
            VerdictWord::Tie => "tie",
            VerdictWord::Less => "less",
            VerdictWord::Faster => "faster",
        }
    }
}

/// A row's name with what has to be known of it: workers, status, marks, failed trials.
fn name(group: &Group, row: &RowFigures) -> String {
    let compared = group.compared(row);
    let status = row.status.as_ref().map_or(String::new(), |status| format!(" ({status})"));
    let workers = if row.workers > 1 { format!(" ×{}", row.workers) } else { String::new() };
    let letters: String = row.marks.keys().map(|mark| mark.letter()).collect();
    let marked = if letters.is_empty() { String::new() } else { format!(" !{letters}") };
    let failed = if row.failed > 0 { format!(" [{} failed]", row.failed) } else { String::new() };
    clean(&format!("{compared}{workers}{status}{marked}{failed}"))
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

#[cfg(test)]
mod tests {
    use trial::metric;

    use super::*;

    #[test]
    fn only_what_takes_time_is_fast_or_slow() {
        let word = |metric, verdict| VerdictWord::of(metric, verdict).map(VerdictWord::text);
        assert_eq!(word(metric::SERVER_CPU, Verdict::Greater), Some("slower"));
        assert_eq!(word(metric::RATE, Verdict::Greater), Some("faster"));
        assert_eq!(word(metric::SERVER_RSS, Verdict::Greater), Some("more"));
        assert_eq!(word(metric::JAIN, Verdict::Less), Some("less"));
    }
}
