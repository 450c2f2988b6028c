use std::sync::Arc;

use integration_core::{
    ErrorKind,
    connection::Connector,
    push::{PushSource, PushTarget, Subscribe},
    secret::SecretText,
    testing::{ScriptedTransport, Step, test_session},
};
use serde_json::{Value, json};

use crate::{Google, GoogleConfig};

const TOPIC: &str = "projects/p/topics/t";
const WATCH: &str = "/gmail/v1/users/me/watch";
const STOP: &str = "/gmail/v1/users/me/stop";

fn push(steps: impl IntoIterator<Item = Step>) -> (Arc<ScriptedTransport>, Arc<dyn PushSource>) {
    let transport = Arc::new(ScriptedTransport::new(steps));
    let google = Arc::new(Google::new(GoogleConfig::desktop("c")).unwrap());
    let session = test_session(Arc::clone(&transport) as _, Arc::clone(&google) as _).build();
    (transport, google.push(session).unwrap())
}

fn ask(target: PushTarget) -> Subscribe {
    Subscribe::new(target, SecretText::new("unused"))
}

fn watching() -> Step {
    let asked = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["topicName"] == TOPIC;
    let step = Step::post(WATCH).matching(move |seen| asked(&seen.body));
    step.answers_json(200, &json!({ "historyId": "7", "expiration": "1767225600000" }))
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_is_watched_for_a_topic_again_and_again_and_then_no_more() {
    let (transport, push) = push([watching(), watching(), Step::post(STOP).answers(204, "")]);
    let ask = ask(PushTarget::Topic(TOPIC.to_owned()));
    let watch = push.subscribe(&ask).await.unwrap();
    assert_eq!(watch.expires_at.to_rfc3339(), "2026-01-01T00:00:00+00:00");
    assert_eq!(push.renew(&watch, &ask).await.unwrap(), watch);
    push.unsubscribe(&watch).await.unwrap();
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_watch_for_another_topic_is_replaced() {
    let message = "Only one user push notification client allowed per developer (call /stop then try again)";
    let refused = || Step::post(WATCH).answers_json(400, &json!({ "error": { "code": 400, "message": message } }));
    let stopped = || Step::post(STOP).answers(204, "");
    let (transport, push) = push([refused(), stopped(), watching(), refused(), stopped(), refused()]);
    let ask = ask(PushTarget::Topic(TOPIC.to_owned()));
    push.subscribe(&ask).await.unwrap();
    assert_eq!(push.subscribe(&ask).await.unwrap_err().kind(), ErrorKind::Conflict, "once, not for ever");
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn an_address_is_no_topic_and_a_notification_names_the_mailbox() {
    let (transport, push) = push([]);
    let address = PushTarget::webhook("https://host.example/x".parse().unwrap());
    assert_eq!(push.subscribe(&ask(address)).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!([push.hint("somebody@else.example"), push.hint("")], [None, None]);
    transport.finish();
}
