//! The client's half of a trial: connect, warm up, measure, drain, close.
//!
//! Both edges of the measured window are quiescent: between them and the events that announce them nothing runs and
//! nothing is in flight.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    DriveSpec, Socket, SocketError, Timer,
    histogram::{Distribution, Recorder, Series},
    pacer::Pacer,
    payload::{Class, PayloadSource},
    protocol::{Command, Control, Measured},
    service::{self, Push},
    spec::{Load, Pacing, Schedule, SocketSpec, Target, Workload},
    tally::Tally,
    timer::{instant_at, now_ns, within},
    workload::{self, Pace, Progress, Script, Stop, WorkloadError},
};

/// Time between connecting and the first push of an aligned or staggered schedule: wsbench samples both processes in
/// it, and every connection has to stand before it ends.
const PUSH_LEAD: Duration = Duration::from_secs(1);

/// Added to [`PUSH_LEAD`] for each connection: several times what a handshake costs the slowest row.
const PUSH_LEAD_PER_CONNECTION: Duration = Duration::from_micros(500);

/// Time between the start of a paced load and its first intended instant, so that every connection's task runs by then;
/// and more for each connection.
const PACE_LEAD: Duration = Duration::from_millis(2);
const PACE_LEAD_PER_CONNECTION: Duration = Duration::from_micros(5);

/// How long after its end a paced load may go on sending what it is behind with.
const PACE_CATCH_UP: Duration = Duration::from_secs(1);

/// Errors that are quoted; the rest is counted.
const ERRORS_QUOTED: usize = 5;

/// What a runtime brings for a client: how it connects, spawns and sleeps.
pub trait Runtime: Clone + 'static {
    /// The runtime's TCP stream.
    type Stream;
    /// The row's WebSocket connection.
    type Socket: Socket + 'static;
    /// The runtime's timer.
    type Timer: Timer;

    /// Opens a TCP connection and sets TCP_NODELAY.
    fn connect(&self, addr: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Runs the client's half of the opening handshake for `url`.
    fn upgrade(
        &self,
        stream: Self::Stream,
        url: &str,
        spec: &SocketSpec,
    ) -> impl Future<Output = Result<Self::Socket, SocketError>>;

    /// The runtime's timer.
    fn timer(&self) -> Self::Timer;

    /// Starts a task at once that runs [`Job::run`]; the future completes with its result, or with `None` when the
    /// task panicked.
    fn spawn(&self, job: Job<Self>) -> impl Future<Output = Option<Lane<Self::Socket>>>;
}

/// What a client reports when it ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drove {
    /// Units of the measured window: round trips, acknowledged messages, deliveries or handshakes.
    pub units: u64,
    /// Length of the measured window in nanoseconds: from its start (for pushes on an agreed schedule: from the first
    /// due instant) to the last answer.
    pub elapsed_ns: u64,
    /// Messages by class, over all connections.
    pub tally: Tally,
    /// Messages of a paced load that were intended and could not be sent before it gave up.
    #[serde(default)]
    pub not_sent: u64,
    /// Distributions of the measured window.
    pub series: BTreeMap<Series, Distribution>,
    /// What went wrong, connection by connection; the first few are quoted.
    pub errors: Vec<String>,
    /// Connections with an error.
    pub failed_connections: u64,
    /// Panics in the process.
    pub panics: u64,
}

/// One connection of a client, between phases.
#[derive(Debug)]
pub struct Lane<S> {
    index: u32,
    socket: Option<S>,
    push: Push,
    progress: Progress,
    finished: Instant,
    error: Option<WorkloadError>,
}

/// One phase of one connection: what a runtime spawns.
#[derive(Debug)]
pub struct Job<R: Runtime> {
    runtime: R,
    target: Arc<Target>,
    spec: Arc<SocketSpec>,
    script: Script,
    pace: Option<(Pace, Option<Arc<Pacer>>)>,
    lane: Lane<R::Socket>,
}

impl<R: Runtime> Job<R> {
    /// Runs the phase to its end. An error ends this connection only and stays in its lane.
    pub async fn run(mut self) -> Lane<R::Socket> {
        let result = self.work().await;
        self.lane.finished = Instant::now();
        if let Err(error) = result {
            self.lane.socket = None;
            self.lane.error = Some(error);
        }
        self.lane
    }

