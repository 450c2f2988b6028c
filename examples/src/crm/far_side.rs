//! Who is on the other side: a sandbox of our own, a running one, or the real service.

use std::sync::Arc;

use bytes::Bytes;
use integration_core::{
    Error, ErrorKind, Result,
    connection::{Connection, Connector},
    http::{Body, LocalAdmission, ReqwestTransport, Transport},
    hub::HubBuilder,
};
use integration_google::{GmailQuota, Google, GoogleConfig, GoogleEndpoints};
use integration_microsoft::{Cloud, Microsoft, MicrosoftConfig, MicrosoftEndpoints, OutlookQuota};
use integration_testing::{
    DEFAULT_APP, DEFAULT_CLIENT, Sandbox, SandboxSettings, Served, google::gmail, microsoft::graph,
};
use url::Url;

use super::{Arguments, Quotas, Service, registration::Registration};
use crate::{browser::Loopback, mail::Named};

/// The owner of the simulated mailboxes.
pub(super) const OWNER: &str = "ada@northwind-sales.example";

/// The other side of a run.
#[derive(Debug)]
pub(super) struct FarSide {
    kind: Kind,
    quota: Quotas,
    services: Vec<Service>,
}

#[derive(Debug)]
enum Kind {
    Live(Registration),
    Ours { sandbox: Sandbox, served: Option<Served>, origin: Url },
    Running { far: Remote, mail: Vec<Named> },
}

pub(super) fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

impl FarSide {
    /// The real service for whom a client is registered; else a simulated one, with `mail` in the mailbox (`None`: whatever
    /// is in it).
    pub(super) async fn start(
        arguments: &Arguments,
        live: Option<Registration>,
        mail: Option<Vec<Named>>,
    ) -> Result<Self> {
        let quota = arguments.quota.unwrap_or(if live.is_some() { Quotas::default() } else { Quotas::OFF });
        let services = arguments.services.clone();
        let kind = if let Some(registration) = live {
            Kind::Live(registration)
        } else if let Some(origin) = &arguments.sandbox {
            Kind::Running { far: Remote::reach(origin).await?, mail: mail.unwrap_or_default() }
        } else {
            ours(arguments, quota, &mail.unwrap_or_default()).await?
        };
        Ok(Self { kind, quota, services })
    }

    /// Makes the mailbox of a running sandbox follow the files; ours does already.
    pub(super) async fn load(&self, service: Service, known: Option<&Connection>) -> Result<()> {
        let Kind::Running { far, mail } = &self.kind else { return Ok(()) };
        if mail.is_empty() {
            return Ok(());
        }
        let path = |what: &str| format!("{}{what}", service.steering());
        let account = match known {
            Some(connection) => connection.account.addresses.first().map_or(OWNER, String::as_str),
            None => {
                far.steer(&path("people"), &[("account", OWNER), ("name", "Ada")], Bytes::new()).await?;
                OWNER
            }
        };
        for (name, raw) in mail {
            far.steer(&path("file"), &[("account", account), ("name", name)], raw.clone()).await?;
        }
        let names: Vec<&str> = mail.iter().map(|(name, _)| name.as_str()).collect();
        far.steer(&path("files"), &[("account", account)], serde_json::json!(names).to_string().into()).await?;
        Ok(())
    }

    /// Adds the services' connectors to the hub, and their limits to those that are kept.
    pub(super) fn join(&self, mut hub: HubBuilder, mut limits: LocalAdmission) -> Result<(HubBuilder, LocalAdmission)> {
        for service in &self.services {
            (hub, limits) = match service {
                Service::Google => joined(hub, limits, Google::new(self.google()?.with_quota(self.quota.gmail))?),
                Service::Microsoft => {
                    joined(hub, limits, Microsoft::new(self.microsoft()?.with_quota(self.quota.outlook))?)
                }
            };
        }
        Ok((hub, limits))
    }

    fn google(&self) -> Result<GoogleConfig> {
        match &self.kind {
            Kind::Live(registration) => Ok(registration.google()),
            Kind::Ours { origin, .. } | Kind::Running { far: Remote { origin, .. }, .. } => {
                Ok(GoogleConfig::desktop(DEFAULT_CLIENT).with_endpoints(GoogleEndpoints::below(origin)?))
            }
        }
    }

    fn microsoft(&self) -> Result<MicrosoftConfig> {
        match &self.kind {
            Kind::Live(registration) => Ok(registration.microsoft()),
            Kind::Ours { origin, .. } | Kind::Running { far: Remote { origin, .. }, .. } => {
                let endpoints = MicrosoftEndpoints::below(origin, Cloud::Global)?;
                Ok(MicrosoftConfig::desktop(DEFAULT_APP).with_endpoints(endpoints))
            }
        }
    }

    pub(super) fn own_domains(&self) -> Vec<String> {
        match self.kind {
            Kind::Live(_) => Vec::new(),
            Kind::Ours { .. } | Kind::Running { .. } => vec!["northwind-sales.example".to_owned()],
        }
    }

    /// The redirect to ask for, and who follows the authorisation to it.
    pub(super) async fn browser(&self, service: Service) -> Result<(String, Browser)> {
        // Google knows the loopback address by its number, Microsoft by its name.
        let host = match service {
            Service::Google => "127.0.0.1",
            Service::Microsoft => "localhost",
        };
        let (far, person) = match &self.kind {
            Kind::Live(_) => {
                let loopback = Loopback::bind().await?;
                return Ok((loopback.redirect(host)?, Browser::Person(loopback)));
            }
            Kind::Ours { origin, .. } => (Remote::new(origin)?, Some(OWNER)),
            Kind::Running { far, mail } => (far.clone(), (!mail.is_empty()).then_some(OWNER)),
        };
        Ok((format!("http://{host}:1/callback"), Browser::Simulated(far, person)))
    }

