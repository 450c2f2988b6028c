//! `$filter`, and the rule that binds `$orderby` to it.

use chrono::{DateTime, Utc};

use super::answer::Refusal;
use super::extended;
use super::mail::Mail;
use super::stored::Stored;

/// A condition.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    And(Box<Self>, Box<Self>),
    Compare(String, Operator, Literal),
    Extended { id: String, value: Option<String> },
    HasCategory(String),
    Not(Box<Self>),
    Or(Box<Self>, Box<Self>),
    StartsWith(String, String),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operator {
    Eq,
    Ge,
    Gt,
    Le,
    Lt,
    Ne,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Flag(bool),
    Instant(DateTime<Utc>),
    Text(String),
}

/// Properties that a condition may name.
const KNOWN: [&str; 14] = [
    "receiveddatetime",
    "sentdatetime",
    "createddatetime",
    "lastmodifieddatetime",
    "isread",
    "isdraft",
    "hasattachments",
    "importance",
    "subject",
    "internetmessageid",
    "conversationid",
    "from/emailaddress/address",
    "flag/flagstatus",
    "inferenceclassification",
];

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Close,
    Colon,
    Comma,
    Open,
    Text(String),
    Word(String),
}

/// Reads a condition.
pub(super) fn parse(text: &str) -> Result<Filter, Refusal> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let filter = parser.or()?;
    if parser.at == parser.tokens.len() { Ok(filter) } else { Err(parser.wrong()) }
}

/// The quoted texts of a condition, in their order.
pub(super) fn literals(text: &str) -> Result<Vec<String>, Refusal> {
    let texts = tokens(text)?.into_iter().filter_map(|token| match token {
        Token::Text(text) => Some(text),
        _ => None,
    });
    Ok(texts.collect())
}

fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '(' => found.push(Token::Open),
            ')' => found.push(Token::Close),
            ',' => found.push(Token::Comma),
            c if c.is_whitespace() => {}
            '\'' => {
                let mut literal = String::new();
                loop {
                    match chars.next() {
                        Some('\'') if chars.peek() == Some(&'\'') => literal.extend(chars.next()),
                        Some('\'') => break,
                        Some(c) => literal.push(c),
                        None => return Err(invalid(text)),
                    }
                }
                found.push(Token::Text(literal));
            }
            first => {
                let mut word = String::from(first);
                while let Some(c) = chars.peek().filter(|c| !c.is_whitespace() && !"(),'".contains(**c)) {
                    word.push(*c);
                    chars.next();
                }
                // The variable of a lambda: `ep: ep/id` or `ep:ep/id`. A time begins with a digit.
                match word.split_once(':').filter(|(name, _)| name.chars().all(|c| c.is_ascii_alphabetic())) {
                    Some((variable, rest)) => {
                        found.extend([Token::Word(variable.to_owned()), Token::Colon]);
                        found.extend((!rest.is_empty()).then(|| Token::Word(rest.to_owned())));
                    }
                    None => found.push(Token::Word(word)),
                }
            }
        }
    }
    Ok(found)
}

