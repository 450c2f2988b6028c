//! Who goes next: ledgers, slots, blocks and the waiting line of the bundled admission.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{
    admission::{AdmissionKey, AdmissionRequest},
    call::Priority,
    damp::Damped,
    ledger::{Demand, Fit, Ledger},
    quota::{QuotaScope, QuotaTable, QuotaUnit},
};
use crate::{
    error::{Error, ErrorKind, Result},
    ids::AppId,
};

/// How often idle ledgers are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Whose ledger.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Holder {
    App(AppId),
    /// The table's name stands for the service: two services may give accounts the same id.
    Account(String, String),
    AppAndAccount(AppId, String),
    /// A grant whose account is not known yet stands in for it.
    Unknown(AppId, String),
    Grant(AppId, String),
}

impl Holder {
    pub(super) fn of(key: &AdmissionKey, scope: QuotaScope, table: &str) -> Option<Self> {
        let app = || key.app.clone();
        let unknown = || key.grant.clone().map(|grant| Self::Unknown(app(), grant));
        match scope {
            QuotaScope::App => Some(Self::App(app())),
            QuotaScope::Account => {
                key.account.clone().map(|account| Self::Account(table.to_owned(), account)).or_else(unknown)
            }
            QuotaScope::AppAndAccount => {
                key.account.clone().map(|account| Self::AppAndAccount(app(), account)).or_else(unknown)
            }
            QuotaScope::Grant => key.grant.clone().map(|grant| Self::Grant(app(), grant)),
        }
    }

    pub(super) fn all(key: &AdmissionKey, table: &str) -> impl Iterator<Item = Self> {
        let scopes = [QuotaScope::App, QuotaScope::Account, QuotaScope::AppAndAccount, QuotaScope::Grant];
        scopes.into_iter().filter_map(|scope| Self::of(key, scope, table))
    }
}

/// One thing a call needs a share of.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Resource {
    Window(Holder, QuotaUnit, Duration),
    Slots(Holder),
}

/// All that a request needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    pub(super) windows: Vec<(Resource, Demand)>,
    pub(super) slots: Option<(Resource, u32, u32)>,
    pub(super) holders: Vec<Holder>,
}

impl Needs {
    fn of(request: &AdmissionRequest, table: &QuotaTable) -> Result<Self> {
        let (key, cost) = (&request.key, request.cost);
        let mut needs = Self { holders: Holder::all(key, &table.name).collect(), ..Self::default() };
        for window in &table.windows {
            let Some(holder) = Holder::of(key, window.scope, &table.name) else { continue };
            let amount = match window.unit {
                QuotaUnit::Calls => u64::from(cost.calls),
                QuotaUnit::Units => u64::from(cost.units),
                // What carries nothing keeps no books of it.
                QuotaUnit::UploadedBytes if cost.uploaded == 0 => continue,
                QuotaUnit::UploadedBytes => cost.uploaded,
            };
            if amount > window.limit {
                return Err(never_fits(format!("{amount} where {} fit into a window", window.limit)));
            }
            let percent = u64::from(table.background_percent.clamp(1, 100));
            let background_limit = (u128::from(window.limit) * u128::from(percent) / 100) as u64;
            let pace = (request.priority == Priority::Background)
                .then(|| pace_of(amount, window.length, window.limit, percent));
            let demand = Demand { amount, limit: window.limit, length: window.length, background_limit, pace };
            needs.add(Resource::Window(holder, window.unit, window.length), demand);
        }
        if let Some(cap) = table.concurrency {
            if cost.slots > cap {
                return Err(never_fits(format!("{} calls at once where {cap} are allowed", cost.slots)));
            }
            let holder = Holder::of(key, QuotaScope::AppAndAccount, &table.name);
            let holder = holder.unwrap_or_else(|| Holder::App(key.app.clone()));
            needs.slots = Some((Resource::Slots(holder), cost.slots, cap));
        }
        Ok(needs)
    }

