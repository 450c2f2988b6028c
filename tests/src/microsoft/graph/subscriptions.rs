//! Subscriptions as records: agreed upon, made, renewed and ended, but nothing is delivered.

use bytes::Bytes;
use chrono::DateTime;
use http::{Request, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::Context;
use super::answer::{Answered, Refusal, empty, json, ok};
use super::ids::guid;
use super::message::member;
use super::methods::Op;
use super::render::instant;
use super::state::State;

const MINUTE_MS: i64 = 60_000;
const SHORTEST_MS: i64 = 45 * MINUTE_MS;
const LONGEST_MS: i64 = 10_080 * MINUTE_MS;
const LONGEST_RICH_MS: i64 = 1_440 * MINUTE_MS;
const MOST_OF_A_MAILBOX: usize = 1_000;

/// One subscription.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Subscription {
    /// Its id.
    pub id: String,
    /// The app that made it.
    pub app: String,
    /// Mailbox of the person for whom it was made; empty for an app without one.
    pub account: String,
    /// What is watched, as it was given.
    pub resource: String,
    /// Kinds of changes, separated by commas.
    pub change_type: String,
    /// Where notifications would go.
    pub notification_url: String,
    /// Where events of the subscription itself would go.
    pub lifecycle_url: Option<String>,
    /// What notifications would say to prove where they come from.
    pub client_state: Option<String>,
    /// Whether notifications would carry what changed.
    pub rich: bool,
    /// Whether ids in notifications would stay when messages move.
    pub immutable_ids: bool,
    /// When it ends, in milliseconds since 1970.
    pub ends_ms: i64,
}

impl Subscription {
    fn shown(&self) -> Value {
        json!({
            "id": self.id,
            "applicationId": self.app,
            "resource": self.resource,
            "changeType": self.change_type,
            "notificationUrl": self.notification_url,
            "lifecycleNotificationUrl": self.lifecycle_url,
            "clientState": Value::Null,
            "includeResourceData": self.rich,
            "latestSupportedTlsVersion": "v1_2",
            "creatorId": guid(&self.account),
            "expirationDateTime": instant(self.ends_ms),
        })
    }
}

/// Answers a call about subscriptions.
pub(super) fn answer(state: &mut State, context: &Context<'_>) -> Answered {
    let now_ms = context.now_ms;
    state.subscriptions.retain(|_, one| one.ends_ms > now_ms);
    let own = |one: &Subscription| one.app == context.call.app && one.account == context.call.account;
    let id = &context.route.id;
    match context.route.op {
        Op::SubscriptionsCreate => return create(state, context),
        Op::SubscriptionsList => {
            let value: Vec<Value> = state.subscriptions.values().filter(|s| own(s)).map(Subscription::shown).collect();
            return Ok(ok(&json!({"@odata.context": context.odata_context("subscriptions"), "value": value})));
        }
        _ => {}
    }
    let missing = || Refusal::new(404, "ResourceNotFound", format!("The object was not found. Id: {id}"));
    let subscription = state.subscriptions.get_mut(id).filter(|s| own(s)).ok_or_else(missing)?;
    match context.route.op {
        Op::SubscriptionsUpdate => {
            let body = context.json()?;
            if let Some(ends) = member(&body, "expirationDateTime") {
                subscription.ends_ms = end(ends, subscription.rich, now_ms)?;
            }
            if let Some(url) = member(&body, "notificationUrl").and_then(Value::as_str) {
                subscription.notification_url = secure(url)?;
            }
            Ok(ok(&subscription.shown()))
        }
        Op::SubscriptionsDelete => {
            state.subscriptions.remove(id);
            Ok(empty(StatusCode::NO_CONTENT))
        }
        Op::SubscriptionsReauthorise => Ok(empty(StatusCode::NO_CONTENT)),
        _ => Ok(ok(&subscription.shown())),
    }
}

/// Asks at the addresses of a call whether they want notifications, as long as the call is not answered.
pub(super) fn agree(context: &Context<'_>) -> Result<(), Refusal> {
    let Some(endpoint) = &context.settings.endpoint else { return Ok(()) };
    let body = context.json()?;
    for name in ["notificationUrl", "lifecycleNotificationUrl"] {
        let Some(url) = member(&body, name).and_then(Value::as_str) else { continue };
        let token = format!("Validation: Testing client application reachability for subscription {}", guid(url));
        let wrong = || Refusal::new(400, "ValidationError", "The notification URL is not valid.");
        let mut asked = Url::parse(&secure(url)?).map_err(|_| wrong())?;
        asked.query_pairs_mut().append_pair("validationToken", &token);
        let request = Request::post(asked.as_str()).header(CONTENT_TYPE, "text/plain; charset=utf-8");
        let answer = endpoint(request.body(Bytes::new()).map_err(|_| wrong())?);
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let agreed = answer.status() == StatusCode::OK && kind.starts_with("text/plain") && *answer.body() == token;
        if !agreed {
            let message = format!("Subscription validation request failed: {} {kind}.", answer.status());
            return Err(Refusal::new(400, "ValidationError", message));
        }
    }
    Ok(())
}

