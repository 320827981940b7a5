//! A line that a runner prints.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wsbench::fuzz_entry::protocol(bytes));
