//! The token endpoint, through the `oauth2` crate and our own transport.
//!
//! What services answer is mended before that crate reads it (numbers as text, a missing token type), and what is not a
//! success never reaches it, so that status and `Retry-After` are kept.

use std::{borrow::Cow, fmt, future::Future, pin::Pin, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::StatusCode;
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet, EndpointSet,
    ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError,
    StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
    basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{assertion, token_set::Assertion};
use crate::{
    clock::{Clock, Random},
    connection::{ClientAuthentication, Connector, OAuthSettings, TokenFailure, TokenFailureClass},
    error::Error,
    http::{Body, HttpFailure, Transport, TransportError, TransportErrorKind},
    secret::SecretText,
};

/// What an answer of a sign-in endpoint may weigh.
const ANSWER_CAP: usize = 1024 * 1024;

type Response = StandardTokenResponse<Extra, BasicTokenType>;
type Client<Auth> = oauth2::Client<
    BasicErrorResponse,
    Response,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    Auth,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// The fields of a token answer that are not in the crate's own type.
#[derive(Clone, Default, Deserialize, Serialize)]
pub(super) struct Extra {
    #[serde(default)]
    id_token: Option<String>,
    #[serde(default, alias = "x_refresh_token_expires_in")]
    refresh_token_expires_in: Option<u64>,
}

impl ExtraTokenFields for Extra {}

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Extra(redacted)")
    }
}

/// A token answer.
#[derive(Clone, Debug)]
pub(super) struct TokenAnswer {
    pub(super) access: SecretText,
    pub(super) refresh: Option<SecretText>,
    pub(super) expires_in: Option<Duration>,
    pub(super) refresh_expires_in: Option<Duration>,
    /// As the service spells them; absent means: as asked for.
    pub(super) scopes: Option<Vec<String>>,
    pub(super) id_token: Option<SecretText>,
}

impl From<Response> for TokenAnswer {
    fn from(response: Response) -> Self {
        let extra = response.extra_fields();
        Self {
            access: SecretText::new(response.access_token().secret().as_str()),
            refresh: response.refresh_token().map(|token| SecretText::new(token.secret().as_str())),
            expires_in: response.expires_in(),
            refresh_expires_in: extra.refresh_token_expires_in.map(Duration::from_secs),
            scopes: response.scopes().map(|scopes| scopes.iter().map(|scope| scope.to_string()).collect()),
            id_token: extra.id_token.as_deref().map(SecretText::new),
        }
    }
}

/// Why there is no token answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenCallError {
    #[error("the app cannot prove itself")]
    Unproved(#[source] Error),
    #[error("the token endpoint's answer could not be understood")]
    Malformed,
    #[error("the token endpoint refused")]
    Refused(Box<Refusal>),
    #[error("the token endpoint did not answer in time")]
    Timeout,
    #[error("the token endpoint could not be reached")]
    Transport(#[source] TransportError),
}

/// A refusal, without anything secret.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) error: Option<String>,
    description: Option<String>,
    subtype: Option<String>,
    codes: Vec<u64>,
    claims: Option<String>,
    retry_after: Option<Duration>,
}

