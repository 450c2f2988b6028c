//! The preferences of a request.

use bytes::Bytes;
use http::{HeaderName, Request};

use super::answer::put_header;
use crate::call::ApiAnswer;

/// What the client would like.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Prefer {
    pub(super) immutable: bool,
    pub(super) text_body: bool,
    pub(super) unsafe_html: bool,
    pub(super) max_page_size: Option<usize>,
    pub(super) body_type_given: bool,
}

impl Prefer {
    /// Reads all `Prefer` headers; what is not known is passed over.
    pub(super) fn of(request: &Request<Bytes>) -> Self {
        let mut prefer = Self::default();
        let values = request.headers().get_all("prefer").iter().filter_map(|v| v.to_str().ok());
        for one in values.flat_map(|value| value.split([',', ';'])) {
            let (name, value) = one.split_once('=').unwrap_or((one, ""));
            prefer.take(&name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
        }
        prefer
    }

    fn take(&mut self, name: &str, value: &str) {
        match name {
            "idtype" => self.immutable = value.eq_ignore_ascii_case("immutableid"),
            "outlook.allow-unsafe-html" => self.unsafe_html = true,
            "odata.maxpagesize" => self.max_page_size = value.parse().ok().filter(|n| *n > 0),
            "outlook.body-content-type" => {
                self.body_type_given = true;
                self.text_body = value.eq_ignore_ascii_case("text");
            }
            _ => {}
        }
    }

    /// How many items a page has.
    pub(super) fn page_size(&self, top: Option<usize>, usual: usize) -> usize {
        let most = self.max_page_size.unwrap_or(usize::MAX);
        top.unwrap_or(if self.max_page_size.is_some() { 1_000 } else { usual }).min(most)
    }

    /// Says which preferences were followed.
    pub(super) fn applied(&self, answer: &mut ApiAnswer) {
        let mut told = Vec::new();
        if self.immutable {
            told.push("IdType=\"ImmutableId\"".to_owned());
        }
        if self.body_type_given {
            told.push(format!("outlook.body-content-type=\"{}\"", if self.text_body { "text" } else { "html" }));
        }
        if self.unsafe_html {
            told.push("outlook.allow-unsafe-html".to_owned());
        }
        if let Some(size) = self.max_page_size {
            told.push(format!("odata.maxpagesize={size}"));
        }
        if !told.is_empty() {
            put_header(answer, HeaderName::from_static("preference-applied"), &told.join(", "));
        }
    }
}
