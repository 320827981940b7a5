//! Reads what identifies this build: git, Cargo.lock, the profile and the compiler.

use std::{env, error::Error, fmt::Write, fs, path::Path, process::Command};

use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;

    // Cargo takes a target folder that was copied from another checkout for its own, and finds it fresh where the files here are
    // older. .cargo/config.toml sets this to the checkout's path, so that this script runs again in every checkout.
    println!("cargo::rerun-if-env-changed=WSBENCH_CHECKOUT");
    // Whatever can change the commit or make the work tree dirty. This crate is a leaf that only programs depend on,
    // so looking at every source costs a relink and no rebuild.
    for watched in ["bench-core", "crates", "runners", "Cargo.toml", "Cargo.lock", ".git/logs/HEAD"] {
        let path = root.join(watched);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }

    let commit = git(&root, &["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let dirty = git(&root, &["status", "--porcelain"]).is_none_or(|changes| !changes.is_empty())
        || holds_builds_of_another_checkout(&root)?;
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
    println!("cargo::rustc-env=BUILD_TARGET={}", env::var("TARGET")?);
    println!(
        "cargo::rustc-env=BUILD_TARGET_FEATURES={}",
        env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default()
    );
    println!("cargo::rustc-env=BUILD_OPT_LEVEL={}", env::var("OPT_LEVEL")?);
    println!("cargo::rustc-env=BUILD_FLAGS={}", flags());

    let table = Path::new(&env::var("OUT_DIR")?).join("versions.rs");
    fs::write(table, versions(&lock))?;
    Ok(())
}

/// Whether the target folder was filled by another checkout: then some packages may be built from its sources, because Cargo
/// compares times only, and a commit does not say what was built.
fn holds_builds_of_another_checkout(root: &Path) -> Result<bool, Box<dyn Error>> {
    // …/target/PROFILE/build/build-info-HASH/out
    let out = env::var("OUT_DIR")?;
    let stamp =
        Path::new(&out).ancestors().nth(3).ok_or("OUT_DIR is not in a target folder")?.join("checkout");
    let root = root.display().to_string();
    match fs::read_to_string(&stamp) {
        Ok(first) if first != root => {
            println!(
                "cargo::warning={} was filled by the checkout {first}: this build counts as changed until `cargo clean`",
                stamp.with_file_name("").display()
            );
            Ok(true)
        }
        Ok(_) => Ok(false),
        Err(_) => {
            fs::write(stamp, root)?;
            Ok(false)
        }
    }
}

/// The flags that every compiler call of this build gets, and the settings of the profile that the environment changes. Those of
/// Cargo.toml are known by the commit.
fn flags() -> String {
    const SETTINGS: [&str; 6] =
        ["LTO", "CODEGEN_UNITS", "OPT_LEVEL", "DEBUG_ASSERTIONS", "OVERFLOW_CHECKS", "PANIC"];
    let rustflags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().replace('\u{1f}', " ");
    let mut flags: Vec<String> = (!rustflags.is_empty()).then_some(rustflags).into_iter().collect();
    for profile in ["RELEASE", "DEV"] {
        for setting in SETTINGS {
            let name = format!("CARGO_PROFILE_{profile}_{setting}");
            println!("cargo::rerun-if-env-changed={name}");
            flags.extend(env::var(&name).ok().map(|value| format!("{name}={value}")));
        }
    }
    flags.join(" ")
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
