//! Reports as common servers write them; the words are their own, the people are not.

use super::*;

fn found(from: &str, subject: &str, text: &str) -> Vec<Bounce> {
    bounces(&read(&format!("From: {from}\nTo: me@x.example\nSubject: {subject}\n\n{text}")))
}

/// Address, status, hard, reason.
fn only(found: &[Bounce]) -> (&str, Option<&str>, bool, BounceReason) {
    assert_eq!(found.len(), 1, "{found:?}");
    (&found[0].recipient, found[0].status.as_deref(), found[0].hard, found[0].reason)
}

const RETURNED: &str =
    "Return-Path: <me@x.example>\nReceived: from z\nTo: ada@y.example, other@y.example\nMessage-ID: <1@x.example>\n";

#[test]
fn qmail() {
    let text = format!(
        "Hi. This is the qmail-send program at mx.x.example.\nI'm afraid I wasn't able to deliver your message to the following addresses.\n\
         This is a permanent error; I've given up. Sorry it didn't work out.\n\n<ada@y.example>:\n192.0.2.1 does not like recipient.\n\
         Remote host said: 550 5.1.1 User unknown\nGiving up on 192.0.2.1.\n\n<bob@z.example>:\nSorry, I couldn't find any host named z.example. (#5.1.2)\n\n\
         --- Below this line is a copy of the message.\n\n{RETURNED}"
    );
    let found = found("MAILER-DAEMON@mx.x.example", "failure notice", &text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!((found[0].recipient.as_str(), found[0].code, found[0].hard), ("ada@y.example", Some(550), true));
    assert_eq!((found[1].status.as_deref(), found[1].reason), (Some("5.1.2"), BounceReason::DomainUnknown));
    assert_eq!(found[1].original_id.as_deref(), Some("1@x.example"));
}

#[test]
fn exim() {
    let text = format!(
        "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of its\n\
         recipients. This is a permanent error. The following address(es) failed:\n\n  ada@y.example\n    SMTP error from remote mail server after RCPT TO:<ada@y.example>:\n\
         \x20   host mx.y.example [192.0.2.1]: 550 5.1.1 <ada@y.example>:\n    Recipient address rejected: User unknown\n\n\
         ------ This is a copy of the message, including all the headers. ------\n\n{RETURNED}"
    );
    let found = found(
        "Mail Delivery System <Mailer-Daemon@x.example>",
        "Mail delivery failed: returning message to sender",
        &text,
    );
    assert_eq!(only(&found), ("ada@y.example", Some("5.1.1"), true, BounceReason::MailboxUnknown));
    assert_eq!(found[0].original_id.as_deref(), Some("1@x.example"));
}

#[test]
fn exim_names_who_failed_in_a_header() {
    let raw = "From: Mailer-Daemon@x.example\nX-Failed-Recipients: ada@y.example,\n bob@y.example\nSubject: Mail delivery failed\n\n\
               The following address(es) failed:\n\n  ada@y.example\n    Unrouteable address\n  bob@y.example\n    retry timeout exceeded\n";
    let found = bounces(&read(raw));
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!((found[0].hard, found[0].reason), (true, BounceReason::MailboxUnknown));
    assert_eq!((found[1].hard, found[1].reason), (false, BounceReason::Temporary));
}

#[test]
fn an_exim_warning_is_soft() {
    let text = "This message was created automatically by mail delivery software.\nA message that you sent has not yet been delivered to one or more of its\n\
                recipients after more than 24 hours on the queue on x.example.\n\nThe following address(es) have not yet been delivered:\n\n  ada@y.example\n    Delay reason: connection timed out\n\n\
                No action is required on your part. Delivery attempts will continue for\nsome time.\n";
    let found = found("Mailer-Daemon@x.example", "Warning: message 1abc delayed 24 hours", text);
    assert_eq!(only(&found), ("ada@y.example", None, false, BounceReason::Temporary));
}

#[test]
fn postfix() {
    let text = "This is the Postfix program at host x.example.\n\nI'm sorry to have to inform you that your message could not be\nbe delivered to one or more recipients.\n\n\
                <ada@y.example>: host mx.y.example[192.0.2.1] said: 552 5.2.2 Mailbox full (in\n    reply to RCPT TO command)\n";
    let found = found("MAILER-DAEMON@x.example (Mail Delivery System)", "Undelivered Mail Returned to Sender", text);
    assert_eq!(only(&found), ("ada@y.example", Some("5.2.2"), true, BounceReason::MailboxFull));
}

#[test]
fn sendmail() {
    let text = "The original message was received at Mon, 2 Nov 2026 10:00:00 +0100\nfrom localhost [127.0.0.1]\n\n\
                \x20  ----- The following addresses had permanent fatal errors -----\n<ada@y.example>\n\n   ----- Transcript of session follows -----\n\
                ... while talking to mx.y.example.:\n>>> RCPT To:<ada@y.example>\n<<< 550 5.1.1 <ada@y.example>... User unknown\n550 <ada@y.example>... User unknown\n";
    let found = found("MAILER-DAEMON@x.example", "Returned mail: User unknown", text);
    assert_eq!(only(&found), ("ada@y.example", Some("5.1.1"), true, BounceReason::MailboxUnknown));
}

#[test]
fn exchange() {
    let text = "Your message\n\n  To:      ada@y.example\n  Subject: Offer\n  Sent:    Mon, 2 Nov 2026 10:00:00\n\ndid not reach the following recipient(s):\n\n\
                ada@y.example on Mon, 2 Nov 2026 10:00:01 +0100\n    The recipient name is not recognized\n    MSEXCH:IMS:Y:SITE:HOST 0 (000C05A6) Unknown Recipient\n";
    let found = found("System Administrator <postmaster@y.example>", "Undeliverable: Offer", text);
    assert_eq!(only(&found), ("ada@y.example", None, true, BounceReason::MailboxUnknown));
}

#[test]
fn exchange_online() {
    let text = "Delivery has failed to these recipients or groups:\n\nAda Low (ada@y.example)<mailto:ada@y.example>\nThe email address you entered couldn't be found. \
                Please check the recipient's email address.\n\nDiagnostic information for administrators:\n\nGenerating server: SRV.y.example\n\nada@y.example\nRemote Server returned \
                '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup'\n\nOriginal message headers:\n\nReceived: from x\nMessage-ID: <1@x.example>\n";
    let found = found("Mail Service <postmaster@y.example>", "Undeliverable: Offer", text);
    assert_eq!(only(&found), ("ada@y.example", Some("5.1.10"), true, BounceReason::MailboxUnknown));
    assert_eq!(found[0].original_id.as_deref(), Some("1@x.example"));
}

#[test]
fn technical_details_and_address_not_found() {
    let old = "Delivery to the following recipient failed permanently:\n\n     ada@y.example\n\nTechnical details of permanent failure:\nThe server tried to deliver your message, but it was \
               rejected by the recipient domain. The error that the other server returned was: 550 550 5.1.1 unknown user (state 14).\n\n----- Original message -----\n\nMessage-ID: <1@x.example>\n";
    let old =
        found("Mail Delivery Subsystem <mailer-daemon@mail.example>", "Delivery Status Notification (Failure)", old);
    assert_eq!(only(&old), ("ada@y.example", Some("5.1.1"), true, BounceReason::MailboxUnknown));
    let new = "** Address not found **\n\nYour message wasn't delivered to ada@y.example because the address couldn't be found, or is unable to receive mail.\n\nThe response was:\n\n550 5.1.1 no such user\n";
    let new =
        found("Mail Delivery Subsystem <mailer-daemon@mail.example>", "Delivery Status Notification (Failure)", new);
    assert_eq!(only(&new), ("ada@y.example", Some("5.1.1"), true, BounceReason::MailboxUnknown));
}

#[test]
fn yahoo() {
    let text = "Sorry, we were unable to deliver your message to the following address.\n\n<ada@y.example>:\n554: delivery error: dd This user doesn't have a y.example account\n\n--- Original message follows.\n\nReceived: x\n";
    let found = found("MAILER-DAEMON@mail.example", "Failure Notice", text);
    assert_eq!(only(&found), ("ada@y.example", None, true, BounceReason::MailboxUnknown));
    assert_eq!(found[0].code, Some(554));
}

#[test]
fn domino() {
    let text = "Your message\n\n  Subject: Offer\n\nwas not delivered to:\n\n  ada@y.example\n\nbecause:\n\n  User ada (ada@y.example) not listed in Domino Directory\n";
    let found = found("Postmaster@y.example", "DELIVERY FAILURE: User ada not listed in Domino Directory", text);
    assert_eq!(only(&found), ("ada@y.example", None, true, BounceReason::MailboxUnknown));
}

#[test]
fn groupwise_and_imail() {
    let groupwise = "The message that you sent was undeliverable to the following:\n\tada@y.example (user not found)\n\nPossibly truncated original message follows:\n";
    let groupwise = found("Mailer-Daemon@y.example", "Message status - undeliverable", groupwise);
    assert_eq!(only(&groupwise), ("ada@y.example", None, true, BounceReason::MailboxUnknown));
    let imail = "User mailbox exceeds allowed size: ada@y.example\n\nOriginal message follows.\n\nReceived: from x\nTo: ada@y.example\n";
    let imail = found("Postmaster <postmaster@y.example>", "Undeliverable Mail", imail);
    assert_eq!(only(&imail), ("ada@y.example", None, false, BounceReason::MailboxFull));
}

#[test]
fn japanese_carriers() {
    let text = "次のあて先へのメッセージはエラーのため送信できませんでした。\n\nada@y.example\n\nUnknown user\n";
    let found = found("\"Mail Delivery Subsystem\" <postmaster@y.example>", "Undelivered Mail", text);
    assert_eq!(only(&found), ("ada@y.example", None, true, BounceReason::MailboxUnknown));
    let au = "The user(s) account is disabled.\n\n<ada@y.example>: 550 user unknown\n";
    let au = super::bounces(&read(&format!(
        "From: Postmaster@ez.example\nSubject: Mail System Error - Returned Mail\n\n{au}"
    )));
    assert_eq!(only(&au).0, "ada@y.example");
}

#[test]
fn people_who_write_about_bounces_send_none() {
    for (from, subject, text) in [
        (
            "ada@y.example",
            "Re: Undelivered Mail Returned to Sender",
            "Your mail to <bob@y.example>: could not be delivered, why?\n",
        ),
        ("ada@y.example", "Offer", "I could not reach you: <bob@y.example>: user unknown.\n"),
        ("postmaster@y.example", "Maintenance", "The server is down on Friday.\nAsk <help@y.example>\n"),
        ("ada@y.example", "Delivery report for October", "All 12 pallets arrived.\n"),
        (
            "ada@y.example",
            "Delivery problem",
            "the parcel could not be delivered to the following address:\n\nJoe <joe@z.example>\n",
        ),
        ("ada@y.example", "Failed mail merge", "The following addresses failed:\n\njoe@z.example\nann@z.example\n"),
        ("ada@y.example", "mail delivery failed?", "your mail to zed@z.example failed with 550 5.1.1 User unknown.\n"),
        ("ada@y.example", "Undelivered invoices", "unable to deliver your message to a@z.example, user unknown.\n"),
        ("ada@y.example", "Delivery problems", "I could not deliver to these addresses:\n\n- shop@z.example\n"),
        ("ada@y.example", "FW: Undeliverable: Offer", NOTICE),
        ("ada@y.example", "WG: Unzustellbar: Angebot", NOTICE),
        ("ada@y.example", "TR: Non remis : Offre", NOTICE),
        ("ada@y.example", "RV: No se puede entregar: Oferta", NOTICE),
        ("ada@y.example", "I: Non recapitabile: Offerta", NOTICE),
        ("Support <support@y.example>", "Undeliverable: Offer", NOTICE),
        ("postmaster@y.example", "Quarantine", "Held for this recipient:\nbob@y.example\n"),
    ] {
        assert_eq!(found(from, subject, text), [], "{subject}");
    }
}

const NOTICE: &str = "Delivery has failed to these recipients or groups:\n\nbob@z.example\n550 5.1.1 user unknown\n";

#[test]
fn a_system_under_another_address_is_told_by_its_name_or_its_headers() {
    for header in [
        "From: Mail Delivery System <noreply@y.example>",
        "From: Mail <CorpExchange329e71ec88ae4615bbc36ab6ce41109e@y.example>",
        "Return-Path: <>\nFrom: mx@y.example",
        "From: mx@y.example\nAuto-Submitted: auto-generated",
        "Auto-Submitted: auto-replied",
    ] {
        let raw = format!("{header}\nTo: me@x.example\nSubject: Undeliverable: Offer\n\n{NOTICE}");
        assert_eq!(only(&bounces(&read(&raw))).0, "bob@z.example", "{header}");
    }
}

#[test]
fn one_recipient_does_not_get_the_answer_about_another() {
    let text = "I'm sorry to have to inform you that your message could not be delivered to one or more recipients.\n\n\
                <zed@z.example>: host mx.z.example said: 550 5.1.1 no such user\n<yan@q.example>: connect to q.example: Connection timed out\n";
    let found = found("MAILER-DAEMON@x.example", "Undelivered Mail Returned to Sender", text);
    assert_eq!((found[0].status.as_deref(), found[0].hard), (Some("5.1.1"), true));
    assert_eq!((found[1].status.as_deref(), found[1].code, found[1].hard), (None, None, false));
}

#[test]
fn an_unknown_domain_beside_a_full_mailbox_stays_hard() {
    let text = "Your message could not be delivered to one or more recipients.\n\n\
                <zed@z.example>: host mx.z.example said: 452 4.2.2 over quota\n<yan@q.example>: Host or domain name not found\n";
    let found = found("MAILER-DAEMON@x.example", "Undelivered Mail Returned to Sender", text);
    assert_eq!((found[0].hard, found[0].reason), (false, BounceReason::MailboxFull));
    assert_eq!((found[1].status.as_deref(), found[1].hard), (None, true));
    assert_eq!(found[1].reason, BounceReason::DomainUnknown);
}

#[test]
fn the_sender_that_a_report_names_did_not_fail() {
    let text = "A message sent by\n\n  <ann@y.example>\n\ncould not be delivered to one or more of its recipients. The following address(es) failed:\n\n\
                \x20 zed@z.example\n    retry timeout exceeded\n";
    let found = found("Mailer-Daemon@x.example", "Mail delivery failed: returning message to sender", text);
    assert_eq!(only(&found), ("zed@z.example", None, false, BounceReason::Temporary));
}

#[test]
fn exchange_online_in_other_languages() {
    for (subject, announced) in [
        ("Undeliverable: Offer", "Delivery has failed to these recipients or groups:"),
        ("Non remis : Offre", "Échec de la remise à ces destinataires ou groupes :"),
        ("Unzustellbar: Angebot", "Fehler bei der Nachrichtenzustellung an folgende Empfänger oder Gruppen:"),
        ("No se puede entregar: Oferta", "No se pudo entregar a estos destinatarios o grupos:"),
        ("Non recapitabile: Offerta", "Recapito non riuscito per i seguenti destinatari o gruppi:"),
        ("Onbestelbaar: Offerte", "Bezorging aan deze geadresseerden of groepen is mislukt:"),
        ("配信不能: 見積", "次の受信者またはグループへの配信に失敗しました:"),
    ] {
        let text = format!(
            "{announced}\n\nAda Low (ada@z.example)<mailto:ada@z.example>\n…\n\nDiagnostic information for administrators:\n\n\
             Generating server: SRV.y.example\n\nada@z.example\nRemote Server returned '550 5.1.10 RESOLVER.ADR.RecipientNotFound'\n"
        );
        for from in ["postmaster@y.example", "CorpExchange329e71ec88ae4615bbc36ab6ce41109e@y.example"] {
            let found = found(from, subject, &text);
            assert_eq!(
                only(&found),
                ("ada@z.example", Some("5.1.10"), true, BounceReason::MailboxUnknown),
                "{subject}"
            );
        }
    }
}

#[test]
fn what_the_remote_server_replied_has_the_status() {
    let text = "Your message did not reach some or all of the intended recipients.\n\n   Sent: Mon, 2 Nov 2026 10:00:00\n   Subject: Offer\n\n\
                The following recipient(s) could not be reached:\n\nada@z.example\n   Error Type: SMTP\n   Remote server (192.0.2.1) issued an error.\n\
                \x20  hMailServer sent: RCPT TO:<ada@z.example>\n   Remote server replied: 550 5.1.1 unknown\n\nhMailServer\n";
    let found = found("mailer-daemon@x.example", "Message undeliverable: Offer", text);
    assert_eq!(only(&found), ("ada@z.example", Some("5.1.1"), true, BounceReason::MailboxUnknown));
    let apart = text.replace("   Remote server replied", "\nRemote server replied");
    assert_eq!(
        super::bounces(&read(&format!("From: mailer-daemon@x.example\nSubject: Message undeliverable\n\n{apart}")))[0]
            .status
            .as_deref(),
        Some("5.1.1")
    );
}
