//! Machines whose noise is known: what trials of equal rows show on them.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use wsbench::analysis::verdict::{Block, Sample};

/// Spread of what only one end of a trial sees, on log scale, as in steady phases of the machine that was measured.
const OWN: f64 = 0.006;

/// Real trials: log CPU time per message of server and client, less the row's median, in the order of time.
const RESIDUALS: &str = include_str!("residuals.txt");

/// What disturbs the two ends of a trial alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// Normal, of this spread a trial.
    Normal(f64),
    /// A fast and a slow state of the machine, 10 to 25 % apart, that last for a few trials: a virtual machine whose cores
    /// are shared now and then.
    States,
    /// Student's t with three degrees of freedom, from trial to trial alike by 0.7.
    HeavyTails,
    /// A machine that becomes slower by a tenth over a run, and wanders meanwhile.
    Drift,
    /// Of a tenth of a second, so that a trial has several and its ends see different parts of them.
    Short,
    /// Residuals of real trials, in stretches as they followed each other: of the scenario with this name.
    Real(&'static str),
}

/// Noise of real trials, with the scenario that it is of. In the last one both ends are full.
pub const REAL: [Noise; 6] = [
    Noise::Real("h-shared"),
    Noise::Real("q-closed-100-shared"),
    Noise::Real("q-rtt-24"),
    Noise::Real("q-window-64"),
    Noise::Real("q-one-way-10000"),
    Noise::Real("q-closed-100"),
];

impl Noise {
    pub fn all() -> Vec<Noise> {
        let models = [
            Noise::Normal(0.02),
            Noise::Normal(0.05),
            Noise::States,
            Noise::HeavyTails,
            Noise::Drift,
            Noise::Short,
        ];
        models.into_iter().chain(REAL).collect()
    }

    pub fn name(self) -> String {
        match self {
            Noise::Normal(spread) => format!("normal, {} %", spread * 100.0),
            Noise::States => "two states".to_owned(),
            Noise::HeavyTails => "heavy tails".to_owned(),
            Noise::Drift => "drift".to_owned(),
            Noise::Short => "of a tenth of a second".to_owned(),
            Noise::Real("h-shared") => "real, closed-100-shared, one row".to_owned(),
            Noise::Real(scenario) => format!("real, {}", scenario.trim_start_matches("q-")),
        }
    }
}

/// What the two ends of a trial cost.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    pub server: f64,
    pub client: f64,
}

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// The server's cost.
    Own,
    /// The server's cost over its client's.
    Relative,
}

impl Judged {
    pub fn of(self, costs: Costs) -> f64 {
        match self {
            Judged::Own => costs.server,
            Judged::Relative => costs.server / costs.client,
        }
    }
}

/// A row's trials, by block.
pub type Trials = BTreeMap<Block, Costs>;

/// A run, of which the first row is the baseline.
#[derive(Clone, Debug)]
pub struct Table {
    pub rows: Vec<Trials>,
    /// The baseline's second measurement.
    pub twin: Trials,
}

impl Table {
    /// What the judge sees of it.
    pub fn sample(&self, judged: Judged) -> Sample {
        let values = |trials: &Trials| {
            trials.iter().map(|(block, costs)| (block.clone(), judged.of(*costs))).collect()
        };
        Sample {
            rows: self.rows.iter().map(values).collect(),
            baseline: Some(0),
            twin: values(&self.twin),
            ..Sample::default()
        }
    }
}

/// How the control of a trial has to do with what is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// It is the judged figure, but for a twentieth of a percent.
    Equal,
    /// It shares the noise, and each end has some of its own.
    Near,
    /// It has noise of the same kind, and none in common.
    Independent,
}

impl Control {
    pub const ALL: [Control; 3] = [Control::Equal, Control::Near, Control::Independent];

    pub fn name(self) -> &'static str {
        match self {
            Control::Equal => "equal",
            Control::Near => "near",
            Control::Independent => "independent",
        }
    }
}

/// A stretch of real trials.
type Section = Vec<(f64, f64)>;

/// The machine from trial to trial.
pub struct Machine {
    random: Pcg64,
    noise: Noise,
    control: Control,
    sections: Vec<Section>,
    /// Section and place of the next real trial.
    place: (usize, usize),
    /// What is left of the last trial: one for each of two independent machines.
    states: [f64; 2],
    /// The share of the run that is over.
    over: f64,
}