    /// As if it were so many calls: what other processes may do at the same time.
    fn times(&self, times: u64) -> Self {
        let mut many = self.clone();
        for (_, demand) in many.windows.iter_mut().filter(|_| times > 1) {
            demand.amount = demand.amount.saturating_mul(times);
            let factor = u32::try_from(times).unwrap_or(u32::MAX);
            demand.pace = demand.pace.map(|pace| pace.saturating_mul(factor));
        }
        many
    }

    /// Two windows of the same length for the same holder are one: the narrower.
    fn add(&mut self, resource: Resource, demand: Demand) {
        match self.windows.iter_mut().find(|(known, _)| *known == resource) {
            Some((_, known)) if known.limit <= demand.limit => {}
            Some((_, known)) => *known = demand,
            None => self.windows.push((resource, demand)),
        }
    }
}

fn never_fits(what: String) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the call can never fit its quota: {what}; split it"))
}

/// The time `amount` takes when `percent` of `limit` per `length` is spread evenly.
fn pace_of(amount: u64, length: Duration, limit: u64, percent: u64) -> Duration {
    let nanos = u128::from(amount) * length.as_nanos() * 100 / (u128::from(limit.max(1)) * u128::from(percent));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What a waiting call is told.
#[derive(Debug)]
pub(super) enum Signal {
    /// Nothing yet; look again at this instant, or wait for the next signal.
    Waiting(Option<Instant>),
    Admitted(Needs),
    /// It can never go; why.
    Refused(String),
}

#[derive(Debug)]
struct Waiter {
    request: AdmissionRequest,
    needs: Needs,
    signal: watch::Sender<Signal>,
}

/// Whose books these are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Keeping {
    /// Ours alone: whoever fits goes at once.
    #[default]
    Alone,
    /// Shared with other processes: who fits is told only once the shared books say so too.
    Shared,
}

/// What the books say of the resources of some holders.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) ledgers: HashMap<Resource, Ledger>,
    pub(super) slots: HashMap<Resource, u32>,
    pub(super) blocks: HashMap<Holder, Instant>,
    pub(super) damped: HashMap<Holder, Damped>,
}

/// A place in the waiting line: priority first, then order of arrival.
pub(super) type Place = (Priority, u64);

#[derive(Debug, Default)]
struct Lane {
    table: Option<QuotaTable>,
    waiting: BTreeMap<Place, Waiter>,
}

/// Everything behind the gate's lock.
#[derive(Debug, Default)]
pub(super) struct Gate {
    lanes: HashMap<AppId, Lane>,
    ledgers: HashMap<Resource, Ledger>,
    slots: HashMap<Resource, u32>,
    blocks: HashMap<Holder, Instant>,
    damped: HashMap<Holder, Damped>,
    arrivals: u64,
    sweep_at: Option<Instant>,
    keeping: Keeping,
    /// Who fits, while the shared books have not said so yet.
    chosen: BTreeMap<Place, Chosen>,
}

#[derive(Debug)]
struct Chosen {
    app: AppId,
    waiter: Waiter,
    /// Whoever asked went meanwhile.
    left: bool,
}

impl Gate {
    /// A gate whose books are shared: [`Gate::decide`] and [`Gate::deliver`] take the place of the pump.
    pub(super) fn shared() -> Self {
        Self { keeping: Keeping::Shared, ..Self::default() }
    }

    /// Who waits needs something of these.
    pub(super) fn wanted(&self) -> HashSet<Holder> {
        let waiting = self.lanes.values().flat_map(|lane| lane.waiting.values());
        waiting.flat_map(|waiter| waiter.needs.holders.iter().cloned()).collect()
    }

    /// Is somebody waiting?
    pub(super) fn is_wanted(&self) -> bool {
        self.lanes.values().any(|lane| !lane.waiting.is_empty())
    }

