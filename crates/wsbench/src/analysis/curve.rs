//! Latency against offered load: the points of a curve, its knee, and the highest rate that holds a latency objective.

use std::collections::BTreeMap;

use trial::{
    mark::Mark,
    metric::{self, Metric},
    placement::Placement,
};

use super::{
    group::{Group, RowFigures},
    objective::Slo,
};

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
        let busy = self.median(metric::SERVER_CPU_SHARE);
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
    pub(crate) name: String,
    pub(crate) placement: Placement,
    pub(crate) groups: Vec<&'a Group>,
    pub(crate) rows: BTreeMap<&'a str, Vec<Point<'a>>>,
}

/// The curves among some groups.
pub(crate) fn curves(groups: &[Group]) -> Vec<Curve<'_>> {
    let mut curves: BTreeMap<(String, Placement), Vec<&Group>> = BTreeMap::new();
    for group in groups {
        if let Some(curve) = group.curve_name() {
            curves.entry((curve, group.placement)).or_default().push(group);
        }
    }
    curves.into_iter().map(|((name, placement), groups)| Curve::new(name, placement, groups)).collect()
}

impl<'a> Curve<'a> {
    fn new(name: String, placement: Placement, mut groups: Vec<&'a Group>) -> Curve<'a> {
        groups.sort_by_key(|group| rate(group));
        let rows = points_of_rows(&groups);
        Curve { name, placement, groups, rows }
    }
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
    group.scenario.load.rate_per_s().unwrap_or(0)
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
    use crate::analysis::group::Figure;

    pub(crate) fn row(p99_ms: f64, marks: &[Mark]) -> RowFigures {
        let figures = [(metric::P99, p99_ms * 1e6), (metric::RATE, 1.0)];
        RowFigures {
            server: "tokio".to_owned(),
            client: "tokio".to_owned(),
            status: None,
            workers: 1,
            marks: marks.iter().map(|mark| (*mark, 1)).collect(),
            failed: 0,
            judged: BTreeMap::new(),
            figures: figures.map(|(metric, value)| (metric.name, Figure::new(&[value], &[], 0.95))).into(),
        }
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
        idle.figures.insert(metric::SERVER_CPU_SHARE.name, Figure::new(&[60.0], &[], 0.95));
        let points = [Point { rate_per_s: 1, row: &rows[0] }, Point { rate_per_s: 2, row: &idle }];
        let at_the_client = Highest::Rate { holds: 1, fails: Some((2, Limit::Client)) };
        assert_eq!(highest(&points, Slo::default()), at_the_client);
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
