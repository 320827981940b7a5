//! The limits on the time of a connection, watched by one timer that costs a message nothing.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use crate::{SocketError, Timer, spec::SocketSpec};

/// A connection is looked at so many times in an idle timeout: it ends at most a quarter of that late.
pub const LOOKS: u32 = 4;

/// Watches over one connection: its opening handshake has to be done in time, and then something has to happen on it.
///
/// The future of a connection is woken when its socket has bytes or takes some, or when a push is due; a peer that
/// neither sends nor reads wakes nothing. So what is counted is wake-ups, and the timer is not touched by any: it goes
/// off when the handshake should be done, and then four times in an idle timeout.
#[derive(Debug)]
pub struct Watch {
    signs: Arc<Signs>,
    handshake: Duration,
    idle: Duration,
}

/// What a connection and its watch know of each other.
#[derive(Debug, Default)]
struct Signs {
    upgraded: AtomicBool,
    /// Wake-ups of the connection by anything else than its watch; they may wrap.
    wakes: AtomicU32,
    /// The watch's timer has gone off since the last poll.
    rang: AtomicBool,
    /// The connection's task.
    task: Mutex<Option<Waker>>,
}

impl Watch {
    /// For a connection with these limits, which has just been accepted.
    pub fn new(spec: &SocketSpec) -> Watch {
        Watch { signs: Arc::default(), handshake: spec.handshake_timeout(), idle: spec.idle_timeout() }
    }

    /// The opening handshake is done.
    pub fn upgraded(&self) {
        self.signs.upgraded.store(true, Ordering::Relaxed);
    }

    /// Runs `work` to its end, or until a limit has run out.
    ///
    /// The work is borrowed, because a future that takes another one in holds the memory of it twice, and this one is
    /// there as long as its connection.
    ///
    /// Work that never waits, because it blocks its thread, has to keep the limits by itself.
    ///
    /// # Errors
    /// [`SocketError::TimedOut`] when a limit ran out; otherwise whatever `work` fails with.
    pub async fn over<T, V>(
        &self,
        timer: &T,
        mut work: Pin<&mut impl Future<Output = Result<V, SocketError>>>,
    ) -> Result<V, SocketError>
    where
        T: Timer,
    {
        if T::BLOCKS {
            // What such work waits for without blocking is another connection: a waker unparks its thread.
            return work.await;
        }
        let mut limits = pin!(self.limits(timer));
        let bell = Waker::from(self.signs.clone());
        let mut task: Option<Waker> = None;
        let mut armed = false;
        poll_fn(|cx| {
            let rang =
                self.signs.rang.load(Ordering::Relaxed) && self.signs.rang.swap(false, Ordering::AcqRel);
            if !rang {
                self.signs.wakes.fetch_add(1, Ordering::Relaxed);
            }
            if let Poll::Ready(result) = work.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            // The timer wakes whoever polled last.
            if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
                task = Some(cx.waker().clone());
                *self.signs.task.lock().unwrap_or_else(PoisonError::into_inner) = task.clone();
            }
            if armed && !rang {
                return Poll::Pending;
            }
            armed = true;
            limits.as_mut().poll(&mut Context::from_waker(&bell)).map(Err)
        })
        .await
    }

    /// Completes when a limit has run out, with which.
    async fn limits<T: Timer>(&self, timer: &T) -> SocketError {
        timer.sleep_until(Instant::now() + self.handshake).await;
        if !self.signs.upgraded.load(Ordering::Relaxed) {
            return timed_out("the opening handshake", self.handshake);
        }
        let mut seen = self.signs.wakes.load(Ordering::Relaxed);
        let mut quiet = 0;
        while quiet < LOOKS {
            timer.sleep_until(Instant::now() + self.idle / LOOKS).await;
            let wakes = self.signs.wakes.load(Ordering::Relaxed);
            quiet = if wakes == seen { quiet + 1 } else { 0 };
            seen = wakes;
        }
        timed_out("silence", self.idle)
    }
}

impl Wake for Signs {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

fn timed_out(what: &'static str, limit: Duration) -> SocketError {
    SocketError::TimedOut { what, limit_ms: limit.as_millis() as u64 }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::pending, rc::Rc};

    use super::*;

