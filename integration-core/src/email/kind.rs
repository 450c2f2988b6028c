//! What a message is, beside mail that a person wrote: bounces, receipts, automatic answers, lists, invitations.

use super::{
    report::{self, is_from_mail_system},
    types::Message,
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
    /// A program sent it and says so (RFC 3834); true for automatic answers too.
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
    pub of: Trait,
    /// The header, or "body" or "calendar" for what is not in a header.
    pub header: String,
    /// Its value; at most 200 bytes.
    pub value: String,
}

/// A flag of [`Kind`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Trait {
    /// [`Kind::auto_reply`]
    AutoReply,
    /// [`Kind::automatic`]
    Automatic,
    /// [`Kind::bounce`]
    Bounce,
    /// [`Kind::bulk`]
    Bulk,
    /// [`Kind::complaint`]
    Complaint,
    /// [`Kind::invitation`]
    Invitation,
    /// [`Kind::list`]
    List,
    /// [`Kind::receipt`]
    Receipt,
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

    fn set(&mut self, of: Trait, header: &str, value: &str) {
        let flag = match of {
            Trait::AutoReply => &mut self.auto_reply,
            Trait::Automatic => &mut self.automatic,
            Trait::Bounce => &mut self.bounce,
            Trait::Bulk => &mut self.bulk,
            Trait::Complaint => &mut self.complaint,
            Trait::Invitation => &mut self.invitation,
            Trait::List => &mut self.list,
            Trait::Receipt => &mut self.receipt,
        };
        *flag = true;
        let value = value[..value.floor_char_boundary(MAX_VALUE)].to_owned();
        self.evidence.push(Evidence { of, header: header.to_owned(), value });
        if of == Trait::AutoReply {
            self.automatic = true;
        }
    }

    fn reports(&mut self, message: &Message, bounced: bool) {
        let part = |end: &str| message.report_parts.iter().find(|part| part.media_type.ends_with(end));
        if bounced {
            match (part("delivery-status"), message.headers.get("X-Failed-Recipients")) {
                (Some(part), _) => self.set(Trait::Bounce, "body", &part.media_type),
                (None, Some(failed)) => self.set(Trait::Bounce, "X-Failed-Recipients", failed),
                (None, None) => self.set(Trait::Bounce, "Subject", &message.subject),
            }
        }
        if let Some(part) = part("feedback-report") {
            self.set(Trait::Complaint, "body", &part.media_type);
        }
        if let Some(part) = part("disposition-notification") {
            self.set(Trait::Receipt, "body", &part.media_type);
        }
    }

    fn answers(&mut self, message: &Message) {
        let get = |name: &str| message.headers.get(name).filter(|value| !value.is_empty());
        if let Some(value) = get("Auto-Submitted") {
            let word = value.split([';', ' ', '(']).next().unwrap_or_default().to_ascii_lowercase();
            match word.as_str() {
                "" | "no" => {}
                "auto-replied" => self.set(Trait::AutoReply, "Auto-Submitted", value),
                _ => self.set(Trait::Automatic, "Auto-Submitted", value),
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
                self.set(Trait::AutoReply, name, value);
            }
        }
        if let Some(value) = get("Precedence").filter(|value| value.to_ascii_lowercase().starts_with("auto")) {
            self.set(Trait::AutoReply, "Precedence", value);
        }
        if let Some(value) = get("X-POST-MessageClass").filter(|value| value.to_ascii_lowercase().contains("autoreply"))
        {
            self.set(Trait::AutoReply, "X-POST-MessageClass", value);
        }
        if !self.bounce && !is_from_mail_system(message) && is_absence(&message.subject) {
            self.set(Trait::AutoReply, "Subject", &message.subject);
        } else if !self.bounce && self.evidence.iter().all(|known| known.of != Trait::AutoReply) {
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
            self.set(Trait::AutoReply, "X-Auto-Response-Suppress", value);
        }
    }

    fn lists(&mut self, message: &Message) {
        for (name, value) in &message.headers.all {
            let known = MARKS.binary_search_by(|(mark, _)| compare(mark, name));
            match known.map(|at| MARKS[at].1) {
                Ok(Mark::Of(of)) => self.set(of, name, value),
                Ok(Mark::Precedence) => self.precedence(name, value),
                Ok(Mark::Program) if is_bulk_mailer(value) => self.set(Trait::Bulk, name, value),
                _ => {}
            }
        }
    }

    fn precedence(&mut self, name: &str, value: &str) {
        let word = value.split([' ', ';', '(']).next().unwrap_or_default().to_ascii_lowercase();
        match word.as_str() {
            "list" => self.set(Trait::List, name, value),
            // Vacation programs say so too, to keep others quiet.
            "bulk" | "junk" if !self.auto_reply => self.set(Trait::Bulk, name, value),
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
            self.set(Trait::Invitation, "calendar", method);
        }
    }
}

/// What a header says by being there.
#[derive(Clone, Copy)]
enum Mark {
    Of(Trait),
    Precedence,
    Program,
}

