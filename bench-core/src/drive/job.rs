//! One connection's part of a client: what a runtime spawns.

use std::time::Instant;

use super::{Job, Lane, Runtime, connect, open};
use crate::{
    Socket, Timer,
    payload::Class,
    spec::Workload,
    workload::{self, Stop, WorkloadError, broadcast},
};

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
}
