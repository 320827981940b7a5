//! What a client waits with for the instants at which it sends.

use std::{sync::Arc, time::Instant};

use crate::{Timer, pacer::Pacer};

/// The runtime's own timers, or a pacer that is more exact than they are.
#[derive(Clone, Debug)]
pub(super) enum Waits<T> {
    Timer(T),
    Pacer(Arc<Pacer>),
}

impl<T: Timer> Waits<T> {
    /// Waits for an instant, and not less.
    pub(super) async fn until(&self, at: Instant) {
        while Instant::now() < at {
            self.sleep_until(at).await;
        }
    }
}

impl<T: Timer> Timer for Waits<T> {
    const BLOCKS: bool = T::BLOCKS;

    async fn sleep_until(&self, at: Instant) {
        match self {
            Waits::Timer(timer) => timer.sleep_until(at).await,
            Waits::Pacer(pacer) => pacer.sleep_until(at).await,
        }
    }
}
