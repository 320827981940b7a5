//! One file per subcommand: its flags and what it does with them.

pub mod check;
pub mod compare;
pub mod completions;
pub mod drive;
pub mod export;
pub mod help;
pub mod list;
pub mod man;
pub mod report;
pub mod run;
pub mod schema;
pub mod selftest;
pub mod soak;
pub mod table;
pub mod verify;
