//! One trial: a server and a client in fresh processes, from start to accounting; and what is kept of it.
//!
//! A [catalogue] says what there is to measure. [`execute()`] starts the [`Program`]s of two rows on the cores of a
//! [placement], runs them through the steps of a trial and returns a [record]. Its [metric]s are the figures
//! derived from a record, and its [mark]s say which of them should not be compared.

pub mod bursts;
pub mod catalogue;
mod child;
pub mod clock;
mod control_group;
mod conversation;
#[cfg(target_os = "linux")]
pub mod counters;
mod edges;
pub mod exec;
pub mod execute;
pub mod identity;
pub mod interrupt;
pub mod machine;
pub mod mark;
pub mod metric;
mod outcome;
pub mod placement;
pub mod probe;
pub mod process;
pub mod program;
pub mod record;
mod run;
pub mod sample;
mod setup;
mod stage;
mod summary;
mod thread_limit;
#[cfg(target_os = "linux")]
pub mod tree;

pub use conversation::{ClientConversation, ServerConversation};
pub use edges::Edges;
pub use execute::execute;
pub use outcome::{ClientOutcome, Failure, Outcome, Step};
pub use program::{DescribeError, Program};
pub use run::{Plan, run};
pub use sample::{MachineSample, Sample};
pub use setup::Setup;
pub use stage::{Due, Ending, Limit, Peer, PeerError, Stage, StageError};
pub use thread_limit::{ThreadLimit, thread_limits};
