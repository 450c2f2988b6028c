//! Graph's description, in small and as it is.

use serde_json::json;

use super::*;

fn validator() -> Validator {
    let string = json!({"type": "string", "nullable": true});
    let schema = |name: &str| json!({"$ref": format!("#/components/schemas/microsoft.graph.{name}")});
    let body = |schema: Value| json!({"content": {"application/json": {"schema": schema}}});
    let answers = |schema: Value| {
        let error = json!({"type": "object", "title": "e", "required": ["error"], "properties": {"error": {}}});
        json!({"200": body(schema), "4XX": body(error)})
    };
    let list = json!({"type": "object", "title": "list", "properties": {
        "@odata.nextLink": string, "value": {"type": "array", "items": schema("note")}}});
    let document = json!({
        "paths": {
            "/$batch": {"post": {
                "operationId": "batch", "responses": {},
                "requestBody": body(json!({"type": "object", "title": "b", "required": ["requests"], "properties": {
                    "requests": {"type": "array", "maxItems": 2, "items": {}}}})),
            }},
            "/me/notes": {
                "get": {
                    "operationId": "notes.list", "responses": answers(list.clone()),
                    "parameters": [
                        {"$ref": "#/components/parameters/select"},
                        {"name": "$top", "in": "query", "schema": {"type": "integer"}},
                        {"name": "from", "in": "query", "required": true, "schema": {"type": "string"}},
                        {"name": "Prefer", "in": "header", "schema": {"type": "string"}},
                    ],
                },
                "post": {"operationId": "notes.add", "responses": answers(schema("note")), "requestBody": body(schema("note"))},
            },
            "/me/notes/delta()": {"get": {"operationId": "notes.delta", "responses": answers(list)}},
            "/me/notes/{note-id}": {"get": {"operationId": "notes.get", "responses": answers(schema("note"))}},
            "/me/notes/{note-id}/$value": {"get": {
                "operationId": "notes.value", "responses": {"200": {"content": {"text/plain": {"schema": string}}}}}},
            "/me/notes/{note-id}/send": {"post": {"operationId": "notes.send", "responses": {"202": {}}}},
            "/me/notes/{note-id}/move": {"post": {
                "operationId": "notes.move", "responses": {"200": {}},
                "requestBody": body(json!({"type": "object", "properties": {"DestinationId": {"type": "string"}}}))}},
        },
        "components": {
            "parameters": {"select": {"name": "$select", "in": "query", "schema": {"type": "string"}}},
            "schemas": {
                "microsoft.graph.entity": {"type": "object", "title": "entity", "properties": {
                    "id": {"type": "string"}, "@odata.type": {"type": "string"}}},
                "microsoft.graph.note": {
                    "allOf": [schema("entity"), {"type": "object", "title": "note", "properties": {
                        "subject": string, "size": {"type": "integer"}, "at": {"type": "string", "format": "date-time"},
                        "weight": {"anyOf": [schema("weight")], "nullable": true},
                        "inner": {"anyOf": [schema("note"), {"type": "object", "nullable": true}]},
                    }}],
                    "discriminator": {"mapping": {"#microsoft.graph.long": "#/components/schemas/microsoft.graph.long"}},
                },
                "microsoft.graph.long": {"allOf": [schema("note"), {"type": "object", "title": "long", "properties": {
                    "bytes": {"type": "string", "format": "base64url"}}}]},
                "microsoft.graph.weight": {"type": "string", "enum": ["light", "heavy"]},
            },
        },
    });
    let validator = Validator::load(Path::new("/nowhere"));
    let _ = validator.graph.set(Some(Arc::new(OpenApi::parse(&document))));
    validator
}

fn request(verb: &str, path: &str, body: &Value) -> Request<Bytes> {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let request = Request::builder().method(verb).uri(format!("/v1.0{path}")).header(CONTENT_TYPE, "application/json");
    request.body(Bytes::from(text)).unwrap()
}

fn answer(status: u16, body: &Value) -> ApiAnswer {
    let answer = http::Response::builder().status(status).header(CONTENT_TYPE, "application/json; charset=utf-8");
    answer.body(Bytes::from(body.to_string())).unwrap()
}

fn found(request: &Request<Bytes>, answer: Option<&ApiAnswer>) -> Vec<String> {
    let validator = validator();
    validator.check(request, answer);
    validator.violations().iter().map(ToString::to_string).collect()
}

fn asked(verb: &str, path: &str, body: Value) -> Vec<String> {
    found(&request(verb, path, &body), None)
}

fn answered(path: &str, body: Value) -> Vec<String> {
    found(&request("GET", path, &Value::Null), Some(&answer(200, &body)))
}

