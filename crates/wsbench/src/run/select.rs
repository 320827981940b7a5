//! Which scenarios a command line asks for.

use std::{collections::BTreeMap, fs, path::Path};

use bench_core::spec::{Load, LoadFlags, SocketSpec, Workload};
use trial::{
    catalogue::{Catalogue, Pairing, Scenario},
    placement::Placement,
};

use crate::exit::{Stop, unknown};

/// The profile when none is asked for.
pub const DEFAULT_PROFILE: &str = "quick";

/// Name of a scenario that is made of flags.
pub const AD_HOC: &str = "ad-hoc";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Name of the profile, where one decides.
    pub profile: Option<String>,
    /// The scenarios, in order.
    pub scenarios: Vec<Scenario>,
    /// Rounds, unless the command line says otherwise; `None` where they follow from what is judged.
    pub rounds: Option<u32>,
    /// Rounds of the scenarios that have others, by their name.
    pub rounds_of: BTreeMap<String, u32>,
    /// Pairing, unless the command line says otherwise.
    pub pairing: Pairing,
}

/// Resolves `--profile` and `--scenarios`.
///
/// # Errors
/// When a name or pattern matches nothing, or a file is not a catalogue.
pub fn select(profile: Option<&str>, patterns: &[String]) -> Result<Selection, Stop> {
    let mut catalogue = Catalogue::built_in();
    let from_catalogue = profile.is_none() && !patterns.is_empty();
    let name = match profile {
        Some(name) => load_profile(&mut catalogue, name)?,
        None => DEFAULT_PROFILE.to_owned(),
    };
    let Some(profile) = catalogue.profiles.get(&name) else {
        let known: Vec<&str> = catalogue.profiles.keys().map(String::as_str).collect();
        return Err(unknown("profile", &name, &known));
    };
    if from_catalogue {
        let mut scenarios: Vec<Scenario> = catalogue.scenarios.values().cloned().collect();
        scenarios.sort_by(|one, other| natural(&one.name).cmp(&natural(&other.name)));
        let scenarios = matching(&catalogue, scenarios, patterns)?;
        return Ok(Selection {
            profile: None,
            scenarios,
            rounds: None,
            rounds_of: BTreeMap::new(),
            pairing: Pairing::default(),
        });
    }
    let mut scenarios = catalogue.of_profile(profile);
    if !patterns.is_empty() {
        scenarios = matching(&catalogue, scenarios, patterns)?;
    }
    let (rounds, pairing) = (profile.rounds, profile.pairs);
    let own =
        scenarios.iter().filter_map(|scenario| Some((scenario.name.clone(), profile.rounds_of(scenario)?)));
    let rounds_of = own.filter(|(_, own)| Some(*own) != rounds).collect();
    Ok(Selection { profile: Some(name), scenarios, rounds, rounds_of, pairing })
}

/// The single scenario that flags describe.
///
/// # Errors
/// When its values are out of range, with the range and the reason.
pub fn ad_hoc(mut load: LoadFlags, socket: SocketSpec, placement: Placement) -> Result<Selection, Stop> {
    // A rate says what is wanted.
    if load.rate_per_s.is_some() && load.workload == Workload::default() {
        load.workload = Workload::Paced;
    }
    let load = Load::try_from(load).map_err(Stop::usage)?;
    load.validate(&socket).map_err(Stop::usage)?;
    let about = "Given on the command line".to_owned();
    let scenario = Scenario { about, placement, socket, ..Scenario::new(AD_HOC, load) };
    Ok(Selection {
        profile: None,
        scenarios: vec![scenario],
        rounds: None,
        rounds_of: BTreeMap::new(),
        pairing: Pairing::default(),
    })
}

/// A key that orders names as people do: idle-5000 before idle-10000.
pub(crate) fn natural(name: &str) -> Vec<(&str, u64)> {
    name.split('-').map(|part| part.parse().map_or((part, 0), |number| ("", number))).collect()
}

