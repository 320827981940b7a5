//! Records of runs that never took place: the same on every machine, so that what is made of them can be compared letter by
//! letter.

use std::{collections::BTreeMap, fs::File, io::Write, path::Path, time::Duration};

use bench_core::{
    RowInfo,
    protocol::ClientReport,
    row::BuildInfo,
    spec::{Role, Work, Workload},
    tally::Tally,
};
use histogram::{Recorder, Series};
use trial::{
    Edges, Failure, MachineSample, Sample, Step,
    catalogue::{Catalogue, Scenario},
    machine::Machine,
    mark::Mark,
    placement::{Cores, Placement},
    record::{Client, End, Line, Pair, Record, SCHEMA, Session},
};

/// What a run consists of.
pub struct Run<'a> {
    /// Rows, the first of which is the baseline, with what a message costs their servers, in nanoseconds.
    pub rows: &'a [(&'a str, u64)],
    /// Names of scenarios in the built-in catalogue, or of curves.
    pub scenarios: &'a [&'a str],
    pub rounds: u32,
    /// Samples of each distribution.
    pub samples: u64,
    /// Whether every row meets every other.
    pub matrix: bool,
}

/// Numbers that look like noise and are the same every time.
struct Noise(u64);

impl Noise {
    /// From −1 to 1.
    fn next(&mut self) -> f64 {
        // Knuth's MMIX: the upper bits are good enough for wobbling figures.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1_u64 << 30) as f64 - 1.0
    }
}

fn build() -> BuildInfo {
    BuildInfo {
        commit: "0123456789abcdef".to_owned(),
        dirty: false,
        profile: "release".to_owned(),
        lock_sha256: "00".repeat(32),
        rustc: "rustc 1.95.0".to_owned(),
        target: "x86_64-unknown-linux-gnu".to_owned(),
        target_features: "sse2".to_owned(),
        opt_level: "3".to_owned(),
        flags: String::new(),
        features: Vec::new(),
    }
}

fn machine() -> Machine {
    Machine {
        host: "nowhere".to_owned(),
        cpu: "Synthetic".to_owned(),
        cpus: 2,
        memory_bytes: 24 << 30,
        os: "Linux".to_owned(),
        kernel: "6.18".to_owned(),
        arch: "x86_64".to_owned(),
        warnings: vec!["virtual machine: yes: its cores are another machine's threads".to_owned()],
    }
}

