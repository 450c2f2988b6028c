//! `crm_sync --live`, as far as it goes without an account: up to the first call to the service.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use crate::run::{Place, example, run};

fn live(place: &Place, service: &str) -> Command {
    let mut command = example("crm_sync");
    // No program that would open the page for a person.
    command.current_dir(place.path()).env("PATH", "").args(["--db", "crm.db", "--live", service]);
    command
}

#[test]
fn whatever_is_missing_is_named_and_nothing_is_begun() {
    let place = Place::new();
    run(&mut live(&place, "google")).complains(1, "needs GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET in the environment");
    run(live(&place, "google").env("GOOGLE_CLIENT_ID", "id")).complains(1, "needs GOOGLE_CLIENT_SECRET in");
    run(&mut live(&place, "microsoft")).complains(1, "needs MICROSOFT_CLIENT_ID in the environment, of an app whose");
    let mut wrong = live(&place, "microsoft");
    wrong.env("MICROSOFT_CLIENT_ID", "id").env("MICROSOFT_TENANT", "https://contoso.com/");
    run(&mut wrong)
        .complains(1, "MICROSOFT_TENANT is common, organizations, consumers, or an organisation's id or domain");
    assert!(!place.at("crm.db").exists() && !place.at("crm.key").exists());
}

/// A run that waits for its browser.
struct Waiting {
    process: Child,
    told: BufReader<std::process::ChildStderr>,
    page: url::Url,
}

impl Waiting {
    fn new(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("http") {
            line.clear();
            assert_ne!(told.read_line(&mut line).unwrap(), 0, "it ended: {:?}", process.wait());
        }
        Self { process, told, page: line.trim().parse().unwrap() }
    }

    fn asks(&self, name: &str) -> String {
        self.page
            .query_pairs()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    }

    /// The browser comes back with this; gives what the program says at its end.
    fn comes_back(mut self, answer: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut back: url::Url = self.asks("redirect_uri").parse().unwrap();
        assert_eq!(back.path(), "/callback");
        back.query_pairs_mut().extend_pairs(answer).append_pair("state", &self.asks("state"));
        let mut browser = TcpStream::connect(("127.0.0.1", back.port().unwrap())).unwrap();
        let target = &back[url::Position::BeforePath..];
        write!(browser, "GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", back.authority()).unwrap();
        let mut shown = String::new();
        browser.read_to_string(&mut shown).unwrap();
        assert!(shown.ends_with("go back to the program."), "{shown}");
        let mut rest = String::new();
        self.told.read_to_string(&mut rest).unwrap();
        (self.process.wait().unwrap().code(), rest)
    }
}

#[test]
fn microsofts_page_is_that_of_whoever_can_sign_in_and_a_refusal_ends_the_run() {
    let place = Place::new();
    for tenant in ["", "common", "organizations", "consumers", "contoso.com", "72f988bf-86f1-41af-91ab-2d7cd011db47"] {
        let mut command = live(&place, "microsoft");
        command.env("MICROSOFT_CLIENT_ID", "an-id").env("MICROSOFT_TENANT", tenant);
        let waiting = Waiting::new(command);
        let expected = if tenant.is_empty() { "common" } else { tenant };
        let at = &waiting.page[..url::Position::AfterPath];
        assert_eq!(at, format!("https://login.microsoftonline.com/{expected}/oauth2/v2.0/authorize"));
        assert_eq!((waiting.asks("client_id"), waiting.asks("code_challenge_method")), ("an-id".into(), "S256".into()));
        let scopes = waiting.asks("scope");
        assert!(scopes.contains("Mail.Read") && scopes.contains("offline_access"), "{scopes}");
        assert!(waiting.asks("redirect_uri").starts_with("http://localhost:"), "{}", waiting.page);
        let refused = [("error", "access_denied"), ("error_description", "AADSTS65004: The user declined.")];
        let (code, told) = waiting.comes_back(&refused);
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("crm_sync: You said no to reading mail. Nothing was connected."), "{told}");
    }
}

#[test]
fn where_an_administrator_has_to_allow_it_their_page_is_named() {
    let place = Place::new();
    let mut command = live(&place, "microsoft");
    command.env("MICROSOFT_CLIENT_ID", "an-id").env("MICROSOFT_CLIENT_SECRET", "a-secret");
    let waiting = Waiting::new(command);
    let blocked = [("error", "access_denied"), ("error_description", "AADSTS90094: An administrator must grant it.")];
    let (code, told) = waiting.comes_back(&blocked);
    assert_eq!(code, Some(1), "{told}");
    let page = "The page for the administrator: https://login.microsoftonline.com/organizations/v2.0/adminconsent?";
    assert!(told.contains(page) && !told.contains("a-secret"), "{told}");
}

#[test]
fn googles_page_is_the_one_of_the_real_service() {
    let place = Place::new();
    let mut command = live(&place, "google");
    command.env("GOOGLE_CLIENT_ID", "an-id").env("GOOGLE_CLIENT_SECRET", "a-secret");
    let waiting = Waiting::new(command);
    assert_eq!(&waiting.page[..url::Position::AfterPath], "https://accounts.google.com/o/oauth2/v2/auth");
    assert!(waiting.asks("redirect_uri").starts_with("http://127.0.0.1:"), "{}", waiting.page);
    let (code, told) = waiting.comes_back(&[("error", "access_denied")]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("Nothing was connected."), "{told}");
}
