//! Audits of what was decided: rows that were lost or changed come back as they were, and nothing is fetched for it.

use super::*;
use crate::{store::StateKey, sync::AuditReport};

const SPACES: [&str; 6] = ["activity", "decision", "thread", "participant", "message_id", "suggestion"];

impl Rig {
    async fn everything(&self) -> Vec<Vec<(String, String)>> {
        let mut all = Vec::new();
        for space in SPACES {
            all.push(self.rows(space).await);
        }
        all
    }

    async fn change(&self, writes: &[StateWrite]) {
        let mut tx = self.store.begin(None).await.unwrap();
        tx.write(writes).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// These rows are gone from the store.
    async fn lose(&self, space: &'static str, keys: impl IntoIterator<Item = String>) {
        let writes: Vec<_> =
            keys.into_iter().map(|lost| StateWrite::delete(&TenantId::new("t"), space, key(&lost))).collect();
        assert!(!writes.is_empty());
        self.change(&writes).await;
    }

    async fn audit(&self) -> AuditReport {
        assert!(self.engine().begin_audit().await.unwrap());
        self.sync().await;
        serde_json::from_str(&self.rows("audit").await[0].1).unwrap()
    }
}

async fn believed() -> Rig {
    let rig = Rig::new();
    believable(&mut rig.mailbox());
    rig.mailbox().broken.clear();
    rig.sync().await;
    rig
}

/// As a row of a dump names it.
fn key(shown: &str) -> StateKey {
    StateKey::new(shown.split('/'))
}

fn keys(rows: &[(String, String)]) -> Vec<String> {
    rows.iter().map(|(key, _)| key.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_audit_of_what_is_whole_finds_nothing_and_writes_nothing() {
    let rig = believed().await;
    let before = rig.everything().await;
    let report = rig.audit().await;
    assert_eq!((report.listed, report.gaps(), report.applied + report.skipped), (17, 0, 17), "{report:?}");
    same(&rig.everything().await, &before, "after the audit");
}

#[tokio::test(start_paused = true)]
async fn every_lost_index_row_is_named_by_its_message_and_written_again() {
    for (space, of) in
        SPACES.iter().zip(0..).filter(|(space, _)| matches!(**space, "thread" | "participant" | "message_id"))
    {
        let rig = believed().await;
        let before = rig.everything().await;
        rig.lose(space, keys(&before[of])).await;
        let fetches = rig.mailbox().fetches;
        let report = rig.audit().await;
        let named: Vec<&str> = report.index_lost.keys.iter().map(|key| key.as_str()).collect();
        assert_eq!(report.index_lost.count as usize, named.len());
        assert!(named.len() >= 12 && named.contains(&"m00"), "{space}: {named:?}");
        assert_eq!((report.gaps(), report.is_complete()), (report.index_lost.count, false));
        same(&rig.everything().await, &before, space);
        assert_eq!(rig.mailbox().fetches, fetches, "{space}");
        assert_eq!(rig.audit().await.gaps(), 0, "{space}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_activity_that_is_not_as_it_was_decided_is_named_and_comes_back() {
    let rig = believed().await;
    let before = rig.everything().await;
    let tenant = TenantId::new("t");
    let shown: Vec<_> = before[0].iter().take(3).cloned().collect();
    // One says something else, one is matched to nobody, one has lost its copies.
    for (number, (key, row)) in shown.iter().enumerate() {
        let mut activity: serde_json::Value = serde_json::from_str(row).unwrap();
        match number {
            0 => activity["summary"]["subject"] = "TAMPERED".into(),
            1 => activity["matches"] = serde_json::json!([]),
            _ => activity["sightings"] = serde_json::json!({}),
        }
        rig.change(&[StateWrite::put(&tenant, "activity", self::key(key), activity.to_string())]).await;
    }
    let report = rig.audit().await;
    let named: Vec<String> = report.effect_lost.keys.iter().map(ToString::to_string).collect();
    let mut expected: Vec<String> = before[1]
        .iter()
        .filter(|(_, row)| shown.iter().any(|(key, _)| row.contains(&format!("\"activity\":\"{key}\""))))
        .filter_map(|(key, _)| key.rsplit('/').next().map(str::to_owned))
        .collect();
    expected.sort();
    assert_eq!((named.len(), &named), (3, &expected));
    same(&rig.everything().await, &before, "after the repair");
    assert_eq!(rig.audit().await.gaps(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_activity_comes_back_with_its_copies() {
    let rig = Rig::new();
    let copy = message("x", "known@one.example", "t");
    rig.mailbox().put("b", copy.clone());
    rig.mailbox().put("a", copy);
    rig.sync().await;
    let before = rig.everything().await;
    rig.lose("activity", keys(&before[0])).await;
    let report = rig.audit().await;
    assert_eq!(report.effect_lost.count, 2, "{report:?}");
    same(&rig.everything().await, &before, "after the repair");
}
