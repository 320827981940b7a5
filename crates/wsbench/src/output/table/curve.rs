//! The table of a curve: how far each row goes, and its latency at each offered rate.

use comfy_table::{CellAlignment, Table, TableStyle};
use trial::mark::Mark;
use units::{Unit, human};

use crate::{
    analysis::{
        curve::{Curve, Highest, Limit, Point, curves, highest, knee, rate},
        group::Group,
        objective::Slo,
    },
    output::text::plain,
};

/// The tables of the curves among some groups.
pub(crate) fn tables(groups: &[Group], slo: Slo, style: TableStyle) -> Vec<String> {
    curves(groups).iter().map(|curve| table(curve, slo, style)).collect()
}

fn table(Curve { name, groups, rows, .. }: &Curve<'_>, slo: Slo, style: TableStyle) -> String {
    let mut lines: Vec<(Option<u64>, Vec<String>)> = rows
        .iter()
        .map(|(name, points)| {
            let highest = highest(points, slo);
            let mut cells =
                vec![plain(name), shown(highest), knee(points).map_or("–".to_owned(), per_second)];
            cells.extend(groups.iter().map(|group| {
                let point = points.iter().find(|point| point.rate_per_s == rate(group));
                point.map_or("–".to_owned(), |point| cell(point, slo))
            }));
            let holds = match highest {
                Highest::Rate { holds, .. } => Some(holds),
                Highest::None => None,
            };
            (holds, cells)
        })
        .collect();
    lines.sort_by_key(|(holds, _)| std::cmp::Reverse(*holds));

    let mut header = vec!["row".to_owned(), slo.to_string(), "knee".to_owned()];
    header.extend(groups.iter().map(|group| per_second(rate(group))));
    let mut table = Table::new();
    table.load_style(style).set_header(header);
    for (_, cells) in lines {
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!(
        "{}: highest offered rate with {slo}, the knee, and {} at each offered rate\n\n{}\n\n\
         s  the server kept up with less than 99 % of the rate; g  the generator sent late",
        plain(name),
        slo.metric.label,
        table.trim_fmt()
    )
}

fn cell(point: &Point<'_>, slo: Slo) -> String {
    let letters: String = [Mark::ServerSaturated, Mark::GeneratorLate]
        .into_iter()
        .filter(|mark| point.has(*mark))
        .map(Mark::letter)
        .collect();
    let value = point.median(slo.metric).map_or("–".to_owned(), |value| human(value, slo.metric.unit));
    format!("{value} {letters}").trim_end().to_owned()
}

fn per_second(rate: u64) -> String {
    human(rate as f64, Unit::PerSecond)
}

pub(crate) fn shown(highest: Highest) -> String {
    match highest {
        Highest::None => "none".to_owned(),
        Highest::Rate { holds, fails: None, .. } => format!("≥ {}", per_second(holds)),
        Highest::Rate { holds, fails: Some((_, limit)) } => match limit {
            Limit::Server => per_second(holds),
            Limit::Client => format!("≥ {} (client)", per_second(holds)),
            Limit::Generator => format!("≥ {} (generator)", per_second(holds)),
        },
    }
}

/// What the signs beside these rates stand for: nothing, or a sentence each.
pub(crate) fn signs(rates: &[Highest]) -> String {
    let ends: Vec<Option<Limit>> = rates
        .iter()
        .filter_map(|rate| match rate {
            Highest::None => None,
            Highest::Rate { fails, .. } => Some(fails.map(|(_, limit)| limit)),
        })
        .collect();
    let mut signs = String::new();
    if ends.iter().any(|end| *end != Some(Limit::Server)) {
        signs += " ≥: no measured rate failed because of the row.";
    }
    if ends.contains(&Some(Limit::Generator)) {
        signs += " (generator): at the next one the client sent late.";
    }
    if ends.contains(&Some(Limit::Client)) {
        signs += " (client): at the next one the client was the limit.";
    }
    signs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_explained_where_it_stands() {
        let rate = |fails| Highest::Rate { holds: 1_000, fails };
        assert_eq!(signs(&[Highest::None, rate(Some((2_000, Limit::Server)))]), "");
        let late = signs(&[rate(Some((2_000, Limit::Generator)))]);
        assert!(
            late.starts_with(" ≥: ") && late.contains("(generator)") && !late.contains("(client)"),
            "{late}"
        );
        let limited = Highest::Rate { holds: 1, fails: Some((2, Limit::Client)) };
        assert_eq!(shown(limited), "≥ 1.00 /s (client)");
        assert_eq!(signs(&[rate(None)]), " ≥: no measured rate failed because of the row.");
    }
}
