//! One macro per suite.

/// Turns cases into tests. `[optional]`: `fresh` gives an `Option`, and without a store there is
/// nothing to test.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ([$mode:tt] $suite:ident, $fresh:expr; $($case:ident)+) => {$(
        #[tokio::test]
        async fn $case() {
            let store = $crate::conformance_store!([$mode] $fresh, $case);
            if let Err(broken) = $crate::conformance::$suite::$case(&*store).await {
                panic!("{broken}");
            }
        }
    )+};
    ([$mode:tt] $suite:ident, $fresh:expr, $reopen:expr; $($case:ident)+) => {$(
        #[tokio::test]
        async fn $case() {
            let store = $crate::conformance_store!([$mode] $fresh, $case);
            let other = ($reopen)(&store).await;
            if let Err(broken) = $crate::conformance::$suite::$case(&*store, &*other).await {
                panic!("{broken}");
            }
        }
    )+};
    ([$mode:tt] reopening $suite:ident, $fresh:expr, $reopen:expr; $($case:ident)+) => {$(
        #[tokio::test]
        async fn $case() {
            let first = $crate::conformance_store!([$mode] $fresh, $case);
            let reopen = async || ($reopen)(&first).await;
            if let Err(broken) = $crate::conformance::$suite::$case(&*first, reopen).await {
                panic!("{broken}");
            }
        }
    )+};
    ($suite:ident, $fresh:expr; $($case:ident)+) => {
        $crate::conformance_tests! { [always] $suite, $fresh; $($case)+ }
    };
}

/// An empty store for a case.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_store {
    ([always] $fresh:expr, $case:ident) => {
        ($fresh)(stringify!($case)).await
    };
    ([optional] $fresh:expr, $case:ident) => {
        match ($fresh)(stringify!($case)).await {
            Some(store) => store,
            None => return,
        }
    };
}

/// Tests of a [`TokenStore`](crate::store::TokenStore): `fresh` makes an empty store, `reopen` opens the same once more.
#[macro_export]
macro_rules! token_store_conformance {
    (@ [$mode:tt] $fresh:expr, $reopen:expr) => {
        $crate::conformance_tests! { [$mode] token_store, $fresh;
            an_absent_record_is_none
            a_saved_record_loads_as_it_was
            a_first_save_needs_an_empty_place
            a_stale_save_changes_nothing
            deleting_twice_is_fine
            tenants_are_walls
            listing_pages_through_every_grant_in_order
            odd_ids_and_large_records_survive
            saving_inside_a_transaction_is_refused
        }
        $crate::conformance_tests! { [$mode] token_store, $fresh, $reopen;
            of_racing_saves_exactly_one_wins
        }
        $crate::conformance_tests! { [$mode] reopening token_store, $fresh, $reopen;
            a_saved_record_survives_reopening
        }
    };
    (optional $fresh:expr, $reopen:expr) => {
        $crate::token_store_conformance!(@ [optional] $fresh, $reopen);
    };
    ($fresh:expr, $reopen:expr) => {
        $crate::token_store_conformance!(@ [always] $fresh, $reopen);
    };
}

/// Tests of a [`LeaseStore`](crate::store::LeaseStore): `fresh` makes an empty store, `reopen` opens the same once more.
#[macro_export]
macro_rules! lease_store_conformance {
    (@ [$mode:tt] $fresh:expr, $reopen:expr) => {
        $crate::conformance_tests! { [$mode] lease_store, $fresh;
            a_released_lease_is_free_at_once
            fences_rise_with_every_acquisition
            an_expired_lease_can_be_taken
            a_renewed_lease_outlives_its_first_duration
            renewing_after_loss_says_so
            releasing_after_loss_changes_nothing
            different_keys_are_independent
            tenants_are_walls
            acquiring_inside_a_transaction_is_refused
        }
        $crate::conformance_tests! { [$mode] lease_store, $fresh, $reopen;
            a_held_lease_excludes_others
            of_racing_acquirers_exactly_one_wins
        }
        $crate::conformance_tests! { [$mode] reopening lease_store, $fresh, $reopen;
            fences_rise_across_reopening
        }
    };
    (optional $fresh:expr, $reopen:expr) => {
        $crate::lease_store_conformance!(@ [optional] $fresh, $reopen);
    };
    ($fresh:expr, $reopen:expr) => {
        $crate::lease_store_conformance!(@ [always] $fresh, $reopen);
    };
}

/// Tests of a [`SyncStore`](crate::store::SyncStore): `fresh` makes an empty store, `reopen` opens the same once more.
#[macro_export]
macro_rules! sync_store_conformance {
    (@ [$mode:tt] $fresh:expr, $reopen:expr) => {
        $crate::conformance_tests! { [$mode] sync_store, $fresh;
            committed_rows_are_read_back
            a_dropped_transaction_leaves_nothing
            a_refused_write_leaves_nothing
            expected_versions_guard_rows
            later_writes_see_earlier_ones
            many_rows_in_one_transaction_all_arrive
            keys_come_in_order_without_absent_ones
            ranges_page_in_bytewise_order
            a_prefix_bounds_its_range
            tenants_and_spaces_are_walls
            counters_have_no_gaps
            an_older_holder_cannot_commit
            beginning_inside_a_transaction_is_refused
            odd_keys_and_large_values_survive
            long_keys_are_kept_whole
        }
        $crate::conformance_tests! { [$mode] sync_store, $fresh, $reopen;
            uncommitted_rows_are_not_read
            no_reader_skips_a_late_commit
            racing_changes_of_one_row_all_count
        }
        $crate::conformance_tests! { [$mode] reopening sync_store, $fresh, $reopen;
            everything_committed_survives_reopening
        }
    };
    (optional $fresh:expr, $reopen:expr) => {
        $crate::sync_store_conformance!(@ [optional] $fresh, $reopen);
    };
    ($fresh:expr, $reopen:expr) => {
        $crate::sync_store_conformance!(@ [always] $fresh, $reopen);
    };
}

