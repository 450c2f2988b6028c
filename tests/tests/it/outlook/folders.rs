//! Folders that are moved, the service's gateways, and answers: Outlook in the sandbox.

use std::{collections::BTreeMap, time::Duration};

use integration_core::{
    activity::Outcome,
    email::{Address, Outgoing, ReplyTo, Role, SendOptions},
    ids::ThreadId,
};
use integration_microsoft::OutlookQuota;
use integration_testing::{
    SandboxSettings,
    microsoft::graph::{GraphSettings, Oddities},
};

use super::world::World;

const FILE: &str = "--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; \
                    filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n";

/// A letter; every second one has a file, so that it has to be fetched.
fn letter(number: u64) -> String {
    let (kind, begin, end) = match number % 2 {
        0 => ("text/plain", "", ""),
        _ => ("multipart/mixed; boundary=b", "--b\r\nContent-Type: text/plain\r\n\r\n", FILE),
    };
    format!(
        "From: Bob <bob@acme.example>\r\nTo: alex@example.com\r\nSubject: Number {number}\r\n\
         Message-ID: <{number}@acme.example>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\nContent-Type: {kind}\r\n\r\n\
         {begin}Hello {number}\r\n{end}"
    )
}

impl World {
    fn deliver_into(&self, number: u64, folder: &str) -> String {
        self.mailbox().deliver(letter(number), self.sandbox.now(), folder)
    }

    /// A while later.
    async fn follow(&self) {
        self.clock.sleep(Duration::from_secs(30)).await;
        self.sync(&self.connection).await;
        // What came back is enumerated in one slice and decided in the next.
        self.clock.sleep(Duration::from_secs(30)).await;
        self.sync(&self.connection).await;
    }

    /// The messages on the timeline, and what the others are.
    async fn timeline(&self) -> (Vec<String>, BTreeMap<String, Vec<Role>>) {
        let decisions = self.hub.decisions(&self.tenant, &self.connection.id).await.unwrap();
        let (logged, skipped): (Vec<_>, Vec<_>) =
            decisions.into_iter().partition(|(_, decision)| matches!(decision.outcome, Outcome::Logged { .. }));
        let mut logged: Vec<String> = logged.into_iter().map(|(id, _)| id).collect();
        logged.sort();
        (logged, skipped.into_iter().map(|(id, decision)| (id, decision.summary.roles)).collect())
    }

    /// How often messages were read one by one, in batches or not.
    fn fetched(&self) -> u64 {
        let books = self.sandbox.microsoft().graph().books();
        let read = books.by_operation.iter().filter(|(name, _)| name.starts_with("messages.get"));
        read.map(|(_, (calls, _))| calls).sum()
    }
}

