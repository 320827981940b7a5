//! Values on the command line: sizes, times, ranges and back to flags.

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;

/// Parses a size such as `24`, `2KiB` or `1MiB`.
///
/// # Errors
/// When the text is no size, with examples.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    text.parse::<bytesize::ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| "a size is a number of bytes or has a unit: 24, 2KiB, 1MiB".to_owned())
}

/// Parses a time such as `700ms` or `5s` into milliseconds.
///
/// # Errors
/// When the text is no time, or not a whole number of milliseconds.
pub fn parse_millis(text: &str) -> Result<u64, String> {
    whole(parse_time(text)?.as_nanos(), 1_000_000, "milliseconds")
}

/// Parses a time such as `200us` or `1s` into microseconds.
///
/// # Errors
/// When the text is no time, or not a whole number of microseconds.
pub fn parse_micros(text: &str) -> Result<u64, String> {
    whole(parse_time(text)?.as_nanos(), 1_000, "microseconds")
}

fn parse_time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; a time has a unit: 700ms, 5s, 2min"))
}

fn whole(nanos: u128, unit: u128, name: &str) -> Result<u64, String> {
    if !nanos.is_multiple_of(unit) {
        return Err(format!("only whole {name} are supported"));
    }
    u64::try_from(nanos / unit).map_err(|_| "that is too long".to_owned())
}

pub(super) fn in_range(name: &str, value: u64, least: u64, most: u64, unit: &str) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    Err(format!("{name}: {value}{unit} is out of range, {least} to {most}{unit} are possible"))
}

pub(super) fn flags(pairs: &[(&str, String)]) -> Vec<String> {
    pairs.iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]).collect()
}

pub(super) fn flag_value<V: ValueEnum>(value: V) -> String {
    value.to_possible_value().map_or_else(String::new, |possible| possible.get_name().to_owned())
}

pub(super) fn file(flag: &str, path: Option<&PathBuf>) -> Vec<String> {
    path.map_or_else(Vec::new, |path| flags(&[(flag, path.display().to_string())]))
}
