//! The simulators as a server, for a program of your own to be pointed at.
//!
//! `--listen 127.0.0.1:PORT` says where, `--mail PATH` (a directory or an mbox file) what is in the mailbox, `--state FILE`
//! where it is all kept between runs. The base URLs come as one line of JSON on standard output; Ctrl-C stops.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    integration_testing::program::run(std::env::args().skip(1)).await
}
