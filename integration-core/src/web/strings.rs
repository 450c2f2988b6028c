//! What the pages say: one text per place, in English and German, and in whatever language the host adds.

mod catalogue;
mod sentences;

use std::{borrow::Cow, collections::BTreeMap};

pub use catalogue::Strings;

use crate::{
    connection::Capability,
    error::{Actor, Remedy},
    oauth::MismatchReason,
};

/// One text of the pages. `{name}` stands for a value; the text's own documentation says which there are.
pub type Text = Cow<'static, str>;

impl Strings {
    /// What a capability is called, and why it is asked for.
    pub(super) fn capability(&self, capability: Capability) -> (&str, &str) {
        match capability {
            Capability::CalendarRead => (&self.calendar_read, &self.calendar_read_why),
            Capability::CalendarWrite => (&self.calendar_write, &self.calendar_write_why),
            Capability::Identity => (&self.identity, &self.identity_why),
            Capability::LedgerRead => (&self.ledger_read, &self.ledger_read_why),
            Capability::LedgerWrite => (&self.ledger_write, &self.ledger_write_why),
            Capability::MailModify => (&self.mail_modify, &self.mail_modify_why),
            Capability::MailRead => (&self.mail_read, &self.mail_read_why),
            Capability::MailSend => (&self.mail_send, &self.mail_send_why),
        }
    }

    /// What of a callback did not match.
    pub(super) fn mismatch(&self, reason: MismatchReason) -> &str {
        match reason {
            MismatchReason::IdToken => &self.mismatch_id_token,
            MismatchReason::Issuer => &self.mismatch_issuer,
            MismatchReason::RedirectUri => &self.mismatch_redirect,
            MismatchReason::State => &self.mismatch_state,
        }
    }

    /// Who has to act.
    pub(super) fn actor(&self, actor: Actor) -> &str {
        match actor {
            Actor::Administrator => &self.actor_administrator,
            Actor::Nobody => &self.actor_nobody,
            Actor::Operator => &self.actor_operator,
            Actor::Person => &self.actor_person,
        }
    }

    /// A sentence of a remedy in this language; as it is, in English, where nobody has translated it.
    pub(super) fn sentence<'a>(&'a self, english: &'a str) -> Sentence<'a> {
        match self.sentences.get(english) {
            Some(text) => Sentence { text, foreign: false },
            None => Sentence { text: english, foreign: self.language != "en" },
        }
    }

    /// Both sentences of a remedy.
    pub(super) fn remedy<'a>(&'a self, remedy: &'a Remedy) -> [Sentence<'a>; 2] {
        [self.sentence(&remedy.cause), self.sentence(&remedy.action)]
    }
}

/// A sentence, and whether it is in another language than its page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Sentence<'a> {
    pub(super) text: &'a str,
    pub(super) foreign: bool,
}

/// `text` with its `{names}` filled in. A value is never looked at for names of its own.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let (mut filled, mut rest) = (String::with_capacity(text.len() + 32), text);
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let known = after.split_once('}').and_then(|(name, after)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((value, after))
        });
        rest = match known {
            Some((value, after)) => {
                filled.push_str(value);
                after
            }
            None => {
                filled.push('{');
                after
            }
        };
    }
    filled.push_str(rest);
    filled
}

/// The catalogues there are, the default first.
#[derive(Clone, Debug)]
pub(super) struct Catalogues(Vec<Strings>);

impl Catalogues {
    pub(super) fn bundled() -> Self {
        Self(vec![Strings::english(), Strings::german()])
    }

    /// Adds a language, or replaces it.
    pub(super) fn add(&mut self, strings: Strings) {
        match self.0.iter_mut().find(|known| known.language.eq_ignore_ascii_case(&strings.language)) {
            Some(known) => *known = strings,
            None => self.0.push(strings),
        }
    }

    /// The first of the wanted languages (`de-AT, de;q=0.9, en`) that there is; the default one else. What `Accept-Language`
    /// weighs with `q` is taken in the order it comes in: that is how browsers write it.
    pub(super) fn choose(&self, wanted: &str) -> &Strings {
        let tags = wanted.split(',').take(16).filter_map(|tag| tag.split(';').next()).map(str::trim);
        let known = |tag: &str| {
            let primary = tag.split('-').next().unwrap_or_default();
            let exact = self.0.iter().find(|strings| strings.language.eq_ignore_ascii_case(tag));
            exact.or_else(|| self.0.iter().find(|strings| strings.language.eq_ignore_ascii_case(primary)))
        };
        // `Catalogues` is never empty: it begins with the bundled ones, and nothing removes any.
        tags.filter(|tag| !tag.is_empty()).find_map(known).unwrap_or(&self.0[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_looked_at_for_names_of_its_own() {
        let filled = fill("{account} at {service} {unknown} {", &[("account", "{service}"), ("service", "Mail")]);
        assert_eq!(filled, "{service} at Mail {unknown} {");
    }

    #[test]
    fn the_first_wanted_language_that_there_is_wins() {
        let catalogues = Catalogues::bundled();
        for (wanted, language) in
            [("de-AT,de;q=0.9,en;q=0.8", "de"), ("fr, DE", "de"), ("en-GB", "en"), ("", "en"), ("xx;;;,,,-", "en")]
        {
            assert_eq!(catalogues.choose(wanted).language, language, "{wanted}");
        }
    }

    #[test]
    fn a_language_of_the_host_is_added_or_replaces_a_bundled_one() {
        let (mut catalogues, mut french, mut english) = (Catalogues::bundled(), Strings::english(), Strings::english());
        french.language = "fr".into();
        english.connect_title = "Link a mailbox".into();
        catalogues.add(french);
        catalogues.add(english);
        assert_eq!(catalogues.choose("fr-CA").language, "fr");
        assert_eq!(catalogues.choose("xx").connect_title, "Link a mailbox");
    }

    #[test]
    fn what_is_not_translated_is_marked_as_english() {
        let german = Strings::german();
        let known = german.sentence("Connect the account again.");
        assert_eq!((known.text, known.foreign), ("Verbinden Sie das Konto erneut.", false));
        assert!(german.sentence("A sentence of a connector.").foreign);
        assert!(!Strings::english().sentence("A sentence of a connector.").foreign);
    }

    #[test]
    fn both_languages_name_the_same_values() {
        let names = |text: &str| {
            let mut names: Vec<String> =
                text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect();
            names.sort();
            names
        };
        for ((name, english), (_, german)) in Strings::english().all().into_iter().zip(Strings::german().all()) {
            assert_eq!(names(english), names(german), "{name}");
            assert!(!german.is_empty() && german != english, "{name} is not translated");
        }
    }
}
