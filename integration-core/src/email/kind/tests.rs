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
    for header in ["List-Unsubscribe: <https://x.example/u>", "Precedence: bulk", "Precedence: junk", "X-Campaign: 7"] {
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

#[test]
fn what_a_delivery_service_puts_on_all_mail_says_nothing() {
    for header in [
        "Subject: Invoice 17\nFeedback-ID: ::1.us-east-1.x=:Mail",
        "X-SG-EID: abc",
        "X-Mailgun-Sid: abc",
        "X-Mandrill-User: 7",
        "X-Report-Abuse: see https://x.example",
        "X-Mailer: SendGrid",
        "List-Unsubscribe:",
        "List-Unsubscribe:  \nPrecedence: ",
    ] {
        assert_eq!(kind_of(header), Kind::default(), "{header}");
    }
}

#[test]
fn an_answer_is_not_bulk_and_still_may_come_over_a_list() {
    let answer = "In-Reply-To: <1@own.example>\nSubject: Re: Offer\n";
    for header in ["X-Campaign: 7", "List-Unsubscribe: <https://x.example/u>", "Precedence: bulk", "X-Mailer: phpList"]
    {
        assert!(!kind_of(&format!("{answer}{header}")).bulk, "{header}");
        assert!(kind_of(header).bulk, "{header}");
    }
    assert!(kind_of(&format!("{answer}List-Id: <l.x.example>")).list);
}

fn automatic(subject: &str, text: &str) -> bool {
    let raw = format!("From: a@x.example\nSubject: {subject}\nContent-Type: text/plain; charset=utf-8\n\n{text}\n");
    kind(&parse::message(raw.as_bytes()).unwrap()).automatic
}

#[test]
fn people_begin_subjects_like_absence_notices_too() {
    for subject in [
        "OOO: planning for summer",
        "Auto: Werkstatttermin am Montag",
        "Abwesenheit: Vertretung für KW 12?",
        "Out of office next week - who covers?",
        "Automatic reply settings broken",
        "Frånvaro: formulär",
    ] {
        assert!(!automatic(subject, "Can somebody have a look?"), "{subject}");
    }
    assert!(!automatic("Abwesenheit: Vertretung für KW 12?", "Ich bin dann im Urlaub."));
}

#[test]
fn an_absence_notice_without_a_header_says_that_somebody_is_away() {
    for (subject, text) in [
        ("Frånvaro: Offert", "Jag är inte på kontoret, tillbaka på måndag."),
        ("Poissa: Tarjous", "Olen lomalla 1.8. asti."),
        ("Nieobecność: Oferta", "Jestem na urlopie do 5 maja."),
        ("Não estou no escritório", "Não estou no escritório até segunda-feira."),
        ("Отсутствие: Предложение", "Я в отпуске до понедельника."),
        ("Abwesenheit: Angebot", "Ich bin bis Montag nicht im Büro."),
        ("OOO: Offer", "I am out of the office until Monday."),
    ] {
        assert!(automatic(subject, text), "{subject}");
    }
    assert!(automatic("Out of Office AutoReply: Offer", "Back on Monday.") && automatic("Out of office", "x"));
}

#[test]
fn a_bounce_is_automatic_whether_it_says_so_or_not() {
    for header in ["", "Auto-Submitted: auto-replied\n"] {
        let raw = format!(
            "Return-Path: <>\nFrom: MAILER-DAEMON@x.example\n{header}Subject: failure notice\n\n<b@y.example>:\n550 no such user\n"
        );
        let kind = kind(&parse::message(raw.as_bytes()).unwrap());
        assert!(kind.bounce && kind.automatic && kind.auto_reply != header.is_empty(), "{header}");
    }
}
