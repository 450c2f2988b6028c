//! Scripted faults: what goes wrong, and at which call.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use serde::{Deserialize, Serialize};

/// A rule: calls that match all given conditions are disturbed, after `skip` of them passed, `times` times.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// A part of the path. Absent: any.
    #[serde(default)]
    pub path: Option<String>,
    /// The HTTP method. Absent: any.
    #[serde(default)]
    pub method: Option<String>,
    /// The operation as the books name it (`gmail.users.messages.list`, `oauth.token`). Absent: any.
    #[serde(default)]
    pub operation: Option<String>,
    /// How many matching calls pass first.
    #[serde(default)]
    pub skip: u64,
    /// How many matching calls are disturbed then. Absent: all.
    #[serde(default)]
    pub times: Option<u64>,
    /// What happens to them.
    pub action: FaultAction,
}

impl Fault {
    /// Disturbs every call, once; narrow it with the other methods.
    #[must_use]
    pub fn new(action: FaultAction) -> Self {
        Self { path: None, method: None, operation: None, skip: 0, times: Some(1), action }
    }

    /// Only calls whose path contains `part`.
    #[must_use]
    pub fn on_path(mut self, part: impl Into<String>) -> Self {
        self.path = Some(part.into());
        self
    }

    /// Only calls with this HTTP method.
    #[must_use]
    pub fn on_method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Only this operation.
    #[must_use]
    pub fn on_operation(mut self, operation: impl Into<String>) -> Self {
        self.operation = Some(operation.into());
        self
    }

    /// Lets `count` matching calls pass first.
    #[must_use]
    pub fn after(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// Disturbs `count` matching calls.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.times = Some(count);
        self
    }

    /// Disturbs every matching call until the faults are cleared.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    fn matches(&self, method: &str, path: &str, operation: &str) -> bool {
        self.path.as_deref().is_none_or(|part| path.contains(part))
            && self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self.operation.as_deref().is_none_or(|wanted| wanted == operation)
    }
}

/// What goes wrong.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultAction {
    /// The answer comes late; the call takes effect after the delay.
    Delay {
        /// Milliseconds of the sandbox's clock.
        milliseconds: u64,
    },
    /// The call takes effect, then the connection breaks.
    ResetAfter,
    /// The connection breaks before the call takes effect.
    ResetBefore,
    /// The call has no effect and is answered with this.
    Status {
        /// The HTTP status.
        status: u16,
        /// Headers of the answer.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// Its body.
        #[serde(default)]
        body: String,
    },
    /// The call takes effect, but the body ends half way.
    TruncateBody,
    /// The call takes effect, but its answer claims to be of this type.
    WrongContentType {
        /// The type in the header.
        content_type: String,
    },
}

impl FaultAction {
    /// An answer with this status and body, without headers.
    #[must_use]
    pub fn status(status: u16, body: impl Into<String>) -> Self {
        Self::Status { status, headers: BTreeMap::new(), body: body.into() }
    }

    /// A delay.
    #[must_use]
    pub fn delay(duration: Duration) -> Self {
        Self::Delay { milliseconds: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) }
    }
}

/// What the script says about one call: delays add up, of the rest the first counts.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) delay: Duration,
    pub(crate) action: Option<FaultAction>,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    seen: u64,
}

/// The script in force.
#[derive(Debug, Default)]
pub(crate) struct Script(Mutex<Vec<Armed>>);

impl Script {
    pub(crate) fn add(&self, fault: Fault) {
        crate::lock(&self.0).push(Armed { fault, seen: 0 });
    }

    pub(crate) fn clear(&self) {
        crate::lock(&self.0).clear();
    }

    /// Counts the call against every rule it matches and says what happens to it.
    pub(crate) fn judge(&self, method: &str, path: &str, operation: &str) -> Verdict {
        let mut verdict = Verdict::default();
        for armed in crate::lock(&self.0).iter_mut() {
            if !armed.fault.matches(method, path, operation) {
                continue;
            }
            let number = armed.seen;
            let due =
                number >= armed.fault.skip && armed.fault.times.is_none_or(|times| number - armed.fault.skip < times);
            match &armed.fault.action {
                FaultAction::Delay { milliseconds } if due => verdict.delay += Duration::from_millis(*milliseconds),
                action if due => {
                    // A second rule waits for a call of its own: one call has one fate.
                    if verdict.action.is_some() {
                        continue;
                    }
                    verdict.action = Some(action.clone());
                }
                _ => {}
            }
            armed.seen += 1;
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(script: &Script, calls: usize) -> Vec<bool> {
        (0..calls).map(|_| script.judge("GET", "/gmail/v1/x", "op").action.is_some()).collect()
    }

    #[test]
    fn a_fault_strikes_the_calls_it_names_and_no_more() {
        let script = Script::default();
        script.add(Fault::new(FaultAction::ResetBefore).after(1).times(2));
        assert_eq!(actions(&script, 5), [false, true, true, false, false]);
    }

    #[test]
    fn a_fault_leaves_other_operations_alone() {
        let script = Script::default();
        script.add(Fault::new(FaultAction::ResetAfter).on_operation("oauth.token").on_method("post"));
        assert!(script.judge("GET", "/token", "oauth.token").action.is_none());
        assert!(script.judge("POST", "/token", "oauth.revoke").action.is_none());
        assert!(script.judge("POST", "/token", "oauth.token").action.is_some());
    }

    #[test]
    fn two_faults_strike_one_after_the_other() {
        let script = Script::default();
        script.add(Fault::new(FaultAction::status(503, "")));
        script.add(Fault::new(FaultAction::status(429, "")));
        let fates: Vec<_> = (0..3).map(|_| script.judge("GET", "/", "op").action).collect();
        assert_eq!(fates, [Some(FaultAction::status(503, "")), Some(FaultAction::status(429, "")), None]);
    }

    #[test]
    fn a_fault_is_read_from_json() {
        let fault: Fault =
            serde_json::from_str(r#"{"path":"messages","times":3,"action":{"status":{"status":503,"body":"no"}}}"#)
                .unwrap();
        assert_eq!(fault.action, FaultAction::status(503, "no"));
        assert!(serde_json::from_str::<Fault>(r#"{"pth":"x","action":"reset_after"}"#).is_err());
    }
}
