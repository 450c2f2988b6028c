mod described;

use std::{collections::BTreeSet, sync::Arc};

use integration_core::{
    ErrorKind,
    email::{Depth, OutgoingAttachment},
    http::{Call, Repeat},
    testing::SeededRandom,
};
use serde_json::Value;
use url::Url;

use super::{Client, Root, operation, write};

fn client() -> Client {
    Client::new(&Url::parse("https://graph.example").unwrap(), 50, Some(4)).with_random(Arc::new(SeededRandom::new(7)))
}

/// A file of so many bytes.
fn file(bytes: usize) -> OutgoingAttachment {
    OutgoingAttachment::new("a.bin", "application/octet-stream", vec![7; bytes])
}

fn hook() -> Url {
    Url::parse("https://host.example/hook").unwrap()
}

/// Every call there is.
fn all(client: &Client) -> Vec<Call> {
    let read = |path: integration_core::Result<String>| client.read(operation::GET, &path.unwrap()).unwrap();
    vec![
        client.delta("f", 100).unwrap(),
        client.delta_link("https://graph.example/v1.0/x", 100).unwrap(),
        client.folders(250).unwrap(),
        client.folders_link("https://graph.example/v1.0/x", 250).unwrap(),
        client.list(None, vec![("$filter", "a eq 'b c'".into())]).unwrap(),
        client.list(Some("f"), Vec::new()).unwrap(),
        client.list_link("https://graph.example/v1.0/x").unwrap(),
        client.attachments_link("https://graph.example/v1.0/x").unwrap(),
        read(client.message_path("m", Depth::Full)),
        read(client.message_path("m", Depth::Headers)),
        read(client.state_path("m")),
        read(client.attachments_path("m")),
        read(client.raw_path("m")),
        read(client.folder_path("inbox")),
        client.attachment("m", "a").unwrap(),
        client.batch(&[client.raw_path("m").unwrap(), client.message_path("n", Depth::Full).unwrap()]).unwrap(),
        client.create(b"x").unwrap(),
        client.create_reply("m", b"x").unwrap(),
        client.mark("m", "k").unwrap(),
        client.mark_unread("m").unwrap(),
        client.subscribe(&hook(), Some(&hook()), ("secret", "2026-01-01T00:00:00Z")).unwrap(),
        client.prolong("s", "2026-01-01T00:00:00Z").unwrap(),
        client.unsubscribe("s").unwrap(),
        client.submit("m").unwrap(),
        client.delete("m").unwrap(),
        client.move_to("m", "f").unwrap(),
        client.attach("m", &file(3)).unwrap(),
        client.upload_session("m", &file(3)).unwrap(),
    ]
}

#[test]
fn every_call_asks_for_ids_that_stay_and_has_an_id_of_its_own() {
    let client = client();
    let mut ids = BTreeSet::new();
    for call in all(&client) {
        let headers = call.request().headers();
        assert!(headers["prefer"].to_str().unwrap().starts_with("IdType=\"ImmutableId\""), "{call:?}");
        let id = headers["client-request-id"].to_str().unwrap().to_owned();
        let dashes: Vec<usize> = id.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!((dashes.as_slice(), &id[14..15]), (&[8, 13, 18, 23][..], "4"), "{id}");
        assert!(ids.insert(id), "{call:?}");
    }
}

#[test]
fn every_reading_call_says_which_properties_it_wants() {
    for call in all(&client()) {
        let uri = call.request().uri().to_string();
        let one = uri.contains("/$value") || uri.ends_with("/x") || uri.contains("$batch");
        if call.request().method() == http::Method::GET && !one {
            assert!(uri.contains("$select=id"), "{uri}");
        }
    }
}

#[test]
fn only_what_changes_nothing_the_second_time_may_be_repeated() {
    let never: BTreeSet<&str> =
        all(&client()).iter().filter(|call| *call.repeat() == Repeat::Never).map(Call::operation).collect();
    let expected = [operation::CREATE, operation::REPLY, operation::SEND, operation::ATTACH, operation::SUBSCRIBE];
    assert_eq!(never, expected.into_iter().collect());
}

#[test]
fn a_batch_counts_as_its_calls_and_takes_no_more_slots_than_there_are() {
    let client = client();
    let paths: Vec<String> = (0..20).map(|at| client.raw_path(&format!("m{at}")).unwrap()).collect();
    let cost = client.batch(&paths).unwrap().cost();
    assert_eq!((cost.units, cost.calls, cost.slots), (20, 20, 4));
    assert_eq!(client.batch_size, 20, "the service takes no more");
    let body: Value = serde_json::from_slice(client.batch(&paths[..2]).unwrap().request().body()).unwrap();
    assert_eq!(body["requests"][1]["url"], "/me/messages/m1/$value");
    assert!(body["requests"][1]["headers"]["Prefer"].as_str().unwrap().contains("ImmutableId"));
}

#[test]
fn an_id_never_leaves_its_place() {
    let client = client();
    let path = client.raw_path("AA/b+c=?d e%#").unwrap();
    assert_eq!(path, "/me/messages/AA%2Fb%2Bc%3D%3Fd%20e%25%23/$value");
    for id in ["", ".", "..", "a\nb", "\u{7f}"] {
        assert_eq!(client.raw_path(id).unwrap_err().kind(), ErrorKind::InvalidInput, "{id:?}");
        assert!(client.clone().at(Root::Mailbox(id.to_owned())).raw_path("m").is_err());
    }
    let list = client.list(None, vec![("$filter", "a eq 'b&c'".into())]).unwrap();
    assert!(list.request().uri().to_string().contains("$filter=a%20eq%20%27b%26c%27&$select="));
}

#[test]
fn the_root_may_name_the_version_or_not_and_lie_below_a_path() {
    for (root, first) in [
        ("https://graph.example", "https://graph.example/v1.0/me/"),
        ("https://graph.example/v1.0/", "https://graph.example/v1.0/me/"),
        ("http://localhost:8080/graph/", "http://localhost:8080/graph/v1.0/me/"),
    ] {
        let client = Client::new(&Url::parse(root).unwrap(), 20, None);
        let uri = client.folders(250).unwrap().request().uri().to_string();
        assert!(uri.starts_with(first), "{uri}");
    }
}

#[test]
fn a_piece_of_an_upload_goes_without_a_token_and_keeps_its_address_secret() {
    let client = client();
    let file = file(write::PIECE + 10);
    let call = client.upload("https://upload.example/x?secret", &file, write::PIECE).unwrap();
    assert_eq!(call.request().headers()["content-range"], "bytes 3276800-3276809/3276810");
    assert_eq!((call.request().body().len(), call.cost().uploaded), (10, 10));
    let draft = client.create(b"x").unwrap();
    assert_eq!(draft.cost().uploaded, draft.request().body().len() as u64, "as it is carried");
    assert_eq!(client.delta("f", 100).unwrap().cost().uploaded, 0);
    assert!(!format!("{call:?}").contains("secret"));
    let error = client.upload("https://upload.example/x secret", &file, 0).unwrap_err();
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    assert_eq!(write::PIECE % 327_680, 0);
}
