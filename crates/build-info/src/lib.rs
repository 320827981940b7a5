//! Identity of this build.
//!
//! Only programs depend on this crate: it is built again after every change anywhere in the workspace.

use bench_core::row::BuildInfo;

/// Name and version of every package in Cargo.lock.
const VERSIONS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/versions.rs"));

/// The build that the running program comes from.
pub fn build() -> BuildInfo {
    BuildInfo {
        commit: env!("BUILD_COMMIT").to_owned(),
        dirty: env!("BUILD_DIRTY") == "true",
        profile: env!("BUILD_PROFILE").to_owned(),
        lock_sha256: env!("BUILD_LOCK_SHA256").to_owned(),
        rustc: env!("BUILD_RUSTC").to_owned(),
        target: env!("BUILD_TARGET").to_owned(),
        target_features: env!("BUILD_TARGET_FEATURES").to_owned(),
        opt_level: env!("BUILD_OPT_LEVEL").to_owned(),
        flags: env!("BUILD_FLAGS").to_owned(),
        // It does not know which program asks.
        features: Vec::new(),
    }
}

/// Version of a package that this build is made with; empty when it is not in Cargo.lock. Where there are several, the
/// last one, which Cargo sorts highest.
pub fn version(package: &str) -> &'static str {
    VERSIONS.iter().rfind(|(name, _)| *name == package).map_or("", |(_, version)| version)
}

/// The WebSocket stack of a row, with versions: tungstenite, or a crate on top of it.
pub fn websocket(stack: &str) -> String {
    match stack {
        "tungstenite" => format!("tungstenite {}", version("tungstenite")),
        on_it => format!("{on_it} {} on tungstenite {}", version(on_it), version("tungstenite")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_come_from_the_lock_file() {
        assert!(super::version("tokio").starts_with("1."));
        assert_eq!(super::version("no-such-package"), "");
        assert_eq!(super::build().lock_sha256.len(), 64);
    }
}
