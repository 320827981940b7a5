//! The bounded queue of one subscriber. It knows no runtime: who waits leaves a waker, and a thread that blocks is woken
//! like a task.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::subscription::Subscription;
use crate::{Kind, payload::Class, spec::WhenFull};

/// A message on its way to all subscribers: they share its payload.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) class: Class,
    pub(super) payload: Bytes,
}

/// What a queue has for its subscriber.
#[derive(Debug)]
pub(super) enum Next {
    /// A message, and how many were dropped before it.
    Message(Item, u64),
    /// Nothing more: the policy has cut the subscriber off from so many messages.
    Cut(u64),
    /// Nothing more: the last publisher has left.
    Ended,
}

/// The messages that wait for one subscriber.
#[derive(Debug)]
pub(super) struct Queue {
    plan: Subscription,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Item>,
    /// Dropped since the last message was taken.
    dropped: u64,
    cut: Option<u64>,
    ended: bool,
    reader: Option<Waker>,
    /// Publishers that wait for room.
    writers: Vec<Waker>,
}

impl Queue {
    pub(super) fn new(plan: &Subscription) -> Queue {
        Queue { plan: plan.clone(), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is whole: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message, or does with it what the policy says; waits where that is to wait. Only measured messages are
    /// ever lost: nothing else has to be accounted for as such.
    pub(super) fn poll_push(&self, item: &Item, cx: Option<&mut Context<'_>>) -> Poll<()> {
        let mut state = self.lock();
        if state.ended || state.cut.is_some() {
            return Poll::Ready(());
        }
        let full = state.waiting.len() as u64 >= self.plan.queue;
        let policy = if item.class == Class::Measured { self.plan.when_full } else { WhenFull::Wait };
        match policy {
            WhenFull::Wait if full => {
                state.writers.extend(cx.map(|cx| cx.waker().clone()));
                return Poll::Pending;
            }
            WhenFull::Disconnect if full => {
                state.cut = Some(state.waiting.len() as u64 + 1);
                state.waiting.clear();
            }
            // The oldest goes: what comes last always arrives, and tells the subscriber what it has missed.
            WhenFull::Drop if full => {
                state.waiting.pop_front();
                state.dropped += 1;
                state.waiting.push_back(item.clone());
            }
            _ => state.waiting.push_back(item.clone()),
        }
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(())
    }

    pub(super) fn poll_next(&self, cx: Option<&mut Context<'_>>) -> Poll<Next> {
        let mut state = self.lock();
        if let Some(lost) = state.cut {
            return Poll::Ready(Next::Cut(lost));
        }
        if let Some(item) = state.waiting.pop_front() {
            let dropped = std::mem::take(&mut state.dropped);
            let writers = std::mem::take(&mut state.writers);
            drop(state);
            writers.into_iter().for_each(Waker::wake);
            return Poll::Ready(Next::Message(item, dropped));
        }
        if state.ended {
            return Poll::Ready(Next::Ended);
        }
        if let Some(cx) = cx {
            state.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Completes when the policy has cut the subscriber off, with what it lost by that.
    pub(super) async fn cut(&self) -> u64 {
        poll_fn(|cx| {
            let mut state = self.lock();
            match state.cut {
                Some(lost) => Poll::Ready(lost),
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let woken: Vec<Waker> = state.reader.take().into_iter().chain(state.writers.drain(..)).collect();
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering::Relaxed},
        },
        task::Wake,
    };

    use futures_lite::future::block_on;

    use super::*;
    use crate::payload::header;

    fn item(class: Class, sequence: u64) -> Item {
        Item { kind: Kind::Text, class, payload: Bytes::copy_from_slice(&header(class, sequence)) }
    }

    fn queue(bound: u64, when_full: WhenFull) -> Queue {
        Queue::new(&Subscription { queue: bound, when_full })
    }

    fn push(queue: &Queue, class: Class, sequence: u64) -> bool {
        queue.poll_push(&item(class, sequence), None).is_ready()
    }

    /// Everything that a queue has: the payloads, and what is said to be dropped.
    fn drain(queue: &Queue) -> (Vec<Bytes>, u64) {
        let (mut payloads, mut lost) = (Vec::new(), 0);
        while let Poll::Ready(Next::Message(item, dropped)) = queue.poll_next(None) {
            payloads.push(item.payload);
            lost += dropped;
        }
        (payloads, lost)
    }

    #[test]
    fn dropping_takes_the_oldest_and_says_how_many() {
        let queue = queue(2, WhenFull::Drop);
        for sequence in 0..5 {
            assert!(push(&queue, Class::Measured, sequence));
        }
        let last_two = [3, 4].map(|sequence| item(Class::Measured, sequence).payload);
        assert_eq!(drain(&queue), (last_two.to_vec(), 3));
        assert_eq!(drain(&queue), (Vec::new(), 0));
    }

    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Flag>) {
            self.0.store(true, Relaxed);
        }
    }

    #[test]
    fn waiting_loses_nothing_and_is_over_when_there_is_room_or_nobody_left() {
        for ends in [false, true] {
            let queue = queue(1, WhenFull::Wait);
            assert!(push(&queue, Class::Measured, 0));
            let flag = Arc::new(Flag(AtomicBool::new(false)));
            let waker = Waker::from(flag.clone());
            let second = item(Class::Measured, 1);
            assert!(queue.poll_push(&second, Some(&mut Context::from_waker(&waker))).is_pending());
            assert!(!flag.0.load(Relaxed));
            if ends {
                queue.end();
            } else {
                assert_eq!(drain(&queue).0.len(), 1);
            }
            assert!(flag.0.load(Relaxed));
            assert!(queue.poll_push(&second, None).is_ready());
            assert_eq!(drain(&queue), (vec![item(Class::Measured, u64::from(!ends)).payload], 0));
        }
    }

    #[test]
    fn only_measured_messages_are_ever_lost() {
        for when_full in [WhenFull::Drop, WhenFull::Disconnect] {
            let queue = queue(1, when_full);
            assert!(push(&queue, Class::WarmUp, 0));
            assert!(!push(&queue, Class::WarmUp, 1));
            assert_eq!(drain(&queue).1, 0);
        }
    }

    #[test]
    fn a_full_queue_cuts_off_with_all_that_is_in_it() {
        let queue = queue(2, WhenFull::Disconnect);
        (0..3).for_each(|sequence| assert!(push(&queue, Class::Measured, sequence)));
        // Nobody waits for it any more.
        assert!(push(&queue, Class::Measured, 3));
        assert!(matches!(queue.poll_next(None), Poll::Ready(Next::Cut(3))));
        assert_eq!(block_on(queue.cut()), 3);
    }
}
