//! The table of rows × scenarios.

use serde_json::{Value, json};
use trial::metric::{self, Metric};
use units::human;

use crate::{
    analysis::{group::RowFigures, verdict::Verdict},
    output::{
        charts::card::Card,
        table::cells::VerdictWord,
        text::{clean, count, percent},
    },
};

/// The table.
pub(crate) struct Grid {
    pub(crate) columns: Vec<Column>,
    pub(crate) lines: Vec<Line>,
}

/// A scenario.
pub(crate) struct Column {
    pub(crate) scenario: String,
    pub(crate) metric: &'static str,
}

/// A row.
pub(crate) struct Line {
    pub(crate) row: String,
    pub(crate) key: usize,
    pub(crate) status: Option<String>,
    /// One for each column; absent where the row was not measured.
    pub(crate) cells: Vec<Option<Cell>>,
}

/// A figure of the ranking metric.
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) rank: String,
    /// `best`, `tie` or nothing.
    pub(crate) class: &'static str,
    /// Interval, rounds and marks.
    pub(crate) title: String,
    /// What it sorts by.
    pub(crate) value: String,
}

/// The table of all groups whose rows have one line each; `rows` are the names in the page's order.
pub(crate) fn grid(cards: &[Card<'_>], rows: &[String]) -> Grid {
    let cards: Vec<&Card<'_>> = cards.iter().filter(|card| !card.group.is_matrix()).collect();
    let column =
        |card: &&Card<'_>| Column { scenario: clean(&card.group.name()), metric: card.group.ranking.label };
    let line = |(key, name): (usize, &String)| {
        let own = |card: &&Card<'_>| {
            let row = card.group.rows.iter().find(|row| card.group.compared(row) == name)?;
            Some(cell(card, row))
        };
        let all = cards.iter().flat_map(|card| card.group.rows.iter().map(|row| (card.group, row)));
        let mut own_rows = all.filter(|(group, row)| group.compared(row) == name);
        let status = own_rows.find_map(|(_, row)| row.status.as_ref().map(|status| clean(status)));
        let cells: Vec<Option<Cell>> = cards.iter().map(own).collect();
        let some = cells.iter().any(Option::is_some);
        some.then(|| Line { row: clean(name), key, status, cells })
    };
    Grid {
        columns: cards.iter().map(column).collect(),
        lines: rows.iter().enumerate().filter_map(line).collect(),
    }
}

fn cell(card: &Card<'_>, row: &RowFigures) -> Cell {
    let (group, metric) = (card.group, card.group.ranking);
    let Some(figure) = row.figures.get(metric.name) else {
        let text = if row.failed > 0 { "failed" } else { "–" };
        return Cell {
            text: text.to_owned(),
            rank: String::new(),
            class: "",
            title: count(row.failed, "failed trial"),
            value: String::new(),
        };
    };
    let rank_of = |row: &RowFigures| row.judged_by(metric).and_then(|judged| judged.rank);
    let rank = rank_of(row);
    let is_shared = rank.is_some() && group.rows.iter().filter(|other| rank_of(other) == rank).count() > 1;
    let class = match rank {
        Some(1) if is_shared => "best tie",
        Some(1) => "best",
        _ if is_shared => "tie",
        _ => "",
    };
    let spoilt = if row.is_spoilt(metric) { " !" } else { "" };
    Cell {
        text: format!("{}{spoilt}", human(figure.median, metric.unit)),
        rank: rank.map_or(String::new(), |rank| format!("{}{rank}", if is_shared { "=" } else { "" })),
        class,
        title: title(card, row),
        value: format!("{}", figure.median),
    }
}

/// Everything that is known of a row's ranking figure, in words.
fn title(card: &Card<'_>, row: &RowFigures) -> String {
    let (group, metric) = (card.group, card.group.ranking);
    let Some(figure) = row.figures.get(metric.name) else { return String::new() };
    let mut parts = vec![format!(
        "{}, {}: {} {} ({} to {} in {})",
        clean(group.compared(row)),
        clean(&group.name()),
        metric.label,
        human(figure.median, metric.unit),
        human(figure.min, metric.unit),
        human(figure.max, metric.unit),
        count(figure.rounds, "round")
    )];
    if let Some(judged) = row.judged_by(metric) {
        if let (Some(ratio), Some((low, high))) = (judged.ratio, judged.interval) {
            parts.push(format!(
                "{} % [{} … {}] against {}",
                percent(ratio),
                percent(low),
                percent(high),
                clean(&group.baseline)
            ));
        }
        parts.push(match judged.verdict {
            Verdict::Baseline => "the baseline".to_owned(),
            Verdict::TooFew { blocks, needed } => {
                format!("no verdict: {} count, {needed} are needed", count(blocks, "round"))
            }
            verdict => VerdictWord::of(metric, verdict).map_or("", VerdictWord::text).to_owned(),
        });
        parts.extend(judged.rank.map(|rank| format!("rank {rank}")));
    }
    parts.extend(
        row.marks.iter().map(|(mark, trials)| format!("{} in {}", mark.name(), count(*trials, "trial"))),
    );
    if row.failed > 0 {
        parts.push(count(row.failed, "failed trial"));
    }
    parts.join(" · ")
}

/// What the page's script needs to show other metrics, and ratios to another row: the values of every block.
pub(crate) fn data(cards: &[Card<'_>], rows: &[String]) -> Value {
    let columns: Vec<Value> = cards
        .iter()
        .filter(|card| !card.group.is_matrix())
        .map(|card| {
            let group = card.group;
            let metrics = std::iter::once(group.ranking).chain(group.columns.iter().copied());
            let extra = [metric::SERVER_RSS_PEAK, metric::P99, metric::RATE];
            let mut values = serde_json::Map::new();
            for metric in metrics.chain(extra) {
                let of_rows: serde_json::Map<String, Value> = rows
                    .iter()
                    .enumerate()
                    .filter_map(|(key, name)| {
                        let row = group.rows.iter().find(|row| group.compared(row) == name)?;
                        Some((key.to_string(), series(card, row, metric)?))
                    })
                    .collect();
                if !of_rows.is_empty() {
                    values.insert(metric.name.to_owned(), of_rows.into());
                }
            }
            json!({ "card": card.id, "ranking": group.ranking.name, "values": values })
        })
        .collect();
    let metrics: serde_json::Map<String, Value> = metric::ALL
        .iter()
        .map(|metric| {
            (metric.name.to_owned(), json!([metric.label, metric.unit.name(), metric.higher_is_better]))
        })
        .collect();
    json!({ "columns": columns, "metrics": metrics })
}

/// A row's values, block by block; of a figure that no trial has by itself, its median.
fn series(card: &Card<'_>, row: &RowFigures, metric: Metric) -> Option<Value> {
    let figure = row.figures.get(metric.name)?;
    let values = card.values(row, metric);
    if values.is_empty() {
        return Some(json!([number(figure.median)]));
    }
    Some(values.into_iter().map(|value| value.map_or(Value::Null, number)).collect())
}

/// Six digits: twice what is shown.
pub(crate) fn number(value: f64) -> Value {
    if value == 0.0 || !value.is_finite() {
        return json!(0);
    }
    let digits = 10_f64.powi(5 - value.abs().log10().floor() as i32);
    let rounded = (value * digits).round() / digits;
    if rounded.fract() == 0.0 && rounded.abs() < 1e15 { json!(rounded as i64) } else { json!(rounded) }
}
