//! Charts: what is in them, and how they are drawn as SVG.

pub(crate) mod axis;
pub(crate) mod chart;
pub(crate) mod draw;
pub(crate) mod ink;
pub(crate) mod scenario;
pub(crate) mod sweeps;
