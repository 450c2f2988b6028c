use super::*;

#[tokio::test(start_paused = true)]
async fn a_grant_brings_tokens_and_says_who_signed_in() {
    let sandbox = world();
    let back = sandbox.consent(&ask(&sandbox, &format!("{MAIL} email"), &[("nonce", "n1")]), Consent::Grant).unwrap();
    assert!(back.as_str().starts_with(REDIRECT));
    assert_eq!(parameter(&back, "state").as_deref(), Some("st&te"));
    let answer = send(&sandbox, redeem(&sandbox, &code_of(&back))).await.json();
    assert_eq!((&answer["expires_in"], text(&answer, "token_type")), (&json!(3_599), "Bearer"));
    assert_eq!(words(&answer), ["Mail.Read", "email", "openid", "profile"]);
    let ada = sandbox.microsoft().people().remove(0);
    let claims = claims(&answer);
    assert_eq!(claims["iss"], format!("{}/{}/v2.0", crate::ORIGIN, ada.tenant));
    assert_eq!(
        (&claims["tid"], &claims["oid"], &claims["aud"]),
        (&json!(ada.tenant), &json!(ada.oid), &json!(DEFAULT_APP))
    );
    assert_eq!(
        (&claims["nonce"], &claims["email"], &claims["preferred_username"]),
        (&json!("n1"), &json!(ADA), &json!(ADA))
    );
    let seen = send(&sandbox, me(&sandbox, text(&answer, "access_token"))).await;
    assert_eq!(seen.status, StatusCode::FORBIDDEN, "User.Read was not asked for");
    sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn graph_knows_whom_a_token_stands_for() {
    let sandbox = world();
    let answer = tokens(&sandbox, "openid profile User.Read").await;
    let seen = send(&sandbox, me(&sandbox, text(&answer, "access_token"))).await.json();
    assert_eq!((&seen["id"], &seen["mail"]), (&claims(&answer)["oid"], &json!(ADA)));
    assert_eq!((&seen["displayName"], &seen["userPrincipalName"]), (&json!("Ada Example"), &json!(ADA)));
    let own = graph(&sandbox, &format!("users/{ADA}?$select=id"), text(&answer, "access_token")).await.json();
    assert_eq!((&own["id"], own["mail"].is_null()), (&seen["id"], true));
    let last = sandbox.calls().pop().unwrap();
    assert_eq!((last.service.as_str(), last.account.as_deref()), ("microsoft", Some(ADA)));
    sandbox.microsoft().register_person("bob@example.com", "Bob");
    let other = graph(&sandbox, "users/bob@example.com", text(&answer, "access_token")).await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);
    let seen = send(&sandbox, me(&sandbox, "invented")).await;
    assert_eq!(
        (seen.status, text(&seen.json()["error"], "code")),
        (StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken")
    );
    assert!(seen.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer "));
    tokio::time::advance(Duration::from_secs(3_599)).await;
    assert_eq!(send(&sandbox, me(&sandbox, text(&answer, "access_token"))).await.status, StatusCode::UNAUTHORIZED);
    sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn the_subject_is_another_for_every_app() {
    let sandbox = world_with(EntraApp::desktop("other").with_redirect(REDIRECT));
    let first = claims(&tokens(&sandbox, MAIL).await);
    let code = code(&sandbox, MAIL, &[("client_id", "other")]);
    let other = claims(&send(&sandbox, redeem_at(&sandbox, "common", &code, &[("client_id", "other")])).await.json());
    assert_eq!(first["oid"], other["oid"]);
    assert_ne!(first["sub"], other["sub"]);
}

#[tokio::test(start_paused = true)]
async fn answers_spell_scopes_as_they_like_and_drop_some() {
    let sandbox = world();
    sandbox.microsoft().change_settings(|settings| {
        settings.spelling = Spelling::Full;
        settings.answers_offline_access = true;
        settings.dropped_scopes = scopes::set(&["Mail.Send"]);
    });
    let answer = tokens(&sandbox, "openid offline_access Mail.Read https://graph.microsoft.com/mail.send").await;
    assert_eq!(words(&answer), ["https://graph.microsoft.com/Mail.Read", "offline_access", "openid"]);
    assert!(answer["refresh_token"].is_string());
}

#[tokio::test(start_paused = true)]
async fn without_offline_access_there_is_no_refresh_token_and_grants_add_up() {
    let sandbox = world();
    let answer = tokens(&sandbox, "openid Mail.Read").await;
    assert!(answer["refresh_token"].is_null() && answer["id_token"].is_string());
    let more = tokens(&sandbox, "openid offline_access Calendars.Read").await;
    assert_eq!(words(&more), ["Calendars.Read", "Mail.Read", "openid"]);
}

#[tokio::test(start_paused = true)]
async fn a_code_needs_its_verifier_its_redirect_its_client_and_its_segment() {
    let sandbox = world_with(web());
    let code = code(&sandbox, MAIL, &[]);
    for (name, value, error, number) in [
        ("code_verifier", "", "invalid_grant", 501481),
        ("code_verifier", "another-verifier-that-is-long-enough-to-be-one", "invalid_grant", 501481),
        ("redirect_uri", "http://localhost:7778/callback", "invalid_grant", 50011),
        ("client_id", "nobody", "unauthorized_client", 700016),
        ("code", "1.invented", "invalid_grant", 70000),
        ("code", "", "invalid_request", 900144),
        ("grant_type", "password", "unsupported_grant_type", 70003),
        ("grant_type", "", "invalid_request", 900144),
    ] {
        let request = redeem_at(&sandbox, "common", &code, &[(name, value)]);
        assert_eq!(refused(&sandbox, request).await, is(error, number), "{name}");
    }
    let stolen = redeem_at(&sandbox, "common", &code, &[("client_id", WEB), ("client_secret", "s3~cr+et")]);
    assert_eq!(refused(&sandbox, stolen).await, is("invalid_grant", 70000));
    for tenant in ["organizations", "example.com"] {
        assert_eq!(refused(&sandbox, redeem_at(&sandbox, tenant, &code, &[])).await, is("invalid_grant", 700005));
    }
    assert_eq!(refused(&sandbox, redeem_at(&sandbox, "nowhere", &code, &[])).await, is("invalid_request", 90002));
    assert_eq!(send(&sandbox, redeem(&sandbox, &code)).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_code_works_once_and_for_ten_minutes() {
    let sandbox = world();
    let once = code(&sandbox, MAIL, &[]);
    let answer = send(&sandbox, redeem(&sandbox, &once)).await.json();
    assert_eq!(refused(&sandbox, redeem(&sandbox, &once)).await, is("invalid_grant", 54005));
    assert_eq!(send(&sandbox, refresh(&sandbox, text(&answer, "refresh_token"))).await.status, StatusCode::OK);
    let old = code(&sandbox, MAIL, &[]);
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(refused(&sandbox, redeem(&sandbox, &old)).await, is("invalid_grant", 70008));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_rotates_and_the_old_token_stays_good() {
    let sandbox = world();
    let first = tokens(&sandbox, MAIL).await;
    let old = text(&first, "refresh_token");
    let second = send(&sandbox, refresh(&sandbox, old)).await.json();
    assert_ne!(text(&second, "refresh_token"), old);
    assert_eq!(send(&sandbox, refresh(&sandbox, old)).await.status, StatusCode::OK);
    assert_eq!(sandbox.microsoft().live_refresh_tokens(ADA), 3);
    assert_eq!(refused(&sandbox, refresh(&sandbox, "1.Ainvented")).await, is("invalid_grant", 70000));
    assert_eq!(sandbox.books().service("microsoft").token_requests["refresh_token"], 3);
    sandbox.microsoft().forget_tokens(ADA, DEFAULT_APP);
    assert_eq!(refused(&sandbox, refresh(&sandbox, old)).await, is("invalid_grant", 70000));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_may_ask_for_less_and_not_for_what_nobody_consented_to() {
    let sandbox = world();
    let answer = tokens(&sandbox, "openid offline_access Mail.Read User.Read").await;
    let token = text(&answer, "refresh_token");
    let with = |scope: &'static str| refresh_at(&sandbox, "common", token, &[("scope", scope)]);
    assert_eq!(words(&send(&sandbox, with("openid User.Read offline_access")).await.json()), ["User.Read", "openid"]);
    assert_eq!(
        words(&send(&sandbox, with("openid offline_access")).await.json()),
        ["Mail.Read", "User.Read", "openid"]
    );
    assert_eq!(refused(&sandbox, with("Mail.Send")).await, is("invalid_grant", 65001));
    assert_eq!(refused(&sandbox, with("Mail.Everything")).await, is("invalid_scope", 70011));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_belongs_to_its_segment_or_to_the_tenant_signed_in_to() {
    let sandbox = world();
    sandbox.microsoft().register_person("eve@other.example", "Eve");
    let answer = tokens(&sandbox, MAIL).await;
    let token = text(&answer, "refresh_token");
    let at = |tenant: &'static str| refresh_at(&sandbox, tenant, token, &[]);
    assert_eq!(send(&sandbox, at("example.com")).await.status, StatusCode::OK);
    for tenant in ["organizations", "consumers", "other.example"] {
        assert_eq!(refused(&sandbox, at(tenant)).await, is("invalid_grant", 700005));
    }
    sandbox.microsoft().change_settings(|settings| settings.refresh_at = RefreshAt::SameSegment);
    assert_eq!(refused(&sandbox, at("example.com")).await, is("invalid_grant", 700005));
}

#[tokio::test(start_paused = true)]
async fn an_idle_refresh_token_dies_after_ninety_days_and_a_loop_is_told() {
    let sandbox = world();
    let answer = tokens(&sandbox, MAIL).await;
    let token = text(&answer, "refresh_token");
    tokio::time::advance(DAY * 89).await;
    assert_eq!(send(&sandbox, refresh(&sandbox, token)).await.status, StatusCode::OK);
    sandbox.microsoft().change_settings(|settings| settings.loop_limit = Some(2));
    assert_eq!(send(&sandbox, refresh(&sandbox, token)).await.status, StatusCode::OK);
    assert_eq!(refused(&sandbox, refresh(&sandbox, token)).await, is("invalid_grant", 50196));
    tokio::time::advance(DAY * 90).await;
    assert_eq!(refused(&sandbox, refresh(&sandbox, token)).await, is("invalid_grant", 700082));
    assert_eq!(sandbox.microsoft().live_refresh_tokens(ADA), 0);
}

#[tokio::test(start_paused = true)]
async fn secrets_are_checked_and_end() {
    let end = "2026-03-02T08:00:00Z".parse().unwrap();
    let sandbox = world_with(web().with_secret("older", Some(end)));
    let pair = [("client_id", WEB), ("redirect_uri", BACK)];
    let code = code(&sandbox, MAIL, &pair);
    let with = |secret: &'static str| {
        redeem_at(&sandbox, "common", &code, &[("client_id", WEB), ("redirect_uri", BACK), ("client_secret", secret)])
    };
    assert_eq!(refused(&sandbox, with("wrong")).await, is("invalid_client", 7000215));
    assert_eq!(refused(&sandbox, with("")).await, is("invalid_request", 7000218));
    let answer = send(&sandbox, with("older")).await.json();
    tokio::time::advance(DAY).await;
    let again = |secret: &'static str| {
        refresh_at(&sandbox, "common", text(&answer, "refresh_token"), &[("client_id", WEB), ("client_secret", secret)])
    };
    let seen = send(&sandbox, again("older")).await;
    assert_eq!((seen.status, &seen.json()["error_codes"][0]), (StatusCode::UNAUTHORIZED, &json!(7000222)));
    assert_eq!(send(&sandbox, again("s3~cr+et")).await.status, StatusCode::OK);
    let public = redeem_at(&sandbox, "common", &code, &[("client_secret", "any")]);
    assert_eq!(refused(&sandbox, public).await, is("invalid_client", 700025));
    sandbox.microsoft().change_app(WEB, |app| app.disabled = true);
    assert_eq!(refused(&sandbox, again("s3~cr+et")).await, is("unauthorized_client", 7000112));
}

#[tokio::test(start_paused = true)]
async fn errors_carry_what_a_support_request_needs() {
    let sandbox = world();
    let mut request = refresh(&sandbox, "invented");
    request.headers_mut().insert("client-request-id", "7c2c0c2e-0000-4000-8000-000000000001".parse().unwrap());
    let body = send(&sandbox, request).await.json();
    assert_eq!(body["correlation_id"], "7c2c0c2e-0000-4000-8000-000000000001");
    assert_eq!(body["timestamp"], "2026-03-01 08:00:00Z");
    assert!(tenant::is_guid(text(&body, "trace_id")) && text(&body, "error_description").contains("Trace ID: "));
    let mut request = refresh(&sandbox, "invented");
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    assert_eq!(refused(&sandbox, request).await, is("invalid_request", 900144));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_signs_in_with_an_assertion_of_the_new_form() {
    let (key, other) = (SigningKey::generate(), SigningKey::generate());
    let certificate = ClientCertificate::from_der(&key.to_certificate("app")).unwrap();
    let (print, old_print) = (certificate.thumbprint.clone(), certificate.old_thumbprint.clone());
    let app = EntraApp { client_id: WEB.to_owned(), ..EntraApp::default() }.with_certificate(certificate);
    let sandbox = world_with(app.with_redirect(BACK));
    let code = code(&sandbox, MAIL, &[("client_id", WEB), ("redirect_uri", BACK)]);
    let answer = {
        let first = assertion(&sandbox, &key, &print, &[("jti", json!("1"))]);
        let fields: Vec<_> = proved(&first).into_iter().chain([("redirect_uri", BACK)]).collect();
        send(&sandbox, redeem_at(&sandbox, "common", &code, &fields)).await.json()
    };
    let token = text(&answer, "refresh_token");
    let check = async |assertion: String, number: u32| {
        let request = refresh_at(&sandbox, "common", token, &proved(&assertion));
        assert_eq!(refused(&sandbox, request).await, is("invalid_client", number));
    };
    let now = sandbox.now().timestamp();
    check(assertion(&sandbox, &key, &print, &[("jti", json!("1"))]), 700027).await;
    check(assertion(&sandbox, &other, &print, &[("jti", json!("2"))]), 700027).await;
    check(assertion(&sandbox, &key, "elsewhere", &[("jti", json!("3"))]), 700027).await;
    check(assertion(&sandbox, &key, &print, &[("jti", json!(null))]), 700027).await;
    for (claim, value, number) in [
        ("aud", json!("https://elsewhere.example/token"), 700027),
        ("sub", json!("somebody"), 700027),
        ("exp", json!(now - 301), 50013),
        ("exp", json!(now + 601), 50013),
        ("nbf", json!(now + 301), 50013),
    ] {
        check(assertion(&sandbox, &key, &print, &[("jti", json!("4")), (claim, value)]), number).await;
    }
    let old = key
        .sign_jwt_as(&json!({"alg": "RS256", "x5t": old_print}), &assertion_claims(&sandbox, &[("jti", json!("5"))]));
    check(old.clone(), 700027).await;
    sandbox.microsoft().change_settings(|settings| settings.accepts_old_assertions = true);
    let request = refresh_at(&sandbox, "common", token, &proved(&old));
    assert_eq!(send(&sandbox, request).await.status, StatusCode::OK);
    sandbox.assert_conforms();
}

fn assertion_claims(sandbox: &Sandbox, more: &[(&str, Value)]) -> Value {
    let now = sandbox.now().timestamp();
    let mut claims = json!({
        "aud": sandbox.microsoft_urls().token("common"), "iss": WEB, "sub": WEB, "nbf": now, "iat": now, "exp": now + 600,
    });
    for (name, value) in more {
        claims[*name] = value.clone();
    }
    claims
}

fn assertion(sandbox: &Sandbox, key: &SigningKey, print: &str, more: &[(&str, Value)]) -> String {
    let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": print});
    key.sign_jwt_as(&header, &assertion_claims(sandbox, more))
}

fn proved(assertion: &str) -> [(&str, &str); 3] {
    [
        ("client_id", WEB),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_id_token_is_signed_with_a_published_key_also_after_a_rotation() {
    let sandbox = world();
    let old = tokens(&sandbox, MAIL).await;
    sandbox.microsoft().rotate_keys();
    let new = tokens(&sandbox, MAIL).await;
    let seen = send(&sandbox, get(sandbox.microsoft_urls().jwks("common"), None)).await.json();
    let kids: Vec<_> = [new, old]
        .iter()
        .map(|answer| crate::keys::Assertion::parse(text(answer, "id_token")).unwrap().header["kid"].clone())
        .collect();
    assert_eq!([&seen["keys"][0]["kid"], &seen["keys"][1]["kid"]], [&kids[0], &kids[1]]);
    sandbox.microsoft().jwks_outage(true);
    let seen = send(&sandbox, get(sandbox.microsoft_urls().jwks("common"), None)).await;
    assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn discovery_leaves_the_tenant_open_where_anybody_signs_in() {
    let sandbox = world();
    let read = async |tenant: &str| send(&sandbox, get(sandbox.microsoft_urls().discovery(tenant), None)).await.json();
    let id = sandbox.microsoft().tenant("example.com").unwrap().id;
    for (tenant, issuer) in [
        ("common", "{tenantid}"),
        ("organizations", "{tenantid}"),
        ("consumers", PERSONAL_TENANT),
        ("example.com", id.as_str()),
    ] {
        let document = read(tenant).await;
        assert_eq!(document["issuer"], format!("{}/{issuer}/v2.0", crate::ORIGIN));
        assert_eq!(document["token_endpoint"], sandbox.microsoft_urls().token(tenant).as_str());
        assert_eq!(document["jwks_uri"], sandbox.microsoft_urls().jwks(tenant).as_str());
        assert!(document["revocation_endpoint"].is_null());
    }
    assert_eq!(read("nowhere.example").await["error_codes"][0], 90002);
    sandbox.microsoft().change_settings(|settings| settings.issuer_origin = Some("https://login.example/".to_owned()));
    assert_eq!(read("consumers").await["issuer"], format!("https://login.example/{PERSONAL_TENANT}/v2.0"));
    sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn userinfo_tells_what_the_scopes_allow() {
    let sandbox = world();
    let read = async |scope: &str| {
        let answer = tokens(&sandbox, scope).await;
        send(&sandbox, get(sandbox.microsoft_urls().userinfo(), Some(text(&answer, "access_token")))).await.json()
    };
    let bare = read("openid").await;
    assert!(bare["sub"].is_string() && bare["email"].is_null() && bare["name"].is_null());
    let full = read("openid profile email").await;
    assert_eq!((&full["email"], &full["given_name"]), (&json!(ADA), &json!("Ada")));
    let seen = send(&sandbox, get(sandbox.microsoft_urls().userinfo(), None)).await;
    assert_eq!(seen.status, StatusCode::UNAUTHORIZED);
}