/// Tests of a [`JobStore`](crate::store::JobStore): `fresh` makes an empty store, `reopen` opens the same once more.
#[macro_export]
macro_rules! job_store_conformance {
    (@ [$mode:tt] $fresh:expr, $reopen:expr) => {
        $crate::conformance_tests! { [$mode] job_store, $fresh;
            a_due_job_is_claimed_as_it_was_put
            a_job_is_not_claimed_before_it_is_due
            the_earlier_due_time_stands
            the_earliest_is_claimed_first
            a_finished_job_is_gone_or_due_again
            a_job_put_while_claimed_runs_once_more
            an_expired_claim_is_claimed_again_with_a_higher_fence
            fences_rise_after_a_job_was_gone
            an_extended_claim_stays_ours
            a_cancelled_job_does_not_run
            cancelling_a_claimed_job_stops_what_would_follow
            tenants_are_walls
            the_next_due_time_is_told
            putting_inside_a_transaction_is_refused
        }
        $crate::conformance_tests! { [$mode] job_store, $fresh, $reopen;
            each_job_is_claimed_once_by_racing_claimers
        }
        $crate::conformance_tests! { [$mode] reopening job_store, $fresh, $reopen;
            jobs_survive_reopening
        }
    };
    (optional $fresh:expr, $reopen:expr) => {
        $crate::job_store_conformance!(@ [optional] $fresh, $reopen);
    };
    ($fresh:expr, $reopen:expr) => {
        $crate::job_store_conformance!(@ [always] $fresh, $reopen);
    };
}

/// Tests of a [`Scheduler`](crate::sync::Scheduler): `fresh` makes an idle [`SchedulerFixture`](crate::conformance::scheduler::SchedulerFixture).
#[macro_export]
macro_rules! scheduler_conformance {
    ($fresh:expr) => {
        $crate::conformance_tests! { scheduler, $fresh;
            a_due_job_is_run
            a_job_is_not_run_before_it_is_due
            one_key_has_one_pending_job
            the_earlier_due_time_stands
            a_cancelled_job_is_not_run
            keys_are_independent
        }
    };
}

/// Tests of a [`Sink`](crate::activity::Sink): `fresh` makes a [`SinkFixture`](crate::conformance::sink::SinkFixture) with
/// an empty store and nothing to show.
#[macro_export]
macro_rules! sink_conformance {
    ($fresh:expr) => {
        $crate::conformance_tests! { sink, $fresh;
            effects_are_shown_with_the_commit
            effects_are_rolled_back_with_the_transaction
            a_refused_commit_leaves_no_effect
            a_batch_applied_again_after_a_rollback_counts_once
            an_upsert_replaces
            removing_takes_one_away
            removing_what_is_unknown_is_fine
            an_empty_batch_is_fine
            many_changes_in_one_batch_all_arrive
            sequence_numbers_are_kept
            tenants_are_walls
        }
    };
}

/// Tests of an [`EmailProvider`](crate::email::EmailProvider): `fresh` makes a
/// [`MailboxFixture`](crate::conformance::email_provider::MailboxFixture) on an empty mailbox.
#[macro_export]
macro_rules! email_provider_conformance {
    ($fresh:expr) => {
        $crate::conformance_tests! { email_provider, $fresh;
            search_pages_through_every_match_once
            an_empty_mailbox_has_nothing_to_find
            a_page_token_can_be_used_again
            a_token_that_is_none_is_refused
            search_filters_by_time
            search_filters_by_participant
            search_filters_by_message_id
            search_filters_by_folder
            search_finds_words
            junk_and_trash_are_left_out_unless_asked_for
            conditions_of_a_search_apply_together
            a_fetch_answers_every_id_once
            an_unknown_id_is_gone
            headers_come_without_content
            attachments_stream_with_the_right_bytes
            part_ids_are_stable
            the_raw_text_is_what_was_delivered
            a_message_is_what_its_raw_text_says
            a_message_tells_where_it_lies
            a_snapshot_lists_every_message_once
            a_snapshot_keeps_to_its_window
            what_arrives_after_the_head_was_taken_is_reported
            no_arrival_is_lost_over_a_pages_border
            a_walk_goes_on_from_any_stored_cursor
            marks_are_reported
            removals_are_reported_and_proved
            a_message_that_moved_is_not_called_gone
            a_cursor_whose_history_is_gone_is_refused
            a_cursor_of_other_parameters_is_refused
            a_broken_message_is_reported_and_the_rest_goes_on
            a_message_that_is_refused_for_good_keeps_no_other_away
            the_feed_fetches_every_key_once
            revisions_never_go_back
            an_idle_poll_costs_one_call_a_partition
            a_throttled_call_succeeds_later
            what_is_sent_lies_in_the_sent_folder
            sent_mail_is_found_by_its_key
            a_key_used_twice_finds_one_message
            a_reply_joins_its_conversation
            unsendable_mail_is_refused
            folders_are_listed
            a_message_is_moved_between_folders
            moving_what_is_not_there_is_refused
            a_draft_is_kept_and_not_sent
        }
    };
}
