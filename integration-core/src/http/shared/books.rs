//! What this process knows and has done: its line, its calls in flight, what it has yet to tell the others.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{
    grain,
    rows::{HolderRow, Pen},
};
use crate::{
    error::Result,
    http::{
        Priority,
        admission::{AdmissionKey, AdmissionRequest},
        damp::Damped,
        gate::{Gate, Holder, Needs, Place, Resource, Shelf, Signal},
    },
};

/// How long others' calls are assumed to take while they cannot be seen.
const UNSEEN: Duration = Duration::from_secs(10);
/// What was seen so long ago is forgotten.
const MEMORY: Duration = Duration::from_secs(600);

/// A call that is back and still counts.
#[derive(Clone, Debug)]
struct Back {
    resource: Resource,
    amount: u64,
    length: Duration,
    /// Counted in what we go by while the store is away.
    shown: bool,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    row: HolderRow,
}

#[derive(Debug)]
pub(super) struct Books {
    pub(super) gate: Gate,
    own: HashMap<Resource, u64>,
    back: Vec<Back>,
    /// Whose rows do not say yet what we know.
    dirty: HashSet<Holder>,
    blocks: HashMap<Holder, Instant>,
    damped: HashMap<Holder, Damped>,
    seen: HashMap<Holder, Seen>,
    /// When we last said what we have in flight.
    stamped: HashMap<Holder, Instant>,
}

/// Rows to write, and what was taken into account for them.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) rows: Vec<(Holder, HolderRow)>,
    /// When somebody who waits may fit.
    pub(super) wake: Option<Instant>,
    chosen: Vec<Needs>,
    back: Vec<Back>,
    dirty: HashSet<Holder>,
}

pub(super) fn holder_of(resource: &Resource) -> &Holder {
    match resource {
        Resource::Window(holder, ..) | Resource::Slots(holder) => holder,
    }
}

/// What a call takes of each resource.
fn amounts(needs: &Needs) -> impl Iterator<Item = (&Resource, u64)> {
    let windows = needs.windows.iter().map(|(resource, demand)| (resource, demand.amount));
    windows.chain(needs.slots.iter().map(|(resource, slots, _)| (resource, u64::from(*slots))))
}

fn take(own: &mut HashMap<Resource, u64>, needs: &Needs) {
    for (resource, amount) in amounts(needs) {
        *own.entry(resource.clone()).or_default() += amount;
    }
}

impl Books {
    pub(super) fn new() -> Self {
        Self {
            gate: Gate::shared(),
            own: HashMap::new(),
            back: Vec::new(),
            dirty: HashSet::new(),
            blocks: HashMap::new(),
            damped: HashMap::new(),
            seen: HashMap::new(),
            stamped: HashMap::new(),
        }
    }

    /// Whose rows to read: somebody waits for them, or they have to be told something.
    pub(super) fn wanted(&mut self, dead_after: Duration, now: Instant) -> HashSet<Holder> {
        for holder in self.own.keys().map(holder_of) {
            let due = |at: &Instant| now.saturating_duration_since(*at) >= dead_after / 3;
            if self.stamped.get(holder).is_none_or(due) {
                self.dirty.insert(holder.clone());
            }
        }
        let mut wanted = self.gate.wanted();
        wanted.extend(self.dirty.iter().cloned());
        wanted
    }

    /// Is there something to go by for all of these?
    pub(super) fn has_seen(&self, wanted: &HashSet<Holder>) -> bool {
        wanted.iter().all(|holder| self.seen.contains_key(holder))
    }

    /// Does something have to be told?
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Is a call in flight?
    pub(super) fn is_busy(&self) -> bool {
        !self.own.is_empty()
    }

    /// Joins the line. That a person waits is told even if it has to wait: the others keep room then.
    pub(super) fn join(&mut self, request: AdmissionRequest, now: Instant) -> Result<(Place, watch::Receiver<Signal>)> {
        if request.priority == Priority::Interactive {
            let table = self.gate.table(&request.key.app).map_or_else(String::new, |table| table.name.clone());
            self.dirty.extend(Holder::all(&request.key, &table));
        }
        self.gate.join(request, now)
    }

