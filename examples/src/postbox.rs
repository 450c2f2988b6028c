//! The far side of `add_a_service`: Postbox, a small mail service made up for it, speaking JSON over HTTP on loopback.
//!
//! | request | answer |
//! |---|---|
//! | `GET /authorise` | sends the browser back with a code: everybody here says yes |
//! | `POST /token` | an access token (an hour) and a refresh token; PKCE is checked |
//! | `GET /me` | `{"id", "address"}` |
//! | `GET /letters` | newest first: `{"letters": [{"id", "number", "thread"}], "more"}`, see below |
//! | `GET /letters/ID` | `{"id", "number", "thread", "place", "read", "at", "raw"}`, `raw` in base64; 404 once it is gone |
//! | `GET /changes?since=NUMBER` | `{"changes": [{"id", "number", "gone"}], "until", "more"}`; 410 where that is forgotten |
//! | `POST /letters` | `{"raw", "thread"}` is sent: `{"id", "thread"}` |
//!
//! A letter's number grows with every change of the mailbox. `/letters` takes `before` (a number), `limit`, `text`,
//! `participant`, `message_id`, `since` and `until` (milliseconds), `place`, and `everything` for junk and trash too. A place is
//! `inbox`, `sent`, `drafts`, `junk` or `trash`. What is not 2xx says why: `{"error": "unknown_letter"}`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderValue, Request, Response, StatusCode, header};
use integration_core::clock::{Random, SystemRandom};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::loopback::{self, Server, parameter};

/// Whose mailbox it is.
pub const OWNER: &str = "ada@postbox.example";
/// The largest page.
pub const PAGE: usize = 20;

/// The running service. Clones are the same one.
#[derive(Clone, Debug)]
pub struct PostboxService {
    state: Arc<Mutex<State>>,
    server: Arc<Server>,
}

#[derive(Debug)]
struct Letter {
    number: i64,
    thread: String,
    place: String,
    read: bool,
    at: DateTime<Utc>,
    /// `None`: something that no client understands.
    raw: Option<Bytes>,
}

#[derive(Debug, Default)]
struct State {
    number: i64,
    letters: BTreeMap<String, Letter>,
    log: Vec<(i64, String, bool)>,
    forgotten: i64,
    /// Codes with their challenges.
    codes: BTreeMap<String, String>,
    refresh: BTreeSet<String>,
    access: BTreeSet<String>,
    refusals: u32,
    withheld: BTreeSet<String>,
    calls: u64,
}

