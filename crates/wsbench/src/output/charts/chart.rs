//! Charts as data: what is drawn, before anything draws it.

use units::Unit;

use super::axis::{Scale, Show};

/// One chart.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// Its name in the page and as a file.
    pub(crate) id: String,
    pub(crate) title: String,
    /// What it shows and under which condition.
    pub(crate) caption: String,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Lines(Lines),
    Rows(Rows),
    Heat(Heat),
}

/// A quantity along an axis.
#[derive(Clone, Debug)]
pub(crate) struct Quantity {
    pub(crate) label: String,
    pub(crate) show: Show,
    pub(crate) scale: Scale,
}

/// A line for each row.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    pub(crate) x: Quantity,
    pub(crate) y: Quantity,
    pub(crate) lines: Vec<Line>,
    /// Whether each point is a measurement of its own, which is shown.
    pub(crate) points: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) row: String,
    /// From the least x to the greatest.
    pub(crate) points: Vec<(f64, f64)>,
    /// A point that is worth a ring, such as the knee of a curve.
    pub(crate) ring: Option<(f64, f64)>,
}

/// A band for each row, from the top: dots, an interval, a median or bars.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) x: Quantity,
    pub(crate) bands: Vec<Band>,
    /// Where nothing would be told apart: drawn behind all rows.
    pub(crate) floor: Option<(f64, f64)>,
    /// A value that the rows are compared with.
    pub(crate) reference: Option<f64>,
    /// What parts of bars are, from the left.
    pub(crate) parts: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Band {
    pub(crate) row: String,
    /// Beside the axis; the row's name and what is to be known about it.
    pub(crate) label: String,
    pub(crate) dots: Vec<(f64, String)>,
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) median: Option<f64>,
    /// Lengths of the parts of a bar.
    pub(crate) bar: Vec<f64>,
    /// What the band says in words.
    pub(crate) text: String,
}

/// Servers down, clients across.
#[derive(Clone, Debug)]
pub(crate) struct Heat {
    pub(crate) servers: Vec<String>,
    pub(crate) clients: Vec<String>,
    /// By server and client; absent where the pair has no figure.
    pub(crate) cells: Vec<Vec<Option<f64>>>,
    pub(crate) show: Show,
    pub(crate) higher_is_better: bool,
}

/// A place in a drawing that says something to a pointer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spot {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) row: String,
    pub(crate) text: String,
}

/// A chart, drawn.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    pub(crate) svg: String,
    pub(crate) spots: Vec<Spot>,
}

impl Lines {
    /// All x, each once, from the least to the greatest.
    pub(crate) fn all_x(&self) -> Vec<f64> {
        let mut all: Vec<f64> =
            self.lines.iter().flat_map(|line| line.points.iter().map(|(x, _)| *x)).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        all
    }
}

/// A time, the quantity of most charts.
pub(crate) fn time(label: &str, scale: Scale) -> Quantity {
    Quantity { label: label.to_owned(), show: Show::Unit(Unit::Nanoseconds), scale }
}
