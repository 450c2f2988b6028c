//! Tenants and the people in them.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::settings::Cloud;

/// The tenant of personal accounts.
pub const PERSONAL_TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// Domains of personal accounts.
const PERSONAL: [&str; 4] = ["outlook.com", "hotmail.com", "live.com", "msn.com"];

/// To whom people of a tenant may give consent.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentPolicy {
    /// To any app, for permissions that do not need an administrator.
    #[default]
    Anyone,
    /// As Microsoft manages it, the default of new tenants: not for mail, calendars, contacts and all files.
    MicrosoftManaged,
    /// To nobody.
    Nobody,
    /// To apps of verified publishers.
    VerifiedPublishers,
}

/// An Entra tenant.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tenant {
    /// Its id, a GUID in lower case.
    pub id: String,
    /// Its verified domain, in lower case.
    pub domain: String,
    /// Whom its people may give consent.
    #[serde(default)]
    pub policy: ConsentPolicy,
    /// The cloud it is in.
    #[serde(default)]
    pub cloud: Cloud,
    /// The AADSTS number with which its token endpoint is unavailable at the moment.
    #[serde(default)]
    pub trouble: Option<u32>,
}

impl Tenant {
    /// A tenant of the worldwide cloud whose people may consent. Its id follows from the domain.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        let domain = domain.to_lowercase();
        let (policy, cloud) = (ConsentPolicy::Anyone, Cloud::Global);
        Self { id: guid(&["tenant", &domain]), domain, policy, cloud, trouble: None }
    }

    /// The same tenant with another policy of consent.
    #[must_use]
    pub fn with_policy(mut self, policy: ConsentPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The same tenant in another cloud.
    #[must_use]
    pub fn in_cloud(mut self, cloud: Cloud) -> Self {
        self.cloud = cloud;
        self
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.id == name || self.domain == name
    }
}

/// What conditional access says about a person.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ConditionalAccess {
    /// The AADSTS number, such as 50076 (a second factor is needed) or 53003 (blocked).
    pub number: u32,
    /// The claims that a new sign-in has to bring along; absent: any new sign-in does.
    #[serde(default)]
    pub claims: Option<Value>,
    /// Can the person do something about it by signing in? Otherwise sign-in is refused too.
    pub solvable: bool,
}

impl ConditionalAccess {
    /// A failure that a new sign-in with these claims solves.
    #[must_use]
    pub fn solved_by(number: u32, claims: Value) -> Self {
        Self { number, claims: Some(claims), solvable: true }
    }

    /// A failure that the person can do nothing about.
    #[must_use]
    pub fn blocked(number: u32) -> Self {
        Self { number, claims: None, solvable: false }
    }
}

/// A person with an account.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct User {
    /// The mail address, in lower case.
    pub mail: String,
    /// The name people sign in with; the mail address unless it is set.
    pub upn: String,
    /// The full name.
    pub name: String,
    /// The id of the home tenant.
    pub tenant: String,
    /// The object id in the home tenant.
    pub oid: String,
    /// May this person consent for everybody in the home tenant?
    pub admin: bool,
    /// Is the account disabled?
    pub disabled: bool,
    /// Other tenants this person is a guest of, by id.
    pub guest_of: BTreeSet<String>,
    /// What conditional access holds against this person.
    pub access: Option<ConditionalAccess>,
    /// Claims that Graph demands of capable clients' tokens.
    pub demanded: Option<Value>,
    /// Sessions from before are revoked.
    pub sessions_from: DateTime<Utc>,
}

impl Default for User {
    fn default() -> Self {
        Self {
            mail: String::new(),
            upn: String::new(),
            name: String::new(),
            tenant: String::new(),
            oid: String::new(),
            admin: false,
            disabled: false,
            guest_of: BTreeSet::new(),
            access: None,
            demanded: None,
            sessions_from: DateTime::UNIX_EPOCH,
        }
    }
}

impl User {
    pub(super) fn new(address: &str, name: &str, tenant: &str) -> Self {
        let mail = address.trim().to_lowercase();
        let oid = if tenant == PERSONAL_TENANT { personal_oid(&mail) } else { guid(&["user", tenant, &mail]) };
        Self { upn: mail.clone(), name: name.to_owned(), tenant: tenant.to_owned(), oid, mail, ..Self::default() }
    }

