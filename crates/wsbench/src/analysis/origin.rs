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
    let commit = &build.commit[..build.commit.len().min(10)];
    let dirty = if build.dirty { ", changed" } else { "" };
    let flags = if build.flags.is_empty() { String::new() } else { format!(", {}", build.flags) };
    format!(
        "{} build {commit}{dirty}, lock {}, {}{flags}",
        build.profile,
        &build.lock_sha256[..build.lock_sha256.len().min(8)],
        build.rustc
    )
}
