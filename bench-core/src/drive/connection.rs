//! One connection of a client, between two phases.

use std::time::Instant;

use crate::{
    service::Push,
    socket::Secured,
    workload::{Progress, WorkloadError},
};

/// Number of the connection that publishes a broadcast; the others subscribe.
pub(super) const PUBLISHER: u32 = 0;

/// One connection of a client, between two phases.
#[derive(Debug)]
pub struct Connection<S> {
    pub(super) index: u32,
    pub(super) socket: Option<S>,
    pub(super) push: Push,
    pub(super) secured: Option<Secured>,
    pub(super) progress: Progress,
    pub(super) finished: Instant,
    pub(super) error: Option<WorkloadError>,
}

impl<S> Connection<S> {
    /// One that has not been opened.
    pub(super) fn closed(index: u32, push: Push) -> Connection<S> {
        let (progress, finished) = (Progress::default(), Instant::now());
        Connection { index, socket: None, push, secured: None, progress, finished, error: None }
    }
}
