//! What Graph answers about mail. Every field may be missing; null is the same as missing.

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::{Value, value::RawValue};

fn nullable<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Numbers may come as texts; anything else counts as absent.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
        Other(IgnoredAny),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Number(number) => Some(number),
        Either::Text(text) => text.trim().parse().ok(),
        Either::Other(_) => None,
    })
}

/// A text; anything else counts as absent.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().map(str::to_owned))
}

/// A yes or no; anything else counts as absent.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_bool())
}

/// A page. Entries are read one by one, so that a strange one does not spoil it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Page {
    #[serde(deserialize_with = "nullable")]
    pub(super) value: Vec<Box<RawValue>>,
    #[serde(rename = "@odata.nextLink")]
    pub(super) next_link: Option<String>,
    #[serde(rename = "@odata.deltaLink")]
    pub(super) delta_link: Option<String>,
}

impl Page {
    /// Where the next page is; an empty link counts as none.
    pub(super) fn next(&mut self) -> Option<String> {
        self.next_link.take().filter(|link| !link.is_empty())
    }

    /// Where changes after this walk are.
    pub(super) fn delta(&mut self) -> Option<String> {
        self.delta_link.take().filter(|link| !link.is_empty())
    }
}

/// The least that is known of an entry.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Message {
    #[serde(deserialize_with = "nullable")]
    pub(super) id: String,
    #[serde(rename = "@odata.type")]
    pub(super) kind: Option<String>,
    #[serde(rename = "@removed")]
    pub(super) removed: Option<IgnoredAny>,
    pub(super) change_key: Option<String>,
    pub(super) last_modified_date_time: Option<String>,
    pub(super) received_date_time: Option<String>,
    pub(super) sent_date_time: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) body_preview: Option<String>,
    pub(super) body: Option<Body>,
    pub(super) from: Option<Recipient>,
    pub(super) sender: Option<Recipient>,
    #[serde(deserialize_with = "nullable")]
    pub(super) to_recipients: Vec<Recipient>,
    #[serde(deserialize_with = "nullable")]
    pub(super) cc_recipients: Vec<Recipient>,
    #[serde(deserialize_with = "nullable")]
    pub(super) bcc_recipients: Vec<Recipient>,
    #[serde(deserialize_with = "nullable")]
    pub(super) reply_to: Vec<Recipient>,
    pub(super) conversation_id: Option<String>,
    pub(super) internet_message_id: Option<String>,
    /// Missing for what was not delivered over the internet: sent mail, drafts.
    #[serde(deserialize_with = "nullable")]
    pub(super) internet_message_headers: Vec<Header>,
    pub(super) parent_folder_id: Option<String>,
    pub(super) is_read: Option<bool>,
    pub(super) is_draft: Option<bool>,
    /// False where everything attached is shown inside the text.
    pub(super) has_attachments: Option<bool>,
    pub(super) flag: Option<Flag>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Body {
    pub(super) content_type: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub(super) content: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Flag {
    pub(super) flag_status: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Recipient {
    pub(super) email_address: Option<Mailbox>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Mailbox {
    pub(super) name: Option<String>,
    pub(super) address: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    #[serde(deserialize_with = "nullable")]
    pub(super) name: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Attachment {
    #[serde(deserialize_with = "nullable")]
    pub(super) id: String,
    #[serde(rename = "@odata.type")]
    pub(super) kind: Option<String>,
    pub(super) name: Option<String>,
    pub(super) content_type: Option<String>,
    #[serde(deserialize_with = "number")]
    pub(super) size: Option<u64>,
    pub(super) is_inline: Option<bool>,
    pub(super) content_id: Option<String>,
}

/// Whatever is odd about a folder, it is one as long as its id can be read: one that is not named is taken for gone.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Folder {
    #[serde(deserialize_with = "nullable")]
    pub(super) id: String,
    #[serde(rename = "@odata.type", deserialize_with = "text")]
    pub(super) kind: Option<String>,
    #[serde(rename = "@removed")]
    pub(super) removed: Option<IgnoredAny>,
    #[serde(deserialize_with = "text")]
    pub(super) parent_folder_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) display_name: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub(super) is_hidden: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Subscription {
    #[serde(deserialize_with = "nullable")]
    pub(super) id: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) resource: String,
    pub(super) expiration_date_time: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Upload {
    /// Pre-authorised: a secret.
    #[serde(deserialize_with = "nullable")]
    pub(super) upload_url: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) next_expected_ranges: Vec<String>,
}