    async fn work(&mut self) -> Result<(), WorkloadError> {
        if self.script.load.workload == Workload::Connect {
            return self.connect_repeatedly().await;
        }
        let socket = match &mut self.lane.socket {
            Some(socket) => socket,
            // Pushes that begin with the connection: connecting belongs to the window.
            missing => {
                let url = self.target.url(&self.lane.push.path());
                missing.insert(open(&self.runtime, &self.target, &url, &self.spec).await?)
            }
        };
        let (script, progress) = (&self.script, &mut self.lane.progress);
        match script.load.workload {
            Workload::PingPong => workload::ping_pong(socket, script, progress).await,
            Workload::Window => workload::window(socket, script, progress).await,
            Workload::OneWay => workload::one_way(socket, script, progress).await,
            Workload::Push => workload::push(socket, &self.lane.push, script, progress).await,
            Workload::Idle => {
                if let Stop::At(end) = script.stop {
                    self.runtime.timer().sleep_until(end).await;
                }
                Ok(())
            }
            Workload::Paced => {
                let Some((pace, pacer)) = &self.pace else { return Ok(()) };
                match pacer {
                    Some(pacer) => workload::paced(socket, *pace, &**pacer, script, progress).await,
                    None => workload::paced(socket, *pace, &self.runtime.timer(), script, progress).await,
                }
            }
            Workload::Connect => unreachable!("handled above"),
        }
    }

    /// Connect, upgrade, first push, each timed apart; closing is not timed.
    async fn connect_repeatedly(&mut self) -> Result<(), WorkloadError> {
        let push = Push { class: self.script.class, ..self.lane.push.clone() };
        let url = self.target.url(&push.path());
        let (limit, close_limit) = (self.spec.handshake_timeout(), self.spec.close_timeout());
        let timer = self.runtime.timer();
        let mut done = 0;
        loop {
            let start = Instant::now();
            if match self.script.stop {
                Stop::After(count) => done >= count,
                Stop::At(end) => start >= end,
            } {
                return Ok(());
            }
            let stream = self.runtime.connect(self.target.addr).await.map_err(SocketError::Io)?;
            let connected = Instant::now();
            let upgrade = self.runtime.upgrade(stream, &url, &self.spec);
            let mut socket = within(&timer, limit, "the opening handshake", upgrade).await?;
            let upgraded = Instant::now();
            workload::first_push(&mut socket, &push, &mut self.lane.progress).await?;
            let pushed = Instant::now();
            self.script.record(Series::TcpConnect, connected - start);
            self.script.record(Series::Upgrade, upgraded - connected);
            self.script.record(Series::FirstPush, pushed - upgraded);
            self.script.record(Series::ConnectToFirstPush, pushed - start);
            within(&timer, close_limit, "the closing handshake", socket.close()).await?;
            done += 1;
        }
    }
}

async fn open<R: Runtime>(
    runtime: &R,
    target: &Target,
    url: &str,
    spec: &SocketSpec,
) -> Result<R::Socket, SocketError> {
    let opening = async {
        let stream = runtime.connect(target.addr).await?;
        runtime.upgrade(stream, url, spec).await
    };
    within(&runtime.timer(), spec.handshake_timeout(), "the opening handshake", opening).await
}

/// Carries out a client's half of a trial on `runtime`, under the control of whoever started the process.
///
/// # Errors
/// When the server cannot be reached, the control is gone, or an agreed push schedule began too early. Errors of
/// single connections are part of the result.
pub async fn drive<R: Runtime>(runtime: R, spec: &DriveSpec, mut control: Control) -> anyhow::Result<Drove> {
    if control.reflects() {
        return reflect(&runtime, spec).await;
    }
    let mut client = Client::connect(runtime, spec).await?;
    if spec.load.warm_up_ms > 0 && client.warms_up() {
        let start = client.start();
        let stop = Stop::At(start + Duration::from_millis(spec.load.warm_up_ms));
        client.phase(Class::WarmUp, start, stop, None).await;
    }
    client.ensure_sound()?;

    let recorders: Vec<Recorder> = (0..spec.threads).map(|_| Recorder::default()).collect();
    let mut total = Measured::default();
    let mut command = control.ready()?;
    while let Command::Go(messages) = command {
        let window = client.measure(messages, &recorders).await?;
        total.units += window.units;
        total.elapsed_ns += window.elapsed_ns;
        command = control.measured(&window)?;
    }
    Ok(client.finish(total, &recorders).await)
}

