//! How many panics there have been in this process.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Panics in this process since [`count_panics`].
pub fn panics() -> u64 {
    PANICS.load(Relaxed)
}

/// Counts panics from now on, because most runtimes are silent about one in a connection's task. It is still printed, as
/// before.
pub fn count_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Relaxed);
        print(info);
    }));
}
