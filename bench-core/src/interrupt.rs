//! The early end of whatever a client is doing, from outside of its runtime.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// Whether a client was told to stop, and who waits for that. A clone is told as well; there is no way back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    came: AtomicBool,
    /// By the number of the connection: at most one task of it runs, so that a new one takes the place of the one before.
    wakers: Mutex<BTreeMap<u32, Waker>>,
}

impl Interrupt {
    /// Ends everything that waits for it, now and later.
    pub(crate) fn raise(&self) {
        self.0.came.store(true, Ordering::Release);
        let wakers = std::mem::take(&mut *self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_values().for_each(Waker::wake);
    }

    /// Whether it was raised.
    pub(crate) fn came(&self) -> bool {
        self.0.came.load(Ordering::Acquire)
    }

    /// Completes once it is raised; for the only task of the connection of this number.
    pub(crate) fn raised(&self, connection: u32) -> Raised {
        Raised { interrupt: self.clone(), connection, registered: None }
    }
}

/// See [`Interrupt::raised`].
///
/// A connection polls this with each of its messages. It therefore remembers by itself which waker it has left behind, and
/// nearly every poll is one load and one comparison.
#[derive(Debug)]
pub(crate) struct Raised {
    interrupt: Interrupt,
    connection: u32,
    registered: Option<Waker>,
}

impl Future for Raised {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.interrupt.came() {
            return Poll::Ready(());
        }
        if self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        let waker = cx.waker().clone();
        let shared = self.interrupt.0.clone();
        shared.wakers.lock().unwrap_or_else(PoisonError::into_inner).insert(self.connection, waker.clone());
        self.registered = Some(waker);
        // It may have been raised before the waker was there to be called.
        if shared.came.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use futures_lite::future::{block_on, or};

    use super::*;

    #[test]
    fn everybody_who_waits_is_told_from_another_thread() {
        let interrupt = Interrupt::default();
        let waiting: Vec<_> = (0..3)
            .map(|connection| {
                let raised = interrupt.raised(connection);
                thread::spawn(move || block_on(raised))
            })
            .collect();
        interrupt.raise();
        waiting.into_iter().for_each(|thread| thread.join().unwrap());
        // Whoever comes later is told at once.
        block_on(interrupt.raised(7));
        assert!(interrupt.came());
    }

    #[test]
    fn nobody_is_told_before() {
        let interrupt = Interrupt::default();
        let first = block_on(or(
            async {
                interrupt.raised(0).await;
                "interrupted"
            },
            async { "done" },
        ));
        assert_eq!(first, "done");
        assert!(!interrupt.came());
    }
}
