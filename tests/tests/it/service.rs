//! The services whose mail the harnesses sync, and in what their sides of a sandbox differ.

use integration_core::{
    connection::{Capability, Connection},
    http::{Call, Cost, Repeat},
    hub::HubBuilder,
    ids::AppId,
    oauth::Authorise,
};
use integration_google::{GmailQuota, Google, GoogleConfig, GoogleEndpoints};
use integration_microsoft::{Cloud, Microsoft, MicrosoftConfig, MicrosoftEndpoints, OutlookQuota};
use integration_testing::{DEFAULT_APP, DEFAULT_CLIENT};

/// Which service a process signs in to if nobody has: see [`Service::name`].
const SERVICE: &str = "INTEGRATION_TEST_SERVICE";

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Service {
    Google,
    Microsoft,
}

/// What the owner of a mailbox does with a message elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Delete,
    Read,
    Restore,
    Star,
    Trash,
}

impl Service {
    pub(crate) const ALL: [Self; 2] = [Self::Google, Self::Microsoft];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Microsoft => "microsoft",
        }
    }

    pub(crate) fn app(self) -> AppId {
        AppId::new(self.name())
    }

    /// Whose mailbox it is.
    pub(crate) fn of(connection: &Connection) -> Self {
        Self::ALL.into_iter().find(|service| service.app() == connection.app).unwrap()
    }

    /// What this process was told; Google if nothing.
    pub(crate) fn told() -> Self {
        let name = std::env::var(SERVICE).unwrap_or_default();
        Self::ALL.into_iter().find(|service| service.name() == name).unwrap_or(Self::Google)
    }

    /// Tells a process.
    pub(crate) fn hand_to(self, command: &mut std::process::Command) -> &mut std::process::Command {
        command.env(SERVICE, self.name())
    }

    /// Where browsers are sent back to; nobody listens there. Google knows the loopback address by its number, Microsoft
    /// by its name.
    pub(crate) fn callback(self) -> &'static str {
        match self {
            Self::Google => "http://127.0.0.1:1/callback",
            Self::Microsoft => "http://localhost:1/callback",
        }
    }

    /// What the tests ask a person for.
    pub(crate) fn read_mail(self) -> Authorise {
        Authorise::new([Capability::Identity, Capability::MailRead], self.callback())
    }

    /// The smallest call that needs a token.
    pub(crate) fn profile(self, origin: &str) -> Call {
        let (operation, path) = match self {
            Self::Google => ("gmail.getProfile", "gmail/v1/users/me/profile"),
            Self::Microsoft => ("outlook.me", "v1.0/me"),
        };
        let request = http::Request::get(format!("{origin}/{path}")).body(bytes::Bytes::new()).unwrap();
        Call::new(operation, request, Cost::units(1), Repeat::Safe)
    }

    /// Its part of the sandbox's steering.
    pub(crate) fn steering(self) -> &'static str {
        match self {
            Self::Google => "",
            Self::Microsoft => "microsoft/",
        }
    }

    /// What the paths of all its mail calls have in common.
    pub(crate) fn mail(self) -> &'static str {
        match self {
            Self::Google => "gmail/v1",
            Self::Microsoft => "v1.0/",
        }
    }

    /// What the paths of the calls have in common that bring letters.
    pub(crate) fn reading(self) -> &'static str {
        match self {
            Self::Google => "/batch",
            Self::Microsoft => "/messages/delta",
        }
    }

    /// What the path of the first call has in it that a sync makes.
    pub(crate) fn first_call(self) -> &'static str {
        match self {
            Self::Google => "/messages",
            Self::Microsoft => "/mailFolders/delta",
        }
    }

    /// Steering: access tokens live so long from now on.
    pub(crate) fn token_life(self, seconds: u64) -> String {
        match self {
            Self::Google => format!("token_life?seconds={seconds}"),
            Self::Microsoft => {
                format!("microsoft/settings?token_life_seconds={seconds}&capable_token_life_seconds={seconds}")
            }
        }
    }

    /// Steering: something is done with a message.
    pub(crate) fn change(self, change: Change, account: &str, id: &str) -> String {
        let message = format!("account={account}&id={id}");
        let path = match (self, change) {
            (_, Change::Delete) => format!("remove?{message}"),
            (Self::Google, Change::Read) => format!("label?{message}&remove=UNREAD"),
            (Self::Google, Change::Restore) => format!("label?{message}&remove=UNREAD,TRASH&add=INBOX"),
            (Self::Google, Change::Star) => format!("label?{message}&add=STARRED"),
            (Self::Google, Change::Trash) => format!("label?{message}&add=TRASH&remove=INBOX"),
            (Self::Microsoft, Change::Read) => format!("mark?{message}&read=true"),
            (Self::Microsoft, Change::Restore) => format!("move?{message}&folder=inbox"),
            (Self::Microsoft, Change::Star) => format!("mark?{message}&flag=flagged"),
            (Self::Microsoft, Change::Trash) => format!("move?{message}&folder=deleteditems"),
        };
        [self.steering(), &path].concat()
    }
}

/// Tests of functions that each hold a promise at one service: one at each.
macro_rules! at_each_service {
    (@ $name:ident, $service:ident, $($promise:ident),+) => {
        mod $name {
            $(
                #[tokio::test(start_paused = true)]
                async fn $promise() {
                    super::$promise(crate::service::Service::$service).await;
                }
            )+
        }
    };
    ($($promise:ident),+ $(,)?) => {
        crate::service::at_each_service!(@ gmail, Google, $($promise),+);
        crate::service::at_each_service!(@ outlook, Microsoft, $($promise),+);
    };
}

pub(crate) use at_each_service;

pub(crate) fn google(origin: &str) -> GoogleConfig {
    let endpoints = GoogleEndpoints::below(&origin.parse().unwrap()).unwrap();
    GoogleConfig::desktop(DEFAULT_CLIENT).with_endpoints(endpoints)
}

pub(crate) fn microsoft(origin: &str) -> MicrosoftConfig {
    let endpoints = MicrosoftEndpoints::below(&origin.parse().unwrap(), Cloud::Global).unwrap();
    MicrosoftConfig::desktop(DEFAULT_APP).with_endpoints(endpoints)
}

/// Both services of a sandbox, with limits or without: which one a hub uses depends on where somebody signed in.
pub(crate) fn join(hub: HubBuilder, origin: &str, quotas: (GmailQuota, OutlookQuota)) -> HubBuilder {
    hub.with_connector(Google::new(google(origin).with_quota(quotas.0)).unwrap())
        .with_connector(Microsoft::new(microsoft(origin).with_quota(quotas.1)).unwrap())
}
