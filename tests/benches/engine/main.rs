//! The engine against the floor: what a whole sync of a mailbox costs beyond what nobody could do without.
//!
//! Both arms replay the same recorded answers in one process, use the same pure functions (decoding, conversion, matching) and
//! write the same rows in as many transactions to a SQLite file. The *engine* is `Hub::run` with everything on its way:
//! jobs, leases, sessions, the gate, pending work, look-ups of stored rows. The *floor* is a loop that already knows what the
//! engine found out: which rows to write. What is measured is the process's CPU time, SQLite's threads included; the
//! simulator answers only while the recording is made.
//!
//! ```sh
//! cargo bench -p integration-testing --bench engine              # both arms, and their ratio
//! cargo bench -p integration-testing --bench engine -- floor     # one arm alone, for a profiler
//! cargo bench -p integration-testing --bench engine -- --service microsoft
//! ```
//!
//! `INTEGRATION_BENCH_MESSAGES` and `INTEGRATION_BENCH_REPEATS` change how many. Without `--bench` (as `cargo test --benches`
//! runs it) a small mailbox goes through both arms once, and only the rows are compared.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]

mod amplify;
mod floor;
mod people;
mod recorded;
mod recording;
mod world;

use std::{path::Path, process::ExitCode, time::Instant};

use crate::{
    recording::Trace,
    world::{Service, World},
};

/// What the engine may cost, in hundredths of the floor.
const LIMIT: f64 = 1.5;

#[derive(Clone, Copy, Debug)]
struct Cost {
    cpu: f64,
    wall: f64,
}

/// Seconds of CPU that this process has used, in user and system mode; the kernel counts hundredths.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name in parentheses may hold anything; user and system time are the 12th and 13th words after it.
    let words: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    words[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// Runs `work` and says what it cost.
async fn costs<T>(work: impl Future<Output = T>) -> (T, Cost) {
    let (cpu_before, began) = (cpu(), Instant::now());
    let done = work.await;
    (done, Cost { cpu: cpu() - cpu_before, wall: began.elapsed().as_secs_f64() })
}

fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

fn median(costs: &[Cost]) -> f64 {
    let mut cpu: Vec<f64> = costs.iter().map(|cost| cost.cpu).collect();
    cpu.sort_by(f64::total_cmp);
    cpu[cpu.len() / 2]
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let measuring = words.iter().any(|word| word == "--bench");
    let (messages, repeats) = if measuring { (10_000, 5) } else { (200, 1) };
    let messages = number("INTEGRATION_BENCH_MESSAGES", messages);
    let repeats = number("INTEGRATION_BENCH_REPEATS", repeats);
    let only = words.iter().map(String::as_str).find(|word| ["engine", "floor"].contains(word));
    let named = words.iter().position(|word| word == "--service").and_then(|at| words.get(at + 1));
    let asked = named.map(|name| Service::named(name).expect("a service is google or microsoft"));
    let services = match asked {
        Some(service) => vec![service],
        None if measuring => vec![Service::Google],
        None => vec![Service::Google, Service::Microsoft],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ratios = services.into_iter().filter_map(|service| {
        println!("{service:?}");
        runtime.block_on(compare(service, messages, repeats, only))
    });
    let worst = ratios.fold(0.0, f64::max);
    if measuring && worst > LIMIT { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The ratio of the medians, if both arms ran.
async fn compare(service: Service, messages: usize, repeats: usize, only: Option<&str>) -> Option<f64> {
    let place = tempfile::tempdir().unwrap();
    let world = World::sign_in(service, place.path(), messages).await;
    let trace = world.record().await;
    println!("{trace}");
    let prepared = floor::prepare(&trace);
    let (mut floors, mut engines) = (Vec::new(), Vec::new());
    for repeat in 0..repeats {
        let [floor, engine] = ["floor", "engine"].map(|arm| place.path().join(format!("{arm}{repeat}.db")));
        if only.is_none_or(|only| only == "floor") {
            floors.push(floor_arm(&world, &trace, &prepared, &floor).await);
        }
        if only.is_none_or(|only| only == "engine") {
            engines.push(engine_arm(&world, &trace, &engine, messages).await);
        }
        if only.is_none() {
            assert_eq!(world.rows(&engine).await, world.rows(&floor).await, "the arms wrote different rows");
        }
        for database in [floor, engine] {
            let _ = std::fs::remove_file(database);
        }
    }
    for (name, costs) in [("floor", &floors), ("engine", &engines)] {
        let runs: Vec<String> = costs.iter().map(|cost| format!("{:.2} ({:.2})", cost.cpu, cost.wall)).collect();
        println!("{name}: CPU (wall) seconds {}", runs.join(", "));
    }
    let (floor, engine) = (floors.first().map(|_| median(&floors))?, engines.first().map(|_| median(&engines))?);
    let each = engine / messages as f64 * 1e6;
    println!(
        "median: floor {floor:.2} s, engine {engine:.2} s of CPU ({each:.0} µs a message), ratio {:.3}",
        engine / floor
    );
    Some(engine / floor)
}

async fn floor_arm(world: &World, trace: &Trace, prepared: &[floor::Work], database: &Path) -> Cost {
    let store = world.open_copy(database).await;
    let arm = floor::Floor::new(world, trace, &store).await;
    let (found, cost) = costs(arm.run(prepared)).await;
    floor::check(&found, prepared);
    store.close().await.unwrap();
    cost
}

async fn engine_arm(world: &World, trace: &Trace, database: &Path, messages: usize) -> Cost {
    let store = world.open_copy(database).await;
    let hub = world.hub(world::stores(&store), trace.replay());
    let ((), cost) = costs(world::sync(&hub)).await;
    world::assert_done(&hub, messages).await;
    store.close().await.unwrap();
    cost
}
