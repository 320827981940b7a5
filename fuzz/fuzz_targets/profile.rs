//! A user's file of scenarios and profiles.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wsbench::fuzz_entry::profile(bytes));
