use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::{ANN, BOB, Caller, ids, refusal};
use crate::call::ApiAnswer;
use crate::microsoft::graph::{Graph, GraphSettings};

const SIZE: usize = 5 * 1024 * 1024;
const PIECE: usize = 2 * 1024 * 1024;

fn begun() -> (Caller, String, String) {
    let caller = Caller::new(GraphSettings::default());
    let draft = caller.post("messages", &json!({"subject": "S"}))["id"].as_str().unwrap().to_owned();
    let item = json!({"AttachmentItem": {"attachmentType": "file", "name": "big.bin", "size": SIZE}});
    let session = caller.post(&format!("messages/{draft}/attachments/createUploadSession"), &item);
    assert_eq!(session["nextExpectedRanges"], json!(["0-"]));
    (caller, draft, session["uploadUrl"].as_str().unwrap().to_owned())
}

fn put(caller: &Caller, url: &str, from: usize, bytes: &[u8]) -> ApiAnswer {
    let range = format!("bytes {from}-{}/{SIZE}", from + bytes.len() - 1);
    let request = Request::put(url).header("content-range", range).body(Bytes::copy_from_slice(bytes)).unwrap();
    assert!(Graph::is_upload(request.uri().path()) && !Graph::is_mail(request.uri().path()));
    caller.graph.answer_upload(&request, caller.now)
}

#[test]
fn a_large_attachment_comes_in_pieces() {
    let (caller, draft, url) = begun();
    let whole: Vec<u8> = (0..SIZE).map(|n| (n % 251) as u8).collect();
    let first = put(&caller, &url, 0, &whole[..PIECE]);
    let body: Value = serde_json::from_slice(first.body()).unwrap();
    let next = body["nextExpectedRanges"][0].as_str().unwrap();
    assert_eq!((first.status().as_u16(), next.trim_end_matches('-')), (200, "2097152"));
    assert_eq!(put(&caller, &url, 0, &whole[..PIECE]).status().as_u16(), 416);
    assert_eq!(put(&caller, &url, PIECE, &whole[PIECE..2 * PIECE]).status().as_u16(), 200);
    let last = put(&caller, &url, 2 * PIECE, &whole[2 * PIECE..]);
    assert_eq!(last.status().as_u16(), 201);
    let location = last.headers()["location"].to_str().unwrap().to_owned();
    let list = caller.get(&format!("messages/{draft}/attachments?$select=id,name,size"));
    assert_eq!(list["value"][0]["name"], "big.bin");
    let id = ids(&list)[0].clone();
    assert!(location.ends_with(&format!("attachments('{id}')")), "{location}");
    let value = caller.answer("GET", &format!("messages/{draft}/attachments/{id}/$value"), &Value::Null);
    assert_eq!(value.body(), &whole);
    assert_eq!(put(&caller, &url, 0, &whole[..PIECE]).status().as_u16(), 404);
}

#[test]
fn an_upload_url_takes_no_token_and_ends() {
    let (mut caller, _, url) = begun();
    let request = Request::put(&url).header("authorization", "Bearer x").body(Bytes::from_static(b"x")).unwrap();
    assert_eq!(caller.graph.answer_upload(&request, caller.now).status().as_u16(), 401);
    let request = Request::get(&url).body(Bytes::new()).unwrap();
    assert_eq!(caller.graph.answer_upload(&request, caller.now).status().as_u16(), 200);
    caller.pass(3_601);
    assert_eq!(caller.graph.answer_upload(&request, caller.now).status().as_u16(), 404);
    let (caller, _, url) = begun();
    let request = Request::delete(&url).body(Bytes::new()).unwrap();
    assert_eq!(caller.graph.answer_upload(&request, caller.now).status().as_u16(), 204);
    assert_eq!(put(&caller, &url, 0, b"x").status().as_u16(), 404);
}

#[test]
fn small_attachments_and_other_peoples_mailboxes_take_no_sessions() {
    let (caller, draft, _) = begun();
    let small = json!({"AttachmentItem": {"attachmentType": "file", "name": "s", "size": 1000}});
    let path = format!("messages/{draft}/attachments/createUploadSession");
    assert_eq!(
        caller.refused("POST", &path, &small),
        refusal(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize")
    );
    caller.graph.mailbox(ANN).share_with(BOB);
    let bob = Caller::of(&caller.graph, BOB).with_scopes(&["Mail.ReadWrite.Shared"]);
    let item = json!({"AttachmentItem": {"attachmentType": "file", "name": "b", "size": SIZE}});
    let refused = bob.refused("POST", &format!("/users/{ANN}/{path}"), &item);
    assert_eq!(refused, refusal(403, "ErrorAccessDenied"));
}
