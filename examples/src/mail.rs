//! Messages from directories and mbox files.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use integration_core::{Error, ErrorKind, Result};

/// A message's name (stable between runs) and its bytes.
pub type Named = (String, Bytes);

/// The messages bundled with the examples.
#[must_use]
pub fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/mail")
}

/// Reads every message of a directory (walked; `*.json`, `*.jsonl` and `*.md` left out) or of an mbox file.
///
/// # Errors
/// `InvalidInput`, naming the file that cannot be read.
pub fn load(path: &Path) -> Result<Vec<Named>> {
    let mut found = Vec::new();
    if path.is_dir() {
        walk(path, path, &mut found)?;
    } else {
        mbox(path, &mut found)?;
    }
    Ok(found)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{} cannot be read: {error}", path.display()))
}

fn walk(root: &Path, directory: &Path, found: &mut Vec<Named>) -> Result<()> {
    let entries = std::fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|error| unreadable(directory, &error))?.path());
    }
    paths.sort();
    for path in paths {
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        if path.is_dir() {
            walk(root, &path, found)?;
        } else if path.is_file() && !["json", "jsonl", "md"].contains(&kind) {
            let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?;
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            found.push((name, bytes.into()));
        }
    }
    Ok(())
}

/// Splits at `From ` lines and takes one `>` off quoted ones (mboxrd).
fn mbox(path: &Path, found: &mut Vec<Named>) -> Result<()> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    if !bytes.starts_with(b"From ") {
        let message = format!("{} is no mbox file: it does not begin with a From line", path.display());
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"From ") {
            messages.push(Vec::new());
            continue;
        }
        let quoted =
            line.iter().position(|byte| *byte != b'>').is_some_and(|at| at > 0 && line[at..].starts_with(b"From "));
        if let Some(message) = messages.last_mut() {
            message.extend_from_slice(if quoted { &line[1..] } else { line });
        }
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    found.extend(messages.into_iter().enumerate().map(|(index, message)| (format!("{name}#{index}"), message.into())));
    Ok(())
}
