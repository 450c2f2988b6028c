//! What a message is, beside mail that a person wrote: bounces, receipts, automatic answers, lists, invitations.

mod absence;

use std::sync::LazyLock;

use super::{
    report::{self, is_from_mail_system},
    table::Table,
    types::{MailKind, Message},
};

/// Bytes of a header that [`Evidence`] keeps.
const MAX_VALUE: usize = 200;

/// What a message is; several may be true, none for ordinary mail.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Kind {
    /// It says that a message was not delivered, or not yet ([`report::bounces`]).
    pub bounce: bool,
    /// Somebody complained about a message ([`report::complaint`]).
    pub complaint: bool,
    /// It says that a message was read or deleted ([`report::receipt`]).
    pub receipt: bool,
    /// A program sent it in answer to a message: out of office, and the like.
    pub auto_reply: bool,
    /// A program sent it and says so (RFC 3834); true for automatic answers and for every kind of report too.
    pub automatic: bool,
    /// It came over a mailing list.
    pub list: bool,
    /// It went to many: newsletters and the like.
    pub bulk: bool,
    /// It asks for, answers or cancels a meeting.
    pub invitation: bool,
    /// What each of these was told by.
    pub evidence: Vec<Evidence>,
}

/// One reason for one flag of a [`Kind`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Evidence {
    /// The flag.
    pub of: MailKind,
    /// The header, or "body" or "calendar" for what is not in a header.
    pub header: String,
    /// Its value; at most 200 bytes.
    pub value: String,
}

/// What `message` is. Takes its headers, the beginning of its text and its report; linear in their size.
#[must_use]
pub fn kind(message: &Message) -> Kind {
    with_bounces(message, !report::bounces(message).is_empty())
}

/// As [`kind`], for a caller that has asked [`report::bounces`] already.
#[must_use]
pub fn with_bounces(message: &Message, bounced: bool) -> Kind {
    let mut kind = Kind::default();
    kind.reports(message, bounced);
    kind.answers(message);
    // What a mail system sends is no list mail, whatever it says to keep vacation programs quiet.
    if !kind.bounce && !kind.receipt && !kind.complaint {
        kind.lists(message);
    }
    kind.invitations(message);
    kind
}

impl Kind {
    /// Was it sent by a program or to many, so that nobody waits for an answer?
    #[must_use]
    pub fn is_machine_mail(&self) -> bool {
        self.bounce || self.complaint || self.receipt || self.automatic || self.list || self.bulk
    }

    fn set(&mut self, of: MailKind, header: &str, value: &str) {
        let flag = match of {
            MailKind::AutoReply => &mut self.auto_reply,
            MailKind::Automatic => &mut self.automatic,
            MailKind::Bounce => &mut self.bounce,
            MailKind::Bulk => &mut self.bulk,
            MailKind::Complaint => &mut self.complaint,
            MailKind::Invitation => &mut self.invitation,
            MailKind::List => &mut self.list,
            MailKind::Receipt => &mut self.receipt,
        };
        *flag = true;
        let value = value[..value.floor_char_boundary(MAX_VALUE)].to_owned();
        self.evidence.push(Evidence { of, header: header.to_owned(), value });
        // Nobody writes a report by hand, whether its headers say so or not.
        if matches!(of, MailKind::AutoReply | MailKind::Bounce | MailKind::Complaint | MailKind::Receipt) {
            self.automatic = true;
        }
    }

    fn reports(&mut self, message: &Message, bounced: bool) {
        let part = |end: &str| message.report_parts.iter().find(|part| part.media_type.ends_with(end));
        if bounced {
            match (part("delivery-status"), message.headers.get("X-Failed-Recipients")) {
                (Some(part), _) => self.set(MailKind::Bounce, "body", &part.media_type),
                (None, Some(failed)) => self.set(MailKind::Bounce, "X-Failed-Recipients", failed),
                (None, None) => self.set(MailKind::Bounce, "Subject", &message.subject),
            }
        }
        if let Some(part) = part("feedback-report") {
            self.set(MailKind::Complaint, "body", &part.media_type);
        }
        if let Some(part) = part("disposition-notification") {
            self.set(MailKind::Receipt, "body", &part.media_type);
        }
    }

