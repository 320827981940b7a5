//! Latency against offered load: the points of a curve, its knee, and the highest rate that holds a latency objective.

use std::{collections::BTreeMap, fmt};

use bench_core::{
    mark::Mark,
    metric::{self, Metric, Unit, human},
    trial::placement::Placement,
};
use comfy_table::{CellAlignment, Table, TableStyle};

use crate::{
    analysis::summary::{Group, RowFigures},
    output::table::plain,
};

/// A latency objective: a percentile and what it has to stay under.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slo {
    /// The percentile.
    pub metric: Metric,
    /// The bound, in nanoseconds.
    pub limit_ns: f64,
}

impl Slo {
    /// Parses an objective such as `p99<1ms`.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn parse(text: &str) -> Result<Slo, String> {
        let form = || {
            format!(
                "`{text}` is no objective: p50, p95, p99, p99.9 or p99.99, then < and a time, as in p99<1ms"
            )
        };
        let (percentile, limit) = text.split_once('<').ok_or_else(form)?;
        let known = [metric::P50, metric::P95, metric::P99, metric::P99_9, metric::P99_99];
        let metric = known.into_iter().find(|metric| metric.label == percentile.trim()).ok_or_else(form)?;
        let limit = humantime::parse_duration(limit.trim()).map_err(|_| form())?;
        Ok(Slo { metric, limit_ns: limit.as_nanos() as f64 })
    }
}

impl Slo {
    /// The text that [`parse`](Slo::parse) reads as this.
    pub fn text(self) -> String {
        format!("{}<{}ns", self.metric.label, self.limit_ns)
    }
}

impl Default for Slo {
    /// p99 under 1 ms: far above a round trip, and felt by nobody.
    fn default() -> Slo {
        Slo { metric: metric::P99, limit_ns: 1e6 }
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} < {}", self.metric.label, human(self.limit_ns, Unit::Nanoseconds))
    }
}

/// One row at one offered rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point<'a> {
    pub(crate) rate_per_s: u64,
    pub(crate) row: &'a RowFigures,
}

impl Point<'_> {
    pub(crate) fn median(&self, metric: Metric) -> Option<f64> {
        self.row.figures.get(metric.name).map(|figure| figure.median)
    }

    /// Whether most of its rounds carry a mark.
    pub(crate) fn has(&self, mark: Mark) -> bool {
        // In most of the rounds: one disturbed round is no property of the point.
        let rounds = self.row.figures.get(metric::RATE.name).map_or(0, |figure| figure.rounds);
        self.row.marks.get(&mark).is_some_and(|marked| 2 * marked > rounds)
    }

    /// What ended the row's way up, where this is the first point that does not hold.
    fn limit(&self) -> Limit {
        let busy = self.median(metric::SERVER_IDLE_CPU);
        if self.has(Mark::GeneratorLate) {
            Limit::Generator
        } else if self.has(Mark::ServerSaturated) && busy.is_some_and(|busy| busy < BUSY) {
            Limit::Client
        } else {
            Limit::Server
        }
    }
}

/// CPU time of a server, in percent of one core, below which it cannot be what limits a saturated point: its core has time
/// to spare, so the echoes wait for the client to read them.
const BUSY: f64 = 90.0;

/// What keeps a row from holding at a higher rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Its own latency or rate.
    Server,
    /// The client could not do more; the server could.
    Client,
    /// The client sent late.
    Generator,
}

/// How far a row goes under an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Highest {
    /// Not even the lowest rate holds.
    None,
    /// The highest rate that holds, and the first one that does not, where one was measured.
    Rate { holds: u64, fails: Option<(u64, Limit)> },
}

/// One curve: its points by row, from the lowest offered rate to the highest.
#[derive(Debug)]
pub(crate) struct Curve<'a> {
    pub(crate) name: &'a str,
    pub(crate) placement: Placement,
    pub(crate) groups: Vec<&'a Group>,
    pub(crate) rows: BTreeMap<&'a str, Vec<Point<'a>>>,
}

/// The curves among some groups.
pub(crate) fn curves(groups: &[Group]) -> Vec<Curve<'_>> {
    let mut curves: BTreeMap<(&str, Placement), Vec<&Group>> = BTreeMap::new();
    for group in groups {
        if let Some(curve) = &group.scenario.curve {
            curves.entry((curve, group.placement)).or_default().push(group);
        }
    }
    curves.into_iter().map(|((name, placement), groups)| Curve::new(name, placement, groups)).collect()
}

