//! Over real HTTP on the loopback.

use std::sync::Arc;

use integration_core::{
    ErrorKind,
    email::EmailProvider,
    http::ReqwestTransport,
    ids::PartitionId,
    sync::{Next, Window},
    testing::{PlainConnector, test_session},
};
use serde_json::json;
use url::Url;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path, query_param},
};

use super::{full, places};
use crate::{client::Client, outlook::Outlook};

const DELTA: &str = "/v1.0/me/mailFolders/inbox-id/messages/delta";

fn over_http(server: &MockServer) -> Outlook {
    let url = Url::parse(&server.uri()).unwrap();
    let transport = Arc::new(ReqwestTransport::new().unwrap());
    let session = test_session(transport, Arc::new(PlainConnector::new(&url))).build();
    let outlook = Outlook::new(session, Client::new(&url, 20, Some(4)));
    outlook.keep(&Arc::new(places()));
    outlook
}

#[tokio::test]
async fn a_walk_over_the_wire_ends_at_a_link_that_tells_changes() {
    let server = MockServer::start().await;
    let link = |token: &str| format!("{}{DELTA}?$deltatoken={token}", server.uri());
    let answer = |json| ResponseTemplate::new(200).set_body_json(json);
    let page = json!({ "value": [full("a")], "@odata.deltaLink": link("one+two/three%3D") });
    let first = Mock::given(method("GET")).and(path(DELTA)).and(query_param("$orderby", "receivedDateTime desc"));
    first.and(header("authorization", "Bearer token-1")).respond_with(answer(page)).expect(1).mount(&server).await;
    let page = json!({ "value": [], "@odata.deltaLink": link("two") });
    let second = Mock::given(method("GET")).and(path(DELTA)).and(query_param("$deltatoken", "one two/three="));
    second.respond_with(answer(page)).expect(1).mount(&server).await;
    let feed = over_http(&server).feed();
    let inbox = PartitionId::new("inbox-id");
    let walk = feed.snapshot(&inbox, &Window::default(), None).await.unwrap();
    let Next::Done { head: Some(head) } = walk.next else { panic!("{walk:?}") };
    let changes = feed.changes(&inbox, &head).await.unwrap();
    assert_eq!((walk.changes.len(), changes.changes.len()), (1, 0));
    let asked = server.received_requests().await.unwrap();
    let query = asked[1].url.query().unwrap();
    assert_eq!(query, "$deltatoken=one+two/three%3D", "the link is sent as it came");
}

#[tokio::test]
async fn html_instead_of_an_answer_is_a_clear_error() {
    let server = MockServer::start().await;
    let html = ResponseTemplate::new(200).set_body_string("<html>busy</html>");
    Mock::given(method("GET")).respond_with(html).mount(&server).await;
    let error = over_http(&server).feed().snapshot(&PartitionId::new("inbox-id"), &Window::default(), None).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Validation);
}
