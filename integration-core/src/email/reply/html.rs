//! HTML: what its structure says about each visible line, then the rules for lines.

use std::{borrow::Cow, sync::LazyLock};

use super::{
    Hints, Split, attribution,
    dom::{self, Kind, Node, Tag},
    header,
    line::{self, Line, Mark, has_address, trim},
    scan::{self, Class},
    sign_off,
};
use crate::email::{parse, table::Table};

/// Elements that hold nothing but a quote: words of their class, id or name.
const QUOTES: [&str; 23] = [
    "__quoted_text__",
    "yahoo_quoted",
    "protonmail_quote",
    "zmail_extra",
    "tutanota_quote",
    "moz-forward-container",
    "sh-quoted-content",
    "mail-editor-reference-message-container",
    "ms-outlook-mobile-reference-message",
    "messagereplysection",
    "freshdesk_quote",
    "front-blockquote",
    "moz-cite-prefix",
    "gmail_attr",
    "reply-intro",
    "isreplycontent",
    "isforwardcontent",
    "olk_src_body_section",
    "moz-email-headers-table",
    "quoted-message",
    "gmail_quoted_text",
    "missive_quote",
    "email-quote",
];
/// Elements with which a quote begins that reaches to the end.
const RESTS: [&str; 8] = [
    "appendonsend",
    "divrplyfwdmsg",
    "outlookmessageheader",
    "zwchr",
    "appleoriginalcontents",
    "stopspelling",
    "qtdseparatebr",
    "replysplit",
];
/// Elements that hold a signature.
const SIGNATURES: [&str; 26] = [
    "zm-_id_-sgn",
    "__sig_pre__",
    "__sig_post__",
    "x_signature",
    "bloop_sign",
    "airmail_sign",
    "psignature",
    "hs_signature",
    "ecxgmail_signature",
    "wisestamp_app_main",
    "gmail_signature",
    "gmail_signature_prefix",
    "moz-signature",
    "protonmail_signature_block",
    "ms-outlook-mobile-signature",
    "ms-outlook-ios-signature",
    "applemailsignature",
    "signature",
    "mb_sig",
    "messagesignaturesection",
    "yahoo-signature",
    "ymail_android_signature",
    "sh-signature",
    "tutanota_signature",
    "email-signature",
    "mail-signature",
];

static KNOWN: LazyLock<Table<Says>> = LazyLock::new(|| {
    let of = |names: &'static [&'static str], says: Says| names.iter().map(move |name| (*name, says));
    Table::of_beginnings(of(&QUOTES, Says::Quote).chain(of(&RESTS, Says::Rest)).chain(of(&SIGNATURES, Says::Signature)))
});

/// What an element's name says about its content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Says {
    Quote,
    Rest,
    Signature,
}

pub(super) fn split(html: &str, hints: &Hints<'_>) -> Split {
    let nodes = dom::read(html);
    let mut page = Page::new(&nodes);
    page.lay_out();
    let Page { mut lines, leaves, ends, .. } = page;
    doubt_signatures(&mut lines);
    let scan = scan::scan(&lines, hints.sender);
    let classes = by_leaf(nodes.len(), &scan.classes, &leaves, &ends);
    let part = |wanted: Class| {
        let any = classes.contains(&wanted);
        if any { dom::write(&nodes, |at| classes[at] == wanted) } else { String::new() }
    };
    let [new_html, quoted, signature] = [Class::New, Class::Quoted, Class::Signature].map(part);
    let [new, quoted, signature] = [&new_html, &quoted, &signature]
        .map(|html| if html.is_empty() { String::new() } else { parse::html_to_text(html) });
    let forwarded = super::forwarded_by(&scan, hints, &new);
    Split { new, quoted, signature, forwarded, new_html: Some(new_html) }
}

