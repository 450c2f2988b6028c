//! Counts what a run decides, and shows how far it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::IsTerminal,
    sync::Mutex,
    time::{Duration, Instant},
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
    /// Entries of which not even the key was understood.
    nameless: usize,
    shown: Option<(Phase, Instant)>,
}

impl State {
    fn quarantined(&self) -> usize {
        self.quarantined.len() + self.nameless
    }
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
    /// Those that are gone at the service; not among the messages.
    pub gone: usize,
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
        let mut counts = Counts { quarantined: state.quarantined(), ..Counts::default() };
        for (message, outcome) in &state.outcomes {
            match outcome {
                Some(Outcome::Logged { .. }) => {
                    counts.activities += 1;
                    counts.logged.insert(message.clone());
                }
                Some(Outcome::Skipped { reason }) => *counts.skipped.entry(reason.as_str()).or_default() += 1,
                None => counts.gone += 1,
            }
        }
        counts.messages = counts.activities + counts.skipped.values().sum::<usize>() + counts.quarantined;
        counts
    }

    /// Leaves the progress bar's line.
    ///
    /// # Panics
    /// If another thread panicked while counting.
    pub fn end(&self) {
        let shown = self.state.lock().expect("counting does not panic").shown.is_some();
        if shown && std::io::stderr().is_terminal() {
            eprintln!();
        }
    }

    fn show(&self, state: &mut State, progress: Progress) {
        let terminal = std::io::stderr().is_terminal();
        let pause = if terminal { Duration::from_millis(50) } else { Duration::from_secs(1) };
        let soon = |&(phase, at): &(Phase, Instant)| phase == progress.phase && at.elapsed() < pause;
        if self.quiet || state.shown.as_ref().is_some_and(soon) {
            return;
        }
        state.shown = Some((progress.phase, Instant::now()));
        let line = status(progress, state.outcomes.len() + state.quarantined());
        if terminal {
            eprint!("\r\x1b[2K{} {line}", bar(progress, state.outcomes.len() + state.quarantined()));
        } else {
            eprintln!("{line}");
        }
    }
}

/// What is happening, how much is done, how much is left, and how long that takes where it is known.
fn status(progress: Progress, done: usize) -> String {
    let phase = match progress.phase {
        Phase::Listing => "listing",
        Phase::Fetching => "fetching",
        _ => return format!("up to date: {done} done"),
    };
    let eta = progress.eta.filter(|eta| eta.as_secs() > 0);
    let eta = eta.map(|eta| format!(", about {} s left within the quota", eta.as_secs())).unwrap_or_default();
    format!("{phase}: {done} done, {} waiting{eta}", progress.pending)
}

/// Full only when everything is done: what is not listed yet is not known.
fn bar(progress: Progress, done: usize) -> String {
    const WIDTH: usize = 30;
    let waiting = usize::try_from(progress.pending).unwrap_or(usize::MAX);
    let filled = match progress.phase {
        Phase::UpToDate => WIDTH,
        _ => (done.saturating_mul(WIDTH) / done.saturating_add(waiting).max(1)).min(WIDTH - 1),
    };
    (0..WIDTH).map(|at| if at < filled { '█' } else { '░' }).collect()
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
            Event::Quarantined { key: None, .. } => state.nameless += 1,
            Event::Progress(progress) => self.show(&mut state, *progress),
            _ => {}
        }
    }
}