#[test]
fn what_the_description_allows_passes() {
    for path in [
        "/me/notes?from=x&$top=3&$select=id,subject&$skiptoken=q",
        "/users/ada@example.com/notes?from=x",
        "/me/notes/delta",
        "/me/notes/delta()",
        "/me/notes/microsoft.graph.delta()",
        "/me/notes('7')",
        "/me/notes/7%2F8",
        "/me/notes?from=x&$select=microsoft.graph.long/bytes",
    ] {
        assert_eq!(asked("GET", path, Value::Null), Vec::<String>::new(), "{path}");
    }
    let note = json!({
        "@odata.etag": "W/1", "id": "1", "subject": null, "size": 3, "at": "2026-03-01T08:00:00Z", "weight": "light",
        "inner": {"@odata.type": "#microsoft.graph.long", "bytes": "+/8=", "bytes@odata.mediaReadLink": "x"},
    });
    assert_eq!(answered("/me/notes/7", note.clone()), Vec::<String>::new());
    let removed = json!({"id": "2", "@removed": {"reason": "deleted"}});
    assert_eq!(
        answered("/me/notes/delta", json!({"@odata.nextLink": "u", "value": [note, removed]})),
        Vec::<String>::new()
    );
    assert_eq!(asked("POST", "/me/notes/7/move", json!({"destinationId": "x"})), Vec::<String>::new());
    assert_eq!(asked("POST", "/me/notes/7/send", Value::Null), Vec::<String>::new());
}

#[test]
fn an_unknown_path_method_or_parameter_is_found() {
    assert_eq!(asked("GET", "/me/nots", Value::Null), ["GET /v1.0/me/nots: the request: the path is unknown"]);
    assert_eq!(
        asked("PUT", "/me/notes/7", Value::Null),
        ["PUT /v1.0/me/notes/7: the request: the method is unknown here"]
    );
    assert_eq!(
        asked("GET", "/me/notes?$top=x&top=3&$filter=a&$select=id,titel,microsoft.graph.long/bites", Value::Null),
        [
            "notes.list: the request: the parameter $top has the wrong type",
            "notes.list: the request: the parameter top is unknown",
            "notes.list: the request: the parameter $filter is unknown",
            "notes.list: the request: the parameter $select names titel, which is unknown",
            "notes.list: the request: the parameter $select names microsoft.graph.long/bites, which is unknown",
            "notes.list: the request: the parameter from is missing"
        ]
    );
}

#[test]
fn what_is_wrong_with_a_body_is_found_at_any_depth() {
    let wrong = json!({
        "id": 7, "size": null, "at": "yesterday", "weight": "odd", "inner": {"inner": {"extra": 1, "x@odata.type": "y"}},
    });
    let expected = [
        "note.at has the wrong format",
        "note.id is not a string",
        "note.inner.inner.extra is unknown",
        "note.inner.inner.x@odata.type is unknown",
        "note.size is null",
        "note.weight has an unknown value",
    ];
    let of = |side: &str, operation: &str| expected.map(|text| format!("{operation}: the {side}: {text}"));
    let mut seen = answered("/me/notes/7", wrong.clone());
    seen.sort();
    assert_eq!(seen, of("answer", "notes.get"));
    let mut seen = asked("POST", "/me/notes", wrong);
    seen.sort();
    assert_eq!(seen, of("request", "notes.add"));
    assert_eq!(
        asked("POST", "/me/notes/7/send", json!({"a": 1})),
        ["notes.send: the request: the method takes no body"]
    );
    assert_eq!(asked("POST", "/me/notes/7/move", json!({"to": "x"})), ["notes.move: the request: body.to is unknown"]);
    let mut text = request("POST", "/me/notes", &json!({}));
    text.headers_mut().insert(CONTENT_TYPE, "text/plain".parse().unwrap());
    assert_eq!(found(&text, None), ["notes.add: the request: the body is declared as text/plain, which is not taken"]);
}

#[test]
fn statuses_and_errors_are_held_against_the_description_too() {
    let ask = request("GET", "/me/notes/7", &Value::Null);
    assert_eq!(found(&ask, Some(&answer(404, &json!({"error": {}})))), Vec::<String>::new());
    assert_eq!(found(&ask, Some(&answer(404, &json!({"fault": 1})))).len(), 2);
    assert_eq!(found(&ask, Some(&answer(202, &json!({})))), ["notes.get: the answer: the status 202 is not described"]);
    let page = http::Response::builder().status(404).header(CONTENT_TYPE, "text/html").body(Bytes::from_static(b"<p>"));
    assert_eq!(found(&ask, Some(&page.unwrap())), Vec::<String>::new());
    let raw = http::Response::builder().header(CONTENT_TYPE, "message/rfc822").body(Bytes::from_static(b"Subject: x"));
    assert_eq!(found(&request("GET", "/me/notes/7/$value", &Value::Null), Some(&raw.unwrap())), Vec::<String>::new());
}

