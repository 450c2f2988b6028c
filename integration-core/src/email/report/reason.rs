//! What numbers and prose of a refusal mean.

use super::BounceReason;

/// The numbers in an explanation.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Like "5.1.1".
    pub(super) status: Option<String>,
    /// Like 550.
    pub(super) code: Option<u16>,
}

impl Numbers {
    /// The first enhanced status and the first reply code of a refusal in `text`.
    pub(super) fn find(text: &str) -> Self {
        let mut numbers = Self::default();
        let apart = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '.');
        for word in text.split(apart) {
            if numbers.status.is_none() && is_status(word) {
                numbers.status = Some(word.trim_end_matches('.').to_owned());
            }
            if numbers.code.is_none()
                && word.len() == 3
                && matches!(word.as_bytes(), [b'4' | b'5', b'0'..=b'5', b'0'..=b'9'])
            {
                numbers.code = word.parse().ok();
            }
            if numbers.status.is_some() && numbers.code.is_some() {
                break;
            }
        }
        numbers
    }

    fn class(&self) -> Option<u8> {
        match (&self.status, self.code) {
            (Some(status), _) => status.bytes().next().map(|class| class - b'0'),
            (None, Some(code)) => u8::try_from(code / 100).ok(),
            (None, None) => None,
        }
    }

    fn detail(&self) -> Option<&str> {
        self.status.as_deref().and_then(|status| status.get(2..))
    }
}

