//! Planning a run and carrying it out.

pub(crate) mod bench;
pub(crate) mod blocks;
pub(crate) mod capabilities;
pub(crate) mod dry_run;
pub(crate) mod finish;
pub mod lock;
pub(crate) mod pairing;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod rates;
pub(crate) mod replacement;
pub(crate) mod request;
pub(crate) mod resources;
pub(crate) mod resume;
pub(crate) mod rounds;
pub mod rows;
pub(crate) mod select;
pub(crate) mod signals;
pub(crate) mod workers;
