//! Erasing somebody from what the host wanted done, and from what it told.

use super::{Erased, mention::Mentions};
use crate::{
    error::Result,
    hub::{
        Hub,
        read::decoded,
        signals::{SIGNALS, SignalRecord, SignalState},
    },
    ids::TenantId,
    outbox::{Intent, content_context, rows::spaces},
    store::{Expect, StateRow, StateWrite, read_one},
};

impl Hub {
    /// Finished intents to, from or about somebody go with their content; open ones stay and are counted.
    pub(super) async fn erase_intents(
        &self,
        tenant: &TenantId,
        mentions: &Mentions,
        erased: &mut Erased,
    ) -> Result<()> {
        let (mut open, mut gone) = (0, 0);
        for row in self.all(tenant, spaces::INTENTS, String::new(), Ok).await? {
            let intent: Intent = decoded(spaces::INTENTS, &row)?;
            if !self.intent_mentions(tenant, &row, &intent, mentions).await? {
                continue;
            }
            if !intent.state.is_finished() {
                open += 1;
                continue;
            }
            let gone_row = StateWrite::delete(tenant, spaces::INTENTS, row.key.clone());
            let body = StateWrite::delete(tenant, spaces::BODIES, row.key.clone());
            self.write(&[gone_row.expecting(Expect::Version(row.version)), body]).await?;
            gone += 1;
        }
        erased.count(spaces::INTENTS, gone);
        note_open(erased, open, "intents that are not finished");
        Ok(())
    }

    async fn intent_mentions(
        &self,
        tenant: &TenantId,
        row: &StateRow,
        intent: &Intent,
        mentions: &Mentions,
    ) -> Result<bool> {
        if names(row, mentions) {
            return Ok(true);
        }
        let body = read_one(&*self.0.stores.sync, tenant, spaces::BODIES, row.key.clone()).await?;
        let Some(body) = body else { return Ok(false) };
        let opened = self.0.sealer.open(&content_context(tenant, &intent.key), &body.bytes).await;
        // What cannot be opened any more cannot be looked into: it goes as well, once it is finished.
        Ok(opened.map_or(true, |content| mentions.in_bytes(content.expose())))
    }

    /// Signals about somebody go once everybody took them, or nobody will.
    pub(super) async fn erase_signals(
        &self,
        tenant: &TenantId,
        mentions: &Mentions,
        erased: &mut Erased,
    ) -> Result<()> {
        let (mut open, mut writes) = (0, Vec::new());
        for row in self.all(tenant, SIGNALS, String::new(), Ok).await? {
            if !names(&row, mentions) {
                continue;
            }
            let record: SignalRecord = decoded(SIGNALS, &row)?;
            if record.state == SignalState::Waiting {
                open += 1;
            } else {
                writes.push(StateWrite::delete(tenant, SIGNALS, row.key).expecting(Expect::Version(row.version)));
            }
        }
        for writes in writes.chunks(200) {
            self.write(writes).await?;
        }
        erased.count(SIGNALS, writes.len());
        note_open(erased, open, "signals that are not handed out yet");
        Ok(())
    }
}

fn names(row: &StateRow, mentions: &Mentions) -> bool {
    mentions.in_text(row.key.as_str())
        || row.key.segments().iter().any(|one| mentions.is(one))
        || mentions.in_bytes(&row.bytes)
}

fn note_open(erased: &mut Erased, open: u64, what: &str) {
    if open > 0 {
        erased.left.push(format!("{open} {what}"));
    }
}
