//! Ranges of a load: each refusal is one line with the value, the range and the reason.

use std::time::Duration;

use super::{
    error::SpecError,
    flags::in_range,
    limits::{
        MAX_BURN_US, MAX_CONNECTIONS, MAX_DURATION_MS, MAX_IN_FLIGHT_BYTES, MAX_QUEUE, MAX_RATE, MAX_SLICES,
        MAX_TIMERS,
    },
    load::Load,
    socket::SocketSpec,
    work::{Connect, Pushes, Window, Work},
};
use crate::payload::{HEADER_BYTES, PUSH_HEADER_BYTES, SEQUENCES};

impl Load {
    /// Checks the load against the limits of its connections.
    ///
    /// # Errors
    /// When a value is out of its range, with the range and the reason.
    pub fn validate(&self, socket: &SocketSpec) -> Result<(), SpecError> {
        socket.validate()?;
        // No connection at all is where the memory of idle ones is counted from.
        let least = u64::from(!matches!(self.work, Work::Idle(_)));
        in_range("connections", self.connections.into(), least, MAX_CONNECTIONS.into(), "")?;
        self.validate_payload(socket)?;
        self.validate_work()?;
        self.validate_rate()?;
        let silence_ms = self.silence_ms();
        if silence_ms >= socket.idle_timeout_ms {
            return SpecError::misfit(format!(
                "this load keeps a connection still for {silence_ms} ms, and a server ends one that is still for {} ms: \
                 give a longer --idle-timeout",
                socket.idle_timeout_ms
            ));
        }
        in_range("duration", self.window_ms(), 1, MAX_DURATION_MS, " ms")?;
        in_range("warm-up", self.warm_up_ms, 0, MAX_DURATION_MS, " ms")?;
        in_range("delay", self.delay_ms, 0, MAX_DURATION_MS, " ms")?;
        in_range("burnt CPU time", self.burn_us(), 0, MAX_BURN_US, " µs")?;
        if let Some(messages) = self.messages() {
            in_range("messages", messages, 1, SEQUENCES, "")?;
        }
        if self.slice_ms > 0 {
            let window_ms = self.expected().as_millis() as u64;
            in_range("slices", window_ms.div_ceil(self.slice_ms), 1, MAX_SLICES, " of the window")?;
        }
        if self.expected() > Duration::from_millis(MAX_DURATION_MS) {
            return SpecError::misfit(format!(
                "this load takes about {} s; a trial may take {} s",
                self.expected().as_secs(),
                MAX_DURATION_MS / 1_000
            ));
        }
        Ok(())
    }

    fn validate_payload(&self, socket: &SocketSpec) -> Result<(), SpecError> {
        let limit = socket.max_message_bytes.min(socket.max_frame_bytes);
        let header = match self.work {
            Work::Push(_) | Work::Broadcast(_) => PUSH_HEADER_BYTES,
            _ => HEADER_BYTES,
        };
        if self.payload_bytes > limit {
            return SpecError::misfit(format!(
                "a payload of {} B is over the server's limit of {limit} B for one message in one frame (--max-message, \
                 --max-frame)",
                self.payload_bytes
            ));
        }
        if self.payload_bytes < header as u64 {
            return SpecError::misfit(format!(
                "a payload of {} B is too small: {header} to {limit} B, because the first {header} carry the message's \
                 class and number",
                self.payload_bytes
            ));
        }
        Ok(())
    }

    /// The values of the workload.
    fn validate_work(&self) -> Result<(), SpecError> {
        match &self.work {
            Work::Connect(Connect { exchanges, .. }) => in_range("exchanges", *exchanges, 0, SEQUENCES, ""),
            Work::Window(Window { in_flight, .. }) => self.validate_window(*in_flight),
            Work::OneWay(one_way) => in_range("messages", one_way.batch, 1, SEQUENCES, ""),
            Work::Push(Pushes { count, every_us, timers, .. }) => {
                in_range("messages", *count, 1, SEQUENCES, "")?;
                in_range("period of pushes", *every_us, 1, MAX_DURATION_MS * 1_000, " µs")?;
                in_range("timers", *timers, 1, MAX_TIMERS, " on a connection")?;
                in_range("pushes to a connection", count.saturating_mul(*timers), 1, SEQUENCES, "")
            }
            Work::Paced(_) => {
                self.steps().iter().try_for_each(|step| step.validate())?;
                if !self.steps().is_empty() && self.warm_up_ms == 0 {
                    return SpecError::misfit(
                        "steps are shares of the rate that the warm-up reaches: a warm-up is needed",
                    );
                }
                self.validate_stall()
            }
            Work::Broadcast(broadcast) => {
                in_range("queue", broadcast.queue, 1, MAX_QUEUE, " messages")?;
                self.validate_stall()
            }
            Work::PingPong(_) | Work::Idle(_) => Ok(()),
        }
    }

    fn validate_window(&self, in_flight: u32) -> Result<(), SpecError> {
        in_range("window", in_flight.into(), 1, 1 << 20, " messages in flight")?;
        let bytes = u64::from(in_flight) * self.payload_bytes;
        if in_flight > 1 && bytes > MAX_IN_FLIGHT_BYTES {
            return SpecError::misfit(format!(
                "a window of {in_flight} messages of {} B keeps {bytes} B in flight; windows over 1 may keep 1 to \
                 {MAX_IN_FLIGHT_BYTES} B, because beyond the socket buffers an echo blocks both ends for good",
                self.payload_bytes
            ));
        }
        Ok(())
    }

    fn validate_stall(&self) -> Result<(), SpecError> {
        let Some(stall) = self.stall() else { return Ok(()) };
        in_range("stalled connections", stall.percent, 1, 100, " %")?;
        in_range("time before the stall", stall.after_ms, 0, MAX_DURATION_MS, " ms")?;
        in_range("stall", stall.for_ms, 0, MAX_DURATION_MS, " ms")
    }

    fn validate_rate(&self) -> Result<(), SpecError> {
        let Some(rate) = self.rate_per_s() else { return Ok(()) };
        in_range("rate", rate, 1, MAX_RATE, " per second")?;
        if self.offered() == 0 {
            let what = if matches!(self.work, Work::Connect(_)) { "connect" } else { "message" };
            return SpecError::misfit(format!(
                "{rate} {what}s per second for {} ms come to no {what} at all",
                self.duration_ms
            ));
        }
        Ok(())
    }
}
