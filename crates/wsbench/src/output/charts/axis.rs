//! Axes as plotters takes them, and how their values are written.

use std::ops::Range;

use plotters::coord::{
    ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter},
    types::RangedCoordf64,
};
use units::{Unit, human, three_digits};

/// How an axis runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// Every factor is equally long.
    Log,
    /// A band for each of so many rows, labelled in its middle.
    Rows(usize),
}

/// How its values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// With a unit that suits them.
    Unit(Unit),
    /// 1 ÷ (1 − q), as the percentile q: 100 is p99.
    Percentile,
    /// A ratio, as the percentage over or under 1.
    Ratio,
    /// A bare number.
    Number,
}

impl Show {
    /// The value as text.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Show::Unit(unit) => human(value, unit),
            Show::Ratio => format!("{} %", crate::output::text::percent(value)),
            Show::Number if value >= 1e6 => format!("{} M", three_digits(value / 1e6)),
            Show::Number if value >= 1e4 => format!("{} k", three_digits(value / 1e3)),
            Show::Number => format!("{}", (value * 100.0).round() / 100.0),
            Show::Percentile => {
                let digits = (value.log10().ceil() as usize).saturating_sub(2);
                format!("p{:.*}", digits, 100.0 * (1.0 - 1.0 / value))
            }
        }
    }

    /// The same for an axis, where digits that say nothing are left out.
    pub(crate) fn short(self, value: f64) -> String {
        match self {
            Show::Ratio => {
                let percent = (value - 1.0) * 100.0;
                let digits = usize::from((percent - percent.round()).abs() > 1e-6);
                format!("{percent:+.digits$} %").replace('-', "−").replace("+0 %", "0 %")
            }
            Show::Percentile if value <= 1.0 => "0".to_owned(),
            Show::Percentile | Show::Number => self.text(value),
            Show::Unit(unit) => {
                let text = human(value, unit);
                match text.split_once(' ') {
                    Some((number, unit)) if number.contains('.') => {
                        format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
                    }
                    _ => text,
                }
            }
        }
    }

    /// Name in the data of a page.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Show::Unit(unit) => unit.name(),
            Show::Percentile => "percentile",
            Show::Ratio => "ratio",
            Show::Number => "number",
        }
    }
}

/// Where a linear axis begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At 0, so that lengths can be compared.
    Zero,
    /// Before the least value.
    Least,
}

/// One axis of a drawing.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    scale: Scale,
    range: Range<f64>,
    /// Marked at powers of two and multiples of them, as sizes in KiB and MiB are round.
    binary: bool,
}

