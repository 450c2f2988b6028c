use std::sync::{Arc, Mutex};

use super::*;
use crate::mime;

fn batch(calls: &[(&str, &str)]) -> Request<Bytes> {
    let part = |(id, call): &(&str, &str)| {
        format!("--b\r\nContent-Type: application/http\r\nContent-ID: <{id}>\r\n\r\n{call}\r\n")
    };
    let body: String = calls.iter().map(part).collect::<String>() + "--b--\r\n";
    let request = Request::post("/batch/gmail/v1").header("content-type", "multipart/mixed; boundary=\"b\"");
    request.header("authorization", "Bearer outer").body(Bytes::from(body)).unwrap()
}

/// Content id, status and body of each part.
fn answers(answer: &ApiAnswer) -> Vec<(String, u16, String)> {
    assert_eq!(answer.status(), 200, "{answer:?}");
    let content_type = mime::parse_parametrised(answer.headers()["content-type"].to_str().unwrap());
    let parts = mime::split(answer.body(), content_type.params["boundary"].as_bytes(), 1000);
    let read = |part: &Bytes| {
        let (headers, start) = mime::parse_headers(part);
        let id = headers.iter().find(|h| h.name == "Content-ID").map(|h| h.raw.clone()).unwrap_or_default();
        let text = String::from_utf8(part[start..].to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (id, head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    };
    parts.iter().map(read).collect()
}

#[test]
fn each_call_has_its_own_status_and_is_found_by_content_id() {
    let caller = Caller::new(GmailSettings { shuffle: Some(7), ..GmailSettings::default() });
    let id = caller.deliver(&plain("bob@example.org", "One", "a"));
    let get = format!("GET /gmail/v1/users/me/messages/{id}?format=minimal HTTP/1.1\r\nAccept: */*\r\n");
    let modify = format!(
        "POST /gmail/v1/users/me/messages/{id}/modify\r\nContent-Type: application/json\r\nContent-Length: 29\r\n\r\n\
         {{\"removeLabelIds\":[\"UNREAD\"]}}\r\n"
    );
    let delete = "DELETE /gmail/v1/users/me/labels/INBOX HTTP/1.1\r\n\r\n";
    let calls =
        [("a", get.as_str()), ("b", &modify), ("c", "GET /gmail/v1/users/me/messages/19000000000000ff"), ("d", delete)];
    let mut found = answers(&caller.request(&batch(&calls)));
    found.sort();
    let statuses: Vec<_> = found.iter().map(|(id, status, _)| (id.as_str(), *status)).collect();
    assert_eq!(statuses, [("<response-a>", 200), ("<response-b>", 200), ("<response-c>", 404), ("<response-d>", 400)]);
    assert!(found[1].2.contains("\"INBOX\"") && !found[1].2.contains("UNREAD"), "{}", found[1].2);
    let books = caller.gmail.books();
    assert_eq!((books.batches, books.inner_calls, books.requests), (1, 4, 4));
}

#[test]
fn empty_answer_stays_empty_inside_a_batch() {
    let caller = Caller::new(GmailSettings::default());
    let found = answers(&caller.request(&batch(&[("a", "POST /gmail/v1/users/me/stop HTTP/1.1\r\n\r\n")])));
    assert_eq!((found[0].1, found[0].2.trim()), (204, ""));
}

#[test]
fn hosts_uploads_and_other_apis_have_no_place_in_a_batch() {
    let caller = Caller::new(GmailSettings::default());
    let calls = [
        ("a", "GET https://gmail.googleapis.com/gmail/v1/users/me/profile HTTP/1.1"),
        ("b", "POST /upload/gmail/v1/users/me/messages/send?uploadType=media HTTP/1.1"),
        ("c", "GET /calendar/v3/users/me/calendarList HTTP/1.1"),
        ("d", "POST /batch/gmail/v1 HTTP/1.1"),
        ("e", "nonsense"),
    ];
    let found = answers(&caller.request(&batch(&calls)));
    assert_eq!(found.iter().map(|(_, status, _)| *status).collect::<Vec<_>>(), [400; 5]);
}

#[test]
fn empty_oversized_and_undivided_batches_are_refused_whole() {
    let caller = Caller::new(GmailSettings::default());
    let many = [("x", "GET /gmail/v1/users/me/profile"); 101];
    for (request, want) in [(batch(&many[..100]), 200), (batch(&many), 400), (batch(&[]), 400)] {
        assert_eq!(caller.request(&request).status(), want);
    }
    let undivided = Request::post("/batch/gmail/v1").body(Bytes::new()).unwrap();
    assert_eq!(caller.request(&undivided).status(), 400);
}

#[test]
fn calls_above_the_places_free_are_told_so_and_cost_nothing() {
    let caller = Caller::new(GmailSettings { concurrency: Some(3), ..GmailSettings::default() });
    let request = batch(&[("x", "GET /gmail/v1/users/me/profile"); 5]);
    let busy = caller.gmail.enter(ANN, 1).unwrap();
    let held = caller.gmail.enter(ANN, caller.gmail.slots(&request)).unwrap();
    assert_eq!(held.granted(), 2);
    assert!(caller.gmail.enter(ANN, 1).is_none());
    let found = answers(&caller.gmail.answer_holding(&caller.call(&request), &held));
    assert_eq!(found.iter().filter(|(_, status, _)| *status == 429).count(), 3);
    assert!(found[4].2.contains("Too many concurrent requests for user"));
    assert_eq!(caller.gmail.books().units, 2);
    drop((held, busy));
    assert_eq!(caller.gmail.enter(ANN, 9).unwrap().granted(), 3);
}

#[test]
fn every_inner_call_is_validated() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let validate: crate::google::gmail::Validator = Arc::new(move |request, answer| {
        log.lock().unwrap().push((request.uri().to_string(), answer.status().as_u16()))
    });
    let caller = Caller::new(GmailSettings { validate: Some(validate), ..GmailSettings::default() });
    caller.request(&batch(&[("a", "GET /gmail/v1/users/me/profile"), ("b", "GET /gmail/v1/users/me/nothing")]));
    let want = [("/gmail/v1/users/me/profile".to_owned(), 200), ("/gmail/v1/users/me/nothing".to_owned(), 404)];
    assert_eq!(*seen.lock().unwrap(), want);
}

#[test]
fn part_may_bring_another_persons_token() {
    let resolve = |token: &str| {
        (token == "bob").then(|| crate::google::gmail::Bearer {
            account: "bob@example.org".into(),
            app: "app".into(),
            scopes: scopes(&["readonly"]),
        })
    };
    let caller = Caller::new(GmailSettings { bearer: Some(Arc::new(resolve)), ..GmailSettings::default() });
    let own = "GET /gmail/v1/users/me/profile HTTP/1.1\r\nAuthorization: Bearer bob\r\n\r\n";
    let wrong = "GET /gmail/v1/users/me/profile HTTP/1.1\r\nAuthorization: Bearer eve\r\n\r\n";
    let found = answers(&caller.request(&batch(&[("a", own), ("b", wrong)])));
    assert!(found[0].2.contains("bob@example.org"), "{}", found[0].2);
    assert_eq!(found[1].1, 401);
}
