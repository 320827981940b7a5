//! What a check found wrong.

use trial::{PeerError, StageError, probe::ProbeError};

/// What is wrong with a peer, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It answered the opening handshake with another status than 101.
    #[error("{reason}")]
    Refused {
        /// The status.
        status: u16,
        /// The sentence.
        reason: String,
    },
    /// Anything else.
    #[error("{0}")]
    Wrong(String),
}

impl From<PeerError> for Fault {
    fn from(error: PeerError) -> Fault {
        Fault::Wrong(error.to_string())
    }
}

impl From<StageError> for Fault {
    fn from(error: StageError) -> Fault {
        Fault::Wrong(error.to_string())
    }
}

impl From<ProbeError> for Fault {
    fn from(error: ProbeError) -> Fault {
        Fault::Wrong(error.to_string())
    }
}

impl From<String> for Fault {
    fn from(reason: String) -> Fault {
        Fault::Wrong(reason)
    }
}

/// For those who only tell a person.
impl From<Fault> for String {
    fn from(fault: Fault) -> String {
        fault.to_string()
    }
}

/// A [`Fault::Wrong`] from a format string.
macro_rules! fault {
    ($($argument:tt)*) => {
        $crate::command::verify::fault::Fault::Wrong(format!($($argument)*))
    };
}

pub(crate) use fault;
