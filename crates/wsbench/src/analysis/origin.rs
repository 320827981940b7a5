//! Where figures come from: the machine and the build.

use bench_core::row::BuildInfo;
use trial::machine::Machine;

/// Whether two descriptions are of one machine in one state: its host, processor and kernel.
pub(crate) fn is_same_machine(one: &Machine, other: &Machine) -> bool {
    let of =
        |machine: &Machine| [&machine.host, &machine.cpu, &machine.kernel, &machine.arch].map(Clone::clone);
    of(one) == of(other) && one.cpus == other.cpus
}

/// A build in a few words.
pub(crate) fn short_build(build: &BuildInfo) -> String {
    // A file may hold anything there, so that digits are counted and not bytes.
    let digits = |text: &str, count: usize| text.chars().take(count).collect::<String>();
    let commit = digits(&build.commit, 10);
    let dirty = if build.dirty { ", changed" } else { "" };
    let flags = if build.flags.is_empty() { String::new() } else { format!(", {}", build.flags) };
    format!(
        "{} build {commit}{dirty}, lock {}, {}{flags}",
        build.profile,
        digits(&build.lock_sha256, 8),
        build.rustc
    )
}
