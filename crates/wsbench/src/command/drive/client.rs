//! The client of a driven server, from its start to its report: with progress, a time limit, and an end before its time.

use std::time::{Duration, Instant};

use bench_core::protocol::{ClientReport, Connecting, Event, STOP};
use trial::{
    ClientConversation, Edges, Ending, Failure, MachineSample, Peer, PeerError, Sample, process::Process,
    sample::MachineSampler,
};

use super::{progress::Progress, step::Step};
use crate::run::signals::Signal;

/// Time between two looks at the clock and for a signal while a client is waited for.
const TICK: Duration = Duration::from_millis(100);

/// How long a client that was told to stop may take to report.
const STOPPING: Duration = Duration::from_secs(10);

/// What a client did.
#[derive(Debug)]
pub(super) struct Driven {
    pub(super) report: ClientReport,
    /// Its cost at both edges of the measured window.
    pub(super) samples: Edges<Sample>,
    /// The whole machine there.
    pub(super) machine_samples: Edges<MachineSample>,
    /// Why it ended before its time, if it did.
    pub(super) cut: Option<Cut>,
}

/// The end of a client before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) why: Why,
    /// What it was doing then.
    pub(super) step: Step,
}

impl Cut {
    /// Whether the measured window is shorter than it was meant to be.
    pub(super) fn is_of_window(self) -> bool {
        self.step != Step::Closing
    }

    /// What to say of it beside the figures, of a load with so many connections.
    pub(super) fn said(self, report: &ClientReport, connections: u32) -> Option<String> {
        let is_empty = report.elapsed_ns == 0;
        match (self.why, self.step) {
            (Why::TimeLimit(limit), step) => Some(format!("error: {}", ran_out(step, connections, limit))),
            (Why::Signal(_), Step::Measuring) if !is_empty => None,
            (Why::Signal(signal), Step::Closing) => {
                Some(format!("{}: the measured window was over, and the figures are complete", signal.name()))
            }
            (Why::Signal(signal), step) => {
                let open = report.open_connections.and_then(|open| u32::try_from(open).ok()).unwrap_or(0);
                let stood = Step::Connecting(Connecting { open, failed: 0 }).unfinished(connections);
                let but = match step {
                    Step::Connecting(_) => String::new(),
                    step => format!("{}, and ", step.unfinished(connections)),
                };
                Some(format!("{}: nothing was measured: {but}{stood}", signal.name()))
            }
        }
    }

    /// The signal that it was, if it was one.
    pub(super) fn signal(self) -> Option<Signal> {
        match self.why {
            Why::Signal(signal) => Some(signal),
            Why::TimeLimit(_) => None,
        }
    }
}

/// Why a client ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody wanted it to.
    Signal(Signal),
    /// It took too long.
    TimeLimit(Duration),
}

/// A client without a report.
#[derive(Debug)]
pub(super) struct Lost {
    /// What came instead of its report.
    pub(super) error: PeerError,
    /// Why it was ended before its time, if it was.
    pub(super) cut: Option<Cut>,
    /// What it was doing.
    pub(super) step: Step,
    /// The last lines that it wrote to stderr.
    pub(super) stderr: String,
}

/// A client that has just been started.
pub(super) struct Started {
    /// Its process.
    pub(super) process: Process,
    /// Connections that it opens.
    pub(super) connections: u32,
    /// Whether it heeds `stop` and says how far connecting is.
    pub(super) stops: bool,
    /// How long it may take.
    pub(super) limit: Duration,
}

impl Lost {
    /// The failure that it is, of a load with so many connections that may take so long.
    pub(super) fn failure(&self, connections: u32, limit: Duration) -> Failure {
        let step = match self.step {
            Step::Starting | Step::Connecting(_) | Step::WarmingUp => trial::Step::Ready,
            Step::Measuring => trial::Step::Measure,
            Step::Closing => trial::Step::Finish,
        };
        let message = match self.stderr.as_str() {
            _ if self.error.is_too_long() => ran_out(self.step, connections, limit),
            "" => format!("the client {}", self.error),
            stderr => format!("the client {}: {stderr}", self.error),
        };
        Failure { step, message }
    }
}

