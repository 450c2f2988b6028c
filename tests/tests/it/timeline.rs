//! The timeline can be trusted: policies, why and why not, re-match, review, suggestions, audit.

use std::time::Duration;

use integration_core::{
    activity::{
        Bulk, Company, Deal, DirectoryAnswer, Keep, Logging, MailPolicy, MatchReason, MatchTarget, Person,
        ReviewSubject, SkipReason, Suggest, Visibility,
    },
    hub::{DirectoryChange, Signal, SignalKind, Why},
    store::StateQuery,
    sync::{Job, SyncOptions, Window},
};
use integration_testing::{Fault, FaultAction};

use crate::{
    service::{Service, at_each_service},
    world::{Contacts, OWNER, World},
};

at_each_service! {
    a_logged_message_is_explained_by_its_matches,
    a_rule_is_named_with_its_id,
    own_people_and_strangers_are_named_as_such,
    a_duplicate_names_the_copy_that_is_shown,
    a_quarantined_and_a_gone_message_say_so,
    what_waits_what_is_too_old_and_what_nobody_knows_are_told_apart,
    a_policy_is_applied_to_what_was_decided_before_and_fetches_nothing,
    a_conversation_in_which_the_owner_wrote_is_logged_whole,
    what_must_never_be_logged_is_purged_and_does_not_come_back,
    a_policy_that_changes_while_the_last_one_is_applied_holds_for_every_message,
    what_is_kept_of_a_message_follows_the_policy,
    a_mailboxs_own_policy_goes_before_the_tenants,
    a_new_contact_brings_old_mail_onto_the_timeline_and_a_deleted_one_takes_it_off,
    of_two_persons_who_become_one_the_mail_of_both_is_the_ones,
    a_companys_domain_and_a_deals_reference_are_matched_later_too,
    a_tie_is_reviewed_and_the_verdict_is_remembered_and_undone,
    a_verdict_on_an_address_holds_for_what_comes_later,
    whom_to_suggest_follows_the_policy,
    a_delivery_report_names_whom_it_did_not_reach,
    only_new_words_are_shown_and_a_signature_suggests_details,
}

const ANN: &str = "From: Ann <ann@acme.example>\nTo: ada@example.com\nMessage-ID: <1@acme.example>\nSubject: Offer";

fn contact(id: &str, address: &str) -> Person {
    Person::new(id, id, address)
}

/// A mailbox whose host knows Ann of Acme.
async fn ann(service: Service) -> World {
    let world = World::empty(service, Contacts::default(), SyncOptions::default()).await;
    world.contacts.known.lock().unwrap().people = vec![contact("ann", "ann@acme.example")];
    world
}

impl World {
    async fn policy(&self, change: impl FnOnce(&mut MailPolicy)) {
        let mut policy = MailPolicy::default();
        change(&mut policy);
        self.hub.set_mail_policy(&self.tenant, None, Some(&policy)).await.unwrap();
        self.decide_again().await;
    }

    async fn why(&self, message: &str) -> Why {
        self.hub.why(&self.tenant, &self.connection.id, message).await.unwrap()
    }

    /// What the directory says from now on, and what changed about it.
    async fn directory(&self, change: impl FnOnce(&mut DirectoryAnswer), touched: &[&str]) -> u64 {
        change(&mut self.contacts.known.lock().unwrap());
        let change = DirectoryChange::of_addresses(touched.iter().copied());
        let queued = self.hub.directory_changed(&self.tenant, &change).await.unwrap();
        self.decide_again().await;
        queued
    }

    async fn matches(&self) -> Vec<(MatchTarget, MatchReason)> {
        let activities = self.hub.activities(&self.tenant).await.unwrap();
        activities.into_iter().flat_map(|one| one.matches).map(|one| (one.target, one.reason)).collect()
    }

    fn calls(&self) -> u64 {
        self.sandbox.books().calls
    }
}

fn skipped(reason: SkipReason, rule: Option<&str>) -> Why {
    Why::Skipped { reason, rule: rule.map(str::to_owned), duplicate_of: None }
}

