//! Values of flags: their ranges, and how they are written again.

use std::path::PathBuf;

use clap::ValueEnum;

use super::error::SpecError;

pub(super) fn in_range(
    what: &'static str,
    value: u64,
    least: u64,
    most: u64,
    unit: &'static str,
) -> Result<(), SpecError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(SpecError::OutOfRange { what, value, least, most, unit })
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
