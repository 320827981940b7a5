//! The catalogue: scenarios and profiles, as data.
//!
//! One TOML file of them is part of every program; a user's file adds to it or replaces entries.

use std::collections::{BTreeMap, BTreeSet};

use bench_core::{
    row::MAX_THREADS,
    spec::{Feature, Load, LoadFlags, Role, Schedule, SocketSpec, SpecError, Work},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{bursts::Bursts, metric, placement::Placement, summary};

/// The catalogue that every program carries, as its TOML text.
pub const BUILT_IN: &str = concat!(
    include_str!("catalogue.toml"),
    "\n",
    include_str!("catalogue/scalability.toml"),
    "\n",
    include_str!("catalogue/silence.toml")
);

/// Most rounds of a run: beyond this no interval gets noticeably narrower.
pub const MAX_ROUNDS: u32 = 1_000;

/// Why a scenario makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScenarioError {
    /// One of its loads, or its settings.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// It has a second load, and a first one that begins before the second could.
    #[error(
        "a schedule of pushes that is agreed beforehand would begin while the second client connects: nothing can run beside it"
    )]
    NothingBeside,
    /// Its bursts are too many, or too far apart.
    #[error("{0}")]
    Bursts(String),
    /// It cannot be repeated over the same connections.
    #[error(
        "bursts are possible of the workloads ping-pong, window, one-way and paced, without steps and without a second load"
    )]
    NoBursts,
    /// There is no such metric.
    #[error("judged by `{0}`, but there is no metric of that name")]
    NotAMetric(String),
    /// There are no rows of so many threads.
    #[error("server cores: {0} is out of range, 1 to {MAX_THREADS} are possible")]
    ServerCores(u32),
}

/// Why a text is not a catalogue.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CatalogueError {
    /// It is not TOML, or has other fields.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// A scenario makes no sense.
    #[error("scenario `{name}`: {reason}")]
    Scenario {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: ScenarioError,
    },
    /// A profile is empty, or has no rounds or too many.
    #[error("profile `{0}`: 1 to {MAX_ROUNDS} rounds and at least one scenario are needed")]
    Profile(String),
    /// A profile has no rounds, or too many, of some scenarios.
    #[error(
        "profile `{name}`: {rounds} rounds of `{pattern}` are out of range, 1 to {MAX_ROUNDS} are possible"
    )]
    Rounds {
        /// Its name.
        name: String,
        /// The pattern of the scenarios.
        pattern: String,
        /// The rounds.
        rounds: u32,
    },
    /// A profile names a scenario that does not exist.
    #[error("profile `{name}`: there is no scenario `{scenario}`")]
    NoScenario {
        /// Its name.
        name: String,
        /// The scenario's.
        scenario: String,
    },
}

/// A workload with all its parameters, under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it shows, in one sentence.
    pub about: String,
    /// Where server and client run, unless the run says otherwise.
    pub placement: Placement,
    /// What the client does.
    pub load: Load,
    /// What a second process of the same client does at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Load>,
    /// Where the load comes in bursts, with silence before each: its length or count is that of one burst.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bursts: Option<Bursts>,
    /// Settings of every connection.
    pub socket: SocketSpec,
    /// Worker threads, and cores, of rows that take several, where the scenario decides it and not the run. A row that
    /// cannot have so many takes no part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_cores: Option<u32>,
    /// Names of the metrics by which its rows are judged, where they are not those of the workload. The first one ranks
    /// the rows.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        alias = "ranked_by",
        deserialize_with = "one_or_several"
    )]
    pub judged_by: Vec<String>,
    /// The curve that it is a point of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curve: Option<String>,
    /// Whether the other points of its curve are found during the run, by doubling and bisection.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub finds_rates: bool,
}

