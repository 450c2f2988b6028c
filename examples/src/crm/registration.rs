//! A client of one's own at the real service, as the environment names it.

use integration_core::Result;
use integration_google::{GoogleConfig, GoogleEndpoints};
use integration_microsoft::{MicrosoftConfig, TenantKind};

use super::{Service, far_side::wrong};

/// A client registration.
#[derive(Debug)]
pub(super) struct Registration {
    client_id: String,
    client_secret: Option<String>,
    tenant: TenantKind,
}

impl Registration {
    /// Looks the service's variables up. One without a value is none.
    ///
    /// # Errors
    /// `InvalidInput`, with the name of each that is missing, or of the one that is wrong.
    pub(super) fn of(service: Service, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let name = |what: &str| format!("{}_{what}", service.name().to_uppercase());
        let value =
            |what: &str| variable(&name(what)).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let (client_id, client_secret) = (value("CLIENT_ID"), value("CLIENT_SECRET"));
        let tenant = value("TENANT").map(|text| tenant(&name("TENANT"), &text)).transpose()?.unwrap_or_default();
        // Google gives desktop clients a secret, too, and wants it; Microsoft's have none.
        let secret_is_missing = service == Service::Google && client_secret.is_none();
        let missing = [("CLIENT_ID", client_id.is_none()), ("CLIENT_SECRET", secret_is_missing)];
        let missing: Vec<String> = missing.iter().filter(|(_, missing)| *missing).map(|(what, _)| name(what)).collect();
        match client_id {
            Some(client_id) if missing.is_empty() => Ok(Self { client_id, client_secret, tenant }),
            _ => Err(wrong(lacking(service, &missing))),
        }
    }

    pub(super) fn google(&self) -> GoogleConfig {
        let config = GoogleConfig::desktop(self.client_id.clone()).with_endpoints(GoogleEndpoints::live());
        match &self.client_secret {
            Some(secret) => config.with_client_secret(secret.clone()),
            None => config,
        }
    }

    pub(super) fn microsoft(&self) -> MicrosoftConfig {
        let config = match &self.client_secret {
            Some(secret) => MicrosoftConfig::web(self.client_id.clone(), secret.clone()),
            None => MicrosoftConfig::desktop(self.client_id.clone()),
        };
        config.with_tenant(self.tenant.clone())
    }
}

fn tenant(name: &str, text: &str) -> Result<TenantKind> {
    text.parse().map_err(|_| {
        let known = "common, organizations, consumers, or an organisation's id or domain";
        wrong(format!("{name} is {known}, not {text}"))
    })
}

fn lacking(service: Service, missing: &[String]) -> String {
    let which = match service {
        Service::Google => "a client of the type Desktop app (docs/going-live.md says how to make one)",
        Service::Microsoft => {
            "an app whose redirect is http://localhost (docs/going-live.md says how to make one); with \
             MICROSOFT_CLIENT_SECRET if that redirect is of the type Web, and MICROSOFT_TENANT if not everybody can sign in"
        }
    };
    format!("--live {} needs {} in the environment, of {which}", service.name(), missing.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::{Registration, Service, TenantKind};

    fn of(service: Service, set: &[(&str, &str)]) -> Result<Registration, String> {
        let value = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Registration::of(service, value).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn whatever_is_missing_is_named() {
        let id = ("GOOGLE_CLIENT_ID", "id");
        for (service, set, told) in [
            (
                Service::Google,
                vec![],
                "--live google needs GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET in the environment",
            ),
            (Service::Google, vec![id], "--live google needs GOOGLE_CLIENT_SECRET in"),
            (Service::Google, vec![id, ("GOOGLE_CLIENT_SECRET", " ")], "--live google needs GOOGLE_CLIENT_SECRET in"),
            (Service::Microsoft, vec![], "--live microsoft needs MICROSOFT_CLIENT_ID in the environment"),
            (Service::Microsoft, vec![("MICROSOFT_TENANT", "a/b")], "MICROSOFT_TENANT is common, organizations"),
        ] {
            let error = of(service, &set).unwrap_err();
            assert!(error.starts_with(told), "{error}");
        }
    }

    #[test]
    fn whoever_can_sign_in_is_a_word_an_id_or_a_domain() {
        let organisation = |name: &str| TenantKind::Tenant(name.to_owned());
        for (text, tenant) in [
            ("", TenantKind::Common),
            ("common", TenantKind::Common),
            ("organizations", TenantKind::Organizations),
            ("consumers", TenantKind::Consumers),
            ("contoso.com", organisation("contoso.com")),
            ("72f988bf-86f1-41af-91ab-2d7cd011db47", organisation("72f988bf-86f1-41af-91ab-2d7cd011db47")),
        ] {
            let config = of(Service::Microsoft, &[("MICROSOFT_CLIENT_ID", "id"), ("MICROSOFT_TENANT", text)]);
            assert_eq!(config.unwrap().microsoft().tenant, tenant, "{text}");
        }
    }
}
