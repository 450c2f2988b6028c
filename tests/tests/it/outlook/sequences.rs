//! Random sequences of what owners and the service do, between syncs and between the calls of one: at the end the store is
//! the mailbox.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use integration_core::{Error, ErrorKind, email::Role};
use integration_microsoft::OutlookQuota;
use integration_testing::{
    Fault, FaultAction, Sandbox, SandboxSettings,
    microsoft::graph::{GraphSettings, Mailbox, MoveReason, Returned},
};

use super::world::World;

/// Sequences in one mailbox: what an earlier one left is there for the next.
const IN_ONE_MAILBOX: u64 = 10;
const STEPS: u64 = 12;

/// A generator of small numbers (`SplitMix64`): the same for a seed on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let count = of.len() as u64;
        of.get(usize::try_from(self.roll(count.max(1))).unwrap())
    }
}

/// Somebody at work in a mailbox, also while it is being read.
struct Owner {
    sandbox: Sandbox,
    mailbox: Mailbox,
    dice: Dice,
    /// Sets the letters of one mailbox apart from another's.
    mark: String,
    number: u64,
    /// How often more they act within this sync.
    left: u64,
    told: Vec<String>,
}

const FOLDERS: [&str; 5] = ["inbox", "archive", "junkemail", "Deals", "Old"];
/// How often somebody acts at most within one sync.
const WITHIN_ONE_SYNC: u64 = 5;

impl Owner {
    fn note(&mut self, what: impl std::fmt::Display) {
        self.told.push(what.to_string());
    }

    fn arrive(&mut self) {
        self.number += 1;
        let (number, folder, mark) = (self.number, *self.dice.pick(&FOLDERS).unwrap(), &self.mark);
        let file = if self.dice.roll(4) == 0 { ATTACHED } else { "" };
        let (kind, end) =
            if file.is_empty() { ("text/plain", "") } else { ("multipart/mixed; boundary=b", "--b--\r\n") };
        let begin = if file.is_empty() { "" } else { "--b\r\nContent-Type: text/plain\r\n\r\n" };
        let raw = format!(
            "From: Bob <bob{number}@acme.example>\r\nTo: alex@example.com\r\nSubject: Number {number}\r\n\
             Message-ID: <{number}.{mark}@acme.example>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n\
             Content-Type: {kind}\r\n\r\n{begin}Hello {number}\r\n{file}{end}",
        );
        let id = self.mailbox.deliver(raw, self.sandbox.now(), folder);
        self.note(format_args!("{id} arrives in {folder}"));
    }

    fn somewhere(&mut self, id: &str) {
        let folder = *self.dice.pick(&FOLDERS).unwrap();
        self.mailbox.move_message(id, folder, self.sandbox.now());
        self.note(format_args!("{id} moves to {folder}"));
    }

    /// Out of its folder and back at once.
    fn away_and_back(&mut self, id: &str) {
        let Some(was) = self.mailbox.message(id).map(|message| message.folder_id) else { return };
        self.mailbox.move_message(id, "archive", self.sandbox.now());
        self.mailbox.move_message(id, &was, self.sandbox.now());
        self.note(format_args!("{id} moves away and back"));
    }

    /// Not into a folder with a meaning of its own: what that means for the folders in it is other tests' business.
    fn folders_change(&mut self) {
        let (number, now) = (self.number, self.sandbox.now());
        let what = match self.dice.roll(6) {
            0 => ("Deals is renamed", self.mailbox.rename_folder("Deals", &format!("Deals {number}"))),
            1 => ("Deals is made in the archive", !self.mailbox.create_folder("Deals", Some("archive")).is_empty()),
            2 => ("Old is deleted", self.mailbox.delete_folder("Old", now)),
            3 => ("Deals goes into Old", self.mailbox.move_folder("Deals", "Old")),
            4 => ("Deals goes to the top", self.mailbox.move_folder("Deals", "msgfolderroot")),
            _ => ("Old goes into the archive", self.mailbox.move_folder("Old", "archive")),
        };
        self.note(format_args!("{}: {}", what.0, what.1));
    }

    fn throttle(&mut self) {
        let body = r#"{"error":{"code":"TooManyRequests","message":"Too many"}}"#;
        let headers = [("Retry-After".to_owned(), "7".to_owned())].into();
        let throttled = FaultAction::Status { status: 429, headers, body: body.to_owned() };
        self.sandbox.script(Fault::new(throttled).on_path("/v1.0/"));
        self.note("the service throttles");
    }

    fn act(&mut self) {
        let ids = self.mailbox.ids();
        let id = self.dice.pick(&ids).cloned().unwrap_or_default();
        let now = self.sandbox.now();
        match self.dice.roll(13) {
            0..=2 => self.arrive(),
            3 => self.somewhere(&id),
            4 => self.away_and_back(&id),
            5 => {
                self.mailbox.delete(&id, now);
                self.note(format_args!("{id} is deleted"));
            }
            6 => {
                self.mailbox.restore(&id, "inbox", now);
                self.note(format_args!("{id} is restored"));
            }
            7 => {
                self.mailbox.remove(&id);
                self.note(format_args!("{id} is gone for good"));
            }
            8 => drop(self.mailbox.flag(&id, "flagged", now)),
            9 => drop(self.mailbox.mark_read(&id, now)),
            10 => self.folders_change(),
            11 => {
                self.mailbox.expire_delta_links();
                self.note("links are lost");
            }
            _ => self.throttle(),
        }
    }

