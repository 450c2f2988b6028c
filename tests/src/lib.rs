//! Stateful simulators of the services, and harnesses.
