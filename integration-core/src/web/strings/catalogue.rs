//! Every text, once: its name, in English, in German.

use super::{BTreeMap, Text, sentences};

/// Makes [`Strings`]: a field a text, documented by its English wording.
macro_rules! catalogue {
    ($($name:ident: $english:literal | $german:literal;)+) => {
        /// Every text of the pages in one language. `{name}` in a text stands for a value; a text may leave values out.
        ///
        /// A host takes a bundled catalogue, changes what it wants to say otherwise or in another language, and hands it in
        /// with [`WebOptions::with_strings`](crate::web::WebOptions::with_strings).
        #[derive(Clone, Debug, Eq, PartialEq)]
        #[non_exhaustive]
        pub struct Strings {
            /// The language's tag (`en`, `pt-BR`): the `lang` of the pages.
            pub language: Text,
            /// What remedies say, from English to this language; what is not there is shown in English, marked as such.
            pub sentences: BTreeMap<Text, Text>,
            $(
                #[doc = concat!("“", $english, "”")]
                pub $name: Text,
            )+
        }

        impl Strings {
            /// English, the default.
            #[must_use]
            pub fn english() -> Self {
                Self { language: "en".into(), sentences: BTreeMap::new(), $($name: $english.into(),)+ }
            }

            /// German.
            #[must_use]
            pub fn german() -> Self {
                Self { language: "de".into(), sentences: sentences::german(), $($name: $german.into(),)+ }
            }

            /// Every text with its name.
            #[cfg(test)]
            pub(super) fn all(&self) -> Vec<(&'static str, &str)> {
                vec![$((stringify!($name), &*self.$name),)+]
            }
        }
    };
}