impl<'a> Curve<'a> {
    fn new(name: &'a str, placement: Placement, mut groups: Vec<&'a Group>) -> Curve<'a> {
        groups.sort_by_key(|group| rate(group));
        let rows = points_of_rows(&groups);
        Curve { name, placement, groups, rows }
    }
}

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

/// The points of each compared row among groups that go from the lowest rate to the highest.
pub(crate) fn points_of_rows<'a>(groups: &[&'a Group]) -> BTreeMap<&'a str, Vec<Point<'a>>> {
    let mut rows: BTreeMap<&str, Vec<Point<'_>>> = BTreeMap::new();
    for group in groups {
        for row in &group.rows {
            let name = group.compared(row);
            rows.entry(name).or_default().push(Point { rate_per_s: rate(group), row });
        }
    }
    rows
}

pub(crate) fn rate(group: &Group) -> u64 {
    group.scenario.load.rate_per_s.unwrap_or(0)
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

/// The highest rate that holds. `points` go from the lowest rate to the highest.
pub(crate) fn highest(points: &[Point<'_>], slo: Slo) -> Highest {
    let held = held(points, slo);
    let Some(last) = held.checked_sub(1) else { return Highest::None };
    let fails = points.get(held).map(|point| (point.rate_per_s, point.limit()));
    Highest::Rate { holds: points[last].rate_per_s, fails }
}

/// How many points lie below the rate from which on an objective does not hold.
///
/// Below that rate all should hold and from it on none, but a hiccup of the machine makes a low rate fail: it is where the
/// fewest points contradict it, the lowest of such rates. A late generator says nothing of the server.
pub(crate) fn held(points: &[Point<'_>], slo: Slo) -> usize {
    let holds = |point: &Point<'_>| {
        let is_low = point.median(slo.metric).is_some_and(|value| value < slo.limit_ns);
        match (point.has(Mark::ServerSaturated), point.has(Mark::GeneratorLate)) {
            (true, _) => Some(false),
            (false, true) => None,
            (false, false) => Some(is_low),
        }
    };
    let holds: Vec<Option<bool>> = points.iter().map(holds).collect();
    let contradictions = |split: &usize| {
        let (below, above) = holds.split_at(*split);
        let count =
            |points: &[Option<bool>], what| points.iter().filter(|holds| **holds == Some(what)).count();
        count(below, false) + count(above, true)
    };
    // The first of equals.
    (0..=holds.len()).min_by_key(contradictions).unwrap_or(0)
}

/// Where latency begins to rise steeply: the point farthest below the line from the first to the last one, with p99 on a
/// log scale (Satopää et al., "Finding a 'Kneedle' in a Haystack", 2011). `None` with fewer than three points.
pub(crate) fn knee(points: &[Point<'_>]) -> Option<u64> {
    let measured: Vec<(u64, f64)> =
        points.iter().filter_map(|point| Some((point.rate_per_s, point.median(metric::P99)?.ln()))).collect();
    let ((first_x, first_y), (last_x, last_y)) = (*measured.first()?, *measured.last()?);
    if measured.len() < 3 || last_y <= first_y {
        return None;
    }
    let below = |(x, y): (u64, f64)| {
        (x - first_x) as f64 / (last_x - first_x) as f64 - (y - first_y) / (last_y - first_y)
    };
    let knee = measured.into_iter().max_by(|left, right| below(*left).total_cmp(&below(*right)))?;
    Some(knee.0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::analysis::summary::Figure;

    pub(crate) fn row(p99_ms: f64, marks: &[Mark]) -> RowFigures {
        let figures = [(metric::P99, p99_ms * 1e6), (metric::RATE, 1.0)];
        RowFigures {
            server: "tokio".to_owned(),
            client: "tokio".to_owned(),
            status: None,
            workers: 1,
            marks: marks.iter().map(|mark| (*mark, 1)).collect(),
            failed: 0,
            judged: None,
            figures: figures.map(|(metric, value)| (metric.name, Figure::new(&[value], &[], 0.95))).into(),
        }
    }

    #[test]
    fn a_sign_is_explained_where_it_stands() {
        let rate = |fails| Highest::Rate { holds: 1_000, fails };
        assert_eq!(signs(&[Highest::None, rate(Some((2_000, Limit::Server)))]), "");
        let late = signs(&[rate(Some((2_000, Limit::Generator)))]);
        assert!(
            late.starts_with(" ≥: ") && late.contains("(generator)") && !late.contains("(client)"),
            "{late}"
        );
        assert_eq!(signs(&[rate(None)]), " ≥: no measured rate failed because of the row.");
    }

    #[test]
    fn one_hiccup_at_a_low_rate_does_not_decide_a_curve() {
        let held = |p99_ms: &[f64], marks: &[&[Mark]]| {
            let rows: Vec<RowFigures> =
                p99_ms.iter().zip(marks).map(|(p99, marks)| row(*p99, marks)).collect();
            let points: Vec<Point<'_>> =
                (1..).zip(&rows).map(|(rate_per_s, row)| Point { rate_per_s, row }).collect();
            super::held(&points, Slo::default())
        };
        let none: &[Mark] = &[];
        assert_eq!(held(&[0.1, 0.2, 3.0, 4.0], &[none; 4]), 2);
        assert_eq!(held(&[1.2, 0.2, 0.2, 3.0], &[none; 4]), 3);
        // As many say the one as the other.
        assert_eq!(held(&[1.2, 0.2, 3.0, 4.0], &[none; 4]), 0);
        let late: &[Mark] = &[Mark::GeneratorLate];
        assert_eq!(held(&[0.1, 0.2, 0.2, 0.3], &[none, none, late, late]), 2);
        assert_eq!(held(&[0.1, 5.0, 0.2, 3.0], &[none, late, none, none]), 3);
    }

    #[test]
    fn objectives() {
        assert_eq!(Slo::parse("p99<1ms").unwrap(), Slo::default());
        assert_eq!(Slo::parse("p99.9 < 250us").unwrap().metric, metric::P99_9);
        assert_eq!(Slo::parse(&Slo::default().text()).unwrap(), Slo::default());
        for wrong in ["p99", "p98<1ms", "p99<1", "p99>1ms"] {
            assert!(Slo::parse(wrong).unwrap_err().contains("as in p99<1ms"), "{wrong}");
        }
    }

    #[test]
    fn the_highest_rate_is_the_last_before_the_first_that_fails() {
        let rows = [row(0.1, &[]), row(0.2, &[]), row(3.0, &[]), row(0.5, &[])];
        let points: Vec<Point<'_>> =
            rows.iter().zip([1, 2, 3, 4]).map(|(row, rate_per_s)| Point { rate_per_s, row }).collect();
        assert_eq!(
            highest(&points, Slo::default()),
            Highest::Rate { holds: 2, fails: Some((3, Limit::Server)) }
        );
        assert_eq!(highest(&points[..2], Slo::default()), Highest::Rate { holds: 2, fails: None });
        assert_eq!(highest(&points[2..], Slo::default()), Highest::None);
        let mut idle = row(9.0, &[Mark::ServerSaturated]);
        idle.figures.insert(metric::SERVER_IDLE_CPU.name, Figure::new(&[60.0], &[], 0.95));
        let points = [Point { rate_per_s: 1, row: &rows[0] }, Point { rate_per_s: 2, row: &idle }];
        assert_eq!(shown(highest(&points, Slo::default())), "≥ 1.00 /s (client)");
        let saturated = row(0.1, &[Mark::ServerSaturated]);
        assert_eq!(highest(&[Point { rate_per_s: 1, row: &saturated }], Slo::default()), Highest::None);
    }

    #[test]
    fn the_knee_is_where_the_curve_bends() {
        let rows =
            [row(0.10, &[]), row(0.11, &[]), row(0.12, &[]), row(0.14, &[]), row(5.0, &[]), row(50.0, &[])];
        let points: Vec<Point<'_>> = rows
            .iter()
            .zip([10, 20, 30, 40, 50, 60])
            .map(|(row, rate_per_s)| Point { rate_per_s, row })
            .collect();
        assert_eq!(knee(&points), Some(40));
        assert_eq!(knee(&points[..2]), None);
    }
}
