//! The token store of `custom_token_store`, held to the suite that the bundled stores pass.

#[allow(dead_code, reason = "the example's main is for its program")]
#[path = "../../custom_token_store.rs"]
mod example;

use std::{ops::Deref, sync::Arc};

use tempfile::TempDir;

use self::example::FileTokens;

/// A store and the directory it lives in.
struct Disk {
    store: FileTokens,
    directory: Arc<TempDir>,
}

impl Deref for Disk {
    type Target = FileTokens;

    fn deref(&self) -> &FileTokens {
        &self.store
    }
}

#[allow(clippy::unused_async, reason = "the suite takes asynchronous constructors")]
async fn fresh(_: &str) -> Disk {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    Disk { store: FileTokens::open(directory.path()).unwrap(), directory }
}

#[allow(clippy::unused_async, reason = "the suite takes asynchronous constructors")]
async fn reopen(disk: &Disk) -> Disk {
    let directory = Arc::clone(&disk.directory);
    Disk { store: FileTokens::open(directory.path()).unwrap(), directory }
}

integration_core::token_store_conformance!(fresh, reopen);

#[tokio::test]
async fn a_damaged_file_is_an_error_and_not_an_absent_record() {
    use integration_core::{
        ErrorKind,
        ids::{GrantId, TenantId},
        store::{SealedRecord, TokenStore},
    };
    let disk = fresh("").await;
    let (tenant, grant) = (TenantId::new("a"), GrantId::new("g"));
    disk.save(&tenant, &grant, None, &SealedRecord::new("sealed")).await.unwrap();
    let files = std::fs::read_dir(disk.directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let file = files.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "token")).unwrap();
    std::fs::write(&file, "half a rec").unwrap();
    assert_eq!(disk.load(&tenant, &grant).await.unwrap_err().kind(), ErrorKind::Store);
    assert!(disk.save(&tenant, &grant, None, &SealedRecord::new("other")).await.is_err());
}