/// The class of each node, from those of the lines and where the leaves of each end: empty lines go with the words
/// above them.
fn by_leaf(count: usize, classes: &[Class], leaves: &[usize], ends: &[usize]) -> Vec<Class> {
    let mut current = classes.iter().copied().find(|class| *class != Class::Blank).unwrap_or(Class::New);
    let mut of = vec![Class::Blank; count];
    let mut from = 0;
    for (class, &end) in classes.iter().zip(ends) {
        if *class != Class::Blank {
            current = *class;
        }
        for &leaf in &leaves[from..end] {
            of[leaf] = current;
        }
        from = end;
    }
    of
}

/// People write whole letters into the element meant for their signature.
fn doubt_signatures(lines: &mut [Line<'static>]) {
    let words_outside = lines.iter().any(|line| line.mark == Mark::None && !line.is_blank() && !line.is_rule());
    let mut at = 0;
    while at < lines.len() {
        if lines[at].mark != Mark::Signature {
            at += 1;
            continue;
        }
        let end = (at..lines.len())
            .find(|&end| lines[end].mark != Mark::Signature && !lines[end].is_blank())
            .unwrap_or(lines.len());
        let texts = lines[at..end].iter().filter(|line| !line.is_blank()).map(|line| line.body.as_ref());
        let letter = texts.clone().filter(|text| super::is_prose(text)).count() > usize::from(words_outside);
        if letter && (!words_outside || !sign_off::is_card(texts)) {
            lines[at..end].iter_mut().for_each(|line| line.mark = Mark::None);
        }
        at = end;
    }
}

/// How deep elements may nest that say something about their lines.
const MAX_REGIONS: usize = 64;

/// An open element that says something about the lines within.
#[derive(Debug)]
struct Region {
    end: usize,
    kind: RegionKind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RegionKind {
    /// An answer with its quote: after the quoted element the answer may go on.
    Answer {
        quoted: bool,
        forwarded: bool,
    },
    Quote,
    Signature,
    Soft,
}

/// The visible lines of a document.
struct Page<'a> {
    nodes: &'a [Node<'a>],
    lines: Vec<Line<'static>>,
    /// The leaves of the lines, in order.
    leaves: Vec<usize>,
    /// Where those of each line end.
    ends: Vec<usize>,
    regions: Vec<Region>,
    blocks: Vec<usize>,
    text: String,
    /// Where the text of the leaves of the line so far begins.
    current: Vec<usize>,
    mark: Mark,
    rest_follows: bool,
    /// The next visible text from each node on.
    text_at: Vec<usize>,
    /// How many block quotes begin before each node.
    blockquotes: Vec<usize>,
}

