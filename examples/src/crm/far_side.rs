//! Who is on the other side: a sandbox of our own, a running one, or the real service.

use std::{path::PathBuf, sync::Arc};

use integration_core::{
    Error, ErrorKind, Result,
    http::{Body, ReqwestTransport, Transport},
    ids::AppId,
};
use integration_google::{GmailQuota, Google, GoogleConfig, GoogleEndpoints};
use integration_testing::{DEFAULT_CLIENT, Sandbox, SandboxSettings, Served};
use url::Url;

use super::Arguments;
use crate::{browser::Loopback, mail};

/// The owner of the simulated mailbox.
pub(super) const OWNER: &str = "ada@northwind-sales.example";

/// The other side of a run.
#[derive(Debug)]
pub(super) struct FarSide {
    kind: Kind,
    quota: String,
}

#[derive(Debug)]
enum Kind {
    Live { client_id: String, client_secret: Option<String> },
    Ours { sandbox: Sandbox, served: Option<Served>, origin: Url },
    Running { origin: Url },
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

impl FarSide {
    pub(super) async fn start(arguments: &Arguments) -> Result<Self> {
        let kind = if arguments.live.is_some() {
            let client_id = std::env::var("GOOGLE_CLIENT_ID").map_err(|_| {
                wrong("--live google needs GOOGLE_CLIENT_ID (and GOOGLE_CLIENT_SECRET) of a desktop client in the environment")
            })?;
            Kind::Live { client_id, client_secret: std::env::var("GOOGLE_CLIENT_SECRET").ok() }
        } else if let Some(origin) = &arguments.sandbox {
            let origin = Url::parse(origin).map_err(|error| wrong(format!("--sandbox {origin} is no URL: {error}")))?;
            Kind::Running { origin }
        } else {
            ours(arguments).await?
        };
        Ok(Self { kind, quota: arguments.quota.clone() })
    }

    pub(super) fn connector(&self) -> Result<Google> {
        let quota = match self.quota.as_str() {
            "gmail-2026" => GmailQuota::Gmail2026,
            "gmail-classic" => GmailQuota::GmailClassic,
            _ if matches!(self.kind, Kind::Live { .. }) => GmailQuota::Gmail2026,
            _ => GmailQuota::Off,
        };
        let config = match &self.kind {
            Kind::Live { client_id, client_secret } => {
                let config = GoogleConfig::desktop(client_id.clone()).with_endpoints(GoogleEndpoints::live());
                match client_secret {
                    Some(secret) => config.with_client_secret(secret.clone()),
                    None => config,
                }
            }
            Kind::Ours { origin, .. } | Kind::Running { origin } => {
                GoogleConfig::desktop(DEFAULT_CLIENT).with_endpoints(GoogleEndpoints::below(origin)?)
            }
        };
        Google::new(config.with_quota(quota))
    }

    pub(super) fn app(&self) -> AppId {
        AppId::new("google")
    }

    pub(super) fn own_domains(&self) -> Vec<String> {
        match self.kind {
            Kind::Live { .. } => Vec::new(),
            Kind::Ours { .. } | Kind::Running { .. } => vec!["northwind-sales.example".to_owned()],
        }
    }

    /// The redirect to ask for, and who follows the authorisation to it.
    pub(super) async fn browser(&self) -> Result<(String, Browser)> {
        match &self.kind {
            Kind::Live { .. } => {
                let loopback = Loopback::bind().await?;
                Ok((loopback.redirect()?, Browser::Person(loopback)))
            }
            Kind::Ours { origin, .. } | Kind::Running { origin } => {
                Ok(("http://127.0.0.1:1/callback".to_owned(), Browser::Simulated(origin.clone())))
            }
        }
    }

    pub(super) async fn stop(&mut self) -> Result<()> {
        if let Kind::Ours { sandbox, served, .. } = &mut self.kind {
            if let Some(served) = served.take() {
                served.shutdown().await;
            }
            sandbox.save().map_err(|error| wrong(format!("the sandbox's state cannot be kept: {error}")))?;
        }
        Ok(())
    }
}

/// A sandbox on a free loopback port; what it served is kept in a file beside the database.
async fn ours(arguments: &Arguments) -> Result<Kind> {
    let state = arguments.db.with_extension("sandbox.json");
    let mut settings = SandboxSettings::default();
    settings.gmail.quota = match arguments.quota.as_str() {
        "gmail-2026" => integration_testing::google::gmail::QuotaPreset::Gmail2026,
        "gmail-classic" => integration_testing::google::gmail::QuotaPreset::Classic,
        _ => integration_testing::google::gmail::QuotaPreset::Off,
    };
    let sandbox = Sandbox::google().with_settings(settings).with_state_file(&state).build();
    let sandbox = sandbox.map_err(|error| wrong(format!("{} cannot be used: {error}", state.display())))?;
    sandbox.register_person(OWNER, "Ada");
    let bundled = [mail::bundled()];
    let paths: &[PathBuf] = if arguments.mail.is_empty() { &bundled } else { &arguments.mail };
    let mut files = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        files.extend(mail::load(path)?.into_iter().map(|(name, bytes)| (format!("{index}/{name}"), bytes)));
    }
    sandbox.gmail().mailbox(OWNER).sync_folder(files, chrono::Utc::now());
    let served = sandbox.serve(([127, 0, 0, 1], 0).into()).await;
    let served = served.map_err(|error| wrong(format!("the sandbox finds no free port: {error}")))?;
    let origin = Url::parse(&format!("http://{}", served.addr())).map_err(|error| wrong(error.to_string()))?;
    Ok(Kind::Ours { sandbox, served: Some(served), origin })
}

/// Who follows an authorisation URL.
#[derive(Debug)]
pub(super) enum Browser {
    /// A person, in a real browser.
    Person(Loopback),
    /// Somebody in the sandbox who grants everything.
    Simulated(Url),
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
            Self::Simulated(origin) => press_allow(origin, url).await,
        }
    }
}

async fn press_allow(origin: &Url, url: &Url) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Back {
        url: Url,
    }
    let control = origin.join("/sandbox/consent").map_err(|error| wrong(error.to_string()))?;
    let body = serde_json::json!({ "url": url, "decision": "grant" }).to_string();
    let request = http::Request::post(control.as_str()).body(Body::from(body));
    let request = request.map_err(|error| wrong(error.to_string()))?;
    let unreachable = |error| {
        Error::new(ErrorKind::Transport, format!("no sandbox answers at {origin}; is it running?")).with_source(error)
    };
    let transport: Arc<dyn Transport> = Arc::new(ReqwestTransport::new()?);
    let answer = transport.execute(request).await.map_err(unreachable)?;
    let body = answer.into_body().collect(64 * 1024).await.map_err(unreachable)?;
    let back: Back = serde_json::from_slice(&body)
        .map_err(|_| wrong(format!("the sandbox refuses: {}", String::from_utf8_lossy(&body))))?;
    Ok(back.url.query().unwrap_or_default().to_owned())
}
