//! Configuration: client, cloud, endpoints, quota preset.

use std::{fmt, str::FromStr};

use integration_core::{Error, ErrorKind, Result, ids::AppId, secret::SecretText};
use serde::Deserialize;
use url::Url;

use crate::quota::{OutlookQuota, OutlookQuotaOverrides};

/// Graph allows 20 inner calls of a batch.
const LARGEST_BATCH: usize = 20;

/// A Microsoft cloud. Accounts, app registrations and tokens of one are unknown in the others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cloud {
    /// China, operated by 21Vianet.
    China,
    /// The worldwide cloud, and GCC of the United States' government. Only here are there personal accounts.
    #[default]
    Global,
    /// GCC High of the United States' government.
    UsGovernmentL4,
    /// The cloud of the United States' Department of Defense.
    UsGovernmentL5,
}

impl Cloud {
    /// All clouds.
    pub const ALL: [Self; 4] = [Self::China, Self::Global, Self::UsGovernmentL4, Self::UsGovernmentL5];

    /// The root of its sign-in.
    #[must_use]
    pub const fn login(self) -> &'static str {
        match self {
            Self::China => "https://login.partner.microsoftonline.cn/",
            Self::Global => "https://login.microsoftonline.com/",
            Self::UsGovernmentL4 | Self::UsGovernmentL5 => "https://login.microsoftonline.us/",
        }
    }

    /// The root of its Graph.
    #[must_use]
    pub const fn graph(self) -> &'static str {
        match self {
            Self::China => "https://microsoftgraph.chinacloudapi.cn/",
            Self::Global => "https://graph.microsoft.com/",
            Self::UsGovernmentL4 => "https://graph.microsoft.us/",
            Self::UsGovernmentL5 => "https://dod-graph.microsoft.us/",
        }
    }

    /// The root of its Outlook, where large attachments are uploaded to.
    #[must_use]
    pub const fn outlook(self) -> &'static str {
        match self {
            Self::China => "https://partner.outlook.cn/",
            Self::Global => "https://outlook.office.com/",
            Self::UsGovernmentL4 => "https://outlook.office365.us/",
            Self::UsGovernmentL5 => "https://outlook-dod.office365.us/",
        }
    }
}

/// Where Microsoft is. Every address can be set, so that a sandbox or a recording proxy fits in between.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MicrosoftEndpoints {
    /// The root of the sign-in pages; their paths begin with the tenant.
    pub login: Url,
    /// The root of Graph; its paths begin with `v1.0/`.
    pub graph: Url,
    /// The root of the host that large attachments are uploaded to: the service names the whole address.
    pub uploads: Url,
    /// The name of Graph in scopes (`https://graph.microsoft.com`), which stays when a proxy is in between.
    pub resource: String,
    /// The roots of the issuers accepted in id tokens, without a slash at the end.
    pub issuers: Vec<String>,
}

impl MicrosoftEndpoints {
    /// The real ones of a cloud.
    #[must_use]
    pub fn live(cloud: Cloud) -> Self {
        // Literals, checked by a test.
        let fixed = |text: &str| Url::parse(text).expect("the addresses of the clouds are URLs");
        Self {
            login: fixed(cloud.login()),
            graph: fixed(cloud.graph()),
            uploads: fixed(cloud.outlook()),
            resource: cloud.graph().trim_end_matches('/').to_owned(),
            issuers: vec![cloud.login().trim_end_matches('/').to_owned()],
        }
    }

    /// Microsoft's paths below one origin: a sandbox, or a proxy in front of all hosts of a cloud.
    ///
    /// A sandbox is its own issuer, a proxy passes the cloud's on: both are accepted.
    ///
    /// # Errors
    /// `InvalidInput` if `origin` cannot have paths.
    pub fn below(origin: &Url, cloud: Cloud) -> Result<Self> {
        let message = "the origin of the endpoints cannot have paths";
        let root = (!origin.cannot_be_a_base()).then(|| origin.join("/").ok()).flatten();
        let root = root.ok_or_else(|| Error::new(ErrorKind::InvalidInput, message).with_service("microsoft"))?;
        let live = Self::live(cloud);
        let mut issuers = vec![origin.origin().ascii_serialization()];
        issuers.extend(live.issuers);
        Ok(Self { login: root.clone(), graph: root.clone(), uploads: root, resource: live.resource, issuers })
    }

