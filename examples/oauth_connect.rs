//! Connecting an account in a browser, with every way it can end shown in plain words.
//!
//! Starts a simulated Google and a page of the host's own; open the printed address, press Connect, and grant, untick a
//! box, or cancel. `--live google` uses the real service with GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET. With `--decide` the
//! program is the browser itself and ends after one sign-in.

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use integration_core::{
    Error, ErrorKind, Result,
    connection::Capability,
    http::{Body, ReqwestTransport, Transport},
    hub::Hub,
    ids::{AppId, TenantId},
    oauth::{Authorise, BrowserBinding, CallbackQuery},
    store::Stores,
    vault::KeyRing,
};
use integration_examples::{
    loopback::{self, Server},
    words,
};
use integration_google::{Google, GoogleConfig, GoogleEndpoints};
use integration_testing::{DEFAULT_CLIENT, Sandbox};
use url::Url;

const USAGE: &str = "usage: oauth_connect [--listen 127.0.0.1:PORT] [--decide grant|untick|refuse|replay|other-browser|forge] \
                     [--live google]";
/// What ties a sign-in to the browser that began it.
const COOKIE: &str = "connect_binding";

/// What the program does at the consent page in place of a person.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Decision {
    /// Brings an answer that nobody asked for.
    Forge,
    Grant,
    /// Grants, and the answer arrives in another browser.
    OtherBrowser,
    Refuse,
    /// Grants, and the answer arrives twice.
    Replay,
    /// Leaves out what is not needed to sign in.
    Untick,
}

#[derive(Debug)]
struct Options {
    listen: SocketAddr,
    decide: Option<Decision>,
    live: bool,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> std::result::Result<Self, String> {
        let mut options = Self { listen: ([127, 0, 0, 1], 0).into(), decide: None, live: false };
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} is unknown or needs a value"))?;
            match (word.as_str(), value.as_str()) {
                ("--listen", _) => {
                    let listen = value.parse().map_err(|_| format!("{value} is no address with a port"))?;
                    options.listen = listen;
                }
                ("--decide", "forge") => options.decide = Some(Decision::Forge),
                ("--decide", "grant") => options.decide = Some(Decision::Grant),
                ("--decide", "other-browser") => options.decide = Some(Decision::OtherBrowser),
                ("--decide", "refuse") => options.decide = Some(Decision::Refuse),
                ("--decide", "replay") => options.decide = Some(Decision::Replay),
                ("--decide", "untick") => options.decide = Some(Decision::Untick),
                ("--live", "google") => options.live = true,
                _ => return Err(format!("{word} {value} is unknown")),
            }
        }
        if options.live && options.decide.is_some() {
            return Err("--decide goes with the simulated service only".to_owned());
        }
        Ok(options)
    }
}

/// The host's pages: one with a button, one that begins, one that the service sends the browser back to.
#[derive(Clone, Debug)]
struct Pages {
    hub: Hub,
    tenant: TenantId,
    app: AppId,
}

impl Pages {
    async fn answer(self, request: Request<Bytes>) -> Response<Bytes> {
        let answered = match request.uri().path() {
            "/" => Ok(page("Accounts", "<p><a href=\"/connect\">Connect a mailbox</a></p>")),
            "/connect" => self.begin(request.headers()).await,
            "/callback" => self.end(&request).await,
            _ => Ok(loopback::status(StatusCode::NOT_FOUND)),
        };
        answered.unwrap_or_else(|error| {
            let mut answer = page("That did not work", &format!("<p>{}</p>", escaped(&error.to_string())));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            answer
        })
    }

