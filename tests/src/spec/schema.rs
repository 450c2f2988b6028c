//! Schemas of discovery documents, applied to JSON.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Side;

/// Bodies nest as deep as MIME does; past this the check gives up rather than the stack.
const DEPTH: usize = 200;

/// All schemas by name.
#[derive(Debug, Default)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    pub(super) fn add(&mut self, schemas: &Value) {
        for (name, schema) in schemas.as_object().into_iter().flatten() {
            self.0.insert(name.clone(), schema.clone());
        }
    }

    /// What is wrong with `value` as an instance of the named schema.
    pub(super) fn check(&self, name: &str, value: &Value, side: Side) -> Vec<String> {
        let mut found = Vec::new();
        match self.0.get(name) {
            Some(schema) => Walk { schemas: self, side, found: &mut found }.value(schema, value, name, 0),
            None => found.push(format!("no schema is called {name}")),
        }
        found
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
        if let Some(name) = schema["$ref"].as_str() {
            let schemas = self.schemas;
            match schemas.0.get(name) {
                Some(schema) => self.value(schema, value, place, depth + 1),
                None => self.found.push(format!("{place}: no schema is called {name}")),
            }
            return;
        }
        // In a request null stands for an absent field; the service itself never writes it.
        if value.is_null() && self.side == Side::Request {
            return;
        }
        match schema["type"].as_str() {
            Some("object") => self.object(schema, value, place, depth),
            Some("array") => match value.as_array() {
                Some(items) => {
                    let place = format!("{place}[]");
                    items.iter().for_each(|item| self.value(&schema["items"], item, &place, depth + 1));
                }
                None => self.found.push(format!("{place} is not an array")),
            },
            Some("string") => self.string(schema, value, place),
            Some("integer") if !(value.is_i64() || value.is_u64()) => {
                self.found.push(format!("{place} is not an integer"));
            }
            Some("number") if !value.is_number() => self.found.push(format!("{place} is not a number")),
            Some("boolean") if !value.is_boolean() => self.found.push(format!("{place} is not a boolean")),
            _ => {}
        }
    }

    fn object(&mut self, schema: &Value, value: &Value, place: &str, depth: usize) {
        let Some(fields) = value.as_object() else {
            self.found.push(format!("{place} is not an object"));
            return;
        };
        for (name, value) in fields {
            let inner = format!("{place}.{name}");
            if let Some(schema) = schema["properties"].get(name) {
                self.value(schema, value, &inner, depth + 1);
            } else if let Some(schema) = schema.get("additionalProperties") {
                self.value(schema, value, &inner, depth + 1);
            } else {
                self.found.push(format!("{inner} is unknown"));
            }
        }
    }

    fn string(&mut self, schema: &Value, value: &Value, place: &str) {
        let Some(text) = value.as_str() else {
            self.found.push(format!("{place} is not a string"));
            return;
        };
        let wrong = match schema["format"].as_str() {
            Some("int64") => text.parse::<i64>().is_err(),
            Some("uint64") => text.parse::<u64>().is_err(),
            // Both alphabets are taken in; only the URL-safe one is given out.
            Some("byte") => !text.bytes().all(|byte| match byte {
                b'+' | b'/' => self.side == Side::Request,
                _ => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'='),
            }),
            _ => false,
        };
        if wrong {
            self.found.push(format!("{place} has the wrong format"));
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            self.found.push(format!("{place} has an unknown value"));
        }
    }
}
