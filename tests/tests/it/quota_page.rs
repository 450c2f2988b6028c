//! `docs/quotas.md` says what the connectors' tables say.

use std::{fmt::Write as _, path::Path};

use integration_core::http::{QuotaScope, QuotaTable, QuotaUnit, QuotaWindow};
use integration_google::{GmailCosts, GmailQuota};
use integration_microsoft::OutlookQuota;

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn scope(scope: QuotaScope) -> &'static str {
    match scope {
        QuotaScope::Account => "account, over all apps",
        QuotaScope::App => "app",
        QuotaScope::AppAndAccount => "account and app",
        QuotaScope::Grant => "grant",
        _ => "another scope",
    }
}

fn length(seconds: u64) -> String {
    match seconds {
        60 => "minute".to_owned(),
        3_600 => "hour".to_owned(),
        86_400 => "day".to_owned(),
        seconds => format!("{seconds} s"),
    }
}

fn window(window: &QuotaWindow) -> String {
    let unit = match window.unit {
        QuotaUnit::Calls => "calls",
        QuotaUnit::UploadedBytes => "uploaded bytes",
        _ => "units",
    };
    let every = length(window.length.as_secs());
    format!("{} {unit} a {every} per {}", thousands(window.limit), scope(window.scope))
}

fn limits(tables: &[QuotaTable]) -> String {
    let mut page =
        "| preset | windows | calls at a time, account and app | background share |\n|---|---|---|---|\n".to_owned();
    for table in tables {
        let windows: Vec<String> = table.windows.iter().map(window).collect();
        let windows = if windows.is_empty() { "–".to_owned() } else { windows.join("; ") };
        let slots = table.concurrency.map_or_else(|| "–".to_owned(), |slots| slots.to_string());
        writeln!(page, "| `{}` | {windows} | {slots} | {} % |", table.name, table.background_percent).unwrap();
    }
    page
}

fn costs(rows: &[(&str, u32)]) -> String {
    let mut page = "| method | units |\n|---|---|\n".to_owned();
    for (method, units) in rows {
        writeln!(page, "| `{method}` | {units} |").unwrap();
    }
    page
}

/// The page with what stands between the marks of `name` replaced.
fn filled(page: &str, name: &str, content: &str) -> String {
    let mark = format!("<!-- generated: {name} -->\n");
    let (before, rest) = page.split_once(&mark).unwrap_or_else(|| panic!("docs/quotas.md lacks {mark}"));
    let (_, after) = rest.split_once("<!-- end -->").expect("each mark has its end");
    format!("{before}{mark}{content}<!-- end -->{after}")
}

#[test]
fn the_quota_page_says_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/quotas.md");
    let found = std::fs::read_to_string(&path).unwrap();
    let tables: Vec<QuotaTable> = GmailQuota::ALL.iter().map(|preset| preset.table()).collect();
    let page = filled(&found, "gmail limits", &limits(&tables));
    let tables: Vec<QuotaTable> = OutlookQuota::ALL.iter().map(|preset| preset.table()).collect();
    let page = filled(&page, "outlook limits", &limits(&tables));
    let page = filled(&page, "gmail costs", &costs(&GmailCosts::default().rows()));
    if std::env::var_os("INTEGRATION_WRITE_DOCS").is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    assert!(found == page, "docs/quotas.md differs from the tables; write it with INTEGRATION_WRITE_DOCS=1");
}
