//! The stores in PostgreSQL: the suites every store passes, and what only a server can do wrong.

mod suites;
