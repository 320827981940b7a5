//! SIGINT and SIGTERM while something is measured: the first ends it in good order, the second at once.

use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

use crate::exit::Stop;

/// The first signal that came; 0 before.
static CAUGHT: AtomicI32 = AtomicI32::new(0);

/// A signal that ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(i32);

impl Signal {
    /// The signal that has come, if one has.
    pub(crate) fn caught() -> Option<Signal> {
        let signal = CAUGHT.load(SeqCst);
        (signal != 0).then_some(Signal(signal))
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            2 => "SIGINT",
            15 => "SIGTERM",
            _ => "a signal",
        }
    }

    /// What a shell says of a program that a signal has ended.
    pub(crate) fn exit_code(self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(u8::MAX)
    }
}

/// Takes SIGINT and SIGTERM from now on. With the first one `first` is called, on a thread of its own, and [`Signal::caught`]
/// knows of it; the second one ends this program.
///
/// # Errors
/// When the system does not let it.
#[cfg(unix)]
pub(crate) fn listen(first: impl Fn(Signal) + Send + 'static) -> Result<(), Stop> {
    use signal_hook::{
        consts::{SIGINT, SIGTERM},
        iterator::Signals,
        low_level,
    };

    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Stop::failed(format!("SIGINT and SIGTERM cannot be handled: {error}")))?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if CAUGHT.swap(signal, SeqCst) != 0 {
                low_level::exit(i32::from(Signal(signal).exit_code()));
            }
            first(Signal(signal));
        }
    });
    Ok(())
}

/// There are no such signals on this system.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub(crate) fn listen(_first: impl Fn(Signal) + Send + 'static) -> Result<(), Stop> {
    Ok(())
}
