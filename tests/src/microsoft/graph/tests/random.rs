//! A client that keeps to the rules of delta holds what the mailbox holds, whatever happens there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::deltas::{removed, round};
use super::{ANN, Caller, ids, plain};
use crate::microsoft::graph::{GraphSettings, Mailbox};

/// Small, good enough, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }
}

/// What a client holds: messages by folder and id, a link by folder, and the link of the folders.
#[derive(Default)]
struct Follower {
    held: BTreeMap<String, BTreeMap<String, Value>>,
    links: BTreeMap<String, String>,
    folders: Option<String>,
}

impl Follower {
    fn follow(&mut self, caller: &Caller) {
        let (items, link) = round(caller, self.folders.as_deref().unwrap_or("mailFolders/delta?$top=3"));
        self.folders = Some(link);
        for folder in items {
            let id = folder["id"].as_str().unwrap().to_owned();
            if removed(&folder).is_some() {
                self.held.remove(&id);
                self.links.remove(&id);
            } else {
                self.held.entry(id).or_default();
            }
        }
        let folders: Vec<String> = self.held.keys().cloned().collect();
        folders.iter().for_each(|folder| self.follow_folder(caller, folder));
    }

    fn follow_folder(&mut self, caller: &Caller, folder: &str) {
        let start = format!("mailFolders/{folder}/messages/delta?$select=isRead,flag,categories");
        let known =
            self.links.get(folder).filter(|link| caller.answer("GET", link, &Value::Null).status().is_success());
        let held = self.held.entry(folder.to_owned()).or_default();
        if known.is_none() {
            held.clear();
        }
        let (items, link) = round(caller, known.unwrap_or(&start));
        self.links.insert(folder.to_owned(), link);
        for item in items {
            let id = item["id"].as_str().unwrap().to_owned();
            if removed(&item).is_some() {
                held.remove(&id);
                continue;
            }
            let known = held.entry(id).or_insert_with(|| json!({}));
            for name in ["isRead", "flag", "categories"] {
                if let Some(value) = item.get(name) {
                    known[name] = value.clone();
                }
            }
        }
    }

    /// Compares with what lists say.
    fn compare(&self, caller: &Caller, seed: u64) {
        let whole = Caller::of(&caller.graph, ANN).with_prefer(if caller.prefer.contains("Immutable") {
            "IdType=\"ImmutableId\""
        } else {
            ""
        });
        let all: BTreeSet<String> = caller
            .graph
            .mailbox(ANN)
            .folders()
            .into_iter()
            .filter(|f| !f.hidden && f.name != "Top of Information Store")
            .map(|f| f.id)
            .collect();
        assert_eq!(self.held.keys().cloned().collect::<BTreeSet<_>>(), all, "seed {seed}");
        for (folder, held) in &self.held {
            let list = whole.get(&format!("mailFolders/{folder}/messages?$top=1000&$select=isRead,flag,categories"));
            let there: BTreeMap<String, Value> =
                ids(&list).into_iter().zip(list["value"].as_array().unwrap().iter().cloned()).collect();
            assert_eq!(held.keys().collect::<Vec<_>>(), there.keys().collect::<Vec<_>>(), "seed {seed}");
            for (id, item) in held {
                for name in ["isRead", "flag", "categories"] {
                    assert_eq!(item[name], there[id][name], "seed {seed} {name}");
                }
            }
        }
    }
}

/// Something happens.
fn happen(caller: &mut Caller, mailbox: &Mailbox, dice: &mut Dice) {
    caller.pass(1);
    let now = caller.now;
    let folders = ["inbox", "archive", "Own", "Other", "deleteditems"];
    let folder = folders[dice.below(folders.len())];
    let all = mailbox.ids();
    let one = all.get(dice.below(all.len())).cloned().unwrap_or_default();
    match dice.below(12) {
        0..3 => {
            mailbox.deliver(super::mail(&plain("b@x", "S", "")), now, folder);
        }
        3 | 4 => {
            mailbox.move_message(&one, folder, now);
        }
        5 => {
            mailbox.delete(&one, now);
        }
        6 => {
            mailbox.remove(&one);
        }
        7 => {
            mailbox.mark_read(&one, now);
        }
        8 => {
            mailbox.flag(&one, ["flagged", "complete", "notFlagged"][dice.below(3)], now);
        }
        9 => {
            mailbox.categorise(&one, &["Red", "Blue"][..dice.below(3)], now);
        }
        10 => {
            mailbox.create_folder(["Own", "Other"][dice.below(2)], Some(["inbox", "archive"][dice.below(2)]));
        }
        _ if dice.below(3) == 0 => {
            mailbox.delete_folder(folder, now);
        }
        _ if dice.below(3) == 0 => mailbox.expire_delta_links(),
        _ => {
            mailbox.rename_folder("Own", "Other");
        }
    }
}

#[test]
fn whoever_follows_the_rules_holds_what_is_there() {
    for seed in 0..200_u64 {
        let disorder = (!seed.is_multiple_of(3)).then_some(seed);
        let mut caller = Caller::new(GraphSettings { disorder, ..GraphSettings::default() });
        let ids = if seed.is_multiple_of(2) { "IdType=\"ImmutableId\", " } else { "" };
        caller.prefer = format!("{ids}odata.maxpagesize={}", 1 + seed % 7);
        let (mailbox, mut dice, mut follower) = (caller.graph.mailbox(ANN), Dice(seed), Follower::default());
        for _ in 0..6 {
            for _ in 0..dice.below(12) {
                happen(&mut caller, &mailbox, &mut dice);
            }
            // Links of the folders are lost with the others.
            let lost =
                follower.folders.as_ref().is_some_and(|l| !caller.answer("GET", l, &Value::Null).status().is_success());
            if lost {
                follower = Follower::default();
            }
            follower.follow(&caller);
            follower.compare(&caller, seed);
        }
    }
}
