//! Whatever stands in a report, its records are sound.

use std::collections::HashSet;

use proptest::prelude::*;

use super::super::{Bounce, MAX_BOUNCES, MAX_DIAGNOSTIC, bounces, complaint, receipt};
use crate::email::{kind, parse};

/// A line as reports have them, or any line.
fn line() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "Reporting-MTA: dns; x.example",
        "Final-Recipient: rfc822; ada@y.example",
        "Final-Recipient: LOCAL; ada",
        "Final-Recipient:",
        "Original-Recipient: rfc822;<bob@z.example>",
        "Action: failed",
        "Action: delayed",
        "Action: delivered",
        "Status: 5.1.1",
        "Status: 4.9999999999999999999.1 (x)",
        "Diagnostic-Code: smtp; 550-5.1.1 <ada@y.example>:",
        " continued 99999 550",
        "X-Failed-Recipients: ada@y.example, , @, b@",
        "Feedback-Type: abuse",
        "Disposition: manual-action/MDN-sent; displayed",
        "Message-ID: <1@x.example>",
        "Message-ID: <",
        "This message was created automatically by mail delivery software.",
        "The following address(es) failed:",
        "  ada@y.example",
        "    SMTP error from remote mail server after RCPT TO:<ada@y.example>: 550 5.1.1 unknown",
        "----- The following addresses had permanent fatal errors -----",
        "Your message to carla@z.example couldn't be delivered.",
        "",
    ]);
    prop_oneof![3 => known.prop_map(str::to_owned), 1 => "\\PC{0,60}"]
}

fn lines() -> impl Strategy<Value = String> {
    prop::collection::vec(line(), 0..14).prop_map(|lines| lines.join("\n"))
}

/// A report with these lines for people, for programs and of the returned message.
fn raw(from: &str, subject: &str, media_type: &str, [text, status, returned]: [&str; 3]) -> String {
    format!(
        "From: {from}\nReturn-Path: <>\nSubject: {subject}\nContent-Type: multipart/report; boundary=b\n\n--b\n\n{text}\n--b\n\
         Content-Type: {media_type}\n\n{status}\n--b\nContent-Type: message/rfc822\n\n{returned}\n--b--\n"
    )
}

fn is_status(status: &str) -> bool {
    let mut parts = status.split('.');
    let numbers = parts.by_ref().take(3).all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    numbers && parts.next().is_none() && status.matches('.').count() == 2
}

fn is_sound(bounce: &Bounce) -> bool {
    let line = |text: &str| !text.is_empty() && !text.contains(char::is_control);
    line(&bounce.recipient)
        && bounce.status.as_deref().is_none_or(is_status)
        && bounce.code.is_none_or(|code| (200..600).contains(&code))
        && bounce.diagnostic.as_deref().is_none_or(|text| line(text) && text.len() <= MAX_DIAGNOSTIC)
        && bounce.original_id.as_deref().is_none_or(line)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_report_is_read_and_every_record_is_sound(
        parts in [lines(), lines(), lines()],
        media_type in prop::sample::select(vec![
            "message/delivery-status", "message/feedback-report", "message/disposition-notification", "text/plain",
        ]),
        from in prop::sample::select(vec!["MAILER-DAEMON@x.example", "postmaster@x.example", "ann@acme.example", "<>"]),
        subject in prop::sample::select(vec!["Undelivered Mail Returned to Sender", "failure notice", "Lunch", ""]),
    ) {
        let [text, status, returned] = &parts;
        let message = parse::message(raw(from, subject, media_type, [text, status, returned]).as_bytes()).unwrap();
        let found = bounces(&message);
        let named: HashSet<String> = found.iter().map(|bounce| bounce.recipient.to_lowercase()).collect();
        prop_assert_eq!(named.len(), found.len());
        prop_assert!(found.len() <= MAX_BOUNCES);
        prop_assert!(found.iter().all(is_sound), "{:?}", found);
        let kind = kind::kind(&message);
        prop_assert_eq!(kind.bounce, !found.is_empty());
        prop_assert_eq!(kind.complaint, complaint(&message).is_some());
        prop_assert_eq!(kind.receipt, receipt(&message).is_some());
    }
}

#[test]
fn a_long_report_takes_no_longer_than_its_size() {
    for line in
        ["ada@y.example 550 5.1.1 unknown\n", "Final-Recipient: rfc822; a@b.example\n\n", "@", "a@", "550 5.1.1 "]
    {
        let text = line.repeat(1_000_000 / line.len());
        let raw = raw("MAILER-DAEMON@x.example", "failure notice", "message/delivery-status", [&text, &text, &text]);
        let message = parse::message(raw.as_bytes()).unwrap();
        let began = std::time::Instant::now();
        assert!(bounces(&message).len() <= MAX_BOUNCES);
        assert!(began.elapsed().as_secs() < 20, "{line:?} took {:?}", began.elapsed());
    }
}
