//! Which figures of a driven server fail the command.

use std::fmt;

use bench_core::spec::Workload;
use schemars::JsonSchema;
use serde::Serialize;
use units::{Unit, human, parse_nanos, parse_rate};

use super::figures::{Figures, Percentile};
use crate::{exit::unknown, output::text::count};

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    Latency(Percentile),
    Rate,
    FailedConnections,
    NotSent,
}

/// The names of figures on the command line; the first of one is its own.
const NAMES: [(&str, Figure); 11] = [
    ("p50", Figure::Latency(Percentile::P50)),
    ("p90", Figure::Latency(Percentile::P90)),
    ("p99", Figure::Latency(Percentile::P99)),
    ("p99_9", Figure::Latency(Percentile::P99_9)),
    ("p99_99", Figure::Latency(Percentile::P99_99)),
    ("max", Figure::Latency(Percentile::Max)),
    ("rate", Figure::Rate),
    ("failed", Figure::FailedConnections),
    ("not_sent", Figure::NotSent),
    // As tables write them.
    ("p99.9", Figure::Latency(Percentile::P99_9)),
    ("p99.99", Figure::Latency(Percentile::P99_99)),
];

/// What a bound is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
enum CountedIn {
    #[serde(rename = "ns")]
    Nanoseconds,
    #[serde(rename = "1/s")]
    PerSecond,
    #[serde(rename = "count")]
    Count,
    #[serde(rename = "%")]
    Percent,
}

impl CountedIn {
    /// A value for a person.
    fn show(self, value: f64) -> String {
        match self {
            CountedIn::Nanoseconds => human(value, Unit::Nanoseconds),
            CountedIn::PerSecond => human(value, Unit::PerSecond),
            CountedIn::Count => value.to_string(),
            CountedIn::Percent => human(value, Unit::Percent),
        }
    }
}

/// Where a figure begins to fail.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Above(f64),
    Below(f64),
}

/// A figure of a driven server that fails the command, such as `p99>5ms`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    /// As it was given.
    text: String,
    name: &'static str,
    figure: Figure,
    counted_in: CountedIn,
    bound: Bound,
}

impl Condition {
    /// Parses a condition such as `p99>5ms`, `rate<1000/s` or `failed>1%`.
    pub(super) fn parse(text: &str) -> Result<Condition, String> {
        let form = || {
            format!(
                "`{text}` is not a condition: use a figure, < or >, and a value, as in p99>5ms or failed>1%"
            )
        };
        let (name, rest) = text.split_at(text.find(['<', '>']).ok_or_else(form)?);
        let name = name.trim();
        let Some((name, figure)) = NAMES.into_iter().find(|(known, _)| *known == name) else {
            return Err(unknown("figure", name, &NAMES.map(|(name, _)| name)[..9]).message);
        };
        let value = rest[1..].trim();
        if value.is_empty() || value.starts_with(['=', '<', '>']) {
            return Err(form());
        }
        let (value, counted_in) =
            figure.parse(value).map_err(|reason| format!("`{text}`: {name} is compared with {reason}"))?;
        let bound = if rest.starts_with('>') { Bound::Above } else { Bound::Below };
        Ok(Condition { text: text.to_owned(), name, figure, counted_in, bound: bound(value) })
    }

