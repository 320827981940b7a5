//! What the records say: reading them, summing them up and judging the rows.

pub mod curve;
pub mod results;
pub(crate) mod rounds;
pub(crate) mod slope;
pub mod statistics;
pub mod summary;
pub mod verdict;