async fn a_logged_message_is_explained_by_its_matches(service: Service) {
    let world = ann(service).await;
    world.arrives(ANN, "Yes!", &["INBOX"]);
    world.sync().await;
    for id in ["<1@acme.example>", "1@acme.example"] {
        let Why::Logged { matches, .. } = world.why(id).await else { panic!("not logged") };
        assert_eq!((matches[0].reason, matches[0].confidence), (MatchReason::Address, 100));
    }
}

async fn a_rule_is_named_with_its_id(service: Service) {
    let world = ann(service).await;
    world.arrives(ANN, "Yes!", &["INBOX"]);
    world.sync().await;
    world.policy(|policy| policy.never_log.domains = ["acme.example".into()].into()).await;
    assert_eq!(world.why("1@acme.example").await, skipped(SkipReason::NeverLog, Some("never_log:@acme.example")));
    world.policy(|policy| policy.logging = Logging::Off).await;
    assert_eq!(world.why("1@acme.example").await, skipped(SkipReason::LoggingOff, Some("logging:off")));
}

async fn own_people_and_strangers_are_named_as_such(service: Service) {
    let mut options = SyncOptions::default();
    options.own_domains = vec!["example.com".to_owned()];
    let world = World::empty(service, Contacts::default(), options).await;
    world.arrives("From: bob@example.com\nTo: ada@example.com\nMessage-ID: <in@x>", "hi", &["INBOX"]);
    world.arrives("From: eve@far.example\nTo: ada@example.com\nMessage-ID: <out@x>", "hi", &["INBOX"]);
    world.sync().await;
    assert_eq!(world.why("in@x").await, skipped(SkipReason::Internal, None));
    assert_eq!(world.why("out@x").await, skipped(SkipReason::NoMatch, None));
}

async fn a_duplicate_names_the_copy_that_is_shown(service: Service) {
    let world = ann(service).await;
    let ids = [world.arrives(ANN, "Yes!", &["INBOX"]), world.arrives(ANN, "Yes!", &["INBOX"])];
    world.sync().await;
    let answers = [world.why(&ids[0]).await, world.why(&ids[1]).await];
    let other = answers.iter().find_map(|answer| match answer {
        Why::Skipped { reason: SkipReason::Duplicate, duplicate_of, .. } => duplicate_of.clone(),
        _ => None,
    });
    assert!(ids.contains(&other.unwrap()));
    assert!(answers.iter().any(|answer| matches!(answer, Why::Logged { .. })));
    assert!(matches!(world.why("1@acme.example").await, Why::Logged { .. }), "the shown copy answers for the message");
}

async fn a_quarantined_and_a_gone_message_say_so(service: Service) {
    let world = ann(service).await;
    world.arrives(ANN, "Yes!", &["INBOX"]);
    world.sync().await;
    let broken = world.nonsense("From: ann@acme.example\nMessage-ID: <2@acme.example>");
    world.sync().await;
    assert!(matches!(world.why(&broken).await, Why::Quarantined { .. }));
    let gone = world.ids();
    let first = gone.iter().find(|id| **id != broken).unwrap();
    world.remove(first);
    world.sync().await;
    assert_eq!((world.why("1@acme.example").await, world.why(first).await), (Why::Gone, Why::Gone));
}

async fn what_waits_what_is_too_old_and_what_nobody_knows_are_told_apart(service: Service) {
    let mut options = SyncOptions::default();
    options.window = Window::since(chrono::DateTime::parse_from_rfc3339("2026-06-01T00:00:00Z").unwrap().into());
    options.slice = Duration::ZERO;
    let world = World::empty(service, Contacts { everybody: true, ..Contacts::default() }, options).await;
    let old = chrono::DateTime::parse_from_rfc3339("2026-01-01T00:00:00Z").unwrap().into();
    let mail = "From: ann@acme.example\r\nMessage-ID: <old@acme.example>\r\n\r\nold";
    world.arrived(mail.to_owned(), old, &["INBOX"]);
    let new = world.deliver(1);
    assert_eq!(world.why(&new).await, Why::NotListedYet, "nothing has been listed");
    let (hub, job) = (&world.hub, Job::sync_mail(&world.tenant, &world.connection.id));
    // Slices of no length: each ends before anything is fetched.
    hub.run(job, &integration_core::sync::Shutdown::default()).await;
    assert_eq!(world.why("old@acme.example").await, Why::OutsideWindow);
    assert_eq!(world.why("nobody@acme.example").await, Why::Unknown);
    assert_eq!(world.why("ffffffffffffff00").await, Why::Unknown);
}