impl Scenario {
    /// A scenario with this load alone, and defaults.
    pub fn new(name: &str, load: Load) -> Scenario {
        Scenario {
            name: name.to_owned(),
            about: String::new(),
            placement: Placement::default(),
            load,
            beside: None,
            bursts: None,
            socket: SocketSpec::default(),
            server_cores: None,
            judged_by: Vec::new(),
            curve: None,
            finds_rates: false,
        }
    }

    /// Its loads, of which the first is what the rows are compared by.
    pub fn loads(&self) -> impl Iterator<Item = &Load> {
        std::iter::once(&self.load).chain(&self.beside)
    }

    /// Connections that the server has at the same time.
    pub fn connections(&self) -> u32 {
        self.loads().map(Load::all_connections).sum()
    }

    /// Whether its rows are ranked by how evenly they serve the connections.
    pub fn is_about_fairness(&self) -> bool {
        let is_fairness = |metric| [metric::LEAST_SHARE, metric::JAIN].contains(&metric);
        self.judged_by.iter().filter_map(|name| metric::by_name(name)).any(is_fairness)
    }

    /// What the row at this end has to offer beyond services, workloads and flush policies.
    pub fn needs(&self, role: Role) -> BTreeSet<Feature> {
        let mut needed: BTreeSet<Feature> = self.loads().flat_map(|load| load.needs(role)).collect();
        if self.is_about_fairness() && role == Role::Client {
            needed.insert(Feature::Counts);
        }
        if self.socket.tls {
            needed.insert(Feature::Tls);
        }
        if self.socket.send_buffer_bytes.is_some() && role == Role::Server {
            needed.insert(Feature::SendBuffer);
        }
        needed
    }

    /// Checks its values.
    ///
    /// # Errors
    /// What is wrong with the first that makes no sense.
    pub fn validate(&self) -> Result<(), ScenarioError> {
        self.loads().try_for_each(|load| load.validate(&self.socket))?;
        let agreed = matches!(&self.load.work, Work::Push(pushes) if pushes.schedule != Schedule::OnConnect);
        if agreed && self.beside.is_some() {
            return Err(ScenarioError::NothingBeside);
        }
        if let Some(bursts) = self.bursts {
            bursts.validate().map_err(ScenarioError::Bursts)?;
            let is_repeatable = matches!(
                self.load.work,
                Work::PingPong(_) | Work::Window(_) | Work::OneWay(_) | Work::Paced(_)
            );
            if !is_repeatable || agreed || self.beside.is_some() || !self.load.steps().is_empty() {
                return Err(ScenarioError::NoBursts);
            }
        }
        if let Some(name) = self.judged_by.iter().find(|name| metric::by_name(name).is_none()) {
            return Err(ScenarioError::NotAMetric(name.clone()));
        }
        match self.server_cores {
            Some(cores) if !(1..=MAX_THREADS).contains(&cores) => Err(ScenarioError::ServerCores(cores)),
            _ => Ok(()),
        }
    }

    /// Whether this is its name, or that of its curve.
    fn is_called(&self, name: &str) -> bool {
        self.name == *name || self.curve.as_deref() == Some(name)
    }

    /// Whether a pattern matches its name, or that of its curve.
    pub fn is_meant_by(&self, pattern: &str) -> bool {
        matches(pattern, &self.name) || self.curve.as_ref().is_some_and(|curve| matches(pattern, curve))
    }

    /// The point of its curve at another offered rate.
    pub fn at_rate(&self, rate_per_s: u64) -> Scenario {
        Scenario {
            name: format!("{}-{rate_per_s}", self.curve.as_ref().unwrap_or(&self.name)),
            load: self.load.at_rate(rate_per_s),
            ..self.clone()
        }
    }

