//! Sealed records that somebody else had in their hands.

use std::sync::Arc;

use super::{KeyRing, SealContext, Sealer, Vault};
use crate::{
    ErrorKind, Result,
    clock::SystemRandom,
    ids::TenantId,
    secret::SecretBytes,
    testing::{assert_linear, fuzz},
};

/// The vault's futures never wait for anything but themselves here.
fn now<F: Future>(future: F) -> F::Output {
    futures_util::FutureExt::now_or_never(future).expect("a local key ring answers at once")
}

fn vault() -> Vault {
    Vault::new(Arc::new(KeyRing::generate()), Arc::new(SystemRandom))
}

fn place(record: &str) -> SealContext {
    SealContext::new(TenantId::new("tenant"), record, "tokens")
}

fn refused(opened: Result<SecretBytes>) {
    let error = opened.expect_err("a record that is not as it was sealed does not open");
    assert!(matches!(error.kind(), ErrorKind::Validation | ErrorKind::Misconfigured), "{error}");
}

#[test]
fn no_flipped_bit_and_no_cut_opens() {
    let vault = vault();
    let sealed = now(vault.seal(&place("a"), b"a refresh token")).unwrap().to_vec();
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        refused(now(vault.open(&place("a"), &flipped)));
    }
    for length in 0..sealed.len() {
        refused(now(vault.open(&place("a"), &sealed[..length])));
        assert!(now(vault.reseal(&place("b"), &place("b"), &sealed[..length])).is_err());
    }
    assert_eq!(now(vault.open(&place("a"), &sealed)).unwrap().expose(), b"a refresh token");
}

#[test]
fn mutated_and_mingled_records_do_not_open() {
    let vault = vault();
    let seal = |record: &str, plain: &[u8]| now(vault.seal(&place(record), plain)).unwrap();
    let (own, other) = (seal("a", b"tokens of a"), seal("b", b"tokens of b"));
    let (empty, large) = (seal("a", b""), seal("a", &[7; 10_000]));
    let genuine = [&own[..], &empty[..], &large[..]];
    fuzz("sealed records", 3_000, &[&own, &other, &empty, &large], &["ISV\x01", "ISV\x02", "\0", "\u{7f}"], |input| {
        let opened = now(vault.open(&place("a"), input));
        if genuine.contains(&input) {
            opened.unwrap();
        } else {
            refused(opened);
        }
        // Looks at the head only: whatever it says, it does not panic.
        let _ = vault.needs_resealing(input);
        assert!(now(vault.open(&place("c"), input)).is_err());
    });
}

#[test]
fn parts_of_two_records_do_not_make_a_third() {
    let vault = vault();
    let one = now(vault.seal(&place("a"), b"first")).unwrap();
    let two = now(vault.seal(&place("a"), b"other")).unwrap();
    assert_eq!(one.len(), two.len());
    for cut in 1..one.len() {
        let joined = [&one[..cut], &two[cut..]].concat();
        if joined != one && joined != two {
            refused(now(vault.open(&place("a"), &joined)));
        }
    }
}

#[test]
fn the_time_to_open_grows_with_the_size() {
    let vault = vault();
    let seal = |size: usize| now(vault.seal(&place("a"), &vec![7; size])).unwrap();
    assert_linear("opening", 500_000, seal, |sealed| drop(now(vault.open(&place("a"), sealed)).unwrap()));
    let rubbish = |size: usize| [b"ISV\x01\xff".as_slice(), &vec![b'x'; size]].concat();
    assert_linear("refusing", 500_000, rubbish, |sealed| refused(now(vault.open(&place("a"), sealed))));
}
