use super::*;

const ROOT: &str = "root@example.com";

fn managed(app: EntraApp) -> Sandbox {
    let sandbox = world_with(app);
    let tenant = Tenant::new("example.com").with_policy(ConsentPolicy::MicrosoftManaged);
    sandbox.microsoft().register_tenant(tenant);
    sandbox.microsoft().register_admin(ROOT, "Root");
    sandbox
}

fn link(sandbox: &Sandbox, tenant: &str, more: &[(&str, &str)]) -> Url {
    let usual = [("client_id", WEB), ("redirect_uri", BACK), ("scope", "Mail.Read User.Read"), ("state", "s1")];
    let kept = usual.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    let mut url = sandbox.microsoft_urls().admin_consent(tenant);
    url.query_pairs_mut().extend_pairs(kept.chain(more));
    url
}

fn person_asks(sandbox: &Sandbox) -> Url {
    ask(sandbox, MAIL, &[("client_id", WEB), ("redirect_uri", BACK), ("login_hint", ADA)])
}

#[tokio::test(start_paused = true)]
async fn an_administrators_consent_lets_everybody_in_the_tenant_connect() {
    let sandbox = managed(web());
    assert!(sandbox.consent(&person_asks(&sandbox), Consent::Grant).is_err());
    let link = link(&sandbox, "organizations", &[]);
    let back = sandbox.consent(&link, Consent::Grant).unwrap();
    let tenant = sandbox.microsoft().tenant("example.com").unwrap().id;
    assert_eq!(
        back.query_pairs().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
        [
            "admin_consent=True",
            &format!("tenant={tenant}"),
            "scope=https://graph.microsoft.com/Mail.Read https://graph.microsoft.com/User.Read",
            "state=s1"
        ]
    );
    // The person is still asked about what the administrator was not asked for, and may grant it.
    let code = code_of(&sandbox.consent(&person_asks(&sandbox), Consent::Grant).unwrap());
    let more = [("client_id", WEB), ("client_secret", "s3~cr+et"), ("redirect_uri", BACK)];
    let answer = send(&sandbox, redeem_at(&sandbox, "common", &code, &more)).await.json();
    assert_eq!(words(&answer), ["Mail.Read", "User.Read", "openid", "profile"]);
    sandbox.microsoft().withdraw_admin_consent("example.com", WEB);
    assert!(sandbox.consent(&ask(&sandbox, "Calendars.Read", &[("login_hint", ADA)]), Consent::Grant).is_err());
    sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn a_declined_admin_consent_says_so_and_changes_nothing() {
    let sandbox = managed(web());
    let back = sandbox.consent(&link(&sandbox, "example.com", &[]), Consent::Refuse).unwrap();
    assert_eq!(parameter(&back, "admin_consent").as_deref(), Some("True"));
    assert_eq!(error_in(&back), ("access_denied".to_owned(), "AADSTS65004".to_owned()));
    assert_eq!(parameter(&back, "state").as_deref(), Some("s1"));
    assert!(sandbox.consent(&person_asks(&sandbox), Consent::Grant).is_err());
}

#[tokio::test(start_paused = true)]
async fn only_administrators_of_the_tenant_may_decide() {
    let sandbox = managed(web());
    let microsoft = sandbox.microsoft();
    microsoft.register_admin("boss@other.example", "Boss");
    let here = link(&sandbox, "example.com", &[]);
    for person in [ADA, "boss@other.example"] {
        let page = sandbox.consent(&here, Consent::As(person)).unwrap_err();
        assert!(page.message.starts_with("AADSTS90094"), "{page}");
    }
    assert!(sandbox.consent(&link(&sandbox, "common", &[]), Consent::Grant).unwrap_err().message.contains("90023"));
    let elsewhere = link(&sandbox, "organizations", &[("redirect_uri", "https://elsewhere.example/")]);
    assert!(sandbox.consent(&elsewhere, Consent::Grant).unwrap_err().message.contains("50011"));
    let wrong = sandbox.consent(&link(&sandbox, "organizations", &[("scope", "Mail.X")]), Consent::Grant).unwrap();
    assert_eq!(error_in(&wrong).0, "invalid_scope");
}

#[tokio::test(start_paused = true)]
async fn the_page_is_for_administrators_and_its_buttons_decide() {
    let sandbox = managed(web());
    let url = link(&sandbox, "organizations", &[]);
    let page = send(&sandbox, get(&url, None)).await;
    assert!(page.text.contains(ROOT) && !page.text.contains(ADA) && page.text.contains("<li>Mail.Read</li>"));
    let press = |decision: &str| {
        let fields = [("request", url.query().unwrap()), ("account", ROOT), ("decision", decision)];
        form(sandbox.microsoft_urls().admin_consent("organizations"), &fields)
    };
    let back = send(&sandbox, press("cancel")).await;
    assert!(back.headers["location"].to_str().unwrap().contains("error=access_denied"));
    let back = send(&sandbox, press("accept")).await;
    assert!(back.headers["location"].to_str().unwrap().contains("admin_consent=True&tenant="));
    assert!(sandbox.consent(&person_asks(&sandbox), Consent::Grant).is_ok());
    sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn an_app_acts_for_itself_once_an_administrator_let_it_in() {
    let sandbox = managed(web().with_roles(&["Mail.Read", "User.Read.All"]).with_scopes(&["User.Read"]));
    assert_eq!(refused(&sandbox, app_only(&sandbox, "example.com", &[])).await, is("unauthorized_client", 700016));
    let all = link(&sandbox, "example.com", &[("scope", "https://graph.microsoft.com/.default")]);
    sandbox.consent(&all, Consent::Grant).unwrap();
    let answer = send(&sandbox, app_only(&sandbox, "example.com", &[])).await.json();
    assert!(answer["refresh_token"].is_null() && answer["id_token"].is_null() && answer["scope"].is_null());
    let token = text(&answer, "access_token");
    let seen = graph(&sandbox, &format!("users/{ADA}"), token).await;
    assert_eq!((seen.status, seen.json()["mail"].as_str()), (StatusCode::OK, Some(ADA)));
    assert_eq!(graph(&sandbox, "me", token).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(graph(&sandbox, "users/nobody@example.com", token).await.status, StatusCode::NOT_FOUND);
    sandbox.microsoft().register_person("eve@other.example", "Eve");
    for path in ["users/eve@other.example", "users/eve@other.example/messages"] {
        assert_eq!(graph(&sandbox, path, token).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(sandbox.books().token_requests("client_credentials"), 2);
    sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn app_only_tokens_need_a_concrete_tenant_everything_registered_and_a_secret() {
    let sandbox = managed(web().with_roles(&["Mail.Read"]));
    let all = link(&sandbox, "example.com", &[("scope", "https://graph.microsoft.com/.default")]);
    sandbox.consent(&all, Consent::Grant).unwrap();
    for tenant in ["common", "organizations", "consumers"] {
        assert_eq!(refused(&sandbox, app_only(&sandbox, tenant, &[])).await, is("invalid_request", 9001023));
    }
    let one = app_only(&sandbox, "example.com", &[("scope", "https://graph.microsoft.com/Mail.Read")]);
    assert_eq!(refused(&sandbox, one).await, is("invalid_scope", 70011));
    let public = app_only(&sandbox, "example.com", &[("client_id", DEFAULT_APP), ("client_secret", "")]);
    assert_eq!(refused(&sandbox, public).await, is("invalid_request", 7000218));
}