#[tokio::test(start_paused = true)]
async fn merged_contacts_take_their_activities_along_once_the_host_signals_it() {
    let world = World::empty(Service::Google, Contacts::default(), SyncOptions::default()).await;
    let (ann, anna) = ("ann@acme.example", "anna@far.example");
    world.contacts.known.lock().unwrap().people = vec![contact("ann", ann), contact("anna", anna)];
    world.arrives(ANN, "Yes!", &["INBOX"]);
    world.arrives(&ANN.replace(ann, anna).replace("1@", "2@").replace("Offer", "Order"), "No!", &["INBOX"]);
    world.sync().await;
    let whose = async || {
        let found = world.matches().await.into_iter().map(|(target, _)| target);
        found.collect::<Vec<_>>()
    };
    let (of_ann, of_anna) = (MatchTarget::Contact("ann".into()), MatchTarget::Contact("anna".into()));
    assert!(whose().await.contains(&of_ann) && whose().await.contains(&of_anna));
    let calls = world.calls();

    // The host has made one of them, with both addresses.
    let mut merged = contact("ann", ann);
    merged.addresses.push(anna.to_owned());
    world.contacts.known.lock().unwrap().people = vec![merged];
    let change = DirectoryChange::of_addresses([ann, anna]);
    let signal = Signal::new("merge-7", SignalKind::ContactsMerged(change));
    for _ in 0..2 {
        world.hub.signal(&world.tenant, signal.clone()).await.unwrap();
        world.run(Job::signals(&world.tenant)).await;
        world.decide_again().await;
        assert_eq!(whose().await, [of_ann.clone(), of_ann.clone()]);
    }
    let asked = *world.contacts.asked.lock().unwrap();
    world.hub.signal(&world.tenant, signal).await.unwrap();
    world.run(Job::signals(&world.tenant)).await;
    world.decide_again().await;
    assert_eq!((*world.contacts.asked.lock().unwrap(), world.calls()), (asked, calls), "told again, nothing happens");
}

#[tokio::test(start_paused = true)]
async fn junk_and_chats_are_named_as_such_whether_they_were_seen_before_or_not() {
    let world = ann(Service::Google).await;
    let seen = world.arrives(ANN, "Yes!", &["INBOX"]);
    let junk = world.arrives("From: ann@acme.example\nMessage-ID: <2@acme.example>", "Win", &["SPAM"]);
    let chat = world.arrives("From: ann@acme.example\nMessage-ID: <3@acme.example>", "hi", &["CHAT"]);
    world.sync().await;
    assert_eq!(
        (world.why(&junk).await, world.why(&chat).await),
        (skipped(SkipReason::Junk, None), skipped(SkipReason::Chat, None))
    );
    assert!(world.sandbox.gmail().mailbox(OWNER).label(&seen, &["SPAM"], &["INBOX"], world.sandbox.now()));
    world.sync().await;
    assert_eq!((world.why(&seen).await, world.shown()), (skipped(SkipReason::Junk, None), 0));
}

#[tokio::test(start_paused = true)]
async fn a_listed_message_waits_for_the_quota() {
    let world = World::with_messages(300).await;
    let delay = FaultAction::Delay { milliseconds: 3_000 };
    world.sandbox.script(Fault::new(delay).on_path("/batch").always());
    let job = Job::sync_mail(&world.tenant, &world.connection.id);
    world.hub.run(job, &integration_core::sync::Shutdown::default()).await;
    let ids = world.sandbox.gmail().mailbox(OWNER).ids();
    let mut waiting = 0;
    for id in &ids {
        waiting += usize::from(world.why(id).await == Why::WaitingForQuota);
    }
    assert!((100..300).contains(&waiting), "{waiting} wait");
}

