//! The suites every implementation of a public trait must pass. Exempt from version promises.