/// The service `/echo` at the client's end, for conformance tests whose server asks the questions. What such a server
/// does to the connection is its test and no failure.
async fn reflect<R: Runtime>(runtime: &R, spec: &DriveSpec) -> anyhow::Result<Drove> {
    let target = Target::parse(&spec.target)?;
    let mut socket = open(runtime, &target, &target.url("/echo"), &spec.socket).await?;
    let mut drove = Drove::default();
    if let Err(error) = service::echo(&mut socket, &mut drove.tally).await {
        drove.errors.push(error.to_string());
    }
    drove.panics = crate::runner::panics();
    Ok(drove)
}

struct Client<R: Runtime> {
    runtime: R,
    target: Arc<Target>,
    spec: Arc<SocketSpec>,
    load: Load,
    payloads: PayloadSource,
    lanes: Vec<Lane<R::Socket>>,
    /// First due instant of an agreed push schedule.
    first_due_ns: Option<u64>,
    /// One for each worker, where a paced load does not wait with the runtime's timers.
    pacers: Vec<Arc<Pacer>>,
    panicked: u64,
}

impl<R: Runtime> Client<R> {
    async fn connect(runtime: R, spec: &DriveSpec) -> anyhow::Result<Client<R>> {
        let load = spec.load.clone();
        let mut client = Client {
            runtime,
            target: Arc::new(Target::parse(&spec.target)?),
            spec: Arc::new(spec.socket.clone()),
            payloads: PayloadSource::new(load.payload_bytes as usize),
            lanes: Vec::with_capacity(load.connections as usize),
            first_due_ns: None,
            pacers: match spec.pacing {
                Pacing::Spin => (0..spec.threads).map(|_| Arc::default()).collect(),
                Pacing::Timers => Vec::new(),
            },
            panicked: 0,
            load,
        };
        if client.load.workload == Workload::Push && client.load.schedule != Schedule::OnConnect {
            let lead = PUSH_LEAD + PUSH_LEAD_PER_CONNECTION * client.load.connections;
            client.first_due_ns = Some(now_ns() + lead.as_nanos() as u64);
        }
        for index in 0..client.load.connections {
            let lane = client.open_lane(index).await?;
            client.lanes.push(lane);
        }
        Ok(client)
    }

    async fn open_lane(&self, index: u32) -> anyhow::Result<Lane<R::Socket>> {
        let push = self.push_plan(index);
        let path = match self.load.workload {
            Workload::PingPong | Workload::Window | Workload::Idle | Workload::Paced => {
                Some("/echo".to_owned())
            }
            Workload::OneWay => Some(format!("/sink?messages={}", self.load.batch())),
            Workload::Push if push.first_ns.is_some() => Some(push.path()),
            // These connect inside the measured window.
            Workload::Push | Workload::Connect => None,
        };
        let socket = match path {
            None => None,
            Some(path) => {
                let url = self.target.url(&path);
                let opened = open(&self.runtime, &self.target, &url, &self.spec).await;
                Some(opened.with_context(|| format!("connection {index} to {url}"))?)
            }
        };
        let progress = Progress::default();
        Ok(Lane { index, socket, push, progress, finished: Instant::now(), error: None })
    }

    fn push_plan(&self, index: u32) -> Push {
        let load = &self.load;
        if load.workload != Workload::Push {
            return Push::default();
        }
        let period_ns = load.every_us * 1_000;
        let offset_ns = match load.schedule {
            Schedule::Staggered => period_ns * u64::from(index) / u64::from(load.connections),
            Schedule::Aligned | Schedule::OnConnect => 0,
        };
        Push {
            first_ns: self.first_due_ns.map(|first| first + offset_ns),
            every_us: load.every_us,
            count: load.pushes(),
            payload_bytes: load.payload_bytes,
            class: Class::Measured,
        }
    }

    /// Pushes cannot be rehearsed: they are the server's. An idle connection has nothing to rehearse.
    fn warms_up(&self) -> bool {
        !matches!(self.load.workload, Workload::Push | Workload::Idle)
    }

