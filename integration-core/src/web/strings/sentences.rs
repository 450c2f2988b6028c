//! What core's own remedies say, in German.

use super::{BTreeMap, Text};

const GERMAN: &[(&str, &str)] = &[
    (
        "An administrator of the organisation has to allow the app before people can connect.",
        "Die Administration der Organisation muss die App erlauben, bevor Konten verbunden werden können.",
    ),
    (
        "Open the address for administrators, sign in and allow the app.",
        "Öffnen Sie die Adresse für die Administration, melden Sie sich an, und erlauben Sie die App.",
    ),
    (
        "Not every account that was named can be opened with this sign-in.",
        "Nicht jedes genannte Konto lässt sich mit dieser Anmeldung öffnen.",
    ),
    (
        "Check the names of those that are missing, and the rights to them.",
        "Prüfen Sie die Namen der fehlenden Konten und die Rechte an ihnen.",
    ),
    (
        "The key that the app signs with cannot be used.",
        "Der Schlüssel, mit dem die App unterschreibt, ist nicht zu gebrauchen.",
    ),
    (
        "The service asks for a further proof before it goes on.",
        "Der Dienst verlangt einen weiteren Nachweis, bevor es weitergeht.",
    ),
    ("Allow the app for this account.", "Erlauben Sie die App für dieses Konto."),
    (
        "Check the app's client id, secret and redirect.",
        "Prüfen Sie Client-ID, Geheimnis und Rücksprungadresse der App.",
    ),
    ("Check the app's sign-in scopes at the service.", "Prüfen Sie die Anmelderechte der App beim Dienst."),
    ("Connect the account again in a moment.", "Verbinden Sie das Konto gleich noch einmal."),
    (
        "Connect the account again, and choose it when you sign in.",
        "Verbinden Sie das Konto erneut, und wählen Sie es beim Anmelden aus.",
    ),
    ("Connect the account again.", "Verbinden Sie das Konto erneut."),
    (
        "Let the app ask for offline access, then connect the account again.",
        "Lassen Sie die App dauerhaften Zugriff erbitten, und verbinden Sie das Konto dann erneut.",
    ),
    ("Nothing needs to be done; it is tried again.", "Es ist nichts zu tun; es wird wieder versucht."),
    (
        "Sign in with an account that has what is to be connected.",
        "Melden Sie sich mit einem Konto an, das hat, was verbunden werden soll.",
    ),
    ("The account was disconnected.", "Das Konto wurde getrennt."),
    ("The app asks for a scope that it may not have.", "Die App erbittet ein Recht, das sie nicht haben darf."),
    ("The app may not use this kind of sign-in.", "Die App darf diese Art der Anmeldung nicht verwenden."),
    ("The person did not allow this.", "Das wurde nicht erlaubt."),
    ("The service asks for consent again.", "Der Dienst bittet erneut um Zustimmung."),
    ("The service did not answer as it should.", "Der Dienst hat nicht geantwortet, wie er sollte."),
    (
        "The service did not accept this sign-in: it took too long or was used before.",
        "Der Dienst hat diese Anmeldung nicht angenommen: Sie dauerte zu lange oder wurde schon verwendet.",
    ),
    ("The service did not say who signed in.", "Der Dienst hat nicht gesagt, wer sich angemeldet hat."),
    ("The service did not understand the request.", "Der Dienst hat die Anfrage nicht verstanden."),
    (
        "The service does not know the app or refuses its secret.",
        "Der Dienst kennt die App nicht oder lehnt ihr Geheimnis ab.",
    ),
    (
        "The service gave access for a short time only (no refresh token).",
        "Der Dienst hat den Zugriff nur für kurze Zeit gewährt (kein Refresh-Token).",
    ),
    (
        "The service no longer accepts this sign-in: it was revoked or has expired.",
        "Der Dienst nimmt diese Anmeldung nicht mehr an: Sie wurde zurückgenommen oder ist abgelaufen.",
    ),
    ("The sign-in no longer opens this account.", "Die Anmeldung öffnet dieses Konto nicht mehr."),
    ("The service refuses this account.", "Der Dienst lehnt dieses Konto ab."),
    (
        "The sign-in worked, but there is no account behind it that can be connected.",
        "Die Anmeldung gelang, aber dahinter liegt kein Konto, das verbunden werden kann.",
    ),
];

pub(super) fn german() -> BTreeMap<Text, Text> {
    GERMAN.iter().map(|&(english, german)| (english.into(), german.into())).collect()
}