fn sorted<const N: usize>(ids: [&String; N]) -> Vec<String> {
    let mut ids = ids.map(ToOwned::to_owned).to_vec();
    ids.sort();
    ids
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_moved_to_the_deleted_mail_takes_what_is_in_it_and_below_off_the_timeline_and_back() {
    let world = World::new(SandboxSettings::default(), OutlookQuota::Off).await;
    world.mailbox().create_folder("Deals", None);
    world.mailbox().create_folder("Old deals", Some("Deals"));
    let (a, b, c) =
        (world.deliver_into(1, "Deals"), world.deliver_into(2, "Old deals"), world.deliver_into(3, "inbox"));
    world.follow().await;
    let everything = sorted([&a, &b, &c]);
    assert_eq!(world.timeline().await.0, everything);
    let fetched = world.fetched();
    assert!(world.mailbox().move_folder("Deals", "deleteditems"));
    world.follow().await;
    let trash = || vec![Role::Trash];
    let (logged, skipped) = world.timeline().await;
    assert_eq!(logged, sorted([&c]));
    assert_eq!(skipped, [(a.clone(), trash()), (b.clone(), trash())].into());
    assert_eq!(world.hub.activities(&world.tenant).await.unwrap().len(), 1);
    // What arrives there now is deleted mail too.
    let d = world.deliver_into(4, "Old deals");
    world.follow().await;
    assert_eq!(world.timeline().await.1[&d], trash());
    assert!(world.mailbox().move_folder("Deals", "inbox"));
    world.follow().await;
    assert_eq!(world.timeline().await.0, sorted([&a, &b, &c, &d]));
    assert_eq!(world.fetched(), fetched, "nothing is fetched twice for it");
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_moved_below_the_drafts_is_followed_no_more_and_comes_back_whole() {
    let world = World::new(SandboxSettings::default(), OutlookQuota::Off).await;
    world.mailbox().create_folder("Deals", None);
    let (a, b) = (world.deliver_into(1, "Deals"), world.deliver_into(2, "inbox"));
    world.follow().await;
    assert!(world.mailbox().move_folder("Deals", "drafts"));
    world.follow().await;
    let (logged, skipped) = world.timeline().await;
    assert_eq!((logged, skipped), (sorted([&b]), [(a.clone(), vec![Role::Drafts])].into()));
    assert!(world.mailbox().move_folder("Deals", "archive"));
    world.follow().await;
    assert_eq!(world.timeline().await, (sorted([&a, &b]), BTreeMap::new()));
}

/// Numbers that are the same for a seed on every machine.
struct Dice(u64);

impl Dice {
    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        &of[usize::try_from(self.0 >> 33).unwrap() % of.len()]
    }
}

impl World {
    /// What a folder is by the nearest one above it that has a name; `None`: gone from sight.
    fn place(&self, folder: &str) -> Option<Vec<Role>> {
        let folders = self.mailbox().folders();
        let mut at = folders.iter().find(|one| one.id == folder);
        while let Some(here) = at {
            match here.well_known {
                Some("deleteditems") => return Some(vec![Role::Trash]),
                Some("junkemail") => return Some(vec![Role::Junk]),
                Some("drafts") => return Some(vec![Role::Drafts]),
                Some("inbox") => return Some((here.id == folder).then_some(Role::Inbox).into_iter().collect()),
                Some("recoverableitemsdeletions") => return None,
                _ => at = folders.iter().find(|one| one.id == here.parent_id),
            }
        }
        Some(Vec::new())
    }

    /// One thing that an owner does.
    fn step(&self, dice: &mut Dice, number: u64) -> String {
        const OWN: [&str; 3] = ["Deals", "Old", "Deep"];
        const ALL: [&str; 8] = ["Deals", "Old", "Deep", "inbox", "archive", "deleteditems", "junkemail", "drafts"];
        let (folder, to, ids) = (*dice.pick(&OWN), *dice.pick(&ALL), self.mailbox().ids());
        match *dice.pick(&[0, 0, 1, 2, 2, 2]) {
            0 => {
                let into = if to == "drafts" { "inbox" } else { to };
                format!("{} arrives in {into}", self.deliver_into(number, into))
            }
            1 if !ids.is_empty() => {
                let id = dice.pick(&ids);
                format!("{id} to {to}: {}", self.mailbox().move_message(id, to, self.sandbox.now()))
            }
            _ => format!("folder {folder} to {to}: {}", self.mailbox().move_folder(folder, to)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_moved_where_each_message_is_what_its_folder_makes_of_it() {
    // More of them than a build has time for: with this set.
    let mailboxes = std::env::var("INTEGRATION_SEQUENCES").map_or(5, |count| count.parse().unwrap());
    for seed in 0..mailboxes {
        let disorder = (seed % 3 > 0).then_some(seed);
        let graph = GraphSettings { disorder, ..GraphSettings::default() };
        let world = World::new(SandboxSettings { graph, ..SandboxSettings::default() }, OutlookQuota::Off).await;
        for folder in ["Deals", "Old", "Deep"] {
            world.mailbox().create_folder(folder, None);
        }
        let (mut dice, mut told) = (Dice(seed), Vec::new());
        for number in 0..60 {
            told.push(world.step(&mut dice, number));
            if *dice.pick(&[true, false, false]) {
                told.push("sync".to_owned());
                world.follow().await;
            }
        }
        world.follow().await;
        let decisions = world.hub.decisions(&world.tenant, &world.connection.id).await.unwrap();
        let store: BTreeMap<String, Vec<Role>> =
            decisions.into_iter().map(|(id, decision)| (id, decision.summary.roles)).collect();
        for id in world.mailbox().ids() {
            let place = world.mailbox().message(&id).and_then(|message| world.place(&message.folder_id));
            let known = store.get(&id);
            // What was never anywhere but below the drafts is nobody's mail.
            let unseen = known.is_none() && place == Some(vec![Role::Drafts]);
            assert!(unseen || known == place.as_ref(), "{seed}: {id} is {known:?}, not {place:?}\n{}", told.join("\n"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_gives_up_on_large_pages_and_batches_loses_nothing_and_stops_nothing() {
    let world = World::new(SandboxSettings::default(), OutlookQuota::Off).await;
    for number in 0..150 {
        world.deliver_into(number, "inbox");
    }
    let graph = world.sandbox.microsoft().graph();
    graph.change_oddities(|odd| *odd = Oddities { largest_page: Some(30), ..odd.clone() });
    world.sync(&world.connection).await;
    assert_eq!(world.timeline().await.0.len(), 150);
    let books = graph.books();
    let (pages, _) = books.by_operation["messages.delta"];
    assert!(pages <= 30, "{pages} pages of six folders, of 25 messages each but for the first");
    graph.change_oddities(|odd| odd.largest_page = None);
    for number in 150..170 {
        world.deliver_into(number, "inbox");
    }
    // The list of folders, a page, a batch: whatever comes next.
    for gives_up in 1..4 {
        graph.change_oddities(|odd| odd.gateway_pages = gives_up);
        world.clock.sleep(Duration::from_secs(30)).await;
        world.sync(&world.connection).await;
    }
    assert_eq!(world.timeline().await.0.len(), 170);
}

#[tokio::test(start_paused = true)]
async fn answering_a_message_does_not_read_it() {
    let world = World::new(SandboxSettings::default(), OutlookQuota::Off).await;
    for read in [false, true] {
        let id = world.deliver_into(u64::from(read), "inbox");
        if read {
            assert!(world.mailbox().mark_read(&id, world.sandbox.now()));
        }
        let question = world.mailbox().message(&id).unwrap();
        let mut parent = ReplyTo::default();
        parent.thread = Some(ThreadId::new(question.conversation_id));
        parent.message_id = Some(format!("{}@acme.example", u64::from(read)));
        let mut mail = Outgoing::default();
        mail.to = vec![Address::new("bob@acme.example")];
        (mail.subject, mail.text) = ("Re: Number".to_owned(), Some("Yes".to_owned()));
        mail.in_reply_to = Some(parent);
        world.email().await.send(&mail, &SendOptions::default()).await.unwrap();
        assert_eq!(world.mailbox().message(&id).unwrap().read, read);
    }
    let books = world.sandbox.microsoft().graph().books();
    assert_eq!(books.by_operation["messages.createReply"].0, 2);
}
