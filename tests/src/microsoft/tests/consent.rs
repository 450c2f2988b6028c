use super::*;

const MANAGED: ConsentPolicy = ConsentPolicy::MicrosoftManaged;

fn managed() -> Sandbox {
    let sandbox = world();
    sandbox.microsoft().register_tenant(Tenant::new("example.com").with_policy(MANAGED));
    sandbox
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_app_are_shown_on_the_services_own_page() {
    let sandbox = world_with(web().for_accounts(Audience::OneTenant("t".to_owned())));
    for (tenant, name, value, number) in [
        ("common", "client_id", "nobody", 700016),
        ("common", "redirect_uri", "https://elsewhere.example/", 50011),
        ("common", "redirect_uri", "http://localhost:7777/Callback", 50011),
        ("common", "client_id", WEB, 50194),
        ("nowhere.example", "state", "s", 90002),
    ] {
        let url = ask_at(&sandbox, tenant, MAIL, &[(name, value)]);
        let page = sandbox.consent(&url, Consent::Grant).unwrap_err();
        assert!(page.message.starts_with(&format!("AADSTS{number}:")), "{page}");
        let seen = send(&sandbox, get(&url, None)).await;
        assert!(seen.status.is_client_error() && seen.text.contains(&number.to_string()), "{}", seen.text);
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_request_come_back_with_the_state() {
    let sandbox = world();
    for (name, value, error, number) in [
        ("response_type", "token", "invalid_request", "AADSTS90023"),
        ("response_mode", "form_post", "invalid_request", "AADSTS90023"),
        ("scope", "Mail.Everything", "invalid_scope", "AADSTS70011"),
        ("scope", "https://graph.microsoft.com/.default Mail.Read", "invalid_scope", "AADSTS70011"),
        ("scope", "https://other.example/Mail.Read", "invalid_resource", "AADSTS500011"),
        ("code_challenge_method", "S1", "invalid_request", "AADSTS90023"),
        ("prompt", "sometimes", "invalid_request", "AADSTS90023"),
        ("claims", "none", "invalid_request", "AADSTS90023"),
    ] {
        let back = sandbox.consent(&ask(&sandbox, MAIL, &[(name, value)]), Consent::Grant).unwrap();
        assert_eq!(error_in(&back), (error.to_owned(), number.to_owned()), "{name}");
        assert_eq!(parameter(&back, "state").as_deref(), Some("st&te"));
    }
    let both = [("prompt", "select_account"), ("login_hint", ADA)];
    let back = sandbox.consent(&ask(&sandbox, MAIL, &both), Consent::Grant).unwrap();
    assert_eq!(error_in(&back).0, "invalid_request");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_back_and_nothing_can_be_unticked() {
    let sandbox = world();
    let url = ask(&sandbox, MAIL, &[]);
    let back = sandbox.consent(&url, Consent::Refuse).unwrap();
    assert_eq!(error_in(&back), ("access_denied".to_owned(), "AADSTS65004".to_owned()));
    assert!(sandbox.consent(&url, Consent::Untick(&["Mail.Read"])).is_err());
    let fragment = sandbox.consent(&ask(&sandbox, MAIL, &[("response_mode", "fragment")]), Consent::Grant).unwrap();
    assert!(fragment.query().is_none() && fragment.fragment().unwrap().contains("code="));
}

#[tokio::test(start_paused = true)]
async fn the_page_lists_the_scopes_and_its_buttons_decide() {
    let sandbox = world();
    sandbox.microsoft().register_person("bob@outlook.com", "Bob <b>");
    let url = ask(&sandbox, MAIL, &[("login_hint", "bob@outlook.com")]);
    let page = send(&sandbox, get(&url, None)).await;
    assert!(page.text.contains("<option value=\"bob@outlook.com\" selected>Bob &lt;b&gt; "), "{}", page.text);
    assert!(page.text.contains("<li>Mail.Read</li>") && !page.text.contains("checkbox"));
    let press = |decision: &str| {
        let fields = [("request", url.query().unwrap()), ("account", "bob@outlook.com"), ("decision", decision)];
        form(sandbox.microsoft_urls().authorisation("common"), &fields)
    };
    let back = send(&sandbox, press("cancel")).await;
    assert!(back.headers["location"].to_str().unwrap().contains("error=access_denied"));
    let back = send(&sandbox, press("accept")).await;
    let back = Url::parse(back.headers["location"].to_str().unwrap()).unwrap();
    let answer = send(&sandbox, redeem(&sandbox, &code_of(&back))).await.json();
    assert_eq!(claims(&answer)["tid"], PERSONAL_TENANT);
    // What was consented to is not asked again.
    let again = send(&sandbox, get(&url, None)).await;
    assert!(again.headers["location"].to_str().unwrap().contains("code="));
    sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn each_segment_lets_its_own_people_in() {
    let sandbox = world();
    let microsoft = sandbox.microsoft();
    microsoft.register_person("bob@outlook.com", "Bob");
    let other = microsoft.register_person("eve@other.example", "Eve").tenant;
    let at = |tenant: &str, person: &str| {
        sandbox.consent(&ask_at(&sandbox, tenant, MAIL, &[]), Consent::As(person)).map_err(|page| page.message)
    };
    assert!(at("consumers", "bob@outlook.com").is_ok() && at(PERSONAL_TENANT, "bob@outlook.com").is_ok());
    assert!(at("organizations", ADA).is_ok() && at("example.com", ADA).is_ok() && at("Example.com", ADA).is_ok());
    for (tenant, person) in [("consumers", ADA), ("organizations", "bob@outlook.com"), (other.as_str(), ADA)] {
        assert!(at(tenant, person).unwrap_err().starts_with("AADSTS50020"), "{tenant}");
    }
    microsoft.invite(ADA, "other.example");
    let code = code_of(&at(&other, ADA).unwrap());
    let guest = claims(&send(&sandbox, redeem_at(&sandbox, &other, &code, &[])).await.json());
    assert_eq!(guest["tid"], other.as_str());
    assert_ne!(guest["oid"], claims(&tokens_with(&sandbox, MAIL, &[("login_hint", ADA)]).await)["oid"]);
    microsoft.register_tenant(Tenant::new("china.example").in_cloud(Cloud::China));
    assert!(at("china.example", ADA).unwrap_err().starts_with("AADSTS90038"));
}

#[tokio::test(start_paused = true)]
async fn accounts_that_the_app_is_not_for_are_turned_away() {
    let sandbox = world_with(web().for_accounts(Audience::AnyTenant));
    sandbox.microsoft().register_person("bob@outlook.com", "Bob");
    let url = ask(&sandbox, MAIL, &[("client_id", WEB), ("redirect_uri", BACK)]);
    assert!(sandbox.consent(&url, Consent::As("bob@outlook.com")).unwrap_err().message.starts_with("AADSTS50020"));
    assert!(sandbox.consent(&url, Consent::As(ADA)).is_ok());
    sandbox.microsoft().change(ADA, |user| user.disabled = true);
    assert!(sandbox.consent(&url, Consent::As(ADA)).unwrap_err().message.starts_with("AADSTS50057"));
    let shared = sandbox.consent(&ask(&sandbox, "Mail.Read.Shared", &[]), Consent::As("bob@outlook.com")).unwrap();
    assert_eq!(error_in(&shared).0, "invalid_scope");
}

#[tokio::test(start_paused = true)]
async fn where_microsoft_manages_consent_mail_needs_an_administrator() {
    let sandbox = managed();
    let url = ask(&sandbox, MAIL, &[]);
    assert_eq!(sandbox.consent(&url, Consent::Grant).unwrap_err().error, "need_admin_approval");
    let harmless = ask(&sandbox, "openid profile User.Read Mail.Send", &[]);
    assert!(parameter(&sandbox.consent(&harmless, Consent::Grant).unwrap(), "code").is_some());
    for (blocked, error, number) in [
        (Blocked::AccessDenied, "access_denied", "AADSTS90094"),
        (Blocked::ConsentRequired, "consent_required", "AADSTS90094"),
        (Blocked::Requested, "access_denied", "AADSTS90095"),
    ] {
        sandbox.microsoft().change_settings(|settings| settings.blocked = blocked);
        let back = sandbox.consent(&url, Consent::Grant).unwrap();
        assert_eq!(error_in(&back), (error.to_owned(), number.to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_consent_outlives_a_stricter_policy_unless_it_is_asked_for_anew() {
    let sandbox = world();
    tokens(&sandbox, MAIL).await;
    sandbox.microsoft().register_tenant(Tenant::new("example.com").with_policy(MANAGED));
    assert!(parameter(&sandbox.consent(&ask(&sandbox, MAIL, &[]), Consent::Grant).unwrap(), "code").is_some());
    let anew = ask(&sandbox, MAIL, &[("prompt", "consent")]);
    assert_eq!(sandbox.consent(&anew, Consent::Grant).unwrap_err().error, "need_admin_approval");
}

#[tokio::test(start_paused = true)]
async fn the_other_policies_look_at_the_publisher_or_at_nothing() {
    let sandbox = world();
    let url = ask(&sandbox, "User.Read", &[]);
    let may = |policy: ConsentPolicy| {
        sandbox.microsoft().register_tenant(Tenant::new("example.com").with_policy(policy));
        sandbox.consent(&url, Consent::Grant).is_ok()
    };
    assert!(!may(ConsentPolicy::VerifiedPublishers) && !may(ConsentPolicy::Nobody));
    let directory = ask(&sandbox, "Directory.Read.All", &[]);
    sandbox.microsoft().register_tenant(Tenant::new("example.com"));
    assert_eq!(sandbox.consent(&directory, Consent::Grant).unwrap_err().error, "need_admin_approval");
    sandbox.microsoft().change_app(DEFAULT_APP, |app| app.verified_publisher = true);
    assert!(may(ConsentPolicy::VerifiedPublishers));
}

#[tokio::test(start_paused = true)]
async fn without_a_page_it_is_an_old_consent_or_an_error() {
    let sandbox = world();
    let url = ask(&sandbox, MAIL, &[("prompt", "none")]);
    let silent = || sandbox.consent(&url, Consent::Grant).unwrap();
    assert_eq!(error_in(&silent()).0, "consent_required");
    tokens(&sandbox, MAIL).await;
    assert!(parameter(&silent(), "code").is_some());
    sandbox.microsoft().change(ADA, |user| user.access = Some(ConditionalAccess::blocked(53003)));
    assert_eq!(error_in(&silent()), ("interaction_required".to_owned(), "AADSTS53003".to_owned()));
    let nobody = crate::tests::sandbox();
    let back = nobody.consent(&ask(&nobody, MAIL, &[("prompt", "none")]), Consent::Grant).unwrap();
    assert_eq!(error_in(&back), ("login_required".to_owned(), "AADSTS50058".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn signing_out_goes_where_it_is_asked_to_and_ends_no_token() {
    let sandbox = world();
    let answer = tokens(&sandbox, MAIL).await;
    let mut url = sandbox.microsoft_urls().logout("common");
    url.query_pairs_mut().append_pair("post_logout_redirect_uri", "https://app.example/bye");
    let seen = send(&sandbox, get(url, None)).await;
    assert_eq!(seen.headers["location"], "https://app.example/bye");
    assert_eq!(send(&sandbox, refresh(&sandbox, text(&answer, "refresh_token"))).await.status, StatusCode::OK);
    sandbox.assert_conforms();
}
