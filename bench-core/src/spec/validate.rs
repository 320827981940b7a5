//! Checks of a load: each refusal is one line with the value, the range and the reason.

use std::time::Duration;

use super::{
    error::{SpecError, contradiction, in_range},
    full::WhenFull,
    limits::{
        MAX_BURN_US, MAX_CONNECTIONS, MAX_DURATION_MS, MAX_IN_FLIGHT_BYTES, MAX_QUEUE, MAX_RATE, MAX_SLICES,
        MAX_TIMERS,
    },
    load::{Load, Workload},
    socket::SocketSpec,
};
use crate::payload::{HEADER_BYTES, PUSH_HEADER_BYTES, SEQUENCES};

impl Load {
    /// Checks the load against itself and against the limits of its connections.
    ///
    /// # Errors
    /// One line with the value, the range and the reason.
    pub fn validate(&self, socket: &SocketSpec) -> Result<(), SpecError> {
        socket.validate()?;
        // No connection at all is where the memory of idle ones is counted from.
        let least = u64::from(self.workload != Workload::Idle);
        in_range("connections", self.connections.into(), least, MAX_CONNECTIONS.into(), "")?;
        let limit = socket.max_message_bytes.min(socket.max_frame_bytes);
        let header = match self.workload {
            Workload::Push | Workload::Broadcast => PUSH_HEADER_BYTES,
            _ => HEADER_BYTES,
        };
        if self.payload_bytes > limit {
            return contradiction(format!(
                "a payload of {} B is over the server's limit of {limit} B for one message in one frame (--max-message, \
                 --max-frame)",
                self.payload_bytes
            ));
        }
        if self.payload_bytes < header as u64 {
            return contradiction(format!(
                "a payload of {} B is too small: {header} to {limit} B, because the first {header} carry the message's \
                 class and number",
                self.payload_bytes
            ));
        }
        in_range("window", self.window.into(), 1, 1 << 20, "messages in flight")?;
        if self.window > 1 && self.workload != Workload::Window {
            return contradiction(format!(
                "a window of {} means nothing to the workload {}: only `window` keeps several messages in flight",
                self.window,
                self.workload.name()
            ));
        }
        let in_flight = u64::from(self.window) * self.payload_bytes;
        if self.window > 1 && in_flight > MAX_IN_FLIGHT_BYTES {
            return contradiction(format!(
                "a window of {} messages of {} B keeps {in_flight} B in flight; windows over 1 may keep 1 to \
                 {MAX_IN_FLIGHT_BYTES} B, because beyond the socket buffers an echo blocks both ends for good",
                self.window, self.payload_bytes
            ));
        }
        self.validate_rate()?;
        self.validate_fields()?;
        self.validate_silence(socket)?;
        in_range("duration", self.window_ms(), 1, MAX_DURATION_MS, "ms")?;
        in_range("warm-up", self.warm_up_ms, 0, MAX_DURATION_MS, "ms")?;
        in_range("period of pushes", self.every_us, 1, MAX_DURATION_MS * 1_000, "µs")?;
        if let Some(messages) = self.messages {
            in_range("messages", messages, 1, SEQUENCES, "")?;
        }
        if self.expected() > Duration::from_millis(MAX_DURATION_MS) {
            return contradiction(format!(
                "this load takes about {} s; a trial may take {} s",
                self.expected().as_secs(),
                MAX_DURATION_MS / 1_000
            ));
        }
        Ok(())
    }

    /// A server would end a connection that is still for longer than its idle timeout.
    fn validate_silence(&self, socket: &SocketSpec) -> Result<(), SpecError> {
        let silence_ms = match self.workload {
            Workload::Idle => self.duration_ms,
            Workload::Push => self.every_us / 1_000,
            // A subscriber is still between two messages, or for as long as it does not read.
            Workload::Broadcast => (1_000 / self.rate_per_s.unwrap_or(1).max(1)).max(self.stall_for_ms),
            Workload::Paced => {
                self.rate_per_s.map_or(0, |rate| u64::from(self.connections) * 1_000 / rate.max(1))
            }
            _ => 0,
        };
        if silence_ms < socket.idle_timeout_ms {
            return Ok(());
        }
        contradiction(format!(
            "this load keeps a connection still for {silence_ms} ms, and a server ends one that is still for {} ms: give a \
             longer --idle-timeout",
            socket.idle_timeout_ms
        ))
    }

