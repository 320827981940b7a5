//! Waiting for instants more precisely than a runtime's timer does.
//!
//! A load generator that sends late charges its own lateness to the server. The timers of some runtimes fire up to two
//! milliseconds late, so a generator that has a core of its own spins: of all connections that wait, one looks at the
//! clock over and over, yields in between so that everything else can run, and wakes whoever is due. Where another process
//! needs time of that core as well, a thread sleeps until the next instant instead of spinning.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    thread,
    time::Instant,
};

use futures_lite::future::poll_fn;

use crate::Timer;

/// What the waiting connections of one worker share.
#[derive(Debug, Default)]
pub struct Pacer {
    shared: Arc<Shared>,
    /// Whether a thread sleeps, so that nobody spins.
    sleeps: bool,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is an earlier instant to sleep until, or none any more.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Due instants with the number of who waits; those of waits that were dropped stay until they are due.
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    wakers: HashMap<u64, Waker>,
    next: u64,
    /// Who spins.
    leader: Option<u64>,
    /// The pacer is gone, and its thread has to go.
    ended: bool,
}

impl Waiting {
    /// Wakes everybody whose instant has come.
    fn wake_due(&mut self, now: Instant) {
        while self.due.peek().is_some_and(|Reverse((due, _))| *due <= now) {
            let woken = self.due.pop().and_then(|Reverse((_, number))| self.wakers.remove(&number));
            woken.into_iter().for_each(Waker::wake);
        }
    }

    /// Lets somebody else spin.
    fn resign(&mut self) {
        self.leader = None;
        while let Some(Reverse((_, number))) = self.due.peek() {
            if let Some(waker) = self.wakers.get(number) {
                self.leader = Some(*number);
                waker.wake_by_ref();
                return;
            }
            self.due.pop();
        }
    }
}

impl Timer for Pacer {
    /// Completes within microseconds of `at`, as long as the tasks of this worker yield.
    async fn sleep_until(&self, at: Instant) {
        if Instant::now() >= at {
            return;
        }
        let wait = {
            let mut waiting = self.lock();
            let number = waiting.next;
            waiting.next += 1;
            waiting.due.push(Reverse((at, number)));
            if self.sleeps && waiting.due.peek() == Some(&Reverse((at, number))) {
                self.shared.changed.notify_one();
            }
            Wait { pacer: self, number }
        };
        poll_fn(|cx| {
            let mut waiting = self.lock();
            let now = Instant::now();
            if now >= at {
                return Poll::Ready(());
            }
            waiting.wakers.insert(wait.number, cx.waker().clone());
            if self.sleeps {
                return Poll::Pending;
            }
            if *waiting.leader.get_or_insert(wait.number) == wait.number {
                waiting.wake_due(now);
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await;
    }
}

impl Pacer {
    /// A pacer whose thread sleeps until the next instant, which the system may make some tens of microseconds late.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn sleeping() -> io::Result<Pacer> {
        let shared = Arc::<Shared>::default();
        let of_thread = shared.clone();
        thread::Builder::new().spawn(move || of_thread.keep_waking())?;
        Ok(Pacer { shared, sleeps: true })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.shared.lock()
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.lock().ended = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever is due and sleeps until the next instant, until the pacer is gone.
    fn keep_waking(&self) {
        // The kernel may delay a sleeper by 50 µs to save wake-ups, unless it is told not to; refused, it does.
        #[cfg(target_os = "linux")]
        let _ = nix::sys::prctl::set_timerslack(1);
        let mut waiting = self.lock();
        while !waiting.ended {
            let now = Instant::now();
            waiting.wake_due(now);
            let next = waiting.due.peek().map(|Reverse((due, _))| *due);
            waiting = match next {
                None => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let slept = self.changed.wait_timeout(waiting, due.saturating_duration_since(now));
                    slept.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// One wait: however it ends, somebody else spins then.
struct Wait<'a> {
    pacer: &'a Pacer,
    number: u64,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut waiting = self.pacer.lock();
        waiting.wakers.remove(&self.number);
        if waiting.leader == Some(self.number) {
            waiting.resign();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_lite::future::{block_on, or, yield_now, zip};

    use super::*;

    #[test]
    fn nobody_is_woken_early_and_everybody_is() {
        for pacer in [Pacer::default(), Pacer::sleeping().unwrap()] {
            let start = Instant::now();
            let woken = Mutex::new(Vec::new());
            let wait = |ms| {
                let (pacer, woken) = (&pacer, &woken);
                async move {
                    pacer.sleep_until(start + Duration::from_millis(ms)).await;
                    assert!(start.elapsed() >= Duration::from_millis(ms));
                    woken.lock().unwrap().push(ms);
                }
            };
            block_on(zip(zip(wait(6), wait(2)), zip(wait(4), wait(2))));
            // All who are due by the time that this process runs are polled in an order of the executor's own.
            let mut woken = woken.into_inner().unwrap();
            woken.sort_unstable();
            assert_eq!(woken, [2, 2, 4, 6], "{pacer:?}");
            assert!(pacer.lock().wakers.is_empty());
        }
    }

    #[test]
    fn a_wait_that_is_given_up_passes_the_spinning_on() {
        let pacer = Pacer::default();
        let at = Instant::now() + Duration::from_millis(3);
        let given_up = or(pacer.sleep_until(at + Duration::from_secs(60)), yield_now());
        block_on(zip(given_up, pacer.sleep_until(at)));
        assert!(Instant::now() >= at);
        assert_eq!(pacer.lock().leader, None);
    }
}