fn create(state: &mut State, context: &Context<'_>) -> Answered {
    let body = context.json()?;
    let text = |name: &str| member(&body, name).and_then(Value::as_str).map(str::to_owned);
    let need =
        |name: &str| text(name).ok_or_else(|| Refusal::new(400, "ValidationError", format!("{name} is required.")));
    let resource = need("resource")?;
    let mailbox = watched(&resource, state, context)?;
    let rich = member(&body, "includeResourceData").and_then(Value::as_bool).unwrap_or_default();
    if rich && !resource.to_ascii_lowercase().contains("$select=") {
        return Err(invalid("Resource data needs $select in the resource."));
    }
    let change_type = need("changeType")?;
    if !change_type.split(',').all(|t| ["created", "updated", "deleted"].contains(&t.trim())) {
        return Err(invalid("The change type is not supported."));
    }
    let client_state = text("clientState");
    if client_state.as_ref().is_some_and(|state| state.chars().count() > 128) {
        return Err(invalid("clientState is longer than 128 characters."));
    }
    let ends = member(&body, "expirationDateTime").ok_or_else(|| invalid("expirationDateTime is required."))?;
    let ends_ms = end(ends, rich, context.now_ms)?;
    if state.subscriptions.values().filter(|s| s.account == mailbox).count() >= MOST_OF_A_MAILBOX {
        return Err(Refusal::new(403, "ExtensionError", "The mailbox has too many subscriptions."));
    }
    let number = state.next();
    let subscription = Subscription {
        id: guid(&format!("subscription {number}")),
        app: context.call.app.to_owned(),
        account: context.call.account.to_owned(),
        resource,
        change_type,
        notification_url: secure(&need("notificationUrl")?)?,
        lifecycle_url: text("lifecycleNotificationUrl").map(|url| secure(&url)).transpose()?,
        client_state,
        rich,
        immutable_ids: context.prefer.immutable,
        ends_ms,
    };
    let shown = subscription.shown();
    state.subscriptions.insert(subscription.id.clone(), subscription);
    Ok(json(StatusCode::CREATED, &shown))
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, "InvalidRequest", message)
}

/// The mailbox of a resource; of other people's only apps without a person may be told.
fn watched(resource: &str, state: &State, context: &Context<'_>) -> Result<String, Refusal> {
    let path = resource.trim_start_matches('/');
    let (first, rest) = path.split_once('/').ok_or_else(|| invalid("The resource is not supported."))?;
    let lower = rest.to_ascii_lowercase();
    if first.eq_ignore_ascii_case("me") && !context.call.account.is_empty() {
        let mail = lower.starts_with("messages") || lower.starts_with("mailfolders");
        return if mail { Ok(context.mailbox.clone()) } else { Err(invalid("The resource is not supported.")) };
    }
    let who = rest.split('/').next().unwrap_or_default();
    let user = state.find_user(who).filter(|_| first.eq_ignore_ascii_case("users"));
    let user = user.ok_or_else(|| invalid("The resource is not supported."))?;
    let allowed = context.call.account.is_empty() || user.address == context.call.account;
    if allowed { Ok(user.address.clone()) } else { Err(Refusal::access_denied()) }
}

fn secure(url: &str) -> Result<String, Refusal> {
    if url.starts_with("https://") { Ok(url.to_owned()) } else { Err(invalid("The notification URL must be https.")) }
}

fn end(value: &Value, rich: bool, now_ms: i64) -> Result<i64, Refusal> {
    let ends = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let ends_ms = ends.ok_or_else(|| invalid("expirationDateTime is malformed."))?.timestamp_millis();
    let longest = if rich { LONGEST_RICH_MS } else { LONGEST_MS };
    if ends_ms > now_ms + longest {
        let message = format!("Subscription expiration can only be {} minutes in the future.", longest / MINUTE_MS);
        return Err(Refusal::new(400, "ExtensionError", message));
    }
    if ends_ms <= now_ms {
        return Err(invalid("expirationDateTime lies in the past."));
    }
    Ok(ends_ms.max(now_ms + SHORTEST_MS))
}