    /// The service complained; calls that were under way together are refused together, in whichever process.
    pub(super) fn complain(&mut self, holder: Holder, cap: Option<u32>, until: Instant, pen: Option<&Pen>) {
        let now = Instant::now();
        let row =
            self.seen.get(&holder).zip(pen).map(|(seen, pen)| (seen.row.blocked_until(pen), seen.row.damped(pen)));
        let (blocked, damped) = row.unwrap_or_default();
        let blocked = blocked.max(self.blocks.get(&holder).copied()).is_some_and(|until| until > now);
        if let Some(cap) = cap.filter(|_| !blocked) {
            let own = self.damped.get(&holder).copied();
            let known = damped.map(|damped| damped.with(own, now)).or(own);
            self.damped.insert(holder.clone(), Damped::after(known, cap, until, now));
        }
        self.block(holder, until);
    }

    fn block(&mut self, holder: Holder, until: Instant) {
        let known = self.blocks.entry(holder.clone()).or_insert(until);
        *known = (*known).max(until);
        self.dirty.insert(holder);
    }

    /// A call is back.
    pub(super) fn sent(&mut self, needs: &Needs) {
        self.unsent(needs);
        let back = needs.windows.iter().map(|(resource, demand)| Back {
            resource: resource.clone(),
            amount: demand.amount,
            length: demand.length,
            shown: false,
        });
        self.back.extend(back);
    }

    /// A call was admitted, but never sent.
    pub(super) fn unsent(&mut self, needs: &Needs) {
        for (resource, amount) in amounts(needs) {
            self.dirty.insert(holder_of(resource).clone());
            if let Some(own) = self.own.get_mut(resource) {
                *own = own.saturating_sub(amount);
                if *own == 0 {
                    self.own.remove(resource);
                }
            }
        }
    }

    /// Decides by these rows, and says what to write. To be followed by [`Books::accept`] or [`Books::withdraw`].
    pub(super) fn propose(&mut self, rows: HashMap<Holder, HolderRow>, margin: Duration, pen: &Pen) -> Proposal {
        let (back, later) = self.back.drain(..).partition(|back| rows.contains_key(holder_of(&back.resource)));
        self.back = later;
        let dirty: HashSet<Holder> = self.dirty.drain().collect();
        let mut shelf = self.shelf(rows.iter(), pen);
        for back in &back {
            count(&mut shelf, back, pen.now + back.length + margin, pen.now);
        }
        let (chosen, wake) = self.gate.decide(&mut shelf, 1, pen.now);
        let mut own = self.own.clone();
        chosen.iter().for_each(|needs| take(&mut own, needs));
        let taken: HashSet<&Holder> =
            chosen.iter().flat_map(amounts).map(|(resource, _)| holder_of(resource)).collect();
        let written = rows.into_iter().filter(|(holder, _)| dirty.contains(holder) || taken.contains(holder));
        let written = written.map(|(holder, mut row)| {
            row.off(&mut shelf, &holder, &own, pen);
            (holder, row)
        });
        Proposal { rows: written.collect(), wake, chosen: chosen.clone(), back, dirty }
    }

