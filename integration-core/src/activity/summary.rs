//! What of a message is needed to decide and to show it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    mention::blanked,
    policy::{Keep, Suggest, pseudonym},
};
use crate::{
    email::{Address, Direction, MailKind, Message, Role},
    ids::ThreadId,
};

/// How many participants a decision remembers; a message to more is an announcement.
const MAX_PEOPLE: usize = 500;
/// How much text is kept of a message, in bytes.
const MAX_TEXT: usize = 64 * 1024;
#[cfg(feature = "mail")]
const MAX_BOUNCES: usize = 50;
const MAX_SIGNATURE: usize = 1_024;
const MAX_TOKENS: usize = 20;

/// What of a message is needed to decide and to show it. Everything that a change of policy or directory needs to decide
/// anew is in here, so that nothing is fetched twice.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Summary {
    /// When: the service's receive time, else `Date`.
    pub at: Option<DateTime<Utc>>,
    /// Who wrote it, as shown.
    pub from: String,
    /// Who wrote it: the address, lower case.
    pub author: Option<String>,
    /// The subject.
    pub subject: String,
    /// One line of the new words.
    pub snippet: String,
    /// The new words, under [`Keep::Full`](super::Keep::Full).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What stands under the new words, while contacts are suggested; at most 1 KiB.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub signature: String,
    /// Everybody who takes part, and whom a delivery report names; lower case, with the name shown beside the address.
    pub people: BTreeMap<String, String>,
    /// Everybody but the owner and the own domains with what is below them, lower case, each once.
    pub others: BTreeSet<String>,
    /// Whether anybody else takes part at all.
    pub external: bool,
    /// From the owner's point of view.
    pub direction: Option<Direction>,
    /// The conversation in this mailbox.
    pub thread: Option<ThreadId>,
    /// `Message-ID` without angle brackets.
    pub message_id: Option<String>,
    /// The identity over all mailboxes.
    pub identity: String,
    /// The intent of the outbox that sent it, if one did: it is our own, not a stranger's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<crate::outbox::IntentKey>,
    /// Where it lies.
    pub roles: Vec<Role>,
    /// How many files are attached.
    pub attachments: usize,
    /// What may name a deal: tokens of the subject, tags of own plus-addresses.
    pub tokens: BTreeSet<String>,
    /// What the message is beside somebody's words, with the evidence for it.
    pub kinds: BTreeMap<MailKind, String>,
    /// Whom a delivery report says that a message did not reach; the first fifty.
    #[cfg(feature = "mail")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bounces: Vec<crate::email::report::Bounce>,
}

impl Summary {
    /// What of `message` matters to a mailbox with these own addresses and domains (lower case).
    #[must_use]
    pub fn of(message: &Message, own: &[String], own_domains: &[String]) -> Self {
        let from = message.from.first().or(message.sender.as_ref());
        let outbound = message.flags.has(Role::Sent) || from.is_some_and(|from| own.contains(&from.normalised()));
        let mut people = BTreeMap::new();
        for one in message.participants().take(MAX_PEOPLE) {
            let address = one.normalised();
            if address.contains('@') {
                let name: &mut String = people.entry(address).or_default();
                if name.is_empty() {
                    one.name.as_deref().unwrap_or_default().clone_into(name);
                }
            }
        }
        let mut summary = Self {
            at: message.received_at.or(message.date),
            from: from.map(|from| from.name.clone().unwrap_or_else(|| from.address.clone())).unwrap_or_default(),
            author: from.map(Address::normalised),
            subject: message.subject.clone(),
            snippet: message.snippet.clone(),
            people,
            direction: Some(if outbound { Direction::Outbound } else { Direction::Inbound }),
            thread: message.thread.clone(),
            message_id: message.message_id.clone(),
            identity: identity(message),
            roles: message.flags.roles.clone(),
            attachments: message.attachments.len(),
            tokens: tokens(message, own, own_domains),
            ..Self::default()
        };
        summary.recognise(message);
        let (new, signature) = new_words(message);
        if let Some(new) = &new {
            summary.snippet = snippet(new);
        }
        signature[..signature.floor_char_boundary(MAX_SIGNATURE)].clone_into(&mut summary.signature);
        let text = new.as_deref().unwrap_or(&message.text);
        summary.text = Some(text[..text.floor_char_boundary(MAX_TEXT)].to_owned());
        summary.separate(own, own_domains);
        summary
    }