    fn validate_rate(&self) -> Result<(), SpecError> {
        let paced = self.workload == Workload::Paced;
        if !paced && !self.steps.is_empty() {
            return contradiction(format!(
                "steps mean nothing to the workload {}: only `paced` has them",
                self.workload.name()
            ));
        }
        match (self.workload, self.rate_per_s) {
            (Workload::Paced, None) if self.steps.is_empty() => contradiction(
                "the workload paced needs a rate: --rate, in messages a second over all connections",
            ),
            (Workload::Paced, Some(_)) if !self.steps.is_empty() => {
                contradiction("steps have rates of their own: give either --rate or --steps")
            }
            (Workload::Paced, _) if self.messages.is_some() => {
                contradiction("a paced load is given by its rate and duration, without --messages")
            }
            (Workload::Connect, Some(_)) if self.messages.is_some() => {
                contradiction("connects at a rate are given by it and the duration, without --messages")
            }
            (Workload::Broadcast, None) => {
                contradiction("the workload broadcast needs a rate: --rate, in messages published a second")
            }
            (_, None) => Ok(()),
            (Workload::Broadcast, _) if self.messages.is_some() => {
                contradiction("a broadcast is given by its rate and duration, without --messages")
            }
            (Workload::Paced | Workload::Connect | Workload::Broadcast, Some(rate)) => {
                in_range("rate", rate, 1, MAX_RATE, "a second")?;
                if self.offered() == 0 {
                    let what = if self.workload == Workload::Connect { "connect" } else { "message" };
                    return contradiction(format!(
                        "{rate} {what}s a second for {} ms are no {what} at all",
                        self.duration_ms
                    ));
                }
                Ok(())
            }
            (other, Some(_)) => contradiction(format!(
                "a rate means nothing to the workload {}: only `paced`, `connect` and `broadcast` have one",
                other.name()
            )),
        }
    }

    /// The fields that belong to some workloads only.
    fn validate_fields(&self) -> Result<(), SpecError> {
        use Workload::{Broadcast, Connect, Idle, Paced, PingPong, Push, Window};

        let only = |set: bool, what: &str, of: &[Workload]| {
            if !set || of.contains(&self.workload) {
                return Ok(());
            }
            let names: Vec<String> = of.iter().map(|workload| format!("`{}`", workload.name())).collect();
            contradiction(format!(
                "{what} mean nothing to the workload {}: only {} have them",
                self.workload.name(),
                names.join(", ")
            ))
        };
        only(self.exchanges > 0, "exchanges", &[Connect])?;
        only(self.count_refusals, "counted refusals", &[Connect])?;
        only(self.touch, "touched connections", &[Idle])?;
        only(self.timers != 1, "timers", &[Push])?;
        only(self.burn_us > 0, "burning handlers", &[PingPong, Window, Paced])?;
        only(self.slice_ms > 0, "slices", &[PingPong, Window, Paced, Push, Connect, Broadcast])?;
        only(self.stall_percent > 0, "stalled connections", &[Paced, Broadcast])?;
        only(self.when_full != WhenFull::Wait, "policies for a full queue", &[Broadcast])?;
        // A push has an instant of its own, agreed before the window.
        only(self.delay_ms > 0, "delays", &[Connect, PingPong, Window, Workload::OneWay, Paced])?;
        self.steps.iter().try_for_each(|step| step.validate())?;
        in_range("delay", self.delay_ms, 0, MAX_DURATION_MS, "ms")?;
        in_range("burnt CPU time", self.burn_us, 0, MAX_BURN_US, "µs")?;
        in_range("exchanges", self.exchanges, 0, SEQUENCES, "")?;
        in_range("timers", self.timers, 1, MAX_TIMERS, "on a connection")?;
        if self.workload == Push {
            let pushes = self.pushes().saturating_mul(self.timers);
            in_range("pushes to a connection", pushes, 1, SEQUENCES, "")?;
        }
        in_range("queue", self.queue, 1, MAX_QUEUE, "messages")?;
        in_range("stalled connections", self.stall_percent, 0, 100, "%")?;
        in_range("time before the stall", self.stall_after_ms, 0, MAX_DURATION_MS, "ms")?;
        in_range("stall", self.stall_for_ms, 0, MAX_DURATION_MS, "ms")?;
        if self.slice_ms > 0 {
            let window_ms = self.expected().as_millis() as u64;
            in_range("slices", window_ms.div_ceil(self.slice_ms), 1, MAX_SLICES, "of the window")?;
        }
        if !self.steps.is_empty() && self.warm_up_ms == 0 {
            return contradiction(
                "steps are shares of the rate that the warm-up reaches: a warm-up is needed",
            );
        }
        Ok(())
    }
}
