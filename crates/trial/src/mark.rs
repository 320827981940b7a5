//! Marks: what spoils some of a trial's figures for a verdict. The figures stay; only the verdict on them is withdrawn.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::{Metric, MetricKind};

mod judge;

pub use judge::{FULL, LATE_NS, marks};

/// Why a verdict on some figures of a trial would be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// The client was the limit of a closed loop: rate and latency are its own.
    ClientSaturated,
    /// The generator of a paced load sent late: the latency is its own.
    GeneratorLate,
    /// The server did not keep up with the offered rate. This is a result, and spoils nothing.
    ServerSaturated,
    /// Something else took time from the used cores, or a clock stepped.
    Disturbed,
    /// There were more threads than cores for them.
    CoresShared,
    /// Two of the cores were threads of one physical core.
    Siblings,
    /// A control group's quota stopped processes of the trial, or whoever shares the quota.
    Throttled,
    /// Connections to a server that is not wsbench's own failed: the figures are those of the others.
    ConnectionsFailed,
    /// The measured window ended before its time, by a signal or the limit of the trial.
    Interrupted,
}

impl Mark {
    /// All marks.
    pub const ALL: [Mark; 9] = [
        Mark::ClientSaturated,
        Mark::GeneratorLate,
        Mark::ServerSaturated,
        Mark::Disturbed,
        Mark::CoresShared,
        Mark::Siblings,
        Mark::Throttled,
        Mark::ConnectionsFailed,
        Mark::Interrupted,
    ];

    /// Name as in records.
    pub fn name(self) -> &'static str {
        match self {
            Mark::ClientSaturated => "client-saturated",
            Mark::GeneratorLate => "generator-late",
            Mark::ServerSaturated => "server-saturated",
            Mark::Disturbed => "disturbed",
            Mark::CoresShared => "cores-shared",
            Mark::Siblings => "siblings",
            Mark::Throttled => "throttled",
            Mark::ConnectionsFailed => "connections-failed",
            Mark::Interrupted => "interrupted",
        }
    }

    /// What it says, and which verdicts it withdraws, for a person.
    pub fn meaning(self) -> &'static str {
        match self {
            Mark::ClientSaturated => {
                "the client was at least 95 % busy: rate and latency are the client's as much as the server's, and get \
                 no verdict; the servers' costs may look more alike than they are"
            }
            Mark::GeneratorLate => "the generator sent late: latency gets no verdict",
            Mark::ServerSaturated => "the server kept up with less than 99 % of the offered rate",
            Mark::Disturbed => {
                "others took more than 5 % of the used cores, or the hypervisor more than 2 %, or a clock stepped: no \
                 verdict"
            }
            Mark::CoresShared => {
                "more threads than cores for them, which cannot be compared with rows that have a core for each thread"
            }
            Mark::Siblings => {
                "two threads of one physical core: each slows the other down, which cannot be compared with rows on \
                 physical cores of their own"
            }
            Mark::Throttled => "a CPU quota stopped processes in the measured window: no verdict",
            Mark::ConnectionsFailed => {
                "connections failed, and the figures are those of the others: no verdict"
            }
            Mark::Interrupted => "the measured window was ended before its time: no verdict",
        }
    }

    /// The letter that stands for it in a table.
    pub fn letter(self) -> char {
        match self {
            Mark::ClientSaturated => 'c',
            Mark::GeneratorLate => 'g',
            Mark::ServerSaturated => 's',
            Mark::Disturbed => 'd',
            Mark::CoresShared => 'x',
            Mark::Siblings => 'h',
            Mark::Throttled => 'q',
            Mark::ConnectionsFailed => 'f',
            Mark::Interrupted => 'i',
        }
    }

    /// Whether it withdraws the verdict on a metric.
    pub fn spoils(self, metric: Metric) -> bool {
        match self {
            Mark::ClientSaturated | Mark::GeneratorLate => metric.kind != MetricKind::Cost,
            Mark::ServerSaturated => false,
            Mark::Disturbed
            | Mark::CoresShared
            | Mark::Siblings
            | Mark::Throttled
            | Mark::ConnectionsFailed
            | Mark::Interrupted => true,
        }
    }

    /// Whether it says where the trial ran: then rows that all have it are alike, and can be compared with each other.
    pub fn is_of_placement(self) -> bool {
        matches!(self, Mark::CoresShared | Mark::Siblings)
    }
}