    /// Chooses who goes by these books, and writes them in; each counts `times` over. The chosen are not told yet.
    pub(super) fn decide(&mut self, shelf: &mut Shelf, times: u64, now: Instant) -> (Vec<Needs>, Option<Instant>) {
        self.swap(shelf);
        let (mut needs, mut wake) = (Vec::new(), None::<Instant>);
        for app in self.lanes.keys().cloned().collect::<Vec<_>>() {
            let Some(mut waiting) = self.lanes.get_mut(&app).map(|lane| std::mem::take(&mut lane.waiting)) else {
                continue;
            };
            self.expect(&waiting, now);
            let mut kept = HashSet::new();
            for (place, waiter) in std::mem::take(&mut waiting) {
                let multiplied = waiter.needs.times(times);
                match self.look(&multiplied, &mut kept, now) {
                    Ok(()) => {
                        self.admit(&multiplied, now);
                        needs.push(waiter.needs.clone());
                        self.chosen.insert(place, Chosen { app: app.clone(), waiter, left: false });
                    }
                    Err(at) => {
                        wake = at.map(|at| wake.map_or(at, |wake| wake.min(at))).or(wake);
                        waiting.insert(place, waiter);
                    }
                }
            }
            if let Some(lane) = self.lanes.get_mut(&app) {
                lane.waiting = waiting;
            }
        }
        self.swap(shelf);
        (needs, wake)
    }

    fn expect(&mut self, waiting: &BTreeMap<Place, Waiter>, now: Instant) {
        for waiter in waiting.values().filter(|waiter| waiter.request.priority == Priority::Interactive) {
            for (resource, demand) in &waiter.needs.windows {
                self.ledgers.entry(resource.clone()).or_default().expect_interactive(now, demand.length);
            }
        }
    }

    /// Looks at these books as if they were our own.
    pub(super) fn with_shelf<T>(&mut self, shelf: &mut Shelf, look: impl FnOnce(&mut Self) -> T) -> T {
        self.swap(shelf);
        let seen = look(self);
        self.swap(shelf);
        seen
    }

    fn swap(&mut self, shelf: &mut Shelf) {
        std::mem::swap(&mut self.ledgers, &mut shelf.ledgers);
        std::mem::swap(&mut self.slots, &mut shelf.slots);
        std::mem::swap(&mut self.blocks, &mut shelf.blocks);
        std::mem::swap(&mut self.damped, &mut shelf.damped);
    }

    /// The shared books have it: tells the chosen; what is returned is not wanted any more.
    pub(super) fn deliver(&mut self) -> Vec<Needs> {
        let mut unwanted = Vec::new();
        for Chosen { waiter, left, .. } in std::mem::take(&mut self.chosen).into_values() {
            if left {
                unwanted.push(waiter.needs);
            } else {
                waiter.signal.send_replace(Signal::Admitted(waiter.needs.clone()));
            }
        }
        unwanted
    }

    /// The shared books said no: the chosen go on waiting, in their places.
    pub(super) fn withdraw(&mut self) {
        for (place, chosen) in std::mem::take(&mut self.chosen) {
            if !chosen.left {
                self.lanes.entry(chosen.app).or_default().waiting.insert(place, chosen.waiter);
            }
        }
    }

    pub(super) fn table(&self, app: &AppId) -> Option<&QuotaTable> {
        self.lanes.get(app)?.table.as_ref()
    }

    /// Replaces an app's table; what counted goes on counting, whoever waits is measured anew.
    pub(super) fn set_table(&mut self, app: AppId, table: QuotaTable, now: Instant) {
        let lane = self.lanes.entry(app.clone()).or_default();
        lane.waiting.retain(|_, waiter| match Needs::of(&waiter.request, &table) {
            Ok(needs) => {
                waiter.needs = needs;
                true
            }
            Err(error) => {
                waiter.signal.send_replace(Signal::Refused(error.message().to_owned()));
                false
            }
        });
        lane.table = Some(table);
        self.pump(&app, now);
    }

