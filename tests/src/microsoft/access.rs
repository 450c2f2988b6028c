//! The service as the frame sees it: whom tokens stand for, what Graph demands of them, and who answers.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use http::{Method, Request, StatusCode, header::WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::{
    Endpoint, Microsoft,
    ask::satisfies,
    consent::{logout, newer_session},
    graph::{self, Graph},
    oidc,
    register::{AccessToken, Grant},
    sign_in,
};
use crate::{
    answers::{json as answer, with_header},
    call::{ApiAnswer, ApiCall},
    exchange::{Arrived, Service},
    form::{self, Form},
};

/// Where a client may learn to sign in, as challenges say.
const AUTHORITY: &str = "authorization_uri=\"https://login.microsoftonline.com/common/oauth2/v2.0/authorize\"";

/// The holder of a good access token.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    token: AccessToken,
    /// Claims that its tokens have to bring, and this one does not.
    missing: Option<Value>,
    /// The mailbox that the call is about: the caller's own unless the path names another.
    mailbox: String,
    /// Does the path name somebody of another tenant than the token's?
    elsewhere: bool,
}

impl Caller {
    fn grant(&self) -> &Grant {
        &self.token.grant
    }

    fn call<'a>(&'a self, request: &'a Request<Bytes>, now: DateTime<Utc>) -> ApiCall<'a> {
        let grant = self.grant();
        ApiCall { account: &grant.mail, app: &grant.client_id, scopes: &grant.scopes, now, request }
    }
}

impl Service for Microsoft {
    const NAME: &'static str = "microsoft";
    type Caller = Caller;
    type Held = graph::InFlight;

    fn caller(&self, request: &Request<Bytes>, now: DateTime<Utc>) -> Option<Caller> {
        let register = self.register();
        let token = register.access(form::bearer(request)?, now)?.clone();
        let user = register.user(&token.grant.mail);
        let missing = user.filter(|_| token.grant.capable).and_then(|user| {
            if user.disabled || user.sessions_from > token.issued_at {
                return Some(newer_session(user.sessions_from.max(token.issued_at)));
            }
            user.demanded.clone().filter(|demanded| !satisfies(&token.grant.claims, demanded))
        });
        let named = named_user(request.uri().path()).and_then(|name| register.user(&name));
        let elsewhere = named.is_some_and(|user| user.tenant != token.grant.tenant);
        let mailbox = named.map_or_else(|| token.grant.mail.clone(), |user| user.mail.clone());
        Some(Caller { token, missing, mailbox, elsewhere })
    }

    fn account<'a>(&self, caller: &'a Caller) -> &'a str {
        &caller.mailbox
    }

    fn is_mail(&self, path: &str) -> bool {
        Graph::is_mail(path) && directory_user(path).is_none()
    }

    fn is_token_endpoint(&self, path: &str) -> bool {
        sign_in(path).is_some_and(|(endpoint, _)| endpoint == Endpoint::Token)
    }

    fn enter(&self, caller: &Caller, request: &Request<Bytes>) -> Option<graph::InFlight> {
        let place = self.graph.place(&caller.call(request, self.now()));
        self.graph.enter(&place, self.graph.slots(request))
    }

    fn answer(&self, request: &Request<Bytes>, arrived: &Arrived<'_, Self>) -> ApiAnswer {
        let path = request.uri().path();
        let reading = *request.method() == Method::GET;
        match sign_in(path) {
            Some((Endpoint::Authorise, segment)) => self.authorise(segment, request),
            Some((Endpoint::Token, segment)) => self.token(segment, request, arrived.origin),
            Some((Endpoint::AdminConsent, segment)) => self.admin_consent(segment, request),
            Some((Endpoint::Discovery, segment)) if reading => self.discovery(segment, arrived.origin),
            Some((Endpoint::Keys, _)) if reading => self.jwks(),
            Some((Endpoint::Logout, _)) => logout(request),
            Some(_) => oidc::nowhere(),
            None if Graph::is_upload(path) => self.graph.answer_upload(request, arrived.now),
            None if path == "/oidc/userinfo" => self.userinfo(arrived.caller.map(Caller::grant)),
            None => self.answer_graph(request, arrived),
        }
    }
}

