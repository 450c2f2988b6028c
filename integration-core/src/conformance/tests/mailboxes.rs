use std::sync::Arc;

use crate::{
    clock::SystemClock,
    conformance::{
        Broken, Kept, email_provider as suite,
        memory_mailbox::{MemoryMailbox, Partitions},
        saboteur::{CursorRunsAhead, MoveIsRemoval, OneSpoilsAll, Sabotaged, SkipsAPage},
    },
    email::EmailCapabilities,
};

fn mailbox(partitions: Partitions, page: usize) -> MemoryMailbox {
    MemoryMailbox::new("owner@host.example", Arc::new(SystemClock::new())).with_partitions(partitions).with_page(page)
}

mod whole {
    use super::*;

    async fn fresh(_: &str) -> Arc<MemoryMailbox> {
        Arc::new(mailbox(Partitions::Whole, 3))
    }

    crate::email_provider_conformance!(fresh);
}

mod in_folders_one_item_a_page {
    use super::*;

    async fn fresh(_: &str) -> Arc<MemoryMailbox> {
        Arc::new(mailbox(Partitions::Folders, 1))
    }

    crate::email_provider_conformance!(fresh);
}

mod claiming_nothing {
    use super::*;

    async fn fresh(_: &str) -> Arc<MemoryMailbox> {
        Arc::new(mailbox(Partitions::Whole, 10).with_capabilities(EmailCapabilities::default()))
    }

    crate::email_provider_conformance!(fresh);
}

fn broken(kept: Kept) -> Broken {
    kept.unwrap_err()
}

#[tokio::test]
async fn the_suite_notices_a_search_that_skips_a_page() {
    let fixture = Sabotaged::new(mailbox(Partitions::Whole, 10), SkipsAPage::on);
    let broken = broken(suite::search_pages_through_every_match_once(&fixture).await);
    assert_eq!(broken.promise, "a search pages through every match once");
}

#[tokio::test]
async fn the_suite_notices_a_snapshot_that_skips_a_page() {
    for partitions in [Partitions::Whole, Partitions::Folders] {
        let fixture = Sabotaged::new(mailbox(partitions, 3), SkipsAPage::on);
        let broken = broken(suite::a_snapshot_lists_every_message_once(&fixture).await);
        assert_eq!(broken.promise, "a snapshot lists every message");
        assert!(broken.detail.starts_with("1 of 4 missing"), "{broken}");
    }
}

#[tokio::test]
async fn the_suite_notices_a_cursor_that_runs_ahead() {
    for partitions in [Partitions::Whole, Partitions::Folders] {
        let fixture = Sabotaged::new(mailbox(partitions, 3), CursorRunsAhead::on);
        let broken = broken(suite::no_arrival_is_lost_over_a_pages_border(&fixture).await);
        assert_eq!(broken.promise, "no change is lost over a page's border");
        let fixture = Sabotaged::new(mailbox(partitions, 3), CursorRunsAhead::on);
        let broken = self::broken(suite::a_walk_goes_on_from_any_stored_cursor(&fixture).await);
        assert_eq!(broken.promise, "no change is lost over a page's border");
    }
}

#[tokio::test]
async fn the_suite_notices_that_a_move_is_taken_for_a_removal() {
    let fixture = Sabotaged::new(mailbox(Partitions::Folders, 3), MoveIsRemoval::on);
    let broken = broken(suite::a_message_that_moved_is_not_called_gone(&fixture).await);
    assert_eq!(broken.promise, "a message that only moved is not reported as gone");
}

#[tokio::test]
async fn the_suite_notices_that_one_refused_message_keeps_the_others_away() {
    let fixture = Sabotaged::new(mailbox(Partitions::Whole, 3), OneSpoilsAll::on);
    let broken = broken(suite::a_message_that_is_refused_for_good_keeps_no_other_away(&fixture).await);
    assert!(broken.detail.contains("the batch failed"), "{broken}");
    let fixture = Sabotaged::new(mailbox(Partitions::Whole, 3), OneSpoilsAll::on);
    suite::a_fetch_answers_every_id_once(&fixture).await.unwrap();
}

#[tokio::test]
async fn a_saboteur_keeps_every_promise_but_its_own() {
    let fixture = Sabotaged::new(mailbox(Partitions::Folders, 3), MoveIsRemoval::on);
    suite::a_snapshot_lists_every_message_once(&fixture).await.unwrap();
    let fixture = Sabotaged::new(mailbox(Partitions::Whole, 3), SkipsAPage::on);
    suite::no_arrival_is_lost_over_a_pages_border(&fixture).await.unwrap();
    let fixture = Sabotaged::new(mailbox(Partitions::Whole, 3), CursorRunsAhead::on);
    suite::a_snapshot_lists_every_message_once(&fixture).await.unwrap();
}