    /// Load and connections in a few words, for headings.
    pub fn summary(&self) -> String {
        let beside = self
            .beside
            .as_ref()
            .map_or(String::new(), |load| format!(" · beside {}", summary::of_load(load)));
        let send_buffer = self
            .socket
            .send_buffer_bytes
            .map_or(String::new(), |bytes| format!(" · send buffer {}", units::bytes(bytes)));
        let tls = if self.socket.tls { " · TLS" } else { "" };
        let bursts = self.bursts.map_or(String::new(), |bursts| {
            format!(" · {} bursts, {} ms of silence before each", bursts.count, bursts.silence_ms)
        });
        format!("{}{bursts}{beside}{send_buffer}{tls}", summary::of_load(&self.load))
    }
}

/// A list of scenarios with a number of rounds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is for, in one sentence.
    pub about: String,
    /// Rounds. Where they are missing, a run has as many as the verdicts on its rows need.
    #[serde(default)]
    pub rounds: Option<u32>,
    /// Rounds of the scenarios whose names match a pattern, where these have others; of several patterns the longest counts.
    #[serde(default)]
    pub rounds_of: BTreeMap<String, u32>,
    /// Which rows meet which, unless the run says otherwise.
    #[serde(default)]
    pub pairs: Pairing,
    /// Names of its scenarios.
    pub scenarios: Vec<String>,
}

impl Profile {
    /// Rounds of a scenario, where the profile says so.
    pub fn rounds_of(&self, scenario: &Scenario) -> Option<u32> {
        let matching = self.rounds_of.iter().filter(|(pattern, _)| scenario.is_meant_by(pattern));
        matching.max_by_key(|(pattern, _)| pattern.len()).map_or(self.rounds, |(_, rounds)| Some(*rounds))
    }
}

/// Which server rows meet which client rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Every row as a server, against one fixed client.
    #[default]
    Servers,
    /// Every row as a client, against one fixed server.
    Clients,
    /// Every row with itself.
    Same,
    /// Every row with every row.
    All,
}

/// Scenarios and profiles by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue {
    /// The scenarios.
    pub scenarios: BTreeMap<String, Scenario>,
    /// The profiles.
    pub profiles: BTreeMap<String, Profile>,
}

/// A catalogue file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct File {
    scenario: BTreeMap<String, Entry>,
    profile: BTreeMap<String, Profile>,
}

/// A scenario as it is written: what it does not say has the default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    about: String,
    #[serde(default)]
    placement: Placement,
    load: LoadFlags,
    #[serde(default)]
    beside: Option<LoadFlags>,
    #[serde(default)]
    bursts: Option<Bursts>,
    #[serde(default)]
    socket: SocketSpec,
    #[serde(default)]
    server_cores: Option<u32>,
    #[serde(default, alias = "ranked_by", deserialize_with = "one_or_several")]
    judged_by: Vec<String>,
    /// Offered rates, each of which becomes a scenario of its own: `name-rate`.
    #[serde(default)]
    curve: Option<Curve>,
}

/// Reads a list, or the only entry of one: a scenario used to have a single metric, `ranked_by`.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "the name of a metric, or a list of them")]
    enum Names {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Option::<Names>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Names::One(name)) => vec![name],
        Some(Names::Several(names)) => names,
    })
}

/// The rates of a curve.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a list of rates, or { from = RATE } to find them")]
enum Curve {
    /// All of them.
    Given(Vec<u64>),
    /// The first one; a run finds the others.
    Found(FirstRate),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstRate {
    from: u64,
}

impl Entry {
    /// The scenarios that it stands for: one, or one for each rate of its curve.
    fn scenarios(self, name: &str) -> Result<Vec<Scenario>, SpecError> {
        let Entry { about, placement, load, beside, bursts, socket, server_cores, judged_by, curve } = self;
        let (rates, finds_rates) = match &curve {
            None => (Vec::new(), false),
            Some(Curve::Given(rates)) => (rates.clone(), false),
            Some(Curve::Found(FirstRate { from })) => (vec![*from], true),
        };
        // A curve has its rates in a list of their own, and its load has none.
        let rate_per_s = rates.first().copied().or(load.rate_per_s);
        let scenario = Scenario {
            name: name.to_owned(),
            about,
            placement,
            load: LoadFlags { rate_per_s, ..load }.try_into()?,
            beside: beside.map(Load::try_from).transpose()?,
            bursts,
            socket,
            server_cores,
            judged_by,
            curve: curve.is_some().then(|| name.to_owned()),
            finds_rates,
        };
        Ok(match curve {
            None => vec![scenario],
            Some(_) => rates.into_iter().map(|rate| scenario.at_rate(rate)).collect(),
        })
    }
}

impl Catalogue {
    /// The built-in catalogue.
    pub fn built_in() -> Catalogue {
        let mut catalogue = Catalogue { scenarios: BTreeMap::new(), profiles: BTreeMap::new() };
        catalogue.extend(BUILT_IN).expect("a test reads the built-in catalogue");
        catalogue
    }