async fn a_policy_is_applied_to_what_was_decided_before_and_fetches_nothing(service: Service) {
    let world = ann(service).await;
    world.arrives(ANN, "The secret word", &["INBOX"]);
    world.arrives(
        "From: ann@acme.example\nTo: ada@example.com\nList-Unsubscribe: <http://a.example>\nMessage-ID: <n@acme.example>",
        "News",
        &["INBOX"],
    );
    world.sync().await;
    let calls = world.calls();
    assert_eq!(world.shown(), 1, "bulk mail is skipped unless said otherwise");
    assert_eq!(world.why("n@acme.example").await, skipped(SkipReason::Bulk, Some("bulk:List-Unsubscribe")));
    world.policy(|policy| policy.bulk = Bulk::Log).await;
    assert_eq!(world.shown(), 2);
    world.policy(|policy| policy.logging = Logging::Off).await;
    assert_eq!(world.shown(), 0);
    world.policy(|policy| policy.logging = Logging::RepliesOnly).await;
    assert_eq!((world.shown(), world.calls()), (0, calls));
    assert_eq!(world.why("1@acme.example").await, skipped(SkipReason::NoReply, Some("logging:replies_only")));
    world.policy(|_| {}).await;
    assert_eq!((world.shown(), world.calls()), (1, calls));
}

async fn a_conversation_in_which_the_owner_wrote_is_logged_whole(service: Service) {
    let world = ann(service).await;
    world.policy(|policy| policy.logging = Logging::RepliesOnly).await;
    world.arrives(ANN, "Yes!", &["INBOX"]);
    world.sync().await;
    assert_eq!(world.shown(), 0);
    let reply = "From: ada@example.com\nTo: ann@acme.example\nMessage-ID: <2@example.com>\nSubject: Re: Offer\n\
                 In-Reply-To: <1@acme.example>\nReferences: <1@acme.example>";
    world.arrives(reply, "Good.", &["SENT"]);
    world.sync().await;
    assert_eq!(world.shown(), 2);
}

async fn what_must_never_be_logged_is_purged_and_does_not_come_back(service: Service) {
    let world = ann(service).await;
    world.policy(|policy| policy.keep = Keep::Full).await;
    world.arrives(&ANN.replace("Offer", "Confidential"), "The secret word", &["INBOX"]);
    world.sync().await;
    let everything = async || {
        let mut text = String::new();
        for space in ["activity", "decision", "thread", "participant", "suggestion", "review"] {
            let (tenant, prefix) = (world.tenant.clone(), String::new());
            let query = StateQuery::Range { tenant, space, prefix, after: None, limit: 1_000 };
            for row in world.store.read(&query).await.unwrap() {
                text += &String::from_utf8_lossy(&row.bytes);
            }
        }
        text
    };
    assert!(everything().await.contains("secret") && everything().await.contains("Confidential"));
    world.policy(|policy| policy.never_log.addresses = ["ann@acme.example".into()].into()).await;
    let left = everything().await;
    assert!(!left.contains("secret") && !left.contains("Confidential"), "{left}");
    assert_eq!(world.shown(), 0);
    world.policy(|_| {}).await;
    assert!(!everything().await.contains("secret"));
    assert_eq!(world.shown(), 1, "who and when are known still");
}

async fn a_policy_that_changes_while_the_last_one_is_applied_holds_for_every_message(service: Service) {
    let contacts = Contacts { everybody: true, slow: Duration::from_millis(200), ..Contacts::default() };
    let world = World::empty(service, contacts, SyncOptions::default()).await;
    for number in 0..250 {
        world.deliver(number);
    }
    world.sync().await;
    let mut policy = MailPolicy::default();
    policy.logging = Logging::Off;
    world.hub.set_mail_policy(&world.tenant, None, Some(&policy)).await.unwrap();
    let (hub, job) = (world.hub.clone(), Job::decide_again(&world.tenant, &world.connection.id));
    let walk = tokio::spawn(async move { hub.run(job, &integration_core::sync::Shutdown::default()).await });
    // The first hundred are decided by now, the second are being decided.
    tokio::time::sleep(Duration::from_millis(300)).await;
    policy.never_log.domains = ["acme.example".into()].into();
    world.hub.set_mail_policy(&world.tenant, None, Some(&policy)).await.unwrap();
    walk.await.unwrap();
    world.decide_again().await;
    let decisions = world.hub.decisions(&world.tenant, &world.connection.id).await.unwrap();
    assert_eq!(decisions.len(), 250);
    assert!(decisions.iter().all(|(_, decision)| decision.purged && decision.summary.subject.is_empty()));
}