impl Microsoft {
    fn answer_graph(&self, request: &Request<Bytes>, arrived: &Arrived<'_, Self>) -> ApiAnswer {
        let Some(caller) = arrived.caller else {
            return self.invalid_token("Lifetime validation failed, the token is expired or unknown.");
        };
        if let Some(claims) = &caller.missing {
            return self.challenge(claims);
        }
        if let Some(name) = directory_user(request.uri().path()) {
            return self.directory(request, caller.grant(), &name);
        }
        if !Graph::is_mail(request.uri().path()) {
            return self.graph_error(
                StatusCode::NOT_IMPLEMENTED,
                "NotImplemented",
                "The sandbox does not imitate this.",
            );
        }
        if caller.elsewhere {
            let text = "The requested user is invalid.";
            return self.graph_error(StatusCode::NOT_FOUND, "ErrorInvalidUser", text);
        }
        let call = caller.call(request, arrived.now);
        match arrived.held {
            Some(held) => self.graph.answer_holding(&call, held),
            None => self.graph.too_many_concurrent(&call),
        }
    }

    /// The directory's entry of one person; `me` is the caller.
    fn directory(&self, request: &Request<Bytes>, grant: &Grant, name: &str) -> ApiAnswer {
        let me = name == "me";
        if *request.method() != Method::GET {
            return self.graph_error(StatusCode::METHOD_NOT_ALLOWED, "Request_BadRequest", "Only GET is imitated.");
        }
        if me && grant.is_app_only() {
            let text = "/me request is only valid with delegated authentication flow.";
            return self.graph_error(StatusCode::BAD_REQUEST, "BadRequest", text);
        }
        let register = self.register();
        let user = register.user(if me { &grant.mail } else { name });
        let own = user.is_some_and(|user| user.mail == grant.mail);
        let enough = if own { &["User.Read", "User.Read.All"][..] } else { &["User.Read.All", "User.ReadBasic.All"] };
        if !enough.iter().any(|scope| grant.scopes.contains(*scope)) {
            let text = "Insufficient privileges to complete the operation.";
            return self.graph_error(StatusCode::FORBIDDEN, "Authorization_RequestDenied", text);
        }
        let here = user.filter(|user| user.tenant == grant.tenant || user.guest_of.contains(&grant.tenant));
        match here {
            Some(user) => answer(StatusCode::OK, &selected(oidc::person(user, &grant.tenant), request)),
            None => {
                let text = "Resource does not exist or one of its queried reference-property objects are not present.";
                self.graph_error(StatusCode::NOT_FOUND, "Request_ResourceNotFound", text)
            }
        }
    }

    /// The answer to a missing, unknown or expired access token.
    pub(super) fn invalid_token(&self, message: &str) -> ApiAnswer {
        let answer = self.graph_error(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", message);
        with_header(answer, WWW_AUTHENTICATE, &format!("Bearer realm=\"\", {AUTHORITY}"))
    }

    /// The answer to a good token that lacks claims. Beside the challenge that matters stands one that does not.
    fn challenge(&self, claims: &Value) -> ApiAnswer {
        let text = "Continuous access evaluation resulted in challenge.";
        let answer = self.graph_error(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", text);
        let answer = with_header(answer, WWW_AUTHENTICATE, "Bearer realm=\"\"");
        let claims = STANDARD.encode(claims.to_string());
        let challenge = format!("Bearer realm=\"\", {AUTHORITY}, error=\"insufficient_claims\", claims=\"{claims}\"");
        with_header(answer, WWW_AUTHENTICATE, &challenge)
    }

    fn graph_error(&self, status: StatusCode, code: &str, message: &str) -> ApiAnswer {
        let date = self.now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let ids = json!({"date": date, "request-id": self.guid(), "client-request-id": self.guid()});
        answer(status, &json!({"error": {"code": code, "message": message, "innerError": ids}}))
    }
}

/// What `$select` leaves of a resource.
fn selected(mut resource: Value, request: &Request<Bytes>) -> Value {
    if let (Some(names), Some(fields)) = (Form::query(request).one("$select"), resource.as_object_mut()) {
        fields.retain(|field, _| names.split(',').any(|name| name.trim().eq_ignore_ascii_case(field)));
    }
    resource["@odata.context"] = "https://graph.microsoft.com/v1.0/$metadata#users/$entity".into();
    resource
}

/// Whom a path asks the directory about: `me`, or somebody by id or name.
fn directory_user(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/v1.0/")?;
    if rest == "me" { Some(rest.to_owned()) } else { named_user(path).filter(|_| rest.matches('/').count() == 1) }
}

/// The person whose mailbox a path names.
fn named_user(path: &str) -> Option<String> {
    let name = path.strip_prefix("/v1.0/users/")?.split('/').next()?;
    let decoded = form::decode(name);
    (!decoded.is_empty()).then_some(decoded)
}
