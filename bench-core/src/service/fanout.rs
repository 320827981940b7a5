//! Fan-out: what `/publish` receives goes to every connection of `/subscribe`, through a bounded queue for each.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
};

use bytes::Bytes;
use futures_lite::future;

use crate::{Kind, Message, Socket, SocketError, payload::Class, spec::WhenFull, tally::Tally};

mod queue;
mod subscription;

use queue::{Item, Next, Queue};
pub use subscription::Subscription;

/// What a server says once a subscriber gets every message from then on. It counts in the class `other`.
pub const GREETING: &str = "subscribed";

/// What was not delivered because of a stated policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Messages that found a full queue, or were in it when it was given up.
    pub dropped: u64,
    /// Subscribers that were disconnected.
    pub disconnected: u64,
}

impl Losses {
    /// Counts measured messages that are dropped, which count as sent as well.
    fn drop(&mut self, messages: u64, tally: &mut Tally) {
        tally.class_mut(Class::Measured).sent_messages += messages;
        self.dropped += messages;
    }
}

/// The subscribers of a server and its publishers.
#[derive(Debug, Default)]
pub struct Hub {
    members: Mutex<Members>,
    /// Changes with the subscribers, so that a publisher need not ask for them for every message.
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct Members {
    queues: Vec<Arc<Queue>>,
    publishers: u64,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(&self, plan: &Subscription) -> Subscriber<'_> {
        let queue = Arc::new(Queue::new(plan));
        self.lock().queues.push(queue.clone());
        self.version.fetch_add(1, Relaxed);
        Subscriber { hub: self, queue }
    }

    fn publisher(&self) -> Publisher<'_> {
        self.lock().publishers += 1;
        Publisher { hub: self, known: Vec::new(), version: None }
    }
}

/// One subscriber, until it is dropped.
struct Subscriber<'a> {
    hub: &'a Hub,
    queue: Arc<Queue>,
}

impl Drop for Subscriber<'_> {
    fn drop(&mut self) {
        self.hub.lock().queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
        self.hub.version.fetch_add(1, Relaxed);
        // Nobody should wait for room in it.
        self.queue.end();
    }
}

/// One publisher, until it is dropped: the last one ends all queues.
struct Publisher<'a> {
    hub: &'a Hub,
    known: Vec<Arc<Queue>>,
    version: Option<u64>,
}

impl Publisher<'_> {
    async fn publish(&mut self, item: &Item) {
        let version = self.hub.version.load(Relaxed);
        if self.version != Some(version) {
            self.known = self.hub.lock().queues.clone();
            self.version = Some(version);
        }
        // First all that have room, so that nobody waits for one that is full.
        let full: Vec<&Arc<Queue>> =
            self.known.iter().filter(|queue| queue.poll_push(item, None).is_pending()).collect();
        for queue in full {
            poll_fn(|cx| queue.poll_push(item, Some(cx))).await;
        }
    }
}

impl Drop for Publisher<'_> {
    fn drop(&mut self) {
        let mut members = self.hub.lock();
        members.publishers -= 1;
        let ended = if members.publishers == 0 { members.queues.clone() } else { Vec::new() };
        drop(members);
        ended.iter().for_each(|queue| queue.end());
    }
}

/// `/publish`: every message goes to all who are subscribed by then. While it waits for a full queue, it reads nothing,
/// and the publisher is slowed down.
pub(crate) async fn publish<S: Socket>(
    socket: &mut S,
    hub: &Hub,
    tally: &mut Tally,
) -> Result<(), SocketError> {
    let mut publisher = hub.publisher();
    while let Some(message) = socket.recv().await? {
        let payload = message.payload();
        let class = Class::of(payload);
        tally.class_mut(class).received(payload.len());
        let item = Item { kind: message.kind(), class, payload: Bytes::copy_from_slice(payload) };
        publisher.publish(&item).await;
    }
    Ok(())
}

