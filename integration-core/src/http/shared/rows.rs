//! What the processes share of one holder's quota, as a row.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    error::Result,
    http::{
        QuotaUnit,
        damp::Damped,
        gate::{Holder, Resource, Shelf},
        ledger::{Kept, Ledger, Settled},
    },
    store::{Space, StateKey, StateRow},
    sync::rows::{decode, encode},
};

pub(super) const QUOTA: Space = "quota";

/// The store's clock as seen from this process: a machine whose wall clock is wrong counts rightly all the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreTime {
    pub(super) at: Instant,
    /// Milliseconds since 1970 at that instant.
    pub(super) millis: i64,
}

impl StoreTime {
    fn instant(self, millis: i64) -> Instant {
        let far = Duration::from_millis(millis.abs_diff(self.millis));
        let there = if millis >= self.millis { self.at.checked_add(far) } else { self.at.checked_sub(far) };
        there.unwrap_or(self.at)
    }

    pub(super) fn millis(self, instant: Instant) -> i64 {
        let forth = i64::try_from(instant.saturating_duration_since(self.at).as_millis()).unwrap_or(i64::MAX);
        let back = i64::try_from(self.at.saturating_duration_since(instant).as_millis()).unwrap_or(i64::MAX);
        self.millis.saturating_add(forth).saturating_sub(back)
    }
}

/// What one process has in flight, and when it last said so.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Held {
    amount: u64,
    stamp: i64,
}

type Holdings = BTreeMap<String, Held>;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct WindowRow {
    unit: QuotaUnit,
    length_ms: u64,
    /// When it opened, when it ends, how much: what is back and still counts.
    #[serde(default)]
    settled: Vec<(i64, i64, u64)>,
    #[serde(default)]
    paced_until: Option<i64>,
    #[serde(default)]
    reserve_until: Option<i64>,
    /// Per process.
    #[serde(default)]
    in_flight: Holdings,
}

/// All that is shared of one holder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct HolderRow {
    #[serde(default)]
    windows: Vec<WindowRow>,
    #[serde(default)]
    slots: Holdings,
    #[serde(default)]
    blocked_until: Option<i64>,
    /// By how many calls at once it stays below its cap, and from when on that grows back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    damped: Option<(u32, i64)>,
}

/// Who reads and writes rows, and when.
#[derive(Clone, Debug)]
pub(super) struct Pen {
    pub(super) process: String,
    pub(super) time: StoreTime,
    pub(super) now: Instant,
    /// A process that has not said for so long what it has in flight is gone.
    pub(super) dead_after: Duration,
}

impl Pen {
    fn now_millis(&self) -> i64 {
        self.time.millis(self.now)
    }

    fn alive(&self, held: &Held) -> bool {
        let dead_after = i64::try_from(self.dead_after.as_millis()).unwrap_or(i64::MAX);
        held.stamp.saturating_add(dead_after) > self.now_millis()
    }

    fn others(&self, holdings: &Holdings) -> u64 {
        let others = holdings.iter().filter(|(process, held)| **process != self.process && self.alive(held));
        others.map(|(_, held)| held.amount).sum()
    }

    /// What gone processes had in flight counts as if it had come back when they were taken for gone.
    fn count_gone(&self, holdings: &Holdings, ledger: &mut Ledger, length: Duration) {
        let gone = holdings.iter().filter(|(process, held)| **process != self.process && !self.alive(held));
        for (_, held) in gone {
            let expires = self.time.instant(held.stamp) + self.dead_after + length;
            if expires > self.now {
                ledger.count(held.amount, expires, super::grain(length), self.now);
            }
        }
    }

    /// Says anew what we have in flight, and forgets who is gone.
    fn hold(&self, holdings: &mut Holdings, own: u64) {
        holdings.retain(|process, held| *process == self.process || self.alive(held));
        if own == 0 {
            holdings.remove(&self.process);
        } else {
            holdings.insert(self.process.clone(), Held { amount: own, stamp: self.now_millis() });
        }
    }
}

/// The key of a holder's row. A digest: accounts are often addresses, and rows outlive their connections.
pub(super) fn key_of(holder: &Holder) -> StateKey {
    use sha2::Digest;
    let text = match holder {
        Holder::App(app) => StateKey::new(["app", app.as_str()]),
        Holder::Account(table, account) => StateKey::new(["account", table, account]),
        Holder::AppAndAccount(app, account) => StateKey::new(["app-and-account", app.as_str(), account]),
        Holder::Unknown(app, grant) => StateKey::new(["unknown", app.as_str(), grant]),
        Holder::Grant(app, grant) => StateKey::new(["grant", app.as_str(), grant]),
    };
    StateKey::new([hex::encode(&sha2::Sha256::digest(text.as_str())[..16])])
}

impl HolderRow {
    pub(super) fn read(row: &StateRow) -> Result<Self> {
        decode(QUOTA, &row.bytes)
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        encode(QUOTA, self)
    }

