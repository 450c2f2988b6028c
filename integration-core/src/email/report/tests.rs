mod hostile;
mod prose;

use super::*;
use crate::email::kind;

fn read(raw: &str) -> Message {
    parse::message(raw.as_bytes()).unwrap()
}

/// A report with this delivery status, about a message with the id "1@x.example".
fn report(status: &str) -> Message {
    read(&format!(
        "From: Mail Delivery System <MAILER-DAEMON@x.example>\nSubject: Undelivered Mail Returned to Sender\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nIt failed.\n--b\n\
         Content-Type: message/delivery-status\n\n{status}\n--b\nContent-Type: message/rfc822\n\n\
         Message-ID: <1@x.example>\nSubject: Offer\n\nMessage-ID: <no@x.example>\n--b--\n"
    ))
}

const TWO: &str = "Reporting-MTA: dns; x.example\n\nFinal-Recipient: rfc822; ada@y.example\nAction: failed\nStatus: 5.1.1\n\
                   Diagnostic-Code: smtp; 550 5.1.1 <ada@y.example>:\n  User unknown\n\n\
                   Original-Recipient: rfc822;info@y.example\nFinal-Recipient: RFC822; <bob@z.example>\nAction: delayed\nStatus: 4.4.1 (no answer)\n";

#[test]
fn one_record_for_each_recipient_of_a_standard_report() {
    let found = bounces(&report(TWO));
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].recipient.as_str(), found[0].status.as_deref()), ("ada@y.example", Some("5.1.1")));
    assert_eq!((found[0].code, found[0].hard, found[0].reason), (Some(550), true, BounceReason::MailboxUnknown));
    assert_eq!(found[0].original_id.as_deref(), Some("1@x.example"));
    assert_eq!(found[0].diagnostic.as_deref(), Some("smtp; 550 5.1.1 <ada@y.example>: User unknown"));
    assert_eq!((found[1].recipient.as_str(), found[1].status.as_deref()), ("bob@z.example", Some("4.4.1")));
    assert_eq!((found[1].hard, found[1].original_recipient.as_deref()), (false, Some("info@y.example")));
    assert_eq!((found[0].delayed, found[1].delayed), (false, true));
}

#[test]
fn a_report_of_success_is_no_bounce() {
    for action in ["delivered", "relayed", "expanded"] {
        let success = report(&format!(
            "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; ada@y.example\nAction: {action}\nStatus: 2.0.0\n"
        ));
        assert_eq!(bounces(&success), []);
        assert!(!kind::kind(&success).bounce);
    }
}

#[test]
fn reasons_follow_status_and_words() {
    for (status, diagnostic, reason, hard) in [
        ("5.1.2", "550 host unknown", BounceReason::DomainUnknown, true),
        ("5.2.2", "552 mailbox full", BounceReason::MailboxFull, true),
        ("4.2.2", "452 over quota", BounceReason::MailboxFull, false),
        ("5.3.4", "552 too large", BounceReason::TooLarge, true),
        ("5.7.1", "554 rejected as spam", BounceReason::Policy, true),
        ("4.4.7", "delivery time expired", BounceReason::Temporary, false),
        ("5.0.0", "550 no such user here", BounceReason::MailboxUnknown, true),
        ("5.0.0", "554 blocked using zen.example", BounceReason::Policy, true),
        ("5.0.0", "it went wrong", BounceReason::Other, true),
    ] {
        let block = format!(
            "Final-Recipient: rfc822; a@y.example\nAction: failed\nStatus: {status}\nDiagnostic-Code: smtp; {diagnostic}\n"
        );
        let found = bounces(&report(&block));
        assert_eq!((found[0].reason, found[0].hard), (reason, hard), "{status} {diagnostic}");
    }
}

#[test]
fn a_delivery_status_under_another_type_is_found() {
    let raw = format!(
        "From: postmaster@x.example\nSubject: Undeliverable\nContent-Type: multipart/report; boundary=b\n\n--b\n\nIt failed.\n--b\n\
         Content-Type: application/octet-stream; name=details.txt\n\n{TWO}\n--b--\n"
    );
    assert_eq!(bounces(&read(&raw)).len(), 2);
    let text = format!("From: postmaster@x.example\nSubject: Undeliverable\n\nIt failed:\n\n{TWO}");
    assert_eq!(bounces(&read(&text)).len(), 2);
}

#[test]
fn a_recipient_without_a_domain_is_the_address_written_to() {
    let found = bounces(&report(
        "Original-Recipient: rfc822;ada@y.example\nFinal-Recipient: LOCAL;ada\nAction: failed\nStatus: 5.0.0\n",
    ));
    assert_eq!(found[0].recipient, "ada@y.example");
}

#[test]
fn a_soft_failure_that_is_given_up_is_told_from_a_delay() {
    let block =
        "Final-Recipient: rfc822; a@y.example\nAction: failed\nStatus: 4.2.2\nDiagnostic-Code: smtp; 452 over quota\n";
    let found = bounces(&report(block));
    assert_eq!((found[0].hard, found[0].delayed), (false, false));
    // Records from before there was a difference.
    let stored = r#"{"recipient":"a@y.example","original_recipient":null,"status":null,"code":null,"hard":false,
        "reason":"other","diagnostic":null,"original_id":null}"#;
    assert!(!serde_json::from_str::<Bounce>(stored).unwrap().delayed);
}

