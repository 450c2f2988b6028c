//! Keys of one's own: a primary one and the older ones it replaced.

use std::{fmt, fs, io, path::Path};

use async_trait::async_trait;
use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    aead::{self, KEY_BYTES, NONCE_BYTES},
    key_provider::{KeyProvider, WrappedKey},
};
use crate::{
    clock::{Random, SystemRandom},
    error::{Actor, Error, ErrorKind, Remedy, Result},
    secret::SecretBytes,
};

/// The command that makes a key, named by every error about a missing one.
const MAKE_A_KEY: &str = "head -c 32 /dev/urandom | base64";

/// The bundled key provider: 32-byte keys, the first of which wraps; all of them unwrap.
///
/// A key's id follows from the key itself, so the order of older keys does not matter and no names need keeping. To
/// rotate: put a new key first, restart every process with it, run [`rotate`](super::rotate), drop the old key.
#[derive(Clone)]
pub struct KeyRing {
    primary: Key,
    older: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: String,
    bytes: SecretBytes,
}

impl KeyRing {
    /// A ring of one fresh key. Whatever it seals is lost with it unless [`KeyRing::to_base64`] was kept.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        SystemRandom.fill(bytes.as_mut_slice());
        Self { primary: Key::new(bytes.as_slice()), older: Vec::new() }
    }

    /// Keys in base64, separated by white space or commas: the primary one first, then the older ones. Lines that begin
    /// with `#` are skipped.
    ///
    /// # Errors
    /// `Misconfigured` if there is none, or one is not 32 bytes in base64; the message names the command that makes one.
    pub fn from_base64(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let words = lines.flat_map(|line| line.split(|letter: char| letter.is_whitespace() || letter == ','));
        let mut keys = Vec::new();
        for (index, word) in words.filter(|word| !word.is_empty()).enumerate() {
            keys.push(Key::from_base64(word).ok_or_else(|| unusable(index + 1))?);
        }
        let mut keys = keys.into_iter();
        let primary = keys.next().ok_or_else(|| missing("the key text is empty"))?;
        Ok(Self { primary, older: keys.collect() })
    }

    /// Keys from the value of the environment variable `name`, in the form of [`KeyRing::from_base64`].
    ///
    /// # Errors
    /// `Misconfigured`, naming the variable and the command that makes a key.
    pub fn from_env_value(name: &str, value: Option<&str>) -> Result<Self> {
        match value.map(str::trim).filter(|value| !value.is_empty()) {
            None => Err(missing(&format!("{name} is not set"))),
            Some(value) => Self::from_base64(value).map_err(|error| named(name, &error)),
        }
    }

    /// Keys from a file in the form of [`KeyRing::from_base64`]; a file that does not exist is made with a fresh key and
    /// mode 0600. Two processes that start together end up with the same key. Blocks; meant for a program's start.
    ///
    /// # Errors
    /// `Misconfigured` if others than the owner may read the file (Unix), if it holds no key, or if it cannot be read or
    /// made.
    pub fn load_or_create_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let failed = |what: &str, error: io::Error| {
            let message = format!("the key file {name} cannot be {what}: {}", error.kind());
            Error::new(ErrorKind::Misconfigured, message).with_source(error)
        };
        if !path.try_exists().map_err(|error| failed("found", error))? {
            create(path, &Self::generate()).map_err(|error| failed("made", error))?;
        }
        refuse_readable_by_others(path, &name).map_err(|error| failed("read", error))??;
        let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| failed("read", error))?);
        Self::from_base64(&text).map_err(|error| named(&name, &error))
    }

    /// Adds a key that only unwraps.
    ///
    /// # Errors
    /// As [`KeyRing::from_base64`].
    pub fn with_older(mut self, base64: &str) -> Result<Self> {
        let ring = Self::from_base64(base64)?;
        self.older.push(ring.primary);
        self.older.extend(ring.older);
        Ok(self)
    }

    /// The keys in base64, one a line, primary first: for keeping them somewhere safe.
    #[must_use]
    pub fn to_base64(&self) -> crate::secret::SecretText {
        let mut text = String::new();
        for key in self.keys() {
            STANDARD.encode_string(key.bytes.expose(), &mut text);
            text.push('\n');
        }
        crate::secret::SecretText::new(text)
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.primary).chain(&self.older)
    }
}

