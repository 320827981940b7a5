//! Wakes the loop at an instant.
//!
//! mio's own time limit counts whole milliseconds, rounded up, which would be the lag of every push. On Linux a timer of
//! the kernel that is polled like a connection wakes the loop to the microsecond; elsewhere the time limit has to do.

use std::{io, time::Duration};

use bench_core::timer::now_ns;
use mio::{Registry, Token};

/// The alarm of the loop.
#[derive(Debug)]
pub struct Alarm {
    #[cfg(target_os = "linux")]
    timer: nix::sys::timerfd::TimerFd,
    /// When it goes off; `None` where it is not set.
    set_ns: Option<u64>,
}

#[cfg(target_os = "linux")]
impl Alarm {
    /// An alarm that is not set, and shows as `token` when it goes off.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Alarm> {
        use std::os::fd::{AsFd, AsRawFd};

        use mio::{Interest, unix::SourceFd};
        use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};

        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        // Edge-triggered: it shows once each time that it goes off, and need not be read.
        registry.register(&mut SourceFd(&timer.as_fd().as_raw_fd()), token, Interest::READABLE)?;
        Ok(Alarm { timer, set_ns: None })
    }

    /// Sees to it that the loop is awake at `at_ns` of CLOCK_MONOTONIC; gives the time limit of the wait.
    pub fn set(&mut self, at_ns: Option<u64>) -> io::Result<Option<Duration>> {
        use nix::sys::{
            time::TimeSpec,
            timerfd::{Expiration, TimerSetTimeFlags},
        };

        if self.set_ns.is_some_and(|set_ns| set_ns <= now_ns()) {
            self.set_ns = None;
        }
        // To wake up once too early costs less than to move the alarm each time.
        if let Some(at_ns) = at_ns.filter(|at_ns| self.set_ns.is_none_or(|set_ns| *at_ns < set_ns)) {
            // Zero would switch it off.
            let instant = TimeSpec::from_duration(Duration::from_nanos(at_ns.max(1)));
            self.timer.set(Expiration::OneShot(instant), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
            self.set_ns = Some(at_ns);
        }
        Ok(None)
    }
}

#[cfg(not(target_os = "linux"))]
impl Alarm {
    /// An alarm that is not set.
    pub fn new(_: &Registry, _: Token) -> io::Result<Alarm> {
        Ok(Alarm { set_ns: None })
    }

    /// The time limit of a wait that ends at `at_ns` of the monotonic clock.
    pub fn set(&mut self, at_ns: Option<u64>) -> io::Result<Option<Duration>> {
        self.set_ns = at_ns;
        Ok(self.set_ns.map(|at_ns| Duration::from_nanos(at_ns.saturating_sub(now_ns()))))
    }
}
