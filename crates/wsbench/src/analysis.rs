//! What the records say: reading them, summing them up and judging the rows.

pub(crate) mod alike;
pub(crate) mod confidence;
pub(crate) mod curve;
pub mod group;
pub mod inference;
pub(crate) mod leaders;
pub(crate) mod measured;
pub(crate) mod missing_capability;
pub mod objective;
pub(crate) mod origin;
pub(crate) mod planned;
pub mod rank_sum;
pub mod results;
pub(crate) mod rounds;
pub(crate) mod slope;
pub(crate) mod states;
pub mod statistics;
pub mod summary;
pub(crate) mod twin;
pub mod verdict;