/// `/subscribe`: sends what is published, flushed when nothing more waits; after the last publisher has left it waits for
/// the client to close. What is dropped counts as sent, and as dropped.
pub(crate) async fn subscribe<S: Socket>(
    socket: &mut S,
    hub: &Hub,
    plan: &Subscription,
    tally: &mut Tally,
    losses: &mut Losses,
) -> Result<(), SocketError> {
    let subscriber = hub.subscribe(plan);
    let queue = &subscriber.queue;
    socket.feed(S::Message::new(Kind::Text, Bytes::from_static(GREETING.as_bytes()))).await?;
    tally.class_mut(Class::Other).sent(GREETING.len());
    loop {
        let next = match queue.poll_next(None) {
            Poll::Ready(next) => next,
            Poll::Pending => {
                socket.flush().await?;
                poll_fn(|cx| queue.poll_next(Some(cx))).await
            }
        };
        let cut_off_from = match next {
            Next::Ended => break,
            Next::Cut(lost) => Some(lost),
            Next::Message(item, dropped) => {
                losses.drop(dropped, tally);
                let (class, bytes) = (item.class, item.payload.len());
                let message = S::Message::new(item.kind, item.payload);
                let lost = if plan.when_full == WhenFull::Disconnect {
                    // Each is flushed by itself, so that it is known what the kernel has when the subscriber is cut off.
                    let sending = async {
                        socket.feed(message).await?;
                        socket.flush().await.map(|()| None)
                    };
                    // The one that was on its way is lost as well.
                    let cut = async { Ok(Some(queue.cut().await + 1)) };
                    future::or(sending, cut).await?
                } else {
                    socket.feed(message).await?;
                    None
                };
                if lost.is_none() {
                    tally.class_mut(class).sent(bytes);
                }
                lost
            }
        };
        if let Some(lost) = cut_off_from {
            losses.drop(lost, tally);
            losses.disconnected += 1;
            return Ok(());
        }
    }
    while let Some(message) = socket.recv().await? {
        tally.class_mut(Class::of(message.payload())).received(message.payload().len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_lite::future::{block_on, poll_once, zip};

    use super::*;
    use crate::payload::header;

    fn item(class: Class, sequence: u64) -> Item {
        Item { kind: Kind::Text, class, payload: Bytes::copy_from_slice(&header(class, sequence)) }
    }

    impl Message for (Kind, Bytes) {
        fn new(kind: Kind, payload: Bytes) -> (Kind, Bytes) {
            (kind, payload)
        }

        fn kind(&self) -> Kind {
            self.0
        }

        fn payload(&self) -> &[u8] {
            &self.1
        }
    }

    /// A connection in memory, which takes messages until it is `full`.
    #[derive(Default)]
    struct Fake {
        incoming: VecDeque<(Kind, Bytes)>,
        sent: Vec<Bytes>,
        full: Option<usize>,
    }

    impl Socket for Fake {
        type Message = (Kind, Bytes);

        async fn recv(&mut self) -> Result<Option<(Kind, Bytes)>, SocketError> {
            Ok(self.incoming.pop_front())
        }

        async fn feed(&mut self, message: (Kind, Bytes)) -> Result<(), SocketError> {
            if self.full.is_some_and(|full| self.sent.len() >= full) {
                future::pending::<()>().await;
            }
            self.sent.push(message.1);
            Ok(())
        }

        async fn flush(&mut self) -> Result<(), SocketError> {
            Ok(())
        }

        async fn close(&mut self) -> Result<(), SocketError> {
            Ok(())
        }
    }

    fn publisher(messages: u64) -> Fake {
        let message = |sequence| (Kind::Text, item(Class::Measured, sequence).payload);
        Fake { incoming: (0..messages).map(message).collect(), ..Fake::default() }
    }

    #[test]
    fn every_subscriber_gets_every_message_in_order_through_a_queue_of_one() {
        let hub = Hub::default();
        let plan = Subscription { queue: 1, when_full: WhenFull::Wait };
        let (mut one, mut two, mut source) = (Fake::default(), Fake::default(), publisher(50));
        let (mut tallies, mut losses) = ([Tally::default(); 3], [Losses::default(); 2]);
        let [tally_one, tally_two, tally_source] = &mut tallies;
        let [losses_one, losses_two] = &mut losses;
        block_on(async {
            let subscribers = zip(
                subscribe(&mut one, &hub, &plan, tally_one, losses_one),
                subscribe(&mut two, &hub, &plan, tally_two, losses_two),
            );
            // Polled after both have subscribed.
            let (ended, published) = zip(subscribers, publish(&mut source, &hub, tally_source)).await;
            ended.0.and(ended.1).and(published).unwrap();
        });
        let expected: Vec<Bytes> = std::iter::once(Bytes::from_static(GREETING.as_bytes()))
            .chain((0..50).map(|sequence| item(Class::Measured, sequence).payload))
            .collect();
        assert_eq!((&one.sent, &two.sent), (&expected, &expected));
        assert_eq!(tallies[0].class(Class::Measured).sent_messages, 50);
        assert_eq!(tallies[2].class(Class::Measured).received_messages, 50);
        assert_eq!(losses, [Losses::default(); 2]);
        assert!(hub.lock().queues.is_empty());
    }

    #[test]
    fn what_a_disconnected_subscriber_did_not_get_is_counted() {
        let hub = Hub::default();
        let plan = Subscription { queue: 3, when_full: WhenFull::Disconnect };
        // Room for the greeting and five messages.
        let (mut slow, mut source) = (Fake { full: Some(6), ..Fake::default() }, publisher(20));
        let (mut tally, mut losses, mut unused) = (Tally::default(), Losses::default(), Tally::default());
        block_on(async {
            let mut subscribing = Box::pin(subscribe(&mut slow, &hub, &plan, &mut tally, &mut losses));
            assert!(poll_once(&mut subscribing).await.is_none());
            let message = |sequence| item(Class::Measured, sequence);
            let mut publishing = hub.publisher();
            for sequence in 0..20 {
                publishing.publish(&message(sequence)).await;
                // It takes each as it comes, until it blocks.
                if poll_once(&mut subscribing).await.is_some() {
                    break;
                }
            }
        });
        assert_eq!(losses.disconnected, 1);
        // The sixth was on its way, three were in the queue, and one found it full.
        assert_eq!((slow.sent.len(), losses.dropped), (6, 5));
        assert_eq!(tally.class(Class::Measured).sent_messages, 5 + losses.dropped);
        block_on(publish(&mut source, &hub, &mut unused)).unwrap();
    }
}
