//! What may end a connection's part before it is done, beside a server that is not wsbench's own.

use std::{future::pending, time::Instant};

use crate::{Timer, interrupt::Raised};

/// What may end a connection's part before it is done.
#[derive(Debug)]
pub(super) struct Cut {
    /// When it is given up, if it is.
    pub(super) at: Option<Instant>,
    /// Whoever controls the client wants it to end.
    pub(super) raised: Raised,
}

/// Why a connection's part has ended before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Early {
    /// It waited for too long.
    GivenUp,
    /// Whoever controls the client wanted it to end: that is no failure.
    Interrupted,
}

impl Cut {
    /// Completes when the part has to end.
    pub(super) async fn comes<T: Timer>(self, timer: &T) -> Early {
        let gives_up = async {
            match self.at {
                Some(at) => timer.sleep_until(at).await,
                None => pending().await,
            }
            Early::GivenUp
        };
        let interrupted = async {
            self.raised.await;
            Early::Interrupted
        };
        futures_lite::future::or(interrupted, gives_up).await
    }
}