    /// Joins the line, and goes through at once if nobody is in the way.
    pub(super) fn join(&mut self, request: AdmissionRequest, now: Instant) -> Result<(Place, watch::Receiver<Signal>)> {
        self.sweep(now);
        let app = request.key.app.clone();
        let lane = self.lanes.entry(app.clone()).or_default();
        let needs = match &lane.table {
            Some(table) => Needs::of(&request, table)?,
            None => Needs { holders: Holder::all(&request.key, "").collect(), ..Needs::default() },
        };
        if self.keeping == Keeping::Alone && request.priority == Priority::Interactive {
            for (resource, demand) in &needs.windows {
                self.ledgers.entry(resource.clone()).or_default().expect_interactive(now, demand.length);
            }
        }
        self.arrivals += 1;
        let place = (request.priority, self.arrivals);
        let (signal, receiver) = watch::channel(Signal::Waiting(None));
        lane.waiting.insert(place, Waiter { request, needs, signal });
        self.pump(&app, now);
        Ok((place, receiver))
    }

    /// Leaves the line; true if it was still in it.
    pub(super) fn leave(&mut self, app: &AppId, place: Place, now: Instant) -> bool {
        let was_waiting = self.lanes.get_mut(app).is_some_and(|lane| lane.waiting.remove(&place).is_some());
        let chosen = self.chosen.get_mut(&place).map(|chosen| chosen.left = true).is_some();
        let was_waiting = was_waiting || chosen;
        if was_waiting {
            self.pump(app, now);
        }
        was_waiting
    }

    /// An admitted call is back (`sent`), or was never sent.
    pub(super) fn release(&mut self, app: &AppId, needs: &Needs, sent: bool, now: Instant) {
        for (resource, demand) in &needs.windows {
            let Some(ledger) = self.ledgers.get_mut(resource) else { continue };
            if sent {
                ledger.settle(demand, now);
            } else {
                ledger.refund(demand);
            }
        }
        if let Some((resource, slots, _)) = &needs.slots
            && let Some(taken) = self.slots.get_mut(resource)
        {
            *taken = taken.saturating_sub(*slots);
            if *taken == 0 {
                self.slots.remove(resource);
            }
        }
        self.pump(app, now);
    }

    /// The service complained: nobody goes before `until`, and fewer at once behind it. Calls that were under way together
    /// are refused together: that is one complaint.
    pub(super) fn complain(&mut self, holder: Holder, cap: Option<u32>, until: Instant, now: Instant) {
        let blocked = self.blocked_until(std::iter::once(holder.clone()), now).is_some();
        if let Some(cap) = cap.filter(|_| !blocked) {
            let damped = Damped::after(self.damped.get(&holder).copied(), cap, until, now);
            self.damped.insert(holder.clone(), damped);
        }
        let known = self.blocks.entry(holder).or_insert(until);
        *known = (*known).max(until);
    }

    pub(super) fn blocked_until(&self, holders: impl Iterator<Item = Holder>, now: Instant) -> Option<Instant> {
        holders.filter_map(|holder| self.blocks.get(&holder).copied()).filter(|until| *until > now).max()
    }

    /// The fullest window of a key: (used, limit).
    pub(super) fn fullest(&mut self, key: &AdmissionKey, now: Instant) -> Option<(u64, u64)> {
        let table = self.table(&key.app)?.clone();
        let mut fullest: Option<(u64, u64)> = None;
        for window in &table.windows {
            let Some(holder) = Holder::of(key, window.scope, &table.name) else { continue };
            let resource = Resource::Window(holder, window.unit, window.length);
            let used = self.ledgers.get_mut(&resource).map_or(0, |ledger| ledger.used(now));
            let fuller = |(other, limit): (u64, u64)| {
                u128::from(used) * u128::from(limit) > u128::from(other) * u128::from(window.limit)
            };
            if fullest.is_none_or(fuller) {
                fullest = Some((used, window.limit));
            }
        }
        fullest
    }

    /// Lets through whoever may go, in order. Apps that share accounts' ledgers are looked at together.
    pub(super) fn pump(&mut self, app: &AppId, now: Instant) {
        if self.keeping == Keeping::Shared {
            return;
        }
        let shared = |table: &QuotaTable| table.windows.iter().any(|window| window.scope == QuotaScope::Account);
        if !self.table(app).is_some_and(shared) {
            return self.pump_lane(app, now);
        }
        let sharing = self.lanes.iter().filter(|(_, lane)| lane.table.as_ref().is_some_and(shared));
        let sharing: Vec<AppId> = sharing.map(|(app, _)| app.clone()).collect();
        for app in sharing {
            self.pump_lane(&app, now);
        }
    }

