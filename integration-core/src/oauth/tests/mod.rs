mod connect;
mod hostile;
mod identity;
mod lifecycle;
mod refresh;
mod service;
mod store;
mod world;