    /// A page of the sign-in for a tenant.
    pub(crate) fn sign_in(&self, tenant: &TenantKind, path: &str) -> Result<Url> {
        let message = "`endpoints.login` cannot have paths";
        let wrong = |_| Error::new(ErrorKind::Misconfigured, message).with_service("microsoft");
        let root = self.login.as_str().trim_end_matches('/');
        Url::parse(&format!("{root}/{tenant}/{path}")).map_err(wrong)
    }
}

impl Default for MicrosoftEndpoints {
    fn default() -> Self {
        Self::live(Cloud::Global)
    }
}

/// Who can sign in.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum TenantKind {
    /// Everybody: people of organisations, and personal accounts.
    #[default]
    Common,
    /// Personal accounts alone.
    Consumers,
    /// People of organisations alone.
    Organizations,
    /// People of this organisation (and its guests) alone: its id, or a domain of its.
    Tenant(String),
}

impl fmt::Display for TenantKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Common => "common",
            Self::Consumers => "consumers",
            Self::Organizations => "organizations",
            Self::Tenant(name) => name,
        })
    }
}

impl FromStr for TenantKind {
    type Err = Error;

    /// `common`, `consumers`, `organizations`, or an organisation's id or domain.
    fn from_str(text: &str) -> Result<Self> {
        let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        let plain = (1..=253).contains(&text.len()) && text.bytes().all(named);
        match text {
            "common" => Ok(Self::Common),
            "consumers" => Ok(Self::Consumers),
            "organizations" => Ok(Self::Organizations),
            text if plain && text.bytes().any(|byte| byte.is_ascii_alphanumeric()) => Ok(Self::Tenant(text.to_owned())),
            _ => {
                let message = "the tenant is none of common, consumers, organizations, an id and a domain";
                Err(Error::new(ErrorKind::InvalidInput, message).with_service("microsoft"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for TenantKind {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(|error: Error| serde::de::Error::custom(error.message()))
    }
}

/// What kind of client is registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientKind {
    /// The app acts on its own with what an administrator granted it, on the mailboxes that the host names; no browser.
    AppOnly,
    /// A public client: loopback redirects, no secret.
    Desktop,
    /// A web app: a registered redirect, and a secret or a certificate.
    Web,
}

/// How the app proves itself.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Credential {
    /// A certificate that was uploaded to the registration. It does not end between two releases unnoticed, and never travels.
    Certificate {
        /// In PEM.
        certificate: String,
        /// Its RSA key, PKCS#8 in PEM.
        private_key: SecretText,
    },
    /// A client secret: its value, not its id. It ends after two years at most, for all customers at once.
    Secret(SecretText),
}

/// Whether to ask for mailboxes that others share with the person.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SharedMailboxes {
    /// Ask for the rights to them; the host names them (`Authorise::with_account`). Not for personal accounts.
    Included,
    /// The person's own mailbox alone.
    #[default]
    None,
}

/// Whether access tokens live long and are taken back at once (continuous access evaluation).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ContinuousAccess {
    /// Tokens of an hour, never challenged.
    Off,
    /// Tokens of up to 28 hours, which the service challenges when something changes; challenges are met.
    #[default]
    On,
}

/// One client registration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MicrosoftConfig {
    /// The app's id in the host; `microsoft` unless set.
    #[serde(default = "default_app")]
    pub app: AppId,
    /// The application (client) id.
    pub client_id: String,
    /// How it proves itself; public clients do not.
    #[serde(default)]
    pub credential: Option<Credential>,
    /// What kind of client it is.
    pub kind: ClientKind,
    /// Who can sign in; everybody unless set.
    #[serde(default)]
    pub tenant: TenantKind,
    /// The ids of the organisations whose people may connect, whoever else can sign in; empty: all.
    #[serde(default)]
    pub allowed_tenants: Vec<String>,
    /// In which cloud it is registered; the worldwide one unless set.
    #[serde(default)]
    pub cloud: Cloud,
    /// Where Microsoft is; the real one of the cloud unless set.
    #[serde(default)]
    pub endpoints: Option<MicrosoftEndpoints>,
    /// Mailboxes that others share; not asked for unless set.
    #[serde(default)]
    pub shared_mailboxes: SharedMailboxes,
    /// Continuous access evaluation; on unless set.
    #[serde(default)]
    pub continuous_access: ContinuousAccess,
    /// The quota preset.
    #[serde(default)]
    pub quota: OutlookQuota,
    /// Single limits in place of the preset's.
    #[serde(default)]
    pub quota_overrides: OutlookQuotaOverrides,
    /// Messages fetched in one batch; 20 unless set, which is the most.
    #[serde(default = "default_batch")]
    pub batch_size: usize,
}

