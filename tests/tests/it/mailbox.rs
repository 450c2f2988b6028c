//! The mail that killed and aborted syncs are compared over.

use std::path::Path;

/// Who has the sandbox's mailbox.
pub(crate) const OWNER: &str = "alex@example.com";

/// A message of a conversation of three, from people known and unknown; every 40th, the 14th first, is broken.
pub(crate) fn message(index: u64) -> String {
    if index % 40 == 13 {
        return format!("\r\nMessage {index} has no header field at all.\r\n");
    }
    let from = match index % 4 {
        0 => "known@one.example".to_owned(),
        1 => format!("stranger{index}@two.example"),
        2 => "someone@acme.example".to_owned(),
        _ => format!("known{index}@three.example"),
    };
    let thread = index / 3 * 3;
    let reply = if index == thread {
        String::new()
    } else {
        format!("In-Reply-To: <m{thread}@mail.example>\r\nReferences: <m{thread}@mail.example>\r\n")
    };
    format!(
        "From: {from}\r\nTo: {OWNER}\r\nSubject: about {thread}\r\nMessage-ID: <m{index}@mail.example>\r\n{reply}\
         Date: Mon, 02 Nov 2026 {:02}:{:02}:{:02} +0000\r\n\r\nMessage {index}.\r\n",
        10 + index / 3_600 % 12,
        index / 60 % 60,
        index % 60
    )
}

/// Writes the first `count` messages as files.
pub(crate) fn fill(folder: &Path, count: u64) {
    std::fs::create_dir_all(folder).unwrap();
    for index in 0..count {
        std::fs::write(folder.join(format!("{index:05}.eml")), message(index)).unwrap();
    }
}