    /// What the message is, and the header that says so.
    #[cfg(feature = "mail")]
    fn recognise(&mut self, message: &Message) {
        self.bounces = crate::email::report::bounces(message);
        self.bounces.truncate(MAX_BOUNCES);
        // A report is about those whom it names: it belongs on their timelines.
        for address in
            self.bounces.iter().flat_map(|bounce| bounce.original_recipient.iter().chain([&bounce.recipient]))
        {
            let address = Address::new(address).normalised();
            if address.contains('@') && self.people.len() < MAX_PEOPLE {
                self.people.entry(address).or_default();
            }
        }
        for evidence in crate::email::kind::with_bounces(message, !self.bounces.is_empty()).evidence {
            self.kinds.entry(evidence.of).or_insert(evidence.header);
        }
    }

    #[cfg(not(feature = "mail"))]
    fn recognise(&mut self, message: &Message) {
        let told = [("List-Id", MailKind::List), ("List-Unsubscribe", MailKind::Bulk)];
        let told = told.into_iter().filter(|(name, _)| message.headers.get(name).is_some());
        self.kinds = told.map(|(name, kind)| (kind, name.to_owned())).collect();
    }

    /// Tells the others from the owner's own people; own domains may have changed since.
    pub(crate) fn separate(&mut self, own: &[String], own_domains: &[String]) {
        let is_own = |address: &str| {
            let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
            let within =
                |mine: &String| domain.strip_suffix(&**mine).is_some_and(|host| host.is_empty() || host.ends_with('.'));
            own.iter().any(|mine| mine == address) || own_domains.iter().any(within)
        };
        self.others = self.people.keys().filter(|one| !is_own(one)).cloned().collect();
        self.external = !self.others.is_empty();
    }

    /// Drops what is not to be kept.
    pub(crate) fn trim(&mut self, keep: Keep, suggest: Suggest) {
        if keep < Keep::Full {
            self.text = None;
        }
        if keep < Keep::Snippet {
            self.snippet.clear();
        }
        if keep < Keep::Snippet || suggest == Suggest::Nobody {
            self.signature.clear();
        }
    }

    /// Puts pseudonyms in the place of erased people; what they are called goes, and so do their addresses in others' words.
    pub(crate) fn blank(&mut self, erased: impl Fn(&str) -> bool) {
        self.blank_words(&erased);
        let replaced = |address: &String| if erased(address) { pseudonym(address) } else { address.clone() };
        if self.author.as_deref().is_some_and(&erased) {
            self.from.clear();
            self.message_id = None;
        }
        self.author = self.author.as_ref().map(replaced);
        self.others = self.others.iter().map(replaced).collect();
        let named = |(address, name): (&String, &String)| {
            if erased(address) { (pseudonym(address), String::new()) } else { (address.clone(), name.clone()) }
        };
        self.people = self.people.iter().map(named).collect();
    }

    fn blank_words(&mut self, erased: &impl Fn(&str) -> bool) {
        let words = [&mut self.subject, &mut self.snippet, &mut self.signature, &mut self.from];
        let names = self.people.values_mut().chain(self.kinds.values_mut());
        let words = words.into_iter().chain(self.text.as_mut()).chain(names);
        #[cfg(feature = "mail")]
        let words = words.chain(self.bounces.iter_mut().flat_map(|bounce| {
            let addresses = bounce.original_recipient.iter_mut().chain(bounce.diagnostic.iter_mut());
            addresses.chain([&mut bounce.recipient])
        }));
        for words in words {
            if let Some(blanked) = blanked(words, erased) {
                *words = blanked;
            }
        }
    }

