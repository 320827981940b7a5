//! The client's half of a trial: connect, warm up, measure, drain, close.
//!
//! Both edges of the measured window are quiescent: between them and the events that announce them nothing runs and
//! nothing is in flight.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use futures::{StreamExt, stream};
use histogram::Recorder;

use crate::{
    ClientConnection, ClientTask, DriveSpec, Runtime, Socket,
    interrupt::Interrupt,
    pacer::Pacer,
    panics::panics,
    payload::{Class, PayloadSource},
    protocol::{ClientReport, Command, Control, Measured},
    service::{self, Push, fanout::Subscription},
    spec::{AnyServer, Idle, Load, Pacing, PingPong, Schedule, Target, Work},
    timer::{instant_at, now_ns},
    workload::{Progress, Script, Stop, WorkloadError, broadcast},
};

mod announced;
mod connect;
mod connection;
mod cut;
mod finish;
mod open;
mod pass;
mod task;
#[cfg(test)]
mod tests;
mod waits;

use announced::announced;
pub use connection::Connection;
use connection::PUBLISHER;
use cut::Cut;
use open::Opened;
pub use open::Opener;
use pass::Pass;
use task::Part;
pub use task::Task;
use waits::Waits;

/// Time between connecting and the first push of an aligned or staggered schedule: wsbench samples both processes in
/// it, and every connection has to stand before it ends.
const PUSH_LEAD: Duration = Duration::from_secs(1);

/// Added to [`PUSH_LEAD`] for each connection: ten times what a handshake costs a row, because a virtual machine may lose
/// more than half of its time for seconds (with half as much, 2 of 128 trials of 5,000 connections failed on one).
const PUSH_LEAD_PER_CONNECTION: Duration = Duration::from_millis(1);

/// Time between the start of a client and the first push of its schedule, where one is agreed; zero where none is.
pub fn push_lead(load: &Load) -> Duration {
    match &load.work {
        Work::Push(pushes) if pushes.schedule != Schedule::OnConnect => {
            PUSH_LEAD + PUSH_LEAD_PER_CONNECTION * load.connections
        }
        _ => Duration::ZERO,
    }
}

/// Time between the start of a paced load and its first intended instant, so that every connection's task runs by then;
/// and more for each connection.
const PACE_LEAD: Duration = Duration::from_millis(2);
const PACE_LEAD_PER_CONNECTION: Duration = Duration::from_micros(5);

