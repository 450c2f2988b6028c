//! Counts what a run asks of a service.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use integration_core::{
    Result,
    http::{Admission, AdmissionKey, AdmissionRequest, Body, Permit, QuotaScope, Transport, TransportError, Usage},
    ids::AppId,
};

/// Requests sent and units spent.
#[derive(Debug, Default)]
pub struct Meter {
    requests: AtomicU64,
    units: Mutex<BTreeMap<AppId, u64>>,
}

impl Meter {
    /// Requests sent so far, sign-in included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Units spent so far, at all services.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.spent().values().sum()
    }

    /// Units spent so far by one app.
    #[must_use]
    pub fn units_of(&self, app: &AppId) -> u64 {
        self.spent().get(app).copied().unwrap_or_default()
    }

    fn spent(&self) -> std::sync::MutexGuard<'_, BTreeMap<AppId, u64>> {
        // Each change is one step: a panic elsewhere leaves nothing half done.
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transport that counts.
#[derive(Debug)]
pub struct MeteredTransport(pub Arc<dyn Transport>, pub Arc<Meter>);

#[async_trait]
impl Transport for MeteredTransport {
    async fn execute(&self, request: http::Request<Body>) -> Result<http::Response<Body>, TransportError> {
        self.1.requests.fetch_add(1, Ordering::Relaxed);
        self.0.execute(request).await
    }
}

/// A gate that counts.
#[derive(Debug)]
pub struct MeteredAdmission(pub Arc<dyn Admission>, pub Arc<Meter>);

#[async_trait]
impl Admission for MeteredAdmission {
    async fn admit(&self, request: AdmissionRequest) -> Result<Permit> {
        let (app, units) = (request.key.app.clone(), u64::from(request.cost.units));
        let permit = self.0.admit(request).await?;
        *self.1.spent().entry(app).or_default() += units;
        Ok(permit)
    }

    async fn throttled(&self, key: &AdmissionKey, scope: QuotaScope, until: DateTime<Utc>) {
        self.0.throttled(key, scope, until).await;
    }

    async fn usage(&self, key: &AdmissionKey) -> Usage {
        self.0.usage(key).await
    }
}
