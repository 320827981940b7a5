//! Sizes, times and rates as people write and read them.

/// Why a text is not a size or a time.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// It is not a size.
    #[error("a size is a number of bytes or has a unit: 24, 2KiB, 1MiB")]
    Size,
    /// It is not a time.
    #[error("{0}; a time has a unit: 700ms, 5s, 2min")]
    Time(humantime::DurationError),
    /// It is not a rate.
    #[error("a rate is a number each second: 1000, 1000/s, 20 k/s")]
    Rate,
    /// It is a time that has a fraction in this unit.
    #[error("only whole {0} are supported")]
    Fraction(&'static str),
    /// It is a time beyond what fits.
    #[error("that is too long")]
    TooLong,
}

/// Parses a size such as `24`, `2KiB` or `1MiB`.
///
/// # Errors
/// When the text is not a size.
pub fn parse_bytes(text: &str) -> Result<u64, ParseError> {
    text.parse::<bytesize::ByteSize>().map(|size| size.as_u64()).map_err(|_| ParseError::Size)
}

/// Parses a time such as `700ms` or `5s` into milliseconds.
///
/// # Errors
/// When the text is not a time, or not a whole number of milliseconds.
pub fn parse_millis(text: &str) -> Result<u64, ParseError> {
    whole(text, 1_000_000, "milliseconds")
}

/// Parses a time such as `200us` or `1s` into microseconds.
///
/// # Errors
/// When the text is not a time, or not a whole number of microseconds.
pub fn parse_micros(text: &str) -> Result<u64, ParseError> {
    whole(text, 1_000, "microseconds")
}

/// Parses a time such as `200us` or `1.5ms` into nanoseconds.
///
/// # Errors
/// When the text is not a time.
pub fn parse_nanos(text: &str) -> Result<u64, ParseError> {
    whole(text, 1, "nanoseconds")
}

/// Parses a rate such as `1000`, `1000/s` or, as [`human`] shows it, `1.41 k/s` into a number each second.
///
/// # Errors
/// When the text is not a rate, or not a finite one from 0 on.
pub fn parse_rate(text: &str) -> Result<f64, ParseError> {
    let text = text.trim();
    let number = text.strip_suffix("/s").unwrap_or(text).trim_end();
    let (number, scale) = match (number.strip_suffix('k'), number.strip_suffix('M')) {
        (Some(thousands), _) => (thousands, 1e3),
        (_, Some(millions)) => (millions, 1e6),
        _ => (number, 1.0),
    };
    let rate = number.trim_end().parse::<f64>().map_err(|_| ParseError::Rate)? * scale;
    if rate.is_finite() && rate.is_sign_positive() { Ok(rate) } else { Err(ParseError::Rate) }
}

fn whole(text: &str, unit_ns: u128, name: &'static str) -> Result<u64, ParseError> {
    let ns = humantime::parse_duration(text).map_err(ParseError::Time)?.as_nanos();
    if !ns.is_multiple_of(unit_ns) {
        return Err(ParseError::Fraction(name));
    }
    u64::try_from(ns / unit_ns).map_err(|_| ParseError::TooLong)
}

/// A number of bytes with the binary unit that suits it, as in `64 KiB`.
pub fn bytes(count: u64) -> String {
    bytesize::ByteSize(count).display().iec().to_string()
}

/// What a figure is counted in. Values are kept in these base units and scaled when they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// A number each second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// Bytes each second.
    BytesPerSecond,
    /// Hundredths of the whole.
    Percent,
    /// A number for each unit of work.
    Count,
}

impl Unit {
    /// Name in JSON and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Nanoseconds => "ns",
            Unit::PerSecond => "1/s",
            Unit::Bytes => "B",
            Unit::BytesPerSecond => "B/s",
            Unit::Percent => "%",
            Unit::Count => "count",
        }
    }
}

