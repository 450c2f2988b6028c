use std::sync::Arc;

use futures_util::FutureExt;

use super::{FixedRandom, ScriptedTransport, SeededRandom, Step, virtual_clock};
use crate::{
    clock::{Clock, Random},
    http::{Body, Transport},
};

fn get(path: &str) -> http::Request<Body> {
    http::Request::get(format!("https://api.example{path}")).body(Body::default()).unwrap()
}

#[tokio::test]
async fn a_request_outside_the_script_fails_in_its_task_and_at_the_end() {
    let transport = Arc::new(ScriptedTransport::new([Step::get("/one"), Step::get("/two")]));
    let early = std::panic::AssertUnwindSafe(transport.execute(get("/two"))).catch_unwind().await;
    assert!(early.is_err());
    transport.execute(get("/one")).await.unwrap();
    transport.execute(get("/two")).await.unwrap();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| transport.finish())).is_err());
}

#[tokio::test]
#[should_panic(expected = "never requested")]
async fn a_script_that_was_not_played_to_its_end_fails() {
    ScriptedTransport::new([Step::get("/one")]).finish();
}

#[tokio::test]
async fn in_any_order_the_first_matching_step_answers() {
    let steps = ["a", "b"].map(|page| Step::get("/items").with_query("page", page).answers(200, page));
    let transport = ScriptedTransport::new(steps).in_any_order();
    for page in ["b", "a"] {
        let response = transport.execute(get(&format!("/items?page={page}"))).await.unwrap();
        assert_eq!(response.into_body().collect(10).await.unwrap(), page);
    }
    transport.finish();
}

#[test]
fn fixed_randomness_repeats_and_seeded_randomness_repeats_its_sequence() {
    assert_eq!(FixedRandom(7).token(9), FixedRandom(7).token(9));
    let (one, two) = (SeededRandom::new(1), SeededRandom::new(1));
    let first = one.token(16);
    assert_eq!(first, two.token(16));
    assert_ne!(first, one.token(16));
}

#[tokio::test(start_paused = true)]
async fn the_virtual_clock_follows_the_paused_runtime() {
    let clock = virtual_clock();
    assert_eq!(clock.now().to_rfc3339(), "2026-03-02T09:00:00+00:00");
    clock.sleep(std::time::Duration::from_secs(3600)).await;
    assert_eq!(clock.now().to_rfc3339(), "2026-03-02T10:00:00+00:00");
}
