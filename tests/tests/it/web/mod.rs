//! The pages that a host mounts: through the router, and in a real browser.

#[cfg(unix)]
mod browser;
mod hostile;
mod pages;
mod state;
mod world;