    /// Nothing in it counts any more.
    pub(super) fn is_idle(&self, pen: &Pen) -> bool {
        let now = pen.now_millis();
        let past = |until: Option<i64>| until.is_none_or(|until| until <= now);
        let idle = |window: &WindowRow| {
            window.settled.is_empty()
                && window.in_flight.is_empty()
                && past(window.paced_until)
                && past(window.reserve_until)
        };
        let damped = self.damped(pen).is_some_and(|damped| damped.now(pen.now) > 0);
        self.windows.iter().all(idle) && self.slots.is_empty() && past(self.blocked_until) && !damped
    }

    pub(super) fn blocked_until(&self, pen: &Pen) -> Option<Instant> {
        self.blocked_until.map(|until| pen.time.instant(until))
    }

    pub(super) fn damped(&self, pen: &Pen) -> Option<Damped> {
        self.damped.map(|(off, since)| Damped { off, since: pen.time.instant(since) })
    }

    /// Puts what it says onto the shelf, together with what we have in flight.
    pub(super) fn onto(&self, shelf: &mut Shelf, holder: &Holder, own: &HashMap<Resource, u64>, pen: &Pen) {
        for window in &self.windows {
            let resource = Resource::Window(holder.clone(), window.unit, Duration::from_millis(window.length_ms));
            let in_flight = pen.others(&window.in_flight) + own.get(&resource).copied().unwrap_or_default();
            let mut ledger = Ledger::restored(window.kept(pen), in_flight);
            // Before anything is decided by it: whoever takes them for gone must not take their place at once.
            pen.count_gone(&window.in_flight, &mut ledger, Duration::from_millis(window.length_ms));
            shelf.ledgers.insert(resource, ledger);
        }
        let resource = Resource::Slots(holder.clone());
        let taken = pen.others(&self.slots) + own.get(&resource).copied().unwrap_or_default();
        if taken > 0 {
            shelf.slots.insert(resource, u32::try_from(taken).unwrap_or(u32::MAX));
        }
        if let Some(until) = self.blocked_until(pen) {
            shelf.blocks.insert(holder.clone(), until);
        }
        if let Some(damped) = self.damped(pen) {
            shelf.damped.insert(holder.clone(), damped);
        }
    }

    /// Takes back from the shelf what was decided; `own` is what we have in flight now.
    pub(super) fn off(&mut self, shelf: &mut Shelf, holder: &Holder, own: &HashMap<Resource, u64>, pen: &Pen) {
        let mine = |resource: &Resource| own.get(resource).copied().unwrap_or_default();
        for (resource, ledger) in &mut shelf.ledgers {
            let Resource::Window(of, unit, length) = resource else { continue };
            if of == holder {
                self.window(*unit, *length).write(ledger, mine(resource), pen);
            }
        }
        let own = mine(&Resource::Slots(holder.clone()));
        pen.hold(&mut self.slots, own);
        let blocked = shelf.blocks.get(holder).filter(|until| **until > pen.now);
        self.blocked_until = blocked.map(|until| pen.time.millis(*until));
        let damped = shelf.damped.get(holder).filter(|damped| damped.now(pen.now) > 0);
        self.damped = damped.map(|damped| (damped.off, pen.time.millis(damped.since)));
    }

    fn window(&mut self, unit: QuotaUnit, length: Duration) -> &mut WindowRow {
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let known = self.windows.iter().position(|window| window.unit == unit && window.length_ms == length_ms);
        let index = known.unwrap_or_else(|| {
            let (settled, in_flight) = (Vec::new(), Holdings::new());
            self.windows.push(WindowRow {
                unit,
                length_ms,
                settled,
                paced_until: None,
                reserve_until: None,
                in_flight,
            });
            self.windows.len() - 1
        });
        &mut self.windows[index]
    }
}

impl WindowRow {
    fn kept(&self, pen: &Pen) -> Kept {
        let instant = |millis: i64| pen.time.instant(millis);
        let settled = self.settled.iter();
        let settled = settled.map(|(opened, expires, amount)| Settled {
            opened: instant(*opened),
            expires: instant(*expires),
            amount: *amount,
        });
        Kept {
            settled: settled.collect(),
            paced_until: self.paced_until.map(instant),
            reserve_until: self.reserve_until.map(instant),
        }
    }

    fn write(&mut self, ledger: &mut Ledger, own: u64, pen: &Pen) {
        pen.hold(&mut self.in_flight, own);
        let kept = ledger.keep(pen.now);
        let millis = |instant: Instant| pen.time.millis(instant);
        let settled = kept.settled.iter().map(|entry| (millis(entry.opened), millis(entry.expires), entry.amount));
        self.settled = settled.collect();
        let ahead = |until: Option<Instant>| until.filter(|until| *until > pen.now).map(millis);
        self.paced_until = ahead(kept.paced_until);
        self.reserve_until = ahead(kept.reserve_until);
    }
}