    /// Drops what was said, for good: who, when and the ids stay, so that it is recognised when it comes again.
    pub(crate) fn purge(&mut self) {
        self.trim(Keep::Metadata, Suggest::Nobody);
        self.subject.clear();
        self.tokens.clear();
        #[cfg(feature = "mail")]
        self.bounces.clear();
        self.people.values_mut().for_each(String::clear);
    }

    /// Is it sent to many?
    #[must_use]
    pub fn is_bulk(&self) -> bool {
        self.kinds.contains_key(&MailKind::Bulk) || self.kinds.contains_key(&MailKind::List)
    }
}

/// Message-ID, normalised From and Date: the same in every mailbox that got the message.
fn identity(message: &Message) -> String {
    use sha2::Digest;
    let from = message.from.first().map(Address::normalised).unwrap_or_default();
    let date = message.date.map(|date| date.timestamp().to_string()).unwrap_or_default();
    // Without a Message-ID nothing says that two messages are the same: the service's own id keeps them apart.
    let id = message.message_id.clone().unwrap_or_else(|| format!("{}\u{1f}{}", message.id, message.subject));
    let mut digest = sha2::Sha256::new();
    for part in [&id, &from, &date] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    hex::encode(&digest.finalize()[..16])
}

/// Words that may name a deal, as people write them into subjects: `[Renewal]`, `#2041`, `D-2041`, `Deal 4711`; and the
/// tags of own plus-addresses. Which of them is one only the directory knows. A year, or another short number that nothing
/// marks as a reference, is none.
fn tokens(message: &Message, own: &[String], own_domains: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut note = |word: &str| {
        if (2..=64).contains(&word.len()) && found.len() < MAX_TOKENS {
            found.insert(word.to_lowercase());
        }
    };
    // What is in brackets, or follows a number sign, is meant as a reference whatever it looks like.
    let subject = plain_dashes(&message.subject);
    for group in subject.split('[').skip(1).filter_map(|rest| rest.split_once(']')) {
        note(group.0.trim().trim_start_matches('#'));
    }
    let edge = |letter: char| !letter.is_alphanumeric() && !JOINTS.contains(&letter) && letter != '#';
    let words: Vec<&str> = subject.split(edge).map(|word| word.trim_end_matches(JOINTS)).collect();
    for (at, word) in words.iter().enumerate() {
        let before = at.checked_sub(1).map_or("", |before| words[before]);
        named_by(word, before).into_iter().for_each(|token| note(&token));
    }
    for address in message.participants().take(MAX_PEOPLE).map(Address::normalised) {
        let Some((local, domain)) = address.rsplit_once('@') else { continue };
        let Some((base, tag)) = local.split_once('+') else { continue };
        let ours = own_domains.iter().any(|mine| mine == domain) || own.contains(&format!("{base}@{domain}"));
        if ours {
            note(tag);
        }
    }
    found
}

/// What joins the parts of a reference.
const JOINTS: [char; 4] = ['-', '_', '/', '.'];

/// With the dashes that programs and phones put in the place of a hyphen as hyphens.
fn plain_dashes(subject: &str) -> String {
    subject.replace(['\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2212}'], "-")
}

/// What a word of a subject may name: itself, the parts it is joined of ("Ref.D-42", "Deal_D-42_final"), and a number with
/// the word `before` it ("Deal 4711").
fn named_by(word: &str, before: &str) -> Vec<String> {
    let marked = word.starts_with('#');
    let word = word.trim_start_matches(JOINTS).trim_start_matches('#');
    let digit = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit());
    let bare = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let called = before.len() > 1 && before.chars().all(char::is_alphabetic);
    if bare(word) && !marked {
        let mut found = Vec::new();
        // Amounts, years and counts are numbers too.
        if word.len() > 4 || called && refers(before) {
            found.push(word.to_owned());
        }
        found.extend((called && word.len() > 1).then(|| format!("{before} {word}")));
        return found;
    }
    if !marked && (word.len() <= 2 || !digit(word)) {
        return Vec::new();
    }
    let mut found = vec![word.to_owned()];
    for joints in [&['.'][..], &['_'], &['/'], &['.', '_', '/']] {
        let parts: Vec<&str> = word.split(joints).collect();
        // A number by itself was only part of something.
        let part = |part: &&&str| parts.len() > 1 && part.len() > 2 && digit(part) && !bare(part);
        found.extend(parts.iter().filter(part).map(|part| (*part).to_owned()));
    }
    found.truncate(6);
    found
}

