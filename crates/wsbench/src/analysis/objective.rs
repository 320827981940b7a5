//! Latency objectives, such as `p99<1ms`.

use std::fmt;

use trial::metric::{self, Metric};
use units::{Unit, human};

/// The objective that a curve's table assumes unless it is told otherwise.
pub const DEFAULT_SLO: &str = "p99<1ms";

/// A latency objective: a percentile and what it has to stay under.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slo {
    /// The percentile.
    pub metric: Metric,
    /// The bound, in nanoseconds.
    pub limit_ns: f64,
}

/// A text is not an objective.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an objective: p50, p95, p99, p99.9 or p99.99, then < and a time, as in p99<1ms")]
pub struct NotAnObjective(String);

impl Slo {
    /// Parses an objective such as `p99<1ms`.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn parse(text: &str) -> Result<Slo, NotAnObjective> {
        let form = || NotAnObjective(text.to_owned());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives() {
        assert_eq!(Slo::parse("p99<1ms").unwrap(), Slo::default());
        assert_eq!(Slo::parse("p99.9 < 250us").unwrap().metric, metric::P99_9);
        assert_eq!(Slo::parse(&Slo::default().text()).unwrap(), Slo::default());
        for wrong in ["p99", "p98<1ms", "p99<1", "p99>1ms"] {
            assert!(Slo::parse(wrong).unwrap_err().to_string().contains("as in p99<1ms"), "{wrong}");
        }
    }
}
