//! The backend on Postgres: connected in a real browser, killed in the middle, and nothing lost or doubled.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    time::Duration,
};

use integration_core::http::{Body, ReqwestTransport, Transport};
use integration_testing::{
    browser::{Browser, Tab},
    postgres::Postgres,
};
use sqlx::{Connection, PgConnection};

use crate::run::{Sandbox, example};

const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const UP_TO_DATE: &str = "document.querySelector('.state').innerText === 'Up to date'";

/// Killed when dropped.
struct Backend {
    process: Child,
    origin: String,
}

impl Backend {
    fn start(listen: &str, database: &str, sandbox: &Sandbox) -> Self {
        let mut process = example("axum_postgres")
            .args(["--listen", listen, "--sandbox", &sandbox.origin])
            .env("DATABASE_URL", database)
            .env("INTEGRATION_KEY", KEY)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let origin = line.split_whitespace().nth(1).unwrap().trim_end_matches('/').to_owned();
        Self { process, origin }
    }

    fn listen(&self) -> &str {
        self.origin.trim_start_matches("http://")
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_browser_here() -> bool {
    let found = Browser::find().is_some();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "no Chromium on a build machine: install the package `chromium`");
        println!("not tested in a browser: there is no Chromium here (install the package `chromium`)");
    }
    found
}

/// Ada signs in at the host, and connects her mailbox.
async fn connect(browser: &Browser, origin: &str) -> Tab {
    let tab = browser.tab().await.unwrap();
    tab.open(&format!("{origin}/login?as=ada")).await.unwrap();
    tab.open(&format!("{origin}/accounts/connect")).await.unwrap();
    tab.follow("form button").await.unwrap();
    tab.follow("button[value=allow]").await.unwrap();
    assert_eq!(tab.text("h1").await.unwrap(), "ada@example.com is connected");
    tab
}

/// Opens the status page again and again: a backend may be killed while the page is on its way, and the browser shows a page
/// of its own then, which a person reloads. A sync may wait for the next minute's quota.
async fn until_up_to_date(tab: &Tab, origin: &str) {
    for _ in 0..18 {
        if tokio::time::timeout(Duration::from_secs(10), tab.until(UP_TO_DATE)).await.is_ok() {
            return;
        }
        tab.open(&format!("{origin}/accounts/status")).await.unwrap();
    }
    panic!("never up to date: {}", tab.text("body").await.unwrap());
}

