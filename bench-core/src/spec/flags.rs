//! Values of flags: their ranges, and how they are written again.

use std::path::PathBuf;

use clap::ValueEnum;

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
