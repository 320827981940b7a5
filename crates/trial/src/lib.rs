//! One trial: a server and a client in fresh processes, from start to accounting; and what is kept of it.
//!
//! A [catalogue] says what there is to measure. [`execute`] starts the [`Program`]s of two rows on the cores of a
//! [placement], runs them through the steps of a trial and returns a [record]. Its [metric]s are the figures
//! derived from a record, and its [mark]s say which of them should not be compared.

pub mod catalogue;
pub mod clock;
#[cfg(target_os = "linux")]
pub mod counters;
pub mod execute;
pub mod identity;
pub mod interrupt;
pub mod machine;
pub mod mark;
pub mod metric;
pub mod placement;
pub mod probe;
pub mod process;
pub mod program;
pub mod record;
pub mod run;
pub mod sample;

pub use execute::{Setup, execute};
pub use program::{DescribeError, Program};
pub use run::{BesideOutcome, Edges, Failure, Outcome, Peer, Stage, Step, run};
pub use sample::{MachineSample, Sample};
