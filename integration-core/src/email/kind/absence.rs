//! Absence notices that only their subjects tell.

use std::sync::LazyLock;

use crate::email::{
    table::{Table, alone},
    types::Message,
};

/// How much of the text is looked at, in bytes.
const MAX_TEXT: usize = 2 * 1024;

/// Does `message` look like the absence notice of a program that marks nothing but the subject?
///
/// Formulas of programs suffice as long as only the answered subject follows. Words that people begin a subject with as well
/// need a text that says that somebody is away.
pub(super) fn is_notice(message: &Message) -> bool {
    let subject = message.subject.trim_start_matches(['[', '*', ' ', '"', '(']);
    if !(FORMULAS.may_begin(subject) || WORDS.may_begin(subject)) {
        return false;
    }
    let subject = subject.to_lowercase();
    let rest = |word: &str| subject[word.len()..].trim_start_matches(['"', '*', ']', ')']).trim_start();
    if FORMULAS.beginnings_of(&subject).any(|word| is_end(rest(word))) {
        return true;
    }
    let mut words = FORMULAS.beginnings_of(&subject).chain(WORDS.beginnings_of(&subject));
    // Who asks is there.
    words.next().is_some() && !subject.contains('?') && says_away(&message.text)
}

/// Nothing follows, or what programs put between the formula and the subject that they answer.
fn is_end(rest: &str) -> bool {
    rest.is_empty()
        || rest.starts_with([':', '：', '('])
        || ["re:", "auto", "notif", "reply", "response", "message"].iter().any(|word| rest.starts_with(word))
}

fn says_away(text: &str) -> bool {
    let start = text[..text.floor_char_boundary(MAX_TEXT)].to_lowercase();
    AWAY.iter().any(|words| start.contains(words))
}

static FORMULAS: LazyLock<Table<()>> = LazyLock::new(|| Table::of_beginnings(alone(&PROGRAMS)));
static WORDS: LazyLock<Table<()>> = LazyLock::new(|| Table::of_beginnings(alone(&PEOPLE)));

/// What programs write before the subject that they answer.
const PROGRAMS: [&str; 42] = [
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
    "out of the office",
    "vacation reply",
    "away from my mail",
    "automatische antwort",
    "abwesenheitsnotiz",
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
    "自動回覆",
    "자동 회신",
];

/// What people begin a subject with too.
const PEOPLE: [&str; 26] = [
    "ooo",
    "auto:",
    "on vacation",
    "on leave",
    "abwesenheit",
    "abwesend",
    "nicht im büro",
    "urlaub",
    "absence",
    "absent",
    "ausente",
    "assente",
    "assenza",
    "afwezig",
    "ausência",
    "não estou",
    "fora do escritório",
    "frånvar",
    "fravær",
    "ikke til stede",
    "poissa",
    "nieobecn",
    "poza biurem",
    "nepřítom",
    "отсутств",
    "нет на месте",
];

/// What the texts of absence notices say.
const AWAY: [&str; 72] = [
    "out of office",
    "out of the office",
    "away from the office",
    "away from my",
    "i am away",
    "i'm away",
    "on vacation",
    "on leave",
    "on holiday",
    "annual leave",
    "limited access",
    "i will return",
    "i will be back",
    "i'll be back",
    "returning on",
    "nicht im büro",
    "nicht im hause",
    "nicht im haus",
    "nicht am arbeitsplatz",
    "außer haus",
    "abwesend",
    "nicht erreichbar",
    "wieder erreichbar",
    "im urlaub",
    "nicht weitergeleitet",
    "absent",
    "en congé",
    "de retour",
    "pas au bureau",
    "fuera de la oficina",
    "de vacaciones",
    "ausente",
    "fuori ufficio",
    "fuori sede",
    "assente",
    "in ferie",
    "afwezig",
    "niet aanwezig",
    "niet op kantoor",
    "op vakantie",
    "fora do escritório",
    "não estou",
    "não estarei",
    "de férias",
    "på kontoret",
    "frånvarande",
    "på semester",
    "är ledig",
    "är tillbaka",
    "fraværende",
    "på ferie",
    "er tilbage",
    "er tilbake",
    "poissa",
    "lomalla",
    "tavoitettavissa",
    "nieobecn",
    "na urlopie",
    "poza biurem",
    "nejsem v",
    "dovolen",
    "отсутств",
    "в отпуске",
    "не в офисе",
    "не на месте",
    "不在",
    "休暇",
    "自動",
    "自动",
    "休假",
    "부재",
    "자동",
];
