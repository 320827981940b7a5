//! Reads what identifies this build: git, Cargo.lock, the profile and the compiler.

use std::{env, error::Error, fmt::Write, fs, path::Path, process::Command};

use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;

    // Whatever can change the commit or make the work tree dirty. This crate is a leaf that only programs depend on,
    // so looking at every source costs a relink and no rebuild.
    for watched in ["bench-core", "crates", "runners", "Cargo.toml", "Cargo.lock", ".git/logs/HEAD"] {
        let path = root.join(watched);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }

    let commit = git(&root, &["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let dirty = git(&root, &["status", "--porcelain"]).is_none_or(|changes| !changes.is_empty());
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    let lock_sha256 = Sha256::digest(&lock).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let rustc = Command::new(env::var("RUSTC")?).arg("--version").output()?.stdout;

    println!("cargo::rustc-env=BUILD_COMMIT={commit}");
    println!("cargo::rustc-env=BUILD_DIRTY={dirty}");
    println!("cargo::rustc-env=BUILD_PROFILE={}", env::var("PROFILE")?);
    println!("cargo::rustc-env=BUILD_LOCK_SHA256={lock_sha256}");
    println!("cargo::rustc-env=BUILD_RUSTC={}", String::from_utf8(rustc)?.trim());

    let table = Path::new(&env::var("OUT_DIR")?).join("versions.rs");
    fs::write(table, versions(&lock))?;
    Ok(())
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The packages of Cargo.lock as a Rust array of (name, version).
fn versions(lock: &str) -> String {
    let value = |line: &str, key: &str| {
        line.strip_prefix(key).map(|rest| rest.trim_matches(['=', ' ', '"']).to_owned())
    };
    let mut rows = String::from("&[\n");
    let mut name = None;
    for line in lock.lines() {
        if let Some(found) = value(line, "name = ") {
            name = Some(found);
        } else if let (Some(version), Some(name)) = (value(line, "version = "), name.take()) {
            let _ = writeln!(rows, "    ({name:?}, {version:?}),");
        }
    }
    rows + "]\n"
}