impl Machine {
    pub fn new(seed: u64, noise: Noise, control: Control) -> Machine {
        let sections = match noise {
            Noise::Real(scenario) => sections(scenario),
            _ => Vec::new(),
        };
        Machine {
            random: Pcg64::seed_from_u64(seed),
            noise,
            control,
            sections,
            place: (0, 0),
            states: [0.0; 2],
            over: 0.0,
        }
    }

    /// A run of all rows, of which these are the true costs of server and client, and of the twin, in shuffled blocks.
    pub fn table(&mut self, truths: &[(f64, f64)], rounds: u32) -> Table {
        let mut rows = vec![Trials::new(); truths.len() + 1];
        for block in 0..rounds {
            self.over = f64::from(block) / f64::from(rounds);
            if !self.sections.is_empty() {
                let section = self.random.random_range(0..self.sections.len());
                self.place = (section, self.random.random_range(0..self.sections[section].len()));
            }
            let mut order: Vec<usize> = (0..rows.len()).collect();
            for place in (1..order.len()).rev() {
                order.swap(place, self.random.random_range(0..=place));
            }
            for row in order {
                let (server, client) = truths.get(row).unwrap_or(&truths[0]);
                let (of_server, of_client) = self.trial();
                let costs = Costs { server: server * of_server.exp(), client: client * of_client.exp() };
                rows[row].insert((String::new(), block), costs);
            }
        }
        let twin = rows.pop().expect("the twin is the last of at least one");
        Table { rows, twin }
    }

    /// The noise of server and client in the next trial, on log scale.
    fn trial(&mut self) -> (f64, f64) {
        if matches!(self.noise, Noise::Real(_)) {
            let section = &self.sections[self.place.0];
            let (server, client) = section[self.place.1 % section.len()];
            self.place.1 += 1;
            return match self.control {
                Control::Equal => (server, server),
                Control::Near => (server, client),
                Control::Independent => {
                    let any = self.random.random_range(0..section.len());
                    (server, section[any].1)
                }
            };
        }
        let (server, client) = self.common(0);
        let own = server + OWN * self.normal();
        let control = match self.control {
            Control::Equal => own + 0.0005 * self.normal(),
            Control::Near => client + OWN * self.normal(),
            Control::Independent => self.common(1).1 + OWN * self.normal(),
        };
        (own, control)
    }

    /// What one machine does to both ends of its next trial.
    fn common(&mut self, machine: usize) -> (f64, f64) {
        let last = self.states[machine];
        let both = match self.noise {
            Noise::Normal(spread) => spread * self.normal(),
            Noise::States if last > 0.0 && !self.random.random_bool(0.2) => last,
            Noise::States if last == 0.0 && self.random.random_bool(0.08) => {
                self.random.random_range(0.10..0.25)
            }
            Noise::States => 0.0,
            Noise::HeavyTails => {
                let squares: f64 = (0..3).map(|_| self.normal().powi(2)).sum();
                0.7 * last + 0.714 * 0.015 * self.normal() / (squares / 3.0).sqrt()
            }
            Noise::Drift => last + 0.004 * self.normal(),
            Noise::Short => return self.short(),
            Noise::Real(_) => unreachable!("real trials come as they are"),
        };
        self.states[machine] = both;
        let drift = if self.noise == Noise::Drift { 0.1 * self.over } else { 0.0 };
        (both + drift, both + drift)
    }

    /// Seven parts of a tenth of a second, of which each end had some share.
    fn short(&mut self) -> (f64, f64) {
        let mut ends = (0.0, 0.0);
        for _ in 0..7 {
            let part = 0.05 * self.normal() / 7.0;
            ends.0 += part * self.random.random_range(0.0..2.0);
            ends.1 += part * self.random.random_range(0.0..2.0);
        }
        ends
    }

    /// By Box and Muller.
    fn normal(&mut self) -> f64 {
        let (one, other): (f64, f64) = (self.random.random(), self.random.random());
        (-2.0 * (1.0 - one).ln()).sqrt() * (std::f64::consts::TAU * other).cos()
    }
}

/// The sections of a scenario: each is headed by its name and its number of trials.
fn sections(scenario: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut wanted = false;
    for line in RESIDUALS.lines() {
        let (first, second) = line.split_once(' ').expect("two words a line");
        match (first.parse(), second.parse()) {
            (Ok(server), Ok(client)) if wanted => {
                sections.last_mut().expect("a heading comes first").push((server, client));
            }
            (Ok(_), _) => {}
            _ => {
                wanted = first == scenario;
                if wanted {
                    sections.push(Section::new());
                }
            }
        }
    }
    assert!(!sections.is_empty(), "{scenario}");
    sections
}
