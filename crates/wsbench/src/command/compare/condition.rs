//! Which changes fail a comparison.

use trial::metric::{self, Metric};

/// A change that is worth an exit code when nothing else is asked for: well above the 1.1 % by which two runs of one build
/// were seen to differ, and below what a cost of 3 % looks like when it is seen through the client.
const DEFAULT_CHANGE: f64 = 0.02;

/// A change of a metric that fails the comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Condition {
    pub(super) metric: Metric,
    bound: Bound,
}

/// Where a change begins to fail, as a share: 0.1 is +10 %.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Above(f64),
    Below(f64),
}

impl Condition {
    /// Parses a condition such as `rate<-3%`.
    pub(super) fn parse(text: &str) -> Result<Condition, String> {
        let form =
            || format!("`{text}` is no condition: a metric, < or > and a change, as in rate<-3% or p99>+10%");
        let place = text.find(['<', '>']).ok_or_else(form)?;
        let (name, rest) = text.split_at(place);
        let metric = metric::by_name(name.trim()).ok_or_else(|| {
            let known: Vec<&str> = metric::ALL.iter().map(|metric| metric.name).collect();
            format!("there is no metric `{}`; there are: {}", name.trim(), known.join(", "))
        })?;
        let number = rest[1..].trim();
        let number = number.strip_suffix('%').unwrap_or(number).trim_end();
        let percent: f64 = number.parse().map_err(|_| form())?;
        if !percent.is_finite() || percent <= -100.0 {
            return Err(format!("`{text}`: a change is a finite number of percent above -100"));
        }
        let bound = if rest.starts_with('>') { Bound::Above } else { Bound::Below };
        Ok(Condition { metric, bound: bound(percent / 100.0) })
    }

    /// Fails where a metric has become worse by more than the default change.
    pub(super) fn worse(metric: Metric) -> Condition {
        let bound = if metric.higher_is_better {
            Bound::Below(-DEFAULT_CHANGE)
        } else {
            Bound::Above(DEFAULT_CHANGE)
        };
        Condition { metric, bound }
    }

    /// Whether a change, as a share, fails.
    pub(super) fn holds(self, change: f64) -> bool {
        match self.bound {
            Bound::Above(bound) => change > bound,
            Bound::Below(bound) => change < bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        let rate = Condition::parse("rate<-3%").unwrap();
        assert!(rate.holds(-0.04) && !rate.holds(-0.02));
        let p99 = Condition::parse("p99 > +10 %").unwrap();
        assert!(p99.holds(0.11) && !p99.holds(0.09));
        assert!(Condition::parse("p98>1%").unwrap_err().contains("there is no metric `p98`"));
        assert!(Condition::parse("rate").unwrap_err().contains("as in rate<-3%"));
        assert!(Condition::parse("not_sent>0").unwrap().holds(f64::INFINITY));
    }

    #[test]
    fn conditions_that_mean_nothing_are_refused() {
        for text in ["p99>nan%", "p99>inf%", "p99>infinity", "p99>1e999%", "rate<-100%", "p99>-1000%"] {
            assert!(
                Condition::parse(text).unwrap_err().contains("finite number of percent above -100"),
                "{text}"
            );
        }
        for text in ["p99>3%%%", "p99>=3%", "p99>"] {
            assert!(Condition::parse(text).unwrap_err().contains("as in rate<-3%"), "{text}");
        }
    }
}