async fn what_is_kept_of_a_message_follows_the_policy(service: Service) {
    let world = ann(service).await;
    world.arrives(ANN, "Some words of Ann", &["INBOX"]);
    world.policy(|policy| policy.keep = Keep::Full).await;
    world.sync().await;
    let summary = async || world.hub.activities(&world.tenant).await.unwrap().remove(0).summary;
    assert_eq!(summary().await.text.unwrap().trim(), "Some words of Ann");
    world.policy(|policy| policy.keep = Keep::Snippet).await;
    assert_eq!((summary().await.text, summary().await.snippet.as_str()), (None, "Some words of Ann"));
    world.policy(|policy| policy.keep = Keep::Metadata).await;
    assert_eq!((summary().await.snippet.as_str(), summary().await.subject.as_str()), ("", "Offer"));
}

async fn a_mailboxs_own_policy_goes_before_the_tenants(service: Service) {
    let world = ann(service).await;
    world.arrives(ANN, "Yes!", &["INBOX"]);
    world.sync().await;
    let mut own = MailPolicy::default();
    own.visibility = Visibility::Owner;
    let (tenant, id) = (&world.tenant, &world.connection.id);
    world.hub.set_mail_policy(tenant, Some(id), Some(&own)).await.unwrap();
    world.policy(|policy| policy.logging = Logging::Off).await;
    let activity = world.hub.activities(tenant).await.unwrap().remove(0);
    assert_eq!(activity.visibility(), Visibility::Owner);
    world.hub.set_mail_policy(tenant, Some(id), None).await.unwrap();
    world.decide_again().await;
    assert_eq!(world.shown(), 0, "now the tenant's holds");
}

async fn a_new_contact_brings_old_mail_onto_the_timeline_and_a_deleted_one_takes_it_off(service: Service) {
    let world = World::empty(service, Contacts::default(), SyncOptions::default()).await;
    world.arrives(ANN, "Yes!", &["INBOX"]);
    for number in 0..20 {
        world.deliver(number);
    }
    world.sync().await;
    let calls = world.calls();
    assert_eq!(world.shown(), 0);
    let touched =
        world.directory(|known| known.people = vec![contact("ann", "ann@acme.example")], &["Ann@acme.example"]).await;
    assert_eq!((touched, world.shown()), (1, 1), "only what the change touches");
    world.directory(|known| known.people[0].id = "merged".to_owned(), &["ann@acme.example"]).await;
    assert_eq!(world.matches().await, [(MatchTarget::Contact("merged".into()), MatchReason::Address)]);
    world.directory(|known| known.people.clear(), &["ann@acme.example"]).await;
    assert_eq!((world.shown(), world.calls()), (0, calls));
}

async fn of_two_persons_who_become_one_the_mail_of_both_is_the_ones(service: Service) {
    let world = ann(service).await;
    world.contacts.known.lock().unwrap().people.push(contact("anna", "anna@far.example"));
    world.arrives(ANN, "Yes!", &["INBOX"]);
    world.arrives("From: anna@far.example\nTo: ada@example.com\nMessage-ID: <2@far.example>", "No!", &["INBOX"]);
    world.sync().await;
    let target = |id: &str| (MatchTarget::Contact(id.into()), MatchReason::Address);
    let matches = async || world.matches().await.into_iter().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(matches().await, [target("ann"), target("anna")].into());
    let one = |known: &mut DirectoryAnswer| {
        known.people.retain(|person| person.id == "ann");
        known.people[0].addresses.push("anna@far.example".to_owned());
    };
    let touched = world.directory(one, &["anna@far.example"]).await;
    assert_eq!((touched, matches().await), (1, [target("ann")].into()));
    assert_eq!((world.shown(), world.matches().await.len()), (2, 2));
}

