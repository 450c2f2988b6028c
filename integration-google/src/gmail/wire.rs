//! Gmail's JSON, as documented in its discovery document. Everything is optional unless it is promised.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Profile {
    pub(super) history_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct MessageList {
    pub(super) messages: Vec<Stub>,
    pub(super) next_page_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Stub {
    pub(super) id: String,
    pub(super) thread_id: Option<String>,
    pub(super) label_ids: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct HistoryList {
    pub(super) history: Vec<History>,
    pub(super) next_page_token: Option<String>,
    pub(super) history_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct History {
    pub(super) id: String,
    pub(super) messages_added: Vec<HistoryMessage>,
    pub(super) messages_deleted: Vec<HistoryMessage>,
    pub(super) labels_added: Vec<HistoryMessage>,
    pub(super) labels_removed: Vec<HistoryMessage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HistoryMessage {
    pub(super) message: Stub,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) thread_id: Option<String>,
    pub(super) label_ids: Vec<String>,
    pub(super) history_id: Option<String>,
    pub(super) internal_date: Option<String>,
    pub(super) size_estimate: Option<u64>,
    pub(super) payload: Option<Part>,
    pub(super) raw: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
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
#[serde(rename_all = "camelCase", default)]
pub(super) struct PartBody {
    pub(super) attachment_id: Option<String>,
    pub(super) size: u64,
    pub(super) data: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LabelList {
    pub(super) labels: Vec<Label>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Label {
    pub(super) id: String,
    pub(super) name: String,
}
