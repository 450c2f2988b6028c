//! Steering a sandbox in another process: paths below `/sandbox/`, outside books, faults and validation.
//!
//! | method and path                          | what it does                                                     |
//! |------------------------------------------|------------------------------------------------------------------|
//! | `GET /sandbox/books`                     | the sums ([`Books`](crate::Books))                               |
//! | `GET /sandbox/calls`                     | the latest calls                                                 |
//! | `GET /sandbox/violations`                | departures from the services' descriptions                       |
//! | `GET /sandbox/refresh_tokens?account=`   | how many refresh tokens of a person are live                     |
//! | `POST /sandbox/expire_access_tokens`     | ends every access token                                          |
//! | `POST /sandbox/revoke_grants?account=`   | takes back everything a person granted                           |
//! | `POST /sandbox/people?account=&name=`    | gives a person an account                                        |
//! | `POST /sandbox/apps`                     | registers a client; JSON ([`AppRegistration`])                   |
//! | `POST /sandbox/consent`                  | `{"url", "decision": "grant"\|"refuse", "as"?, "untick"?: []}` → `{"url"}` |
//! | `POST /sandbox/deliver?account=&labels=` | the body, a raw message, arrives in a mailbox; labels by comma   |
//! | `POST /sandbox/file?account=&name=`      | the body becomes the named file of a mailbox: arrives if it is new or has changed |
//! | `POST /sandbox/files?account=`           | a JSON list of names: messages of other files are deleted        |
//! | `GET /sandbox/messages?account=`         | the ids of a mailbox's messages, newest first → `{"ids"}`          |
//! | `POST /sandbox/label?account=&id=&add=&remove=` | puts labels on a message and takes labels off; by comma    |
//! | `POST /sandbox/remove?account=&id=`      | deletes a message for good                                       |
//! | `POST /sandbox/generate?account=&count=&attachment_bytes=` | messages arrive whose bodies are made when read |
//! | `POST /sandbox/faults`                   | adds a [`Fault`](crate::Fault); `DELETE` forgets all             |
//! | `POST /sandbox/token_delay?milliseconds=`| holds back the token endpoint's answers                          |
//! | `POST /sandbox/rotation?on=&grace_milliseconds=` | rotates refresh tokens, or no longer                     |
//! | `POST /sandbox/token_life?seconds=`      | how long new access tokens live                                  |
//! | `POST /sandbox/rotate_keys`              | signs id tokens with a new key                                   |
//! | `POST /sandbox/jwks_outage?on=`          | makes the key endpoint unavailable                               |
//! | `POST /sandbox/save`                     | writes the state file                                            |
//!
//! What concerns one service only is Google's above, and Microsoft's below `/sandbox/microsoft/`; consent, faults and the
//! token delay are for both.
//!
//! | method and path                                  | what it does                                             |
//! |--------------------------------------------------|----------------------------------------------------------|
//! | `GET …/people`                                   | everybody with an account                                |
//! | `GET …/refresh_tokens?account=`                  | how many refresh tokens of a person are live             |
//! | `POST …/people?account=&name=&admin=`            | gives a person an account, in a tenant of the address's domain → the person |
//! | `POST …/tenants`                                 | adds a tenant; JSON ([`Tenant`](crate::microsoft::Tenant)) |
//! | `POST …/apps`                                    | registers an app; JSON ([`EntraApp`](crate::microsoft::EntraApp)) |
//! | `POST …/invite?account=&tenant=`                 | makes a person a guest of a tenant                       |
//! | `POST …/withdraw_consent?account=&client=`       | takes back what a person consented to                    |
//! | `POST …/withdraw_admin_consent?tenant=&client=`  | takes back what an administrator consented to            |
//! | `POST …/revoke_sessions?account=`                | revokes a person's sessions                              |
//! | `POST …/forget_tokens?account=&client=`          | makes a person's refresh tokens unknown                  |
//! | `POST …/expire_access_tokens`                    | ends every access token                                  |
//! | `POST …/expire_secrets?client=`                  | ends every secret of an app                              |
//! | `POST …/disable?account=&on=`                    | disables an account, or enables it                       |
//! | `POST …/conditional_access?account=`             | JSON ([`ConditionalAccess`](crate::microsoft::ConditionalAccess)); no body: nothing is held against the person |
//! | `POST …/demand_claims?account=`                  | JSON: claims that Graph demands; no body: none           |
//! | `POST …/trouble?tenant=&number=`                 | the tenant's token endpoint is unavailable (90033, 90055); no number: available |
//! | `POST …/settings?token_life_seconds=&capable_token_life_seconds=&spelling=&blocked=&challenge_answer=` | changes what is named          |
//! | `POST …/deliver?account=&folder=`                | the body, a raw message, arrives in a folder; absent: the inbox |
//! | `POST …/file?account=&name=`, `POST …/files?account=`, `GET …/messages?account=`, `POST …/remove?account=&id=`, `POST …/generate?account=&count=&attachment_bytes=` | as above |
//! | `POST …/move?account=&id=&folder=`               | moves a message to a folder                              |
//! | `POST …/mark?account=&id=&read=&flag=`           | marks a message as (un)read, flags it                    |
//! | `POST …/rotate_keys`, `POST …/jwks_outage?on=`   | as above                                                 |