/// Headers of lists and of common senders of bulk mail, sorted.
const MARKS: &[(&str, Mark)] = &[
    ("delivered-to-list", Mark::Of(Trait::List)),
    ("feedback-id", Mark::Of(Trait::Bulk)),
    ("list-archive", Mark::Of(Trait::List)),
    ("list-help", Mark::Of(Trait::Bulk)),
    ("list-id", Mark::Of(Trait::List)),
    ("list-post", Mark::Of(Trait::List)),
    ("list-subscribe", Mark::Of(Trait::List)),
    ("list-unsubscribe", Mark::Of(Trait::Bulk)),
    ("list-unsubscribe-post", Mark::Of(Trait::Bulk)),
    ("mailing-list", Mark::Of(Trait::List)),
    ("precedence", Mark::Precedence),
    ("x-beenthere", Mark::Of(Trait::List)),
    ("x-binding", Mark::Of(Trait::Bulk)),
    ("x-bulkmail", Mark::Of(Trait::Bulk)),
    ("x-campaign", Mark::Of(Trait::Bulk)),
    ("x-campaign-id", Mark::Of(Trait::Bulk)),
    ("x-campaignid", Mark::Of(Trait::Bulk)),
    ("x-cid-campaign", Mark::Of(Trait::Bulk)),
    ("x-csa-complaints", Mark::Of(Trait::Bulk)),
    ("x-emv-memberid", Mark::Of(Trait::Bulk)),
    ("x-ezmlm-list", Mark::Of(Trait::List)),
    ("x-hs-cid", Mark::Of(Trait::Bulk)),
    ("x-job", Mark::Of(Trait::Bulk)),
    ("x-klaviyo-message-id", Mark::Of(Trait::Bulk)),
    ("x-list-name", Mark::Of(Trait::List)),
    ("x-listname", Mark::Of(Trait::List)),
    ("x-loop-list", Mark::Of(Trait::List)),
    ("x-mailchimp-id", Mark::Of(Trait::Bulk)),
    ("x-mailer", Mark::Program),
    ("x-mailer-recptid", Mark::Of(Trait::Bulk)),
    ("x-mailgun-sid", Mark::Of(Trait::Bulk)),
    ("x-mailing-list", Mark::Of(Trait::List)),
    ("x-mailinglist-id", Mark::Of(Trait::Bulk)),
    ("x-mailman-version", Mark::Of(Trait::List)),
    ("x-mandrill-user", Mark::Of(Trait::Bulk)),
    ("x-marketoid", Mark::Of(Trait::Bulk)),
    ("x-mc-user", Mark::Of(Trait::Bulk)),
    ("x-ml-count", Mark::Of(Trait::List)),
    ("x-ml-name", Mark::Of(Trait::List)),
    ("x-original-mailing-list", Mark::Of(Trait::List)),
    ("x-precedence", Mark::Precedence),
    ("x-report-abuse", Mark::Of(Trait::Bulk)),
    ("x-ses-outgoing-campaign", Mark::Of(Trait::Bulk)),
    ("x-sfmc-stack", Mark::Of(Trait::Bulk)),
    ("x-sg-eid", Mark::Of(Trait::Bulk)),
    ("x-sympa-from", Mark::Of(Trait::List)),
];

/// A lower-case name against one as written.
fn compare(mark: &str, name: &str) -> std::cmp::Ordering {
    mark.bytes().cmp(name.bytes().map(|byte| byte.to_ascii_lowercase()))
}

fn is_bulk_mailer(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    ["mailchimp", "sendgrid", "campaign", "phplist", "sendinblue", "brevo", "mailjet", "newsletter", "cleverreach"]
        .iter()
        .any(|known| lower.contains(known))
}

/// Does the subject begin as those of absence notices do?
fn is_absence(subject: &str) -> bool {
    let subject = subject.trim_start_matches(['[', '*', ' ', '"', '(']).to_lowercase();
    STARTS.iter().any(|known| subject.starts_with(known))
}

/// What programs write before the subject that they answer.
const STARTS: [&str; 46] = [
    "automatic reply",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto response",
    "auto-response",
    "autoresponse",
    "automated reply",
    "automated response",
    "automatic response",
    "out of office",
    "out-of-office",
    "ooo:",
    "auto:",
    "vacation reply",
    "away from my mail",
    "automatische antwort",
    "abwesenheitsnotiz",
    "abwesenheit:",
    "abwesend:",
    "automatische rückmeldung",
    "réponse automatique",
    "reponse automatique",
    "absence du bureau",
    "absent du bureau",
    "respuesta automática",
    "respuesta automatica",
    "fuera de la oficina",
    "fuera de oficina",
    "risposta automatica",
    "fuori sede",
    "fuori ufficio",
    "automatisch antwoord",
    "afwezig:",
    "afwezigheid",
    "resposta automática",
    "ausência temporária",
    "autosvar",
    "automatiskt svar",
    "automaattinen vastaus",
    "automatická odpověď",
    "odpowiedź automatyczna",
    "автоответ",
    "自動応答",
    "自动答复",
    "자동 회신",
];

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
