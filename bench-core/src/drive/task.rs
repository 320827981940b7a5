//! One connection's part of a client: what a runtime spawns.

use std::{sync::Arc, time::Instant};

use super::{connect, connection::Connection, open::Opener, waits::Waits};
use crate::{
    Network, Socket, Timer,
    payload::Class,
    spec::Workload,
    workload::{self, Audience, Pace, Script, Stall, Stop, WorkloadError, broadcast},
};

/// One phase of one connection: what a runtime spawns.
pub struct Task<N: Network, T> {
    pub(super) opener: Opener<N, T>,
    pub(super) script: Script,
    /// What the connection waits with for its intended instants.
    pub(super) waits: Waits<T>,
    /// The intended instants, where the load has them.
    pub(super) pace: Option<Pace>,
    /// Where this connection subscribes: what the subscribers share.
    pub(super) audience: Option<Arc<Audience>>,
    pub(super) stall: Option<Stall>,
    pub(super) connection: Connection<N::Socket>,
}

impl<N: Network, T: Timer> Task<N, T> {
    /// Runs the phase to its end. An error ends this connection only, and stays with it.
    pub async fn run(mut self) -> Connection<N::Socket> {
        let result = self.work().await;
        self.connection.finished = Instant::now();
        if let Err(error) = result {
            self.connection.socket = None;
            self.connection.error = Some(error);
        }
        self.connection
    }

    async fn work(&mut self) -> Result<(), WorkloadError> {
        let Task { opener, script, waits, pace, stall, connection, .. } = self;
        // A pass without a delay begins with its first message, whatever the time is.
        if script.load.delay_ms > 0 && script.class == Class::Measured {
            waits.until(script.start).await;
        }
        if script.load.workload == Workload::Connect {
            return connect::repeatedly(opener, waits, pace.as_ref(), script, connection).await;
        }
        if script.load.workload == Workload::Broadcast {
            return self.broadcast().await;
        }
        let socket = match &mut connection.socket {
            Some(socket) => socket,
            // Pushes that begin with the connection: connecting belongs to the window.
            missing => {
                let socket = missing.insert(opener.open(&opener.url(&connection.push.path())).await?.socket);
                connection.secured = socket.secured();
                socket
            }
        };
        let progress = &mut connection.progress;
        match script.load.workload {
            Workload::PingPong => workload::ping_pong(socket, script, progress).await,
            Workload::Window => workload::window(socket, script, progress).await,
            Workload::OneWay => workload::one_way(socket, script, progress).await,
            Workload::Push => workload::push(socket, &connection.push, script, progress).await,
            Workload::Idle => {
                if let Stop::At(end) = script.stop {
                    opener.timer.sleep_until(end).await;
                }
                Ok(())
            }
            Workload::Paced => match pace {
                Some(pace) => workload::paced(socket, pace, *stall, waits, script, progress).await,
                None => Ok(()),
            },
            Workload::Connect | Workload::Broadcast => unreachable!("handled above"),
        }
    }

    /// The publisher's or a subscriber's part of a broadcast.
    async fn broadcast(&mut self) -> Result<(), WorkloadError> {
        let Task { opener, script, waits, pace, audience, stall, connection } = self;
        // A subscriber that was disconnected by policy has no part in what follows.
        let Some(socket) = &mut connection.socket else { return Ok(()) };
        let progress = &mut connection.progress;
        let stands = match (pace, audience) {
            (Some(pace), None) => {
                broadcast::publish(socket, pace, waits, script, progress).await?;
                true
            }
            (_, Some(audience)) => {
                broadcast::subscribe(socket, audience, *stall, &opener.timer, script, progress).await?
            }
            (None, None) => true,
        };
        if !stands {
            connection.socket = None;
        }
        Ok(())
    }
}
