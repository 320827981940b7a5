//! One file per subcommand: its flags and what it does with them.

pub mod compare;
pub mod drive;
pub mod export;
pub mod help;
pub mod list;
pub mod run;
pub mod selftest;
pub mod soak;
pub mod verify;
