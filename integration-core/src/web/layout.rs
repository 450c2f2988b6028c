//! What every page has around it, and the headers that every answer has on it.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::{
    Web,
    cookies::Cookie,
    options::WebOptions,
    problem::Problem,
    request::Visit,
    strings::{Sentence, Strings, fill},
};
use crate::{
    error::{Error, ErrorKind, Remedy, Result},
    hub::Hub,
};

const STYLE: &str = include_str!("style.css");
const REFRESH: &str = include_str!("refresh.js");
/// How often the status page is loaded again where scripts do not run, in seconds.
const RELOAD: &str = "5";

/// What is the same on every page of a router.
#[derive(Debug)]
pub(super) struct Sheet {
    style: String,
    policy: HeaderValue,
    may_be_framed: bool,
}

/// A page before its surroundings.
pub(super) struct Page<'a> {
    pub(super) status: StatusCode,
    pub(super) title: String,
    pub(super) body: Markup,
    /// Which entry of the navigation it is.
    pub(super) current: &'a str,
    /// Does it show something that changes by itself?
    pub(super) live: bool,
}

impl<'a> Page<'a> {
    pub(super) fn new(title: impl Into<String>, body: Markup) -> Self {
        Self { status: StatusCode::OK, title: title.into(), body, current: "", live: false }
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(super) fn with_current(mut self, current: &'a str) -> Self {
        self.current = current;
        self
    }
}

impl Sheet {
    pub(super) fn new(options: &WebOptions, hub: &Hub) -> Result<Self> {
        let style = STYLE.replace("/* theme */", &theme(options));
        let policy = HeaderValue::from_str(&policy(options, hub, &style)).map_err(|error| {
            Error::new(ErrorKind::Misconfigured, "the pages' addresses do not fit a header").with_source(error)
        })?;
        Ok(Self { style, policy, may_be_framed: !options.embedders.is_empty() })
    }

    /// Where a form that leads to a service opens: outside of a frame, where there is one.
    pub(super) fn target(&self) -> Option<&'static str> {
        self.may_be_framed.then_some("_top")
    }

    /// Puts the rules for browsers on an answer.
    pub(super) fn harden(&self, headers: &mut HeaderMap) {
        let fixed = HeaderValue::from_static;
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
        headers.insert(header::CACHE_CONTROL, fixed("no-store"));
        headers.insert(HeaderName::from_static("cross-origin-resource-policy"), fixed("same-origin"));
        headers.insert(
            HeaderName::from_static("permissions-policy"),
            fixed("camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
        );
        // Forms of pages without any referrer are sent with an origin of "null": only the callback goes without.
        headers.entry(header::REFERRER_POLICY).or_insert(fixed("same-origin"));
        if !self.may_be_framed {
            headers.insert(header::X_FRAME_OPTIONS, fixed("DENY"));
        }
    }
}

fn theme(options: &WebOptions) -> String {
    let block = |variables: &[(String, String)]| {
        let lines: Vec<String> = variables.iter().map(|(name, value)| format!("{name}: {value};")).collect();
        format!(":root {{ {} }}", lines.join(" "))
    };
    format!(
        "{}\n@media (prefers-color-scheme: dark) {{ {} }}",
        block(&options.variables),
        block(&[options.variables.as_slice(), options.dark_variables.as_slice()].concat())
    )
}

/// Nothing is loaded from anywhere: the style and the one script are named by their hashes. Browsers hold a form's whole way
/// against `form-action`, so the services that a form leads to are in it.
fn policy(options: &WebOptions, hub: &Hub, style: &str) -> String {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let profiles = options.offers.iter().filter_map(|offer| hub.profile(&offer.app));
    let services = profiles.map(|profile| &profile.oauth.endpoints.authorisation).chain(&options.form_targets);
    let mut targets: Vec<String> = services.map(|url| url.origin().ascii_serialization()).collect();
    targets.sort();
    targets.dedup();
    let ancestors = if options.embedders.is_empty() { "'none'".to_owned() } else { options.embedders.join(" ") };
    format!(
        "default-src 'none'; base-uri 'none'; connect-src 'self'; form-action 'self' {}; frame-ancestors {ancestors}; \
         script-src {}; style-src {}",
        targets.join(" "),
        hash(REFRESH),
        hash(style)
    )
}

impl Visit {
    /// The answer with a page in it.
    pub(super) fn page(&self, page: Page<'_>) -> Response {
        let mut response = (page.status, self.web.document(self.strings(), Some(self), &page)).into_response();
        if let Some(cookie) = self.web.cookies.set(Cookie::Browser, &self.browser) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

impl Web {
    /// The page that says what went wrong, unless the answer is on its way elsewhere.
    pub(super) fn problem_page(&self, problem: &Problem, language: &str) -> Markup {
        let strings = self.options.catalogues.choose(language);
        let [title, text] = problem.told(strings);
        let again = matches!(problem, Problem::NotFound | Problem::StaleForm | Problem::TooLarge);
        let body = html! {
            section.card {
                h1 { (title) }
                p { (text) }
                @if again { p.actions { a.button href=(self.options.path("status")) { (strings.to_accounts) } } }
            }
        };
        self.document(strings, None, &Page::new(title, body))
    }

    pub(super) fn document(&self, strings: &Strings, visit: Option<&Visit>, page: &Page<'_>) -> Markup {
        html! {
            (DOCTYPE)
            html lang=(strings.language) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="robots" content="noindex";
                    title { (page.title) }
                    style { (PreEscaped(&self.sheet.style)) }
                    @if page.live { noscript { meta http-equiv="refresh" content=(RELOAD); } }
                }
                body {
                    a.skip href="#content" { (strings.skip) }
                    @if let Some(visit) = visit { (self.header(strings, visit, page.current)) }
                    main id="content" tabindex="-1" { (page.body) }
                    @if let Some((address, words)) = &self.options.home {
                        footer { a href=(address) { (words) } }
                    }
                    @if page.live { script { (PreEscaped(REFRESH)) } }
                }
            }
        }
    }

    fn header(&self, strings: &Strings, visit: &Visit, current: &str) -> Markup {
        let entries = [("status", &strings.navigation_accounts), ("connect", &strings.navigation_connect)];
        html! {
            header {
                nav aria-label=(strings.navigation) {
                    ul {
                        @for (page, words) in entries {
                            li { a href=(self.options.path(page)) aria-current=[(page == current).then_some("page")] { (words) } }
                        }
                    }
                }
                @if let Some(name) = &visit.visitor.name { p { (fill(&strings.signed_in_as, &[("name", name)])) } }
            }
        }
    }
}

/// Cause, who acts, and what to do.
pub(super) fn remedy(strings: &Strings, remedy: &Remedy) -> Markup {
    let [cause, action] = strings.remedy(remedy);
    html! {
        div.problem {
            p { (sentence(cause)) }
            p { strong { (strings.what_to_do) } " " (sentence(action)) " " span.muted { (strings.actor(remedy.actor)) } }
        }
    }
}

fn sentence(sentence: Sentence<'_>) -> Markup {
    html! { span lang=[sentence.foreign.then_some("en")] { (sentence.text) } }
}
