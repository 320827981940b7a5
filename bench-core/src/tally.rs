//! Accounting: both ends count every message by class, and the counts must agree.

use std::{collections::BTreeMap, ops::RangeInclusive};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::payload::Class;

/// Messages and bytes in both directions, as one end counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// Data messages sent.
    pub sent_messages: u64,
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Data messages received.
    pub received_messages: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
}

impl Count {
    /// Counts one message sent.
    pub fn sent(&mut self, payload_bytes: usize) {
        self.sent_messages += 1;
        self.sent_bytes += payload_bytes as u64;
    }

    /// Counts one message received.
    pub fn received(&mut self, payload_bytes: usize) {
        self.received_messages += 1;
        self.received_bytes += payload_bytes as u64;
    }

    fn add(&mut self, other: &Count) {
        self.sent_messages += other.sent_messages;
        self.sent_bytes += other.sent_bytes;
        self.received_messages += other.received_messages;
        self.received_bytes += other.received_bytes;
    }
}

/// A [`Count`] for each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([Count; Class::ALL.len()]);

impl Tally {
    /// The count of one class.
    pub fn class(&self, class: Class) -> &Count {
        &self.0[class as usize]
    }

    /// The count of one class, to add to.
    pub fn class_mut(&mut self, class: Class) -> &mut Count {
        &mut self.0[class as usize]
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: &Tally) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.add(theirs);
        }
    }
}

// In JSON a tally is an object with a key for each class that was seen.
impl Serialize for Tally {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seen = Class::ALL
            .into_iter()
            .filter(|class| *self.class(*class) != Count::default())
            .map(|class| (class.name(), self.class(class)));
        serializer.collect_map(seen)
    }
}

impl<'de> Deserialize<'de> for Tally {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Tally, D::Error> {
        let mut tally = Tally::default();
        for (class, count) in BTreeMap::<Class, Count>::deserialize(deserializer)? {
            *tally.class_mut(class) = count;
        }
        Ok(tally)
    }
}

impl JsonSchema for Tally {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tally".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let count = generator.subschema_for::<Count>();
        schemars::json_schema!({
            "type": "object",
            "description": "Messages and bytes by class; a class that was not seen is absent.",
            "properties": {
                "probe": count, "warm_up": count, "measured": count, "other": count,
            },
            "additionalProperties": false,
        })
    }
}

/// The first class and direction in which two ends disagree, with what both counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Messages from the client to the server.
    #[error(
        "the client sent {} {class} messages ({} B) but the server received {} ({} B)",
        client.sent_messages, client.sent_bytes, server.received_messages, server.received_bytes
    )]
    ToServer {
        /// Their class.
        class: Class,
        /// What the client counted.
        client: Count,
        /// What the server counted.
        server: Count,
    },
    /// Messages from the server to the client.
    #[error(
        "the server sent {} {class} messages ({} B) but the client received {} ({} B), and {dropped} were dropped by policy",
        server.sent_messages, server.sent_bytes, client.received_messages, client.received_bytes
    )]
    ToClient {
        /// Their class.
        class: Class,
        /// What the client counted.
        client: Count,
        /// What the server counted.
        server: Count,
        /// What the server dropped by a policy that it states, at most.
        dropped: u64,
    },
}

impl From<Mismatch> for String {
    fn from(mismatch: Mismatch) -> String {
        mismatch.to_string()
    }
}

/// Compares what the two ends of a trial counted, class by class, leaving the probe (wsbench's own client) out. So many of
/// the server's measured messages were dropped by a policy that it states.
///
/// # Errors
/// Where the ends disagree.
pub fn reconcile(
    client: &Tally,
    server: &Tally,
    server_dropped: RangeInclusive<u64>,
) -> Result<(), Mismatch> {
    for class in [Class::WarmUp, Class::Measured, Class::Other] {
        let (ours, theirs) = (client.class(class), server.class(class));
        let (client, server) = (*ours, *theirs);
        if (ours.sent_messages, ours.sent_bytes) != (theirs.received_messages, theirs.received_bytes) {
            return Err(Mismatch::ToServer { class, client, server });
        }
        let dropped = if class == Class::Measured { server_dropped.clone() } else { 0..=0 };
        let missed = theirs.sent_messages.checked_sub(ours.received_messages);
        let is_whole = missed == Some(0) && ours.received_bytes == theirs.sent_bytes;
        let is_stated = *dropped.end() > 0 && missed.is_some_and(|missed| dropped.contains(&missed));
        if !is_whole && !is_stated {
            return Err(Mismatch::ToClient { class, client, server, dropped: *dropped.end() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(class: Class, sent: u64, received: u64) -> Tally {
        let mut tally = Tally::default();
        *tally.class_mut(class) = Count {
            sent_messages: sent,
            sent_bytes: 24 * sent,
            received_messages: received,
            received_bytes: 24 * received,
        };
        tally
    }

    #[test]
    fn equal_counts_reconcile() {
        let client = tally(Class::Measured, 10, 10);
        let mut server = tally(Class::Measured, 10, 10);
        server.class_mut(Class::Probe).received(24);
        assert_eq!(reconcile(&client, &server, 0..=0), Ok(()));
    }

    #[test]
    fn a_lost_or_doubled_message_is_named() {
        let client = tally(Class::Measured, 10, 10);
        let lost = reconcile(&client, &tally(Class::Measured, 10, 9), 0..=0).unwrap_err().to_string();
        assert!(lost.contains("client sent 10 measured") && lost.contains("received 9"), "{lost}");
        let doubled = reconcile(&client, &tally(Class::Measured, 11, 10), 0..=0).unwrap_err().to_string();
        assert!(doubled.contains("server sent 11 measured"), "{doubled}");
    }

    #[test]
    fn stated_drops_are_allowed() {
        let client = tally(Class::Measured, 0, 8);
        let server = tally(Class::Measured, 10, 0);
        assert_eq!(reconcile(&client, &server, 2..=2), Ok(()));
        assert_eq!(reconcile(&client, &server, 1..=3), Ok(()));
        assert!(reconcile(&client, &server, 1..=1).is_err());
        assert!(reconcile(&client, &server, 3..=4).is_err(), "what arrived was not dropped");
        assert!(reconcile(&client, &server, u64::MAX..=u64::MAX).is_err());
        assert!(reconcile(&server, &client, 0..=2).is_err(), "nobody receives more than was sent");
    }

    #[test]
    fn json_holds_the_classes_that_were_seen() {
        let tally = tally(Class::WarmUp, 1, 2);
        let json = serde_json::to_value(tally).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 1);
        assert_eq!(json["warm_up"]["received_messages"], 2);
        assert_eq!(serde_json::from_value::<Tally>(json).unwrap(), tally);
    }
}