fn ran_out(step: Step, connections: u32, limit: Duration) -> String {
    let unfinished = step.unfinished(connections);
    format!("{unfinished} when the time limit of {:.0} s ran out", limit.as_secs_f64())
}

/// Lets a client go through its load.
///
/// # Errors
/// When it ends, prints anything else than what is due, or takes too long for anything but its window.
pub(super) fn converse(started: Started, progress: Progress) -> Result<Driven, Box<Lost>> {
    let step = match started.stops {
        true => Step::Connecting(Connecting::default()),
        false => Step::Starting,
    };
    let deadline = Instant::now() + started.limit;
    let mut client = ClientConversation::with(Attended { started, deadline, progress, step, cut: None });
    let result = steps(&mut client);
    let client = client.peer_mut();
    client.progress.end();
    result.map(|driven| Driven { cut: client.cut, ..driven }).map_err(|error| {
        let (cut, step) = (client.cut, client.step);
        Box::new(Lost { error, cut, step, stderr: client.abandon() })
    })
}

fn steps(client: &mut ClientConversation<Attended>) -> Result<Driven, PeerError> {
    let mut machine = MachineSampler::new();
    let mut machine_sample = || machine.sample(&Default::default());
    let (mut samples, mut machine_samples) = (Edges::default(), Edges::default());
    client.ready()?;
    if client.peer().cut.is_none() {
        samples.ready = client.peer_mut().sample();
        machine_samples.ready = machine_sample();
        client.peer_mut().step = Step::Measuring;
        client.go(None)?;
        client.measured()?;
        samples.measured = client.peer_mut().sample();
        machine_samples.measured = machine_sample();
    }
    client.peer_mut().step = Step::Closing;
    let report = client.finish()?;
    // It ends with another code where a connection failed, which the report says better.
    let _ = client.exit();
    Ok(Driven { report, samples, machine_samples, cut: None })
}

/// A client's process that is not waited for blindly.
struct Attended {
    started: Started,
    deadline: Instant,
    progress: Progress,
    step: Step,
    cut: Option<Cut>,
}

impl Attended {
    /// Ends what the client is doing: it reports what it has, where it knows how.
    fn cut(&mut self, why: Why) -> Result<(), PeerError> {
        self.cut = Some(Cut { why, step: self.step });
        if !self.started.stops {
            self.abandon();
            return Ok(());
        }
        self.deadline = Instant::now() + STOPPING;
        self.tell(STOP)
    }

    /// Looks for a signal, at the clock, and shows how far the client is.
    fn tick(&mut self) -> Result<(), PeerError> {
        self.progress.show(self.step);
        if self.cut.is_some() {
            return Ok(());
        }
        match Signal::caught() {
            Some(signal) => self.cut(Why::Signal(signal)),
            None if self.is_late() && self.has_figures() => self.cut(Why::TimeLimit(self.started.limit)),
            None => Ok(()),
        }
    }

    /// Whether it has measured something that it would report if it was told to stop.
    fn has_figures(&self) -> bool {
        self.started.stops && self.cut.is_none() && self.step == Step::Measuring
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

impl Peer for Attended {
    fn event(&mut self) -> Result<Event, PeerError> {
        loop {
            self.tick()?;
            self.started.process.allow(TICK);
            match self.started.process.event() {
                Ok(Event::Connecting(so_far)) => {
                    let is_over = so_far.open + so_far.failed == self.started.connections;
                    self.step = if is_over { Step::WarmingUp } else { Step::Connecting(so_far) };
                }
                // Only this look has come to its end, and not the time of the client.
                Err(error) if error.is_too_long() && (!self.is_late() || self.has_figures()) => {}
                other => return other,
            }
        }
    }

    fn tell(&mut self, line: &str) -> Result<(), PeerError> {
        self.started.process.tell(line)
    }

    fn sample(&mut self) -> Option<Sample> {
        self.started.process.sample()
    }

    fn end_input(&mut self) {
        self.started.process.end_input();
    }

    fn wait(&mut self) -> Result<(), PeerError> {
        self.started.process.allow(STOPPING);
        self.started.process.wait()
    }

    fn ended(&mut self) -> Option<Ending> {
        self.started.process.ended()
    }

    fn abandon(&mut self) -> String {
        self.started.process.abandon()
    }
}