/// Shows a value with a unit that suits its size and with three significant digits.
pub fn human(value: f64, unit: Unit) -> String {
    let (scaled, suffix) = match unit {
        Unit::Nanoseconds if value.abs() >= 1e9 => (value / 1e9, " s"),
        Unit::Nanoseconds if value.abs() >= 1e6 => (value / 1e6, " ms"),
        Unit::Nanoseconds if value.abs() >= 1e3 => (value / 1e3, " µs"),
        Unit::Nanoseconds => (value, " ns"),
        Unit::PerSecond if value.abs() >= 1e6 => (value / 1e6, " M/s"),
        Unit::PerSecond if value.abs() >= 1e3 => (value / 1e3, " k/s"),
        Unit::PerSecond => (value, " /s"),
        Unit::BytesPerSecond if value.abs() >= 1e9 => (value / 1e9, " GB/s"),
        Unit::BytesPerSecond if value.abs() >= 1e6 => (value / 1e6, " MB/s"),
        Unit::BytesPerSecond => (value / 1e3, " kB/s"),
        Unit::Bytes if value.abs() >= 1_048_576.0 => (value / 1_048_576.0, " MiB"),
        Unit::Bytes if value.abs() >= 1024.0 => (value / 1024.0, " KiB"),
        Unit::Bytes => (value, " B"),
        Unit::Percent => (value, " %"),
        Unit::Count => (value, ""),
    };
    format!("{}{suffix}", three_digits(scaled))
}

/// Three significant digits, without an exponent.
pub fn three_digits(value: f64) -> String {
    let whole_digits = value.abs().max(1.0).log10().floor() as usize + 1;
    format!("{value:.*}", 3_usize.saturating_sub(whole_digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_with_their_units() {
        assert_eq!((parse_bytes("24"), parse_bytes("2KiB")), (Ok(24), Ok(2_048)));
        assert_eq!(parse_bytes("much"), Err(ParseError::Size));
        assert_eq!((parse_millis("5s"), parse_micros("200us")), (Ok(5_000), Ok(200)));
        assert_eq!(parse_millis("1us"), Err(ParseError::Fraction("milliseconds")));
        let reason = parse_millis("5").unwrap_err().to_string();
        assert!(reason.contains("a time has a unit"), "{reason}");
        assert_eq!(bytes(65_536), "64.0 KiB");
        for (text, ns) in [("5ms", 5_000_000), ("1.5ms", 1_500_000), ("20us", 20_000), ("20 µs", 20_000)] {
            assert_eq!(parse_nanos(text), Ok(ns), "{text}");
        }
        assert!(parse_nanos("-5ms").is_err() && parse_nanos("nan").is_err());
    }

    #[test]
    fn rates_are_read_as_they_are_shown() {
        for (text, rate) in [("1000", 1e3), ("1000/s", 1e3), ("141 k/s", 141e3), ("2.15 M/s", 2.15e6)] {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        for text in ["", "/s", "-1/s", "-0", "nan", "inf", "1e999", "5ms", "1 G/s"] {
            assert_eq!(parse_rate(text), Err(ParseError::Rate), "{text}");
        }
    }

    #[test]
    fn values_are_shown_with_a_fitting_unit() {
        assert_eq!(human(5_210.0, Unit::Nanoseconds), "5.21 µs");
        assert_eq!(human(19_012_345_678.0, Unit::Nanoseconds), "19.0 s");
        assert_eq!(human(124.4, Unit::Nanoseconds), "124 ns");
        assert_eq!(human(173_456.0, Unit::PerSecond), "173 k/s");
        assert_eq!(human(6.5 * 1_048_576.0, Unit::Bytes), "6.50 MiB");
        assert_eq!(human(512.0, Unit::Bytes), "512 B");
        assert_eq!(human(1234.5, Unit::Count), "1234");
        assert_eq!(human(1.5e8, Unit::BytesPerSecond), "150 MB/s");
    }
}
