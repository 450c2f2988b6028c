use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use proptest::prelude::*;

use super::{KeyRing, SealContext, Sealer, Vault, rotate};
use crate::{
    ErrorKind, Result,
    clock::SystemRandom,
    ids::{GrantId, TenantId},
    store::{GrantKey, Saved, SealedRecord, TokenStore, Version},
};

fn vault(ring: &KeyRing) -> Vault {
    Vault::new(Arc::new(ring.clone()), Arc::new(SystemRandom))
}

fn context(tenant: &str, record: &str, field: &'static str) -> SealContext {
    SealContext::new(TenantId::new(tenant), record, field)
}

/// The vault's futures never wait for anything but themselves here.
fn now<F: Future>(future: F) -> F::Output {
    futures_util::FutureExt::now_or_never(future).expect("a local key ring answers at once")
}

#[test]
fn what_was_sealed_opens_again() {
    let vault = vault(&KeyRing::generate());
    let place = context("t", "g", "tokens");
    let sealed = now(vault.seal(&place, b"a refresh token")).unwrap();
    assert_eq!(now(vault.open(&place, &sealed)).unwrap().expose(), b"a refresh token");
}

#[test]
fn sealing_twice_never_gives_the_same_bytes() {
    let vault = vault(&KeyRing::generate());
    let place = context("t", "g", "tokens");
    assert_ne!(now(vault.seal(&place, b"x")).unwrap(), now(vault.seal(&place, b"x")).unwrap());
}

#[test]
fn a_record_moved_to_another_place_does_not_open() {
    let vault = vault(&KeyRing::generate());
    let sealed = now(vault.seal(&context("t", "g", "tokens"), b"x")).unwrap();
    let elsewhere = [
        context("u", "g", "tokens"),
        context("t", "h", "tokens"),
        context("t", "g", "quarantine"),
        context("tg", "", "tokens"),
        context("t", "gtokens", ""),
    ];
    for place in elsewhere {
        assert_eq!(now(vault.open(&place, &sealed)).unwrap_err().kind(), ErrorKind::Validation, "{place:?}");
    }
}

#[test]
fn an_unknown_key_is_the_operators_business() {
    let place = context("t", "g", "tokens");
    let sealed = now(vault(&KeyRing::generate()).seal(&place, b"x")).unwrap();
    let error = now(vault(&KeyRing::generate()).open(&place, &sealed)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.remedy().is_some());
}

#[test]
fn resealing_changes_key_and_version_and_keeps_the_content() {
    let old = KeyRing::generate();
    let new = KeyRing::generate().with_older(old.to_base64().expose()).unwrap();
    let place = context("t", "g", "tokens");
    let sealed = now(vault(&old).seal(&place, b"x")).unwrap();
    assert!(vault(&new).needs_resealing(&sealed).unwrap());
    let again = now(vault(&new).reseal(&place, &place.clone().at_version(2), &sealed)).unwrap();
    assert!(!vault(&new).needs_resealing(&again).unwrap());
    let place = place.at_version(2);
    assert!(now(vault(&old).open(&place, &again)).is_err());
    assert_eq!(now(vault(&new).open(&place, &again)).unwrap().expose(), b"x");
}

#[test]
fn resealing_from_another_place_is_refused() {
    let ring = KeyRing::generate();
    let (here, elsewhere) = (context("t", "g", "tokens"), context("u", "g", "tokens"));
    let sealed = now(vault(&ring).seal(&here, b"x")).unwrap();
    assert!(now(vault(&ring).reseal(&elsewhere, &here, &sealed)).is_err());
}

#[test]
fn a_record_opens_for_no_version_but_its_own() {
    let vault = vault(&KeyRing::generate());
    let place = |version: u64| context("t", "g", "tokens").at_version(version);
    let sealed = now(vault.seal(&place(2), b"x")).unwrap();
    assert_eq!(now(vault.open(&place(2), &sealed)).unwrap().expose(), b"x");
    for other in [place(1), place(3), place(0), context("t", "g", "tokens")] {
        assert_eq!(now(vault.open(&other, &sealed)).unwrap_err().kind(), ErrorKind::Validation, "{other:?}");
    }
}

#[test]
fn a_record_of_the_format_without_versions_still_opens_but_cannot_pass_for_another() {
    // Sealed before there were versions, with this key.
    let ring = KeyRing::from_base64("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=").unwrap();
    let stored = concat!(
        "495356011035663965343636613561356636346530003c1539c28db691ad777466ae56668d2bbc763830d19f8c1d8d3b",
        "c801d9c823a7a64ceb3cd40c7f8311eaf370b38515cee073ef55791ef3a27f20382bda389963621153ae232d2c840f3c",
        "efea31bec53b2b96a6efe8ac0467c432e037e7b66f10a2f8ffbca96fbe69",
    );
    let sealed = hex::decode(stored).unwrap();
    let place = context("t", "g", "tokens");
    for place in [place.clone(), place.at_version(7)] {
        assert_eq!(now(vault(&ring).open(&place, &sealed)).unwrap().expose(), b"a refresh token");
        let mut newer = sealed.clone();
        newer[3] = 2;
        assert!(now(vault(&ring).open(&place, &newer)).is_err(), "the format is part of what is sealed");
    }
}

#[test]
fn debug_shows_no_key() {
    let ring = KeyRing::generate();
    let text = format!("{ring:?} {:?}", vault(&ring));
    assert!(!text.contains(ring.to_base64().expose().trim()));
}

#[test]
fn a_missing_key_names_the_command_that_makes_one() {
    for error in
        [KeyRing::from_env_value("APP_KEY", None), KeyRing::from_base64("# nothing\n"), KeyRing::from_base64("abc")]
    {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.message().contains("head -c 32 /dev/urandom | base64"), "{error}");
    }
    assert!(KeyRing::from_env_value("APP_KEY", None).unwrap_err().message().contains("APP_KEY"));
}