async fn a_companys_domain_and_a_deals_reference_are_matched_later_too(service: Service) {
    let world = World::empty(service, Contacts::default(), SyncOptions::default()).await;
    world.arrives(&ANN.replace("Offer", "Re: [D-77] Offer"), "Yes!", &["INBOX"]);
    world.sync().await;
    let tell = async |change: DirectoryChange| {
        world.hub.directory_changed(&world.tenant, &change).await.unwrap();
        world.decide_again().await;
    };
    world.contacts.known.lock().unwrap().companies = vec![Company::new("acme", "Acme", "acme.example")];
    let mut change = DirectoryChange::default();
    change.domains.insert("acme.example".to_owned());
    tell(change).await;
    assert_eq!(world.matches().await, [(MatchTarget::Company("acme".into()), MatchReason::Domain)]);
    world.contacts.known.lock().unwrap().deals = vec![Deal::new("deal", "Deal", ["D-77"])];
    let mut change = DirectoryChange::default();
    change.references.insert("D-77".to_owned());
    tell(change).await;
    assert!(world.matches().await.contains(&(MatchTarget::Deal("deal".into()), MatchReason::Reference)));
}

async fn a_tie_is_reviewed_and_the_verdict_is_remembered_and_undone(service: Service) {
    let world = ann(service).await;
    world.contacts.known.lock().unwrap().people.push(contact("anne", "ann@acme.example"));
    world.arrives(ANN, "Yes!", &["INBOX"]);
    world.sync().await;
    let reviews = world.hub.reviews(&world.tenant).await.unwrap();
    assert_eq!((reviews.len(), reviews[0].candidates.len()), (1, 2));
    let subject = ReviewSubject::Activity(reviews[0].activity.clone());
    let target = MatchTarget::Contact("anne".into());
    world.hub.accept_match(&world.tenant, &subject, &target).await.unwrap();
    world.decide_again().await;
    assert_eq!(world.matches().await, [(target.clone(), MatchReason::Reviewed)], "the rival is rejected with it");
    assert!(world.hub.reviews(&world.tenant).await.unwrap().is_empty());
    world.directory(|_| {}, &["ann@acme.example"]).await;
    assert_eq!(world.matches().await.len(), 1, "a re-match does not forget it");
    world.hub.undo_verdict(&world.tenant, &subject).await.unwrap();
    world.decide_again().await;
    assert_eq!((world.matches().await.len(), world.hub.reviews(&world.tenant).await.unwrap().len()), (2, 1));
}

async fn a_verdict_on_an_address_holds_for_what_comes_later(service: Service) {
    let world = ann(service).await;
    world.contacts.known.lock().unwrap().people.push(contact("anne", "ann@acme.example"));
    world.arrives(ANN, "Yes!", &["INBOX"]);
    world.sync().await;
    let subject = ReviewSubject::Address("ann@acme.example".to_owned());
    world.hub.reject_match(&world.tenant, &subject, &MatchTarget::Contact("anne".into())).await.unwrap();
    world.decide_again().await;
    world.arrives(&ANN.replace("<1@", "<2@"), "And again", &["INBOX"]);
    world.sync().await;
    let found = world.matches().await;
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|(target, _)| *target == MatchTarget::Contact("ann".into())), "{found:?}");
}