    pub(super) fn is_personal(&self) -> bool {
        self.tenant == PERSONAL_TENANT
    }

    /// The object id in a tenant, which differs from the home tenant's where the person is a guest.
    pub(super) fn oid_in(&self, tenant: &str) -> String {
        if tenant == self.tenant { self.oid.clone() } else { guid(&["user", tenant, &self.mail]) }
    }

    /// The subject that one app knows this person by.
    pub(super) fn subject(&self, tenant: &str, client_id: &str) -> String {
        let print = digest(&SHA256, format!("{}\n{client_id}", self.oid_in(tenant)).as_bytes());
        URL_SAFE_NO_PAD.encode(print)
    }

    pub(super) fn is_called(&self, hint: &str) -> bool {
        let lower = hint.to_lowercase();
        self.mail == lower || self.upn.to_lowercase() == lower || self.oid == lower
    }
}

/// Is an address of one of the domains of personal accounts?
pub(super) fn is_personal_address(address: &str) -> bool {
    address.rsplit_once('@').is_some_and(|(_, domain)| PERSONAL.contains(&domain.to_lowercase().as_str()))
}

/// A GUID that follows from `parts`.
pub(super) fn guid(parts: &[&str]) -> String {
    let print = digest(&SHA256, parts.join("\n").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&print.as_ref()[..16]);
    format_guid(bytes)
}

/// Sixteen bytes as a GUID of version 4.
pub(super) fn format_guid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

/// Object ids of personal accounts begin with zeros.
fn personal_oid(mail: &str) -> String {
    let whole = guid(&["user", PERSONAL_TENANT, mail]);
    format!("00000000-0000-0000-{}", &whole[19..])
}

/// Does `text` look like a GUID?
#[cfg(test)]
pub(super) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A segment of the path that stands for a tenant.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Segment {
    /// Everybody.
    Common,
    /// Everybody with a personal account.
    Consumers,
    /// Everybody with a work account.
    Organizations,
    /// One tenant, by id.
    Tenant(String),
}

impl Segment {
    /// The tenant that the segment names, if it names one.
    pub(super) fn tenant(&self) -> Option<&str> {
        match self {
            Self::Consumers => Some(PERSONAL_TENANT),
            Self::Tenant(id) => Some(id),
            Self::Common | Self::Organizations => None,
        }
    }

    /// The tenant that a person is signed in to here; none if the person has no business here.
    pub(super) fn admits(&self, user: &User) -> Option<String> {
        let home = Some(user.tenant.clone());
        match self {
            Self::Common => home,
            Self::Consumers => home.filter(|_| user.is_personal()),
            Self::Organizations => home.filter(|_| !user.is_personal()),
            Self::Tenant(id) => (user.tenant == *id || user.guest_of.contains(id)).then(|| id.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_follow_from_names_and_have_their_form() {
        let tenant = Tenant::new("Contoso.example");
        assert_eq!(tenant, Tenant::new("contoso.example"));
        assert!(is_guid(&tenant.id) && tenant.is_called("contoso.example"), "{}", tenant.id);
        assert!(is_guid(PERSONAL_TENANT) && !is_guid("common"));
    }

    #[test]
    fn each_segment_lets_its_own_people_in() {
        let tenant = Tenant::new("contoso.example").id;
        let (work, personal) =
            (User::new("a@contoso.example", "A", &tenant), User::new("b@live.com", "B", PERSONAL_TENANT));
        let admitted = |segment: Segment| (segment.admits(&work).is_some(), segment.admits(&personal).is_some());
        assert_eq!(admitted(Segment::Common), (true, true));
        assert_eq!(admitted(Segment::Organizations), (true, false));
        assert_eq!(admitted(Segment::Consumers), (false, true));
        assert_eq!(admitted(Segment::Tenant(tenant.clone())), (true, false));
        let mut guest = personal;
        guest.guest_of.insert(tenant.clone());
        assert_eq!(Segment::Tenant(tenant.clone()).admits(&guest), Some(tenant.clone()));
        assert_ne!(guest.oid_in(&tenant), guest.oid);
    }
}