    fn shelf<'a>(&self, rows: impl Iterator<Item = (&'a Holder, &'a HolderRow)>, pen: &Pen) -> Shelf {
        let mut shelf = Shelf::default();
        for (holder, row) in rows {
            row.onto(&mut shelf, holder, &self.own, pen);
            if let Some(until) = self.blocks.get(holder) {
                let known = shelf.blocks.entry(holder.clone()).or_insert(*until);
                *known = (*known).max(*until);
            }
            if let Some(damped) = self.damped.get(holder) {
                let damped = damped.with(shelf.damped.get(holder).copied(), pen.now);
                shelf.damped.insert(holder.clone(), damped);
            }
        }
        shelf
    }

    /// The store has it.
    pub(super) fn accept(&mut self, proposal: Proposal, now: Instant) {
        proposal.chosen.iter().for_each(|needs| take(&mut self.own, needs));
        for (holder, row) in proposal.rows {
            self.stamped.insert(holder.clone(), now);
            self.seen.insert(holder, Seen { at: now, row });
        }
        for unwanted in self.gate.deliver() {
            self.unsent(&unwanted);
        }
        self.forget(now);
    }

    /// The store does not have it, as far as we know.
    pub(super) fn withdraw(&mut self, proposal: Proposal) {
        self.gate.withdraw();
        self.back.extend(proposal.back);
        self.dirty.extend(proposal.dirty);
        // Should it have it after all, the next writing says what is true of us.
        self.dirty.extend(proposal.rows.into_iter().map(|(holder, _)| holder));
    }

    /// Rows that were read and not written.
    pub(super) fn see(&mut self, rows: &HashMap<Holder, HolderRow>, now: Instant) {
        for (holder, row) in rows {
            self.seen.insert(holder.clone(), Seen { at: now, row: row.clone() });
        }
    }

    fn forget(&mut self, now: Instant) {
        let recent = |at: Instant| now.saturating_duration_since(at) < MEMORY;
        self.seen.retain(|_, seen| recent(seen.at));
        self.stamped.retain(|_, at| recent(*at));
        self.blocks.retain(|_, until| *until > now);
        self.damped.retain(|_, damped| damped.now(now) > 0);
    }

    /// Decides by what was last seen, as if all of `processes` did what we do.
    pub(super) fn go_alone(&mut self, processes: u64, pen: &Pen) -> Option<Instant> {
        let wanted = self.gate.wanted();
        let known: Vec<(Holder, HolderRow)> =
            wanted.iter().filter_map(|holder| Some((holder.clone(), self.seen.get(holder)?.row.clone()))).collect();
        let mut shelf = self.shelf(known.iter().map(|(holder, row)| (holder, row)), pen);
        for unknown in wanted.into_iter().filter(|holder| !self.seen.contains_key(holder)) {
            shelf.blocks.insert(unknown, pen.now + Duration::from_secs(1));
        }
        for back in self.back.iter_mut().filter(|back| !back.shown) {
            count(&mut shelf, back, pen.now + back.length, pen.now);
            back.shown = true;
        }
        let (chosen, wake) = self.gate.decide(&mut shelf, processes, pen.now);
        for needs in &chosen {
            take(&mut self.own, needs);
            self.dirty.extend(needs.holders.iter().cloned());
            for (resource, demand) in &needs.windows {
                let others = demand.amount.saturating_mul(processes.saturating_sub(1));
                let back = Back { resource: resource.clone(), amount: others, length: demand.length, shown: true };
                count(&mut shelf, &back, pen.now + demand.length + UNSEEN, pen.now);
            }
        }
        for (holder, mut row) in known {
            row.off(&mut shelf, &holder, &self.own, pen);
            if let Some(seen) = self.seen.get_mut(&holder) {
                seen.row = row;
            }
        }
        for unwanted in self.gate.deliver() {
            self.unsent(&unwanted);
        }
        wake
    }

    /// The fullest window of a key, and until when it is blocked, as last seen.
    pub(super) fn usage(
        &mut self,
        key: &AdmissionKey,
        holders: &[Holder],
        pen: &Pen,
    ) -> (Option<(u64, u64)>, Option<Instant>) {
        let rows: Vec<(&Holder, &HolderRow)> =
            holders.iter().filter_map(|holder| Some((holder, &self.seen.get(holder)?.row))).collect();
        let mut shelf = self.shelf(rows.into_iter(), pen);
        self.gate.with_shelf(&mut shelf, |gate| {
            (gate.fullest(key, pen.now), gate.blocked_until(holders.iter().cloned(), pen.now))
        })
    }
}

fn count(shelf: &mut Shelf, back: &Back, expires: Instant, now: Instant) {
    if back.amount > 0 {
        let ledger = shelf.ledgers.entry(back.resource.clone()).or_default();
        ledger.count(back.amount, expires, grain(back.length), now);
    }
}
