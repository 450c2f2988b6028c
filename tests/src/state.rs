//! The state file: what a second run continues from.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use serde_json::{Value, json};

use crate::{Inner, Sandbox, SandboxBuilder, books::Books};

/// The format of the file; another one is refused.
const FORMAT: u64 = 1;

/// Makes a [`Sandbox`] that keeps its state in a file.
#[derive(Debug)]
pub struct PersistentSandboxBuilder {
    builder: SandboxBuilder,
    path: PathBuf,
}

impl PersistentSandboxBuilder {
    pub(crate) fn new(builder: SandboxBuilder, path: PathBuf) -> Self {
        Self { builder, path }
    }

    /// The sandbox, as the file left it. It is saved by [`Sandbox::save`] and when its last handle goes.
    ///
    /// # Errors
    /// If the file exists but cannot be read or understood.
    pub fn build(self) -> io::Result<Sandbox> {
        let saved = match fs::read(&self.path) {
            Ok(text) => {
                Some(serde_json::from_slice::<Value>(&text).map_err(|_| unreadable(&self.path, "it is no JSON"))?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let sandbox = self.builder.build_at(Some(self.path.clone()));
        if let Some(saved) = saved {
            sandbox.inner.import(&saved).map_err(|error| unreadable(&self.path, &error))?;
        }
        Ok(sandbox)
    }
}

fn unreadable(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the sandbox's state in {} is unusable: {why}", path.display()))
}

impl Sandbox {
    /// Writes the state file, if there is one and anything changed.
    ///
    /// # Errors
    /// If it cannot be written; the file before it stays whole.
    pub fn save(&self) -> io::Result<()> {
        self.inner.save()
    }
}

impl Inner {
    fn save(&self) -> io::Result<()> {
        let Some(path) = &self.state else { return Ok(()) };
        if !self.changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let state = json!({
            "format": FORMAT, "google": self.google.export(), "microsoft": self.microsoft.export(),
            "books": self.ledger.sums(),
        });
        write_whole(path, state.to_string().as_bytes()).inspect_err(|_| self.changed.store(true, Ordering::Release))
    }

    fn import(&self, saved: &Value) -> Result<(), String> {
        if saved["format"].as_u64() != Some(FORMAT) {
            return Err("its format is another".to_owned());
        }
        self.google.import(&saved["google"])?;
        // Files from before there was a Microsoft lack it.
        if let Some(saved) = saved.get("microsoft") {
            self.microsoft.import(saved)?;
        }
        let books: Books = serde_json::from_value(saved["books"].clone()).map_err(|error| error.to_string())?;
        self.ledger.restore(books);
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.save() {
            tracing::warn!(%error, "the sandbox's state was not saved");
        }
    }
}

/// Replaces a file in one step, so that a crash leaves the old or the new one.
fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let mut file = private(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// A new file for its owner alone: it holds keys and tokens, if only simulated ones.
fn private(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
