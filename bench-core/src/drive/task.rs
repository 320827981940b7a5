//! One connection's part of a client: what a runtime spawns.

use std::{sync::Arc, time::Instant};

use super::{
    connect,
    connection::Connection,
    cut::{Cut, Early},
    open::Opener,
    waits::Waits,
};
use crate::{
    Network, Socket, Timer,
    spec::{Connect, WhenFull},
    timer::within,
    workload::{self, Audience, Pace, Script, Stall, Stop, WorkloadError, broadcast},
};

/// One phase of one connection: what a runtime spawns.
pub struct Task<N: Network, T> {
    pub(super) opener: Opener<N, T>,
    /// What the connection waits with for its intended instants.
    pub(super) waits: Waits<T>,
    /// When it begins; absent: at once, whatever the time is.
    pub(super) begins: Option<Instant>,
    /// What may end it before it is done; absent: nothing, because the trial has a limit.
    pub(super) cut: Option<Cut>,
    pub(super) part: Part,
    pub(super) script: Script,
    pub(super) connection: Connection<N::Socket>,
}

/// What one connection does in a phase.
pub(super) enum Part {
    /// Opens the connection, and reads what the server says on its own.
    Open { path: String, skip: u32 },
    /// Runs the closing handshake, until an instant at most.
    Close { until: Instant },
    /// Opens connections, one after the other.
    Connect { work: Connect, pace: Option<Pace> },
    /// Holds an open connection.
    Idle,
    /// Holds an open connection and reads meanwhile.
    Listen,
    /// Exchanges messages on an open connection.
    Exchange(Exchange),
}

/// The messages of one connection.
pub(super) enum Exchange {
    PingPong,
    Window { in_flight: u32 },
    OneWay { batch: u64 },
    Push,
    Paced { pace: Pace, stall: Option<Stall>, listens: bool },
    Publish { pace: Pace },
    Subscribe { audience: Arc<Audience>, when_full: WhenFull, stall: Option<Stall> },
}

impl<N: Network, T: Timer + Clone> Task<N, T> {
    /// Runs the phase to its end. An error ends this connection only, and stays with it.
    pub async fn run(mut self) -> Connection<N::Socket> {
        let result = match self.cut.take() {
            None => self.work().await,
            Some(cut) => self.work_until(cut).await,
        };
        self.connection.finished = Instant::now();
        if let Err(error) = result {
            self.connection.socket = None;
            self.connection.error = Some(error);
        }
        self.connection
    }

    /// Works, and ends early where it has to. What it waits for when it is given up is lost, and the connection with it.
    async fn work_until(&mut self, cut: Cut) -> Result<(), WorkloadError> {
        let timer = self.opener.timer.clone();
        let before = self.connection.progress.handled();
        let work = async { Ok(self.work().await) };
        match futures_lite::future::or(work, async { Err(cut.comes(&timer).await) }).await {
            Ok(result) => result,
            Err(Early::GivenUp) => Err(WorkloadError::Unanswered),
            Err(Early::Interrupted) => {
                if let Part::Exchange(Exchange::Paced { pace, .. }) = &self.part {
                    workload::cut_short(pace, before, &self.script, &mut self.connection.progress);
                }
                Ok(())
            }
        }
    }

    async fn work(&mut self) -> Result<(), WorkloadError> {
        let Task { opener, waits, begins, part, script, connection, .. } = self;
        if let Some(begins) = begins {
            waits.until(*begins).await;
        }
        match part {
            Part::Open { path, skip } => {
                let mut socket = opener.open(&opener.url(path)).await?.socket;
                for number in 1..=*skip {
                    let greeting = socket.recv().await?;
                    greeting.ok_or_else(|| WorkloadError::Closed(format!("greeting {number}")))?;
                }
                connection.secured = socket.secured();
                connection.socket = Some(socket);
                Ok(())
            }
            Part::Close { until } => {
                let Some(mut socket) = connection.socket.take() else { return Ok(()) };
                let left = until.saturating_duration_since(Instant::now());
                Ok(within(&opener.timer, left, "the closing handshake", socket.close()).await?)
            }
            Part::Listen => match (&mut connection.socket, script.stop) {
                (Some(socket), Stop::At(end)) => workload::listen_until(socket, waits, end).await,
                _ => Ok(()),
            },
            Part::Connect { work, pace } => {
                connect::repeatedly(opener, waits, *work, pace.as_ref(), script, connection).await
            }
            Part::Idle => {
                if let Stop::At(end) = script.stop {
                    opener.timer.sleep_until(end).await;
                }
                Ok(())
            }
            Part::Exchange(exchange) => {
                if let (Exchange::Push, None) = (&exchange, &connection.socket) {
                    // Pushes that begin with the connection: connecting belongs to the window.
                    let socket = opener.open(&opener.url(&connection.push.path())).await?.socket;
                    connection.secured = socket.secured();
                    connection.socket = Some(socket);
                }
                exchange.carry_out(opener, waits, script, connection).await
            }
        }
    }
}

impl Exchange {
    async fn carry_out<N: Network, T: Timer>(
        &self,
        opener: &Opener<N, T>,
        waits: &Waits<T>,
        script: &Script,
        connection: &mut Connection<N::Socket>,
    ) -> Result<(), WorkloadError> {
        // A subscriber that was disconnected by policy has no part in what follows.
        let Some(socket) = &mut connection.socket else { return Ok(()) };
        let progress = &mut connection.progress;
        match self {
            Exchange::PingPong => workload::ping_pong(socket, script, progress).await,
            Exchange::Window { in_flight } => workload::window(socket, *in_flight, script, progress).await,
            Exchange::OneWay { batch } => workload::one_way(socket, *batch, script, progress).await,
            Exchange::Push => workload::push(socket, &connection.push, script, progress).await,
            Exchange::Paced { pace, stall, listens } => {
                workload::paced(socket, pace, *stall, *listens, waits, script, progress).await
            }
            Exchange::Publish { pace } => broadcast::publish(socket, pace, waits, script, progress).await,
            Exchange::Subscribe { audience, when_full, stall } => {
                let timer = &opener.timer;
                let stands =
                    broadcast::subscribe(socket, audience, *when_full, *stall, timer, script, progress)
                        .await?;
                if !stands {
                    connection.socket = None;
                }
                Ok(())
            }
        }
    }
}
