//! The two ends of a trial.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The two ends of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The end that listens.
    Server,
    /// The end that connects and measures.
    Client,
}

impl Role {
    /// What belongs to this end, of what belongs to the server and to the client.
    pub fn own<T>(self, server: T, client: T) -> T {
        match self {
            Role::Server => server,
            Role::Client => client,
        }
    }

    /// What belongs to the other end.
    pub fn other<T>(self, server: T, client: T) -> T {
        self.own(client, server)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.own("server", "client"))
    }
}