fn invalid(text: &str) -> Refusal {
    Refusal::bad_request(format!("Invalid filter clause: '{text}'."))
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn wrong(&self) -> Refusal {
        Refusal::bad_request(format!("Invalid filter clause: syntax error at position {}.", self.at))
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, token: &Token) -> bool {
        let here = self.tokens.get(self.at) == Some(token);
        self.at += usize::from(here);
        here
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let here = matches!(self.tokens.get(self.at), Some(Token::Word(w)) if w.eq_ignore_ascii_case(word));
        self.at += usize::from(here);
        here
    }

    fn expect(&mut self, token: &Token) -> Result<(), Refusal> {
        if self.takes(token) { Ok(()) } else { Err(self.wrong()) }
    }

    fn or(&mut self) -> Result<Filter, Refusal> {
        let mut left = self.and()?;
        while self.takes_word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Filter, Refusal> {
        let mut left = self.one()?;
        while self.takes_word("and") {
            left = Filter::And(Box::new(left), Box::new(self.one()?));
        }
        Ok(left)
    }

    fn one(&mut self) -> Result<Filter, Refusal> {
        if self.takes_word("not") {
            return Ok(Filter::Not(Box::new(self.one()?)));
        }
        if self.takes(&Token::Open) {
            let inner = self.or()?;
            self.expect(&Token::Close)?;
            return Ok(inner);
        }
        let Some(Token::Word(name)) = self.next() else { return Err(self.wrong()) };
        match name.to_ascii_lowercase().as_str() {
            "startswith" => self.starts_with(),
            "singlevalueextendedproperties/any" => self.extended(),
            "categories/any" => self.category(),
            lower if KNOWN.contains(&lower) => self.compare(lower.to_owned()),
            _ => Err(Refusal::bad_request(format!("Could not find a property named '{name}' on type 'message'."))),
        }
    }

    fn starts_with(&mut self) -> Result<Filter, Refusal> {
        self.expect(&Token::Open)?;
        let Some(Token::Word(name)) = self.next() else { return Err(self.wrong()) };
        self.expect(&Token::Comma)?;
        let Some(Token::Text(start)) = self.next() else { return Err(self.wrong()) };
        self.expect(&Token::Close)?;
        Ok(Filter::StartsWith(name.to_ascii_lowercase(), start))
    }

    fn compare(&mut self, name: String) -> Result<Filter, Refusal> {
        let Some(Token::Word(operator)) = self.next() else { return Err(self.wrong()) };
        let operator = match operator.to_ascii_lowercase().as_str() {
            "eq" => Operator::Eq,
            "ge" => Operator::Ge,
            "gt" => Operator::Gt,
            "le" => Operator::Le,
            "lt" => Operator::Lt,
            "ne" => Operator::Ne,
            _ => return Err(self.wrong()),
        };
        let literal = match self.next() {
            Some(Token::Text(text)) => Literal::Text(text),
            Some(Token::Word(word)) if word == "true" || word == "false" => Literal::Flag(word == "true"),
            Some(Token::Word(word)) => {
                let at = DateTime::parse_from_rfc3339(&word).map_err(|_| invalid(&word))?;
                Literal::Instant(at.with_timezone(&Utc))
            }
            _ => return Err(self.wrong()),
        };
        let fits = match literal {
            Literal::Instant(_) => name.ends_with("datetime"),
            Literal::Flag(_) => name.starts_with("is") || name.starts_with("has"),
            Literal::Text(_) => !name.ends_with("datetime") && !name.starts_with("is") && !name.starts_with("has"),
        };
        if fits { Ok(Filter::Compare(name, operator, literal)) } else { Err(self.wrong()) }
    }

    /// `(ep: ep/id eq '…' and ep/value eq '…')`.
    fn extended(&mut self) -> Result<Filter, Refusal> {
        let (mut id, mut value) = (None, None);
        for (name, text) in self.lambda()? {
            match name.as_str() {
                "id" => id = Some(text),
                "value" => value = Some(text),
                _ => return Err(self.wrong()),
            }
        }
        let id = id.ok_or_else(|| self.wrong())?;
        Ok(Filter::Extended { id, value })
    }

    fn category(&mut self) -> Result<Filter, Refusal> {
        match &self.lambda()?[..] {
            [(_, text)] => Ok(Filter::HasCategory(text.clone())),
            _ => Err(self.wrong()),
        }
    }

    /// Equalities about the variable of a lambda: the property after the variable, and the text.
    fn lambda(&mut self) -> Result<Vec<(String, String)>, Refusal> {
        self.expect(&Token::Open)?;
        let Some(Token::Word(variable)) = self.next() else { return Err(self.wrong()) };
        self.expect(&Token::Colon)?;
        let mut found = Vec::new();
        loop {
            let Some(Token::Word(path)) = self.next() else { return Err(self.wrong()) };
            let name = path.strip_prefix(&variable).ok_or_else(|| self.wrong())?;
            if !self.takes_word("eq") {
                return Err(self.wrong());
            }
            let Some(Token::Text(text)) = self.next() else { return Err(self.wrong()) };
            found.push((name.trim_start_matches('/').to_ascii_lowercase(), text));
            if !self.takes_word("and") {
                break;
            }
        }
        self.expect(&Token::Close)?;
        Ok(found)
    }
}

impl Filter {
    /// The properties it names, in their order.
    pub(super) fn properties(&self) -> Vec<String> {
        match self {
            Self::And(a, b) | Self::Or(a, b) => a.properties().into_iter().chain(b.properties()).collect(),
            Self::Not(inner) => inner.properties(),
            Self::Compare(name, ..) | Self::StartsWith(name, _) => vec![name.clone()],
            Self::Extended { .. } => vec!["singlevalueextendedproperties".to_owned()],
            Self::HasCategory(_) => vec!["categories".to_owned()],
        }
    }

    /// Whether a message fulfils it; `conversation` gives the id of a conversation.
    pub(super) fn fits(&self, stored: &Stored, conversation: &dyn Fn(u64) -> String) -> bool {
        match self {
            Self::And(a, b) => a.fits(stored, conversation) && b.fits(stored, conversation),
            Self::Or(a, b) => a.fits(stored, conversation) || b.fits(stored, conversation),
            Self::Not(inner) => !inner.fits(stored, conversation),
            Self::Compare(name, operator, literal) => compare(stored, name, *operator, literal, conversation),
            Self::StartsWith(name, start) => {
                text(stored, name, conversation).to_lowercase().starts_with(&start.to_lowercase())
            }
            Self::HasCategory(wanted) => stored.categories.iter().any(|c| c == wanted),
            Self::Extended { id, value } => {
                let found = extended::value(stored, &|| Mail::read(&stored.source.bytes()), id);
                found.is_some_and(|found| value.as_ref().is_none_or(|wanted| found == *wanted))
            }
        }
    }
}

fn compare(
    stored: &Stored,
    name: &str,
    operator: Operator,
    literal: &Literal,
    conversation: &dyn Fn(u64) -> String,
) -> bool {
    let order = match literal {
        Literal::Instant(at) => instant_ms(stored, name).cmp(&at.timestamp_millis()),
        Literal::Flag(wanted) => flag(stored, name).cmp(wanted),
        Literal::Text(wanted) => text(stored, name, conversation).to_lowercase().cmp(&wanted.to_lowercase()),
    };
    match operator {
        Operator::Eq => order.is_eq(),
        Operator::Ge => order.is_ge(),
        Operator::Gt => order.is_gt(),
        Operator::Le => order.is_le(),
        Operator::Lt => order.is_lt(),
        Operator::Ne => order.is_ne(),
    }
}

fn instant_ms(stored: &Stored, name: &str) -> i64 {
    match name {
        "createddatetime" => stored.created_ms,
        "lastmodifieddatetime" => stored.modified_ms,
        "sentdatetime" => {
            Mail::read(&stored.source.bytes()).date.map_or(stored.received_ms, |date| date.timestamp_millis())
        }
        _ => stored.received_ms,
    }
}

fn flag(stored: &Stored, name: &str) -> bool {
    match name {
        "isread" => stored.read,
        "isdraft" => stored.draft,
        _ => Mail::read(&stored.source.bytes()).attachments.iter().any(|a| !a.inline),
    }
}

fn text(stored: &Stored, name: &str, conversation: &dyn Fn(u64) -> String) -> String {
    match name {
        "importance" => stored.importance.clone(),
        "flag/flagstatus" => stored.flag.clone(),
        "inferenceclassification" => stored.inference.clone(),
        "conversationid" => conversation(stored.conversation),
        "internetmessageid" => stored.head().message_id.clone(),
        "from/emailaddress/address" => stored.head().from.clone(),
        _ => stored.head().subject.clone(),
    }
}

/// Checks `$orderby` against the filter: its properties must be those the filter begins with.
/// Gives the property and whether it goes down.
pub(super) fn ordering(orderby: &str, filter: Option<&Filter>) -> Result<(String, bool), Refusal> {
    let words: Vec<(String, bool)> = orderby
        .split(',')
        .map(|one| {
            let mut words = one.split_whitespace();
            let name = words.next().unwrap_or_default().to_ascii_lowercase();
            (name, words.next().is_some_and(|way| way.eq_ignore_ascii_case("desc")))
        })
        .collect();
    if let Some(unknown) = words.iter().find(|(name, _)| !KNOWN.contains(&name.as_str())) {
        return Err(Refusal::bad_query(format!("Could not find a property named '{}'.", unknown.0)));
    }
    if let Some(filter) = filter {
        let mut named = filter.properties();
        named.dedup();
        let begins = words.iter().enumerate().all(|(at, (name, _))| named.get(at) == Some(name));
        if !begins {
            let message = "The restriction or sort order is too complex for this operation.";
            return Err(Refusal::new(400, "InefficientFilter", message));
        }
    }
    words.into_iter().next().ok_or_else(|| Refusal::bad_query("$orderby is empty."))
}

/// What a message is ordered by.
pub(super) fn sort_key(stored: &Stored, name: &str) -> (i64, String) {
    match name {
        name if name.ends_with("datetime") => (instant_ms(stored, name), String::new()),
        name if name.starts_with("is") || name.starts_with("has") => (i64::from(flag(stored, name)), String::new()),
        name => (0, text(stored, name, &|_| String::new()).to_lowercase()),
    }
}

/// The earliest received time that the filter lets through, if it is nothing but a bound of received times.
pub(super) fn since(filter: &Filter) -> Option<i64> {
    match filter {
        Filter::Compare(name, operator, Literal::Instant(at)) if name == "receiveddatetime" => match operator {
            Operator::Ge => Some(at.timestamp_millis()),
            Operator::Gt => Some(at.timestamp_millis() + 1),
            _ => None,
        },
        _ => None,
    }
}
