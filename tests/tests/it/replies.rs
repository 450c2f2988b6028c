//! Replies of other projects' test suites against the splitter; the table of `docs/performance.md`.

use std::path::PathBuf;

use integration_core::email::reply::split_text;
use serde_json::Value;

/// The least share of text replies that must come out exactly, white space folded.
const WANTED_PERCENT: usize = 80;

fn shared() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared");
    std::env::var_os("INTEGRATION_SHARED").map_or_else(|| beside.into(), PathBuf::from)
}

fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Row {
    source: String,
    cases: usize,
    exact: usize,
    /// Another library prints what we do.
    agreed: usize,
}

fn judge(case: &Value, rows: &mut Vec<Row>) {
    let found = folded(&split_text(case["input"].as_str().unwrap()).new);
    let is = |wanted: &Value| folded(wanted.as_str().unwrap_or_default()) == found;
    let source = case["source"].as_str().unwrap_or_default();
    if rows.iter().all(|row| row.source != source) {
        rows.push(Row { source: source.to_owned(), cases: 0, exact: 0, agreed: 0 });
    }
    let row = rows.iter_mut().find(|row| row.source == source).unwrap();
    row.cases += 1;
    if is(&case["expected_reply"]) {
        row.exact += 1;
        return;
    }
    let others = case["other_references"].as_array().into_iter().flatten();
    let agreed = others.into_iter().any(|other| is(&other["expected_reply"]));
    row.agreed += usize::from(agreed);
    println!(
        "differs: {}{}",
        case["id"].as_str().unwrap_or_default(),
        if agreed { " (as another library)" } else { "" }
    );
}

#[test]
fn four_in_five_text_replies_of_other_suites_come_out_exactly() {
    let Ok(cases) = std::fs::read_to_string(shared().join("data/replies/replies.jsonl")) else {
        println!("INTEGRATION_SHARED has no replies: nothing was compared");
        return;
    };
    let mut rows = Vec::new();
    for case in
        cases.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|case| case["kind"] == "text")
    {
        judge(&case, &mut rows);
    }
    println!("| suite | cases | exactly | as another library |\n|---|---|---|---|");
    for row in &rows {
        println!("| {} | {} | {} | {} |", row.source, row.cases, row.exact, row.agreed);
    }
    let (cases, exact) = rows.iter().fold((0, 0), |(cases, exact), row| (cases + row.cases, exact + row.exact));
    println!("| all | {cases} | {exact} | |");
    assert!(exact * 100 >= cases * WANTED_PERCENT, "{exact} of {cases}");
}
