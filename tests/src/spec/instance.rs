//! Schemas of OpenAPI documents, applied to JSON as OData writes it.

use std::collections::BTreeMap;

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use chrono::DateTime;
use serde_json::{Map, Value};

use super::Side;

/// Attachments nest items; past this the check gives up rather than the stack.
const DEPTH: usize = 200;
const REFERENCE: &str = "#/components/schemas/";

/// All schemas by name.
#[derive(Debug, Default)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    pub(super) fn new(schemas: &Value) -> Self {
        let all = schemas.as_object().into_iter().flatten();
        Self(all.map(|(name, schema)| (name.clone(), schema.clone())).collect())
    }

    /// What is wrong with `value` as an instance of `schema`.
    pub(super) fn check(&self, schema: &Value, value: &Value, side: Side) -> Vec<String> {
        let mut found = Vec::new();
        let place = schema["$ref"].as_str().and_then(|name| name.rsplit('.').next()).unwrap_or("body");
        Walk { schemas: self, side, found: &mut found }.value(schema, value, place, 0);
        found
    }

    /// The schema of a property, inherited ones included.
    pub(super) fn property<'a>(&'a self, schema: &'a Value, name: &str) -> Option<&'a Value> {
        let schema = self.resolve(schema);
        if let Some(found) = schema["properties"].get(name) {
            return Some(found);
        }
        // Parameters of actions are matched without regard to case.
        let inline = schema["properties"].as_object().filter(|_| schema.get("title").is_none());
        let folded = inline.and_then(|all| all.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)));
        folded
            .map(|(_, found)| found)
            .or_else(|| schema["allOf"].as_array().into_iter().flatten().find_map(|base| self.property(base, name)))
    }

    /// Does the type have the property?
    pub(super) fn has(&self, name: &str, property: &str) -> bool {
        self.0.get(name).is_some_and(|schema| self.property(schema, property).is_some())
    }

    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let name = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix(REFERENCE));
        name.and_then(|name| self.0.get(name)).unwrap_or(schema)
    }

    /// The type that a value says it has, where a schema knows several.
    fn derived<'a>(&'a self, schema: &'a Value, value: &Map<String, Value>) -> Option<&'a Value> {
        let kind = value.get("@odata.type")?.as_str()?;
        let target = schema["discriminator"]["mapping"][kind].as_str()?;
        self.0.get(target.strip_prefix(REFERENCE)?)
    }
}

struct Walk<'a> {
    schemas: &'a Schemas,
    side: Side,
    found: &'a mut Vec<String>,
}

impl Walk<'_> {
    fn value(&mut self, schema: &Value, value: &Value, place: &str, depth: usize) {
        if depth > DEPTH {
            return;
        }
        let schemas = self.schemas;
        if value.is_null() {
            if !is_nullable(schemas, schema) {
                self.found.push(format!("{place} is null"));
            }
            return;
        }
        let schema = schemas.resolve(schema);
        if let Some(branches) = schema["anyOf"].as_array() {
            self.any(branches, value, place, depth);
            return;
        }
        match schema["type"].as_str() {
            Some("array") => self.array(schema, value, place, depth),
            Some("string") => self.string(schema, value, place),
            Some("integer") if !(value.is_i64() || value.is_u64()) => {
                self.found.push(format!("{place} is not an integer"));
            }
            Some("number") if !value.is_number() => self.found.push(format!("{place} is not a number")),
            Some("boolean") if !value.is_boolean() => self.found.push(format!("{place} is not a boolean")),
            Some("object") => self.object(schema, value, place, depth),
            None if schema.get("allOf").is_some() => self.object(schema, value, place, depth),
            _ => {}
        }
    }

    /// Good if one branch is; else what is wrong with the first of them that says something.
    fn any(&mut self, branches: &[Value], value: &Value, place: &str, depth: usize) {
        let mut first = None;
        // A bare object among the branches only says that the value may be null.
        for branch in branches.iter().filter(|branch| branch["type"] != "object" || branch.get("properties").is_some())
        {
            let mut found = Vec::new();
            Walk { schemas: self.schemas, side: self.side, found: &mut found }.value(branch, value, place, depth + 1);
            if found.is_empty() {
                return;
            }
            first.get_or_insert(found);
        }
        self.found.extend(first.into_iter().flatten());
    }

    fn array(&mut self, schema: &Value, value: &Value, place: &str, depth: usize) {
        let Some(items) = value.as_array() else {
            self.found.push(format!("{place} is not an array"));
            return;
        };
        if schema["maxItems"].as_u64().is_some_and(|most| items.len() as u64 > most) {
            self.found.push(format!("{place} has too many items"));
        }
        let place = format!("{place}[]");
        items.iter().for_each(|item| self.value(&schema["items"], item, &place, depth + 1));
    }

    fn object(&mut self, schema: &Value, value: &Value, place: &str, depth: usize) {
        let Some(fields) = value.as_object() else {
            self.found.push(format!("{place} is not an object"));
            return;
        };
        let schemas = self.schemas;
        let schema = schemas.derived(schema, fields).unwrap_or(schema);
        for (name, value) in fields {
            let inner = format!("{place}.{name}");
            if let Some(known) = schemas.property(schema, name) {
                self.value(known, value, &inner, depth + 1);
            } else if let Some(open) = schema.get("additionalProperties") {
                self.value(open, value, &inner, depth + 1);
            } else if !is_annotation(schemas, schema, name) && !is_free(schema) {
                self.found.push(format!("{inner} is unknown"));
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                self.found.push(format!("{place}.{name} is missing"));
            }
        }
    }

    fn string(&mut self, schema: &Value, value: &Value, place: &str) {
        let Some(text) = value.as_str() else {
            self.found.push(format!("{place} is not a string"));
            return;
        };
        let wrong = match schema["format"].as_str() {
            Some("date-time") => DateTime::parse_from_rfc3339(text).is_err(),
            Some("base64url") => !is_base64(text),
            _ => false,
        };
        if wrong {
            self.found.push(format!("{place} has the wrong format"));
        }
        if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
            self.found.push(format!("{place} has an unknown value"));
        }
    }
}

fn is_nullable(schemas: &Schemas, schema: &Value) -> bool {
    let untyped = schema.as_object().is_some_and(Map::is_empty) || schema == true;
    let here = |schema: &Value| schema["nullable"] == true;
    let resolved = schemas.resolve(schema);
    untyped || here(schema) || here(resolved) || resolved["anyOf"].as_array().is_some_and(|any| any.iter().any(here))
}

/// An object of which the document says nothing.
fn is_free(schema: &Value) -> bool {
    schema.get("properties").is_none() && schema.get("allOf").is_none()
}

/// OData's own names, on the object or on one of its properties.
fn is_annotation(schemas: &Schemas, schema: &Value, name: &str) -> bool {
    match name.split_once('@') {
        Some(("", term)) => term.starts_with("odata.") || term.starts_with("microsoft.graph.") || term == "removed",
        Some((property, term)) => term.starts_with("odata.") && schemas.property(schema, property).is_some(),
        None => false,
    }
}

/// The description says URL-safe, the service writes the usual alphabet: either, padded or not.
fn is_base64(text: &str) -> bool {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let usual: String = text
        .chars()
        .map(|c| {
            if c == '-' {
                '+'
            } else if c == '_' {
                '/'
            } else {
                c
            }
        })
        .collect();
    GeneralPurpose::new(&base64::alphabet::STANDARD, lenient).decode(usual).is_ok()
}
