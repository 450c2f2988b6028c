//! Where PostgreSQL is installed.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The directory that holds `initdb`, `postgres` and `pgbench`: on the path, where Debian puts them (the newest version),
/// or where `pg_config` says.
#[must_use]
pub fn binaries() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).chain(packaged()).find(|directory| complete(directory));
    found.or_else(|| told().filter(|directory| complete(directory)))
}

fn complete(directory: &Path) -> bool {
    directory.join("initdb").is_file() && directory.join("postgres").is_file()
}

/// Newest first.
fn packaged() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        let version = entry.file_name().to_str().and_then(|name| name.parse().ok());
        versions.extend(version.map(|version| (version, entry.path().join("bin"))));
    }
    versions.sort();
    versions.into_iter().rev().map(|(_, directory)| directory).collect()
}

fn told() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}
