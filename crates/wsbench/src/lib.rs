//! The parts of the `wsbench` command. Dependencies point one way: `command` → `run` → `output` → `analysis`.

pub mod analysis;
pub mod command;
pub mod exit;
pub mod fuzz_entry;
pub mod output;
pub mod run;
