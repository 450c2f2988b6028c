//! Connects a mailbox, syncs it, and shows a timeline of activities matched to contacts, companies and deals.
//!
//! Offline by default: a simulated account over real HTTP on loopback. `--live google` does the same against the real
//! service. Run it twice: the second run finds only what is new.

use std::process::ExitCode;

use integration_examples::crm::{self, Arguments, Asked};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Asked::Run(arguments)) => arguments,
        Ok(Asked::Help) => {
            println!("{}\n{}", crm::USAGE, crm::HELP);
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("crm_sync: {problem} (--help lists the options)");
            return ExitCode::from(2);
        }
    };
    match crm::run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("crm_sync: {}", crm::complaint(&error, &arguments));
            ExitCode::FAILURE
        }
    }
}
