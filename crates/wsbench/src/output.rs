//! What people and other programs get: tables, charts, the report's page, files and messages.

pub(crate) mod charts;
pub(crate) mod files;
pub(crate) mod hgrm;
pub(crate) mod page;
pub mod print;
pub mod table;
pub mod terminal;
pub(crate) mod terms;
pub(crate) mod text;
pub(crate) mod trackers;
pub(crate) mod trials_csv;
