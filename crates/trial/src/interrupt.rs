//! The end of everything that trials have started, from outside of the thread that runs them.
//!
//! A signal concerns the whole process, and so does what is kept here: whoever handles it calls [`interrupt`], and the
//! thread that waits for a child sees that child end at once, without ever having looked for a signal while it measured.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use crate::child::Child;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The children of trials that have not been dropped.
static CHILDREN: Mutex<Vec<Weak<Mutex<Child>>>> = Mutex::new(Vec::new());

/// Ends all children of trials; one that starts afterwards is ended at once. There is no way back.
pub fn interrupt() {
    INTERRUPTED.store(true, SeqCst);
    for child in CHILDREN.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade) {
        end(&child);
    }
}

/// Whether [`interrupt`] was called: what a trial says from then on is no result.
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(SeqCst)
}

/// Lets [`interrupt`] end this child.
pub(super) fn watch(child: &Arc<Mutex<Child>>) {
    let mut children = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
    children.retain(|other| other.strong_count() > 0);
    children.push(Arc::downgrade(child));
    drop(children);
    // After it is in the list, so that no child slips through between the two.
    if is_interrupted() {
        end(child);
    }
}

fn end(child: &Mutex<Child>) {
    child.lock().unwrap_or_else(PoisonError::into_inner).end();
}