    /// Compares it with what a client saw.
    pub(super) fn judge(&self, figures: &Figures) -> Judged<'_> {
        let value = self.value(figures);
        Judged {
            condition: &self.text,
            holds: value.as_ref().ok().map(|value| match self.bound {
                Bound::Above(bound) => *value > bound,
                Bound::Below(bound) => *value < bound,
            }),
            value: value.as_ref().ok().copied(),
            unit: self.counted_in,
            reason: value.err(),
            name: self.name,
        }
    }

    /// The value that it is about, or why there is none.
    fn value(&self, figures: &Figures) -> Result<f64, String> {
        let of_idle = || format!("the workload idle has no {}", self.what());
        match self.figure {
            _ if figures.elapsed_ns == 0 => Err("nothing was measured".to_owned()),
            Figure::Latency(percentile) => match &figures.latency {
                _ if figures.workload == Workload::Idle => Err(of_idle()),
                None => Err("no round trip was measured".to_owned()),
                Some(latency) => latency.at(percentile).map(|ns| ns as f64).ok_or_else(|| {
                    let round_trips = count(figures.units as usize, "round trip");
                    format!("{round_trips} do not give a {}", percentile.label())
                }),
            },
            Figure::Rate => figures.rate_per_s().ok_or_else(of_idle),
            Figure::FailedConnections => Ok(match self.counted_in {
                CountedIn::Percent => {
                    figures.failed_connections as f64 / f64::from(figures.connections) * 100.0
                }
                _ => figures.failed_connections as f64,
            }),
            Figure::NotSent if figures.is_paced => Ok(figures.not_sent as f64),
            Figure::NotSent => Err("only a load with --rate has messages that were not sent".to_owned()),
        }
    }

    fn what(&self) -> &'static str {
        match self.figure {
            Figure::Rate => "rate",
            _ => "latency",
        }
    }
}

impl Figure {
    /// A bound of it, and what that is counted in; otherwise what a bound is.
    fn parse(self, text: &str) -> Result<(f64, CountedIn), &'static str> {
        let whole = |text: &str| text.trim_end().parse::<u64>().map(|count| count as f64);
        match (self, text.strip_suffix('%')) {
            (Figure::Latency(_), _) => parse_nanos(text)
                .map(|ns| (ns as f64, CountedIn::Nanoseconds))
                .map_err(|_| "a time with a unit, such as 200us, 5ms or 1.5s"),
            (Figure::Rate, _) => parse_rate(text)
                .map(|rate| (rate, CountedIn::PerSecond))
                .map_err(|_| "a number each second from 0 on, such as 1000 or 20k/s"),
            (Figure::FailedConnections, Some(percent)) => percent
                .trim_end()
                .parse::<f64>()
                .ok()
                .filter(|percent| (0.0..=100.0).contains(percent))
                .map(|percent| (percent, CountedIn::Percent))
                .ok_or("a number of connections, such as 0, or a share of them between 0% and 100%"),
            (Figure::FailedConnections, None) => whole(text)
                .map(|count| (count, CountedIn::Count))
                .map_err(|_| "a number of connections, such as 0, or a share of them between 0% and 100%"),
            (Figure::NotSent, _) => whole(text)
                .map(|count| (count, CountedIn::Count))
                .map_err(|_| "a number of messages, such as 0"),
        }
    }
}

/// How a condition was judged.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Judged<'a> {
    condition: &'a str,
    /// Whether it holds, which fails the command; null where it has no value.
    holds: Option<bool>,
    /// What it was compared with.
    value: Option<f64>,
    unit: CountedIn,
    /// Why it has no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip)]
    name: &'static str,
}

impl Judged<'_> {
    /// Whether it holds; `None` where it has no value.
    pub(super) fn holds(&self) -> Option<bool> {
        self.holds
    }
}

