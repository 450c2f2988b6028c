//! Random sequences of what owners and the service do: at the end the store is the mailbox.

use std::collections::BTreeMap;

use integration_core::{connection::Connection, email::Role};
use integration_microsoft::OutlookQuota;
use integration_testing::{
    Fault, FaultAction, SandboxSettings,
    microsoft::graph::{GraphSettings, Mailbox, MoveReason, Returned},
};

use super::world::World;

/// Sequences in one mailbox: what an earlier one left is there for the next.
const IN_ONE_MAILBOX: u64 = 20;
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

/// What goes on in one mailbox.
struct Story<'a> {
    world: &'a World,
    mailbox: Mailbox,
    connection: &'a Connection,
    dice: Dice,
    number: u64,
    told: Vec<String>,
}

const FOLDERS: [&str; 5] = ["inbox", "archive", "junkemail", "Deals", "Old"];

impl Story<'_> {
    fn note(&mut self, what: impl std::fmt::Display) {
        self.told.push(what.to_string());
    }

    fn arrive(&mut self) {
        self.number += 1;
        let (number, folder) = (self.number, *self.dice.pick(&FOLDERS).unwrap());
        let file = if self.dice.roll(4) == 0 { ATTACHED } else { "" };
        let (kind, end) =
            if file.is_empty() { ("text/plain", "") } else { ("multipart/mixed; boundary=b", "--b--\r\n") };
        let begin = if file.is_empty() { "" } else { "--b\r\nContent-Type: text/plain\r\n\r\n" };
        let raw = format!(
            "From: Bob <bob{number}@acme.example>\r\nTo: alex@example.com\r\nSubject: Number {number}\r\n\
             Message-ID: <{number}.{}@acme.example>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n\
             Content-Type: {kind}\r\n\r\n{begin}Hello {number}\r\n{file}{end}",
            self.connection.id
        );
        let id = self.mailbox.deliver(raw, self.world.sandbox.now(), folder);
        self.note(format_args!("{id} arrives in {folder}"));
    }

    fn somewhere(&mut self, id: &str) {
        let folder = *self.dice.pick(&FOLDERS).unwrap();
        self.mailbox.move_message(id, folder, self.world.sandbox.now());
        self.note(format_args!("{id} moves to {folder}"));
    }

    /// Out of its folder and back, perhaps looked at in between.
    async fn there_and_back(&mut self, id: &str) {
        let Some(was) = self.mailbox.message(id).map(|message| message.folder_id) else { return };
        self.mailbox.move_message(id, "archive", self.world.sandbox.now());
        if self.dice.roll(2) == 0 {
            self.sync().await;
        }
        self.mailbox.move_message(id, &was, self.world.sandbox.now());
        self.note(format_args!("{id} moves away and back"));
    }

    fn folders_change(&mut self) {
        let number = self.number;
        match self.dice.roll(3) {
            0 => drop(self.mailbox.rename_folder("Deals", &format!("Deals {number}"))),
            1 => drop(self.mailbox.create_folder("Deals", Some("archive"))),
            _ => drop(self.mailbox.delete_folder("Old", self.world.sandbox.now())),
        }
        self.note("folders change");
    }

    fn throttle(&mut self) {
        let body = r#"{"error":{"code":"TooManyRequests","message":"Too many"}}"#;
        let headers = [("Retry-After".to_owned(), "7".to_owned())].into();
        let throttled = FaultAction::Status { status: 429, headers, body: body.to_owned() };
        self.world.sandbox.script(Fault::new(throttled).on_path("/v1.0/"));
        self.note("the service throttles");
    }

    async fn sync(&mut self) {
        self.note("sync");
        self.world.sync(self.connection).await;
    }

    async fn step(&mut self) {
        let ids = self.mailbox.ids();
        let id = self.dice.pick(&ids).cloned().unwrap_or_default();
        let now = self.world.sandbox.now();
        match self.dice.roll(14) {
            0..=2 => self.arrive(),
            3 => self.somewhere(&id),
            4 => self.there_and_back(&id).await,
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
            12 => self.throttle(),
            _ => self.sync().await,
        }
    }

    /// Every message that can be seen, and whether it counts as there, junk or deleted.
    fn mailbox_is(&self) -> BTreeMap<String, Option<Role>> {
        let place = |folder: &str| match folder {
            "inbox" => Some(Role::Inbox),
            "junkemail" => Some(Role::Junk),
            "deleteditems" => Some(Role::Trash),
            _ => None,
        };
        let shown = self.mailbox.ids().into_iter().filter_map(|id| self.mailbox.message(&id));
        let shown = shown.filter(|message| !message.folder.starts_with("recoverable"));
        shown.map(|message| (message.id.clone(), place(&message.folder))).collect()
    }

    async fn store_is(&self) -> BTreeMap<String, Option<Role>> {
        let decisions = self.world.hub.decisions(&self.world.tenant, &self.connection.id).await.unwrap();
        let role = |roles: &std::collections::BTreeSet<Role>| roles.iter().next().copied();
        decisions
            .into_iter()
            .map(|(id, decision)| (id, role(&decision.summary.roles.iter().copied().collect())))
            .collect()
    }
}

