//! An authorisation request, and what is wrong with it.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};
use url::Url;

use super::{
    app::EntraApp,
    errors::Refusal,
    register::Register,
    scopes::{self, Wrong},
    settings::EntraSettings,
    tenant::Segment,
};
use crate::{form::Form, google::ErrorPage};

/// Why no page is shown that a person could answer.
#[derive(Debug)]
pub(super) enum Stop {
    /// The service's own page; the app learns nothing.
    Page(ErrorPage),
    /// The browser goes back with an error.
    Redirect(Url),
}

/// The service's own page about a refusal.
pub(super) fn error_page(refusal: &Refusal) -> Stop {
    let status = if refusal.number == 90002 { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
    Stop::Page(ErrorPage { status: status.as_u16(), error: refusal.error(), message: refusal.text() })
}

/// An authorisation request that holds together.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) segment: Segment,
    pub(super) app: EntraApp,
    pub(super) redirect_text: String,
    pub(super) scopes: BTreeSet<String>,
    pub(super) prompt: BTreeSet<String>,
    pub(super) hint: Option<String>,
    pub(super) challenge: Option<(String, bool)>,
    pub(super) nonce: Option<String>,
    pub(super) claims: Value,
    back: Back,
}

/// Where the browser goes back to.
#[derive(Clone, Debug)]
pub(super) struct Back {
    pub(super) redirect: Url,
    pub(super) state: Option<String>,
    fragment: bool,
}

impl Back {
    /// The way back of a request whose app and redirect are known.
    pub(super) fn of(app: &EntraApp, query: &Form) -> Result<Self, Stop> {
        let text = query.one("redirect_uri").ok_or_else(|| error_page(&Refusal::new(900144)))?;
        let redirect = app.redirect(text).ok_or_else(|| error_page(&Refusal::new(50011)))?;
        let state = query.one("state").map(without_markup);
        Ok(Self { redirect, state, fragment: query.one("response_mode") == Some("fragment") })
    }

    /// The redirect with `pairs` and the state.
    pub(super) fn with(&self, pairs: &[(&str, &str)]) -> Url {
        let mut url = self.redirect.clone();
        let state = self.state.as_deref().map(|state| ("state", state));
        let all = pairs.iter().copied().chain(state);
        if self.fragment {
            let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish();
            url.set_fragment(Some(&text));
        } else {
            url.query_pairs_mut().extend_pairs(all);
        }
        url
    }

    /// The redirect with an error.
    pub(super) fn refused(&self, refusal: &Refusal) -> Url {
        self.with(&[("error", refusal.error()), ("error_description", &refusal.text())])
    }
}

/// The app that a request names, if it may be used on the segment.
pub(super) fn app_of<'a>(register: &'a Register, query: &Form, segment: &Segment) -> Result<&'a EntraApp, Stop> {
    let client_id = query.one("client_id").ok_or_else(|| error_page(&Refusal::new(900144)))?;
    let app = register.app(client_id).ok_or_else(|| error_page(&Refusal::new(700016)))?;
    if app.disabled {
        return Err(error_page(&Refusal::new(7000112)));
    }
    if !app.audience.allows(segment) {
        let number = if segment.tenant().is_none() { 50194 } else { 700016 };
        return Err(error_page(&Refusal::new(number)));
    }
    Ok(app)
}

impl Ask {
    pub(super) fn parse(
        register: &Register,
        settings: &EntraSettings,
        segment: &str,
        query: &str,
    ) -> Result<Self, Stop> {
        let query = Form::parse(query.as_bytes());
        let segment = register.segment(segment, settings).map_err(|refusal| error_page(&refusal))?;
        let app = app_of(register, &query, &segment)?.clone();
        let back = Back::of(&app, &query)?;
        match Self::of(segment, app, back.clone(), &query) {
            Ok(ask) => Ok(ask),
            Err(refusal) => Err(Stop::Redirect(back.refused(&refusal))),
        }
    }

