//! What a row does not offer of what a scenario needs.
//!
//! A session stores the text and not the type, so that result files of every version can be read. Decisions are made on
//! the type.

use std::fmt;

/// Why a row is left out of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MissingCapability {
    /// Its server does not have this service.
    Service(String),
    /// Its client does not have this workload.
    Workload(String),
    /// It cannot flush in this way.
    Flush(String),
    /// A field of the load asks for a feature that it does not have.
    Feature(String),
    /// Its server cannot use so many worker threads.
    Workers(u32),
}

const SERVICE: &str = "the service /";
const WORKLOAD: (&str, &str) = ("the workload ", " of a client");
const FLUSH: &str = "the flush policy ";
const WORKERS: &str = " worker threads";

impl MissingCapability {
    /// Reads what [`Display`](fmt::Display) wrote. Every other text is the name of a feature.
    pub(crate) fn read(text: &str) -> MissingCapability {
        let workload = text.strip_prefix(WORKLOAD.0).and_then(|rest| rest.strip_suffix(WORKLOAD.1));
        let workers = text.strip_suffix(WORKERS).and_then(|number| number.parse().ok());
        if let Some(service) = text.strip_prefix(SERVICE) {
            MissingCapability::Service(service.to_owned())
        } else if let Some(workload) = workload {
            MissingCapability::Workload(workload.to_owned())
        } else if let Some(flush) = text.strip_prefix(FLUSH) {
            MissingCapability::Flush(flush.to_owned())
        } else if let Some(workers) = workers {
            MissingCapability::Workers(workers)
        } else {
            MissingCapability::Feature(text.to_owned())
        }
    }

    /// Whether the row can still be a client in the scenario.
    pub(crate) fn matters_to_servers_only(&self) -> bool {
        matches!(self, MissingCapability::Workers(_))
    }
}

impl fmt::Display for MissingCapability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MissingCapability::Service(name) => write!(formatter, "{SERVICE}{name}"),
            MissingCapability::Workload(name) => write!(formatter, "{}{name}{}", WORKLOAD.0, WORKLOAD.1),
            MissingCapability::Flush(name) => write!(formatter, "{FLUSH}{name}"),
            MissingCapability::Feature(name) => formatter.write_str(name),
            MissingCapability::Workers(count) => write!(formatter, "{count}{WORKERS}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back() {
        for (missing, text) in [
            (MissingCapability::Service("push".to_owned()), "the service /push"),
            (MissingCapability::Workload("ping-pong".to_owned()), "the workload ping-pong of a client"),
            (MissingCapability::Flush("each".to_owned()), "the flush policy each"),
            (MissingCapability::Feature("burn".to_owned()), "burn"),
            (MissingCapability::Workers(2), "2 worker threads"),
        ] {
            assert_eq!(missing.to_string(), text);
            assert_eq!(MissingCapability::read(text), missing);
        }
    }

    #[test]
    fn only_the_number_of_worker_threads_leaves_a_client_its_part() {
        let is_client = |text| MissingCapability::read(text).matters_to_servers_only();
        assert!(is_client("8 worker threads"));
        assert!(!is_client("the service /push") && !is_client("many worker threads"));
    }
}
