//! Steering the simulated Microsoft: paths below `/sandbox/microsoft/`.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Request, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Answered, found, to_json, wrong};
use crate::{
    Sandbox,
    form::Form,
    microsoft::{Blocked, ChallengeAnswer, EntraApp, EntraSettings, Spelling, Tenant, graph::Mailbox},
};

pub(super) fn handle(sandbox: &Sandbox, path: &str, request: &Request<Bytes>) -> Answered {
    match mail(sandbox, path, request)? {
        Some(answer) => Ok(answer),
        None => sign_in(sandbox, path, request),
    }
}

/// Steers a mailbox; nothing if the path is about something else.
fn mail(sandbox: &Sandbox, path: &str, request: &Request<Bytes>) -> Result<Option<Value>, (StatusCode, String)> {
    let (query, now, raw) = (Form::query(request), sandbox.now(), request.body());
    let needed = |name: &str| query.one(name).ok_or_else(|| wrong(format!("{name} is missing")));
    let mailbox = || needed("account").map(|account| sandbox.microsoft().graph().mailbox(account));
    let folder = query.one("folder").unwrap_or("inbox");
    match (request.method().as_str(), path) {
        ("GET", "messages") => return Ok(Some(json!({"ids": mailbox()?.ids()}))),
        ("POST", "deliver") => return Ok(Some(json!({"id": mailbox()?.deliver(raw.clone(), now, folder)}))),
        ("POST", "file") => mailbox()?.put_file(needed("name")?, raw, now),
        ("POST", "files") => {
            let names: BTreeSet<String> = parse(request)?;
            mailbox()?.keep_files(|name| names.contains(name), now);
        }
        ("POST", "move") => found(mailbox()?.move_message(needed("id")?, needed("folder")?, now))?,
        ("POST", "mark") => mark(&mailbox()?, needed("id")?, &query, now)?,
        ("POST", "remove") => found(mailbox()?.remove(needed("id")?))?,
        ("POST", "generate") => {
            let number = |name: &str| needed(name)?.parse::<u64>().map_err(wrong);
            let bytes = usize::try_from(number("attachment_bytes")?).map_err(wrong)?;
            let ids = mailbox()?.on_demand(number("count")?, &crate::mail::with_attachment(bytes));
            return Ok(Some(json!({ "ids": ids })));
        }
        _ => return Ok(None),
    }
    Ok(Some(json!({})))
}

/// Does what the query names: `read`, `flag`.
fn mark(mailbox: &Mailbox, id: &str, query: &Form, now: DateTime<Utc>) -> Result<(), (StatusCode, String)> {
    match query.one("read") {
        Some("true") => found(mailbox.mark_read(id, now))?,
        Some(_) => found(mailbox.mark_unread(id, now))?,
        None => {}
    }
    match query.one("flag") {
        Some(flag) => found(mailbox.flag(id, flag, now)),
        None => Ok(()),
    }
}

