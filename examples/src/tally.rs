//! Counts what a run decides, and shows how far it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::IsTerminal,
    sync::Mutex,
};

use integration_core::{
    activity::Outcome,
    event::{Event, EventListener, Phase, Progress},
    ids::{ConnectionId, TenantId},
};

/// What this run decided: the last word on each message counts.
#[derive(Debug, Default)]
pub struct Tally {
    quiet: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    outcomes: BTreeMap<String, Option<Outcome>>,
    quarantined: BTreeSet<String>,
    printed: Option<Progress>,
}

/// A run in numbers: messages = activities + skipped + quarantined.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Messages decided in this run.
    pub messages: usize,
    /// Those on the timeline.
    pub activities: usize,
    /// Those that are not, by reason.
    pub skipped: BTreeMap<&'static str, usize>,
    /// Those that could not be understood.
    pub quarantined: usize,
    /// Those on the timeline, by id.
    pub logged: BTreeSet<String>,
}

impl Tally {
    /// A tally that prints no progress if `quiet`.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        Self { quiet, state: Mutex::default() }
    }

    /// The numbers so far.
    ///
    /// # Panics
    /// If another thread panicked while counting.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let state = self.state.lock().expect("counting does not panic");
        let mut counts = Counts { quarantined: state.quarantined.len(), ..Counts::default() };
        for (message, outcome) in &state.outcomes {
            match outcome {
                Some(Outcome::Logged { .. }) => {
                    counts.activities += 1;
                    counts.logged.insert(message.clone());
                }
                Some(Outcome::Skipped { reason }) => *counts.skipped.entry(reason.as_str()).or_default() += 1,
                None => {}
            }
        }
        counts.messages = counts.activities + counts.skipped.values().sum::<usize>() + counts.quarantined;
        counts
    }

    fn show(&self, state: &mut State, progress: Progress) {
        if self.quiet || state.printed == Some(progress) {
            return;
        }
        state.printed = Some(progress);
        let phase = match progress.phase {
            Phase::Listing => "listing",
            Phase::Fetching => "fetching",
            _ => "up to date",
        };
        let (done, waiting) = (progress.settled, progress.pending);
        if std::io::stderr().is_terminal() {
            let width = 30;
            // Never full while anything is still waiting to be listed or fetched.
            let filled = done * width / (done + waiting).max(1);
            let bar: String = (0..width).map(|at| if at < filled { '█' } else { '░' }).collect();
            eprint!("\r\x1b[2K{bar} {done} done, {waiting} waiting ({phase})");
        } else {
            eprintln!("{phase}: {done} done, {waiting} waiting");
        }
    }
}

impl EventListener for Tally {
    fn on_event(&self, _tenant: &TenantId, _connection: &ConnectionId, event: &Event) {
        let mut state = self.state.lock().expect("counting does not panic");
        match event {
            Event::Decided(decided) => {
                for (message, outcome) in decided {
                    state.quarantined.remove(message);
                    state.outcomes.insert(message.clone(), outcome.clone());
                }
            }
            Event::Quarantined { key: Some(key), .. } => {
                state.outcomes.remove(key);
                state.quarantined.insert(key.clone());
            }
            Event::Progress(progress) => self.show(&mut state, *progress),
            _ => {}
        }
    }
}