    async fn measure(&mut self, messages: Option<u64>, recorders: &[Recorder]) -> anyhow::Result<Measured> {
        let mut start = self.start();
        if let Some(first_due_ns) = self.first_due_ns {
            let first_due = instant_at(first_due_ns);
            ensure!(Instant::now() < first_due, "the push schedule had begun before the measured window did");
            start = first_due;
        }
        let counted = match self.load.workload {
            Workload::Connect | Workload::PingPong | Workload::Window => messages.or(self.load.messages),
            // A controller that asks for a number of messages of these asks for so many batches.
            Workload::OneWay => messages,
            Workload::Push | Workload::Idle | Workload::Paced => None,
        };
        let stop = counted
            .map_or_else(|| Stop::At(start + Duration::from_millis(self.load.duration_ms)), Stop::After);
        let before: u64 = self.units();
        self.phase(Class::Measured, start, stop, Some(recorders)).await;
        let end = self.lanes.iter().map(|lane| lane.finished).max().unwrap_or(start);
        let elapsed_ns = end.saturating_duration_since(start).as_nanos() as u64;
        Ok(Measured { units: self.units() - before, elapsed_ns })
    }

    /// When a phase that is begun now starts.
    fn start(&self) -> Instant {
        let lead = match self.load.workload {
            Workload::Paced => PACE_LEAD + PACE_LEAD_PER_CONNECTION * self.load.connections,
            _ => Duration::ZERO,
        };
        Instant::now() + lead
    }

    /// The intended instants of one connection between `start` and `stop`.
    fn pace(&self, connection: u32, start: Instant, stop: Stop) -> Option<Pace> {
        let (rate_per_s, Stop::At(end)) = (self.load.rate_per_s?, stop) else { return None };
        Some(Pace {
            start,
            rate_per_s,
            messages: ((end - start).as_nanos() * u128::from(rate_per_s) / 1_000_000_000) as u64,
            connections: self.load.connections.into(),
            connection: connection.into(),
            give_up: end + PACE_CATCH_UP,
        })
    }

    fn units(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.progress.units).sum()
    }

    /// Runs every sound lane as a task of its own and waits for all.
    async fn phase(&mut self, class: Class, start: Instant, stop: Stop, recorders: Option<&[Recorder]>) {
        let (sound, mut lanes): (Vec<_>, Vec<_>) =
            self.lanes.drain(..).partition(|lane| lane.error.is_none());
        let mut tasks = Vec::with_capacity(sound.len());
        for lane in sound {
            let recorder =
                recorders.map(|recorders| recorders[lane.index as usize % recorders.len()].clone());
            let script = Script {
                load: self.load.clone(),
                class,
                stop,
                recorder,
                payloads: self.payloads.for_connection(lane.index.into()),
            };
            let pacer = self.pacers.get(lane.index as usize % self.pacers.len().max(1)).cloned();
            let pace = self.pace(lane.index, start, stop).map(|pace| (pace, pacer));
            let (target, spec) = (self.target.clone(), self.spec.clone());
            let job = Job { runtime: self.runtime.clone(), target, spec, script, pace, lane };
            tasks.push(self.runtime.spawn(job));
        }
        for task in tasks {
            match task.await {
                Some(lane) => lanes.push(lane),
                None => self.panicked += 1,
            }
        }
        if class == Class::WarmUp {
            lanes.iter_mut().for_each(|lane| (lane.progress.units, lane.progress.not_sent) = (0, 0));
        }
        self.lanes = lanes;
    }

    /// A connection that failed in the warm-up fails the trial before it is measured.
    fn ensure_sound(&self) -> anyhow::Result<()> {
        ensure!(self.panicked == 0, "{} connections panicked in the warm-up", self.panicked);
        match self.lanes.iter().find_map(|lane| Some((lane.index, lane.error.as_ref()?))) {
            None => Ok(()),
            Some((index, error)) => anyhow::bail!("warm-up, connection {index}: {error}"),
        }
    }

    async fn finish(mut self, total: Measured, recorders: &[Recorder]) -> Drove {
        let limit = self.spec.close_timeout();
        for lane in &mut self.lanes {
            if let Some(mut socket) = lane.socket.take() {
                let timer = self.runtime.timer();
                let closed = within(&timer, limit, "the closing handshake", socket.close()).await;
                lane.error = closed.err().map(WorkloadError::Socket);
            }
        }
        let mut drove = Drove {
            units: total.units,
            elapsed_ns: total.elapsed_ns,
            series: Recorder::merge(recorders),
            panics: crate::runner::panics(),
            failed_connections: self.panicked,
            ..Drove::default()
        };
        for lane in &self.lanes {
            drove.tally.add(&lane.progress.tally);
            drove.not_sent += lane.progress.not_sent;
            if let Some(error) = &lane.error {
                drove.failed_connections += 1;
                if drove.errors.len() < ERRORS_QUOTED {
                    drove.errors.push(format!("connection {}: {error}", lane.index));
                }
            }
        }
        drove
    }
}
