use super::*;
use crate::Validation;

const RAW: &str = "From: Bo <bo@example.net>\r\nTo: ada@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
     Date: Sun, 01 Mar 2026 07:00:00 +0000\r\nMessage-ID: <1@example.net>\r\nMIME-Version: 1.0\r\n\
     Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n\
     --b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\
     Content-Transfer-Encoding: base64\r\n\r\naGVsbG8/Pz8+Pj4=\r\n--b--\r\n";
const WRITE: &str = "offline_access User.Read Mail.ReadWrite Mail.Send";

fn api(sandbox: &Sandbox, method: &str, path: &str, token: &str, body: &Value) -> http::Request<Body> {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    http::Request::builder()
        .method(method)
        .uri(sandbox.microsoft_urls().api(path).unwrap().as_str())
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Body::from(text))
        .unwrap()
}

async fn ask_for(sandbox: &Sandbox, method: &str, path: &str, token: &str, body: Value) -> Value {
    let seen = send(sandbox, api(sandbox, method, path, token, &body)).await;
    assert!(seen.status.is_success(), "{method} {path}: {} {}", seen.status, seen.text);
    serde_json::from_str(&seen.text).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn graphs_mail_keeps_to_its_own_description() {
    let sandbox = world();
    println!("validation: {:?}", sandbox.graph_validation());
    let id = sandbox.microsoft().graph().mailbox(ADA).deliver(RAW, sandbox.now(), "inbox");
    let answer = tokens(&sandbox, WRITE).await;
    let token = text(&answer, "access_token");
    let ask = async |method: &str, path: String, body: Value| ask_for(&sandbox, method, &path, token, body).await;
    let message = format!("me/messages/{id}");
    let list = ask("GET", format!("{message}/attachments?$select=id,name,size,isInline"), Value::Null).await;
    let attachment = text(&list["value"][0], "id").to_owned();
    for path in [
        "me/mailFolders".to_owned(),
        "me/mailFolders/delta".to_owned(),
        "me/mailFolders/inbox?$select=id".to_owned(),
        "me/mailFolders/inbox/messages?$top=5&$select=id,subject,from".to_owned(),
        "me/mailFolders/inbox/messages/delta?$select=id,subject,body,internetMessageHeaders".to_owned(),
        "me/messages?$filter=receivedDateTime%20ge%202026-01-01T00:00:00Z".to_owned(),
        message.clone(),
        format!("{message}/$value"),
        format!("{message}/attachments/{attachment}"),
        format!("{message}/attachments/{attachment}/$value"),
        format!("users/{ADA}/messages/{id}?$select=id,isRead"),
    ] {
        ask("GET", path, Value::Null).await;
    }
    ask("PATCH", message.clone(), json!({"isRead": true, "categories": ["Deals"]})).await;
    let reply = ask("POST", format!("{message}/createReplyAll"), json!({"comment": "Thanks"})).await;
    ask("POST", format!("me/messages/{}/send", text(&reply, "id")), Value::Null).await;
    let draft = json!({
        "subject": "x", "body": {"contentType": "text", "content": "y"},
        "toRecipients": [{"emailAddress": {"address": "bo@example.net"}}],
    });
    let draft_id = ask("POST", "me/messages".to_owned(), draft.clone()).await["id"].as_str().unwrap().to_owned();
    let session = json!({"AttachmentItem": {"attachmentType": "file", "name": "a.bin", "size": 4_000_000}});
    let session = ask("POST", format!("me/messages/{draft_id}/attachments/createUploadSession"), session).await;
    let put = http::Request::put(text(&session, "uploadUrl")).header("content-range", "bytes 0-2999999/4000000");
    let seen = send(&sandbox, put.body(Body::from(vec![0; 3_000_000])).unwrap()).await;
    assert!(seen.status.is_success(), "{} {}", seen.status, seen.text);
    ask("POST", "me/sendMail".to_owned(), json!({"message": draft, "saveToSentItems": true})).await;
    ask("POST", format!("{message}/move"), json!({"destinationId": "archive"})).await;
    sandbox.assert_conforms();
}

#[tokio::test(start_paused = true)]
async fn inner_calls_of_a_batch_are_validated_like_any_other() {
    let sandbox = world();
    let id = sandbox.microsoft().graph().mailbox(ADA).deliver(RAW, sandbox.now(), "inbox");
    let answer = tokens(&sandbox, WRITE).await;
    let call =
        |number: &str, query: &str| json!({"id": number, "method": "GET", "url": format!("/me/messages/{id}?{query}")});
    let batch = json!({"requests": [call("1", "$select=id"), call("2", "$select=id&depth=3")]});
    ask_for(&sandbox, "POST", "$batch", text(&answer, "access_token"), batch).await;
    if sandbox.graph_validation() == Validation::On {
        let found: Vec<String> = sandbox.violations().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["me.GetMessage: the request: the parameter depth is unknown"]);
    }
    assert_eq!((sandbox.books().operation("batch"), &sandbox.books().graph["inner_calls"]), (1, &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn an_app_reads_every_mailbox_of_its_tenant_and_not_me() {
    let sandbox = world_with(web().with_roles(&["Mail.Read"]));
    sandbox.microsoft().register_admin("root@example.com", "Root");
    let id = sandbox.microsoft().graph().mailbox(ADA).deliver(RAW, sandbox.now(), "inbox");
    let mut link = sandbox.microsoft_urls().admin_consent("example.com");
    let scope = "https://graph.microsoft.com/.default";
    link.query_pairs_mut().extend_pairs([("client_id", WEB), ("redirect_uri", BACK), ("scope", scope)]);
    sandbox.consent(&link, Consent::Grant).unwrap();
    let answer = send(&sandbox, app_only(&sandbox, "example.com", &[])).await.json();
    let token = text(&answer, "access_token");
    let oid = sandbox.microsoft().people().remove(0).oid;
    for name in [ADA, oid.as_str()] {
        let seen = graph(&sandbox, &format!("users/{name}/messages/{id}?$select=id"), token).await;
        assert_eq!(seen.status, StatusCode::OK, "{}", seen.text);
    }
    assert!(graph(&sandbox, "me/messages", token).await.status.is_client_error());
    assert_eq!(sandbox.calls().pop().unwrap().account, None);
    sandbox.assert_conforms();
}
