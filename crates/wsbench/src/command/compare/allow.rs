//! What a comparison accepts, by name.

use clap::ValueEnum;

use super::{
    differences::Difference,
    judgement::{Entry, Finding, Reason},
};

/// Something that does not fail a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// The runs may differ in this.
    Difference(Difference),
    /// What has this name need not be judged, for this reason.
    NotJudged { why: Why, name: String },
}

/// Kinds of reasons for which something is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Why {
    /// NEW does not hold it
    Missing,
    /// Every trial failed
    Failed,
    /// Every trial has a mark
    Marked,
    /// Too few rounds
    TooFew,
    /// No trial has a value of the metric
    NoValue,
}

impl Allowed {
    /// Parses a difference, or a reason and a name as in `missing=smol`.
    pub(super) fn parse(text: &str) -> Result<Allowed, String> {
        let Some((why, name)) = text.split_once('=') else {
            return Difference::from_str(text, false).map(Allowed::Difference).map_err(|_| {
                format!(
                    "`{text}` is unknown: use one of {} or, as in missing=smol, one of {}",
                    names::<Difference>(),
                    names::<Why>()
                )
            });
        };
        let why = Why::from_str(why, false).map_err(|_| {
            format!("`{why}` is not a reason: use one of {}, as in missing=smol", names::<Why>())
        })?;
        if name.is_empty() {
            return Err(format!("`{text}` names nothing: give a row, a scenario, SCENARIO/ROW or a metric"));
        }
        Ok(Allowed::NotJudged { why, name: name.to_owned() })
    }

    /// Whether it accepts that an entry was not judged.
    pub(super) fn accepts(&self, entry: &Entry) -> bool {
        let (Allowed::NotJudged { why, name }, Finding::NotJudged(reason)) = (self, &entry.finding) else {
            return false;
        };
        let Entry { scenario, row, metric, .. } = entry;
        let of_row = row.as_ref().map(|row| format!("{scenario}/{row}"));
        let is_named = name == scenario
            || name == metric.name
            || row.as_ref() == Some(name)
            || of_row.as_ref() == Some(name);
        is_named && *why == why_of(reason)
    }
}

fn why_of(reason: &Reason) -> Why {
    match reason {
        Reason::Missing | Reason::OtherEnd { .. } => Why::Missing,
        Reason::Failed { .. } => Why::Failed,
        Reason::Marked { .. } => Why::Marked,
        Reason::TooFew { .. } => Why::TooFew,
        Reason::NoValue { .. } | Reason::NoControl { .. } => Why::NoValue,
    }
}

/// The values of an option.
fn names<T: ValueEnum>() -> String {
    let values = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    values.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_a_difference_or_a_reason_with_a_name() {
        assert_eq!(Allowed::parse("kernel"), Ok(Allowed::Difference(Difference::Kernel)));
        let missing = Allowed::NotJudged { why: Why::Missing, name: "smol".to_owned() };
        assert_eq!(Allowed::parse("missing=smol"), Ok(missing));
        assert!(Allowed::parse("gone").unwrap_err().contains("machine, "));
        assert!(Allowed::parse("gone=smol").unwrap_err().contains("missing, failed"));
        assert!(Allowed::parse("missing=").unwrap_err().contains("names nothing"));
    }
}