#[test]
fn a_recipient_of_x400_has_a_record_too() {
    for (field, address) in [
        ("X400; /C=us/A= /P=corp/S=low/G=ada/", "/C=us/A= /P=corp/S=low/G=ada/"),
        ("x400;c=us;a= ;p=corp;s=low", "c=us;a= ;p=corp;s=low"),
    ] {
        let found = bounces(&report(&format!("Final-Recipient: {field}\nAction: failed\nStatus: 5.1.1\n")));
        assert_eq!((found.len(), found[0].recipient.as_str(), found[0].hard), (1, address, true));
    }
    let known =
        "Original-Recipient: rfc822;ada@y.example\nFinal-Recipient: X400;/C=us/S=low/\nAction: failed\nStatus: 5.1.1\n";
    assert_eq!(bounces(&report(known))[0].recipient, "ada@y.example");
}

#[test]
fn recipients_without_empty_lines_between_are_told_apart() {
    let found = bounces(&report(
        "Final-Recipient: rfc822; a@y.example\nAction: failed\nStatus: 5.1.1\n\
         Final-Recipient: rfc822; b@y.example\nAction: failed\nStatus: 5.2.1\n",
    ));
    assert_eq!(
        found.iter().map(|bounce| bounce.recipient.as_str()).collect::<Vec<_>>(),
        ["a@y.example", "b@y.example"]
    );
}

#[test]
fn complaints_name_who_complained_about_what() {
    let message = read(
        "From: feedback@isp.example\nSubject: complaint\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n\
         --b\n\nThis is an abuse report.\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: ISP/1\n\
         Original-Mail-From: <news@x.example>\nOriginal-Rcpt-To: <ada@y.example>\n\n--b\nContent-Type: message/rfc822\n\n\
         Message-ID: <7@x.example>\n\nx\n--b--\n",
    );
    let found = complaint(&message).unwrap();
    assert_eq!((found.about.as_str(), found.recipients), ("abuse", vec!["ada@y.example".to_owned()]));
    assert_eq!((found.sender.as_deref(), found.reporter.as_deref()), (Some("news@x.example"), Some("ISP/1")));
    assert_eq!(found.original_id.as_deref(), Some("7@x.example"));
    let kind = kind::kind(&message);
    assert!(kind.complaint && !kind.bounce && !kind.bulk);
    assert_eq!(bounces(&message), []);
}

#[test]
fn receipts_name_the_message_that_was_read() {
    let message = read(
        "From: ada@y.example\nSubject: Read: Offer\nContent-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n\
         --b\n\nYour message was read.\n--b\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822;ada@y.example\n\
         Original-Message-ID: <7@x.example>\nDisposition: manual-action/MDN-sent-manually; displayed/error\n--b--\n",
    );
    let found = receipt(&message).unwrap();
    assert_eq!((found.recipient.as_deref(), found.disposition.as_str()), (Some("ada@y.example"), "displayed"));
    assert_eq!(found.original_id.as_deref(), Some("7@x.example"));
    let kind = kind::kind(&message);
    assert!(kind.receipt && !kind.bounce);
}

#[test]
fn a_million_recipients_are_read_in_bounds() {
    let many: String = (0..30_000)
        .map(|at| format!("Final-Recipient: rfc822; u{at}@y.example\nAction: failed\nStatus: 5.1.1\n\n"))
        .collect();
    let found = bounces(&report(&many));
    assert!((500..=1_000).contains(&found.len()), "{}", found.len());
}

#[test]
fn mutated_reports_are_read() {
    let raw = |kind: &str, body: &str| {
        format!(
            "From: MAILER-DAEMON@x.example\nSubject: Undelivered Mail Returned to Sender\nContent-Type: {kind}\n\n{body}"
        )
    };
    let standard = raw(
        "multipart/report; report-type=delivery-status; boundary=b",
        &format!("--b\n\nIt failed.\n--b\nContent-Type: message/delivery-status\n\n{TWO}\n--b--\n"),
    );
    let prose =
        raw("text/plain", "Hi. This is the qmail-send program.\n\n<ada@y.example>:\n550 5.1.1 no such user\n\n---\n");
    let complaint = raw(
        "multipart/report; report-type=feedback-report; boundary=b",
        "--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nOriginal-Rcpt-To: <ada@y.example>\n--b--\n",
    );
    let seeds = [standard.as_bytes(), prose.as_bytes(), complaint.as_bytes()];
    let words =
        ["\n", "\n\n", "--b\n", "Final-Recipient: rfc822; ", "Status: 5.", "@", "<", ">:\n", "550 ", "5.1.1", "\0"];
    crate::testing::fuzz("report reader", 3_000, &seeds, &words, |input| {
        let Ok(message) = parse::message(input) else { return };
        let found = bounces(&message);
        let _ = (super::complaint(&message), receipt(&message), kind::kind(&message));
        assert!(found.len() <= MAX_BOUNCES);
        for bounce in found {
            assert!(!bounce.recipient.is_empty());
            assert!(bounce.diagnostic.is_none_or(|text| text.len() <= MAX_DIAGNOSTIC));
        }
    });
}

#[test]
fn the_time_for_a_report_grows_with_its_size() {
    let pieces = [
        "Final-Recipient: rfc822; ada@y.example\nAction: failed\nStatus: 5.1.1\n\n",
        "Diagnostic-Code: smtp; 550 ",
        "a@b.example ",
        "<ada@y.example>:\n",
        "550 5.1.1 ",
        "\n",
    ];
    for piece in pieces {
        for kind in ["text/plain", "message/delivery-status"] {
            let make = |size: usize| {
                let body = piece.repeat(size / piece.len());
                read(&format!("From: MAILER-DAEMON@x.example\nSubject: failure notice\nContent-Type: {kind}\n\n{body}"))
            };
            crate::testing::assert_linear(piece, 20_000, make, |message| drop(bounces(message)));
        }
    }
}
