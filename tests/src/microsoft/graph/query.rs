//! Query options.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use url::form_urlencoded;

use super::answer::Refusal;

/// The options of a request: by name in lower case the name as it was written, and the value.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    options: BTreeMap<String, (String, String)>,
}

impl Query {
    pub(super) fn of(request: &Request<Bytes>) -> Self {
        let text = request.uri().query().unwrap_or_default();
        let pairs = form_urlencoded::parse(text.as_bytes());
        let option = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
            (name.to_lowercase(), (name.into_owned(), value.into_owned()))
        };
        Self { options: pairs.map(option).collect() }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Refuses options that the resource does not have.
    pub(super) fn only(&self, allowed: &[&str]) -> Result<(), Refusal> {
        let stranger = self.options.keys().find(|name| name.starts_with('$') && !allowed.contains(&name.as_str()));
        match stranger {
            Some(name) => Err(Refusal::bad_query(format!("The query parameter '{name}' is not supported."))),
            None => Ok(()),
        }
    }

    /// The number of an option.
    pub(super) fn number(&self, name: &str) -> Result<Option<usize>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let wrong = || Refusal::bad_query(format!("Invalid value '{text}' for {name} query option found."));
        text.parse().map(Some).map_err(|_| wrong())
    }

    /// How many items a page is to have, if the address says so.
    pub(super) fn top(&self) -> Result<usize, Refusal> {
        match self.number("$top")? {
            Some(top @ 1..=1_000) => Ok(top),
            _ => Err(Refusal::bad_query("The value of $top must be between 1 and 1000.")),
        }
    }

    /// The address of the same list from `skip` on.
    pub(super) fn next(&self, base: &str, skip: usize) -> String {
        let mut out = form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.options.values().filter(|(name, _)| !name.eq_ignore_ascii_case("$skip")) {
            out.append_pair(name, value);
        }
        out.append_pair("$skip", &skip.to_string());
        format!("{base}?{}", out.finish())
    }
}

/// The scheme and host that were asked.
pub(super) fn origin(request: &Request<Bytes>) -> String {
    let uri = request.uri();
    if let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) {
        return format!("{scheme}://{authority}");
    }
    match request.headers().get(http::header::HOST).and_then(|v| v.to_str().ok()) {
        Some(host) => format!("http://{host}"),
        None => "https://graph.microsoft.com".to_owned(),
    }
}

/// The address of the resource that was asked for, without options.
pub(super) fn base(request: &Request<Bytes>) -> String {
    format!("{}{}", origin(request), request.uri().path())
}

/// The names in a list of properties, split at commas outside brackets.
pub(super) fn names(list: &str) -> Vec<String> {
    let (mut found, mut depth, mut one) = (Vec::new(), 0_usize, String::new());
    for c in list.chars().chain([',']) {
        match c {
            ',' if depth == 0 => {
                if !one.trim().is_empty() {
                    found.push(one.trim().to_owned());
                }
                one.clear();
                continue;
            }
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        one.push(c);
    }
    found
}