    /// Keeps what the simulated service knows: whoever is killed after this goes on with it.
    pub(super) fn save(&self) -> Result<()> {
        let Kind::Ours { sandbox, .. } = &self.kind else { return Ok(()) };
        sandbox.save().map_err(|error| {
            Error::new(ErrorKind::Store, "the state of the simulated service cannot be kept beside the database")
                .with_source(error)
        })
    }

    pub(super) async fn stop(&mut self) -> Result<()> {
        if let Kind::Ours { served, .. } = &mut self.kind
            && let Some(served) = served.take()
        {
            served.shutdown().await;
        }
        self.save()
    }
}

fn joined(hub: HubBuilder, limits: LocalAdmission, connector: impl Connector) -> (HubBuilder, LocalAdmission) {
    let profile = connector.profile();
    let limits = limits.with_table(profile.app.clone(), profile.quota.clone());
    (hub.with_connector(connector), limits)
}

/// A sandbox on a free loopback port; what it served is kept in a file beside the database.
async fn ours(arguments: &Arguments, quota: Quotas, mail: &[Named]) -> Result<Kind> {
    let state = arguments.db.with_extension("sandbox.json");
    let mut settings = SandboxSettings::default();
    settings.gmail.quota = match quota.gmail {
        GmailQuota::Gmail2026 => gmail::QuotaPreset::Gmail2026,
        GmailQuota::GmailClassic => gmail::QuotaPreset::Classic,
        _ => gmail::QuotaPreset::Off,
    };
    settings.graph.quota = match quota.outlook {
        OutlookQuota::Off => graph::QuotaPreset::Off,
        _ => graph::QuotaPreset::Outlook,
    };
    let sandbox = Sandbox::google().with_settings(settings).with_state_file(&state).build();
    let sandbox = sandbox.map_err(|error| wrong(error.to_string()))?;
    for service in &arguments.services {
        match service {
            Service::Google => {
                sandbox.register_person(OWNER, "Ada");
                sandbox.gmail().mailbox(OWNER).sync_folder(mail.to_vec(), sandbox.now());
            }
            Service::Microsoft => {
                sandbox.microsoft().register_person(OWNER, "Ada");
                sandbox.microsoft().graph().mailbox(OWNER).sync_folder(mail.to_vec(), sandbox.now());
            }
        }
    }
    let served = sandbox.serve(([127, 0, 0, 1], 0).into()).await;
    let served = served.map_err(|error| wrong(format!("the sandbox finds no free port: {error}")))?;
    let origin = Url::parse(&format!("http://{}", served.addr())).map_err(|error| wrong(error.to_string()))?;
    Ok(Kind::Ours { sandbox, served: Some(served), origin })
}

/// A sandbox that is steered over HTTP.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    origin: Url,
    transport: Arc<dyn Transport>,
}

impl Remote {
    fn new(origin: &Url) -> Result<Self> {
        Ok(Self { origin: origin.clone(), transport: Arc::new(ReqwestTransport::new()?) })
    }

    /// Makes sure that somebody answers before anything is begun.
    async fn reach(origin: &Url) -> Result<Self> {
        let far = Self::new(origin)?;
        far.ask(http::Method::GET, "books", &[], Bytes::new()).await?;
        Ok(far)
    }

    async fn steer(&self, path: &str, query: &[(&str, &str)], body: Bytes) -> Result<Bytes> {
        self.ask(http::Method::POST, path, query, body).await
    }

    async fn ask(&self, method: http::Method, path: &str, query: &[(&str, &str)], body: Bytes) -> Result<Bytes> {
        let mut url = self.origin.join(&format!("/sandbox/{path}")).map_err(|error| wrong(error.to_string()))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = http::Request::builder().method(method).uri(url.as_str()).body(Body::from(body));
        let request = request.map_err(|error| wrong(error.to_string()))?;
        let unreachable = |error| {
            let message =
                format!("no sandbox answers at {}; start one with `cargo run --example sandbox`", self.origin);
            Error::new(ErrorKind::Transport, message).with_source(error)
        };
        let answer = self.transport.execute(request).await.map_err(unreachable)?;
        let status = answer.status();
        let body = answer.into_body().collect(64 << 20).await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(body);
        }
        let told = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        Err(wrong(format!("what answers at {} is no sandbox, or refuses: {status} {told}", self.origin)))
    }
}

/// Who follows an authorisation URL.
#[derive(Debug)]
pub(super) enum Browser {
    /// A person, in a real browser.
    Person(Loopback),
    /// Somebody in the sandbox who grants everything; whom the page suggests unless named.
    Simulated(Remote, Option<&'static str>),
}

impl Browser {
    /// The callback's query.
    pub(super) async fn visit(&self, url: &Url) -> Result<String> {
        match self {
            Self::Person(loopback) => {
                eprintln!("Open this address in your browser and allow access:\n\n{url}\n");
                for opener in ["xdg-open", "open"] {
                    if std::process::Command::new(opener).arg(url.as_str()).spawn().is_ok() {
                        break;
                    }
                }
                loopback.query().await
            }
            Self::Simulated(far, person) => press_allow(far, url, *person).await,
        }
    }
}

async fn press_allow(far: &Remote, url: &Url, person: Option<&str>) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Back {
        url: Url,
    }
    let body = serde_json::json!({ "url": url, "decision": "grant", "as": person }).to_string();
    let answer = far.steer("consent", &[], body.into()).await?;
    let back: Back = serde_json::from_slice(&answer)
        .map_err(|_| wrong(format!("the sandbox answers {}", String::from_utf8_lossy(&answer))))?;
    Ok(back.url.query().unwrap_or_default().to_owned())
}
