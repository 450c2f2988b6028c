//! `format=flowed` (RFC 3676): lines that a mail program wrapped become one again.

/// Lines ending in a blank continue on the next line of the same depth of quotation.
///
/// `delete_space`: that blank was added for the purpose (`DelSp=yes`) and goes.
pub(super) fn unwrap(text: &str, delete_space: bool) -> String {
    let mut out = String::with_capacity(text.len());
    // The depth of the paragraph that is still open.
    let mut open: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let line = line.strip_suffix('\r').unwrap_or(line);
        let content = line.trim_start_matches('>');
        let depth = line.len() - content.len();
        // The first blank only protects what follows it.
        let content = content.strip_prefix(' ').unwrap_or(content);
        let signature = content == "-- ";
        if let Some(before) = open.take()
            && (before != depth || signature || content.is_empty())
        {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            begin(&mut out, depth);
        } else if out.is_empty() || out.ends_with('\n') {
            begin(&mut out, depth);
        }
        let flows = content.ends_with(' ') && !signature && !end.is_empty();
        if flows {
            out.push_str(if delete_space { &content[..content.len() - 1] } else { content });
            open = Some(depth);
        } else {
            out.push_str(content);
            out.push_str(end);
        }
    }
    out
}

fn begin(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n('>', depth));
    if depth > 0 {
        out.push(' ');
    }
}
