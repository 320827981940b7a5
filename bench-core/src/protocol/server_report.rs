//! What a server reports.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tally::Tally;

/// What a server reports when it ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerReport {
    /// Messages by class, over all connections.
    pub tally: Tally,
    /// Messages that were not delivered because of a stated policy.
    pub dropped_messages: u64,
    /// Subscribers that were disconnected because of a stated policy.
    #[serde(default)]
    pub disconnected: u64,
    /// TCP connections accepted.
    pub accepted: u64,
    /// Opening handshakes completed.
    pub upgraded: u64,
    /// Connections that ended without a completed opening handshake.
    pub handshake_errors: u64,
    /// Connections that ended with a protocol error, including an end without a closing handshake.
    pub protocol_errors: u64,
    /// Connections that ended with a transport error.
    pub io_errors: u64,
    /// Failed accepts.
    pub accept_errors: u64,
    /// Connections that were accepted and ended at once, because the most that the server may have were open.
    #[serde(default)]
    pub refused: u64,
    /// Connections that were ended because nothing happened on them for the idle timeout.
    #[serde(default)]
    pub idle_ended: u64,
    /// Connections still open when the server gave up waiting for them; their messages are not in the tally.
    pub open_at_end: u64,
    /// Panics in the process.
    pub panics: u64,
}

impl ServerReport {
    /// How many messages a policy dropped, at least and at most.
    ///
    /// What was on its way to a subscriber when it was cut off counts as dropped. It may have arrived all the same where
    /// it is the kernel that completes a write (io_uring): such a write cannot be called back for certain.
    pub fn dropped(&self) -> RangeInclusive<u64> {
        self.dropped_messages.saturating_sub(self.disconnected)..=self.dropped_messages
    }
}
