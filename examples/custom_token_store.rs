//! Tokens where the host wants them: a file per grant. Everything else stays in SQLite.
//!
//! The store sees sealed bytes only. What it must get right is compare-and-set: of two that save at the same time, in one
//! process or in two, exactly one wins. `tests/custom_token_store.rs` proves it with the conformance suite.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use integration_core::{
    Error, ErrorKind, Result,
    connection::Capability,
    hub::Hub,
    ids::{AppId, GrantId, TenantId},
    oauth::{Authorise, CallbackQuery},
    store::{GrantKey, Saved, SealedRecord, Stores, TokenStore, Version, forbid_reentry, sqlite::SqliteStore},
    vault::KeyRing,
};
use integration_examples::words;
use integration_google::{Google, GoogleConfig, GoogleEndpoints};
use integration_testing::{Consent, Sandbox};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A directory of sealed records.
#[derive(Clone, Debug)]
pub(crate) struct FileTokens(PathBuf);

/// The first line of a file; the sealed bytes follow.
#[derive(Debug, Deserialize, Serialize)]
struct Head {
    format: u32,
    tenant: TenantId,
    grant: GrantId,
    version: u64,
}

/// The one format there is so far.
const FORMAT: u32 = 1;

impl FileTokens {
    /// Keeps records in `directory`, which is made if it is missing.
    pub(crate) fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        fs::create_dir_all(&directory).map_err(failed)?;
        Ok(Self(directory))
    }

    /// An id may hold anything and be of any length, a file's name may not.
    fn file(&self, tenant: &TenantId, grant: &GrantId) -> PathBuf {
        let mut digest = Sha256::new();
        for part in [tenant.as_str(), grant.as_str()] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        self.0.join(format!("{}.token", hex::encode(digest.finalize())))
    }

    /// Runs `work` while nobody else, in this process or another, writes. The lock ends with the file's handle, also if
    /// the process is killed.
    async fn alone<T: Send + 'static>(&self, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
        let lock = self.0.join("lock");
        let locked = move || {
            let file = File::options().create(true).append(true).open(lock)?;
            file.lock()?;
            work()
        };
        blocking(locked).await
    }
}

/// Files block, and must not hold up other tasks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)
}

fn failed(error: io::Error) -> Error {
    Error::new(ErrorKind::Store, "a token file cannot be read or written").with_source(error)
}

fn read(path: &Path) -> io::Result<Option<(Head, Vec<u8>)>> {
    let mut bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the file is damaged or of a newer format");
    let line = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
    let head: Head = serde_json::from_slice(&bytes[..line]).map_err(|_| damaged())?;
    if head.format != FORMAT {
        return Err(damaged());
    }
    Ok(Some((head, bytes.split_off(line + 1))))
}

/// Replaces a file in one step: whoever reads meanwhile sees the old or the new one, and so does whoever comes after a crash.
fn replace(path: &Path, head: &Head, sealed: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    serde_json::to_writer(&mut file, head)?;
    file.write_all(b"\n")?;
    file.write_all(sealed)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    // The new name is durable once its directory is.
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[async_trait]
impl TokenStore for FileTokens {
    async fn load(&self, tenant: &TenantId, grant: &GrantId) -> Result<Option<SealedRecord>> {
        let path = self.file(tenant, grant);
        let found = blocking(move || read(&path)).await?;
        Ok(found.map(|(head, sealed)| SealedRecord::loaded(Version(head.version), sealed)))
    }

    async fn save(
        &self,
        tenant: &TenantId,
        grant: &GrantId,
        expect: Option<Version>,
        record: &SealedRecord,
    ) -> Result<Saved> {
        // Whoever is inside a transaction of the hub's store must not wait for files.
        forbid_reentry("FileTokens::save")?;
        let path = self.file(tenant, grant);
        let mut head = Head { format: FORMAT, tenant: tenant.clone(), grant: grant.clone(), version: 1 };
        let sealed = record.bytes.clone();
        self.alone(move || {
            let found = read(&path)?.map(|(head, _)| Version(head.version));
            if found != expect {
                return Ok(Saved::Stale);
            }
            head.version = found.map_or(1, |found| found.0 + 1);
            replace(&path, &head, &sealed)?;
            Ok(Saved::Stored(Version(head.version)))
        })
        .await
    }

    async fn delete(&self, tenant: &TenantId, grant: &GrantId) -> Result<()> {
        forbid_reentry("FileTokens::delete")?;
        let path = self.file(tenant, grant);
        self.alone(move || match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }

    async fn list(&self, after: Option<&GrantKey>, limit: usize) -> Result<Vec<GrantKey>> {
        let directory = self.0.clone();
        let keys = blocking(move || {
            let mut keys = Vec::new();
            for entry in fs::read_dir(directory)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "token") {
                    // A file may be deleted between the listing and the look into it.
                    keys.extend(read(&path)?.map(|(head, _)| GrantKey { tenant: head.tenant, grant: head.grant }));
                }
            }
            Ok(keys)
        });
        let mut keys = keys.await?;
        keys.sort();
        Ok(keys.into_iter().filter(|key| after.is_none_or(|after| key > after)).take(limit).collect())
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let sandbox = Sandbox::google().build();
    sandbox.register_person("ada@example.com", "Ada");
    let served = sandbox.serve(([127, 0, 0, 1], 0).into()).await?;
    let origin = format!("http://{}", served.addr()).parse()?;
    let folder = std::env::temp_dir().join(format!("integration-tokens-{}", std::process::id()));
    let tokens = FileTokens::open(folder.join("tokens"))?;
    let store = Arc::new(SqliteStore::open(folder.join("host.db")).await?);

    // One part is ours, the rest is the bundled store.
    let stores = Stores::from_one(store).with_tokens(Arc::new(tokens.clone()));
    let keys = Arc::new(KeyRing::load_or_create_file(folder.join("host.key"))?);
    let google = GoogleConfig::desktop("sandbox-client").with_endpoints(GoogleEndpoints::below(&origin)?);
    let hub = Hub::builder(stores, keys).with_connector(Google::new(google)?).build()?;

    let (tenant, app) = (TenantId::new("tenant-1"), AppId::new("google"));
    let ask = Authorise::new([Capability::Identity, Capability::MailRead], "http://127.0.0.1:1/callback");
    let authorisation = hub.authorise(&tenant, &app, ask).await?;
    let back = sandbox.consent(&authorisation.url, Consent::Grant)?;
    let query = CallbackQuery::parse(back.query().unwrap_or_default())?;
    let completion = hub.complete(&query, &authorisation.binding).await?;
    println!("{}", words::of(&completion.outcome));
    for key in tokens.list(None, 10).await? {
        let record = tokens.load(&key.tenant, &key.grant).await?.ok_or("the record is gone")?;
        let (version, bytes) = (record.version.0, record.bytes.len());
        println!("{} keeps a grant of {}: version {version}, {bytes} sealed bytes", folder.display(), key.tenant);
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}
