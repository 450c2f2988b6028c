//! Blocks of `Name: value` lines.

/// What is read of one part: reports are short.
const MAX_BLOCKS: usize = 3_000;
const MAX_FIELDS: usize = 100;

/// Fields between two empty lines, in order.
#[derive(Debug, Default)]
pub(super) struct Block(Vec<(String, String)>);

impl Block {
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        let named = |(key, value): &&(String, String)| key.eq_ignore_ascii_case(name) && !value.is_empty();
        self.0.iter().find(named).map(|(_, value)| value.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = move |(key, value): &&(String, String)| key.eq_ignore_ascii_case(name) && !value.is_empty();
        self.0.iter().filter(named).map(|(_, value)| value.as_str())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// All blocks of `text`. A second `Final-Recipient` begins a block although no empty line stands before it.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut block = Block::default();
    for line in text.lines() {
        if blocks.len() >= MAX_BLOCKS {
            return blocks;
        }
        if line.trim().is_empty() {
            if !block.is_empty() {
                blocks.push(std::mem::take(&mut block));
            }
            continue;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = block.0.last_mut()
                && value.len() < 4_096
            {
                value.push(' ');
                value.push_str(line.trim());
            }
            continue;
        }
        let Some((name, value)) = line.split_once(':').filter(|(name, _)| is_name(name)) else {
            // A value that was broken without indentation goes on.
            if let Some((_, last)) = block.0.last_mut()
                && last.len() < 4_096
            {
                last.push(' ');
                last.push_str(line.trim());
            }
            continue;
        };
        if name.eq_ignore_ascii_case("Final-Recipient") && block.first("Final-Recipient").is_some() {
            blocks.push(std::mem::take(&mut block));
        }
        if block.0.len() < MAX_FIELDS {
            block.0.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    if !block.is_empty() {
        blocks.push(block);
    }
    blocks
}

fn is_name(name: &str) -> bool {
    let name = name.trim_end();
    (1..=60).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