    fn pump_lane(&mut self, app: &AppId, now: Instant) {
        let Some(mut waiting) = self.lanes.get_mut(app).map(|lane| std::mem::take(&mut lane.waiting)) else { return };
        // What a waiter in front lacks is kept for it: nobody behind it overtakes, so heavy calls do not starve.
        let mut kept = HashSet::new();
        waiting.retain(|_, waiter| match self.look(&waiter.needs, &mut kept, now) {
            Ok(()) => {
                self.admit(&waiter.needs, now);
                waiter.signal.send_replace(Signal::Admitted(waiter.needs.clone()));
                false
            }
            Err(wake) => {
                waiter.signal.send_if_modified(|signal| {
                    let same = matches!(signal, Signal::Waiting(known) if *known == wake);
                    *signal = Signal::Waiting(wake);
                    !same
                });
                true
            }
        });
        if let Some(lane) = self.lanes.get_mut(app) {
            lane.waiting = waiting;
        }
    }

    /// May it go? If not, when to look again: `None` leaves that to whoever is in front or in flight.
    fn look(&mut self, needs: &Needs, kept: &mut HashSet<Resource>, now: Instant) -> Result<(), Option<Instant>> {
        if let Some(until) = self.blocked_until(needs.holders.iter().cloned(), now) {
            return Err(Some(until));
        }
        let (mut free, mut wake) = (true, None::<Instant>);
        for (resource, demand) in &needs.windows {
            if kept.contains(resource) {
                free = false;
                continue;
            }
            let Some(ledger) = self.ledgers.get_mut(resource) else { continue };
            match ledger.fit(demand, now) {
                Fit::Now => continue,
                Fit::At(at) => wake = Some(wake.map_or(at, |wake| wake.min(at))),
                Fit::AfterRelease => {}
            }
            free = false;
            kept.insert(resource.clone());
        }
        if let Some((resource, slots, cap)) = &needs.slots {
            let taken = self.slots.get(resource).copied().unwrap_or(0);
            if kept.contains(resource) {
                free = false;
            // Whoever asks for more than a lowered cap goes alone.
            } else if taken > 0 && taken + slots > self.lowered(resource, *cap, now) {
                free = false;
                kept.insert(resource.clone());
            }
        }
        if free { Ok(()) } else { Err(wake) }
    }

    fn lowered(&self, resource: &Resource, cap: u32, now: Instant) -> u32 {
        let Resource::Slots(holder) = resource else { return cap };
        self.damped.get(holder).map_or(cap, |damped| cap.saturating_sub(damped.now(now)).max(1))
    }

    fn admit(&mut self, needs: &Needs, now: Instant) {
        for (resource, demand) in &needs.windows {
            self.ledgers.entry(resource.clone()).or_default().admit(demand, now);
        }
        if let Some((resource, slots, _)) = &needs.slots {
            *self.slots.entry(resource.clone()).or_default() += slots;
        }
    }

    /// Forgets what no longer matters, so that accounts that went quiet cost nothing.
    fn sweep(&mut self, now: Instant) {
        if self.sweep_at.is_some_and(|at| at > now) {
            return;
        }
        self.sweep_at = Some(now + SWEEP_EVERY);
        self.ledgers.retain(|_, ledger| !ledger.is_idle(now));
        self.blocks.retain(|_, until| *until > now);
        self.damped.retain(|_, damped| damped.now(now) > 0);
        self.ledgers.shrink_to_fit();
        self.lanes.retain(|_, lane| lane.table.is_some() || !lane.waiting.is_empty());
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.ledgers.len() + self.slots.len() + self.blocks.len() + self.damped.len()
    }

    #[cfg(test)]
    pub(super) fn longest_ledger(&self) -> usize {
        self.ledgers.values().map(Ledger::entries).max().unwrap_or(0)
    }
}