impl Axis {
    /// An axis that shows all of `values`, with room at its ends.
    pub(crate) fn around(values: impl Iterator<Item = f64>, scale: Scale, show: Show, start: Start) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite() && (scale != Scale::Log || *value > 0.0)) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (1.0, 2.0);
        }
        let range = match scale {
            Scale::Log if low == high => low / 2.0..high * 2.0,
            Scale::Log => {
                let room = (high / low).powf(0.05);
                low / room..high * room
            }
            Scale::Rows(rows) => 0.0..rows as f64,
            Scale::Linear if start == Start::Zero => 0.0..high.max(f64::MIN_POSITIVE) * 1.06,
            Scale::Linear => {
                let room = ((high - low) * 0.06).max(low.abs() * 1e-3);
                low - room..high + room
            }
        };
        Axis { scale, range, binary: show == Show::Unit(Unit::Bytes) }
    }

    /// An axis from end to end.
    pub(crate) fn exactly(range: Range<f64>, scale: Scale) -> Axis {
        Axis { scale, range, binary: false }
    }

    /// Its ends.
    pub(crate) fn ends(&self) -> (f64, f64) {
        (self.range.start, self.range.end)
    }

    fn linear(&self) -> RangedCoordf64 {
        (self.place(self.range.start)..self.place(self.range.end)).into()
    }

    fn place(&self, value: f64) -> f64 {
        if self.scale == Scale::Log { value.max(f64::MIN_POSITIVE).ln() } else { value }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.linear().map(&self.place(*value), limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match self.scale {
            Scale::Linear if self.binary => multiples_of_two(&self.range, hint.max_num_points()),
            Scale::Log if self.binary => powers_of_two(&self.range, hint.max_num_points()),
            Scale::Linear => self.linear().key_points(hint.max_num_points()),
            Scale::Rows(rows) => (0..rows).map(|row| row as f64 + 0.5).collect(),
            Scale::Log => log_points(&self.range, hint.max_num_points()),
        }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {}

/// As many of 1, 2 and 5 of each power of ten as fit, and powers of ten alone where these are enough.
fn log_points(range: &Range<f64>, most: usize) -> Vec<f64> {
    let decades = range.start.log10().floor() as i32..=range.end.log10().ceil() as i32;
    let within = |steps: &[f64], every: usize| -> Vec<f64> {
        let decades = decades.clone().step_by(every);
        let points = decades.flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
        points.filter(|point| range.contains(point)).collect()
    };
    let all = [(&[1.0, 1.5, 2.0, 3.0, 5.0, 7.0][..], 1), (&[1.0, 2.0, 5.0], 1), (&[1.0], 1), (&[1.0], 2)];
    let all = all.map(|(steps, every)| within(steps, every));
    all.iter().find(|points| points.len() <= most.max(2)).unwrap_or(&all[3]).clone()
}

/// Multiples of the smallest power of two of which no more than `most` fit.
fn multiples_of_two(range: &Range<f64>, most: usize) -> Vec<f64> {
    let most = most.max(2);
    let mut step = ((range.end - range.start) / most as f64).log2().ceil().exp2();
    loop {
        let (first, last) = ((range.start / step).ceil() as i64, (range.end / step).floor() as i64);
        let points: Vec<f64> = (first..=last).map(|number| number as f64 * step).collect();
        if points.len() <= most {
            return points;
        }
        step *= 2.0;
    }
}

/// Every power of two, or of four, eight and so on, of which no more than `most` fit; multiples where one or none would.
fn powers_of_two(range: &Range<f64>, most: usize) -> Vec<f64> {
    let exponents = range.start.log2().ceil() as i32..=range.end.log2().floor() as i32;
    let every = exponents.clone().count().div_ceil(most.max(2)).max(1) as i32;
    let points: Vec<f64> = exponents
        .filter(|exponent| exponent % every == 0)
        .map(|exponent| f64::from(exponent).exp2())
        .collect();
    if points.len() < 2 { multiples_of_two(range, most) } else { points }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_shortly() {
        assert_eq!(Show::Percentile.text(100.0), "p99");
        assert_eq!(Show::Percentile.text(10_000.0), "p99.99");
        assert_eq!(Show::Percentile.text(2.0), "p50");
        assert_eq!(Show::Unit(Unit::Nanoseconds).short(20_000.0), "20 µs");
        assert_eq!(Show::Ratio.short(1.1), "+10 %");
        assert_eq!(Show::Number.text(262_144.0), "262 k");
    }

    #[test]
    fn a_log_axis_has_round_values() {
        assert_eq!(log_points(&(1.0..10_001.0), 6), [1.0, 10.0, 100.0, 1_000.0, 10_000.0]);
        assert_eq!(log_points(&(0.9..2.5), 4), [1.0, 1.5, 2.0]);
    }

    #[test]
    fn an_axis_of_sizes_is_round_in_binary_units() {
        let text = |points: Vec<f64>| {
            points.into_iter().map(|point| Show::Unit(Unit::Bytes).short(point)).collect::<Vec<_>>()
        };
        let mib = 1_048_576.0;
        assert_eq!(text(multiples_of_two(&(0.0..100.0 * mib), 6)), ["0 B", "32 MiB", "64 MiB", "96 MiB"]);
        assert_eq!(
            text(powers_of_two(&(14.0..20.0 * mib), 6)),
            ["16 B", "256 B", "4 KiB", "64 KiB", "1 MiB", "16 MiB"]
        );
        assert_eq!(text(powers_of_two(&(1.1 * mib..1.9 * mib), 6)), ["1.25 MiB", "1.5 MiB", "1.75 MiB"]);
    }
}