/// Somebody sends the form: where the answer leads to.
async fn write(origin: &str, user: &str, number: usize) -> String {
    let form = format!("key=letter-{number}&to=bo%40acme.example&subject=Offer+{number}&text=As+promised.");
    let request = http::Request::post(format!("{origin}/send"))
        .header("cookie", format!("crm_user={user}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .unwrap();
    let answer = ReqwestTransport::new().unwrap().execute(request).await.unwrap();
    assert_eq!(answer.status(), 303, "{user}, letter {number}");
    answer.headers()["location"].to_str().unwrap().to_owned()
}

/// How many messages the mailbox holds at the service, sent ones included.
async fn kept(sandbox: &Sandbox) -> usize {
    sandbox.ask("GET", "messages?account=ada@example.com", "").await["ids"].as_array().unwrap().len()
}

/// The ids in a column, in an order that is no database's.
async fn ids(database: &mut PgConnection, select: &'static str) -> Vec<String> {
    let rows: Vec<(String,)> = sqlx::query_as(select).fetch_all(database).await.unwrap();
    let mut ids: Vec<String> = rows.into_iter().map(|(id,)| id).collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_killed_goes_on_where_it_was_and_its_mail_leaves_once() {
    let Some(server) = Postgres::shared().await.filter(|_| is_browser_here()) else { return };
    let mail = concat!(env!("CARGO_MANIFEST_DIR"), "/sample/mail");
    let sandbox = Sandbox::start(&["--mail", mail, "--person", "ada@example.com"]);
    let database = server.database().await;
    let mut rows = PgConnection::connect(database.url()).await.unwrap();
    let first = Backend::start("127.0.0.1:0", database.url(), &sandbox);
    let (listen, origin) = (first.listen().to_owned(), first.origin.clone());

    let browser = Browser::launch().await.unwrap();
    let tab = connect(&browser, &origin).await;
    tab.follow("main a.button").await.unwrap();
    let some = "SELECT id FROM crm_activity";
    while ids(&mut rows, some).await.is_empty() {
        tokio::task::yield_now().await;
    }
    drop(first);
    let before = ids(&mut rows, some).await.len();
    // The page in the browser goes on with whoever answers at the address.
    let second = Backend::start(&listen, database.url(), &sandbox);
    let third = Backend::start("127.0.0.1:0", database.url(), &sandbox);
    until_up_to_date(&tab, &origin).await;
    let after = ids(&mut rows, some).await;
    let ours = "SELECT key FROM integration_state WHERE tenant = 'acme' AND space = 'activity'";
    assert_eq!(after, ids(&mut rows, ours).await, "the host's rows are those that were committed with the cursor");
    println!("killed with {before} activities there, ended with {}", after.len());
    assert!(before < after.len(), "it was killed in the middle");

    let there = kept(&sandbox).await;
    tab.open(&format!("{origin}/")).await.unwrap();
    let fill = "for (const [name, value] of [['to', 'bo@acme.example'], ['subject', 'Offer 7'], ['text', 'As promised.']]) \
                document.querySelector(`[name=${name}]`).value = value";
    tab.eval(fill).await.unwrap();
    tab.follow("form button").await.unwrap();
    while !tab.text("#sent").await.unwrap().contains(": sent") {
        tab.open(&format!("{origin}/")).await.unwrap();
    }
    assert_eq!(tab.text("#sent").await.unwrap(), "Offer 7 to bo@acme.example: sent");
    assert_eq!(kept(&sandbox).await, there + 1, "it left once");
    drop((second, third));
    browser.close().await.unwrap();
}

const LETTERS: usize = 12;

/// Notes under which name a connection claims a job, and commits an activity or the end of an intent.
const WATCH: &str = "
    CREATE TABLE worked (who TEXT NOT NULL, what TEXT NOT NULL);
    CREATE FUNCTION note_work() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO worked VALUES (current_setting('application_name'), TG_ARGV[0]);
        RETURN NEW;
    END $$;
    CREATE TRIGGER note_claim AFTER UPDATE ON crm_job FOR EACH ROW WHEN (NEW.due > OLD.due)
        EXECUTE FUNCTION note_work('claim');
    CREATE TRIGGER note_commit AFTER INSERT OR UPDATE ON integration_state FOR EACH ROW
        WHEN (NEW.space = 'activity' OR NEW.space = 'outbox' AND convert_from(NEW.bytes, 'UTF8') LIKE '%\"state\":\"done\"%')
        EXECUTE FUNCTION note_work('commit')";

/// The same database, to which the backend says its name.
fn named(database: &str, name: usize) -> String {
    let mut url: url::Url = database.parse().unwrap();
    url.query_pairs_mut().append_pair("application_name", &format!("backend{name}"));
    url.into()
}

/// Who did how much of the work, by what was noted.
async fn assert_shared(rows: &mut PgConnection) {
    let ask = "SELECT what, who, count(*) FROM worked GROUP BY what, who ORDER BY what, who";
    let worked: Vec<(String, String, i64)> = sqlx::query_as(ask).fetch_all(rows).await.unwrap();
    println!("{worked:?}");
    assert!(worked.iter().all(|(_, who, _)| who.starts_with("backend")), "{worked:?}");
    let claimed = worked.iter().filter(|(what, ..)| what == "claim").count();
    assert!(claimed > 1, "one did all the work: {worked:?}");
    assert!(worked.iter().any(|(what, ..)| what == "commit"), "{worked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_backends_on_one_database_share_the_work_and_do_nothing_twice() {
    let Some(server) = Postgres::shared().await.filter(|_| is_browser_here()) else { return };
    let mail = concat!(env!("CARGO_MANIFEST_DIR"), "/sample/mail");
    let sandbox = Sandbox::start(&["--mail", mail, "--person", "ada@example.com", "--quota", "gmail-2026"]);
    let database = server.database().await;
    let mut rows = PgConnection::connect(database.url()).await.unwrap();
    // Together, on an empty database.
    let start = &|name| Backend::start("127.0.0.1:0", &named(database.url(), name), &sandbox);
    let backends: Vec<Backend> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..4).map(|name| scope.spawn(move || start(name))).collect();
        starting.into_iter().map(|one| one.join().unwrap()).collect()
    });
    sqlx::raw_sql(WATCH).execute(&mut rows).await.unwrap();
    let there = kept(&sandbox).await;
    let browser = Browser::launch().await.unwrap();
    let tab = connect(&browser, &backends[0].origin).await;
    assert_eq!(write(&backends[1].origin, "bo", 0).await, "/accounts/connect", "nobody writes in another's name");
    for number in 0..LETTERS {
        // The same form, sent to two of them at the same time.
        let (one, other) = (&backends[number % 4].origin, &backends[(number + 1) % 4].origin);
        let twice = tokio::join!(write(one, "ada", number), write(other, "ada", number));
        assert_eq!(twice, ("/".to_owned(), "/".to_owned()));
    }
    let done = "SELECT key FROM integration_state WHERE space = 'outbox' AND convert_from(bytes, 'UTF8') LIKE '%\"state\":\"done\"%'";
    while ids(&mut rows, done).await.len() < LETTERS {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tab.open(&format!("{}/login?as=ada", backends[3].origin)).await.unwrap();
    until_up_to_date(&tab, &backends[3].origin).await;
    assert_eq!(kept(&sandbox).await, there + LETTERS, "each left once");
    let ours = "SELECT key FROM integration_state WHERE tenant = 'acme' AND space = 'activity'";
    let shown = ids(&mut rows, "SELECT id FROM crm_activity").await;
    assert_eq!(shown, ids(&mut rows, ours).await, "each activity once, with the cursor");
    assert!(shown.len() > 10, "{}", shown.len());
    let books = sandbox.ask("GET", "books", "").await;
    assert!(books["by_status"]["429"].is_null(), "the limits are kept together: {books}");
    assert_shared(&mut rows).await;
    browser.close().await.unwrap();
}