impl TokenCallError {
    /// What the connector makes of it.
    pub(super) fn classify(&self, connector: &dyn Connector, grant_age: Option<Duration>) -> TokenFailureClass {
        let refusal = match self {
            Self::Refused(refusal) => refusal,
            Self::Unproved(error) => return unproved(error),
            Self::Malformed | Self::Timeout | Self::Transport(_) => return TokenFailureClass::Transient,
        };
        let (error, description) = (refusal.error.as_deref(), refusal.description.as_deref());
        let mut failure = TokenFailure::new(refusal.status, error, description);
        failure.subtype = refusal.subtype.as_deref();
        failure.codes = &refusal.codes;
        failure.grant_age = grant_age;
        match (connector.classify_token(&failure), &refusal.claims) {
            (TokenFailureClass::NeedsConsent(remedy), Some(claims)) if remedy.claims.is_none() => {
                TokenFailureClass::NeedsConsent(remedy.with_claims(claims))
            }
            (class, _) => class,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused(refusal) = self { refusal.retry_after } else { None }
    }

    /// A short word for logs and pages: the service's code, or ours.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Unproved(_) => "unusable_key",
            Self::Malformed => "malformed_answer",
            Self::Refused(refusal) => refusal.error.as_deref().unwrap_or("refused"),
            Self::Timeout => "timeout",
            Self::Transport(_) => "unreachable",
        }
    }

    /// Is it certain that no tokens were given, and lost on their way here?
    pub(super) fn gave_nothing(&self) -> bool {
        match self {
            Self::Malformed | Self::Timeout => false,
            Self::Unproved(_) | Self::Refused(_) => true,
            Self::Transport(error) => !error.may_have_taken_effect(),
        }
    }

    pub(super) fn never_arrived(&self) -> bool {
        matches!(self, Self::Transport(error) if error.kind() == TransportErrorKind::Connect)
    }
}

/// The sign-in endpoints of a service, seen through our transport.
pub(super) struct TokenEndpoint<'a> {
    pub(super) transport: &'a dyn Transport,
    pub(super) clock: &'a dyn Clock,
    pub(super) random: &'a dyn Random,
    pub(super) timeout: Duration,
}