    /// Adds the scenarios and profiles of a TOML text; one that exists already is replaced. Returns the names of the
    /// profiles that the text defines.
    ///
    /// # Errors
    /// When the text is no catalogue, a scenario's values are out of range, or a profile names an unknown scenario.
    pub fn extend(&mut self, text: &str) -> Result<Vec<String>, CatalogueError> {
        let file: File = toml::from_str(text)?;
        for (name, entry) in file.scenario {
            let scenarios = entry
                .scenarios(&name)
                .map_err(|reason| CatalogueError::Scenario { name: name.clone(), reason: reason.into() })?;
            for scenario in scenarios {
                let named = |reason| CatalogueError::Scenario { name: scenario.name.clone(), reason };
                scenario.validate().map_err(named)?;
                self.scenarios.insert(scenario.name.clone(), scenario);
            }
        }
        let names = file.profile.keys().cloned().collect();
        for (name, profile) in file.profile {
            let is_possible = |rounds: &u32| (1..=MAX_ROUNDS).contains(rounds);
            if !profile.rounds.as_ref().is_none_or(is_possible) || profile.scenarios.is_empty() {
                return Err(CatalogueError::Profile(name));
            }
            let most = profile.rounds.unwrap_or(MAX_ROUNDS);
            let own = profile.rounds_of.iter().find(|(_, rounds)| !is_possible(rounds) || **rounds > most);
            if let Some((pattern, rounds)) = own {
                let (pattern, rounds) = (pattern.clone(), *rounds);
                return Err(CatalogueError::Rounds { name, pattern, rounds });
            }
            for scenario in &profile.scenarios {
                if !self.scenarios.values().any(|known| known.is_called(scenario)) {
                    return Err(CatalogueError::NoScenario { name, scenario: scenario.clone() });
                }
            }
            self.profiles.insert(name, profile);
        }
        Ok(names)
    }

    /// The scenarios whose names match `pattern`, in which `*` stands for any characters.
    pub fn matching<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = &'a Scenario> {
        self.scenarios.values().filter(move |scenario| scenario.is_meant_by(pattern))
    }

    /// The scenarios of a profile, in its order.
    pub fn of_profile(&self, profile: &Profile) -> Vec<Scenario> {
        let mut scenarios: Vec<Scenario> = self
            .scenarios
            .values()
            .filter(|scenario| profile.scenarios.iter().any(|name| scenario.is_called(name)))
            .cloned()
            .collect();
        // The points of a curve in the order of their rates, not of their names.
        scenarios.sort_by_key(|scenario| {
            let place = profile.scenarios.iter().position(|name| scenario.is_called(name));
            (place, scenario.load.rate_per_s())
        });
        scenarios
    }
}

