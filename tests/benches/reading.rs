//! Reading mail against the parser below it: how much of its speed the whole pipeline keeps.
//!
//! Both arms read the same messages: the bundled mailbox and, where they are, the shared samples. The pipeline reads,
//! makes the text, lists the attachments and tells what the message is; the floor is `mail-parser` alone.

use std::{
    env, fs, hint,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use divan::{Bencher, counter::BytesCount};
use integration_core::email::{kind, parse, reply, report};

fn main() {
    let mut args = env::args();
    if args.any(|argument| argument == "--ratio") {
        ratio();
        return;
    }
    divan::main();
}

fn messages(folder: &Path, found: &mut Vec<Vec<u8>>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            messages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "eml") {
            found.extend(fs::read(path));
        }
    }
}

/// Named sets of messages that are there.
fn sets() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let shared = env::var_os("INTEGRATION_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let folders = [("bundled", root.join("examples/sample/mail")), ("shared", shared.join("data/mail"))];
    let read = |(name, folder): (&'static str, PathBuf)| {
        let mut found = Vec::new();
        messages(&folder, &mut found);
        (name, found)
    };
    folders.into_iter().map(read).filter(|(_, found)| !found.is_empty()).collect()
}

fn bytes(set: &[Vec<u8>]) -> usize {
    set.iter().map(Vec::len).sum()
}

fn floor(set: &[Vec<u8>]) {
    let parser = mail_parser::MessageParser::default();
    for raw in set {
        hint::black_box(parser.parse(raw.as_slice()));
    }
}

fn pipeline(set: &[Vec<u8>]) {
    for raw in set {
        let Ok(message) = parse::message(raw) else { continue };
        let bounces = report::bounces(&message);
        hint::black_box(kind::with_bounces(&message, !bounces.is_empty()));
        hint::black_box(reply::split(&message));
        hint::black_box((message, bounces));
    }
}

#[divan::bench]
fn mail_parser_alone(bencher: Bencher) {
    let sets = sets();
    let all: Vec<Vec<u8>> = sets.into_iter().flat_map(|(_, set)| set).collect();
    bencher.counter(BytesCount::new(bytes(&all))).bench(|| floor(&all));
}

#[divan::bench]
fn whole_pipeline(bencher: Bencher) {
    let sets = sets();
    let all: Vec<Vec<u8>> = sets.into_iter().flat_map(|(_, set)| set).collect();
    bencher.counter(BytesCount::new(bytes(&all))).bench(|| pipeline(&all));
}

/// Both arms in turn, the fastest of many rounds of each: what else runs on the machine slows some rounds, not all.
fn ratio() {
    println!("| messages | bytes | mail-parser MB/s | pipeline MB/s | ratio |\n|---|---|---|---|---|");
    for (name, set) in sets() {
        let (mut below, mut whole) = (Duration::MAX, Duration::MAX);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            below = below.min(timed(|| floor(&set)));
            whole = whole.min(timed(|| pipeline(&set)));
        }
        let rate = |time: Duration| bytes(&set) as f64 / time.as_secs_f64() / 1e6;
        let (below, whole) = (rate(below), rate(whole));
        println!("| {name}, {} | {} | {below:.0} | {whole:.0} | {:.2} |", set.len(), bytes(&set), whole / below);
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}