type Refusal = (StatusCode, &'static str);
type Answer = Result<Response<Bytes>, Refusal>;

impl PostboxService {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start() -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = Server::start(([127, 0, 0, 1], 0).into(), move |request| {
            let answer = locked(&shared).answer(&request);
            async move { answer }
        });
        Ok(Self { state, server: Arc::new(server.await?) })
    }

    /// Where it is.
    #[must_use]
    pub fn origin(&self) -> Url {
        self.server.origin()
    }

    /// A raw message arrives in a place; gives its id.
    pub fn deliver(&self, raw: impl Into<Bytes>, place: &str, read: bool, at: DateTime<Utc>) -> String {
        locked(&self.state).put(Some(raw.into()), place, read, at, None)
    }

    /// Something arrives that is listed, but no letter; gives its id.
    pub fn deliver_nonsense(&self) -> String {
        locked(&self.state).put(None, "inbox", false, Utc::now(), None)
    }

    /// Refuses to give a letter out from now on.
    pub fn withhold(&self, id: &str) {
        locked(&self.state).withheld.insert(id.to_owned());
    }

    /// The owner reads a letter elsewhere.
    pub fn mark_read(&self, id: &str) {
        locked(&self.state).change(id, |letter| letter.read = true);
    }

    /// The owner moves a letter to another place.
    pub fn move_to(&self, id: &str, place: &str) {
        locked(&self.state).change(id, |letter| place.clone_into(&mut letter.place));
    }

    /// A letter is deleted for good.
    pub fn remove(&self, id: &str) {
        let mut state = locked(&self.state);
        if state.letters.remove(id).is_some() {
            state.note(id, true);
        }
    }

    /// Forgets all changes so far: whoever asks for them is told so.
    pub fn forget_changes(&self) {
        let mut state = locked(&self.state);
        // So that nobody's position is the newest one either.
        state.number += 1;
        state.forgotten = state.number;
        state.log.clear();
    }

    /// Ends every access token.
    pub fn expire_tokens(&self) {
        locked(&self.state).access.clear();
    }

    /// Refuses the next `calls` for coming too fast.
    pub fn throttle(&self, calls: u32) {
        locked(&self.state).refusals = calls;
    }

    /// The raw letters that were sent, oldest first.
    #[must_use]
    pub fn sent(&self) -> Vec<Bytes> {
        let state = locked(&self.state);
        let mut sent: Vec<&Letter> = state.letters.values().filter(|letter| letter.place == "sent").collect();
        sent.sort_by_key(|letter| letter.number);
        sent.into_iter().filter_map(|letter| letter.raw.clone()).collect()
    }

    /// How many calls it has answered.
    #[must_use]
    pub fn calls(&self) -> u64 {
        locked(&self.state).calls
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Letter {
    /// The lines of the headers and the text, lower case: all that a search here looks at.
    fn folded(&self) -> (String, String) {
        let raw = String::from_utf8_lossy(self.raw.as_deref().unwrap_or_default()).to_lowercase();
        let unfolded = raw.replace("\r\n ", " ").replace("\r\n\t", " ");
        let (head, text) = unfolded.split_once("\r\n\r\n").unwrap_or((&unfolded, ""));
        (head.to_owned(), text.to_owned())
    }

    fn has_text(&self, words: &str) -> bool {
        let (head, text) = self.folded();
        words.to_lowercase().split_whitespace().all(|word| head.contains(word) || text.contains(word))
    }

    fn has_header(&self, names: &[&str], value: &str) -> bool {
        let (value, (head, _)) = (value.to_lowercase(), self.folded());
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .any(|(name, text)| names.contains(&name) && text.contains(&value))
    }
}

impl State {
    fn note(&mut self, id: &str, gone: bool) -> i64 {
        self.number += 1;
        self.log.push((self.number, id.to_owned(), gone));
        self.number
    }

    fn put(
        &mut self,
        raw: Option<Bytes>,
        place: &str,
        read: bool,
        at: DateTime<Utc>,
        thread: Option<String>,
    ) -> String {
        let id = format!("letter-{}", self.number + 1);
        let number = self.note(&id, false);
        let thread = thread.unwrap_or_else(|| format!("thread-{number}"));
        self.letters.insert(id.clone(), Letter { number, thread, place: place.to_owned(), read, at, raw });
        id
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut Letter)) {
        let number = self.note(id, false);
        if let Some(letter) = self.letters.get_mut(id) {
            change(letter);
            letter.number = number;
        }
    }

    fn answer(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        self.calls += 1;
        self.handle(request).unwrap_or_else(|(status, error)| {
            let mut answer = loopback::content(status, "application/json", json!({"error": error}).to_string());
            if status == StatusCode::TOO_MANY_REQUESTS {
                answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            answer
        })
    }

    fn handle(&mut self, request: &Request<Bytes>) -> Answer {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let path: Vec<&str> = request.uri().path().trim_start_matches('/').split('/').collect();
        match (request.method().as_str(), path.as_slice()) {
            ("GET", ["authorise"]) => return self.authorise(query),
            ("POST", ["token"]) => return self.token(request.body()),
            _ => {}
        }
        let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        if !self.access.contains(token) {
            return Err((StatusCode::UNAUTHORIZED, "unknown_token"));
        }
        if self.refusals > 0 {
            self.refusals -= 1;
            return Err((StatusCode::TOO_MANY_REQUESTS, "slow_down"));
        }
        match (request.method().as_str(), path.as_slice()) {
            ("GET", ["me"]) => ok(&json!({"id": "person-1", "address": OWNER})),
            ("GET", ["letters"]) => self.list(query),
            ("GET", ["letters", id]) => self.letter(id),
            ("GET", ["changes"]) => self.changes(query),
            ("POST", ["letters"]) => self.send(request.body()),
            _ => Err((StatusCode::NOT_FOUND, "unknown_path")),
        }
    }

    fn authorise(&mut self, query: &[u8]) -> Answer {
        let needed = |name| parameter(query, name).ok_or((StatusCode::BAD_REQUEST, "incomplete"));
        let mut back = Url::parse(&needed("redirect_uri")?).map_err(|_| (StatusCode::BAD_REQUEST, "bad_redirect"))?;
        let code = SystemRandom.token(18);
        self.codes.insert(code.clone(), needed("code_challenge")?);
        back.query_pairs_mut().append_pair("code", &code).append_pair("state", &needed("state")?);
        Ok(loopback::redirect(&back))
    }

    fn token(&mut self, form: &[u8]) -> Answer {
        let refused = (StatusCode::BAD_REQUEST, "invalid_grant");
        let refresh = match parameter(form, "grant_type").as_deref() {
            Some("authorization_code") => {
                let code = parameter(form, "code").unwrap_or_default();
                let challenge = self.codes.remove(&code).ok_or(refused)?;
                let verifier = parameter(form, "code_verifier").unwrap_or_default();
                if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != challenge {
                    return Err(refused);
                }
                SystemRandom.token(18)
            }
            Some("refresh_token") => {
                let token = parameter(form, "refresh_token").unwrap_or_default();
                if !self.refresh.contains(&token) {
                    return Err(refused);
                }
                token
            }
            _ => return Err((StatusCode::BAD_REQUEST, "unsupported_grant_type")),
        };
        let access = SystemRandom.token(18);
        self.refresh.insert(refresh.clone());
        self.access.insert(access.clone());
        ok(&json!({"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": 3600,
                   "scope": "letters.read letters.send"}))
    }

    fn list(&self, query: &[u8]) -> Answer {
        let (before, limit) = (number(query, "before")?, number(query, "limit")?);
        let (since, until) = (number(query, "since")?, number(query, "until")?);
        let (text, participant) = (parameter(query, "text"), parameter(query, "participant"));
        let (message_id, place) = (parameter(query, "message_id"), parameter(query, "place"));
        let everything = parameter(query, "everything").is_some();
        let mut found: Vec<(&String, &Letter)> = self.letters.iter().collect();
        found.retain(|(_, letter)| {
            let at = letter.at.timestamp_millis();
            let hidden = matches!(letter.place.as_str(), "junk" | "trash");
            before.is_none_or(|before| letter.number < before)
                && since.is_none_or(|since| at >= since)
                && until.is_none_or(|until| at < until)
                && place.as_ref().map_or(everything || !hidden, |place| letter.place == *place)
                && text.as_ref().is_none_or(|words| letter.has_text(words))
                && participant.as_ref().is_none_or(|who| letter.has_header(&["from", "to", "cc"], who))
                && message_id.as_ref().is_none_or(|id| letter.has_header(&["message-id"], &format!("<{id}>")))
        });
        found.sort_by_key(|(_, letter)| std::cmp::Reverse(letter.number));
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE).clamp(1, PAGE);
        let page = found.iter().take(limit);
        let page: Vec<Value> =
            page.map(|(id, letter)| json!({"id": id, "number": letter.number, "thread": letter.thread})).collect();
        ok(&json!({"more": found.len() > page.len(), "letters": page}))
    }

    fn letter(&self, id: &str) -> Answer {
        let letter = self.letters.get(id).ok_or((StatusCode::NOT_FOUND, "unknown_letter"))?;
        if self.withheld.contains(id) {
            return Err((StatusCode::UNPROCESSABLE_ENTITY, "withheld_letter"));
        }
        let raw = letter.raw.as_ref().map_or(json!(17), |raw| json!(STANDARD.encode(raw)));
        ok(
            &json!({"id": id, "number": letter.number, "thread": letter.thread, "place": letter.place, "read": letter.read,
                   "at": letter.at, "raw": raw}),
        )
    }

    fn changes(&self, query: &[u8]) -> Answer {
        // Without a number: where "now" is.
        let Some(since) = number(query, "since")? else {
            return ok(&json!({"changes": [], "until": self.number, "more": false}));
        };
        if since < self.forgotten {
            return Err((StatusCode::GONE, "forgotten"));
        }
        let later: Vec<_> = self.log.iter().filter(|(number, ..)| *number > since).collect();
        let page = &later[..later.len().min(PAGE)];
        let changes: Vec<Value> =
            page.iter().map(|(number, id, gone)| json!({"id": id, "number": number, "gone": gone})).collect();
        let more = later.len() > page.len();
        let until = page.last().filter(|_| more).map_or(self.number, |(number, ..)| *number);
        ok(&json!({"changes": changes, "until": until, "more": more}))
    }

    fn send(&mut self, body: &[u8]) -> Answer {
        let letter: Value = serde_json::from_slice(body).map_err(|_| (StatusCode::BAD_REQUEST, "no_json"))?;
        let raw = letter["raw"].as_str().and_then(|raw| STANDARD.decode(raw).ok());
        let mut raw = raw.ok_or((StatusCode::BAD_REQUEST, "no_letter"))?;
        let head = String::from_utf8_lossy(&raw).to_lowercase();
        if !head.starts_with("from:") && !head.contains("\r\nfrom:") {
            raw.splice(0..0, format!("From: {OWNER}\r\n").into_bytes());
        }
        let thread = letter["thread"].as_str().map(str::to_owned);
        let id = self.put(Some(raw.into()), "sent", true, Utc::now(), thread);
        ok(&json!({"id": id, "thread": self.letters.get(&id).map(|letter| letter.thread.as_str())}))
    }
}

fn number(query: &[u8], name: &str) -> Result<Option<i64>, Refusal> {
    let text = parameter(query, name);
    text.map(|text| text.parse()).transpose().map_err(|_| (StatusCode::BAD_REQUEST, "no_number"))
}

fn ok(value: &Value) -> Answer {
    Ok(loopback::content(StatusCode::OK, "application/json", value.to_string()))
}
