use integration_core::{
    ErrorKind, Result,
    email::{Depth, EmailProvider, MailItem, Role},
    ids::{MessageId, PartitionId},
    sync::{Fetched, Next, PartitionPage, Window},
    testing::Step,
};
use serde_json::{Value, json};

use super::{fresh, full, path, refusal};
use crate::{client::Root, outlook::Outlook};

const DELTA: &str = "/v1.0/me/mailFolders/inbox-id/messages/delta";
const FOLDERS: &str = "/v1.0/me/mailFolders/delta";
const HERE: &str = "https://graph.example";
const MORE: &str = "@odata.nextLink";
const END: &str = "@odata.deltaLink";

/// The folders with a name: inbox, sent, deleted and draft mail.
fn names() -> Step {
    names_of(&[(0, "inbox-id"), (1, "sent-id"), (2, "trash-id"), (5, "drafts-id"), (13, "deep-id")])
}

/// Those that the mailbox has of the fourteen that are asked for.
fn names_of(named: &[(usize, &str)]) -> Step {
    let mut parts: Vec<_> = named.iter().map(|(at, id)| (*at, 200, json!({ "id": id }))).collect();
    let others = (0..14).filter(|at| named.iter().all(|(named, _)| named != at));
    parts.extend(others.map(|at| (at, if at == 7 { 400 } else { 404 }, refusal("ErrorFolderNotFound"))));
    super::batch(&parts).matching(|seen| {
        let asked = super::asked(&seen.body);
        asked.len() == 14 && asked[0] == "/me/mailFolders/inbox?$select=id"
    })
}

fn folder(id: &str, parent: &str) -> Value {
    json!({ "id": id, "displayName": id, "parentFolderId": parent, "isHidden": false })
}

fn link(token: &str) -> String {
    format!("{HERE}{FOLDERS}?$skiptoken={token}")
}

fn listing(entries: Vec<Value>, next: Option<&str>) -> Step {
    let (member, token) = next.map_or((END, "end"), |next| (MORE, next));
    Step::get(FOLDERS).answers_json(200, &json!({ "value": entries, (member): link(token) }))
}

fn seen(page: &PartitionPage) -> Vec<(&str, Option<&str>)> {
    page.partitions.iter().map(|one| (one.id.as_str(), one.inherits.as_deref())).collect()
}

async fn partitions(outlook: &Outlook) -> Result<PartitionPage> {
    outlook.feed().partitions(None).await
}

