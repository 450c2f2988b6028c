//! However large what is attached: what a sync and a reader keep in memory stays small.
//!
//! The measured process is this test program run again, so that its high-water mark is its own; the sandbox is a third
//! process, which makes every message when it is asked for it. `INTEGRATION_MEMORY_MESSAGES` sets how many there are; with
//! hundreds, let `INTEGRATION_SANDBOX` name a sandbox that was built with optimisations.

use std::{
    path::Path,
    process::{Command, Stdio},
    slice,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use integration_core::{
    email::{Depth, EmailProvider},
    hub::Hub,
    ids::{MessageId, PartId},
    sync::Fetched,
};

use crate::{
    far::FarSandbox,
    service::Service,
    worker::{self, tenant},
};

const ROLE: &str = "INTEGRATION_MEMORY_ROLE";
const DATABASE: &str = "INTEGRATION_MEMORY_DATABASE";
const ORIGIN: &str = "INTEGRATION_MEMORY_ORIGIN";
const MESSAGES: &str = "INTEGRATION_MEMORY_MESSAGES";
/// Each message has a file of this size.
const FILE: usize = 20 * 1024 * 1024;
const LIMIT_KIB: u64 = 100 * 1000 * 1000 / 1024;
const AT_ONCE: usize = 8;

fn messages(service: Service) -> usize {
    let few = match service {
        Service::Google => 24,
        // Each is asked for its attachments apart, which the sandbox takes from the whole message once more. Still more than
        // the limit together.
        Service::Microsoft => 8,
    };
    std::env::var(MESSAGES).ok().and_then(|messages| messages.parse().ok()).unwrap_or(few)
}

/// The most memory that this process ever had resident.
fn high_water_mark_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// Does nothing unless another test started this process to do it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_measured_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (database, origin) = (std::env::var(DATABASE).unwrap(), std::env::var(ORIGIN).unwrap());
    let hub = worker::hub(Path::new(&database), &origin).await;
    let done = match role.as_str() {
        "sync" => sync(&hub, &origin).await,
        "read" => read(&hub, &origin).await,
        other => panic!("unknown role {other}"),
    };
    println!("\n{role}: {done} done, {} KiB at most", high_water_mark_kib());
}

async fn sync(hub: &Hub, origin: &str) -> usize {
    worker::sync(hub, origin).await;
    let connection = worker::connect(hub, origin).await;
    hub.decisions(&tenant(), &connection.id).await.unwrap().len()
}

/// Reads every file to its end, several at a time.
async fn read(hub: &Hub, origin: &str) -> usize {
    let connection = worker::connect(hub, origin).await;
    let email = hub.email(&tenant(), &connection.id).await.unwrap();
    let decisions = hub.decisions(&tenant(), &connection.id).await.unwrap();
    let read = stream::iter(decisions).map(|(message, _)| {
        let (email, connection) = (&email, &connection);
        async move {
            let message = MessageId::new(message);
            let file = match Service::of(connection) {
                // The second part of two.
                Service::Google => PartId::new("1"),
                Service::Microsoft => first_file(&**email, &message).await,
            };
            let bytes = email.attachment(&message, &file).await.unwrap();
            bytes.try_fold(0, |sum, bytes| async move { Ok(sum + bytes.len()) }).await.unwrap()
        }
    });
    let sizes: Vec<usize> = read.buffer_unordered(AT_ONCE).collect().await;
    assert!(sizes.iter().all(|size| *size == FILE), "{sizes:?}");
    sizes.len()
}

/// What a message says of its first file.
async fn first_file(email: &dyn EmailProvider, message: &MessageId) -> PartId {
    let fetched = email.fetch(slice::from_ref(message), Depth::Full).await.unwrap().remove(0);
    let Fetched::Present { item, .. } = fetched else { panic!("{fetched:?}") };
    PartId::new(&item.attachments[0].part)
}

/// Runs a role in a process of its own; how many it did, and its high-water mark.
fn measured(role: &str, database: &Path, sandbox: &FarSandbox) -> (usize, u64) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "memory::the_measured_process", "--nocapture"]);
    command.env(ROLE, role).env(DATABASE, database).env(ORIGIN, &sandbox.origin).stderr(Stdio::inherit());
    let output = sandbox.service.hand_to(&mut command).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{role}: "))).unwrap();
    println!("{role}: {line}");
    let numbers: Vec<&str> = line.split(' ').filter(|word| word.parse::<u64>().is_ok()).collect();
    (numbers[0].parse().unwrap(), numbers[1].parse().unwrap())
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_files_stay_out_of_memory() {
    let (count, books) = large_files(Service::Google).await;
    // Every file was really asked for once.
    let read = books["gmail"]["by_method"]["gmail.users.messages.attachments.get"][0].as_u64();
    assert_eq!(read, Some(count as u64));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_files_stay_out_of_memory_where_attachments_are_listed_apart() {
    let (count, books) = large_files(Service::Microsoft).await;
    let read = books["graph"]["by_operation"]["attachments.value"][0].as_u64();
    assert_eq!(read, Some(count as u64));
}

/// Syncs and reads them, within the limit; how many, and the books afterwards.
#[cfg(target_os = "linux")]
async fn large_files(service: Service) -> (usize, serde_json::Value) {
    let (place, count) = (tempfile::tempdir().unwrap(), messages(service));
    let mail = place.path().join("mail");
    std::fs::create_dir(&mail).unwrap();
    let sandbox = FarSandbox::of(service, &mail);
    let generate = format!("generate?account=alex@example.com&count={count}&attachment_bytes={FILE}");
    sandbox.steer("POST", &generate, "").await;
    let database = place.path().join("memory.db");
    for role in ["sync", "read"] {
        let (done, most) = measured(role, &database, &sandbox);
        assert_eq!(done, count, "{role}");
        assert!(most < LIMIT_KIB, "{role}: {most} KiB");
    }
    (count, sandbox.ask("GET", "books", "").await)
}