    fn of(segment: Segment, app: EntraApp, back: Back, query: &Form) -> Result<Self, Refusal> {
        let needed = |name: &str| query.one(name).ok_or_else(|| Refusal::new(900144));
        if needed("response_type")? != "code"
            || !matches!(query.one("response_mode"), None | Some("query" | "fragment"))
        {
            return Err(Refusal::new(90023));
        }
        let scopes = expand(wanted(needed("scope")?)?, &app);
        let prompt: BTreeSet<String> =
            query.one("prompt").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let known = ["login", "none", "consent", "select_account"];
        let odd = prompt.iter().any(|word| !known.contains(&word.as_str())) || prompt.len() > 1;
        if odd || (prompt.contains("select_account") && query.one("login_hint").is_some()) {
            return Err(Refusal::new(90023));
        }
        Ok(Self {
            segment,
            app,
            redirect_text: needed("redirect_uri")?.to_owned(),
            scopes,
            prompt,
            hint: query.text("login_hint"),
            challenge: challenge(query)?,
            nonce: query.text("nonce"),
            claims: claims(query)?,
            back,
        })
    }

    pub(super) fn back(&self) -> &Back {
        &self.back
    }

    /// Does the client say that it can handle claims challenges?
    pub(super) fn is_capable(&self) -> bool {
        is_capable(&self.claims)
    }
}

/// The scopes in a request's list.
pub(super) fn wanted(list: &str) -> Result<BTreeSet<String>, Refusal> {
    scopes::parse(list).map_err(|wrong| match wrong {
        Wrong::Resource => Refusal::new(500011),
        Wrong::Scope => Refusal::new(70011),
    })
}

/// The scopes with what `.default` stands for.
pub(super) fn expand(mut wanted: BTreeSet<String>, app: &EntraApp) -> BTreeSet<String> {
    if wanted.remove(scopes::DEFAULT) {
        wanted.extend(app.scopes.iter().cloned());
    }
    wanted
}

fn challenge(query: &Form) -> Result<Option<(String, bool)>, Refusal> {
    let Some(challenge) = query.text("code_challenge") else { return Ok(None) };
    match query.one("code_challenge_method") {
        Some("S256") => Ok(Some((challenge, true))),
        None | Some("plain") => Ok(Some((challenge, false))),
        Some(_) => Err(Refusal::new(90023)),
    }
}

/// The claims that a request asks for; an empty object if none.
pub(super) fn claims(query: &Form) -> Result<Value, Refusal> {
    let Some(text) = query.one("claims") else { return Ok(json!({})) };
    serde_json::from_str(text).ok().filter(Value::is_object).ok_or_else(|| Refusal::new(90023))
}

/// Do the claims say that the client can handle challenges (`cp1`)?
pub(super) fn is_capable(claims: &Value) -> bool {
    let values = claims["access_token"]["xms_cc"]["values"].as_array();
    values.is_some_and(|values| values.iter().any(|value| value == "cp1"))
}

/// Are all claims of `demanded` among those that were asked for?
pub(super) fn satisfies(asked: &Value, demanded: &Value) -> bool {
    match (asked, demanded) {
        (Value::Object(asked), Value::Object(demanded)) => {
            demanded.iter().all(|(name, value)| asked.get(name).is_some_and(|asked| satisfies(asked, value)))
        }
        (asked, demanded) => asked == demanded,
    }
}

/// The service strips markup from the state.
fn without_markup(state: &str) -> String {
    let mut kept = String::new();
    let mut rest = state;
    while let Some((before, tag)) = rest.split_once('<') {
        let Some((_, after)) = tag.split_once('>') else { break };
        kept.push_str(before);
        rest = after;
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_stripped_from_a_state() {
        assert_eq!(without_markup("a<b>c</b>d"), "acd");
        assert_eq!(without_markup("1<2"), "1<2");
    }

    #[test]
    fn demanded_claims_are_satisfied_by_at_least_the_same() {
        let demanded = json!({"access_token": {"acrs": {"essential": true, "value": "c1"}}});
        let mut asked = demanded.clone();
        asked["access_token"]["xms_cc"] = json!({"values": ["cp1"]});
        assert!(satisfies(&asked, &demanded) && is_capable(&asked));
        assert!(!satisfies(&demanded, &asked) && !is_capable(&demanded));
        assert!(satisfies(&json!({}), &json!({})));
    }
}
