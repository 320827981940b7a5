//! The A/A control: in each block the baseline is measured a second time, under a name of its own.

/// Appended to the baseline's name. It is in every result file, so it must not change.
const SUFFIX: &str = "#aa";

/// The name under which a row is measured a second time.
pub(crate) fn name_of(row: &str) -> String {
    format!("{row}{SUFFIX}")
}

/// Whether a name in the results belongs to a second measurement.
pub(crate) fn is_twin(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

/// The row behind a name in the results: a twin is its baseline.
pub(crate) fn row_of(name: &str) -> &str {
    name.strip_suffix(SUFFIX).unwrap_or(name)
}

/// The program behind a name: `tokio@old` is another build of `tokio`.
pub(crate) fn program_of(row: &str) -> &str {
    row_of(row).split_once('@').map_or(row_of(row), |(program, _)| program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twin_is_known_by_its_name() {
        assert_eq!(name_of("tokio"), "tokio#aa");
        assert!(is_twin("tokio#aa") && !is_twin("tokio"));
        assert_eq!((row_of("tokio#aa"), row_of("tokio")), ("tokio", "tokio"));
        assert_eq!((program_of("tokio@old#aa"), program_of("tokio")), ("tokio", "tokio"));
    }
}
