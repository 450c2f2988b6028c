//! Tables of words, looked up by how a text begins or ends: most lines are in none, and that must cost next to nothing.

/// Texts, each with what it stands for, in buckets by their first (or last) two bytes.
#[derive(Debug)]
pub(in crate::email) struct Table<T> {
    entries: Vec<(&'static str, T)>,
    /// Where each bucket begins.
    starts: [u16; BUCKETS + 1],
    edge: Edge,
}

const BUCKETS: usize = 512;

/// Which end of a text leads to its bucket.
#[derive(Clone, Copy, Debug)]
enum Edge {
    Beginning,
    End,
}

impl Edge {
    fn bucket(self, text: &str) -> usize {
        let (first, second) = match (self, text.as_bytes()) {
            (_, []) => (0, 0),
            (_, [only]) => (*only, 0),
            (Self::Beginning, [first, second, ..]) | (Self::End, [.., second, first]) => (*first, *second),
        };
        let [first, second] = [first, second].map(|byte| usize::from(byte.to_ascii_lowercase()));
        (first * 37 + second * 5) % BUCKETS
    }
}

impl<T: Copy> Table<T> {
    /// For looking up what a text begins with, or is; the table's order is kept.
    pub(in crate::email) fn of_beginnings(words: impl IntoIterator<Item = (&'static str, T)>) -> Self {
        Self::new(words.into_iter().collect(), Edge::Beginning)
    }

    /// For looking up what a text ends with.
    pub(in crate::email) fn of_ends(words: impl IntoIterator<Item = (&'static str, T)>) -> Self {
        Self::new(words.into_iter().collect(), Edge::End)
    }

    fn new(mut entries: Vec<(&'static str, T)>, edge: Edge) -> Self {
        entries.sort_by_key(|(word, _)| edge.bucket(word));
        let mut starts = [0; BUCKETS + 1];
        for (word, _) in &entries {
            starts[edge.bucket(word) + 1] += 1;
        }
        for bucket in 0..BUCKETS {
            starts[bucket + 1] += starts[bucket];
        }
        Self { entries, starts, edge }
    }

    fn bucket(&self, text: &str) -> &[(&'static str, T)] {
        let bucket = self.edge.bucket(text);
        &self.entries[usize::from(self.starts[bucket])..usize::from(self.starts[bucket + 1])]
    }

    /// May the text begin with a word of the table once it is folded? A quick look, never wrong with a no.
    pub(in crate::email) fn may_begin(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        bytes.iter().take(2).any(|byte| !byte.is_ascii())
            || self.bucket(text).iter().any(|(word, _)| may_match(word.bytes(), bytes.iter().copied()))
    }

    /// The same of its end.
    pub(in crate::email) fn may_end(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        bytes.iter().rev().take(2).any(|byte| !byte.is_ascii())
            || self.bucket(text).iter().any(|(word, _)| may_match(word.bytes().rev(), bytes.iter().rev().copied()))
    }

    /// What the text stands for, if it is in the table.
    pub(in crate::email) fn get(&self, text: &str) -> Option<T> {
        self.bucket(text).iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
    }

    /// What the name stands for, in whatever case it is written.
    pub(in crate::email) fn named(&self, name: &str) -> Option<T> {
        self.bucket(name).iter().find(|(word, _)| word.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The words of at least two bytes that the text begins with.
    pub(in crate::email) fn beginnings_of<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'static str> + 'a {
        self.bucket(text).iter().map(|(word, _)| *word).filter(move |word| text.starts_with(word))
    }

    /// Does the text end with a word of the table, of at least two bytes?
    pub(in crate::email) fn ends(&self, text: &str) -> bool {
        self.bucket(text).iter().any(|(word, _)| text.ends_with(word))
    }
}

/// Do the word's letters follow one another in the text? Yes too where folding may have something to do but for capitals.
fn may_match(word: impl Iterator<Item = u8>, mut text: impl Iterator<Item = u8>) -> bool {
    let mut last = 0;
    for wanted in word {
        let Some(found) = text.next() else { return false };
        if found.to_ascii_lowercase() != wanted || !wanted.is_ascii() {
            // Plain letters fold to plain letters.
            let folds = !found.is_ascii() || found == b'`' || found < b' ';
            let blanks = found == b' ' && last == b' ';
            return folds || blanks;
        }
        last = found;
    }
    true
}

/// The words by themselves.
pub(in crate::email) fn alone(words: &[&'static str]) -> impl Iterator<Item = (&'static str, ())> {
    words.iter().map(|word| (*word, ()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_by_its_edge_whatever_stands_behind_or_before_it() {
        let words = ["von", "von meinem", "發自", "t", "meinem"];
        let beginnings = Table::of_beginnings(alone(&words));
        assert_eq!(beginnings.beginnings_of("von meinem tisch").collect::<Vec<_>>(), ["von", "von meinem"]);
        assert_eq!(beginnings.beginnings_of("發自我").collect::<Vec<_>>(), ["發自"]);
        assert_eq!((beginnings.get("t"), beginnings.get("vo"), beginnings.get("")), (Some(()), None, None));
        assert!(!beginnings.may_begin("Vor") && beginnings.may_begin("VON"));
        assert!(!Table::of_beginnings(alone(&["véra"])).may_begin("vera"));
        let ends = Table::of_ends(alone(&words));
        assert!(ends.ends("hier 發自") && ends.ends("davon") && !ends.ends("vo"));
        assert!(ends.may_end("an meinem") && !ends.may_end("meine"));
        // What folding may change is no reason for a no.
        for text in ["Von  Meinem Rad", "von\tmeinem", "V\u{ad}on", "vo\u{200b}n", "發自"] {
            assert!(beginnings.may_begin(text), "{text:?}");
        }
    }
}