impl<'a> Page<'a> {
    fn new(nodes: &'a [Node<'a>]) -> Self {
        let mut text_at = vec![nodes.len(); nodes.len() + 1];
        for at in (0..nodes.len()).rev() {
            let visible = nodes[at].kind == Kind::Text && !nodes[at].source.trim().is_empty();
            text_at[at] = if visible { at } else { text_at[at + 1] };
        }
        let mut blockquotes = Vec::with_capacity(nodes.len() + 1);
        let mut count = 0;
        for node in nodes {
            blockquotes.push(count);
            count += usize::from(node.tag == Tag::Blockquote);
        }
        blockquotes.push(count);
        Self {
            nodes,
            blockquotes,
            lines: Vec::new(),
            leaves: Vec::with_capacity(nodes.len()),
            ends: Vec::new(),
            regions: Vec::new(),
            blocks: Vec::new(),
            text: String::new(),
            current: Vec::new(),
            mark: Mark::None,
            rest_follows: false,
            text_at,
        }
    }

    fn lay_out(&mut self) {
        for at in 0..self.nodes.len() {
            self.leave(at);
            let node = &self.nodes[at];
            match node.kind {
                Kind::Element => self.enter(at),
                Kind::Text => self.add_text(at),
                Kind::Void => self.add_void(at),
            }
        }
        self.leave(self.nodes.len());
        self.break_line();
    }

    /// Closes what ended before node `at`.
    fn leave(&mut self, at: usize) {
        while let Some(&block) = self.blocks.last()
            && self.nodes[block].end <= at
        {
            self.blocks.pop();
            self.break_line();
            if matches!(self.nodes[block].tag, Tag::P | Tag::Blockquote | Tag::Table | Tag::List) {
                self.blank();
            }
        }
        while self.regions.last().is_some_and(|region| region.end <= at) {
            self.break_line();
            self.regions.pop();
        }
    }

    fn enter(&mut self, at: usize) {
        let node = &self.nodes[at];
        if node.block {
            self.break_line();
            if matches!(node.tag, Tag::P | Tag::Blockquote | Tag::Table) {
                self.blank();
            }
            self.blocks.push(at);
        } else if node.tag == Tag::Cell {
            self.text.push(' ');
        }
        if node.source.len() < node.name.len() + 6 && node.tag != Tag::Blockquote {
            return;
        }
        let named = names(node);
        if begins_rest(self.nodes, at, &named, &self.text_at) {
            self.break_line();
            self.rest_follows = true;
        }
        // Within a quote nothing else counts; and each open region costs every line within it a little.
        let within_quote = self.regions.last().is_some_and(|region| region.kind == RegionKind::Quote);
        if self.regions.len() < MAX_REGIONS
            && !within_quote
            && let Some(kind) = self.region(at, &named)
        {
            self.break_line();
            self.regions.push(Region { end: node.end, kind });
        }
    }

    fn region(&mut self, at: usize, named: &[Cow<'_, str>]) -> Option<RegionKind> {
        let node = &self.nodes[at];
        if node.tag == Tag::Blockquote {
            return self.blockquote(node, named);
        }
        let answers =
            |name: &Cow<'_, str>| ["gmail_quote", "gmail_quote_container"].iter().any(|known| is_named(name, known));
        if named.iter().any(answers) {
            return self.quotes_something(at).then_some(RegionKind::Answer { quoted: false, forwarded: false });
        }
        if any_says(named, Says::Quote) {
            return Some(RegionKind::Quote);
        }
        any_says(named, Says::Signature).then_some(RegionKind::Signature)
    }

    fn blockquote(&mut self, node: &Node<'_>, named: &[Cow<'_, str>]) -> Option<RegionKind> {
        let style: String = node
            .attribute("style")
            .unwrap_or_default()
            .chars()
            .take(400)
            .filter(|letter| !letter.is_whitespace())
            .collect();
        let style = style.to_ascii_lowercase();
        let cited = node.attribute("type").is_some_and(|kind| kind.eq_ignore_ascii_case("cite"))
            || node.attribute("cite").is_some();
        let lined =
            style.contains("border-left:") && !style.contains("border-left:none") && !style.contains("border-left:0");
        let quote = named.iter().any(|name| is_named(name, "gmail_quote")) || any_says(named, Says::Quote);
        // The button that indents makes the same element, without a line beside it.
        let indents = style.contains("border:none")
            || style.contains("margin:0px0px0px40px")
            || style.contains("margin:0040px")
            || style == "margin-top:0;margin-bottom:0"
            || style == "margin-top:0;margin-bottom:0;";
        if let Some(Region { kind: RegionKind::Answer { quoted, .. }, .. }) = self.regions.last_mut() {
            *quoted = true;
            return (!indents).then_some(RegionKind::Quote);
        }
        if cited || lined {
            return Some(RegionKind::Quote);
        }
        // A quote by class, without an answer's frame around it, is what the indenting button of one program makes.
        if indents || quote && node.attribute("style").is_none() && !self.quote_before() {
            return None;
        }
        Some(if quote { RegionKind::Quote } else { RegionKind::Soft })
    }

    /// An answer's frame is sometimes left around words that answer nothing.
    fn quotes_something(&self, at: usize) -> bool {
        let end = self.nodes[at].end;
        if self.blockquotes[end] > self.blockquotes[at] {
            return true;
        }
        let mut text = String::new();
        let mut next = self.text_at[at];
        while next < end && text.len() < 300 {
            text.push_str(&html_escape::decode_html_entities(self.nodes[next].source));
            text.push(' ');
            next = self.text_at[next + 1];
        }
        text.contains("-----") || attribution::wrote(&text) || attribution::has_date(&text) && has_address(&text)
    }

    fn quote_before(&self) -> bool {
        self.lines.iter().rev().take(4).any(|line| line.body.ends_with(':') || line.is_quoted())
    }

    fn add_text(&mut self, at: usize) {
        let node = &self.nodes[at];
        self.leaf(at);
        if node.source.trim().is_empty() && !node.kept {
            self.text.push(' ');
            return;
        }
        self.set_mark();
        let text = html_escape::decode_html_entities(node.source);
        self.text.push_str(&text);
        if node.kept && node.source.ends_with('\n') {
            self.break_line();
        }
    }

    fn add_void(&mut self, at: usize) {
        let node = &self.nodes[at];
        if node.source.contains('=') && begins_rest(self.nodes, at, &names(node), &self.text_at) {
            self.break_line();
            self.rest_follows = true;
        }
        if node.tag == Tag::Hr {
            self.break_line();
        }
        self.leaf(at);
        if node.tag == Tag::Br {
            self.break_line();
        } else if node.tag == Tag::Hr {
            self.text.push_str("__________");
            self.set_mark();
            self.break_line();
        } else if node.tag == Tag::Img && !is_pixel(node) {
            self.set_mark();
            self.text.push('\u{fffc}');
        }
    }

    fn leaf(&mut self, at: usize) {
        self.leaves.push(at);
        self.current.push(self.text.len());
    }

    fn set_mark(&mut self) {
        if self.mark == Mark::Rest {
            return;
        }
        let mark = self.regions.iter().rev().fold(Mark::None, |found, region| match (found, region.kind) {
            (_, RegionKind::Quote)
            | (_, RegionKind::Answer { forwarded: true, .. })
            | (_, RegionKind::Answer { quoted: false, .. }) => Mark::Quote,
            (Mark::None, RegionKind::Signature) => Mark::Signature,
            (Mark::None, RegionKind::Soft) => Mark::Soft,
            (found, _) => found,
        });
        self.mark = if std::mem::take(&mut self.rest_follows) { Mark::Rest } else { mark };
    }

    fn break_line(&mut self) {
        if self.current.is_empty() {
            self.text.clear();
            return;
        }
        let body = one_line(&self.text);
        let all = self.leaves.len();
        match attribution::within(&body) {
            // The writer's last words share the line: it is cut where an element begins, or else stays whole.
            Some(at) => {
                let begins = |from: &usize| one_line(&self.text[..*from]).len() == at && at > 0;
                if let Some(cut) = self.current.iter().position(begins) {
                    self.line(body[..at].to_owned(), all - self.current.len() + cut, false);
                    self.line(body[at..].to_owned(), all, false);
                } else {
                    self.line(body, all, true);
                }
            }
            None => self.line(body, all, false),
        }
        self.text.clear();
        self.current.clear();
        self.mark = Mark::None;
    }

    /// Adds a line whose leaves end at `end`.
    fn line(&mut self, body: String, end: usize, shared: bool) {
        let filled = !body.is_empty();
        if filled && self.mark == Mark::Quote {
            self.note_forward(&body);
        }
        let mark = if filled { self.mark } else { Mark::None };
        // Plain text that was put into HTML keeps its quote marks.
        let (depth, bare) = line::marks(&body);
        let bare = (bare.len() < body.len()).then(|| bare.to_owned());
        let body = Cow::Owned(bare.unwrap_or(body));
        self.lines.push(Line { body, mark, depth, shared, ..Line::default() });
        self.ends.push(end);
    }

    /// A forwarded message in an answer's frame holds everything up to the frame's end.
    fn note_forward(&mut self, body: &str) {
        let answer = self.regions.iter_mut().rev().find_map(|region| match &mut region.kind {
            RegionKind::Answer { quoted: false, forwarded } => Some(forwarded),
            _ => None,
        });
        if let Some(forwarded) = answer {
            *forwarded |= header::announces(body).is_some();
        }
    }

    fn blank(&mut self) {
        if self.lines.last().is_some_and(|line| !line.is_blank()) {
            self.lines.push(Line::default());
            self.ends.push(self.leaves.len());
        }
    }
}