impl fmt::Display for Judged<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Judged { condition, name, reason, .. } = self;
        let value = self.value.map(|value| self.unit.show(value));
        match (self.holds, value, reason) {
            (Some(true), Some(value), _) => write!(formatter, "failed: {condition}: {name} is {value}"),
            (_, Some(value), _) => write!(formatter, "passed: {condition}: {name} is {value}"),
            (_, None, Some(reason)) => write!(formatter, "not judged: {condition}: {reason}"),
            (_, None, None) => write!(formatter, "not judged: {condition}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use bench_core::{
        DriveSpec,
        protocol::ClientReport,
        spec::{Load, Paced, SocketSpec, Work},
    };
    use histogram::{Recorder, Series};
    use std::time::Duration;

    use super::*;

    /// Of 1,000 round trips from 10 µs to 10 ms in two seconds, with 2 of 100 connections failed.
    fn figures(work: Work) -> Figures {
        let recorder = Recorder::default();
        (1..=1_000).for_each(|n| recorder.record(Series::RoundTrip, Duration::from_micros(10 * n)));
        let report = ClientReport {
            units: 1_000,
            elapsed_ns: 2_000_000_000,
            not_sent: 3,
            failed_connections: 2,
            series: Recorder::merge(&[recorder]),
            ..ClientReport::default()
        };
        let load = Load { connections: 100, work, ..Load::default() };
        Figures::new(&report, &DriveSpec::plain("ws://127.0.0.1:1/", load, SocketSpec::default()))
    }

    #[test]
    fn conditions_are_judged_on_absolute_values() {
        let figures = figures(Work::PingPong(Default::default()));
        for (text, holds) in [
            ("p50>4ms", Some(true)),
            ("p50 > 5.5 ms", Some(false)),
            ("p99<10ms", Some(true)),
            ("max>9999us", Some(true)),
            ("max>10ms", Some(false)),
            ("rate<1000/s", Some(true)),
            ("rate<500", Some(false)),
            ("rate>0.4k/s", Some(true)),
            ("failed>0", Some(true)),
            ("failed>2", Some(false)),
            ("failed>1%", Some(true)),
            ("failed>2%", Some(false)),
            ("p99_9>1ns", None),
            ("p99.99>1ns", None),
            ("not_sent>0", None),
        ] {
            assert_eq!(Condition::parse(text).unwrap().judge(&figures).holds(), holds, "{text}");
        }
    }

    #[test]
    fn what_has_no_value_says_why() {
        let closed = figures(Work::PingPong(Default::default()));
        let of = |text: &str, figures: &Figures| Condition::parse(text).unwrap().judge(figures).to_string();
        assert_eq!(of("p99_9>1s", &closed), "not judged: p99_9>1s: 1000 round trips do not give a p99.9");
        assert!(of("not_sent>0", &closed).contains("only a load with --rate"));
        let idle = figures(Work::Idle(Default::default()));
        assert_eq!(of("p50>1s", &idle), "not judged: p50>1s: the workload idle has no latency");
        assert_eq!(of("rate<1", &idle), "not judged: rate<1: the workload idle has no rate");
        let paced = figures(Work::Paced(Paced::at(500)));
        assert_eq!(of("p50>1s", &paced), "not judged: p50>1s: no round trip was measured");
        assert_eq!(of("not_sent>2", &paced), "failed: not_sent>2: not_sent is 3");
    }

    #[test]
    fn conditions_that_mean_nothing_are_refused() {
        let refused = |text: &str| Condition::parse(text).unwrap_err();
        for text in ["", "p99", "p99>", "p99>=5ms", "rate<>1", "p99 5ms"] {
            assert!(refused(text).contains("is not a condition: use a figure"), "{text}: {}", refused(text));
        }
        for text in ["p99>5", "p99>nan", "p99>inf", "p99>-1ms", "max>5%"] {
            assert!(refused(text).contains("a time with a unit"), "{text}: {}", refused(text));
        }
        for text in ["rate<nan", "rate<inf/s", "rate<1e999", "rate<-1", "rate<5ms"] {
            assert!(refused(text).contains("each second from 0 on"), "{text}: {}", refused(text));
        }
        for text in ["failed>nan%", "failed>-1%", "failed>101%", "failed>0.5", "failed>-1", "failed>inf"] {
            assert!(refused(text).contains("between 0% and 100%"), "{text}: {}", refused(text));
        }
        assert!(refused("not_sent>1%").contains("a number of messages"));
        assert!(refused("p98>1ms").contains("there is no figure `p98`. Did you mean `p9"));
        assert!(refused("fail>1").contains("Did you mean `failed`?"));
    }
}