impl TokenEndpoint<'_> {
    /// Exchanges a code.
    pub(super) async fn exchange(
        &self,
        oauth: &OAuthSettings,
        code: &str,
        redirect_uri: &str,
        verifier: &SecretText,
    ) -> Result<TokenAnswer, TokenCallError> {
        let redirect = RedirectUrl::new(redirect_uri.to_owned()).map_err(|_| TokenCallError::Malformed)?;
        let (client, proof) = (client(oauth), self.proof(oauth)?);
        let request = || {
            let request = client
                .exchange_code(AuthorizationCode::new(code.to_owned()))
                .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().clone()))
                .set_redirect_uri(Cow::Borrowed(&redirect));
            let claims = oauth.claims.iter().map(|claims| ("claims", claims));
            let proof = proof.iter().map(|(name, value)| (*name, value.expose()));
            proof.chain(claims).fold(request, |request, (name, value)| request.add_extra_param(name, value.as_str()))
        };
        match request().request_async(self).await.map(TokenAnswer::from).map_err(TokenCallError::from) {
            // A code is good for one try only, but a request that never arrived was none.
            Err(error) if error.never_arrived() => Ok(request().request_async(self).await?.into()),
            done => done,
        }
    }

    /// Asks for a fresh access token, which `claims` may put conditions on.
    pub(super) async fn refresh(
        &self,
        oauth: &OAuthSettings,
        token: &SecretText,
        claims: Option<&str>,
    ) -> Result<TokenAnswer, TokenCallError> {
        let (token, client, proof) = (RefreshToken::new(token.expose().clone()), client(oauth), self.proof(oauth)?);
        let mut request = client.exchange_refresh_token(&token);
        for (name, value) in &proof {
            request = request.add_extra_param(*name, value.expose().as_str());
        }
        if let Some(claims) = claims {
            request = request.add_extra_param("claims", claims);
        }
        Ok(request.request_async(self).await?.into())
    }

    /// Trades what an app signs or knows by itself for an access token: a service account's assertion (RFC 7523), or the
    /// client credentials grant.
    pub(super) async fn alone(
        &self,
        oauth: &OAuthSettings,
        assertion: &Assertion,
        claims: Option<&str>,
    ) -> Result<TokenAnswer, TokenCallError> {
        let Some(scope) = &oauth.app_scope else {
            let signed = assertion::for_service_account(oauth, assertion, self.clock.now());
            let signed = signed.map_err(TokenCallError::Unproved)?;
            let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
            return self.form(oauth, &[grant, ("assertion", signed.expose())]).await;
        };
        let proof = self.proof(oauth)?;
        let mut fields = vec![("grant_type", "client_credentials"), ("scope", scope.as_str())];
        fields.push(("client_id", &oauth.client_id));
        fields.extend(proof.iter().map(|(name, value)| (*name, value.expose().as_str())));
        if let ClientAuthentication::SecretInBody(secret) = &oauth.authentication {
            fields.push(("client_secret", secret.expose()));
        }
        fields.extend(claims.map(|claims| ("claims", claims)));
        let mut answer = self.form(oauth, &fields).await?;
        // What comes back is the scope that stands for all rights of the app, not those rights.
        answer.scopes = None;
        Ok(answer)
    }

    async fn form(&self, oauth: &OAuthSettings, fields: &[(&str, &str)]) -> Result<TokenAnswer, TokenCallError> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = form_request(oauth.endpoints.token.as_str(), body);
        if let Some(header) = client_header(oauth) {
            request.headers_mut().insert(http::header::AUTHORIZATION, header);
        }
        let response = self.answer(request).await?;
        let response: Response = serde_json::from_slice(response.body()).map_err(|_| TokenCallError::Malformed)?;
        Ok(response.into())
    }

    fn proof(&self, oauth: &OAuthSettings) -> Result<assertion::Proof, TokenCallError> {
        assertion::for_client(oauth, self.clock.now(), self.random).map_err(TokenCallError::Unproved)
    }

    /// Sends a request to a sign-in endpoint; status, headers and the capped body, whatever the status.
    pub(super) async fn send(&self, request: http::Request<Body>) -> Result<http::Response<Bytes>, TokenCallError> {
        let whole = async {
            let (head, body) = self.transport.execute(request).await?.into_parts();
            Ok(http::Response::from_parts(head, body.collect(ANSWER_CAP).await?))
        };
        tokio::select! {
            biased;
            answer = whole => answer.map_err(TokenCallError::Transport),
            () = self.clock.sleep(self.timeout) => Err(TokenCallError::Timeout),
        }
    }

    /// A successful answer as the crate wants it.
    async fn answer(&self, request: http::Request<Body>) -> Result<HttpResponse, TokenCallError> {
        let response = self.send(request).await?;
        let json = serde_json::from_slice::<Value>(response.body()).ok();
        // Some services answer errors with status 200.
        if !response.status().is_success() || json.as_ref().is_some_and(|json| json.get("error").is_some()) {
            return Err(self.refusal(&response, json.as_ref()));
        }
        let Some(Value::Object(mut fields)) = json else { return Err(TokenCallError::Malformed) };
        mend(&mut fields);
        let body = serde_json::to_vec(&Value::Object(fields)).map_err(|_| TokenCallError::Malformed)?;
        Ok(http::Response::new(body))
    }

    fn refusal(&self, response: &http::Response<Bytes>, json: Option<&Value>) -> TokenCallError {
        let text = |names: &[&str]| {
            let value = names.iter().find_map(|name| json?.get(name)?.as_str())?;
            Some(value.chars().take(300).collect::<String>())
        };
        let now = self.clock.now();
        let failure = HttpFailure::new("oauth.token", response.status(), response.headers(), &[], now);
        let status = if response.status().is_success() { StatusCode::BAD_REQUEST } else { response.status() };
        TokenCallError::Refused(Box::new(Refusal {
            status,
            error: text(&["error"]),
            description: text(&["error_description", "error_message"]),
            subtype: text(&["error_subtype", "suberror"]),
            codes: json.map(codes).unwrap_or_default(),
            // Passed on whole or not at all.
            claims: json.and_then(|json| json.get("claims")?.as_str()).map(str::to_owned),
            retry_after: failure.retry_after().and_then(|until| (until - now).to_std().ok()),
        }))
    }
}

impl<'c> AsyncHttpClient<'c> for TokenEndpoint<'_> {
    type Error = TokenCallError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, TokenCallError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.answer(request.map(Body::from)))
    }
}