fn sign_in(sandbox: &Sandbox, path: &str, request: &Request<Bytes>) -> Answered {
    let microsoft = sandbox.microsoft();
    let query = Form::query(request);
    let needed = |name: &str| query.one(name).ok_or_else(|| wrong(format!("{name} is missing")));
    let is_on = |name: &str| needed(name).map(|value| value == "true");
    match (request.method().as_str(), path) {
        ("GET", "people") => return to_json(microsoft.people()),
        ("GET", "refresh_tokens") => return Ok(json!({"live": microsoft.live_refresh_tokens(needed("account")?)})),
        ("POST", "people") => return person(sandbox, needed("account")?, &query),
        ("POST", "tenants") => microsoft.register_tenant(parse::<Tenant>(request)?),
        ("POST", "apps") => microsoft.try_register_app(parse::<EntraApp>(request)?).map_err(wrong)?,
        ("POST", "invite") => microsoft.invite(needed("account")?, needed("tenant")?),
        ("POST", "withdraw_consent") => microsoft.withdraw_consent(needed("account")?, needed("client")?),
        ("POST", "withdraw_admin_consent") => microsoft.withdraw_admin_consent(needed("tenant")?, needed("client")?),
        ("POST", "revoke_sessions") => microsoft.revoke_sessions(needed("account")?),
        ("POST", "forget_tokens") => microsoft.forget_tokens(needed("account")?, needed("client")?),
        ("POST", "expire_access_tokens") => microsoft.expire_access_tokens(),
        ("POST", "expire_secrets") => {
            let now = sandbox.now();
            microsoft.change_app(needed("client")?, |app| {
                app.secrets.iter_mut().for_each(|secret| secret.expires_at = Some(now));
            });
        }
        ("POST", "disable") => {
            let on = is_on("on")?;
            microsoft.change(needed("account")?, |user| user.disabled = on);
        }
        ("POST", "conditional_access") => {
            let access = optional(request)?;
            microsoft.change(needed("account")?, |user| user.access = access);
        }
        ("POST", "demand_claims") => {
            let demanded = optional(request)?;
            microsoft.change(needed("account")?, |user| user.demanded = demanded);
        }
        ("POST", "trouble") => {
            let number = query.one("number").map(str::parse).transpose().map_err(wrong)?;
            microsoft.set_trouble(needed("tenant")?, number);
        }
        ("POST", "settings") => return settings(sandbox, &query),
        ("POST", "rotate_keys") => microsoft.rotate_keys(),
        ("POST", "jwks_outage") => microsoft.jwks_outage(is_on("on")?),
        _ => return Err((StatusCode::NOT_FOUND, "there is no such control".to_owned())),
    }
    Ok(json!({}))
}

fn parse<T: DeserializeOwned>(request: &Request<Bytes>) -> Result<T, (StatusCode, String)> {
    serde_json::from_slice(request.body()).map_err(wrong)
}

/// The body, if there is one.
fn optional<T: DeserializeOwned>(request: &Request<Bytes>) -> Result<Option<T>, (StatusCode, String)> {
    if request.body().is_empty() { Ok(None) } else { parse(request).map(Some) }
}

fn person(sandbox: &Sandbox, account: &str, query: &Form) -> Answered {
    let name = query.one("name").unwrap_or("Somebody");
    let microsoft = sandbox.microsoft();
    let is_admin = query.one("admin") == Some("true");
    to_json(if is_admin { microsoft.register_admin(account, name) } else { microsoft.register_person(account, name) })
}

/// Changes what the query names: `token_life_seconds`, `capable_token_life_seconds`, `spelling`, `blocked`, `challenge_answer`.
fn settings(sandbox: &Sandbox, query: &Form) -> Answered {
    fn word<T: DeserializeOwned>(query: &Form, name: &str) -> Result<Option<T>, (StatusCode, String)> {
        query.one(name).map(|text| serde_json::from_value(json!(text))).transpose().map_err(wrong)
    }
    let seconds = |name: &str| query.one(name).map(str::parse).transpose().map_err(wrong);
    let (life, capable) = (seconds("token_life_seconds")?, seconds("capable_token_life_seconds")?);
    let spelling = word::<Spelling>(query, "spelling")?;
    let blocked = word::<Blocked>(query, "blocked")?;
    let challenge = word::<ChallengeAnswer>(query, "challenge_answer")?;
    sandbox.microsoft().change_settings(|settings: &mut EntraSettings| {
        settings.token_life = life.map_or(settings.token_life, Duration::from_secs);
        settings.capable_token_life = capable.map_or(settings.capable_token_life, Duration::from_secs);
        settings.spelling = spelling.unwrap_or(settings.spelling);
        settings.blocked = blocked.unwrap_or(settings.blocked);
        settings.challenge_answer = challenge.unwrap_or(settings.challenge_answer);
    });
    Ok(json!({}))
}