fn default_app() -> AppId {
    AppId::new("microsoft")
}

fn default_batch() -> usize {
    LARGEST_BATCH
}

impl MicrosoftConfig {
    /// A client of `kind`, at the real Microsoft, for everybody.
    pub fn new(client_id: impl Into<String>, kind: ClientKind) -> Self {
        Self {
            app: default_app(),
            client_id: client_id.into(),
            credential: None,
            kind,
            tenant: TenantKind::default(),
            allowed_tenants: Vec::new(),
            cloud: Cloud::default(),
            endpoints: None,
            shared_mailboxes: SharedMailboxes::default(),
            continuous_access: ContinuousAccess::default(),
            quota: OutlookQuota::default(),
            quota_overrides: OutlookQuotaOverrides::default(),
            batch_size: default_batch(),
        }
    }

    /// A public client.
    pub fn desktop(client_id: impl Into<String>) -> Self {
        Self::new(client_id, ClientKind::Desktop)
    }

    /// A web client with its secret.
    pub fn web(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self::new(client_id, ClientKind::Web).with_client_secret(client_secret)
    }

    /// An app that acts on its own in one organisation: its id, or a domain of its. Set how it proves itself as well.
    pub fn app_only(client_id: impl Into<String>, tenant: impl Into<String>) -> Self {
        Self::new(client_id, ClientKind::AppOnly).with_tenant(TenantKind::Tenant(tenant.into()))
    }

    /// Sets the client secret.
    #[must_use]
    pub fn with_client_secret(mut self, secret: impl Into<String>) -> Self {
        self.credential = Some(Credential::Secret(SecretText::new(secret)));
        self
    }

    /// Sets a certificate and its key, both in PEM, in place of a secret.
    #[must_use]
    pub fn with_certificate(mut self, certificate: impl Into<String>, private_key: impl Into<String>) -> Self {
        let private_key = SecretText::new(private_key);
        self.credential = Some(Credential::Certificate { certificate: certificate.into(), private_key });
        self
    }

    /// Sets who can sign in.
    #[must_use]
    pub fn with_tenant(mut self, tenant: TenantKind) -> Self {
        self.tenant = tenant;
        self
    }

