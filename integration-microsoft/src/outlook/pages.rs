//! Pages no larger than the service bears: full pages of long messages end at its gateways at times.

use std::time::Duration;

use integration_core::{
    Error, Result,
    http::{Call, Response},
};

use super::Outlook;

/// No page is asked to be smaller.
const SMALLEST: u32 = 5;
/// How often a page is halved before it is given up; the next one begins there.
const MOST_HALVINGS: u32 = 3;
/// How often a further page may be too much: that is not held against the connection.
const FOLLOWED: u32 = 3;
/// A longer wait is the schedule's, not ours.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Asks for a page of at most `largest` entries; a gateway that gives up is asked for half as many, by the same link.
pub(super) async fn ask(
    outlook: &Outlook,
    largest: u32,
    call: impl Fn(u32) -> Result<Call> + Send + Sync,
) -> Result<Response> {
    let (known, session, root) = (&outlook.client.known, &outlook.session, &outlook.client.root);
    let clock = &session.parts().clock;
    let mut halvings = known.halvings(session, root, clock.now());
    let most = halvings + MOST_HALVINGS;
    loop {
        let size = (largest >> halvings.min(31)).max(SMALLEST.min(largest));
        let may_halve = halvings < most && size > SMALLEST;
        let one = call(size)?;
        let error = match session.send(if may_halve { one.with_attempts(1) } else { one }).await {
            Ok(response) => {
                known.bore(session, root, clock.now());
                return Ok(response);
            }
            Err(error) => error,
        };
        if !may_halve || !is_too_much(&error) {
            return Err(error);
        }
        tracing::debug!(size, error = %error, "the service did not bear a page");
        clock.sleep(pause(&error)).await;
        halvings += 1;
        known.halve(session, root, (halvings, clock.now()));
    }
}

/// A further page, by a link that cannot be asked for less: it says itself how many it has, and is followed as it came. Where
/// that is too much, whoever begins anew is given smaller pages from the first one on.
pub(super) async fn follow(outlook: &Outlook, call: Call) -> Result<Response> {
    let (known, session, root) = (&outlook.client.known, &outlook.session, &outlook.client.root);
    let error = match session.send(call.with_attempts(FOLLOWED)).await {
        Ok(response) => return Ok(response),
        Err(error) => error,
    };
    let now = session.parts().clock.now();
    let halvings = known.halvings(session, root, now);
    if is_too_much(&error) && halvings < MOST_HALVINGS {
        known.halve(session, root, (halvings + 1, now));
    }
    Err(error)
}

/// Did a gateway give up waiting for the service behind it, or we for both? Not where we did not ask at all.
pub(super) fn is_too_much(error: &Error) -> bool {
    error.was_given_up() && error.retry_after().is_none_or(|wait| wait <= LONGEST_WAIT)
}

/// How long to wait before less is asked for.
pub(super) fn pause(error: &Error) -> Duration {
    error.retry_after().unwrap_or(Duration::from_secs(1))
}
