//! What a subscriber asks for.

use crate::{
    service::query::{BadRequest, number},
    spec::{MAX_QUEUE, WhenFull},
};

/// Parameters of `/subscribe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Most messages that wait for this subscriber.
    pub queue: u64,
    /// What happens to a message that finds the queue full.
    pub when_full: WhenFull,
}

impl Subscription {
    /// Path and query that ask for this.
    pub fn path(&self) -> String {
        format!("/subscribe?queue={}&when_full={}", self.queue, self.when_full.name())
    }

    /// Takes one parameter of the query; `false` where there is none of that name.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<bool, BadRequest> {
        match name {
            "queue" => self.queue = number("queue", value, 1, MAX_QUEUE)?,
            "when_full" => {
                self.when_full = WhenFull::from_name(value)
                    .ok_or_else(|| format!("`{value}` is no policy for a full queue"))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Default for Subscription {
    fn default() -> Subscription {
        Subscription { queue: 64, when_full: WhenFull::Wait }
    }
}
