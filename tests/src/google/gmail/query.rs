//! The search language of `q`, as far as it is imitated.
//!
//! `from: to: cc: bcc: subject: after: before: newer_than: older_than: rfc822msgid: label: in: is: category:
//! has:attachment filename: larger: smaller:`, words and "phrases", `-`, `OR`, `( )` and `{ }`. Anything else is
//! searched for as words.

use chrono::{DateTime, NaiveDate, Utc};

use super::payload;
use super::state::{Account, Head, SYSTEM_LABELS, Stored};
use crate::mime::{self, Part};

const MAX_DEPTH: usize = 16;
/// Dates mean midnight Pacific time; the sandbox does without its summer time.
const PACIFIC_OFFSET_SECONDS: i64 = 8 * 3600;

/// A parsed search.
#[derive(Debug)]
pub(super) struct Query(Expression);

#[derive(Debug)]
enum Expression {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Term(Option<String>, String),
}

#[derive(Debug, PartialEq)]
enum Token {
    Close,
    Minus,
    Open(char),
    Operator(String),
    Or,
    Text(String),
}

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let mut tokens = lex(text);
        tokens.reverse();
        let mut parts = Vec::new();
        // A closing sign without an opening one would end the parse early: go on after it.
        while !tokens.is_empty() {
            parts.push(group(&mut tokens, None, 0, false));
        }
        Self(Expression::All(parts))
    }

    /// Whether the search itself names spam or trash or everything.
    pub(super) fn reaches_spam_trash(&self) -> bool {
        fn reaches(expression: &Expression) -> bool {
            match expression {
                Expression::All(parts) | Expression::Any(parts) => parts.iter().any(reaches),
                Expression::Not(_) => false,
                Expression::Term(operator, value) => {
                    matches!(operator.as_deref(), Some("in" | "label"))
                        && matches!(value.to_lowercase().as_str(), "anywhere" | "spam" | "trash")
                }
            }
        }
        reaches(&self.0)
    }

    pub(super) fn accepts(&self, account: &Account, stored: &Stored, now: DateTime<Utc>) -> bool {
        if matches!(&self.0, Expression::All(parts) if parts.is_empty()) {
            return true;
        }
        Candidate { account, stored, now, head: None, tree: None }.accepts(&self.0)
    }
}

fn lex(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    let mut word = String::new();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                let phrase: String = chars.by_ref().take_while(|c| *c != '"').collect();
                end_word(&mut word, &mut tokens);
                tokens.push(Token::Text(phrase));
            }
            '(' | '{' => {
                end_word(&mut word, &mut tokens);
                tokens.push(Token::Open(c));
            }
            ')' | '}' => {
                end_word(&mut word, &mut tokens);
                tokens.push(Token::Close);
            }
            '-' if word.is_empty() && chars.peek().is_some_and(|n| !n.is_whitespace()) => tokens.push(Token::Minus),
            ':' if !word.is_empty()
                && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !matches!(tokens.last(), Some(Token::Operator(_))) =>
            {
                tokens.push(Token::Operator(std::mem::take(&mut word).to_lowercase()));
            }
            c if c.is_whitespace() => end_word(&mut word, &mut tokens),
            c => word.push(c),
        }
    }
    end_word(&mut word, &mut tokens);
    tokens
}

fn end_word(word: &mut String, tokens: &mut Vec<Token>) {
    match std::mem::take(word).as_str() {
        "" => {}
        "OR" | "|" => tokens.push(Token::Or),
        text => tokens.push(Token::Text(text.to_owned())),
    }
}

/// Everything up to the closing sign; `any` for braces, where one of the parts is enough.
fn group(tokens: &mut Vec<Token>, operator: Option<&str>, depth: usize, any: bool) -> Expression {
    let mut alternatives: Vec<Vec<Expression>> = Vec::new();
    let mut join = false;
    while let Some(token) = tokens.pop() {
        match token {
            Token::Close => break,
            Token::Or => join = true,
            token => {
                let Some(part) = single(token, tokens, operator, depth) else { continue };
                match alternatives.last_mut().filter(|_| join) {
                    Some(last) => last.push(part),
                    None => alternatives.push(vec![part]),
                }
                join = false;
            }
        }
    }
    let parts = alternatives.into_iter().map(Expression::Any).collect();
    if any { Expression::Any(parts) } else { Expression::All(parts) }
}

fn single(token: Token, tokens: &mut Vec<Token>, operator: Option<&str>, depth: usize) -> Option<Expression> {
    match token {
        Token::Text(text) => Some(Expression::Term(operator.map(str::to_owned), text)),
        Token::Minus => {
            let next = tokens.pop()?;
            let deeper = (depth < MAX_DEPTH).then_some(depth + 1)?;
            single(next, tokens, operator, deeper).map(|inner| Expression::Not(Box::new(inner)))
        }
        Token::Open(sign) if depth < MAX_DEPTH => Some(group(tokens, operator, depth + 1, sign == '{')),
        Token::Operator(name) => match tokens.last() {
            Some(Token::Text(_) | Token::Open(_)) if depth < MAX_DEPTH => {
                let next = tokens.pop()?;
                single(next, tokens, Some(&name), depth + 1)
            }
            _ => Some(Expression::Term(None, name)),
        },
        Token::Open(_) | Token::Close | Token::Or => None,
    }
}

/// A message under test; what is costly is read when a term first asks for it.
struct Candidate<'a> {
    account: &'a Account,
    stored: &'a Stored,
    now: DateTime<Utc>,
    head: Option<std::sync::Arc<Head>>,
    tree: Option<Part>,
}

