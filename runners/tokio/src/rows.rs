//! The rows of this runner by their names.

use bench_core::Rows;

use crate::{CurrentThread, multi::MultiThread, native};

/// The rows that this runner offers.
pub const ROWS: &Rows =
    &[("tokio", &CurrentThread), ("tokio-multi", &MultiThread), ("tokio-native", &native::CurrentThread)];