#[cfg(unix)]
#[test]
fn a_key_file_is_made_once_and_only_for_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let first = KeyRing::load_or_create_file(&path).unwrap();
    let second = KeyRing::load_or_create_file(&path).unwrap();
    assert_eq!(first.to_base64(), second.to_base64());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left behind");
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    KeyRing::load_or_create_file(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = KeyRing::load_or_create_file(&path).unwrap_err();
    assert!(error.message().contains("chmod 600"), "{error}");
}

proptest! {
    #[test]
    fn any_change_to_a_sealed_record_keeps_it_from_opening(
        plain in proptest::collection::vec(any::<u8>(), 0..200),
        position in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let vault = vault(&KeyRing::generate());
        let place = context("t", "g", "tokens");
        let mut sealed = now(vault.seal(&place, &plain)).unwrap().to_vec();
        let position = position.index(sealed.len());
        sealed[position] ^= flip;
        prop_assert!(now(vault.open(&place, &sealed)).is_err());
    }

    #[test]
    fn a_sealed_record_cut_or_lengthened_does_not_open(cut in any::<prop::sample::Index>(), more in any::<u8>()) {
        let vault = vault(&KeyRing::generate());
        let place = context("t", "g", "tokens");
        let sealed = now(vault.seal(&place, b"some tokens")).unwrap().to_vec();
        prop_assert!(now(vault.open(&place, &sealed[..cut.index(sealed.len())])).is_err());
        prop_assert!(now(vault.open(&place, &[sealed, vec![more]].concat())).is_err());
    }

    #[test]
    fn hostile_bytes_are_refused_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), magic in any::<bool>()) {
        let vault = vault(&KeyRing::generate());
        let bytes = if magic { [b"ISV\x01".as_slice(), &bytes].concat() } else { bytes };
        prop_assert!(now(vault.open(&context("t", "g", "tokens"), &bytes)).is_err());
        let _ = vault.needs_resealing(&bytes);
    }
}

/// A token store in memory; the first save after `interfere` meets somebody else's save.
#[derive(Debug, Default)]
struct Tokens {
    records: Mutex<BTreeMap<GrantKey, SealedRecord>>,
    interfere: AtomicBool,
    /// What somebody else saves in between.
    refreshed: Mutex<Option<SealedRecord>>,
}

#[async_trait]
impl TokenStore for Tokens {
    async fn load(&self, tenant: &TenantId, grant: &GrantId) -> Result<Option<SealedRecord>> {
        let key = GrantKey { tenant: tenant.clone(), grant: grant.clone() };
        Ok(self.records.lock().unwrap().get(&key).cloned())
    }

    async fn save(
        &self,
        tenant: &TenantId,
        grant: &GrantId,
        expect: Option<Version>,
        record: &SealedRecord,
    ) -> Result<Saved> {
        let key = GrantKey { tenant: tenant.clone(), grant: grant.clone() };
        let mut records = self.records.lock().unwrap();
        if self.interfere.swap(false, Ordering::SeqCst) {
            records.insert(key.clone(), self.refreshed.lock().unwrap().take().unwrap());
        }
        let stored = records.get(&key).map(|record| record.version);
        if stored != expect {
            return Ok(Saved::Stale);
        }
        let version = Version(stored.map_or(1, |version| version.0 + 1));
        records.insert(key, SealedRecord::loaded(version, record.bytes.clone()));
        Ok(Saved::Stored(version))
    }

    async fn delete(&self, tenant: &TenantId, grant: &GrantId) -> Result<()> {
        self.records.lock().unwrap().remove(&GrantKey { tenant: tenant.clone(), grant: grant.clone() });
        Ok(())
    }

    async fn list(&self, after: Option<&GrantKey>, limit: usize) -> Result<Vec<GrantKey>> {
        let records = self.records.lock().unwrap();
        Ok(records.keys().filter(|key| after.is_none_or(|after| *key > after)).take(limit).cloned().collect())
    }
}

#[test]
fn rotation_reseals_every_token_set_even_if_a_refresh_comes_in_between() {
    let old = KeyRing::generate();
    let new = KeyRing::generate().with_older(old.to_base64().expose()).unwrap();
    let tokens = Tokens::default();
    let ids: Vec<GrantId> = (0..250).map(|number| GrantId::new(format!("{number:03}"))).collect();
    let tenant = TenantId::new("t");
    for id in &ids {
        let context = super::rotation::token_context(&tenant, id, Version(1));
        let sealed = now(vault(&old).seal(&context, id.as_str().as_bytes())).unwrap();
        now(tokens.save(&tenant, id, None, &SealedRecord::new(sealed))).unwrap();
    }
    // A refresh of the first one comes in between.
    let context = super::rotation::token_context(&tenant, &ids[0], Version(2));
    let refreshed = now(vault(&old).seal(&context, ids[0].as_str().as_bytes())).unwrap();
    *tokens.refreshed.lock().unwrap() = Some(SealedRecord::loaded(Version(2), refreshed));
    tokens.interfere.store(true, Ordering::SeqCst);
    let done = now(rotate(&tokens, &vault(&new))).unwrap();
    assert_eq!((done.checked, done.resealed, done.busy, done.unreadable), (250, 250, 0, 0));
    for id in &ids {
        let record = now(tokens.load(&tenant, id)).unwrap().unwrap();
        assert!(!vault(&new).needs_resealing(&record.bytes).unwrap());
        let context = super::rotation::token_context(&tenant, id, record.version);
        let plain = now(vault(&new).open(&context, &record.bytes)).unwrap();
        assert_eq!(plain.expose(), id.as_str().as_bytes());
    }
}
