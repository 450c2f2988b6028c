use serde_json::json;

use super::*;

fn validator() -> Validator {
    let mut discovery = Discovery::default();
    discovery.add(&json!({
        "parameters": {"fields": {"location": "query", "type": "string"}},
        "resources": {"notes": {"methods": {
            "get": {
                "id": "notes.get", "httpMethod": "GET", "path": "gmail/v1/notes/{id}", "response": {"$ref": "Note"},
                "parameters": {
                    "id": {"location": "path", "required": true, "type": "string"},
                    "format": {"location": "query", "type": "string", "enum": ["full", "raw"]},
                    "most": {"location": "query", "type": "integer"}
                }
            },
            "list": {"id": "notes.list", "httpMethod": "GET", "path": "gmail/v1/notes/all"},
            "add": {
                "id": "notes.add", "httpMethod": "POST", "path": "gmail/v1/notes",
                "request": {"$ref": "Note"}, "response": {"$ref": "Note"}
            }
        }}},
        "schemas": {"Note": {"type": "object", "properties": {
            "id": {"type": "string", "format": "uint64"},
            "body": {"type": "string", "format": "byte"},
            "notes": {"type": "array", "items": {"$ref": "Note"}}
        }}}
    }));
    Validator { discovery: Some(Arc::new(discovery)), ..Validator::load(Path::new("/nowhere")) }
}

fn request(method: &str, path: &str, content_type: &str, body: &str) -> Request<Bytes> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .unwrap()
}

fn answer(body: &Value) -> ApiAnswer {
    let answer = http::Response::builder().header("content-type", "application/json; charset=UTF-8");
    answer.body(Bytes::from(body.to_string())).unwrap()
}

fn found(request: &Request<Bytes>, body: Value) -> Vec<String> {
    let validator = validator();
    validator.check(request, Some(&answer(&body)));
    validator.violations().iter().map(ToString::to_string).collect()
}

fn get(path: &str) -> Request<Bytes> {
    request("GET", path, "", "")
}

#[test]
fn what_the_description_allows_passes() {
    assert_eq!(
        found(&get("/gmail/v1/notes/7?format=raw&most=3&fields=id"), json!({"id": "7", "notes": [{"body": "_-8="}]})),
        Vec::<String>::new()
    );
}

#[test]
fn an_unknown_path_method_parameter_and_value_are_found() {
    assert_eq!(found(&get("/gmail/v1/nots/7"), json!({})), ["GET /gmail/v1/nots/7: the request: the path is unknown"]);
    assert_eq!(
        found(&request("PUT", "/gmail/v1/notes/7", "", ""), json!({})),
        ["PUT /gmail/v1/notes/7: the request: the method is unknown here"]
    );
    assert_eq!(
        found(&get("/gmail/v1/notes/7?format=half&max=3&most=x"), json!({})),
        [
            "notes.get: the request: the parameter format has an unknown value",
            "notes.get: the request: the parameter max is unknown",
            "notes.get: the request: the parameter most has the wrong type"
        ]
    );
}

#[test]
fn a_field_of_the_answer_that_is_unknown_or_of_the_wrong_type_is_found_at_any_depth() {
    assert_eq!(
        found(&get("/gmail/v1/notes/7"), json!({"id": 7, "notes": [{"notes": [{"extra": 1}]}]})),
        [
            "notes.get: the answer: Note.id is not a string",
            "notes.get: the answer: Note.notes[].notes[].extra is unknown"
        ]
    );
}

#[test]
fn a_field_of_the_request_that_is_unknown_is_found() {
    let request = request("POST", "/gmail/v1/notes", "application/json", r#"{"titel":"x","body":"+/"}"#);
    assert_eq!(found(&request, json!({})), ["notes.add: the request: Note.titel is unknown"]);
}

#[test]
fn a_literal_path_wins_over_a_hole() {
    assert_eq!(validator().place("GET", "/gmail/v1/notes/all").operation, "notes.list");
    assert_eq!(validator().place("GET", "/gmail/v1/notes/8").template, "/gmail/v1/notes/{id}");
}

#[test]
fn an_error_body_must_carry_its_status() {
    let validator = validator();
    let mut wrong = answer(&json!({"error": {"code": 404, "message": "no"}}));
    *wrong.status_mut() = http::StatusCode::FORBIDDEN;
    validator.check(&get("/gmail/v1/notes/7"), Some(&wrong));
    assert_eq!(validator.violations().len(), 1);
}

#[test]
fn token_requests_are_held_against_the_table() {
    let form = "application/x-www-form-urlencoded";
    let check = |kind: &str, body: &str| found(&request("POST", "/token", kind, body), json!({}));
    assert_eq!(check(form, "grant_type=refresh_token&refresh_token=x&client_id=c"), Vec::<String>::new());
    assert_eq!(
        check(form, "grant_type=refresh_token&audience=c"),
        [
            "oauth.token: the request: the parameter audience is unknown",
            "oauth.token: the request: the parameter refresh_token is missing"
        ]
    );
    assert_eq!(check("application/json", "{}"), ["oauth.token: the request: the body is not declared as a form"]);
}

#[test]
fn a_batch_envelope_is_held_against_its_rules() {
    let part = |id: &str, target: &str| {
        format!("--b\r\nContent-Type: application/http\r\nContent-ID: {id}\r\n\r\nGET {target} HTTP/1.1\r\n\r\n")
    };
    let check =
        |body: String| found(&request("POST", "/batch/gmail/v1", "multipart/mixed; boundary=\"b\"", &body), json!({}));
    assert_eq!(check(format!("{}{}--b--\r\n", part("<1>", "/x"), part("<2>", "/y"))), Vec::<String>::new());
    assert_eq!(
        check(format!("{}{}", part("<1>", "http://h/x"), part("<1>", "/y"))),
        [
            "gmail.batch: the request: the closing boundary is missing",
            "gmail.batch: the request: an inner request names a host, or no path"
        ]
    );
}

#[test]
fn without_the_documents_validation_is_off_and_says_so() {
    let validator = Validator::load(Path::new("/nowhere"));
    assert!(matches!(validator.validation(), Validation::Off { .. }));
    assert!(matches!(validator.graph_validation(), Validation::Off { .. }));
    validator.check(&get("/v1.0/anything"), None);
    validator.check(&get("/gmail/v1/anything"), None);
    assert!(validator.violations().is_empty());
}

#[test]
fn the_real_descriptions_are_understood() {
    let validator = Validator::load(&shared_folder());
    if let Validation::Off { looked_at } = validator.validation() {
        println!("skipped: no descriptions at {}", looked_at.display());
        return;
    }
    for (verb, path, operation) in [
        ("GET", "/gmail/v1/users/me/messages/18c0", "gmail.users.messages.get"),
        ("POST", "/gmail/v1/users/me/messages/send", "gmail.users.messages.send"),
        ("POST", "/upload/gmail/v1/users/me/messages/send", "gmail.users.messages.send"),
        ("GET", "/gmail/v1/users/me/messages/18c0/attachments/a", "gmail.users.messages.attachments.get"),
        ("GET", "/oauth2/v2/userinfo", "oauth2.userinfo.get"),
    ] {
        assert_eq!(validator.place(verb, path).operation, operation);
    }
    assert_eq!(
        validator.place("GET", "/gmail/v1/users/me/messages/18c0").template,
        "/gmail/v1/users/{userId}/messages/{id}"
    );
}