/// "5.1.1", and not the beginning of an address of four numbers.
fn is_status(word: &str) -> bool {
    let mut numbers = word.trim_end_matches('.').split('.');
    let short = |number: Option<&str>| {
        number.is_some_and(|number| (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    matches!(numbers.next(), Some("2" | "4" | "5"))
        && short(numbers.next())
        && short(numbers.next())
        && numbers.next().is_none()
}

/// Is trying again of no use?
pub(super) fn is_lasting(numbers: &Numbers, reason: BounceReason) -> bool {
    match (numbers.class(), reason) {
        (Some(4), _) => false,
        (Some(5), _) => true,
        // Without a status: it is full today.
        (_, reason) => !matches!(reason, BounceReason::MailboxFull | BounceReason::Temporary),
    }
}

/// The reason: a precise status decides, then the words, then the rest of the numbers.
pub(super) fn classify(numbers: &Numbers, explanation: &str) -> BounceReason {
    if let Some(reason) = numbers.detail().and_then(precise) {
        return reason;
    }
    let lower = explanation.to_lowercase();
    let said = WORDS.iter().find(|(_, words)| words.iter().any(|word| lower.contains(word)));
    if let Some((reason, _)) = said {
        return *reason;
    }
    let subject = numbers.detail().and_then(|detail| detail.bytes().next());
    match (subject, numbers.code) {
        (Some(b'1'), _) => BounceReason::MailboxUnknown,
        (Some(b'7'), _) => BounceReason::Policy,
        (Some(b'3' | b'4'), _) => BounceReason::Temporary,
        (_, Some(552)) => BounceReason::MailboxFull,
        (_, Some(421 | 450 | 451 | 452)) => BounceReason::Temporary,
        (_, Some(550 | 551 | 553)) => BounceReason::MailboxUnknown,
        _ if numbers.class() == Some(4) => BounceReason::Temporary,
        _ => BounceReason::Other,
    }
}

fn precise(detail: &str) -> Option<BounceReason> {
    Some(match detail {
        "1.1" | "1.3" | "1.6" | "1.10" | "2.1" => BounceReason::MailboxUnknown,
        "1.2" | "4.4" | "1.9" => BounceReason::DomainUnknown,
        "2.2" => BounceReason::MailboxFull,
        "2.3" | "3.4" => BounceReason::TooLarge,
        "7.1" | "7.8" | "7.9" | "7.20" | "7.21" | "7.22" | "7.23" | "7.25" | "7.26" | "7.27" | "7.350" | "7.606" => {
            BounceReason::Policy
        }
        "4.1" | "4.2" | "4.7" => return None,
        _ => return None,
    })
}

/// The more telling come first: "over quota, try again" is about a full mailbox.
const WORDS: [(BounceReason, &[&str]); 7] = [
    (
        BounceReason::MailboxFull,
        &[
            "mailbox full",
            "mailbox is full",
            "mailbox was full",
            "quota",
            "inbox is full",
            "out of storage",
            "mailbox size limit",
            "storage space",
            "mail box full",
            "mailbox has exceeded",
            "mailbox exceeds",
            "exceeded storage",
            "insufficient disk",
            "boîte pleine",
            "postfach ist voll",
            "buzón lleno",
            "exceeds allowed size",
            "容量",
            "is over its limit",
            "user is over",
            "mailfolder is full",
        ],
    ),
    (
        BounceReason::TooLarge,
        &[
            "message too large",
            "message size exceeds",
            "message too big",
            "too large",
            "maximum message size",
            "message size limit",
            "message is larger",
            "exceeds size limit",
            "exceeds the maximum",
            "message exceeded",
            "exceeds fixed",
            "too big",
            "message length",
        ],
    ),
    (
        BounceReason::DomainUnknown,
        &[
            "host unknown",
            "host not found",
            "domain not found",
            "unknown host",
            "unknown domain",
            "nxdomain",
            "name or service not known",
            "name service error",
            "no such domain",
            "domain does not exist",
            "domain doesn't exist",
            "couldn't find any host",
            "could not find any host",
            "no mx",
            "name server:",
            "domain name not found",
            "bad destination host",
            "cannot find mail exchanger",
            "domain isn't in my list",
            "unrouteable mail domain",
            "unrouteable domain",
            "domain couldn't be found",
            "domain could not be found",
            "non-existent domain",
            "nonexistent domain",
            "all relevant mx records point to non-existent",
            "illegal host",
            "host or domain name",
            "domain name error",
            "invalid domain",
            "no route to host found",
            "address has no mail exchangers",
            "domain wasn't found",
        ],
    ),
    (
        BounceReason::MailboxUnknown,
        &[
            "user unknown",
            "unknown user",
            "no such user",
            "no such mailbox",
            "mailbox unavailable",
            "does not exist",
            "doesn't exist",
            "no mailbox here",
            "recipientnotfound",
            "recipient not found",
            "unknown recipient",
            "recipient unknown",
            "invalid recipient",
            "invalid mailbox",
            "not a known user",
            "unrouteable address",
            "unrouteable",
            "unknown address",
            "address unknown",
            "mailbox not found",
            "user not found",
            "not found",
            "no such recipient",
            "unknown local",
            "unknown account",
            "no such account",
            "account has been disabled",
            "account is disabled",
            "account disabled",
            "mailbox disabled",
            "mailbox is disabled",
            "inactive",
            "not listed in",
            "addressee unknown",
            "does not have an account",
            "doesn't have a",
            "no longer",
            "no user",
            "not our customer",
            "unknown mailbox",
            "isn't a valid",
            "is not a valid",
            "invalid address",
            "address rejected",
            "undeliverable address",
            "user invalid",
            "invalid user",
            "no such address",
            "no account",
            "user doesn't",
            "couldn't be found",
            "wasn't found",
            "invalid final delivery userid",
            "not a registered",
            "unknown or illegal",
            "no valid recipient",
            "expired account",
            "recipient rejected",
            "cannot find user",
            "存在しません",
            "あて先",
            "宛先",
            "bad address",
            "nicht bekannt",
            "unbekannt",
            "inconnu",
            "desconocid",
            "sconosciut",
            "user suspended",
            "terminated",
            "account closed",
            "nobody by that name",
        ],
    ),
    (
        BounceReason::Policy,
        &[
            "spam",
            "blocked",
            "blacklist",
            "black list",
            "block list",
            "blocklist",
            "spf",
            "dmarc",
            "dkim",
            "policy",
            "reputation",
            "banned",
            "access denied",
            "not authorized",
            "not authorised",
            "not permitted",
            "relay",
            "virus",
            "content rejected",
            "prohibited",
            "unsolicited",
            "denied",
            "not allowed",
            "refused by",
            "restricted",
            "rejected for",
            "suppression list",
            "junk",
            "unauthenticated",
            "authentication required",
            "not accept",
            "rbl",
            "listed at",
            "message rejected",
            "content filter",
            "filter",
            "verwehrt",
        ],
    ),
    (
        BounceReason::Temporary,
        &[
            "timed out",
            "timeout",
            "time-out",
            "try again",
            "temporar",
            "deferred",
            "connection refused",
            "retry",
            "greylist",
            "graylist",
            "grey-list",
            "rate limit",
            "too many",
            "unreachable",
            "no route",
            "expired",
            "could not be delivered for",
            "delayed",
            "lookup failure",
            "connection lost",
            "connection dropped",
            "not responding",
            "busy",
            "unable to connect",
            "couldn't connect",
            "wasn't able to establish",
            "lost connection",
            "service unavailable",
            "service not available",
            "overload",
            "i'm not going to try again",
            "has been in the queue too long",
            "delivery time",
            "local problem",
            "too long",
        ],
    ),
    (BounceReason::Other, &["loop", "hop count"]),
];
