//! How long what a killed process held lies before others have it: claims of jobs and leases of syncs, watched in their rows.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, Row};
use tokio::task::JoinHandle;

/// Something held: a claim or a lease.
type Name = (&'static str, String);

/// By whom, as a fence, and until when, in milliseconds of the server's clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Hold {
    fence: i64,
    until: i64,
}

const CLAIMS: &str = "SELECT key, fence, claimed_until, (extract(epoch FROM clock_timestamp()) * 1000)::bigint \
    FROM integration_job WHERE claimed_until IS NOT NULL AND ($1 OR key = ANY($2))";
const LEASES: &str = "SELECT key, fence, expires, (extract(epoch FROM clock_timestamp()) * 1000)::bigint \
    FROM integration_lease WHERE holder <> '' AND key LIKE 'sync%' AND ($1 OR key = ANY($2))";
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
const OFTEN: Duration = Duration::from_millis(100);

/// What is held, of these or of everything.
async fn holds(rows: &mut PgConnection, of: Option<&BTreeMap<Name, Hold>>) -> BTreeMap<Name, (Hold, i64)> {
    let mut found = BTreeMap::new();
    for (kind, select) in [("claim", CLAIMS), ("lease", LEASES)] {
        let keys: Vec<&str> = of.into_iter().flatten().map(|((_, key), _)| key.as_str()).collect();
        for row in sqlx::query(select).bind(of.is_none()).bind(keys).fetch_all(&mut *rows).await.unwrap() {
            let hold = Hold { fence: row.get(1), until: row.get(2) };
            found.insert((kind, row.get(0)), (hold, row.get(3)));
        }
    }
    found
}

/// What came of one kill: how much the killed process had left, and how long the last of it lay.
#[derive(Debug, Default)]
pub(super) struct Takeover {
    pub(super) held: usize,
    pub(super) longest: Duration,
    /// Still held by nobody when the watch ended.
    pub(super) left: Vec<Name>,
}

/// Watches, from the moment a process was killed, until all that it held is somebody else's. What is prolonged or given back
/// is a living process's; what runs out is the killed one's.
pub(super) async fn watch(url: &str, lease: Duration) -> JoinHandle<Takeover> {
    let mut rows = PgConnection::connect(url).await.unwrap();
    let killed_at: i64 = sqlx::query_scalar(NOW).fetch_one(&mut rows).await.unwrap();
    let held = holds(&mut rows, None).await;
    let mut watched: BTreeMap<Name, Hold> = held.into_iter().map(|(name, (hold, _))| (name, hold)).collect();
    tokio::spawn(async move {
        let (began, mut taken) = (Instant::now(), Takeover::default());
        while !watched.is_empty() && began.elapsed() < lease * 3 + Duration::from_secs(10) {
            tokio::time::sleep(OFTEN).await;
            let found = holds(&mut rows, Some(&watched)).await;
            watched.retain(|name, before| match found.get(name) {
                Some((hold, _)) if hold.fence == before.fence => hold.until == before.until,
                // Somebody else's, after it had run out.
                Some((_, now)) if *now > before.until => {
                    taken.held += 1;
                    let lay = u64::try_from(now - killed_at).unwrap_or_default();
                    taken.longest = taken.longest.max(Duration::from_millis(lay));
                    false
                }
                // Given back by whoever lives, and perhaps taken since.
                _ => false,
            });
        }
        taken.left = watched.into_keys().collect();
        taken
    })
}
