//! How long what a killed process held lies before others have it: claims of jobs and leases of syncs, watched in their rows.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, Row};
use tokio::task::JoinHandle;

/// Something held: a claim or a lease.
type Name = (&'static str, String);

/// By whom, as a fence, and until when by the server's clock in milliseconds; `None`: given back.
type Hold = (i64, Option<i64>);

const CLAIMS: &str = "SELECT key, fence, claimed_until, (extract(epoch FROM clock_timestamp()) * 1000)::bigint \
    FROM integration_job";
const LEASES: &str = "SELECT key, fence, CASE WHEN holder <> '' THEN expires END, \
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM integration_lease WHERE key LIKE 'sync%'";
const OFTEN: Duration = Duration::from_millis(50);

/// Everything that is held, and the server's time.
async fn holds(rows: &mut PgConnection) -> (BTreeMap<Name, Hold>, i64) {
    let (mut found, mut now) = (BTreeMap::new(), 0);
    for (kind, select) in [("claim", CLAIMS), ("lease", LEASES)] {
        for row in sqlx::query(select).fetch_all(&mut *rows).await.unwrap() {
            now = row.get(3);
            found.insert((kind, row.get::<String, _>(0)), (row.get(1), row.get(2)));
        }
    }
    (found, now)
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
    let (held, killed_at) = holds(&mut rows).await;
    let mut watched: BTreeMap<Name, (i64, i64)> =
        held.into_iter().filter_map(|(name, (fence, until))| Some((name, (fence, until?)))).collect();
    tokio::spawn(async move {
        let (began, mut taken) = (Instant::now(), Takeover::default());
        while !watched.is_empty() && began.elapsed() < lease * 3 + Duration::from_secs(10) {
            tokio::time::sleep(OFTEN).await;
            let (found, now) = holds(&mut rows).await;
            watched.retain(|name, (fence, until)| match found.get(name) {
                Some((same, Some(still))) if same == fence => still == until,
                // Somebody else's, after it had run out.
                Some((_, Some(_))) if now > *until => {
                    taken.held += 1;
                    let lay = u64::try_from(now - killed_at).unwrap_or_default();
                    taken.longest = taken.longest.max(Duration::from_millis(lay));
                    false
                }
                _ => false,
            });
        }
        taken.left = watched.into_keys().collect();
        taken
    })
}