/// Carries out a client's half of a trial on `runtime`, under the control of whoever started the process.
///
/// # Errors
/// When the server cannot be reached, the control is gone, or an agreed push schedule began too early. Errors of
/// single connections are part of the result.
pub async fn drive<R: Runtime>(
    runtime: R,
    spec: &DriveSpec,
    mut control: Control,
) -> anyhow::Result<ClientReport> {
    if control.reflects() {
        return reflect(&runtime, spec).await;
    }
    let mut client = Client::connect(runtime, spec, &control).await?;
    client.warm_up().await?;
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
async fn reflect<R: Runtime>(runtime: &R, spec: &DriveSpec) -> anyhow::Result<ClientReport> {
    let opener = opener(runtime, spec)?;
    let mut socket = opener.open(&opener.url("/echo")).await?.socket;
    let mut drove = ClientReport::default();
    if let Err(error) = service::echo(&mut socket, 0, &mut drove.tally).await {
        drove.errors.push(error.to_string());
    }
    drove.panics = panics();
    Ok(drove)
}

fn opener<R: Runtime>(runtime: &R, spec: &DriveSpec) -> anyhow::Result<Opener<R::Net, R>> {
    let target = Target::parse(&spec.target)?;
    Ok(Opener::new(runtime.clone(), Arc::new(target), Arc::new(spec.socket.clone())))
}

struct Client<R: Runtime> {
    runtime: R,
    opener: Opener<R::Net, R>,
    load: Load,
    payloads: PayloadSource,
    connections: Vec<ClientConnection<R>>,
    /// First due instant of an agreed push schedule.
    first_due_ns: Option<u64>,
    /// Messages a second in a closed loop, where the load has steps.
    capacity_per_s: Option<u64>,
    /// One for each worker, where a paced load does not wait with the runtime's timers.
    pacers: Vec<Arc<Pacer>>,
    panicked: u64,
    any_server: Option<AnyServer>,
    /// What ends everything early, where the server is not wsbench's own.
    interrupt: Interrupt,
}

impl<R: Runtime> Client<R> {
    async fn connect(runtime: R, spec: &DriveSpec, control: &Control) -> anyhow::Result<Client<R>> {
        let load = spec.load.clone();
        let mut client = Client {
            opener: opener(&runtime, spec)?,
            runtime,
            payloads: PayloadSource::new(load.payload_bytes as usize),
            connections: Vec::with_capacity(load.all_connections() as usize),
            first_due_ns: None,
            capacity_per_s: None,
            pacers: match spec.pacing {
                Pacing::Spin => (0..spec.threads).map(|_| Arc::default()).collect(),
                Pacing::Sleep => vec![Arc::new(Pacer::sleeping()?)],
                Pacing::Timers => Vec::new(),
            },
            panicked: 0,
            any_server: spec.any_server,
            interrupt: control.interrupt().clone(),
            load,
        };
        let lead = push_lead(&client.load);
        if lead > Duration::ZERO {
            client.first_due_ns = Some(now_ns() + lead.as_nanos() as u64);
        }
        match client.any_server {
            None => {
                for index in 0..client.load.all_connections() {
                    let connection = client.open(index).await?;
                    client.connections.push(connection);
                }
            }
            Some(any_server) => client.open_many(any_server, control).await?,
        }
        Ok(client)
    }

    /// Opens all connections, so many at once, and none before its turn. Those that fail stay without a socket, and with
    /// their error.
    async fn open_many(&mut self, any_server: AnyServer, control: &Control) -> anyhow::Result<()> {
        let AnyServer { connecting, connect_rate, skip, .. } = any_server;
        let start = Instant::now();
        let pass = Pass::new(self.load.clone(), Class::WarmUp, start, Stop::After(0), None);
        let open = |index: u32| {
            let connection = Connection::closed(index, Push::default());
            let part = Part::Open { path: "/echo".to_owned(), skip };
            let begins = connect_rate.map(|rate| start + Duration::from_secs(index.into()) / rate);
            let cut = Cut { at: None, raised: self.interrupt.raised(index) };
            self.runtime.spawn(Task { part, begins, cut: Some(cut), ..self.task(&pass, connection, None) })
        };
        let wanted = (0..self.load.all_connections()).take_while(|_| !self.interrupt.came());
        let opening = stream::iter(wanted).map(open).buffer_unordered(connecting as usize);
        let opened = announced(opening, &self.runtime, control).await?;
        self.panicked += opened.iter().filter(|connection| connection.is_none()).count() as u64;
        self.connections = opened.into_iter().flatten().collect();
        Ok(())
    }

    async fn open(&self, index: u32) -> anyhow::Result<ClientConnection<R>> {
        let push = self.push_plan(index);
        let path = match &self.load.work {
            Work::PingPong(_) | Work::Window(_) | Work::Idle(_) | Work::Paced(_) => {
                Some(match self.load.burn_us() {
                    0 => "/echo".to_owned(),
                    micros => format!("/echo?burn_us={micros}"),
                })
            }
            Work::OneWay(one_way) => Some(format!("/sink?messages={}", one_way.batch)),
            Work::Broadcast(_) if index == PUBLISHER => Some("/publish".to_owned()),
            Work::Broadcast(work) => {
                Some(Subscription { queue: work.queue, when_full: work.when_full }.path())
            }
            Work::Push(_) if push.first_ns.is_some() => Some(push.path()),
            // These connect inside the measured window.
            Work::Push(_) | Work::Connect(_) => None,
        };
        let mut progress = Progress::default();
        let socket = match path {
            None => None,
            Some(path) => {
                let url = self.opener.url(&path);
                let opening = async {
                    let Opened { mut socket, .. } = self.opener.open(&url).await?;
                    if matches!(self.load.work, Work::Broadcast(_)) && index != PUBLISHER {
                        broadcast::subscribed(&mut socket, &mut progress).await?;
                    }
                    Ok::<_, WorkloadError>(socket)
                };
                Some(opening.await.with_context(|| format!("connection {index} to {url}"))?)
            }
        };
        let secured = socket.as_ref().and_then(Socket::secured);
        Ok(Connection { socket, secured, progress, ..Connection::closed(index, push) })
    }

    fn push_plan(&self, index: u32) -> Push {
        let Work::Push(pushes) = &self.load.work else { return Push::default() };
        let period_ns = pushes.every_us * 1_000;
        // Spread evenly over all schedules: this connection's first one here, its others over the period.
        let (offset_ns, spread_us) = match pushes.schedule {
            Schedule::Staggered => {
                let schedules = u64::from(self.load.connections) * pushes.timers;
                (period_ns * u64::from(index) / schedules, pushes.every_us)
            }
            Schedule::Aligned | Schedule::OnConnect => (0, 0),
        };
        Push {
            first_ns: self.first_due_ns.map(|first| first + offset_ns),
            every_us: pushes.every_us,
            count: pushes.count * pushes.timers,
            timers: pushes.timers,
            spread_us,
            payload_bytes: self.load.payload_bytes,
            class: Class::Measured,
        }
    }

    /// What comes before the measured window.
    async fn warm_up(&mut self) -> anyhow::Result<()> {
        let length = Duration::from_millis(self.load.warm_up_ms);
        let closed_loop = Load { work: Work::PingPong(PingPong::default()), ..self.load.clone() };
        match &self.load.work {
            // An idle connection has nothing to rehearse.
            Work::Idle(Idle { touch: true }) => {
                self.phase(closed_loop, Class::WarmUp, Instant::now(), Stop::After(1), None).await;
            }
            // Pushes cannot be rehearsed: they are the server's.
            Work::Push(_) | Work::Idle(_) => {}
            _ if length.is_zero() => {}
            Work::Paced(_) if !self.load.steps().is_empty() => {
                // What the first half is slow with, such as memory that is touched for the first time, does not count.
                for _ in 0..2 {
                    let start = Instant::now();
                    let stop = Stop::At(start + length / 2);
                    let units = self.phase(closed_loop.clone(), Class::WarmUp, start, stop, None).await;
                    let seconds = start.elapsed().as_secs_f64();
                    self.capacity_per_s = Some((units as f64 / seconds) as u64);
                }
                ensure!(
                    self.interrupt.came() || self.capacity_per_s.is_some_and(|rate| rate > 0),
                    "no message came back in the warm-up: there is no capacity to take shares of"
                );
            }
            _ => {
                let start = self.start();
                self.phase(self.load.clone(), Class::WarmUp, start, Stop::At(start + length), None).await;
            }
        }
        Ok(())
    }

    async fn measure(&mut self, messages: Option<u64>, recorders: &[Recorder]) -> anyhow::Result<Measured> {
        let mut start = self.start() + Duration::from_millis(self.load.delay_ms);
        if let Some(first_due_ns) = self.first_due_ns {
            let first_due = instant_at(first_due_ns);
            ensure!(Instant::now() < first_due, "the push schedule had begun before the measured window did");
            start = first_due;
        }
        let counted = match &self.load.work {
            Work::Connect(_) | Work::PingPong(_) | Work::Window(_) if !self.load.is_paced() => {
                messages.or(self.load.messages())
            }
            // A controller that asks for a number of messages of these asks for so many batches.
            Work::OneWay(_) => messages,
            _ => None,
        };
        let stop = counted
            .map_or_else(|| Stop::At(start + Duration::from_millis(self.load.window_ms())), Stop::After);
        if self.load.slice_ms > 0 {
            let length = Duration::from_millis(self.load.slice_ms);
            recorders.iter().for_each(|recorder| recorder.slice(start, length));
        }
        let units = self.phase(self.load.clone(), Class::Measured, start, stop, Some(recorders)).await;
        // A connection that failed has ended whenever it was given up.
        let sound = self.connections.iter().filter(|connection| connection.error.is_none());
        let end = sound.map(|connection| connection.finished).max().unwrap_or_else(Instant::now);
        let elapsed_ns = end.saturating_duration_since(start).as_nanos() as u64;
        Ok(Measured { units, elapsed_ns })
    }

    /// When a phase that is begun now starts.
    fn start(&self) -> Instant {
        let lead = match self.load.is_paced() {
            true => PACE_LEAD + PACE_LEAD_PER_CONNECTION * self.load.all_connections(),
            false => Duration::ZERO,
        };
        Instant::now() + lead
    }

    fn publishes(&self, index: u32) -> bool {
        matches!(self.load.work, Work::Broadcast(_)) && index == PUBLISHER
    }

    fn units(&self) -> u64 {
        self.connections.iter().map(|connection| connection.progress.units).sum()
    }

    /// Runs every sound connection as a task of its own, waits for all and returns the units that were done.
    async fn phase(
        &mut self,
        load: Load,
        class: Class,
        start: Instant,
        stop: Stop,
        recorders: Option<&[Recorder]>,
    ) -> u64 {
        let before = self.units();
        let mut pass = Pass::new(load, class, start, stop, self.capacity_per_s);
        pass.listens = self.any_server.is_some();
        let (sound, mut connections): (Vec<_>, Vec<_>) =
            self.connections.drain(..).partition(|connection| connection.error.is_none());
        let mut tasks = Vec::with_capacity(sound.len());
        for connection in sound {
            let task = self.task(&pass, connection, recorders);
            tasks.push(self.runtime.spawn(task));
        }
        for task in tasks {
            match task.await {
                Some(connection) => connections.push(connection),
                None => self.panicked += 1,
            }
        }
        self.connections = connections;
        // A task that panicked has taken its units along.
        let units = self.units().saturating_sub(before);
        if class == Class::WarmUp {
            self.connections.iter_mut().for_each(|connection| connection.progress.forget());
        }
        units
    }

    /// What one connection does in a pass.
    fn task(
        &self,
        pass: &Pass,
        connection: ClientConnection<R>,
        recorders: Option<&[Recorder]>,
    ) -> ClientTask<R> {
        let index = connection.index;
        let script = Script {
            kind: pass.load.kind,
            payload_bytes: pass.load.payload_bytes,
            class: pass.class,
            stop: pass.stop,
            recorder: recorders.map(|recorders| recorders[index as usize % recorders.len()].clone()),
            stalled: pass.stall(index).is_some(),
            payloads: self.payloads.for_connection(index.into()),
        };
        Task {
            opener: self.opener.clone(),
            waits: self.waits(pass.is_paced(), index),
            begins: pass.begins(),
            cut: self.cut(pass, index),
            part: pass.part(index),
            script,
            connection,
        }
    }

    /// What may end the part of a connection before it is done: it waits for an answer for too long, or `stop`.
    fn cut(&self, pass: &Pass, index: u32) -> Option<Cut> {
        let any_server = self.any_server?;
        let end = match pass.stop {
            Stop::At(end) => end,
            // As long as the same work would take at one message a second.
            Stop::After(count) => Instant::now() + Duration::from_secs(count),
        };
        Some(Cut { at: Some(end + any_server.answer_timeout()), raised: self.interrupt.raised(index) })
    }

    /// What a connection waits with: its worker's pacer, where the load has intended instants and a pacer.
    fn waits(&self, is_paced: bool, index: u32) -> Waits<R> {
        match self.pacers.get(index as usize % self.pacers.len().max(1)) {
            Some(pacer) if is_paced => Waits::Pacer(pacer.clone()),
            _ => Waits::Timer(self.runtime.clone()),
        }
    }

    /// A connection that failed in the warm-up fails the trial before it is measured. Beside a server that is not wsbench's
    /// own it is one of the failures in the report.
    fn ensure_sound(&self) -> anyhow::Result<()> {
        if self.any_server.is_some() {
            return Ok(());
        }
        ensure!(self.panicked == 0, "{} connections panicked in the warm-up", self.panicked);
        match self
            .connections
            .iter()
            .find_map(|connection| Some((connection.index, connection.error.as_ref()?)))
        {
            None => Ok(()),
            Some((index, error)) => anyhow::bail!("warm-up, connection {index}: {error}"),
        }
    }
}
