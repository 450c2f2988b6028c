//! Stopping without losing anything.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks running work to stop at the next safe point. Cheap to clone; all clones share one state.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Shutdown {
    /// Asks to stop.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Was it asked to stop?
    #[must_use]
    pub fn stopping(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked to stop.
    pub async fn stopped(&self) {
        let mut watch = self.0.subscribe();
        // The sender lives in `self`: waiting can only end by the value.
        let _ = watch.wait_for(|stopping| *stopping).await;
    }
}
