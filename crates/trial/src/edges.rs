//! Readings before and after something was measured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Readings at the two quiescent edges of the measured window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Edges<T> {
    /// Before it.
    pub ready: Option<T>,
    /// After it.
    pub measured: Option<T>,
}

impl<T> Edges<T> {
    /// Both readings, where both exist.
    pub fn both(&self) -> Option<(&T, &T)> {
        self.ready.as_ref().zip(self.measured.as_ref())
    }
}
