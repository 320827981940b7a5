//! Values as flags.

use std::path::PathBuf;

use clap::ValueEnum;

pub(super) fn flags(pairs: &[(&str, String)]) -> Vec<String> {
    pairs.iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]).collect()
}

pub(super) fn flag_value<V: ValueEnum>(value: V) -> String {
    value.to_possible_value().map_or_else(String::new, |possible| possible.get_name().to_owned())
}

pub(super) fn file(flag: &str, path: Option<&PathBuf>) -> Vec<String> {
    path.map_or_else(Vec::new, |path| flags(&[(flag, path.display().to_string())]))
}