const ATTACHED: &str = "--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; \
                        filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n";

/// Worlds differ in what the facts leave open.
fn settings(seed: u64) -> SandboxSettings {
    let graph = GraphSettings {
        disorder: (!seed.is_multiple_of(3)).then_some(seed),
        shuffle: seed.is_multiple_of(2).then_some(seed),
        returned: if seed % 4 < 2 { Returned::ToldAsRemoved } else { Returned::Told },
        move_reason: if seed % 5 < 2 { MoveReason::Deleted } else { MoveReason::Changed },
        ..GraphSettings::default()
    };
    SandboxSettings { graph, ..SandboxSettings::default() }
}

async fn sequences(count: u64) {
    for seed in 0..count.div_ceil(IN_ONE_MAILBOX) {
        let world = World::new(settings(seed), OutlookQuota::Outlook).await;
        let mailbox = world.mailbox();
        let (connection, dice) = (&world.connection, Dice(seed));
        let mut story = Story { world: &world, mailbox, connection, dice, number: 0, told: Vec::new() };
        for sequence in 0..IN_ONE_MAILBOX.min(count - seed * IN_ONE_MAILBOX) {
            story.told.clear();
            for _ in 0..STEPS {
                story.step().await;
            }
            world.sandbox.clear_faults();
            story.sync().await;
            let (mailbox, store) = (story.mailbox_is(), story.store_is().await);
            let different: Vec<_> = store.iter().filter(|(id, role)| mailbox.get(*id) != Some(role)).collect();
            let missing: Vec<_> = mailbox.iter().filter(|(id, _)| !store.contains_key(*id)).collect();
            let places = different.iter().map(|(id, _)| story.mailbox.message(id).map(|at| (at.folder, at.draft)));
            assert!(
                different.is_empty() && missing.is_empty(),
                "seed {seed}, sequence {sequence}: the store has {different:?}, which are at {:?}, and lacks {missing:?}:\n{}",
                places.collect::<Vec<_>>(),
                story.told.join("\n")
            );
        }
        world.sandbox.assert_conforms();
    }
}

/// How many; `INTEGRATION_SEQUENCES` for more than a build has time for.
fn count() -> u64 {
    std::env::var("INTEGRATION_SEQUENCES").ok().and_then(|count| count.parse().ok()).unwrap_or(200)
}

#[tokio::test(start_paused = true)]
async fn random_sequences_end_with_a_store_that_is_the_mailbox() {
    let count = count();
    sequences(count).await;
    println!("{count} sequences of {STEPS} steps: each ends with the store equal to the mailbox");
}