impl Key {
    fn new(bytes: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(b"integration key id 1").chain_update(bytes).finalize();
        Self { id: hex::encode(&digest[..8]), bytes: SecretBytes::new(bytes.to_vec()) }
    }

    fn from_base64(word: &str) -> Option<Self> {
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let standard = GeneralPurpose::new(&base64::alphabet::STANDARD, config);
        let url_safe = GeneralPurpose::new(&base64::alphabet::URL_SAFE, config);
        let bytes = Zeroizing::new(standard.decode(word).or_else(|_| url_safe.decode(word)).ok()?);
        (bytes.len() == KEY_BYTES).then(|| Self::new(&bytes))
    }
}

fn missing(what: &str) -> Error {
    let action = format!("Make a key with `{MAKE_A_KEY}`, keep it safe, and hand it in.");
    let message = format!("no encryption key: {what}; make one with `{MAKE_A_KEY}`");
    Error::new(ErrorKind::Misconfigured, message).with_remedy(Remedy::new(
        "There is no key to encrypt secrets with.",
        Actor::Operator,
        action,
    ))
}

fn unusable(number: usize) -> Error {
    let message = format!("key {number} is not 32 bytes in base64; make one with `{MAKE_A_KEY}`");
    Error::new(ErrorKind::Misconfigured, message)
}

fn named(name: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("{name}: {}", error.message()))
}

/// Makes the file whole or not at all: whoever comes second finds a complete key.
fn create(path: &Path, ring: &KeyRing) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", SystemRandom.token(6)));
    let written = write_private(Path::new(&draft), ring.to_base64().expose().as_bytes());
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // File systems without hard links: the older way, in which a crash may leave an empty file.
        Err(_) => match write_private(path, ring.to_base64().expose().as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            written => written,
        },
        linked => linked,
    });
    // A draft that was never made cannot be removed; nothing else depends on it.
    let _ = fs::remove_file(&draft);
    linked
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(unix)]
fn refuse_readable_by_others(path: &Path, name: &str) -> io::Result<Result<()>> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(Ok(()));
    }
    let message = format!("the key file {name} is open to others (mode {mode:03o}); run `chmod 600 {name}`");
    Ok(Err(Error::new(ErrorKind::Misconfigured, message)))
}

#[cfg(not(unix))]
fn refuse_readable_by_others(_: &Path, _: &str) -> io::Result<Result<()>> {
    Ok(Ok(()))
}

#[async_trait]
impl KeyProvider for KeyRing {
    fn primary_key_id(&self) -> &str {
        &self.primary.id
    }

    async fn wrap(&self, associated: &[u8], data_key: &SecretBytes) -> Result<WrappedKey> {
        let mut nonce = [0; NONCE_BYTES];
        SystemRandom.fill(&mut nonce);
        let mut bytes = Vec::new();
        aead::encrypt(self.primary.bytes.expose(), nonce, associated, data_key.expose(), &mut bytes)?;
        Ok(WrappedKey::new(self.primary.id.as_str(), bytes))
    }

    async fn unwrap(&self, associated: &[u8], wrapped: &WrappedKey) -> Result<SecretBytes> {
        let Some(key) = self.keys().find(|key| key.id == wrapped.key_id) else {
            let remedy = Remedy::new(
                "A stored secret was sealed with a key that is not in the key ring.",
                Actor::Operator,
                "Add the key it was sealed with as an older key, or start with the right key.",
            );
            let message = "the key this record was sealed with is not in the key ring: wrong or missing key";
            return Err(Error::new(ErrorKind::Misconfigured, message).with_remedy(remedy));
        };
        aead::decrypt(key.bytes.expose(), associated, &wrapped.bytes)?.ok_or_else(super::vault::altered)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let older: Vec<&str> = self.older.iter().map(|key| key.id.as_str()).collect();
        f.debug_struct("KeyRing").field("primary", &self.primary.id).field("older", &older).finish()
    }
}
