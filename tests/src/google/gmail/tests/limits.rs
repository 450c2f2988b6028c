use serde_json::Value;

use super::*;
use crate::google::gmail::{QuotaPreset, QuotaRefusal};

fn limited(quota: QuotaPreset) -> GmailSettings {
    GmailSettings { quota, ..GmailSettings::default() }
}

fn gets(caller: &Caller, id: &str, count: usize) -> usize {
    let answered = |_: &usize| caller.ask("GET", &format!("messages/{id}?format=minimal"), &Value::Null).0 == 200;
    (0..count).take_while(answered).count()
}

#[test]
fn new_quota_allows_three_hundred_reads_in_any_minute() {
    let mut caller = Caller::new(limited(QuotaPreset::Gmail2026));
    let id = caller.deliver(&plain("bob@example.org", "One", "a"));
    assert_eq!(gets(&caller, &id, 100), 100);
    caller.pass(59);
    assert_eq!(gets(&caller, &id, 400), 200);
    caller.pass(1);
    assert_eq!(gets(&caller, &id, 400), 100);
    let books = caller.gmail.books();
    assert_eq!((books.peak_units_per_minute, books.rejected, books.units), (6_000, 2, 8_000));
    assert_eq!(books.by_method["gmail.users.messages.get"], (402, 8_000));
}

#[test]
fn classic_quota_has_its_own_costs_and_ceiling() {
    let caller = Caller::new(limited(QuotaPreset::Classic));
    let id = caller.deliver(&plain("bob@example.org", "One", "a"));
    assert_eq!(gets(&caller, &id, 3_100), 3_000);
}

#[test]
fn calendar_minute_is_held_besides_the_sliding_one() {
    let mut caller = Caller::new(GmailSettings { calendar_minutes: true, ..limited(QuotaPreset::Gmail2026) });
    caller.pass(55);
    let id = caller.deliver(&plain("bob@example.org", "One", "a"));
    assert_eq!(gets(&caller, &id, 400), 300);
    caller.pass(5);
    assert_eq!(gets(&caller, &id, 400), 0);
    caller.pass(55);
    assert_eq!(gets(&caller, &id, 400), 300);
    caller.pass(1);
    assert_eq!(gets(&caller, &id, 1), 0);
}

#[test]
fn quota_counts_by_person_and_app() {
    let caller = Caller::new(limited(QuotaPreset::Gmail2026));
    let id = caller.deliver(&plain("bob@example.org", "One", "a"));
    assert_eq!(gets(&caller, &id, 400), 300);
    let other = Caller::of(&caller.gmail, "bob@example.org");
    other.get("profile");
    let request = Request::get("/gmail/v1/users/me/profile").body(Bytes::new()).unwrap();
    let elsewhere = ApiCall { app: "other app", ..caller.call(&request) };
    assert_eq!(caller.gmail.answer(&elsewhere).status(), 200);
}

#[test]
fn refusals_come_in_every_shape_seen_at_the_service() {
    let refusal = |refusal: QuotaRefusal| {
        let caller = Caller::new(GmailSettings { refusal, ..limited(QuotaPreset::Gmail2026) });
        let id = caller.deliver(&plain("bob@example.org", "One", "a"));
        gets(&caller, &id, 300);
        caller.ask("GET", "profile", &Value::Null)
    };
    let (status, named) = refusal(QuotaRefusal::QuotaExceeded);
    assert_eq!((status.as_u16(), &named["error"]["details"][0]["reason"]), (403, &"RATE_LIMIT_EXCEEDED".into()));
    let (status, timed) = refusal(QuotaRefusal::RetryAfter);
    let message = timed["error"]["message"].as_str().unwrap();
    assert_eq!(status, 429);
    assert!(message.ends_with("Retry after 2026-01-05T08:01:00.000Z"), "{message}");
    let (status, legacy) = refusal(QuotaRefusal::UserRateLimit);
    assert_eq!((status.as_u16(), &legacy["error"]["errors"][0]["reason"]), (403, &"userRateLimitExceeded".into()));
    assert!(legacy["error"].get("status").is_none());
}

#[test]
fn scope_that_does_not_cover_a_method_is_refused_with_its_reason() {
    let mut caller = Caller::new(GmailSettings::default());
    let id = caller.deliver(&plain("bob@example.org", "One", "a"));
    caller.scopes = scopes(&["readonly"]);
    caller.get(&format!("messages/{id}"));
    let (status, refusal) = caller.ask("POST", &format!("messages/{id}/trash"), &Value::Null);
    assert_eq!(status, 403);
    assert_eq!(refusal["error"]["errors"][0]["reason"], "insufficientPermissions");
    assert_eq!(refusal["error"]["details"][0]["reason"], "ACCESS_TOKEN_SCOPE_INSUFFICIENT");
    caller.scopes = scopes(&["modify"]);
    assert_eq!(caller.refused("DELETE", &format!("messages/{id}"), &Value::Null).0, 403);
    caller.scopes = scopes(&["send"]);
    assert_eq!(caller.refused("GET", "profile", &Value::Null).0, 403);
    assert_eq!(caller.gmail.books().rejected, 3);
}

#[test]
fn metadata_scope_narrows_what_others_allow() {
    let mut caller = Caller::new(GmailSettings::default());
    let id = caller.deliver(&plain("bob@example.org", "One", "a"));
    caller.scopes = scopes(&["metadata", "readonly"]);
    for path in [format!("messages/{id}"), format!("messages/{id}?format=raw"), "messages?q=x".to_owned()] {
        assert_eq!(caller.refused("GET", &path, &Value::Null), (403, "forbidden".into()), "{path}");
    }
    caller.get(&format!("messages/{id}?format=metadata"));
}