    fn answers(&mut self, message: &Message) {
        let get = |name: &str| message.headers.get(name).filter(|value| !value.is_empty());
        if let Some(value) = get("Auto-Submitted") {
            let word = value.split([';', ' ', '(']).next().unwrap_or_default().to_ascii_lowercase();
            match word.as_str() {
                "" | "no" => {}
                "auto-replied" => self.set(MailKind::AutoReply, "Auto-Submitted", value),
                _ => self.set(MailKind::Automatic, "Auto-Submitted", value),
            }
        }
        for name in [
            "X-Autoreply",
            "X-Autorespond",
            "X-Autoresponder",
            "X-Autogenerated",
            "X-AutoReply-From",
            "X-Mail-Autoreply",
        ] {
            if let Some(value) = get(name).filter(|value| !value.eq_ignore_ascii_case("no")) {
                self.set(MailKind::AutoReply, name, value);
            }
        }
        if let Some(value) = get("Precedence").filter(|value| value.to_ascii_lowercase().starts_with("auto")) {
            self.set(MailKind::AutoReply, "Precedence", value);
        }
        if let Some(value) = get("X-POST-MessageClass").filter(|value| value.to_ascii_lowercase().contains("autoreply"))
        {
            self.set(MailKind::AutoReply, "X-POST-MessageClass", value);
        }
        if !self.bounce && !is_from_mail_system(message) && absence::is_notice(message) {
            self.set(MailKind::AutoReply, "Subject", &message.subject);
        } else if !self.bounce && self.evidence.iter().all(|known| known.of != MailKind::AutoReply) {
            self.suppressed(message);
        }
    }

    /// Exchange marks its answers only by asking for none; so do newsletters: the subject must fit too.
    fn suppressed(&mut self, message: &Message) {
        let value = message.headers.get("X-Auto-Response-Suppress").unwrap_or_default();
        if value.is_empty() || value.eq_ignore_ascii_case("none") {
            return;
        }
        let subject = message.subject.to_lowercase();
        if ABSENT.iter().any(|known| subject.contains(known)) {
            self.set(MailKind::AutoReply, "X-Auto-Response-Suppress", value);
        }
    }

    fn lists(&mut self, message: &Message) {
        // An answer was written to somebody, whatever the service that carries it adds.
        let is_answer = !message.in_reply_to.is_empty();
        for (name, value) in message.headers.all.iter().filter(|(_, value)| !value.trim().is_empty()) {
            match MARKED.named(name) {
                Some(Mark::Of(MailKind::Bulk) | Mark::Program) if is_answer => {}
                Some(Mark::Of(of)) => self.set(of, name, value),
                Some(Mark::Precedence) => self.precedence(name, value, is_answer),
                Some(Mark::Program) if is_bulk_mailer(value) => self.set(MailKind::Bulk, name, value),
                _ => {}
            }
        }
    }

    fn precedence(&mut self, name: &str, value: &str, is_answer: bool) {
        let word = value.split([' ', ';', '(']).next().unwrap_or_default().to_ascii_lowercase();
        match word.as_str() {
            "list" => self.set(MailKind::List, name, value),
            // Vacation programs say so too, to keep others quiet.
            "bulk" | "junk" if !self.auto_reply && !is_answer => self.set(MailKind::Bulk, name, value),
            _ => {}
        }
    }

    fn invitations(&mut self, message: &Message) {
        let Some(calendar) = &message.calendar else { return };
        let start = &calendar[..calendar.floor_char_boundary(8 * 1024)];
        let method = start.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("METHOD").then(|| value.trim())
        });
        // PUBLISH only shows something.
        if let Some(method) = method.filter(|method| !method.is_empty() && !method.eq_ignore_ascii_case("PUBLISH")) {
            self.set(MailKind::Invitation, "calendar", method);
        }
    }
}

