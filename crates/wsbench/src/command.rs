//! One file per subcommand: its flags and what it does with them.

pub mod check;
pub mod compare;
pub mod completions;
pub mod drive;
pub mod export;
#[cfg(target_os = "linux")]
pub mod guard;
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