/// Those of `scenarios` that match a pattern, in the order of the patterns.
fn matching(
    catalogue: &Catalogue,
    scenarios: Vec<Scenario>,
    patterns: &[String],
) -> Result<Vec<Scenario>, Stop> {
    let mut chosen: Vec<Scenario> = Vec::new();
    for pattern in patterns {
        let mut hit = false;
        for scenario in scenarios.iter().filter(|scenario| scenario.is_meant_by(pattern)) {
            hit = true;
            if !chosen.contains(scenario) {
                chosen.push(scenario.clone());
            }
        }
        if !hit {
            if catalogue.matching(pattern).next().is_some() {
                return Err(Stop::usage(format!(
                    "the profile has no scenario `{pattern}`; without --profile the whole catalogue is searched"
                )));
            }
            let known: Vec<&str> = catalogue.scenarios.keys().map(String::as_str).collect();
            return Err(unknown("scenario", pattern, &known));
        }
    }
    Ok(chosen)
}

/// A profile by name, or from a file: `FILE` with a single profile, or `FILE#NAME`.
fn load_profile(catalogue: &mut Catalogue, name: &str) -> Result<String, Stop> {
    let (file, wanted) = match name.split_once('#') {
        Some((file, wanted)) => (file, Some(wanted)),
        None => (name, None),
    };
    let is_file = wanted.is_some() || file.contains(['/', '\\']) || file.ends_with(".toml");
    if !is_file {
        return Ok(name.to_owned());
    }
    let text = fs::read_to_string(Path::new(file))
        .map_err(|error| Stop::usage(format!("the profile file {file} cannot be read: {error}")))?;
    let mut names = catalogue.extend(&text).map_err(|reason| Stop::usage(format!("{file}: {reason}")))?;
    match (wanted, names.len()) {
        (Some(wanted), _) => Ok(wanted.to_owned()),
        (None, 1) => Ok(names.remove(0)),
        (None, 0) => Err(Stop::usage(format!(
            "{file} defines no profile: add one, as `wsbench list --catalogue` shows"
        ))),
        (None, _) => Err(Stop::usage(format!(
            "{file} defines several profiles: choose one with {file}#NAME ({})",
            names.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(selection: &Selection) -> Vec<&str> {
        selection.scenarios.iter().map(|scenario| scenario.name.as_str()).collect()
    }

    fn patterns(list: &[&str]) -> Vec<String> {
        list.iter().map(|pattern| (*pattern).to_owned()).collect()
    }

    #[test]
    fn a_profile_a_pattern_or_both() {
        let quick = select(None, &[]).unwrap();
        assert_eq!(
            names(&quick),
            ["rtt-24", "window-64", "closed-100", "closed-100-shared", "one-way-10000"]
        );
        assert_eq!((quick.rounds, quick.profile.as_deref()), (None, Some("quick")));
        let windows = select(None, &patterns(&["window-*"])).unwrap();
        assert_eq!(names(&windows), ["window-64", "window-64-each"]);
        let both = select(Some("quick"), &patterns(&["window-*"])).unwrap();
        assert_eq!(names(&both), ["window-64"]);
        let idle = select(None, &patterns(&["idle-*000"])).unwrap();
        assert_eq!(names(&idle), ["idle-1000", "idle-5000", "idle-10000"]);
    }

    #[test]
    fn what_does_not_exist_is_named_with_the_nearest() {
        let refused =
            |profile: Option<&str>, list: &[&str]| select(profile, &patterns(list)).unwrap_err().message;
        assert!(refused(Some("quik"), &[]).contains("Did you mean `quick`?"));
        assert!(refused(None, &["rtt-25"]).contains("Did you mean `rtt-24`?"));
        assert!(refused(Some("quick"), &["push-100"]).contains("the profile has no scenario"));
        assert!(refused(Some("no/such.toml"), &[]).contains("cannot be read"));
    }

    #[test]
    fn a_file_brings_a_profile() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mine.toml");
        let entry =
            |name: &str| format!("[profile.{name}]\nabout = ''\nrounds = 2\nscenarios = ['rtt-24']\n");
        fs::write(&path, entry("mine")).unwrap();
        let file = path.to_str().unwrap();
        assert_eq!(select(Some(file), &[]).unwrap().rounds, Some(2));
        fs::write(&path, entry("a") + &entry("b")).unwrap();
        assert!(select(Some(file), &[]).unwrap_err().message.contains("several profiles"));
        assert_eq!(select(Some(&format!("{file}#b")), &[]).unwrap().profile.as_deref(), Some("b"));
    }
}