/// What a header says by being there.
#[derive(Clone, Copy, Debug)]
enum Mark {
    Of(MailKind),
    Precedence,
    Program,
}

static MARKED: LazyLock<Table<Mark>> = LazyLock::new(|| Table::of_beginnings(MARKS.iter().copied()));

/// Headers of lists and of campaigns. What a delivery service puts on all that it carries (`Feedback-ID`, `X-SG-EID` and the
/// like) is on invoices and answers of people too, and says nothing.
const MARKS: &[(&str, Mark)] = &[
    ("delivered-to-list", Mark::Of(MailKind::List)),
    ("list-archive", Mark::Of(MailKind::List)),
    ("list-help", Mark::Of(MailKind::Bulk)),
    ("list-id", Mark::Of(MailKind::List)),
    ("list-post", Mark::Of(MailKind::List)),
    ("list-subscribe", Mark::Of(MailKind::List)),
    ("list-unsubscribe", Mark::Of(MailKind::Bulk)),
    ("list-unsubscribe-post", Mark::Of(MailKind::Bulk)),
    ("mailing-list", Mark::Of(MailKind::List)),
    ("precedence", Mark::Precedence),
    ("x-beenthere", Mark::Of(MailKind::List)),
    ("x-bulkmail", Mark::Of(MailKind::Bulk)),
    ("x-campaign", Mark::Of(MailKind::Bulk)),
    ("x-campaign-id", Mark::Of(MailKind::Bulk)),
    ("x-campaignid", Mark::Of(MailKind::Bulk)),
    ("x-cid-campaign", Mark::Of(MailKind::Bulk)),
    ("x-emv-memberid", Mark::Of(MailKind::Bulk)),
    ("x-ezmlm-list", Mark::Of(MailKind::List)),
    ("x-hs-cid", Mark::Of(MailKind::Bulk)),
    ("x-list-name", Mark::Of(MailKind::List)),
    ("x-listname", Mark::Of(MailKind::List)),
    ("x-loop-list", Mark::Of(MailKind::List)),
    ("x-mailchimp-id", Mark::Of(MailKind::Bulk)),
    ("x-mailer", Mark::Program),
    ("x-mailer-recptid", Mark::Of(MailKind::Bulk)),
    ("x-mailing-list", Mark::Of(MailKind::List)),
    ("x-mailinglist-id", Mark::Of(MailKind::Bulk)),
    ("x-mailman-version", Mark::Of(MailKind::List)),
    ("x-marketoid", Mark::Of(MailKind::Bulk)),
    ("x-mc-user", Mark::Of(MailKind::Bulk)),
    ("x-ml-count", Mark::Of(MailKind::List)),
    ("x-ml-name", Mark::Of(MailKind::List)),
    ("x-original-mailing-list", Mark::Of(MailKind::List)),
    ("x-precedence", Mark::Precedence),
    ("x-ses-outgoing-campaign", Mark::Of(MailKind::Bulk)),
    ("x-sympa-from", Mark::Of(MailKind::List)),
];

fn is_bulk_mailer(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    ["mailchimp", "campaign", "phplist", "newsletter", "cleverreach"].iter().any(|known| lower.contains(known))
}

/// What absence notices have in their subjects, whatever stands before it.
const ABSENT: [&str; 16] = [
    "out of office",
    "out of the office",
    "automatic reply",
    "autoreply",
    "auto-reply",
    "on vacation",
    "on leave",
    "abwesend",
    "abwesenheit",
    "nicht im büro",
    "absent",
    "vacaciones",
    "ausente",
    "assente",
    "afwezig",
    "frånvar",
];

#[cfg(test)]
mod tests;
