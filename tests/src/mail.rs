//! Mail for a simulated mailbox: from files, or made on demand.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use crate::google::gmail::Generator;

/// Files that describe the mail beside them and are none.
const NO_MAIL: [&str; 3] = ["json", "jsonl", "md"];

/// Reads every message below `path`: of a directory each regular file except `*.json`, `*.jsonl` and `*.md`, of an mbox
/// file each message in it, of any other file the file. Names are stable and sorted.
///
/// # Errors
/// With the path that could not be read.
pub fn read(path: &Path) -> io::Result<Vec<(String, Bytes)>> {
    let mut files = Vec::new();
    collect(path, &mut files).map_err(|error| at(path, &error))?;
    files.sort();
    let mut messages = Vec::new();
    for file in files {
        let raw = Bytes::from(fs::read(&file).map_err(|error| at(&file, &error))?);
        let name = file.display().to_string();
        if raw.starts_with(b"From ") {
            let parts = split_mbox(&raw).into_iter().enumerate();
            messages.extend(parts.map(|(number, raw)| (format!("{name}#{number}"), raw)));
        } else {
            messages.push((name, raw));
        }
    }
    Ok(messages)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if kind.is_dir() {
            collect(&path, files)?;
        } else if kind.is_file() && !NO_MAIL.contains(&extension) {
            files.push(path);
        }
    }
    Ok(())
}

/// The messages of an mbox file: each begins after a `From ` line that follows an empty one, and quotes such lines inside
/// with `>`.
fn split_mbox(raw: &[u8]) -> Vec<Bytes> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut after_empty = true;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        if after_empty && line.starts_with(b"From ") {
            messages.push(Vec::new());
        } else if let Some(message) = messages.last_mut() {
            let quotes = line.iter().take_while(|byte| **byte == b'>').count();
            let quoted = quotes > 0 && line[quotes..].starts_with(b"From ");
            message.extend_from_slice(if quoted { &line[1..] } else { line });
        }
        after_empty = matches!(line, b"\n" | b"\r\n");
    }
    messages.into_iter().map(Bytes::from).collect()
}

/// Messages with one attachment of `bytes` bytes, made when they are read; equal numbers make equal messages.
#[must_use]
pub fn with_attachment(bytes: usize) -> Generator {
    std::sync::Arc::new(move |number| {
        let mut raw = format!(
            "From: Ida Sender <ida{number}@example.net>\r\nTo: sandbox@example.com\r\nSubject: File {number}\r\n\
             Message-ID: <generated-{number}@example.net>\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=\"cut\"\r\n\r\n\
             --cut\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHere is file {number}.\r\n\
             --cut\r\nContent-Type: application/octet-stream; name=\"file{number}.bin\"\r\n\
             Content-Disposition: attachment; filename=\"file{number}.bin\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n"
        )
        .into_bytes();
        raw.reserve(bytes / 3 * 4 + bytes / 28 + 64);
        // 57 bytes make one line of 76 characters; a whole line of one byte is the same text every time.
        let line = encoded(&[number as u8; 57]);
        for _ in 0..bytes / 57 {
            raw.extend_from_slice(line.as_bytes());
        }
        raw.extend_from_slice(encoded(&vec![number as u8; bytes % 57]).as_bytes());
        raw.extend_from_slice(b"--cut--\r\n");
        raw.into()
    })
}

fn encoded(bytes: &[u8]) -> String {
    use base64::Engine;
    format!("{}\r\n", base64::engine::general_purpose::STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_walked_and_its_notes_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        for (name, text) in [("b.eml", "b"), ("deep/a", "a"), ("notes.md", "no"), ("list.json", "no")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let bodies: Vec<Bytes> = read(folder.path()).unwrap().into_iter().map(|(_, raw)| raw).collect();
        assert_eq!(bodies, ["b", "a"]);
    }

    #[test]
    fn an_mbox_file_is_taken_apart_and_unquoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail.mbox");
        fs::write(&path, "From a\nSubject: 1\n\n>From me\n>>From you\n\nFrom b\nSubject: 2\n\nFromage\n").unwrap();
        let bodies: Vec<Bytes> = read(&path).unwrap().into_iter().map(|(_, raw)| raw).collect();
        assert_eq!(bodies, ["Subject: 1\n\nFrom me\n>From you\n\n", "Subject: 2\n\nFromage\n"]);
    }

    #[test]
    fn a_missing_path_is_named() {
        assert!(read(Path::new("/no/such/mail")).unwrap_err().to_string().contains("/no/such/mail"));
    }

    #[test]
    fn a_generated_message_has_the_size_it_was_asked_for() {
        use base64::Engine;
        let raw = with_attachment(100)(7);
        let text = std::str::from_utf8(&raw).unwrap();
        let body = text.split("base64\r\n\r\n").nth(1).unwrap().trim_end_matches("--cut--\r\n").replace("\r\n", "");
        assert_eq!(base64::engine::general_purpose::STANDARD.decode(body).unwrap(), [7; 100]);
    }
}
