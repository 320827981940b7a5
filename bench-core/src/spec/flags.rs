//! Values of flags: their ranges, and how they are written again.

use std::{ffi::OsString, path::PathBuf};

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

pub(super) fn flags(pairs: &[(&str, String)]) -> Vec<OsString> {
    pairs.iter().flat_map(|(name, value)| [format!("--{name}").into(), value.into()]).collect()
}

pub(super) fn flag_value<V: ValueEnum>(value: V) -> String {
    value.to_possible_value().map_or_else(String::new, |possible| possible.get_name().to_owned())
}

/// The path as it is: it need not be UTF-8.
pub(super) fn file(flag: &str, path: Option<&PathBuf>) -> Vec<OsString> {
    path.map_or_else(Vec::new, |path| vec![format!("--{flag}").into(), path.into()])
}
