//! Every call against the service's own description.

use std::{collections::BTreeSet, path::PathBuf};

use integration_core::http::Call;
use serde_json::Value;
use url::Url;

use super::{all, client};

fn description() -> Option<Value> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("INTEGRATION_SHARED").map_or_else(beside, PathBuf::from);
    let path = shared.join("specs/microsoft/graph-crm.openapi.json");
    let Ok(text) = std::fs::read(&path) else {
        println!("the description is not here: nothing to compare with");
        return None;
    };
    Some(serde_json::from_slice(&text).unwrap())
}

/// The described operation that a call is, by the most literal path.
fn operation<'a>(spec: &'a Value, call: &Call, url: &Url) -> Option<(&'a str, &'a Value)> {
    let path = url.path().strip_prefix("/v1.0")?.replace("/delta", "/delta()");
    let asked: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        let mut pairs = parts.iter().zip(&asked);
        parts.len() == asked.len() && pairs.all(|(part, asked)| part.starts_with('{') || part == asked)
    };
    let paths = spec["paths"].as_object()?.iter().filter(|(template, _)| fits(template));
    let (template, item) = paths.min_by_key(|(template, _)| template.matches('{').count())?;
    Some((template, item.get(call.request().method().as_str().to_lowercase())?))
}

fn resolved<'a>(spec: &'a Value, value: &'a Value) -> &'a Value {
    let Some(name) = value["$ref"].as_str() else { return value };
    name.trim_start_matches("#/").split('/').fold(spec, |at, part| &at[part])
}

/// Every property of a schema, those it inherits too.
fn properties(spec: &Value, schema: &Value, into: &mut BTreeSet<String>) {
    let schema = resolved(spec, schema);
    into.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
    for part in schema["allOf"].as_array().into_iter().flatten() {
        properties(spec, part, into);
    }
}

#[test]
fn every_call_is_one_the_description_knows() {
    let Some(spec) = description() else { return };
    for call in all(&client()).iter().filter(|call| !call.request().uri().path().ends_with("/x")) {
        let url = Url::parse(&call.request().uri().to_string()).unwrap();
        let (template, operation) = operation(&spec, call, &url).unwrap_or_else(|| panic!("{url}"));
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let known: BTreeSet<&str> = parameters.iter().filter_map(|one| resolved(&spec, one)["name"].as_str()).collect();
        for (name, _) in url.query_pairs() {
            assert!(known.contains(&*name), "{template}: {name}");
        }
        let content = &operation["requestBody"]["content"];
        if let Some(kind) = call.request().headers().get("content-type") {
            assert!(content.get(kind.to_str().unwrap()).is_some(), "{template}: {kind:?}");
        } else {
            assert!(call.request().body().is_empty(), "{template}");
        }
    }
}

#[test]
fn every_property_that_is_asked_for_exists() {
    let Some(spec) = description() else { return };
    let mut known = [("messages", "message"), ("attachments", "attachment"), ("mailFolders", "mailFolder")].map(
        |(collection, schema)| {
            let mut fields = BTreeSet::new();
            properties(&spec, &spec["components"]["schemas"][format!("microsoft.graph.{schema}")], &mut fields);
            (collection, fields)
        },
    );
    known[1].1.insert("microsoft.graph.fileAttachment/contentId".to_owned());
    let mut checked = 0;
    for call in all(&client()) {
        let url = Url::parse(&call.request().uri().to_string()).unwrap();
        let Some((_, select)) = url.query_pairs().find(|(name, _)| name == "$select") else { continue };
        let last = url.path_segments().unwrap().rfind(|part| known.iter().any(|(name, _)| name == part)).unwrap();
        let (_, fields) = known.iter().find(|(name, _)| *name == last).unwrap();
        for field in select.split(',') {
            assert!(fields.contains(field), "{last}: {field}");
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked}");
}