/// White space folded, invisible marks at the ends gone.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let bare = trim(&line);
    if bare.len() == line.len() { line } else { bare.to_owned() }
}

/// Words of the element's class, id and name, lower case, without the prefix of mail shown within mail.
fn names<'a>(node: &'a Node<'_>) -> Vec<Cow<'a, str>> {
    let names = |name: &str| {
        ["class", "id", "name", "data-smartmail", "data-marker"].iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    node.attributes()
        .filter(|(name, _)| names(name))
        .flat_map(|(_, value)| value.split_ascii_whitespace().take(20))
        .map(|word| {
            let mut word = word;
            while let Some(inner) = word.strip_prefix("x_") {
                word = inner;
            }
            if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
                Cow::Owned(word.to_ascii_lowercase())
            } else {
                Cow::Borrowed(word)
            }
        })
        .collect()
}

/// One program puts random letters before its names, and a number behind.
fn is_named(name: &str, known: &str) -> bool {
    name == known
        || name.starts_with("ydp") && name.ends_with(known)
        || known == "yahoo_quoted" && name.starts_with("yahoo_quoted_")
        || known == "outlookmessageheader" && name.starts_with("outlookmessageheader")
}

fn any_says(named: &[Cow<'_, str>], wanted: Says) -> bool {
    if named.is_empty() {
        return false;
    }
    let lists: [(Says, &[&str]); 3] = [(Says::Quote, &QUOTES), (Says::Rest, &RESTS), (Says::Signature, &SIGNATURES)];
    let listed =
        |name: &str| lists.iter().any(|(says, list)| *says == wanted && list.iter().any(|known| is_named(name, known)));
    // Only some names stand for a whole family.
    let family =
        |name: &str| ["ydp", "yahoo_quoted_", "outlookmessageheader"].iter().any(|start| name.starts_with(start));
    // And what a program calls a signature is one, whatever its own name before it.
    let signs =
        |name: &str| wanted == Says::Signature && (name.ends_with("-signature") || name.ends_with("_signature"));
    named.iter().any(|name| KNOWN.get(name) == Some(wanted) || family(name) && listed(name) || signs(name))
}

/// Does the quote begin with this element, to reach to the end?
fn begins_rest(nodes: &[Node<'_>], at: usize, named: &[Cow<'_, str>], text_at: &[usize]) -> bool {
    let node = &nodes[at];
    if any_says(named, Says::Rest) {
        return true;
    }
    // "From:" and the like are what it begins with.
    let first = text_at[at + 1];
    let labelled = || first < node.end && nodes[first].source.contains([':', '\u{ff1a}']);
    if node.tag != Tag::Div || !labelled() {
        return false;
    }
    let Some(style) = node.attribute("style") else { return false };
    let style: String =
        style.chars().take(400).filter(|letter| !letter.is_whitespace()).collect::<String>().to_ascii_lowercase();
    let ruled = style.contains("border-top:solid") || style.contains("border-top:") && style.contains("1.0pt");
    ruled && style.contains("padding:3")
}

/// An image nobody sees.
fn is_pixel(node: &Node<'_>) -> bool {
    let small = |name: &str| node.attribute(name).is_some_and(|size| matches!(size.trim_end_matches("px"), "0" | "1"));
    small("width") || small("height")
}
