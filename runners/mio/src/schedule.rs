//! What is due when: pushes, and the end of the time that an opening handshake may take.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// A connection: its place, and the number that tells it from those that had the place before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Place in the table of connections.
    pub place: usize,
    /// Number of the connection, in the order of accepts.
    pub number: u64,
}

/// Due instants, in nanoseconds of CLOCK_MONOTONIC.
#[derive(Debug, Default)]
pub struct Schedule {
    pushes: BinaryHeap<Reverse<(u64, Key)>>,
    /// In the order of accepts, which is that of the deadlines: the limit is the same for all.
    handshakes: VecDeque<(u64, Key)>,
}

impl Schedule {
    /// A push of this connection is due at `due_ns`.
    pub fn push(&mut self, due_ns: u64, key: Key) {
        self.pushes.push(Reverse((due_ns, key)));
    }

    /// The opening handshake of this connection, the newest, has to be done by `deadline_ns`.
    pub fn handshake(&mut self, deadline_ns: u64, key: Key) {
        self.handshakes.push_back((deadline_ns, key));
    }

    /// A connection with a push that is due at `now_ns`.
    pub fn due_push(&mut self, now_ns: u64) -> Option<Key> {
        let Reverse((due_ns, _)) = self.pushes.peek()?;
        if *due_ns > now_ns {
            return None;
        }
        self.pushes.pop().map(|Reverse((_, key))| key)
    }

    /// A connection whose opening handshake should be done at `now_ns`; it may well be.
    pub fn expired_handshake(&mut self, now_ns: u64) -> Option<Key> {
        self.handshakes.pop_front_if(|(deadline_ns, _)| *deadline_ns <= now_ns).map(|(_, key)| key)
    }

    /// The next instant at which something is due, where `is_open` tells the handshakes that are not done. Those that
    /// are done at the head of the queue are forgotten.
    pub fn next_ns(&mut self, is_open: impl Fn(Key) -> bool) -> Option<u64> {
        while self.handshakes.pop_front_if(|(_, key)| !is_open(*key)).is_some() {}
        let handshake = self.handshakes.front().map(|(deadline_ns, _)| *deadline_ns);
        let push = self.pushes.peek().map(|Reverse((due_ns, _))| *due_ns);
        handshake.into_iter().chain(push).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(place: usize) -> Key {
        Key { place, number: 7 }
    }

    #[test]
    fn pushes_come_in_the_order_in_which_they_are_due() {
        let mut schedule = Schedule::default();
        for (due_ns, place) in [(30, 3), (10, 1), (20, 2)] {
            schedule.push(due_ns, key(place));
        }
        assert_eq!(schedule.next_ns(|_| true), Some(10));
        assert_eq!(schedule.due_push(9), None);
        assert_eq!(schedule.due_push(25), Some(key(1)));
        assert_eq!(schedule.due_push(25), Some(key(2)));
        assert_eq!(schedule.due_push(25), None);
        assert_eq!(schedule.next_ns(|_| true), Some(30));
    }

    #[test]
    fn handshakes_that_are_done_are_no_reason_to_wake_up() {
        let mut schedule = Schedule::default();
        schedule.handshake(10, key(1));
        schedule.handshake(20, key(2));
        schedule.push(50, key(3));
        assert_eq!(schedule.next_ns(|key| key.place == 2), Some(20));
        assert_eq!(schedule.expired_handshake(19), None);
        assert_eq!(schedule.expired_handshake(20), Some(key(2)));
        assert_eq!(schedule.next_ns(|_| true), Some(50));
    }
}