/// Is it a word that a reference follows?
fn refers(word: &str) -> bool {
    const WORDS: [&str; 38] = [
        "deal",
        "ref",
        "reference",
        "no",
        "nr",
        "num",
        "number",
        "order",
        "project",
        "quote",
        "quotation",
        "offer",
        "case",
        "ticket",
        "invoice",
        "contract",
        "po",
        "rfq",
        "id",
        "bestellung",
        "auftrag",
        "angebot",
        "projekt",
        "rechnung",
        "vertrag",
        "vorgang",
        "nummer",
        "anfrage",
        "commande",
        "devis",
        "facture",
        "projet",
        "pedido",
        "factura",
        "oferta",
        "ordine",
        "offerta",
        "opportunity",
    ];
    let word = word.to_lowercase();
    WORDS.contains(&&*word)
}

/// What somebody wrote, without quotes and signature (`None` where there is nothing else: a forwarded mail without a word);
/// and the signature.
#[cfg(feature = "mail")]
fn new_words(message: &Message) -> (Option<String>, String) {
    let split = crate::email::reply::split(message);
    ((!split.new.trim().is_empty()).then_some(split.new), split.signature)
}

#[cfg(not(feature = "mail"))]
fn new_words(_: &Message) -> (Option<String>, String) {
    (None, String::new())
}

#[cfg(feature = "mail")]
use crate::email::parse::snippet;

#[cfg(not(feature = "mail"))]
fn snippet(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(text: &str) -> Vec<String> {
        let mut message = Message { subject: text.to_owned(), ..Message::default() };
        message.to = vec![Address::new("sales+q7@own.example"), Address::new("ann+x9@acme.example")];
        tokens(&message, &["sales@own.example".to_owned()], &[]).into_iter().collect()
    }

    #[test]
    fn tokens_are_words_with_digits_and_tags_of_own_addresses() {
        assert_eq!(subject("Re: [D-2041] Offer #77123, v2"), ["77123", "d-2041", "q7"]);
        assert_eq!(subject("AW: [Big Renewal] #north"), ["big renewal", "north", "q7"]);
        assert_eq!(subject("Lunch?"), ["q7"]);
        for text in ["Ref.D-42", "Nr.D-42/2", "Deal_D-42_final", "Offer D\u{2011}42", "Offer D\u{2013}42", "(D-42)"] {
            assert!(subject(text).contains(&"d-42".to_owned()), "{text}");
        }
        for text in ["Deal 4711", "Deal #4711", "Auftrag 4711!", "[4711]"] {
            assert!(subject(text).contains(&"4711".to_owned()), "{text}");
        }
        assert!(subject("Deal 4711").contains(&"deal 4711".to_owned()));
        assert_eq!(subject("Budget 2024"), ["budget 2024", "q7"], "a year names nothing");
        assert_eq!(subject("1000 seats"), ["q7"]);
    }

    #[test]
    fn a_purged_summary_says_nothing_of_what_was_said() {
        let message = Message {
            subject: "secret".to_owned(),
            snippet: "secret".to_owned(),
            text: "secret 123".to_owned(),
            from: vec![Address::new("a@b.example").with_name("secret")],
            ..Message::default()
        };
        let mut summary = Summary::of(&message, &[], &[]);
        summary.from.clear();
        summary.purge();
        assert!(!serde_json::to_string(&summary).unwrap().contains("secret"), "{summary:?}");
    }
}
