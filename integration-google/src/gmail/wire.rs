//! What Gmail answers. Every field may be missing; numbers may be texts.

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;

/// 64-bit numbers come as decimal texts; anything else counts as absent.
fn number<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: std::str::FromStr + Deserialize<'de>,
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<T> {
        Number(T),
        Text(String),
        Other(IgnoredAny),
    }
    Ok(match Either::<T>::deserialize(deserializer)? {
        Either::Number(number) => Some(number),
        Either::Text(text) => text.trim().parse().ok(),
        Either::Other(_) => None,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Profile {
    #[serde(deserialize_with = "number")]
    pub(super) history_id: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Watch {
    /// In milliseconds since 1970.
    #[serde(deserialize_with = "number")]
    pub(super) expiration: Option<u64>,
}

/// Entries are read one by one, so that a strange one does not spoil its page.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct MessageList {
    pub(super) messages: Vec<Box<RawValue>>,
    pub(super) next_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stub {
    pub(super) id: String,
    pub(super) thread_id: Option<String>,
    #[serde(default)]
    pub(super) label_ids: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct HistoryList {
    /// May be absent on a page that is not the last.
    pub(super) history: Vec<Box<RawValue>>,
    pub(super) next_page_token: Option<String>,
    #[serde(deserialize_with = "number")]
    pub(super) history_id: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct History {
    #[serde(deserialize_with = "number")]
    pub(super) id: Option<u64>,
    #[serde(default)]
    pub(super) messages_added: Vec<Touched>,
    #[serde(default)]
    pub(super) messages_deleted: Vec<Touched>,
    #[serde(default)]
    pub(super) labels_added: Vec<Touched>,
    #[serde(default)]
    pub(super) labels_removed: Vec<Touched>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Touched {
    /// With all labels it has after the change.
    pub(super) message: Stub,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message {
    #[serde(default)]
    pub(super) id: String,
    pub(super) thread_id: Option<String>,
    #[serde(default)]
    pub(super) label_ids: Vec<String>,
    #[serde(default)]
    pub(super) snippet: String,
    #[serde(default, deserialize_with = "number")]
    pub(super) history_id: Option<u64>,
    /// Milliseconds since 1970.
    #[serde(default, deserialize_with = "number")]
    pub(super) internal_date: Option<i64>,
    #[serde(default, deserialize_with = "number")]
    pub(super) size_estimate: Option<u64>,
    pub(super) payload: Option<Part>,
    pub(super) raw: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Part {
    pub(super) part_id: String,
    pub(super) mime_type: String,
    pub(super) filename: String,
    pub(super) headers: Vec<Header>,
    pub(super) body: PartBody,
    pub(super) parts: Vec<Self>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PartBody {
    pub(super) attachment_id: Option<String>,
    #[serde(deserialize_with = "number")]
    pub(super) size: Option<u64>,
    pub(super) data: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LabelList {
    pub(super) labels: Vec<Label>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Label {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
}