#[tokio::test(start_paused = true)]
async fn folders_are_followed_but_for_views_drafts_and_what_programs_keep_there() {
    let first = vec![
        json!({ "id": "inbox-id", "displayName": "Posteingang", "parentFolderId": "root" }),
        folder("drafts-id", "root"),
        folder("unfinished", "drafts-id"),
        folder("deeper", "deep-id"),
        json!({ "id": "view", "displayName": "Unread", "@odata.type": "#microsoft.graph.mailSearchFolder" }),
        json!({ "id": "hidden", "displayName": "PersonMetadata", "isHidden": true }),
        json!({ "id": "was", "@removed": { "reason": "deleted" } }),
        folder("inbox-id", "root"),
    ];
    let (transport, outlook) = fresh(
        [names(), listing(first, Some("x")), listing(vec![folder("p1", "root")], None).with_query("$skiptoken", "x")],
        Root::Own,
    );
    let page = partitions(&outlook).await.unwrap();
    let all: Vec<(&str, &str)> = page.partitions.iter().map(|one| (one.id.as_str(), one.name.as_str())).collect();
    assert_eq!(all, [("inbox-id", "inbox-id"), ("p1", "p1")], "the last word on a folder counts");
    assert_eq!((page.next, page.unreadable), (None, 0));
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn a_folder_is_what_the_nearest_one_above_it_with_a_name_is() {
    let entries = vec![
        folder("below-below", "below"),
        folder("below", "trash-id"),
        folder("trash-id", "root"),
        folder("clients", "inbox-id"),
        folder("inbox-id", "root"),
        folder("sent-2025", "sent-id"),
        folder("circle-a", "circle-b"),
        folder("circle-b", "circle-a"),
    ];
    let (_, outlook) = fresh([names(), listing(entries, None)], Root::Own);
    let expected = [
        ("below-below", Some(r#"["trash"]"#)),
        ("below", Some(r#"["trash"]"#)),
        ("trash-id", Some(r#"["trash"]"#)),
        // What was filed away is not in the inbox.
        ("clients", Some("[]")),
        ("inbox-id", Some(r#"["inbox"]"#)),
        ("sent-2025", Some(r#"["sent"]"#)),
        ("circle-a", Some("[]")),
        ("circle-b", Some("[]")),
    ];
    assert_eq!(seen(&partitions(&outlook).await.unwrap()), expected);
    let roles = MailItem::inherited(&[Role::Trash]);
    assert_eq!(roles, r#"["trash"]"#);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_comes_late_may_be_one_with_a_name() {
    let named = names_of(&[(0, "inbox-id"), (4, "talk")]);
    let (first, second) = (vec![folder("inbox-id", "root")], vec![folder("inbox-id", "root"), folder("talk", "root")]);
    let again = listing(second.clone(), None);
    let (transport, outlook) = fresh([names(), listing(first, None), listing(second, None), named, again], Root::Own);
    partitions(&outlook).await.unwrap();
    for _ in 0..2 {
        let expected = [("inbox-id", Some(r#"["inbox"]"#)), ("talk", Some(r#"["chat"]"#))];
        assert_eq!(seen(&partitions(&outlook).await.unwrap()), expected);
    }
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn folders_are_listed_once_with_their_meaning() {
    let folder = |id: &str, name: &str| json!({ "id": id, "displayName": name });
    let entries = vec![
        folder("inbox-id", "Posteingang"),
        folder("drafts-id", "Entwürfe"),
        folder("p1", ""),
        json!({ "id": "view", "displayName": "Unread", "@odata.type": "#microsoft.graph.mailSearchFolder" }),
        folder("p1", "Projects"),
    ];
    let (transport, outlook) = fresh([names(), listing(entries, None)], Root::Own);
    let all = outlook.folders().unwrap().list().await.unwrap();
    let brief: Vec<_> = all.iter().map(|one| (one.id.as_str(), one.name.as_str(), one.role)).collect();
    let expected = [
        ("drafts-id", "Entwürfe", Some(Role::Drafts)),
        ("inbox-id", "Posteingang", Some(Role::Inbox)),
        ("p1", "Projects", None),
    ];
    assert_eq!(brief, expected);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn of_a_mailbox_s_own_folders_only_those_with_a_name_have_a_role() {
    let entries = vec![folder("below", "trash-id"), folder("trash-id", "root")];
    let (_, outlook) = fresh([names(), listing(entries, None)], Root::Own);
    let folders = outlook.folders().unwrap().list().await.unwrap();
    let roles: Vec<(&str, Option<Role>)> = folders.iter().map(|one| (one.id.as_str(), one.role)).collect();
    assert_eq!(roles, [("below", None), ("trash-id", Some(Role::Trash))]);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_may_not_be_whole_is_an_error() {
    let cut = |answer: Value| Step::get(FOLDERS).answers_json(200, &answer);
    let whole = || vec![folder("inbox-id", "root")];
    let (_, outlook) = fresh([names(), cut(json!({ "value": whole() }))], Root::Own);
    assert_eq!(partitions(&outlook).await.unwrap_err().kind(), ErrorKind::Validation, "no link at all");
    let (_, outlook) = fresh([names(), cut(json!({ "value": whole(), (MORE): "", (END): "" }))], Root::Own);
    assert_eq!(partitions(&outlook).await.unwrap_err().kind(), ErrorKind::Validation, "empty links");
    let (transport, outlook) =
        fresh([names(), listing(whole(), Some("same")), listing(whole(), Some("same"))], Root::Own);
    assert_eq!(partitions(&outlook).await.unwrap_err().kind(), ErrorKind::Validation, "in a circle");
    transport.finish();
    let lost = Step::get(FOLDERS).answers_json(410, &refusal("syncStateNotFound"));
    let (_, outlook) = fresh([names(), listing(whole(), Some("x")), lost], Root::Own);
    assert_eq!(partitions(&outlook).await.unwrap_err().kind(), ErrorKind::Unavailable, "cut short");
}

#[tokio::test(start_paused = true)]
async fn a_list_without_end_is_given_up() {
    let pages = (0..1_001).map(|at| listing(Vec::new(), Some(&at.to_string())));
    let (transport, outlook) = fresh([names()].into_iter().chain(pages), Root::Own);
    assert_eq!(partitions(&outlook).await.unwrap_err().kind(), ErrorKind::Validation);
    assert_eq!(transport.seen().len(), 1_001);
}

#[tokio::test(start_paused = true)]
async fn whatever_is_odd_about_a_folder_it_stays_one() {
    let entries = vec![
        json!({ "id": "odd", "displayName": 7, "parentFolderId": ["x"], "isHidden": "perhaps", "@odata.type": 1 }),
        folder("below", "odd"),
        folder("trash-id", "root"),
        json!({ "displayName": "without an id" }),
        json!({ "id": 9 }),
        json!(7),
    ];
    let (_, outlook) = fresh([names(), listing(entries, None)], Root::Own);
    let page = partitions(&outlook).await.unwrap();
    let expected = [("odd", None), ("below", None), ("trash-id", Some(r#"["trash"]"#))];
    assert_eq!(seen(&page), expected, "nobody knows what it lies below");
    assert_eq!(page.unreadable, 3);
}

#[tokio::test(start_paused = true)]
async fn a_message_in_a_folder_that_was_not_there_before_has_the_folders_asked_for_again_but_not_each_time() {
    let mut message = full("a");
    message["parentFolderId"] = json!("new");
    let get = || Step::get(&path("a")).answers_json(200, &message);
    let (transport, outlook) = fresh(
        [
            names(),
            listing(vec![folder("trash-id", "root")], None),
            get(),
            get(),
            names(),
            listing(vec![folder("trash-id", "root"), folder("new", "trash-id")], None),
            get(),
        ],
        Root::Own,
    );
    let roles = async || {
        let fetched = outlook.fetch(&[MessageId::new("a")], Depth::Full).await.unwrap();
        let Fetched::Present { item, .. } = &fetched[0] else { panic!("{fetched:?}") };
        item.flags.roles.clone()
    };
    partitions(&outlook).await.unwrap();
    assert_eq!(roles().await, []);
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    assert_eq!([roles().await, roles().await], [[Role::Trash], [Role::Trash]]);
    transport.finish();
}

#[tokio::test(start_paused = true)]
async fn which_folder_is_which_is_asked_once_for_all_providers_until_positions_are_lost() {
    let folders = || listing(Vec::new(), None);
    let empty_walk = || {
        let link = format!("{HERE}{DELTA}?$deltatoken=d0");
        Step::get(DELTA).answers_json(200, &json!({ "value": [], (END): link }))
    };
    let inbox = PartitionId::new("inbox-id");
    let (transport, first) = fresh(
        [
            names(),
            folders(),
            folders(),
            empty_walk(),
            Step::get(DELTA).answers_json(410, &refusal("syncStateNotFound")),
            names(),
            folders(),
        ],
        Root::Own,
    );
    let opened = || crate::outlook::Outlook::new(first.session.clone(), first.client.clone()).feed();
    opened().partitions(None).await.unwrap();
    opened().partitions(None).await.unwrap();
    let walk = opened().snapshot(&inbox, &Window::default(), None).await.unwrap();
    let Next::Done { head: Some(since) } = walk.next else { panic!("{walk:?}") };
    opened().changes(&inbox, &since).await.unwrap_err();
    opened().partitions(None).await.unwrap();
    transport.finish();
}