impl Run<'_> {
    /// Writes the run's lines; every trial passes through `change` first.
    pub fn write(&self, path: &Path, mut change: impl FnMut(&mut Record)) {
        let mut file = File::create(path).unwrap();
        let mut line = |line: &Line| writeln!(file, "{}", serde_json::to_string(line).unwrap()).unwrap();
        let catalogue = Catalogue::built_in().scenarios;
        let mut scenarios: Vec<Scenario> = catalogue
            .values()
            .filter(|scenario| scenario.curve.is_none())
            .filter(|scenario| self.scenarios.iter().any(|name| scenario.is_meant_by(name)))
            .cloned()
            .collect();
        if self.scenarios.contains(&"curve") {
            scenarios.extend([1_000, 5_000, 20_000, 60_000, 100_000, 140_000].map(|rate| {
                let mut point = catalogue["paced-10000"].clone();
                point.name = format!("curve-{rate}");
                point.curve = Some("curve".to_owned());
                point.load = point.load.at_rate(rate);
                point
            }));
        }
        assert!(!scenarios.is_empty());
        let baseline = self.rows[0].0.to_owned();
        let names = self.rows.iter().map(|(name, _)| (*name).to_owned());
        let mut pairs: Vec<Pair> = Vec::new();
        for server in names {
            let clients: Vec<&str> =
                if self.matrix { self.rows.iter().map(|(name, _)| *name).collect() } else { vec!["tokio"] };
            pairs.extend(
                clients.into_iter().map(|client| Pair { server: server.clone(), client: client.to_owned() }),
            );
        }
        pairs.push(Pair { server: format!("{baseline}#aa"), client: "tokio".to_owned() });
        line(&Line::Session(Session {
            schema: SCHEMA,
            session: "synthetic".to_owned(),
            command: ["target/release/wsbench", "run", "--scenarios", "a*"].map(str::to_owned).into(),
            started_unix_ms: 1_750_000_000_000,
            seed: 7,
            rounds: self.rounds,
            rounds_of: BTreeMap::new(),
            further: Vec::new(),
            profile: None,
            role: Role::Server,
            pairs: pairs.clone(),
            baseline,
            unavailable: [("glommio".to_owned(), "io_uring is disabled".to_owned())].into(),
            missing: false,
            started_by: Vec::new(),
            server_cores: 2,
            counts: false,
            waves: Vec::new(),
            objective: None,
            target: None,
            left_out: BTreeMap::new(),
            not_possible: BTreeMap::new(),
            scenarios: scenarios.clone(),
            machine: machine(),
            build: build(),
        }));
        let mut noise = Noise(7);
        let mut block = 0;
        for round in 0..self.rounds {
            for scenario in &scenarios {
                for (order, pair) in (0..).zip(&pairs) {
                    let mut record = self.trial(scenario, pair, (round, block, order), &mut noise);
                    change(&mut record);
                    line(&Line::Trial(record));
                }
                block += 1;
            }
        }
    }

    fn trial(
        &self,
        scenario: &Scenario,
        pair: &Pair,
        (round, block, order): (u32, u32, u32),
        noise: &mut Noise,
    ) -> Record {
        let row = pair.server.trim_end_matches("#aa");
        let cost = self.rows.iter().find(|(name, _)| *name == row).unwrap().1;
        // Larger messages, and more of them at once, cost more and less.
        let size = 1.0 + scenario.load.payload_bytes as f64 / 20_000.0;
        let in_flight = match scenario.load.work {
            Work::Window(window) => window.in_flight,
            _ => 1,
        };
        let together = f64::from(in_flight).sqrt();
        let cost = cost as f64 * size / together * (1.0 + 0.01 * noise.next());
        let elapsed_ns = 1_000_000_000_u64;
        let rate = match scenario.load.workload() {
            Workload::Paced => scenario.load.rate_per_s().unwrap() as f64,
            _ => 1e9 / (cost + 800.0),
        };
        let units = if scenario.load.workload() == Workload::Idle { 0 } else { rate as u64 };
        let cpu_ns = (units as f64 * cost) as u64;
        // The kernel counts in ticks of 10 ms.
        let tick = |ns: u64| ns / 10_000_000 * 10_000_000;
        let connections = u64::from(scenario.load.connections);
        let rss = (6 << 20) + connections * (6_000 + cost as u64);
        let sample = |cpu_ns: u64, rss_bytes: u64| Sample {
            cpu_ns: 5_000_000 + cpu_ns,
            user_ns: tick(cpu_ns * 3 / 10),
            system_ns: tick(cpu_ns * 7 / 10),
            rss_bytes,
            peak_rss_bytes: rss_bytes + 4_096,
            threads: 1,
            voluntary_switches: cpu_ns / 20_000,
            involuntary_switches: 3,
            open_files: Some(10),
            system_calls: None,
            instructions: None,
            source: trial::sample::Source::Process,
        };
        let samples =
            |cpu_ns, rss| Edges { ready: Some(sample(0, rss)), measured: Some(sample(cpu_ns, rss)) };
        let end = |row: &str| {
            let mut info = RowInfo::new(row.split('-').next().unwrap_or(row), "1.2.3");
            info.row = row.to_owned();
            info.scheduler = "one thread".to_owned();
            info.io_mode = "epoll".to_owned();
            info.websocket = "tungstenite 0.30".to_owned();
            info.status = (row == "async-std").then(|| "discontinued".to_owned());
            End { row: row.to_owned(), info, binary_sha256: "00".repeat(32), workers: 1 }
        };
        let load = rate * cost / 1e9;
        let series = match scenario.load.workload() {
            Workload::Paced => Some(Series::FromIntended),
            Workload::Push => Some(Series::PushLag),
            Workload::PingPong | Workload::Window => Some(Series::RoundTrip),
            _ => None,
        };
        let series = series.map_or(BTreeMap::new(), |series| {
            let recorder = Recorder::default();
            let base = 2.0 * cost * (1.0 + 8.0 * load.min(1.2).powi(4));
            for place in 0..self.samples {
                // A tail that grows with the logarithm of how rare a sample is.
                let rare = self.samples as f64 / (place + 1) as f64;
                let ns = base * (1.0 + 0.25 * rare.ln() + 0.02 * noise.next());
                recorder.record(series, Duration::from_nanos(ns as u64));
            }
            Recorder::merge(&[recorder])
        });
        let report = ClientReport { units, elapsed_ns, series, ..ClientReport::default() };
        let client_cpu_ns = (units as f64 * 5_000.0 * (1.0 + 0.002 * noise.next())) as u64;
        let machine_sample = MachineSample {
            cpu_permille: 500,
            memory_used_bytes: 8 << 30,
            memory_total_bytes: 24 << 30,
            ..MachineSample::default()
        };
        Record {
            schema: SCHEMA,
            session: "synthetic".to_owned(),
            round,
            block,
            attempt: 0,
            order,
            seed: 7,
            scenario: scenario.clone(),
            role: Role::Server,
            placement: scenario.placement,
            cores: cores(scenario.placement),
            server: end(&pair.server),
            client: end(&pair.client),
            server_samples: samples(cpu_ns, rss),
            server_tally: Tally::default(),
            clients: vec![Client { load: 0, samples: samples(client_cpu_ns, 8 << 20), report: Some(report) }],
            started_unix_ms: 1_750_000_000_000,
            took_ns: 2_000_000_000,
            pacing: None,
            dropped: 0,
            disconnected: 0,
            memory_bound_bytes: None,
            bursts: Vec::new(),
            machine_samples: Edges { ready: Some(machine_sample), measured: Some(machine_sample) },
            machine: machine(),
            build: build(),
            marks: Default::default(),
            error: None,
        }
    }
}

