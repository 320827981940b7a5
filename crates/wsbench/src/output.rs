//! What people and other programs get: tables, charts, the report's page, files and messages.

pub(crate) mod charts;
pub mod files;
pub mod page;
pub mod table;
pub mod terminal;
pub mod terms;
pub(crate) mod text;
pub(crate) mod trackers;
