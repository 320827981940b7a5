//! The rows of this runner by their names.

use bench_core::Rows;

use crate::{SingleThread, multi::SeveralThreads};

/// The rows that this runner offers.
pub const ROWS: &Rows = &[("smol", &SingleThread), ("smol-multi", &SeveralThreads)];
