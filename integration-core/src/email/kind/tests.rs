use super::*;
use crate::email::parse;

fn kind_of(header: &str) -> Kind {
    kind(&parse::message(format!("From: a@x.example\n{header}\n\nHello\n").as_bytes()).unwrap())
}

#[test]
fn ordinary_mail_is_nothing_else() {
    let kind = kind_of("Subject: Re: out of paper\nPrecedence: normal\nAuto-Submitted: no");
    assert_eq!(kind, Kind::default());
    assert!(!kind.is_machine_mail());
}

#[test]
fn automatic_answers_are_told_by_their_headers() {
    for header in [
        "Auto-Submitted: auto-replied (vacation)",
        "X-Autoreply: yes",
        "X-Autorespond: Re: hello",
        "Precedence: auto_reply",
        "X-Auto-Response-Suppress: All\nSubject: Ada Low is out of the office until Monday",
        "Subject: Automatic reply: Offer",
        "Subject: Abwesenheitsnotiz: Angebot",
        "Subject: Réponse automatique : devis",
        "Subject: =?utf-8?b?6Ieq5YuV5b+c562U?=: x",
    ] {
        let kind = kind_of(header);
        assert!(kind.auto_reply && kind.automatic && !kind.list && !kind.bulk, "{header}: {kind:?}");
        assert!(kind.evidence.iter().any(|evidence| evidence.of == MailKind::AutoReply), "{header}");
    }
}

#[test]
fn a_notice_of_a_program_is_automatic_and_no_answer() {
    let kind = kind_of("Auto-Submitted: auto-generated\nX-Auto-Response-Suppress: All\nSubject: Your ticket");
    assert!(kind.automatic && !kind.auto_reply);
}

#[test]
fn an_absence_notice_that_says_bulk_is_not_bulk() {
    let kind = kind_of("Subject: Out of office: x\nPrecedence: bulk");
    assert!(kind.auto_reply && !kind.bulk);
}

#[test]
fn lists_and_newsletters_are_told_apart() {
    for header in
        ["List-Id: <a.x.example>", "List-Post: <mailto:l@x.example>", "Precedence: list", "X-BeenThere: l@x.example"]
    {
        let kind = kind_of(header);
        assert!(kind.list && !kind.bulk, "{header}");
    }
    for header in [
        "List-Unsubscribe: <https://x.example/u>",
        "Precedence: bulk",
        "Precedence: junk",
        "Feedback-ID: 1:2",
        "X-Campaign: 7",
    ] {
        let kind = kind_of(header);
        assert!(kind.bulk && !kind.list, "{header}");
    }
}

#[test]
fn evidence_names_the_header() {
    let kind = kind_of("List-Id: News <news.x.example>");
    assert_eq!(kind.evidence.len(), 1);
    assert_eq!(
        (kind.evidence[0].header.as_str(), kind.evidence[0].value.as_str()),
        ("List-Id", "News <news.x.example>")
    );
}

#[test]
fn invitations_have_a_method() {
    let with = |method: &str| {
        let raw = format!("From: a@x.example\nContent-Type: text/calendar\n\nBEGIN:VCALENDAR\n{method}BEGIN:VEVENT\n");
        kind(&parse::message(raw.as_bytes()).unwrap()).invitation
    };
    assert!(with("METHOD:REQUEST\n") && with("METHOD:CANCEL\n") && with("method:reply\n"));
    assert!(!with("METHOD:PUBLISH\n") && !with(""));
}