mod microsoft;

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE, header::HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::{AppRegistration, Consent, Sandbox, call::ApiAnswer, form::Form};

/// What somebody does on the consent page, from afar.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Press {
    url: Url,
    decision: Decision,
    #[serde(default, rename = "as")]
    person: Option<String>,
    #[serde(default)]
    untick: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Grant,
    Refuse,
}

type Answered = Result<Value, (StatusCode, String)>;

/// Answers a steering request.
pub(crate) fn answer(sandbox: &Sandbox, request: &Request<Bytes>) -> ApiAnswer {
    let (status, body) = match handle(sandbox, request) {
        Ok(body) => (StatusCode::OK, body),
        Err((status, text)) => (status, json!({ "error": text })),
    };
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn wrong(text: impl ToString) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, text.to_string())
}

fn to_json(value: impl serde::Serialize) -> Answered {
    serde_json::to_value(value).map_err(wrong)
}

fn handle(sandbox: &Sandbox, request: &Request<Bytes>) -> Answered {
    let path = request.uri().path().trim_start_matches("/sandbox/");
    if let Some(path) = path.strip_prefix("microsoft/") {
        return microsoft::handle(sandbox, path, request);
    }
    let query = Form::query(request);
    let needed = |name: &str| query.one(name).ok_or_else(|| wrong(format!("{name} is missing")));
    let number = |name: &str| needed(name)?.parse::<u64>().map_err(wrong);
    match (request.method().as_str(), path) {
        ("GET", "books") => return to_json(sandbox.books()),
        ("GET", "calls") => return to_json(sandbox.calls()),
        ("GET", "violations") => return to_json(sandbox.violations()),
        ("GET", "refresh_tokens") => return Ok(json!({"live": sandbox.live_refresh_tokens(needed("account")?)})),
        ("POST", "expire_access_tokens") => sandbox.expire_access_tokens(),
        ("POST", "revoke_grants") => sandbox.revoke_grants(needed("account")?),
        ("POST", "people") => sandbox.register_person(needed("account")?, query.one("name").unwrap_or("Somebody")),
        ("POST", "apps") => {
            sandbox.register_app(serde_json::from_slice::<AppRegistration>(request.body()).map_err(wrong)?);
        }
        ("POST", "consent") => return press(sandbox, request.body()),
        ("POST", "deliver") => {
            let labels = query.one("labels").unwrap_or("INBOX,UNREAD");
            return deliver(sandbox, needed("account")?, labels, request.body());
        }
        ("POST", "file") => {
            let (account, name) = (needed("account")?, needed("name")?);
            sandbox.gmail().mailbox(account).put_file(name, request.body(), sandbox.now());
        }
        ("POST", "files") => {
            let names: BTreeSet<String> = serde_json::from_slice(request.body()).map_err(wrong)?;
            sandbox.gmail().mailbox(needed("account")?).keep_files(|name| names.contains(name), sandbox.now());
        }
        ("GET", "messages") => {
            return Ok(json!({"ids": sandbox.gmail().mailbox(needed("account")?).ids()}));
        }
        ("POST", "label") => {
            let (add, remove) = (words(query.one("add")), words(query.one("remove")));
            let (mailbox, id) = (sandbox.gmail().mailbox(needed("account")?), needed("id")?);
            found(mailbox.label(id, &add, &remove, sandbox.now()))?;
        }
        ("POST", "remove") => {
            let (mailbox, id) = (sandbox.gmail().mailbox(needed("account")?), needed("id")?);
            found(mailbox.remove(id, sandbox.now()))?;
        }
        ("POST", "generate") => {
            return generate(sandbox, needed("account")?, number("count")?, number("attachment_bytes")?);
        }
        ("POST", "faults") => sandbox.script(serde_json::from_slice(request.body()).map_err(wrong)?),
        ("DELETE", "faults") => sandbox.clear_faults(),
        ("POST", "token_delay") => sandbox.set_token_delay(Duration::from_millis(number("milliseconds")?)),
        ("POST", "token_life") => {
            let life = Duration::from_secs(number("seconds")?);
            sandbox.change_oauth(|settings| settings.token_life = life);
        }
        ("POST", "rotation") => {
            let grace = query.one("grace_milliseconds").unwrap_or("0").parse().map_err(wrong)?;
            let on = needed("on")? == "true";
            sandbox.change_oauth(|settings| {
                settings.rotate_refresh_tokens = on;
                settings.rotation_grace = Duration::from_millis(grace);
            });
        }
        ("POST", "rotate_keys") => sandbox.rotate_keys(),
        ("POST", "jwks_outage") => sandbox.jwks_outage(needed("on")? == "true"),
        ("POST", "save") => sandbox.save().map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?,
        _ => return Err((StatusCode::NOT_FOUND, "there is no such control".to_owned())),
    }
    Ok(json!({}))
}

