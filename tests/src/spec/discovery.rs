//! Discovery documents: methods, paths and parameters.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use super::schema::Schemas;

/// Parameters that the infrastructure in front of every API takes on uploads, beyond the documents.
const UPLOAD_EXTRAS: [&str; 1] = ["upload_id"];

/// One method of an API.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) id: String,
    verb: String,
    /// Path templates: the usual one, then those of uploads.
    paths: Vec<String>,
    /// Query parameters with their descriptions, the API's global ones included.
    query: BTreeMap<String, Value>,
    pub(super) request: Option<String>,
    pub(super) response: Option<String>,
}

/// All documents together.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    methods: Vec<Method>,
    pub(super) schemas: Schemas,
}

impl Discovery {
    /// Reads the documents in `folder`; `None` if one of them is not there.
    pub(super) fn load(folder: &Path) -> Option<Self> {
        let mut all = Self::default();
        for name in ["gmail.v1.json", "oauth2.v2.json"] {
            let text = std::fs::read(folder.join(name)).ok()?;
            all.add(&serde_json::from_slice(&text).ok()?);
        }
        Some(all)
    }

    /// Adds one document.
    pub(super) fn add(&mut self, document: &Value) {
        let globals = &document["parameters"];
        collect(document, globals, &mut self.methods);
        self.schemas.add(&document["schemas"]);
    }

    /// The method behind a path, with the template that fits.
    pub(super) fn find(&self, verb: &str, path: &str) -> Option<(&Method, &str)> {
        self.fitting(path)
            .filter(|(method, _)| method.verb == verb)
            // `messages/send` fits `messages/{id}` too: the template with fewer holes is meant.
            .min_by_key(|(_, template)| template.matches('{').count())
    }

    pub(super) fn knows_path(&self, path: &str) -> bool {
        self.fitting(path).next().is_some()
    }

    fn fitting(&self, path: &str) -> impl Iterator<Item = (&Method, &str)> {
        self.methods.iter().flat_map(move |method| {
            let fits = method.paths.iter().filter(move |template| fits(template, path));
            fits.map(move |template| (method, template.as_str()))
        })
    }

    /// What is wrong with a query string.
    pub(super) fn check_query(&self, method: &Method, path: &str, query: Option<&str>) -> Vec<String> {
        let mut found = Vec::new();
        let mut seen = BTreeMap::<String, usize>::new();
        let upload = path.starts_with("/upload/") || path.starts_with("/resumable/");
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            *seen.entry(name.clone().into_owned()).or_default() += 1;
            match method.query.get(name.as_ref()) {
                Some(description) => found.extend(check_value(&name, &value, description)),
                None if upload && UPLOAD_EXTRAS.contains(&name.as_ref()) => {}
                None => found.push(format!("the parameter {name} is unknown")),
            }
        }
        for (name, description) in &method.query {
            let count = seen.get(name).copied().unwrap_or(0);
            if count > 1 && description["repeated"] != true {
                found.push(format!("the parameter {name} is given more than once"));
            }
            if count == 0 && description["required"] == true {
                found.push(format!("the parameter {name} is missing"));
            }
        }
        found
    }
}

fn check_value(name: &str, value: &str, description: &Value) -> Option<String> {
    let wrong = match description["type"].as_str() {
        Some("boolean") => !matches!(value, "true" | "false"),
        Some("integer") => value.parse::<i64>().is_err(),
        Some("number") => value.parse::<f64>().is_err(),
        _ if matches!(description["format"].as_str(), Some("uint64" | "int64")) => value.parse::<i128>().is_err(),
        _ => false,
    };
    if wrong {
        return Some(format!("the parameter {name} has the wrong type"));
    }
    let allowed = description["enum"].as_array()?;
    let known = allowed.iter().any(|one| one == value);
    (!known).then(|| format!("the parameter {name} has an unknown value"))
}

fn collect(node: &Value, globals: &Value, methods: &mut Vec<Method>) {
    for method in node["methods"].as_object().into_iter().flat_map(|all| all.values()) {
        methods.push(parse(method, globals));
    }
    for resource in node["resources"].as_object().into_iter().flat_map(|all| all.values()) {
        collect(resource, globals, methods);
    }
}

fn parse(method: &Value, globals: &Value) -> Method {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut paths = vec![format!("/{}", text(&method["path"]).trim_start_matches('/'))];
    for protocol in ["simple", "resumable"] {
        if let Some(path) = method["mediaUpload"]["protocols"][protocol]["path"].as_str() {
            paths.push(path.to_owned());
        }
    }
    let own = method["parameters"].as_object().into_iter().flatten();
    let query = globals.as_object().into_iter().flatten().chain(own);
    Method {
        id: text(&method["id"]),
        verb: text(&method["httpMethod"]),
        paths,
        query: query
            .filter(|(_, description)| description["location"] == "query")
            .map(|(name, description)| (name.clone(), description.clone()))
            .collect(),
        request: method["request"]["$ref"].as_str().map(str::to_owned),
        response: method["response"]["$ref"].as_str().map(str::to_owned),
    }
}

/// Does a path fit a template? A hole takes one whole segment, or a segment's beginning before `:verb`.
fn fits(template: &str, path: &str) -> bool {
    let (mut holes, mut parts) = (template.split('/'), path.split('/'));
    loop {
        match (holes.next(), parts.next()) {
            (None, None) => return true,
            (Some(hole), Some(part)) if segment_fits(hole, part) => {}
            _ => return false,
        }
    }
}

fn segment_fits(hole: &str, part: &str) -> bool {
    match hole.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((_, "")) => !part.is_empty() && !part.contains(':'),
        Some((_, verb)) => part.strip_suffix(verb).is_some_and(|value| !value.is_empty()),
        None => hole == part,
    }
}
