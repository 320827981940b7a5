//! What a specification may ask for at most.

/// Longest measured window or warm-up. Anything longer is a soak test and not a trial.
pub(crate) const MAX_DURATION_MS: u64 = 3_600_000;

/// Longest idle timeout: more than a day is as good as no timeout.
pub(crate) const MAX_IDLE_MS: u64 = 24 * MAX_DURATION_MS;

/// Most connections that a server has at the same time, unless told otherwise: more than any scenario opens.
pub const SERVED_CONNECTIONS: u64 = 65_536;

/// Largest product of window and payload for windows over one: an echo pair whose messages in flight exceed the
/// socket buffers of both directions stops for good, each side blocked in a write.
pub const MAX_IN_FLIGHT_BYTES: u64 = 256 * 1024;

/// Most connections of one client: the ephemeral ports that one source address has towards one server, roughly.
pub const MAX_CONNECTIONS: u32 = 28_000;

/// Longest time that a handler burns: what is longer than a second stops a service and is no neighbour.
pub const MAX_BURN_US: u64 = 1_000_000;

/// Longest queue of a subscriber.
pub const MAX_QUEUE: u64 = 1 << 20;

/// Highest rate that can be asked for: beyond what any pair of processes reaches.
pub(crate) const MAX_RATE: u64 = 100_000_000;

/// Most schedules of pushes on one connection.
pub(crate) const MAX_TIMERS: u64 = 100_000;

/// Most slices of a window: each is a histogram in the client's memory and in the record.
pub(crate) const MAX_SLICES: u64 = 600;
