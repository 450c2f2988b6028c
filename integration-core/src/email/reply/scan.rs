//! Whose words each line is: one pass from the top, then the ends of what is left.

use super::{
    attribution,
    header::{self, Announced, Header},
    line::{Line, Mark, folded},
    sign_off,
    words::Label,
};

/// Whose words a line is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Class {
    #[default]
    Blank,
    New,
    Quoted,
    Signature,
}

/// The first quote of a message, if a header introduces it.
#[derive(Debug)]
pub(super) struct Introduction {
    /// Announced as forwarded.
    pub(super) forwarded: bool,
    pub(super) header: Option<Header>,
}

/// What a scan found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) classes: Vec<Class>,
    pub(super) introduction: Option<Introduction>,
}

/// Longer quotes are no writer's own.
const MAX_CITED: usize = 8;
/// No longer words below a mobile program's line are an afterthought.
const MAX_AFTERTHOUGHT: usize = 160;
/// How often what is left is looked at again: a removed quote may uncover another signature.
const MAX_ROUNDS: usize = 12;

/// Classifies every line; looking at what stays new by itself finds nothing more.
pub(super) fn scan(lines: &[Line<'_>], sender: Option<&str>) -> Scan {
    let mut all = Scan { classes: vec![Class::Blank; lines.len()], introduction: None };
    let separator = Line::default();
    let mut indices: Vec<Option<usize>> = (0..lines.len()).map(Some).collect();
    for round in 0..MAX_ROUNDS {
        let view: Vec<&Line<'_>> =
            indices.iter().map(|index| index.map_or(&separator, |index| &lines[index])).collect();
        let pass = Pass::new(&view, round == 0).run(sender);
        if round == 0 {
            all.introduction = pass.introduction;
        }
        let mut changed = false;
        for (index, class) in indices.iter().zip(&pass.classes) {
            if let Some(index) = *index {
                changed |= !matches!(class, Class::New | Class::Blank);
                all.classes[index] = *class;
            }
        }
        if !changed {
            break;
        }
        indices = remaining(&indices, &pass.classes);
    }
    all
}

/// What stays new, with an empty line wherever something was taken out.
fn remaining(indices: &[Option<usize>], classes: &[Class]) -> Vec<Option<usize>> {
    let mut rest: Vec<Option<usize>> = Vec::new();
    let (mut gap, mut filled) = (false, 0);
    for (index, class) in indices.iter().zip(classes) {
        match class {
            Class::Blank if !gap => rest.push(*index),
            Class::Blank => {}
            Class::New => {
                if std::mem::take(&mut gap) && filled > 0 {
                    rest.truncate(filled);
                    rest.push(None);
                }
                rest.push(*index);
                filled = rest.len();
            }
            _ => gap = true,
        }
    }
    rest
}

struct Pass<'a, 'b> {
    lines: &'a [&'a Line<'b>],
    classes: Vec<Class>,
    introduction: Option<Introduction>,
    /// Nothing but the look of a quote marks some lines as such.
    only_soft: bool,
    /// All quote marks are threefold and nothing introduces them: a program's prompt.
    prompts: bool,
    quote_seen: bool,
    new_seen: bool,
    /// The first mobile line with words above it.
    mobile: Option<usize>,
}

impl<'a, 'b> Pass<'a, 'b> {
    fn new(lines: &'a [&'a Line<'b>], first: bool) -> Self {
        let soft = first && lines.iter().any(|line| line.mark == Mark::Soft);
        let hard = lines.iter().any(|line| line.is_quoted() || line.mark == Mark::Rest);
        let classes = vec![Class::Blank; lines.len()];
        let prompts = lines.iter().all(|line| line.depth == 0 || line.depth == 3 && line.raw.starts_with(">>> "));
        Self {
            lines,
            prompts,
            classes,
            introduction: None,
            only_soft: soft && !hard,
            quote_seen: false,
            new_seen: false,
            mobile: None,
        }
    }

    fn run(mut self, sender: Option<&str>) -> Self {
        if self.only_soft && (0..self.lines.len()).any(|at| self.start_at(at).is_some()) {
            self.only_soft = false;
        }
        let mut at = 0;
        while at < self.lines.len() {
            at = self.step(at);
        }
        self.below_mobile();
        self.sign_offs(sender);
        self
    }

    /// Classifies the line at `at` and returns the next one to look at.
    fn step(&mut self, at: usize) -> usize {
        let line = self.lines[at];
        if line.mark == Mark::Rest {
            return self.rest(header::above_rules(self.lines, at), at, None);
        }
        if line.is_blank() {
            return at + 1;
        }
        if header::is_arrowed(&line.body) && !self.quotes_follow(at + 1) {
            return self.rest(at, at, None);
        }
        let prompt = self.prompts && line.depth > 0 && !self.after_quote(at) || self.cited(at);
        let soft = line.mark == Mark::Soft && (self.only_soft || self.after_quote(at));
        if (line.is_quoted() || soft) && !prompt {
            return self.quoted(at);
        }
        if line.mark == Mark::Signature {
            self.classes[at] = Class::Signature;
            return at + 1;
        }
        if let Some(start) = self.start_at(at) {
            return self.quote(start);
        }
        if self.rewrapped(at) {
            return self.quoted(at);
        }
        if line.is_mobile() {
            self.classes[at] = Class::Signature;
            if self.new_seen && self.mobile.is_none() {
                self.mobile = Some(at);
            }
            return at + 1;
        }
        self.classes[at] = Class::New;
        self.new_seen = true;
        at + 1
    }

    /// Is the line part of a quote that the writer announces ("Run this:") and goes on below? Only the look of a quote makes
    /// it one, or it holds no sentences; where anything else is quoted too, it is a reply.
    fn cited(&self, at: usize) -> bool {
        let marked = |at: usize| self.lines[at].depth > 0 || self.lines[at].mark == Mark::Soft;
        if self.quote_seen || !marked(at) || self.lines[at].mark == Mark::Quote {
            return false;
        }
        let first = (0..=at).rev().take(MAX_CITED).take_while(|&line| marked(line) || self.lines[line].is_blank());
        let first = first.filter(|&line| marked(line)).last().unwrap_or(at);
        let above = (0..first).rev().take(3).find(|&above| !self.lines[above].is_blank());
        let announced = |above: usize| {
            let line = &self.lines[above].body;
            let attributes = line.contains(|letter: char| letter.is_numeric() || matches!(letter, '@' | '<'));
            self.classes[above] == Class::New && line.ends_with(':') && !attributes && !self.lines[above].says_wrote()
        };
        let end =
            (at..self.lines.len().min(at + MAX_CITED)).find(|&line| !marked(line) && !self.lines[line].is_blank());
        let plain = |end: usize| {
            (first..end).all(|line| self.lines[line].mark == Mark::Soft || !self.lines[line].is_prose())
                && (end..self.lines.len()).take(200).all(|line| !marked(line) && !self.lines[line].is_quoted())
        };
        above.is_some_and(announced) && end.is_some_and(plain)
    }

    fn quoted(&mut self, at: usize) -> usize {
        if self.classes[at] == Class::Blank {
            self.classes[at] = Class::Quoted;
        }
        if !self.quote_seen {
            self.quote_seen = true;
            self.introduction = self.introduced_within(at);
            self.rule_above(at);
        }
        at + 1
    }

    /// A long stroke right on top of a quote is its program's.
    fn rule_above(&mut self, at: usize) {
        let Some(above) = at.checked_sub(1) else { return };
        if self.classes[above] == Class::New && self.lines[above].is_rule() && self.lines[above].body.starts_with('_') {
            self.classes[above] = Class::Quoted;
        }
    }

    /// A marked quote may begin with the lines that introduce it.
    fn introduced_within(&self, at: usize) -> Option<Introduction> {
        let from = (at..self.lines.len().min(at + 6)).find(|&line| !self.lines[line].body.is_empty())?;
        if !self.lines[from].is_quoted() {
            return None;
        }
        let announced = header::announces(&self.lines[from].body);
        let head = announced.map_or(Some(from), |_| self.filled(from + 1));
        let header = head.and_then(|head| header::at(self.lines, head, announced.is_some()));
        // Within a reply's quote somebody else forwarded.
        let plain = self.lines[from].depth > 0;
        (!plain && (announced.is_some() || header.is_some()))
            .then_some(Introduction { forwarded: announced == Some(Announced::Forwarded), header })
    }

    /// Everything from `from` on is quoted; the header, if any, is looked for at `head`.
    fn rest(&mut self, from: usize, head: usize, start: Option<Start>) -> usize {
        for at in from..self.lines.len() {
            if !self.lines[at].is_blank() {
                self.classes[at] = Class::Quoted;
            }
        }
        if !self.quote_seen {
            self.quote_seen = true;
            self.introduction = Some(match start {
                Some(start) => start.introduction,
                None => self.introduction_at(head),
            });
        }
        self.lines.len()
    }

    fn introduction_at(&self, from: usize) -> Introduction {
        let announced = (from..self.lines.len().min(from + 8)).find_map(|at| header::announces(&self.lines[at].body));
        let header = (from..self.lines.len().min(from + 10)).find_map(|at| header::at(self.lines, at, true));
        Introduction { forwarded: announced == Some(Announced::Forwarded), header }
    }

    /// A quote begins: with marks, and then only marked lines are quoted; or without, and then all is.
    fn quote(&mut self, start: Start) -> usize {
        let next = self.filled(start.end);
        let marked = next.is_some_and(|next| self.lines[next].is_quoted() || self.lines[next].mark == Mark::Soft);
        let from = header::above_rules(self.lines, start.begin);
        if !marked && next.is_some() {
            return self.rest(from, start.begin, Some(start));
        }
        for at in from..start.end {
            if !self.lines[at].is_blank() {
                self.classes[at] = Class::Quoted;
            }
        }
        let end = start.end;
        if !self.quote_seen {
            self.quote_seen = true;
            self.introduction = Some(start.introduction);
        }
        end
    }

    /// The lines that introduce a quote, if they end or begin at `at`.
    fn start_at(&self, at: usize) -> Option<Start> {
        let line = self.lines[at];
        if line.is_blank() || line.mark != Mark::None || line.shared {
            return None;
        }
        if !line.opens() {
            return self.attribution_at(at);
        }
        if let Some(announced) = header::announces(&line.body) {
            let next = self.filled(at + 1);
            let header = next.and_then(|next| header::at(self.lines, next, true));
            let end = header
                .as_ref()
                .filter(|_| next.is_some_and(|next| !self.lines[next].is_quoted()))
                .map_or(at + 1, |header| header.end);
            let forwarded = announced == Announced::Forwarded;
            return Some(Start { begin: at, end, introduction: Introduction { forwarded, header } });
        }
        if let Some(header) = header::at(self.lines, at, false) {
            return Some(Start {
                begin: at,
                end: header.end,
                introduction: Introduction { forwarded: false, header: Some(header) },
            });
        }
        self.attribution_at(at)
    }

    fn attribution_at(&self, at: usize) -> Option<Start> {
        let none = || Introduction { forwarded: false, header: None };
        if let Some(begin) = attribution::ending_at(self.lines, at) {
            return Some(Start { begin, end: at + 1, introduction: none() });
        }
        let line = self.lines[at];
        (line.has_at() && attribution::with_text_behind(&line.body)).then(|| Start {
            begin: at,
            end: at + 1,
            introduction: none(),
        })
    }

    fn filled(&self, from: usize) -> Option<usize> {
        (from..self.lines.len()).find(|&at| !self.lines[at].is_blank())
    }

    fn after_quote(&self, at: usize) -> bool {
        (0..at).rev().find(|&at| !self.lines[at].is_blank()).is_some_and(|above| self.classes[above] == Class::Quoted)
    }

    fn quotes_follow(&self, from: usize) -> bool {
        self.filled(from).is_some_and(|next| self.lines[next].is_quoted())
    }

    /// The rest of a quoted line that was broken by a program which did not know about quotes.
    fn rewrapped(&self, at: usize) -> bool {
        let Some(above) = at.checked_sub(1).map(|above| self.lines[above]) else { return false };
        let line = self.lines[at];
        if above.depth == 0 || line.mark != Mark::None {
            return false;
        }
        if above.body.ends_with('=') && above.raw.trim_end().len() > 60 {
            return true;
        }
        let opened = above.body.rfind("http").is_some_and(|link| {
            let before = above.body[..link].chars().next_back();
            !above.body[link..].contains([')', '>', ' ']) && matches!(before, Some('(' | '<'))
        });
        let alone = line.body.starts_with("(http") && !line.body.contains(' ')
            || line.body.starts_with("(http") && line.body.ends_with('>');
        if opened && line.body.contains([')', '>']) && !line.body.contains(' ') || alone {
            return true;
        }
        let goes_on = line.body.starts_with(char::is_lowercase) && !above.body.ends_with(['.', '!', '?', ':', ';']);
        let quote_below = self.lines.get(at + 1).is_some_and(|below| below.depth > 0);
        goes_on && quote_below && above.raw.trim_end().chars().count() >= 66
    }

    /// A mobile program's line stands between the answer and what it answers.
    fn below_mobile(&mut self) {
        let Some(mobile) = self.mobile else { return };
        let Some(from) = self.filled(mobile + 1) else { return };
        let end = (from..self.lines.len())
            .find(|&at| !matches!(self.classes[at], Class::New | Class::Blank))
            .unwrap_or(self.lines.len());
        let texts: Vec<&str> = (from..end)
            .filter(|&at| self.classes[at] == Class::New)
            .map(|at| self.lines[at].body.as_ref())
            .take(30)
            .collect();
        let postscript = texts
            .first()
            .is_some_and(|text| text.starts_with("PS") || text.starts_with("P.S") || text.starts_with("ps"));
        let class = if texts.is_empty() || postscript {
            return;
        } else if sign_off::is_card(texts.iter().copied()) {
            Class::Signature
        } else if end == self.lines.len() && !self.quote_seen && !is_afterthought(&texts) {
            Class::Quoted
        } else {
            return;
        };
        for at in from..end {
            if self.classes[at] == Class::New {
                self.classes[at] = class;
            }
        }
    }

    /// Signatures end the words above the quote, and the words at the end of the message.
    fn sign_offs(&mut self, sender: Option<&str>) {
        let ends = |classes: &[Class], at: usize| !matches!(classes[at], Class::New | Class::Blank);
        let Some(first) = self.classes.iter().position(|class| *class == Class::New) else { return };
        let stop = (first..self.lines.len()).find(|&at| ends(&self.classes, at)).unwrap_or(self.lines.len());
        self.sign_off(first, stop, sender);
        let Some(last) = self.classes.iter().rposition(|class| *class == Class::New) else { return };
        if last >= stop {
            let start = (0..last).rev().find(|&at| ends(&self.classes, at)).map_or(0, |at| at + 1);
            self.sign_off(start, last + 1, sender);
        }
    }

    fn sign_off(&mut self, from: usize, mut to: usize, sender: Option<&str>) {
        let quoted = self.classes.contains(&Class::Quoted);
        let words_before = self.classes[..from].contains(&Class::New);
        while from < to {
            let lines = &self.lines[from..to];
            let Some(start) = sign_off::begins(lines, words_before, sender) else { return };
            let above = words_before || self.classes[from..from + start].contains(&Class::New);
            if !above && !quoted && !lines[start].is_mobile() {
                return;
            }
            for at in from + start..to {
                if self.classes[at] == Class::New {
                    self.classes[at] = Class::Signature;
                }
            }
            to = from + start;
        }
    }
}

/// Few words that begin as what came to somebody's mind too late.
fn is_afterthought(texts: &[&str]) -> bool {
    const BEGINNINGS: &str = "also|and|btw|by the way|one more|oh|please|sorry|wait|forgot|i forgot|correction|another|\
        außerdem|ausserdem|noch|auch|übrigens|und|bitte|ach|nachtrag|aussi|\
        et|au fait|j'ai oublié|además|también|y|por cierto|inoltre|anche|ook|också";
    let first = texts.first().map(|text| folded(text, 60)).unwrap_or_default();
    let ends = |rest: &str| rest.is_empty() || rest.starts_with([' ', ',', ':']);
    texts.iter().map(|text| text.len()).sum::<usize>() <= MAX_AFTERTHOUGHT
        && BEGINNINGS.split('|').any(|word| first.strip_prefix(word).is_some_and(ends))
}

struct Start {
    begin: usize,
    end: usize,
    introduction: Introduction,
}

/// The header's sender, date and subject.
pub(super) fn values(header: &Header) -> [Option<&str>; 3] {
    [Label::From, Label::Date, Label::Subject].map(|label| header.value(label).filter(|value| !value.is_empty()))
}
