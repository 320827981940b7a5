//! One connection's part of a client: what a runtime spawns.

use std::{sync::Arc, time::Instant};

use super::{Runtime, connect, open};
use crate::{
    Socket, Timer,
    pacer::Pacer,
    payload::Class,
    service::Push,
    socket::Secured,
    spec::{SocketSpec, Target, Workload},
    workload::{self, Audience, Pace, Progress, Script, Stall, Stop, WorkloadError, broadcast},
};

/// One connection of a client, between phases.
#[derive(Debug)]
pub struct Lane<S> {
    pub(super) index: u32,
    pub(super) socket: Option<S>,
    pub(super) push: Push,
    pub(super) secured: Option<Secured>,
    pub(super) progress: Progress,
    pub(super) finished: Instant,
    pub(super) error: Option<WorkloadError>,
}

/// One phase of one connection: what a runtime spawns.
#[derive(Debug)]
pub struct Job<R: Runtime> {
    pub(super) runtime: R,
    pub(super) target: Arc<Target>,
    pub(super) spec: Arc<SocketSpec>,
    pub(super) script: Script,
    pub(super) pace: Option<(Pace, Option<Arc<Pacer>>)>,
    pub(super) audience: Option<Arc<Audience>>,
    pub(super) stall: Option<Stall>,
    pub(super) lane: Lane<R::Socket>,
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
        // A pass without a delay begins with its first message, whatever the time is.
        if self.script.load.delay_ms > 0 && self.script.class == Class::Measured {
            self.wait(self.script.start).await;
        }
        if self.script.load.workload == Workload::Connect {
            return connect::repeatedly(self).await;
        }
        if self.script.load.workload == Workload::Broadcast {
            return self.broadcast().await;
        }
        let socket = match &mut self.lane.socket {
            Some(socket) => socket,
            // Pushes that begin with the connection: connecting belongs to the window.
            missing => {
                let url = self.target.url(&self.lane.push.path(), self.spec.tls);
                let socket = missing.insert(open(&self.runtime, &self.target, &url, &self.spec).await?);
                self.lane.secured = socket.secured();
                socket
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
                    Some(pacer) => {
                        workload::paced(socket, pace, self.stall, &**pacer, script, progress).await
                    }
                    None => {
                        let timer = self.runtime.timer();
                        workload::paced(socket, pace, self.stall, &timer, script, progress).await
                    }
                }
            }
            Workload::Connect | Workload::Broadcast => unreachable!("handled above"),
        }
    }

    /// The publisher's or a subscriber's part of a broadcast.
    async fn broadcast(&mut self) -> Result<(), WorkloadError> {
        // A subscriber that was disconnected by policy has no part in what follows.
        let Some(socket) = &mut self.lane.socket else { return Ok(()) };
        let (script, progress) = (&self.script, &mut self.lane.progress);
        let timer = self.runtime.timer();
        let stands = match (&self.pace, &self.audience) {
            (Some((pace, pacer)), None) => {
                match pacer {
                    Some(pacer) => broadcast::publish(socket, pace, &**pacer, script, progress).await?,
                    None => broadcast::publish(socket, pace, &timer, script, progress).await?,
                }
                true
            }
            (_, Some(audience)) => {
                broadcast::subscribe(socket, audience, self.stall, &timer, script, progress).await?
            }
            (None, None) => true,
        };
        if !stands {
            self.lane.socket = None;
        }
        Ok(())
    }

    /// Waits for an instant: with the pacer, where the load has one.
    pub(super) async fn wait(&self, at: Instant) {
        while Instant::now() < at {
            match self.pace.as_ref().and_then(|(_, pacer)| pacer.as_ref()) {
                Some(pacer) => pacer.sleep_until(at).await,
                None => self.runtime.timer().sleep_until(at).await,
            }
        }
    }
}