    /// Adds an organisation whose people may connect, by its id.
    #[must_use]
    pub fn with_allowed_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.allowed_tenants.push(tenant.into());
        self
    }

    /// Sets the cloud.
    #[must_use]
    pub fn with_cloud(mut self, cloud: Cloud) -> Self {
        self.cloud = cloud;
        self
    }

    /// Sets the endpoints.
    #[must_use]
    pub fn with_endpoints(mut self, endpoints: MicrosoftEndpoints) -> Self {
        self.endpoints = Some(endpoints);
        self
    }

    /// Asks for mailboxes that others share with the person.
    #[must_use]
    pub fn with_shared_mailboxes(mut self, shared: SharedMailboxes) -> Self {
        self.shared_mailboxes = shared;
        self
    }

    /// Sets continuous access evaluation.
    #[must_use]
    pub fn with_continuous_access(mut self, continuous: ContinuousAccess) -> Self {
        self.continuous_access = continuous;
        self
    }

    /// Sets the quota preset.
    #[must_use]
    pub fn with_quota(mut self, quota: OutlookQuota) -> Self {
        self.quota = quota;
        self
    }

    /// Sets single limits in place of the preset's.
    #[must_use]
    pub fn with_quota_overrides(mut self, overrides: OutlookQuotaOverrides) -> Self {
        self.quota_overrides = overrides;
        self
    }

    /// Sets the app's id in the host.
    #[must_use]
    pub fn with_app(mut self, app: AppId) -> Self {
        self.app = app;
        self
    }

    /// Sets how many messages one batch fetches.
    #[must_use]
    pub fn with_batch_size(mut self, messages: usize) -> Self {
        self.batch_size = messages;
        self
    }

    /// The endpoints in force.
    #[must_use]
    pub fn endpoints(&self) -> MicrosoftEndpoints {
        self.endpoints.clone().unwrap_or_else(|| MicrosoftEndpoints::live(self.cloud))
    }

    /// # Errors
    /// `Misconfigured`, naming the field.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Misconfigured, message).with_service("microsoft"));
        if self.client_id.trim().is_empty() {
            return wrong("`client_id` is empty: copy the application id from the registration's page");
        }
        if self.app.as_str().is_empty() {
            return wrong("`app` is empty: give the client registration a name");
        }
        if matches!(&self.credential, Some(Credential::Secret(secret)) if secret.expose().trim().is_empty()) {
            return wrong("`credential` is an empty secret");
        }
        match (self.kind, &self.credential) {
            (ClientKind::AppOnly | ClientKind::Web, None) => {
                return wrong("`credential` is missing: this kind of client has a secret or a certificate");
            }
            (ClientKind::Desktop, Some(_)) => return wrong("`credential` is set, but a public client has none"),
            _ => {}
        }
        self.check_tenant()?;
        if !(1..=LARGEST_BATCH).contains(&self.batch_size) {
            return wrong("`batch_size` is not between 1 and 20");
        }
        let endpoints = self.endpoints();
        if endpoints.graph.cannot_be_a_base() || endpoints.login.cannot_be_a_base() {
            return wrong("`endpoints` has an address that cannot have paths");
        }
        Ok(())
    }

    fn check_tenant(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Misconfigured, message).with_service("microsoft"));
        let (tenant, concrete) = (&self.tenant, matches!(self.tenant, TenantKind::Tenant(_)));
        // What is no name, or one of the words for everybody, would lead to another page.
        if concrete && tenant.to_string().parse::<TenantKind>().ok().as_ref() != Some(tenant) {
            return wrong("`tenant` is neither an organisation's id nor a domain");
        }
        if self.kind == ClientKind::AppOnly && !concrete {
            return wrong("`tenant` must name one organisation: an app acts on its own in one at a time");
        }
        if self.cloud != Cloud::Global && matches!(tenant, TenantKind::Consumers) {
            return wrong("`tenant` is for personal accounts, which there are in the worldwide cloud alone");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientKind, Cloud, MicrosoftConfig, MicrosoftEndpoints, TenantKind, Url};

    #[test]
    fn a_minimal_configuration_means_the_real_microsoft() {
        let config: MicrosoftConfig = serde_json::from_str(r#"{"client_id":"c","kind":"desktop"}"#).unwrap();
        assert_eq!(config.endpoints(), MicrosoftEndpoints::live(Cloud::Global));
        assert_eq!((config.app.as_str(), config.batch_size), ("microsoft", 20));
        config.check().unwrap();
    }

    #[test]
    fn a_misspelt_field_is_refused_by_name() {
        let error = serde_json::from_str::<MicrosoftConfig>(r#"{"client_id":"c","kind":"web","credentail":"s"}"#);
        assert!(error.unwrap_err().to_string().contains("credentail"));
    }

    #[test]
    fn every_cloud_has_its_own_hosts() {
        let hosts = Cloud::ALL.map(|cloud| {
            let live = MicrosoftEndpoints::live(cloud);
            assert_eq!(format!("{}/", live.resource), live.graph.as_str());
            (live.login.host_str().unwrap().to_owned(), live.graph.host_str().unwrap().to_owned())
        });
        let expected = [
            ("login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn"),
            ("login.microsoftonline.com", "graph.microsoft.com"),
            ("login.microsoftonline.us", "graph.microsoft.us"),
            ("login.microsoftonline.us", "dod-graph.microsoft.us"),
        ];
        assert_eq!(hosts, expected.map(|(login, graph)| (login.to_owned(), graph.to_owned())));
    }

    #[test]
    fn endpoints_below_an_origin_keep_microsofts_paths_and_the_name_of_graph() {
        let origin = Url::parse("http://127.0.0.1:4000/ignored?x").unwrap();
        let below = MicrosoftEndpoints::below(&origin, Cloud::Global).unwrap();
        let token = below.sign_in(&TenantKind::Common, "oauth2/v2.0/token").unwrap();
        assert_eq!(token.as_str(), "http://127.0.0.1:4000/common/oauth2/v2.0/token");
        assert_eq!(
            (below.graph.as_str(), below.resource.as_str()),
            ("http://127.0.0.1:4000/", "https://graph.microsoft.com")
        );
        assert_eq!(below.issuers, ["http://127.0.0.1:4000", "https://login.microsoftonline.com"]);
        assert!(MicrosoftEndpoints::below(&Url::parse("mailto:a@example.com").unwrap(), Cloud::Global).is_err());
    }

    #[test]
    fn a_tenant_is_a_word_an_id_or_a_domain_and_nothing_that_leads_elsewhere() {
        for text in ["common", "consumers", "organizations", "contoso.com", "9188040d-6c67-4c5b-b112-36a304b66dad"] {
            assert_eq!(text.parse::<TenantKind>().unwrap().to_string(), text);
        }
        for text in ["", "..", "a/b", "a?b", "a b", "käse.example"] {
            assert!(text.parse::<TenantKind>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_client_lacks_is_named() {
        let secret = |kind| MicrosoftConfig::new("c", kind).with_client_secret("s");
        let lacking = [
            (MicrosoftConfig::desktop(" "), "client_id"),
            (MicrosoftConfig::new("c", ClientKind::Web), "credential"),
            (MicrosoftConfig::web("c", " "), "credential"),
            (MicrosoftConfig::desktop("c").with_client_secret("s"), "credential"),
            (MicrosoftConfig::app_only("c", "contoso.com"), "credential"),
            (secret(ClientKind::AppOnly), "tenant"),
            (MicrosoftConfig::app_only("c", "common").with_client_secret("s"), "tenant"),
            (secret(ClientKind::Web).with_tenant(TenantKind::Tenant("a/b".into())), "tenant"),
            (MicrosoftConfig::desktop("c").with_cloud(Cloud::China).with_tenant(TenantKind::Consumers), "tenant"),
            (MicrosoftConfig::desktop("c").with_batch_size(21), "batch_size"),
        ];
        for (config, field) in lacking {
            let error = config.check().unwrap_err();
            assert!(error.message().contains(&format!("`{field}`")), "{field}: {}", error.message());
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", MicrosoftConfig::web("client", "hush-hush").with_certificate("cert", "hush-hush"));
        assert!(!shown.contains("hush-hush"), "{shown}");
    }
}