    /// A timer that goes off when the test says so, and remembers how long it was set for.
    #[derive(Clone, Default)]
    struct Manual(Rc<RefCell<Setting>>);

    #[derive(Default)]
    struct Setting {
        limits_ms: Vec<u64>,
        due: u32,
        waker: Option<Waker>,
    }

    impl Manual {
        fn ring(&self) {
            let waker = {
                let mut setting = self.0.borrow_mut();
                setting.due += 1;
                setting.waker.take()
            };
            waker.expect("the timer is set").wake();
        }
    }

    impl Timer for Manual {
        async fn sleep_until(&self, at: Instant) {
            // Some of the time has passed already.
            let left = at.saturating_duration_since(Instant::now());
            self.0.borrow_mut().limits_ms.push(left.as_millis() as u64);
            poll_fn(|cx| {
                let mut setting = self.0.borrow_mut();
                if setting.due > 0 {
                    setting.due -= 1;
                    return Poll::Ready(());
                }
                setting.waker = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
        }
    }

    fn watch() -> Watch {
        let spec =
            SocketSpec { handshake_timeout_ms: 10_000, idle_timeout_ms: 400_000, ..SocketSpec::default() };
        Watch::new(&spec)
    }

    fn limit(result: Result<(), SocketError>) -> (&'static str, u64) {
        match result {
            Err(SocketError::TimedOut { what, limit_ms }) => (what, limit_ms),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_handshake_that_does_not_end_is_ended() {
        let (timer, watch) = (Manual::default(), watch());
        let work = pin!(pending());
        let task = Task::new(watch.over(&timer, work));
        task.run();
        assert!(task.result().is_none());
        task.ring(&timer);
        assert_eq!(limit(task.result().expect("ended")), ("the opening handshake", 10_000));
    }

    #[test]
    fn only_a_whole_timeout_without_a_wake_up_ends_a_connection_and_wake_ups_do_not_touch_the_timer() {
        let (timer, watch) = (Manual::default(), watch());
        let wakers = Rc::new(RefCell::new(Vec::<Waker>::new()));
        let connection = poll_fn(|cx| {
            wakers.borrow_mut().push(cx.waker().clone());
            Poll::<Result<(), SocketError>>::Pending
        });
        let connection = pin!(connection);
        let task = Task::new(watch.over(&timer, connection));
        task.run();
        watch.upgraded();
        task.ring(&timer);
        for _ in 0..3 {
            task.ring(&timer);
        }
        // Bytes came: the quiet time starts again.
        let waker = wakers.borrow().last().cloned().expect("polled");
        waker.wake();
        task.run();
        for _ in 0..LOOKS {
            task.ring(&timer);
            assert!(task.result().is_none());
        }
        task.ring(&timer);
        assert_eq!(limit(task.result().expect("ended")), ("silence", 400_000));
        let settings = timer.0.borrow();
        assert_eq!(settings.limits_ms.len(), 1 + 3 + 1 + LOOKS as usize);
        assert!(settings.limits_ms[1..].iter().all(|limit| *limit <= 100_000), "{:?}", settings.limits_ms);
    }

    type Watched<'a> = std::pin::Pin<Box<dyn Future<Output = Result<(), SocketError>> + 'a>>;

    /// One future that is polled when it was woken, and not otherwise.
    struct Task<'a> {
        future: RefCell<Watched<'a>>,
        woken: Arc<Woken>,
        result: RefCell<Option<Result<(), SocketError>>>,
    }

    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    impl<'a> Task<'a> {
        fn new(future: impl Future<Output = Result<(), SocketError>> + 'a) -> Task<'a> {
            let woken = Arc::new(Woken(AtomicBool::new(true)));
            Task { future: RefCell::new(Box::pin(future)), woken, result: RefCell::default() }
        }

        fn run(&self) {
            let waker = Waker::from(self.woken.clone());
            while self.woken.0.swap(false, Ordering::Relaxed) {
                let polled = self.future.borrow_mut().as_mut().poll(&mut Context::from_waker(&waker));
                if let Poll::Ready(result) = polled {
                    *self.result.borrow_mut() = Some(result);
                }
            }
        }

        fn ring(&self, timer: &Manual) {
            timer.ring();
            self.run();
        }

        fn result(&self) -> Option<Result<(), SocketError>> {
            self.result.borrow_mut().take()
        }
    }
}