async fn whom_to_suggest_follows_the_policy(service: Service) {
    let world = ann(service).await;
    let mail = |from: &str, to: &str, id: u8| format!("From: {from}\nTo: {to}\nMessage-ID: <{id}@x.example>");
    world.arrives(&mail("Eve Far <eve@far.example>", OWNER, 1), "hi", &["INBOX"]);
    world.arrives(&mail("noreply@far.example", OWNER, 2), "hi", &["INBOX"]);
    world.arrives(&mail(OWNER, "Ann <ann@acme.example>, Bob <bob@gmail.com>", 3), "hi", &["SENT"]);
    world.sync().await;
    let suggested = async || {
        let found = world.hub.suggestions(&world.tenant).await.unwrap();
        found.into_iter().map(|one| one.address).collect::<Vec<_>>()
    };
    assert!(suggested().await.is_empty());
    world.policy(|policy| policy.suggest = Suggest::WrittenTo).await;
    assert_eq!(suggested().await, ["bob@gmail.com"]);
    world.policy(|policy| policy.suggest = Suggest::Everybody).await;
    assert_eq!(suggested().await, ["bob@gmail.com", "eve@far.example"]);
    let eve = world.hub.suggestions(&world.tenant).await.unwrap().remove(1);
    let lists = integration_core::activity::NameLists::default();
    assert_eq!((eve.name(), eve.company_domain(&lists).as_deref()), (Some("Eve Far"), Some("far.example")));
    world.hub.dismiss_suggestion(&world.tenant, "bob@gmail.com", false).await.unwrap();
    world.directory(|known| known.people.push(contact("eve", "eve@far.example")), &["eve@far.example"]).await;
    assert!(suggested().await.is_empty(), "one was dismissed, the other is a contact now");
}

async fn a_delivery_report_names_whom_it_did_not_reach(service: Service) {
    let world = ann(service).await;
    let head = "From: Mail System <mailer-daemon@acme.example>\nTo: ada@example.com\nMessage-ID: <b@acme.example>\nMIME-Version: 1.0\n\
                Content-Type: multipart/report; report-type=delivery-status; boundary=b";
    let text = "--b\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.acme.example\r\n\r\n\
                Final-Recipient: rfc822; bob@acme.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
                Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\n\
                Message-ID: <sent@example.com>\r\n--b--";
    world.arrives(head, text, &["INBOX"]);
    world.sync().await;
    let (_, decision) = world.hub.decisions(&world.tenant, &world.connection.id).await.unwrap().remove(0);
    let bounce = &decision.summary.bounces[0];
    assert_eq!(
        (bounce.recipient.as_str(), bounce.status.as_deref(), bounce.code),
        ("bob@acme.example", Some("5.1.1"), Some(550))
    );
    assert_eq!((bounce.hard, bounce.original_id.as_deref()), (true, Some("sent@example.com")));
    assert!(decision.summary.kinds.contains_key(&integration_core::email::MailKind::Bounce));
    assert_eq!((world.shown(), world.why("b@acme.example").await), (0, skipped(SkipReason::NoMatch, None)));
    world.directory(|known| known.people.push(contact("bob", "bob@acme.example")), &["bob@acme.example"]).await;
    assert_eq!(world.matches().await, [(MatchTarget::Contact("bob".into()), MatchReason::Address)], "on his timeline");
}

async fn only_new_words_are_shown_and_a_signature_suggests_details(service: Service) {
    let world = ann(service).await;
    world.policy(|policy| (policy.suggest, policy.keep) = (Suggest::Everybody, Keep::Full)).await;
    let text = "Yes, Tuesday is fine.\r\n\r\n-- \r\nEve Far\r\nHead of Purchasing\r\nFar Ltd.\r\n+44 20 7946 0958\r\n\r\n\
                On Mon, 2 Nov 2026 at 10:00, Ada <ada@example.com> wrote:\r\n> Is Tuesday fine?";
    world.arrives(
        "From: Eve Far <eve@far.example>\nTo: ada@example.com, ann@acme.example\nMessage-ID: <1@far.example>",
        text,
        &["INBOX"],
    );
    world.sync().await;
    let shown = world.hub.activities(&world.tenant).await.unwrap().remove(0).summary;
    assert_eq!(
        (shown.snippet.as_str(), shown.text.as_deref()),
        ("Yes, Tuesday is fine.", Some("Yes, Tuesday is fine."))
    );
    let eve = world.hub.suggestions(&world.tenant).await.unwrap().remove(0);
    let (_, details) = eve.details().remove(0);
    assert_eq!(details.title.unwrap().value, "Head of Purchasing");
    assert_eq!(details.phones.len(), 1);
    world.policy(|_| {}).await;
    assert!(world.hub.suggestions(&world.tenant).await.unwrap().is_empty());
}
