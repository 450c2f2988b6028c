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

/// Reads the messages of all `paths`: each a directory (walked, every regular file one message, except `*.json`, `*.jsonl`
/// and `*.md`) or an mbox file.
///
/// # Errors
/// `InvalidInput`, naming the file that cannot be read.
pub fn load_all(paths: &[PathBuf]) -> Result<Vec<Named>> {
    let mut all = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        // The same name may occur below two paths.
        all.extend(load(path)?.into_iter().map(|(name, raw)| (format!("{index}/{name}"), raw)));
    }
    Ok(all)
}

fn load(path: &Path) -> Result<Vec<Named>> {
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
    let unlisted = |error: std::io::Error| unreadable(directory, &error);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unlisted)? {
        let entry = entry.map_err(unlisted)?;
        entries.push((entry.path(), entry.file_type().map_err(unlisted)?));
    }
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    for (path, kind) in entries {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if kind.is_dir() {
            walk(root, &path, found)?;
        } else if kind.is_file() && !["json", "jsonl", "md"].contains(&extension) {
            let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?;
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            found.push((name, bytes.into()));
        }
    }
    Ok(())
}

fn mbox(path: &Path, found: &mut Vec<Named>) -> Result<()> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    if !bytes.starts_with(b"From ") {
        let message = format!("{} is no mbox file: it does not begin with a From line", path.display());
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    found.extend(split(&bytes).into_iter().enumerate().map(|(index, raw)| (format!("{name}#{index}"), raw)));
    Ok(())
}

/// Splits at `From ` lines that follow an empty line, and takes one `>` off quoted ones (mboxrd).
fn split(bytes: &[u8]) -> Vec<Bytes> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut after_empty = true;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let quotes = line.iter().take_while(|byte| **byte == b'>').count();
        let quoted = quotes > 0 && line[quotes..].starts_with(b"From ");
        if after_empty && line.starts_with(b"From ") {
            messages.push(Vec::new());
        } else if let Some(message) = messages.last_mut() {
            message.extend_from_slice(if quoted { &line[1..] } else { line });
        }
        after_empty = matches!(line, b"\n" | b"\r\n");
    }
    messages.into_iter().map(Bytes::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_from_line_inside_a_paragraph_begins_no_message() {
        let messages = split(
            b"From a\nSubject: 1\n\nDear all,\nFrom Monday on we are closed.\n>From here too.\n\nFrom b\nSubject: 2\n",
        );
        assert_eq!(
            messages,
            [
                Bytes::from("Subject: 1\n\nDear all,\nFrom Monday on we are closed.\nFrom here too.\n\n"),
                Bytes::from("Subject: 2\n")
            ]
        );
    }

    #[test]
    fn the_same_file_below_two_paths_is_two_messages() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.eml"), "Subject: a\n\n").unwrap();
        std::fs::write(folder.path().join("notes.md"), "no").unwrap();
        let twice = [folder.path().to_owned(), folder.path().to_owned()];
        let names: Vec<String> = load_all(&twice).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["0/a.eml", "1/a.eml"]);
    }
}