impl From<RequestTokenError<Self, BasicErrorResponse>> for TokenCallError {
    fn from(error: RequestTokenError<Self, BasicErrorResponse>) -> Self {
        match error {
            RequestTokenError::Request(error) => error,
            // The others quote the answer, which holds tokens.
            RequestTokenError::Other(_) | RequestTokenError::Parse(..) | RequestTokenError::ServerResponse(_) => {
                Self::Malformed
            }
        }
    }
}

/// The service's numbers, where it gives some.
fn codes(json: &Value) -> Vec<u64> {
    let numbers = json.get("error_codes").and_then(Value::as_array);
    numbers.into_iter().flatten().filter_map(Value::as_u64).take(16).collect()
}

/// The app's own key is no use: nobody else can do anything about it.
fn unproved(error: &Error) -> TokenFailureClass {
    use crate::error::{Actor, Remedy};
    let remedy = error
        .remedy()
        .cloned()
        .unwrap_or_else(|| Remedy::new("The app cannot prove itself.", Actor::Operator, "Check the app's key."));
    TokenFailureClass::Misconfigured(remedy)
}

/// The client in the header, for apps that prove themselves so.
pub(super) fn client_header(oauth: &OAuthSettings) -> Option<http::HeaderValue> {
    let ClientAuthentication::SecretInHeader(secret) = &oauth.authentication else { return None };
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = zeroize::Zeroizing::new(format!("{}:{}", encode(&oauth.client_id), encode(secret.expose())));
    let mut value = http::HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair.as_bytes()))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A POST of a form.
pub(super) fn form_request(url: &str, body: String) -> http::Request<Body> {
    let mut request = http::Request::new(Body::from(body));
    *request.method_mut() = http::Method::POST;
    // A `Url` is always a URI; the transport refuses the empty one that stands in otherwise.
    *request.uri_mut() = url.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(http::header::ACCEPT, http::HeaderValue::from_static("application/json"));
    let form = http::HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(http::header::CONTENT_TYPE, form);
    request
}

/// The crate's client for an app.
pub(super) fn client(oauth: &OAuthSettings) -> Client<EndpointSet> {
    let client = oauth2::Client::new(ClientId::new(oauth.client_id.clone()))
        .set_auth_uri(AuthUrl::from_url(oauth.endpoints.authorisation.clone()))
        .set_token_uri(TokenUrl::from_url(oauth.endpoints.token.clone()));
    let with = |kind, secret: &SecretText| {
        client.clone().set_auth_type(kind).set_client_secret(ClientSecret::new(secret.expose().clone()))
    };
    match &oauth.authentication {
        ClientAuthentication::SecretInBody(secret) => with(AuthType::RequestBody, secret),
        ClientAuthentication::SecretInHeader(secret) => with(AuthType::BasicAuth, secret),
        ClientAuthentication::Certificate { .. }
        | ClientAuthentication::None
        | ClientAuthentication::ServiceAccount { .. } => client.set_auth_type(AuthType::RequestBody),
    }
}

/// Brings what services answer into the standard's form.
fn mend(fields: &mut serde_json::Map<String, Value>) {
    for name in ["expires_in", "refresh_token_expires_in", "x_refresh_token_expires_in"] {
        let Some(value) = fields.get_mut(name) else { continue };
        let seconds = match value {
            Value::Number(number) => number.as_u64().or_else(|| number.as_f64().map(|seconds| seconds as u64)),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        // A century is for ever, and never overflows an instant.
        *value = seconds.map_or(Value::Null, |seconds: u64| seconds.min(100 * 365 * 86_400).into());
    }
    if let Some(Value::Array(scopes)) = fields.get("scope") {
        let scopes: Vec<&str> = scopes.iter().filter_map(Value::as_str).collect();
        fields.insert("scope".to_owned(), scopes.join(" ").into());
    }
    fields.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
    fields.entry("token_type").or_insert_with(|| "bearer".into());
}
