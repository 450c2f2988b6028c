//! The simulators as a server: prints its base URLs as JSON on standard output and runs until it is interrupted.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    integration_testing::program::run(std::env::args().skip(1)).await
}