    /// Before a call of a sync.
    fn meanwhile(&mut self) {
        if self.left > 0 && self.dice.roll(4) == 0 {
            self.left -= 1;
            self.note("  meanwhile:");
            self.act();
        }
    }
}

/// What goes on in one mailbox.
struct Story<'a> {
    world: &'a World,
    owner: Arc<Mutex<Owner>>,
}

impl Story<'_> {
    fn owner(&self) -> MutexGuard<'_, Owner> {
        self.owner.lock().unwrap()
    }

    /// Somebody acts between its calls, too.
    async fn disturbed_sync(&self) {
        self.owner().note("a sync begins");
        self.owner().left = WITHIN_ONE_SYNC;
        let owner = Arc::clone(&self.owner);
        self.world.between.act(move || owner.lock().unwrap().meanwhile());
        let errors = self.world.sync_through(&self.world.connection).await;
        self.world.between.rest();
        let passes = |error: &Error| error.retryable() || error.kind() == ErrorKind::RateLimited;
        assert!(errors.iter().all(passes), "{errors:?}");
        self.owner().note("it ends");
    }

    async fn step(&self) {
        let syncs = self.owner().dice.roll(14) == 13;
        if syncs { self.disturbed_sync().await } else { self.owner().act() }
    }

    /// The end of a sequence: nobody acts any more.
    async fn sync(&self) {
        self.world.sandbox.clear_faults();
        self.world.sync(&self.world.connection).await;
    }

    /// Every message that can be seen, and whether it counts as there, junk or deleted.
    fn mailbox_is(&self) -> BTreeMap<String, Option<Role>> {
        let place = |folder: &str| match folder {
            "inbox" => Some(Role::Inbox),
            "junkemail" => Some(Role::Junk),
            "deleteditems" => Some(Role::Trash),
            _ => None,
        };
        let mailbox = self.world.mailbox();
        let shown = mailbox.ids().into_iter().filter_map(|id| mailbox.message(&id));
        let shown = shown.filter(|message| !message.folder.starts_with("recoverable"));
        shown.map(|message| (message.id.clone(), place(&message.folder))).collect()
    }

    async fn store_is(&self) -> BTreeMap<String, Option<Role>> {
        let decisions = self.world.hub.decisions(&self.world.tenant, &self.world.connection.id).await.unwrap();
        let role = |roles: &std::collections::BTreeSet<Role>| roles.iter().next().copied();
        decisions
            .into_iter()
            .map(|(id, decision)| (id, role(&decision.summary.roles.iter().copied().collect())))
            .collect()
    }

    /// # Panics
    /// If the store is not the mailbox.
    async fn compare(&self, sequence: &str) {
        let (mailbox, store) = (self.mailbox_is(), self.store_is().await);
        let different: Vec<_> = store.iter().filter(|(id, role)| mailbox.get(*id) != Some(role)).collect();
        let missing: Vec<_> = mailbox.iter().filter(|(id, _)| !store.contains_key(*id)).collect();
        let at = |id: &String| self.world.mailbox().message(id).map(|at| (at.folder, at.draft));
        let places: Vec<_> = different.iter().map(|(id, _)| at(id)).collect();
        assert!(
            different.is_empty() && missing.is_empty(),
            "{sequence}: the store has {different:?}, which are at {places:?}, and lacks {missing:?}:\n{}",
            self.owner().told.join("\n")
        );
    }
}

const ATTACHED: &str = "--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; \
                        filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n";

/// Worlds differ in what the facts leave open.
fn settings(seed: u64) -> SandboxSettings {
    let graph = GraphSettings {
        delta_page: Some(3),
        disorder: (!seed.is_multiple_of(3)).then_some(seed),
        shuffle: seed.is_multiple_of(2).then_some(seed),
        returned: if seed % 4 < 2 { Returned::ToldAsRemoved } else { Returned::Told },
        move_reason: if seed % 5 < 2 { MoveReason::Deleted } else { MoveReason::Changed },
        ..GraphSettings::default()
    };
    SandboxSettings { graph, ..SandboxSettings::default() }
}

async fn sequences(count: u64) {
    for seed in first()..count.div_ceil(IN_ONE_MAILBOX) {
        let world = World::new(settings(seed), OutlookQuota::Outlook).await;
        let (sandbox, mailbox, mark) = (world.sandbox.clone(), world.mailbox(), world.connection.id.to_string());
        let owner = Owner { sandbox, mailbox, dice: Dice(seed), mark, number: 0, left: 0, told: Vec::new() };
        let story = Story { world: &world, owner: Arc::new(Mutex::new(owner)) };
        for sequence in 0..IN_ONE_MAILBOX.min(count - seed * IN_ONE_MAILBOX) {
            story.owner().told.clear();
            for _ in 0..STEPS {
                story.step().await;
            }
            story.disturbed_sync().await;
            story.sync().await;
            story.compare(&format!("seed {seed}, sequence {sequence}")).await;
        }
        world.sandbox.assert_conforms();
    }
}

/// Where to begin; `INTEGRATION_SEED` to see one again.
fn first() -> u64 {
    std::env::var("INTEGRATION_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

/// How many; `INTEGRATION_SEQUENCES` for more than a build has time for.
fn count() -> u64 {
    std::env::var("INTEGRATION_SEQUENCES").ok().and_then(|count| count.parse().ok()).unwrap_or(60)
}

#[tokio::test(start_paused = true)]
async fn random_sequences_end_with_a_store_that_is_the_mailbox() {
    let count = count();
    sequences(count).await;
    println!(
        "{count} sequences of {STEPS} steps: disturbed between calls: each ends with the store equal to the mailbox"
    );
}