impl Candidate<'_> {
    fn accepts(&mut self, expression: &Expression) -> bool {
        match expression {
            Expression::All(parts) => parts.iter().all(|p| self.accepts(p)),
            Expression::Any(parts) => parts.iter().any(|p| self.accepts(p)),
            Expression::Not(inner) => !self.accepts(inner),
            Expression::Term(Some(operator), value) => self.term(operator, value),
            Expression::Term(None, value) => self.words(value),
        }
    }

    fn head(&mut self) -> std::sync::Arc<Head> {
        let stored = self.stored;
        std::sync::Arc::clone(self.head.get_or_insert_with(|| stored.head()))
    }

    fn tree(&mut self) -> &Part {
        let stored = self.stored;
        self.tree.get_or_insert_with(|| mime::parse(&stored.source.bytes()))
    }

    fn term(&mut self, operator: &str, value: &str) -> bool {
        let seconds = self.stored.received_ms.div_euclid(1000);
        match operator {
            "from" => person(&self.head().from, value),
            "to" => {
                let head = self.head();
                person(&head.to, value) || person(&head.cc, value) || person(&head.bcc, value)
            }
            "cc" => person(&self.head().cc, value),
            "bcc" => person(&self.head().bcc, value),
            "subject" => phrase(&self.head().subject, value),
            "rfc822msgid" => self.head().message_id == value.trim_matches(['<', '>', ' ']),
            "after" | "newer" => instant(value).is_some_and(|at| seconds >= at),
            "before" | "older" => instant(value).is_some_and(|at| seconds < at),
            "newer_than" => span(value).is_some_and(|span| seconds > self.now.timestamp() - span),
            "older_than" => span(value).is_some_and(|span| seconds < self.now.timestamp() - span),
            "larger" | "size" => bytes(value).is_some_and(|size| self.stored.source.bytes().len() > size),
            "smaller" => bytes(value).is_some_and(|size| self.stored.source.bytes().len() < size),
            "filename" => {
                let value = value.to_lowercase();
                self.tree().walk().iter().any(|p| p.file_name().to_lowercase().contains(&value))
            }
            "has" if value.eq_ignore_ascii_case("attachment") => payload::has_attachment(self.tree()),
            "in" | "is" | "label" | "category" => self.labelled(operator, &value.to_lowercase()),
            _ => self.words(&format!("{operator} {value}")),
        }
    }

    fn labelled(&self, operator: &str, value: &str) -> bool {
        let has = |label: &str| self.stored.labels.contains(label);
        match (operator, value) {
            ("in", "anywhere") => true,
            ("in", "chats") => has("CHAT"),
            ("in", "drafts") => has("DRAFT"),
            ("is", "read") => !has("UNREAD"),
            ("category", name) => has(&format!("CATEGORY_{}", name.to_uppercase())),
            (_, name) => {
                let upper = name.to_uppercase();
                (SYSTEM_LABELS.contains(&upper.as_str()) && has(&upper)) || self.user_labelled(name)
            }
        }
    }

    /// User labels are named with hyphens in place of blanks and slashes.
    fn user_labelled(&self, name: &str) -> bool {
        let plain = |text: &str| text.to_lowercase().replace([' ', '/'], "-");
        let named =
            |(id, label): &(&String, &super::labels::Label)| plain(&label.name) == plain(name) || plain(id) == name;
        let mut own = self.account.labels.iter().filter(named);
        own.any(|(id, _)| self.stored.labels.contains(id))
    }

    fn words(&mut self, value: &str) -> bool {
        let head = self.head();
        if [&head.subject, &head.from, &head.to, &head.cc].into_iter().any(|text| phrase(text, value)) {
            return true;
        }
        let tree = self.tree();
        let plain = payload::first_text(tree, "text/plain").and_then(Part::text);
        let text =
            plain.or_else(|| payload::first_text(tree, "text/html").and_then(Part::text).map(|t| payload::visible(&t)));
        text.is_some_and(|text| phrase(&text, value))
    }
}

/// An address is compared whole, anything else as words.
fn person(header: &str, value: &str) -> bool {
    let value = value.trim_matches(['<', '>']).to_lowercase();
    match value.split_once('@') {
        Some(("", domain)) => mime::addresses(header).iter().any(|a| a.rsplit('@').next() == Some(domain)),
        Some(_) => mime::addresses(header).contains(&value),
        None => phrase(header, &value),
    }
}

/// Whether the words stand in the text one after the other.
fn phrase(text: &str, value: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    let wanted = words(value);
    wanted.is_empty() || words(text).windows(wanted.len()).any(|window| window == wanted)
}

/// Seconds since the epoch, or a date: midnight Pacific time.
fn instant(value: &str) -> Option<i64> {
    if let Ok(seconds) = value.parse::<i64>() {
        return Some(seconds);
    }
    let mut fields = value.split(['/', '-', '.']).map(|f| f.parse::<u32>().ok());
    let (year, month, day) = (fields.next()??, fields.next()??, fields.next()??);
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp() + PACIFIC_OFFSET_SECONDS)
}

/// `7d`, `3m`, `1y` in seconds.
fn span(value: &str) -> Option<i64> {
    let unit = value.chars().last()?;
    let count: i64 = value.strip_suffix(unit)?.parse().ok()?;
    let days = match unit {
        'd' => 1,
        'm' => 30,
        'y' => 365,
        _ => return None,
    };
    count.checked_mul(days * 86_400)
}

/// `10M`, `500K` or plain bytes.
fn bytes(value: &str) -> Option<usize> {
    let value = value.to_ascii_lowercase();
    let value = value.strip_suffix('b').unwrap_or(&value);
    let (digits, factor) = match value.chars().last()? {
        'k' => (&value[..value.len() - 1], 1 << 10),
        'm' => (&value[..value.len() - 1], 1 << 20),
        _ => (value, 1),
    };
    digits.parse::<usize>().ok()?.checked_mul(factor)
}
