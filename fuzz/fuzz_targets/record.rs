//! A result file, and everything that is made of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wsbench::fuzz_entry::record(bytes));