fn cores(placement: Placement) -> Cores {
    let mut cores = Cores::anywhere();
    cores.server = vec![1];
    cores.client = vec![if placement == Placement::Split { 0 } else { 1 }];
    cores
}

/// The run that golden files are made of: a tie, a difference, marked trials and a failed one.
pub fn small(path: &Path) {
    let run = Run {
        rows: &[("tokio", 5_000), ("tokio-native", 5_005), ("smol", 6_000), ("async-std", 7_000)],
        scenarios: &["rtt-24", "closed-100", "paced-1000", "push-100", "idle-0", "idle-1000", "idle-5000"],
        rounds: 9,
        samples: 2_000,
        matrix: false,
    };
    run.write(path, |record| {
        if record.server.row == "smol" && record.scenario.name == "closed-100" {
            record.marks.insert(Mark::ClientSaturated);
        }
        if record.server.row == "async-std" && record.scenario.name == "rtt-24" && record.round == 2 {
            record.error =
                Some(Failure { step: Step::Measure, message: "the server ended early".to_owned() });
        }
    });
}

const TEN: &[(&str, u64)] = &[
    ("tokio", 5_400),
    ("tokio-multi", 5_600),
    ("tokio-native", 5_410),
    ("smol", 6_400),
    ("async-std", 6_900),
    ("monoio", 6_800),
    ("compio", 7_000),
    ("mio", 5_100),
    ("threads", 8_000),
    ("python-asyncio", 45_000),
];

/// Ten rows by the scenarios of the profile `full`.
pub fn full(path: &Path) {
    let scenarios = &Catalogue::built_in().profiles["full"].scenarios;
    let scenarios: Vec<&str> = scenarios.iter().map(String::as_str).collect();
    Run { rows: TEN, scenarios: &scenarios, rounds: 10, samples: 12_000, matrix: false }.write(path, |_| {});
}

/// What other scenarios show: a curve, idle connections, pushes, and the original comparison.
pub fn large(path: &Path) {
    let scenarios =
        &["curve", "idle-0", "idle-1000", "idle-5000", "push-100", "push-100-staggered", "seed-*"];
    Run { rows: TEN, scenarios, rounds: 10, samples: 2_000, matrix: false }.write(path, |_| {});
}
