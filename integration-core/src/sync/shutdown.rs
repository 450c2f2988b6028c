//! Stopping without losing anything.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks running work to stop at the next safe point. Cheap to clone; all clones share one state.
#[derive(Clone, Debug)]
pub struct Shutdown {
    own: Arc<watch::Sender<bool>>,
    /// Stopping this one stops ours too.
    above: Option<Arc<Self>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { own: Arc::new(watch::Sender::new(false)), above: None }
    }
}

impl Shutdown {
    /// One that can be asked by itself, and is asked whenever `self` is.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { above: Some(Arc::new(self.clone())), ..Self::default() }
    }

    /// Asks to stop.
    pub fn stop(&self) {
        self.own.send_replace(true);
    }

    /// Was it asked to stop?
    #[must_use]
    pub fn stopping(&self) -> bool {
        *self.own.borrow() || self.above.as_ref().is_some_and(|above| above.stopping())
    }

    /// Waits until it is asked to stop.
    pub async fn stopped(&self) {
        let mut watch = self.own.subscribe();
        // The sender lives in `self`: waiting can only end by the value.
        let own = watch.wait_for(|stopping| *stopping);
        match &self.above {
            None => drop(own.await),
            Some(above) => {
                tokio::select! {
                    asked = own => drop(asked),
                    () = Box::pin(above.stopped()) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shutdown;

    #[tokio::test]
    async fn a_child_stops_with_its_parent_and_not_the_other_way_round() {
        let parent = Shutdown::default();
        let (one, other) = (parent.child(), parent.child());
        one.stop();
        one.stopped().await;
        assert!(one.stopping() && !other.stopping() && !parent.stopping());
        parent.stop();
        other.stopped().await;
        assert!(other.stopping());
    }
}