#[test]
fn a_batch_is_held_against_its_rules() {
    let call = |id: &str, url: &str| json!({"id": id, "method": "GET", "url": url});
    let check = |calls: Vec<Value>| asked("POST", "/$batch", json!({"requests": calls}));
    assert_eq!(check(vec![call("1", "/me/notes"), call("2", "/me/notes")]), Vec::<String>::new());
    assert_eq!(
        check(vec![call("1", "/a"), call("1", "https://h/a")]),
        [
            "batch: the request: two calls of the batch have the same id",
            "batch: the request: a call of the batch names a host, or no path"
        ]
    );
    let body = json!({"id": "1", "method": "POST", "url": "/me/notes", "body": {}});
    assert_eq!(check(vec![body]), ["batch: the request: a call of the batch has a body without a content type"]);
    assert_eq!(
        check(vec![call("1", "/a"), call("2", "/a"), call("3", "/a")]),
        ["batch: the request: body.requests has too many items"]
    );
}

#[test]
fn sign_in_is_held_against_the_table() {
    let form = |body: &'static str| {
        let request =
            Request::post("/common/oauth2/v2.0/token").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        found(&request.body(Bytes::from_static(body.as_bytes())).unwrap(), None)
    };
    let good = "grant_type=client_credentials&scope=x&client_id=c&client_assertion=a&client_assertion_type=t";
    assert_eq!(form(good), Vec::<String>::new());
    assert_eq!(
        form("grant_type=refresh_token&refresh_token=x&tenant=t"),
        ["oauth.token: the request: the parameter tenant is unknown"]
    );
    let link = |query: &str| {
        let request = Request::get(format!("/t/v2.0/adminconsent?{query}"));
        found(&request.body(Bytes::new()).unwrap(), None)
    };
    assert_eq!(
        link("client_id=c&redirect_uri=r&state=s"),
        ["oauth.adminconsent: the request: the parameter scope is missing"]
    );
    let place = validator().place("POST", "/common/oauth2/v2.0/token");
    assert_eq!((place.operation.as_str(), place.template.as_str()), ("oauth.token", "/{tenant}/oauth2/v2.0/token"));
}

#[test]
fn graphs_real_description_is_read_once_and_understood() {
    let began = std::time::Instant::now();
    let validator = Validator::load(&shared_folder());
    if let Validation::Off { looked_at } = validator.graph_validation() {
        println!("skipped: no description at {}", looked_at.display());
        return;
    }
    println!("read in {:?}", began.elapsed());
    for (verb, path, operation) in [
        ("GET", "/v1.0/me/messages/AAMk", "me.GetMessage"),
        ("GET", "/v1.0/users/ada@example.com/messages/AAMk", "me.GetMessage"),
        ("GET", "/v1.0/me/mailFolders('inbox')/messages/delta", "me.mailFolders.messages.delta"),
        ("GET", "/v1.0/me/messages/AAMk/attachments/1/$value", "me.GetMessageAttachmentContent"),
        ("POST", "/v1.0/me/messages/AAMk/permanentDelete", "me.messages.permanentDelete"),
        ("POST", "/v1.0/$batch", "batch"),
    ] {
        let place = validator.place(verb, path);
        assert!(place.template.starts_with("/v1.0/") && !place.template.contains("AAMk"), "{}", place.template);
        assert_eq!(place.operation, operation);
    }
    let select = "id,subject,from,body,internetMessageHeaders,parentFolderId,receivedDateTime,lastModifiedDateTime";
    let page = json!({"@odata.deltaLink": "u", "value": [
        {"@odata.type": "#microsoft.graph.eventMessageRequest", "id": "1", "meetingMessageType": "meetingRequest",
         "from": {"emailAddress": {"name": "Ada", "address": "ada@example.com"}}, "importance": "normal",
         "body": {"contentType": "text", "content": "x"}, "receivedDateTime": "2026-03-01T08:00:00Z"},
        {"id": "2", "@removed": {"reason": "changed"}},
    ]});
    let path = format!("/me/mailFolders/inbox/messages/delta?$select={select}&changeType=created");
    validator.check(&request("GET", &path, &Value::Null), Some(&answer(200, &page)));
    let send = json!({"message": {"subject": "x", "toRecipients": [{"emailAddress": {"address": "a@b"}}]}, "saveToSentItems": true});
    validator.check(&request("POST", "/me/sendMail", &send), None);
    assert_eq!(validator.violations(), []);
    validator.check(
        &request("GET", "/me/messages?$select=titel", &Value::Null),
        Some(&answer(200, &json!({"value": [{"titel": 1}]}))),
    );
    assert_eq!(validator.violations().len(), 2);
}