fn press(sandbox: &Sandbox, body: &[u8]) -> Answered {
    let press: Press = serde_json::from_slice(body).map_err(wrong)?;
    let untick: Vec<&str> = press.untick.iter().map(String::as_str).collect();
    let consent = match (press.decision, &press.person) {
        (Decision::Refuse, _) => Consent::Refuse,
        (Decision::Grant, Some(person)) => Consent::As(person),
        (Decision::Grant, None) => Consent::Untick(&untick),
    };
    let url = sandbox.consent(&press.url, consent).map_err(wrong)?;
    Ok(json!({ "url": url }))
}

fn deliver(sandbox: &Sandbox, account: &str, labels: &str, raw: &Bytes) -> Answered {
    let id = sandbox.gmail().mailbox(account).deliver(raw.clone(), sandbox.now(), &words(Some(labels)));
    Ok(json!({ "id": id }))
}

fn words(list: Option<&str>) -> Vec<&str> {
    list.unwrap_or_default().split(',').filter(|word| !word.is_empty()).collect()
}

fn found(found: bool) -> Result<(), (StatusCode, String)> {
    found.then_some(()).ok_or_else(|| (StatusCode::NOT_FOUND, "there is no such message".to_owned()))
}

fn generate(sandbox: &Sandbox, account: &str, count: u64, bytes: u64) -> Answered {
    let bytes = usize::try_from(bytes).map_err(wrong)?;
    let ids = sandbox.gmail().mailbox(account).on_demand(count, &crate::mail::with_attachment(bytes));
    Ok(json!({ "ids": ids }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steer(sandbox: &Sandbox, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).body(Bytes::copy_from_slice(body.as_bytes()));
        let answer = answer(sandbox, &request.unwrap());
        (answer.status(), serde_json::from_slice(answer.body()).unwrap())
    }

    #[test]
    fn consent_can_be_given_from_afar() {
        let sandbox = Sandbox::google().build();
        assert_eq!(steer(&sandbox, "POST", "/sandbox/people?account=ada@example.com&name=Ada", "").0, StatusCode::OK);
        let url = format!(
            "{}?client_id=sandbox-client&redirect_uri=http://127.0.0.1:9/&response_type=code&scope=openid&state=s",
            sandbox.urls().authorisation
        );
        let body = json!({"url": url, "decision": "grant"}).to_string();
        let (status, body) = steer(&sandbox, "POST", "/sandbox/consent", &body);
        assert_eq!(status, StatusCode::OK);
        assert!(body["url"].as_str().unwrap().starts_with("http://127.0.0.1:9/?state=s&iss="));
    }

    #[test]
    fn a_mailbox_follows_files_sent_from_afar() {
        let sandbox = Sandbox::google().build();
        let put = |name: &str, text: &str| {
            assert_eq!(
                steer(&sandbox, "POST", &format!("/sandbox/file?account=ada@example.com&name={name}"), text).0,
                200
            );
        };
        put("a", "Subject: a\r\n\r\na");
        put("b", "Subject: b\r\n\r\nb");
        let first = sandbox.gmail().mailbox("ada@example.com").ids();
        put("a", "Subject: a\r\n\r\na");
        assert_eq!(sandbox.gmail().mailbox("ada@example.com").ids(), first, "the same file again changes nothing");
        assert_eq!(steer(&sandbox, "POST", "/sandbox/files?account=ada@example.com", r#"["b"]"#).0, 200);
        assert_eq!(sandbox.gmail().mailbox("ada@example.com").ids().len(), 1);
    }

    #[test]
    fn a_message_is_delivered_marked_and_removed_from_afar() {
        let sandbox = Sandbox::google().build();
        let (_, arrived) = steer(&sandbox, "POST", "/sandbox/deliver?account=ada@example.com", "Subject: one\r\n\r\n");
        let id = arrived["id"].as_str().unwrap();
        assert_eq!(steer(&sandbox, "GET", "/sandbox/messages?account=ada@example.com", "").1, json!({"ids": [id]}));
        let mark = format!("/sandbox/label?account=ada@example.com&id={id}&add=STARRED&remove=UNREAD,INBOX");
        assert_eq!(steer(&sandbox, "POST", &mark, "").0, StatusCode::OK);
        let labels = sandbox.gmail().mailbox("ada@example.com").message(id).unwrap().labels;
        assert_eq!(labels.into_iter().collect::<Vec<_>>(), ["STARRED"]);
        let remove = format!("/sandbox/remove?account=ada@example.com&id={id}");
        let twice = [(); 2].map(|()| steer(&sandbox, "POST", &remove, "").0);
        assert_eq!(twice, [StatusCode::OK, StatusCode::NOT_FOUND]);
    }

    #[test]
    fn the_other_service_is_steered_below_its_own_path() {
        let sandbox = Sandbox::google().build();
        let post = |path: &str, body: &str| steer(&sandbox, "POST", &format!("/sandbox/microsoft/{path}"), body);
        post("tenants", r#"{"id": "t", "domain": "example.com", "policy": "microsoft_managed"}"#);
        let (status, person) = post("people?account=ada@example.com&name=Ada&admin=true", "");
        assert_eq!((status, &person["tenant"], &person["admin"]), (StatusCode::OK, &json!("t"), &json!(true)));
        let app = r#"{"client_id": "c", "redirect_uris": ["https://app.example/"], "secrets": [{"value": "s"}]}"#;
        assert_eq!(post("apps", app).0, StatusCode::OK);
        assert_eq!(
            post("apps", r#"{"client_id": "c", "redirect_uris": ["http://app.example/"]}"#).0,
            StatusCode::BAD_REQUEST
        );
        let link = sandbox.microsoft_urls().admin_consent("organizations");
        let url = format!("{link}?client_id=c&redirect_uri=https://app.example/&scope=Mail.Read&state=s");
        let (_, back) =
            steer(&sandbox, "POST", "/sandbox/consent", &json!({"url": url, "decision": "grant"}).to_string());
        assert!(back["url"].as_str().unwrap().starts_with("https://app.example/?admin_consent=True&tenant=t&"));

        for path in [
            "disable?account=ada@example.com&on=true",
            "revoke_sessions?account=ada@example.com",
            "expire_secrets?client=c",
            "trouble?tenant=t&number=90033",
            "settings?spelling=full&blocked=access_denied&token_life_seconds=5",
        ] {
            assert_eq!(post(path, "").0, StatusCode::OK, "{path}");
        }
        post("demand_claims?account=ada@example.com", r#"{"access_token": {}}"#);
        post("conditional_access?account=ada@example.com", r#"{"number": 53003, "solvable": false}"#);
        let (_, people) = steer(&sandbox, "GET", "/sandbox/microsoft/people", "");
        assert_eq!((&people[0]["disabled"], &people[0]["access"]["number"]), (&json!(true), &json!(53003)));
        assert_eq!(people[0]["demanded"], json!({"access_token": {}}));
        assert_eq!(post("settings?spelling=odd", "").0, StatusCode::BAD_REQUEST);
        assert_eq!(post("nothing", "").0, StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_mailbox_of_the_other_service_follows_what_is_sent_from_afar() {
        let sandbox = Sandbox::google().build();
        let post = |path: &str, body: &str| steer(&sandbox, "POST", &format!("/sandbox/microsoft/{path}"), body);
        let ids = || steer(&sandbox, "GET", "/sandbox/microsoft/messages?account=ada@example.com", "").1["ids"].clone();
        let one = post("deliver?account=ada@example.com&folder=inbox", "Subject: one\r\n\r\n").1["id"].clone();
        assert_eq!(ids(), json!([one]));
        post("file?account=ada@example.com&name=a", "Subject: a\r\n\r\na");
        let both = ids();
        post("file?account=ada@example.com&name=a", "Subject: a\r\n\r\na");
        assert_eq!((ids(), both.as_array().unwrap().len()), (both, 2), "the same file again changes nothing");
        post("files?account=ada@example.com", "[]");
        assert_eq!(ids(), json!([one]));
        let id = one.as_str().unwrap();
        assert_eq!(post("generate?account=ada@example.com&count=2&attachment_bytes=9", "").0, StatusCode::OK);
        let moved = post(&format!("move?account=ada@example.com&id={id}&folder=archive"), "").0;
        let removed = [(); 2].map(|()| post(&format!("remove?account=ada@example.com&id={id}"), "").0);
        assert_eq!((moved, removed), (StatusCode::OK, [StatusCode::OK, StatusCode::NOT_FOUND]));
    }

    #[test]
    fn a_wrong_steering_request_says_what_is_wrong() {
        let sandbox = Sandbox::google().build();
        assert_eq!(steer(&sandbox, "POST", "/sandbox/faults", r#"{"actoin":1}"#).0, StatusCode::BAD_REQUEST);
        assert_eq!(steer(&sandbox, "POST", "/sandbox/deliver", "x").1["error"], "account is missing");
        assert_eq!(steer(&sandbox, "POST", "/sandbox/nothing", "").0, StatusCode::NOT_FOUND);
    }
}
