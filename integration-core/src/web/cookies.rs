//! The two cookies of the pages, and how they are kept to this site and this browser.

use axum::http::{HeaderMap, HeaderValue, header};

/// Every value of ours is 32 random bytes in URL-safe base64.
const LENGTH: usize = 43;

/// Names and attributes. Over HTTPS the names begin with `__Host-`: no other host, and nobody on plain HTTP, can set them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cookies {
    secure: bool,
}

/// Which cookie.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cookie {
    /// Ties a sign-in to the browser that began it.
    Binding,
    /// Ties forms to the browser that they were shown in.
    Browser,
}

impl Cookies {
    pub(super) fn new(secure: bool) -> Self {
        Self { secure }
    }

    fn name(self, cookie: Cookie) -> &'static str {
        match (cookie, self.secure) {
            (Cookie::Binding, true) => "__Host-integration_binding",
            (Cookie::Binding, false) => "integration_binding",
            (Cookie::Browser, true) => "__Host-integration_browser",
            (Cookie::Browser, false) => "integration_browser",
        }
    }

    /// The cookie's value, if it can be one of ours.
    pub(super) fn read(self, headers: &HeaderMap, cookie: Cookie) -> Option<String> {
        let texts = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == self.name(cookie))?;
        is_ours(value).then(|| value.to_owned())
    }

    /// The header that sets it, for as long as the browser runs. `None` if it is no value of ours.
    pub(super) fn set(self, cookie: Cookie, value: &str) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}", self.name(cookie));
        is_ours(value).then(|| HeaderValue::from_str(&text).ok()).flatten()
    }
}

fn is_ours(value: &str) -> bool {
    value.len() == LENGTH && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM-_01";

    fn sent(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(text).unwrap())])
    }

    #[test]
    fn a_cookie_comes_back_as_it_was_set() {
        for cookies in [Cookies::new(true), Cookies::new(false)] {
            let set = cookies.set(Cookie::Browser, VALUE).unwrap();
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            assert_eq!(cookies.read(&sent(&format!("a=b; {pair}; c")), Cookie::Browser).as_deref(), Some(VALUE));
            assert_eq!(cookies.read(&sent(pair), Cookie::Binding), None);
        }
    }

    #[test]
    fn over_https_a_cookie_is_secure_and_bound_to_its_host() {
        let set = Cookies::new(true).set(Cookie::Binding, VALUE).unwrap();
        let set = set.to_str().unwrap();
        assert!(set.starts_with("__Host-") && set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{set}");
    }

    #[test]
    fn what_cannot_be_ours_is_no_cookie() {
        let cookies = Cookies::new(false);
        for text in ["integration_browser=", "integration_browser=short", "integration_browser", ";;;="] {
            assert_eq!(cookies.read(&sent(text), Cookie::Browser), None);
        }
        assert_eq!(cookies.set(Cookie::Browser, "x; Domain=evil.example"), None);
    }
}