/// Whether `name` matches `pattern`, in which `*` stands for any characters.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(place) => rest = &rest[place + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalogue_is_sound() {
        let catalogue = Catalogue::built_in();
        for name in ["seed", "quick", "full"] {
            assert!(catalogue.profiles.contains_key(name), "{name}");
        }
    }

    #[test]
    fn a_users_file_adds_and_replaces() {
        let mut catalogue = Catalogue::built_in();
        let before = catalogue.scenarios.len();
        let names = catalogue
            .extend(
                r#"
                [scenario.mine]
                about = "ours"
                load = { workload = "ping-pong", connections = 7 }
                [profile.ours]
                about = "ours"
                rounds = 2
                scenarios = ["mine", "rtt-24"]
                "#,
            )
            .unwrap();
        assert_eq!(names, ["ours"]);
        assert_eq!(catalogue.scenarios.len(), before + 1);
        assert_eq!(catalogue.scenarios["mine"].load.connections, 7);
        assert_eq!(catalogue.of_profile(&catalogue.profiles["ours"]).len(), 2);
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named() {
        let wrong = |text: &str| Catalogue::built_in().extend(text).unwrap_err().to_string();
        assert!(wrong("x = 1").contains("unknown field `x`"));
        let window = "[scenario.w]\nabout = ''\nload = { workload = 'window', window = 0 }";
        assert!(wrong(window).contains("scenario `w`: window: 0"));
        let profile = "[profile.p]\nabout = ''\nrounds = 1\nscenarios = ['nope']";
        assert!(wrong(profile).contains("no scenario `nope`"));
        let rounds =
            "[profile.p]\nabout = ''\nrounds = 1\nrounds_of = { 'rtt-*' = 0 }\nscenarios = ['rtt-24']";
        assert!(wrong(rounds).contains("0 rounds of `rtt-*`"));
        let more = "[profile.p]\nabout = ''\nrounds = 2\nrounds_of = { 'rtt-*' = 7 }\nscenarios = ['rtt-24']";
        assert!(wrong(more).contains("7 rounds of `rtt-*`"));
        let scenario = |fields: &str| wrong(&format!("[scenario.s]\nabout = ''\n{fields}"));
        assert!(scenario("load = {}\nranked_by = 'beauty'").contains("no metric"));
        assert!(scenario("load = {}\nserver_cores = 0").contains("server cores: 0"));
        assert!(scenario("load = {}\nbeside = { window = 0 }").contains("belong to `window`"));
        let push = "load = { workload = 'push', schedule = 'aligned' }\nbeside = {}";
        assert!(scenario(push).contains("nothing can run beside it"));
    }

    #[test]
    fn rounds_of_a_pattern_and_of_a_longer_one() {
        let mut catalogue = Catalogue::built_in();
        let profile = "[profile.p]\nabout = ''\nrounds = 7\nrounds_of = { 'idle-*' = 2, 'idle-1000*' = 3 }\n\
                       scenarios = ['rtt-24', 'idle-0', 'idle-1000']";
        catalogue.extend(profile).unwrap();
        let rounds = |name: &str| catalogue.profiles["p"].rounds_of(&catalogue.scenarios[name]);
        assert_eq!([rounds("rtt-24"), rounds("idle-0"), rounds("idle-1000")], [7, 2, 3].map(Some));
    }

    #[test]
    fn every_family_of_scalability_is_in_its_profiles() {
        let catalogue = Catalogue::built_in();
        for profile in ["scalability", "scalability-full"] {
            let scenarios = catalogue.of_profile(&catalogue.profiles[profile]);
            for family in [
                "idle",
                "connections",
                "size",
                "storm",
                "churn",
                "push",
                "neighbour",
                "fair",
                "cores",
                "overload",
                "tls",
                "broadcast",
                "slow",
            ] {
                let pattern = format!("{family}-*");
                assert!(
                    scenarios.iter().any(|scenario| scenario.is_meant_by(&pattern)),
                    "{family} is missing in {profile}"
                );
            }
        }
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("rtt-24", "rtt-24", true),
            ("rtt-24", "rtt-240", false),
            ("rtt-*", "rtt-240", true),
            ("*-64*", "window-64-each", true),
            ("*-64", "window-64-each", false),
            ("*", "anything", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