catalogue! {
    // Around every page.
    skip: "Skip to the content" | "Zum Inhalt springen";
    navigation: "Connected accounts and how to add one" | "Verbundene Konten und neue verbinden";
    navigation_accounts: "Your accounts" | "Ihre Konten";
    navigation_connect: "Add an account" | "Konto hinzufügen";
    signed_in_as: "Signed in as {name}" | "Angemeldet als {name}";

    // Choosing a service.
    connect_title: "Connect an account" | "Ein Konto verbinden";
    connect_lead: "Choose where your account is. You sign in there and decide there what to allow; we never see your password."
        | "Wählen Sie, wo Ihr Konto liegt. Sie melden sich dort an und entscheiden dort, was Sie erlauben; Ihr Passwort sehen wir nie.";
    connect_asks: "{service} will ask you to allow this:" | "{service} wird Sie bitten, Folgendes zu erlauben:";
    connect_button: "Continue to {service}" | "Weiter zu {service}";
    connect_undo: "You can take this back at any time, here or in your account at {service}."
        | "Sie können das jederzeit zurücknehmen, hier oder in Ihrem Konto bei {service}.";
    connect_none: "No service has been set up here yet. Please ask whoever runs this application."
        | "Hier ist noch kein Dienst eingerichtet. Bitte fragen Sie, wer diese Anwendung betreibt.";
    reconnect_title: "Connect {account} again" | "{account} erneut verbinden";
    reconnect_lead: "Sign in with the same account, {account}. What was synced before stays."
        | "Melden Sie sich mit demselben Konto an: {account}. Was schon abgeglichen ist, bleibt.";

    // What is asked for, and why.
    calendar_read: "See your calendar" | "Ihren Kalender sehen";
    calendar_read_why: "so that meetings appear with the people you met" | "damit Termine bei den Menschen erscheinen, die Sie treffen";
    calendar_write: "Add and change meetings" | "Termine anlegen und ändern";
    calendar_write_why: "so that meetings you plan here reach your calendar" | "damit hier geplante Termine in Ihrem Kalender stehen";
    identity: "See your name and e-mail address" | "Ihren Namen und Ihre E-Mail-Adresse sehen";
    identity_why: "so that we know which account was connected" | "damit wir wissen, welches Konto verbunden wurde";
    ledger_read: "See your books" | "Ihre Buchhaltung sehen";
    ledger_read_why: "so that invoices and payments appear with your customers" | "damit Rechnungen und Zahlungen bei Ihren Kunden erscheinen";
    ledger_write: "Add and change entries in your books" | "In Ihrer Buchhaltung Einträge anlegen und ändern";
    ledger_write_why: "so that invoices you write here reach your books" | "damit hier geschriebene Rechnungen in Ihrer Buchhaltung stehen";
    mail_modify: "Sort your mail" | "Ihre E-Mails ordnen";
    mail_modify_why: "so that what you file here is filed in your mailbox too" | "damit hier Abgelegtes auch in Ihrem Postfach abgelegt ist";
    mail_read: "Read your mail" | "Ihre E-Mails lesen";
    mail_read_why: "so that messages appear with the people you wrote with" | "damit Nachrichten bei den Menschen erscheinen, mit denen Sie schreiben";
    mail_send: "Send mail in your name" | "In Ihrem Namen E-Mails senden";
    mail_send_why: "so that you can answer from here; nothing is sent unless you say so" | "damit Sie von hier antworten können; nichts wird ohne Ihr Zutun gesendet";

    // How a sign-in ended.
    granted_title: "{account} is connected" | "{account} ist verbunden";
    granted_text: "The first sync has begun. You can leave this page." | "Der erste Abgleich hat begonnen. Sie können diese Seite verlassen.";
    part_title: "{account} is connected, but not everything will work" | "{account} ist verbunden, aber nicht alles wird gehen";
    part_missing: "You left something out. This will not work:" | "Sie haben etwas ausgelassen. Das wird nicht gehen:";
    part_again: "If you want it after all, ask {service} again and leave everything ticked."
        | "Wenn Sie es doch möchten: Fragen Sie {service} noch einmal, und lassen Sie alles angekreuzt.";
    part_button: "Ask {service} again" | "{service} noch einmal fragen";
    attention_title: "{account} is connected, but it will not last" | "{account} ist verbunden, aber nicht auf Dauer";
    refused_title: "Nothing was connected" | "Es wurde nichts verbunden";
    refused_text: "You said no at {service}, so nothing was changed. You can change your mind at any time."
        | "Sie haben bei {service} abgelehnt, also hat sich nichts geändert. Sie können es sich jederzeit anders überlegen.";
    expired_title: "That took too long" | "Das hat zu lange gedauert";
    expired_text: "For your safety a request ends after a few minutes. Nothing was changed; please begin again."
        | "Zu Ihrer Sicherheit endet eine Anfrage nach einigen Minuten. Es hat sich nichts geändert; bitte beginnen Sie neu.";
    replayed_title: "This answer was used before" | "Diese Antwort wurde schon verwendet";
    replayed_text: "Nothing was changed this time. Look at your accounts to see what is connected."
        | "Diesmal hat sich nichts geändert. Bei Ihren Konten sehen Sie, was verbunden ist.";
    mismatched_title: "This answer does not belong here" | "Diese Antwort gehört nicht hierher";
    mismatched_text: "Nothing was changed. If you were connecting an account, please begin again."
        | "Es hat sich nichts geändert. Wenn Sie gerade ein Konto verbinden wollten, beginnen Sie bitte neu.";
    mismatch_id_token: "It is about another sign-in." | "Sie betrifft eine andere Anmeldung.";
    mismatch_issuer: "Another service answered than the one that was asked." | "Ein anderer Dienst hat geantwortet als der gefragte.";
    mismatch_redirect: "It came to another address than agreed." | "Sie kam an einer anderen Adresse an als vereinbart.";
    mismatch_state: "It answers no request of ours, or one that is long over." | "Sie beantwortet keine unserer Anfragen, oder eine längst beendete.";
    other_browser_title: "Please go on where you began" | "Bitte dort weitermachen, wo Sie begonnen haben";
    other_browser_text: "You began in another browser, or signed in here as somebody else since. Nothing was changed. Go on there, or begin again here."
        | "Sie haben in einem anderen Browser begonnen oder sich hier inzwischen anders angemeldet. Es hat sich nichts geändert. Machen Sie dort weiter, oder beginnen Sie hier neu.";
    other_account_title: "That was another account" | "Das war ein anderes Konto";
    other_account_text: "You chose {chosen}, but {expected} was to be connected again. Nothing was changed."
        | "Sie haben {chosen} gewählt, es sollte aber {expected} erneut verbunden werden. Es hat sich nichts geändert.";
    service_error_title: "{service} could not do it" | "{service} konnte das nicht tun";
    service_error_code: "If you ask for help, mention this code: {code}." | "Wenn Sie um Hilfe bitten, nennen Sie diesen Code: {code}.";
    the_service: "the service" | "dem Dienst";
    begin_again: "Begin again" | "Neu beginnen";
    to_accounts: "See your accounts" | "Ihre Konten ansehen";

    // The accounts.
    status_title: "Your accounts" | "Ihre Konten";
    status_empty: "No account is connected yet." | "Noch ist kein Konto verbunden.";
    status_updates: "This page keeps itself up to date." | "Diese Seite hält sich selbst aktuell.";
    state_disconnected: "Disconnected" | "Getrennt";
    state_needs_attention: "Needs attention" | "Braucht Aufmerksamkeit";
    state_paused: "Paused" | "Angehalten";
    state_failing: "Trying again" | "Wird wieder versucht";
    state_loading: "Syncing" | "Wird abgeglichen";
    state_stale: "Behind" | "Im Rückstand";
    state_up_to_date: "Up to date" | "Aktuell";
    phase_starting: "Starting: looking at what there is." | "Es geht los: Wir sehen nach, was da ist.";
    phase_listing: "Looking at what there is: {listed} items found so far." | "Wir sehen nach, was da ist: bisher {listed} Einträge gefunden.";
    phase_fetching: "Fetching: {pending} items still to come." | "Wird geholt: noch {pending} Einträge.";
    eta: "About {minutes} min to go." | "Noch etwa {minutes} min.";
    last_success: "The service last answered on {when}." | "Der Dienst hat zuletzt geantwortet am {when}.";
    quarantined: "{count} items could not be understood and are kept aside." | "{count} Einträge waren nicht zu verstehen und liegen beiseite.";
    failing_text: "The latest attempt failed. It is tried again by itself." | "Der letzte Versuch ist gescheitert. Es wird von selbst wieder versucht.";
    stale_text: "Nothing has come in for longer than usual. Whoever runs this application should have a look."
        | "Seit längerem als üblich kam nichts mehr an. Wer diese Anwendung betreibt, sollte nachsehen.";
    paused_text: "Nothing is synced until it is resumed." | "Bis zum Fortsetzen wird nichts abgeglichen.";
    disconnected_text: "Nothing is synced any more. You can connect it again." | "Es wird nichts mehr abgeglichen. Sie können es erneut verbinden.";
    allowed: "Allowed:" | "Erlaubt:";
    not_allowed: "Not allowed:" | "Nicht erlaubt:";
    what_to_do: "What to do:" | "Was zu tun ist:";
    actor_administrator: "An administrator of your organisation has to act." | "Eine Administratorin oder ein Administrator Ihrer Organisation muss handeln.";
    actor_nobody: "It passes by itself." | "Es gibt sich von selbst.";
    actor_operator: "Whoever runs this application has to act." | "Wer diese Anwendung betreibt, muss handeln.";
    actor_person: "You can fix this yourself." | "Das können Sie selbst beheben.";
    reconnect_button: "Connect again" | "Erneut verbinden";
    disconnect_button: "Disconnect" | "Trennen";
    erase_button: "Delete what was synced" | "Abgeglichenes löschen";
    notice_disconnected: "The account was disconnected." | "Das Konto wurde getrennt.";
    notice_erased: "The account was disconnected, and what was synced from it was deleted." | "Das Konto wurde getrennt, und alles daraus Abgeglichene wurde gelöscht.";
    page_of: "Page {page} of {pages}" | "Seite {page} von {pages}";
    page_before: "Previous page" | "Vorige Seite";
    page_after: "Next page" | "Nächste Seite";

    // Waiting for an administrator.
    admin_ask_text: "Does {service} say that an administrator has to approve this? Then hand on an address to them." | "Sagt {service}, dass die Administration zustimmen muss? Dann geben Sie ihr eine Adresse weiter.";
    admin_ask_button: "Get the address for the administrator" | "Adresse für die Administration anzeigen";
    admin_wait_title: "An administrator has to allow this first" | "Das muss zuerst die Administration erlauben";
    admin_wait_text: "Send this address to an administrator of your organisation. Once the app is allowed there, connect the account again." | "Senden Sie diese Adresse an die Administration Ihrer Organisation. Ist die App dort erlaubt, verbinden Sie das Konto noch einmal.";
    admin_wait_address: "Address for the administrator" | "Adresse für die Administration";
    admin_allowed_title: "Thank you" | "Vielen Dank";
    admin_allowed_text: "Whoever wanted to connect an account at {service} can try again now. Nothing is connected yet." | "Wer ein Konto bei {service} verbinden wollte, kann es jetzt noch einmal versuchen. Verbunden ist noch nichts.";
    admin_declined_title: "The app was not allowed" | "Die App wurde nicht erlaubt";
    admin_declined_text: "Nothing was changed. Should you think again, the same address still works." | "Es hat sich nichts geändert. Falls Sie es sich anders überlegen, gilt dieselbe Adresse weiter.";
    admin_claimed: "An administrator says that {service} is allowed now. Connect the account again." | "Laut der Administration ist {service} jetzt erlaubt. Verbinden Sie das Konto noch einmal.";
    admin_refused: "An administrator did not allow {service}." | "Die Administration hat {service} nicht erlaubt.";

    // Disconnecting.
    disconnect_title: "Disconnect {account}?" | "{account} trennen?";
    disconnect_lead: "We then forget how to reach the account, and tell {service} so." | "Wir vergessen dann, wie das Konto zu erreichen ist, und sagen es {service}.";
    disconnect_by_hand: "We then forget how to reach the account. {service} cannot be told so by us: take back there yourself what you allowed." | "Wir vergessen dann, wie das Konto zu erreichen ist. {service} können wir das nicht sagen: Nehmen Sie dort bitte selbst zurück, was Sie erlaubt haben.";
    disconnect_page: "The page for it at {service}" | "Die Seite dafür bei {service}";
    disconnect_choice: "What should happen to what was synced so far?" | "Was soll mit dem bisher Abgeglichenen geschehen?";
    disconnect_keep: "Keep it" | "Behalten";
    disconnect_keep_text: "Messages stay on the timelines, and the account can be connected again later." | "Nachrichten bleiben sichtbar, und das Konto kann später erneut verbunden werden.";
    disconnect_erase: "Delete it" | "Löschen";
    disconnect_erase_text: "Everything that came from this account is deleted here. This cannot be undone. Nothing is deleted at {service}."
        | "Alles, was aus diesem Konto kam, wird hier gelöscht. Das lässt sich nicht rückgängig machen. Bei {service} wird nichts gelöscht.";
    disconnect_confirm: "Disconnect" | "Trennen";
    cancel: "Cancel" | "Abbrechen";

    // What went wrong.
    bad_request_title: "This request cannot be understood" | "Diese Anfrage ist nicht zu verstehen";
    bad_request_text: "A part of it is missing, doubled or damaged. Please go back and try again." | "Ein Teil davon fehlt, ist doppelt oder beschädigt. Bitte gehen Sie zurück und versuchen Sie es noch einmal.";
    too_large_title: "This request is too large" | "Diese Anfrage ist zu groß";
    too_large_text: "Nothing was changed. Please begin again." | "Es hat sich nichts geändert. Bitte beginnen Sie neu.";
    sign_in_title: "Please sign in first" | "Bitte zuerst anmelden";
    sign_in_text: "Sign in to the application, then come back to this page." | "Melden Sie sich bei der Anwendung an, und kommen Sie dann hierher zurück.";
    forbidden_title: "You may not do this" | "Das dürfen Sie nicht";
    forbidden_text: "Your account in this application does not allow it." | "Ihr Konto in dieser Anwendung erlaubt es nicht.";
    stale_form_title: "This page was open for too long" | "Diese Seite war zu lange offen";
    stale_form_text: "Nothing was changed. Please go back, reload the page and try again." | "Es hat sich nichts geändert. Bitte gehen Sie zurück, laden Sie die Seite neu und versuchen Sie es noch einmal.";
    other_site_title: "This request came from another site" | "Diese Anfrage kam von einer anderen Seite";
    other_site_text: "Nothing was changed. If you wanted this, do it on our own pages." | "Es hat sich nichts geändert. Wenn Sie das wollten, tun Sie es bitte auf unseren eigenen Seiten.";
    not_found_title: "There is no such page or account" | "Diese Seite oder dieses Konto gibt es nicht";
    not_found_text: "It may have been removed, or the link is wrong." | "Vielleicht wurde sie entfernt, oder der Link ist falsch.";
    conflict_title: "Somebody is working on this right now" | "Daran wird gerade gearbeitet";
    conflict_text: "Please try again in a moment." | "Bitte versuchen Sie es gleich noch einmal.";
    failed_title: "Something is not set up right" | "Etwas ist nicht richtig eingerichtet";
    failed_text: "Nothing was changed. Whoever runs this application finds the reason in its logs." | "Es hat sich nichts geändert. Wer diese Anwendung betreibt, findet den Grund in ihren Protokollen.";
    unavailable_title: "This does not work right now" | "Das geht gerade nicht";
    unavailable_text: "Nothing was changed. Please try again in a minute." | "Es hat sich nichts geändert. Bitte versuchen Sie es in einer Minute noch einmal.";
}