    /// Sends the browser to the service, and leaves a cookie with it that its answer has to come back with.
    async fn begin(&self, headers: &HeaderMap) -> Result<Response<Bytes>> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let ask = Authorise::new(
            [Capability::Identity, Capability::MailRead, Capability::MailSend],
            format!("http://{host}/callback"),
        );
        let authorisation = self.hub.authorise(&self.tenant, &self.app, ask.with_forced_consent()).await?;
        let mut answer = loopback::redirect(&authorisation.url);
        // On a real host also `Secure`: plain HTTP is for loopback only.
        let cookie = format!("{COOKIE}={}; HttpOnly; SameSite=Lax; Path=/callback", authorisation.binding.expose());
        let cookie = HeaderValue::from_str(&cookie)
            .map_err(|error| Error::new(ErrorKind::Validation, "the binding is no cookie value").with_source(error))?;
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
        Ok(answer)
    }

    async fn end(&self, request: &Request<Bytes>) -> Result<Response<Bytes>> {
        let query = CallbackQuery::parse(request.uri().query().unwrap_or_default())?;
        let binding = BrowserBinding::from_cookie(cookie(request.headers()).unwrap_or_default());
        let completion = self.hub.complete(&query, &binding).await?;
        let told = words::of(&completion.outcome);
        println!("{told}");
        let accounts = self.hub.connections(&self.tenant).await?;
        let rows: Vec<String> = accounts
            .iter()
            .map(|connection| {
                let able: Vec<String> = connection.capabilities.iter().map(|able| format!("{able:?}")).collect();
                format!("<li>{}: {}</li>", escaped(&connection.account.label), able.join(", "))
            })
            .collect();
        let text =
            format!("<p>{}</p><ul>{}</ul><p><a href=\"/connect\">Connect again</a></p>", escaped(&told), rows.concat());
        Ok(page("Connected accounts", &text))
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

fn page(title: &str, body: &str) -> Response<Bytes> {
    let text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n<body><h1>{title}</h1>{body}</body></html>\n"
    );
    loopback::content(StatusCode::OK, "text/html; charset=utf-8", text)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A browser that presses buttons.
#[derive(Debug)]
struct Visitor {
    transport: ReqwestTransport,
    home: Url,
}

impl Visitor {
    async fn visit(&self, decision: Decision) -> Result<()> {
        if decision == Decision::Forge {
            return self.come_back(&self.at("callback?code=stolen&state=made-up")?, None).await;
        }
        let begun = self.ask(Request::get(self.at("connect")?.as_str()), Bytes::new()).await?;
        let cookie = begun.headers().get(header::SET_COOKIE).and_then(|value| value.to_str().ok());
        let cookie = cookie.and_then(|value| value.split(';').next()).unwrap_or_default().to_owned();
        let consent = location(&begun)?;
        let shown = self.ask(Request::get(consent.as_str()), Bytes::new()).await?;
        let pressed = self.press(&consent, &String::from_utf8_lossy(shown.body()), decision).await?;
        let back = location(&pressed)?;
        let cookie = (decision != Decision::OtherBrowser).then_some(cookie.as_str());
        self.come_back(&back, cookie).await?;
        if decision == Decision::Replay {
            self.come_back(&back, cookie).await?;
        }
        Ok(())
    }

    async fn press(&self, page: &Url, html: &str, decision: Decision) -> Result<Response<Bytes>> {
        let (action, form) = filled_in(html, decision);
        let action = page.join(&action).map_err(|error| broken(&error.to_string()))?;
        let request = Request::post(action.as_str()).header("content-type", "application/x-www-form-urlencoded");
        self.ask(request, form.into()).await
    }

    async fn come_back(&self, url: &Url, cookie: Option<&str>) -> Result<()> {
        let mut request = Request::get(url.as_str());
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let answer = self.ask(request, Bytes::new()).await?;
        if answer.status() == StatusCode::OK { Ok(()) } else { Err(broken("the host's page failed")) }
    }

    fn at(&self, path: &str) -> Result<Url> {
        self.home.join(path).map_err(|error| broken(&error.to_string()))
    }

    async fn ask(&self, request: http::request::Builder, body: Bytes) -> Result<Response<Bytes>> {
        let request = request.body(Body::from(body)).map_err(|error| broken(&error.to_string()))?;
        let failed = |error| broken("nobody answers").with_source(error);
        let (parts, body) = self.transport.execute(request).await.map_err(failed)?.into_parts();
        Ok(Response::from_parts(parts, body.collect(1 << 20).await.map_err(failed)?))
    }
}

/// The form of the consent page as it is, with one of its buttons pressed: where it goes, and what is sent.
fn filled_in(html: &str, decision: Decision) -> (String, String) {
    let fields = |tag: &'static str| html.split('<').filter(move |piece| piece.starts_with(tag));
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for field in fields("input ") {
        let (Some(name), Some(value)) = (attribute(field, "name"), attribute(field, "value")) else { continue };
        let is_box = attribute(field, "type").as_deref() == Some("checkbox");
        // A box that is not ticked is not sent.
        if !(is_box && decision == Decision::Untick && !value.contains("readonly")) {
            form.append_pair(&name, &value);
        }
    }
    let chosen = fields("option ").find(|option| option.contains(" selected")).and_then(|it| attribute(it, "value"));
    form.append_pair("account", &chosen.unwrap_or_default());
    form.append_pair("decision", if decision == Decision::Refuse { "cancel" } else { "allow" });
    (fields("form ").find_map(|form| attribute(form, "action")).unwrap_or_default(), form.finish())
}

fn location(answer: &Response<Bytes>) -> Result<Url> {
    let place = answer.headers().get(header::LOCATION).and_then(|place| place.to_str().ok());
    let told = || String::from_utf8_lossy(answer.body()).into_owned();
    place.and_then(|place| Url::parse(place).ok()).ok_or_else(|| broken(&format!("nobody is sent on: {}", told())))
}

/// The value of an attribute of an HTML tag, with the four escapes that the pages use.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split(&format!("{name}=\"")).nth(1)?.split('"').next()?;
    Some(value.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

fn broken(text: &str) -> Error {
    Error::new(ErrorKind::Validation, text)
}

async fn run(options: Options) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let sandbox = Sandbox::google().build();
    sandbox.register_person("ada@example.com", "Ada Example");
    sandbox.register_person("sam@example.com", "Sam Example");
    let served = sandbox.serve(([127, 0, 0, 1], 0).into()).await?;
    let config = if options.live {
        let named = |name| std::env::var(name).map_err(|_| format!("--live google needs {name} in the environment"));
        GoogleConfig::desktop(named("GOOGLE_CLIENT_ID")?).with_client_secret(named("GOOGLE_CLIENT_SECRET")?)
    } else {
        let origin = format!("http://{}", served.addr()).parse()?;
        GoogleConfig::desktop(DEFAULT_CLIENT).with_endpoints(GoogleEndpoints::below(&origin)?)
    };
    // Gone with the process: this example is about the sign-in alone.
    let hub =
        Hub::builder(Stores::memory(), Arc::new(KeyRing::generate())).with_connector(Google::new(config)?).build()?;
    let pages = Pages { hub, tenant: TenantId::new("tenant-1"), app: AppId::new("google") };
    let taken = |error| format!("cannot listen on {}: {error}", options.listen);
    let server = Server::start(options.listen, move |request| pages.clone().answer(request)).await.map_err(taken)?;
    match options.decide {
        Some(decision) => {
            let visitor = Visitor { transport: ReqwestTransport::new()?, home: server.origin() };
            visitor.visit(decision).await?;
        }
        None => {
            println!("Open {} in a browser; Ctrl-C ends.", server.origin());
            tokio::signal::ctrl_c().await?;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("oauth_connect: {wrong}; {USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("oauth_connect: {error}");
            ExitCode::FAILURE
        }
    }
}
