//! Which key may speak, and when.

use bedplate_trust::{Judgement, Keyring, SKEW, Signed, TrustError, UnixSeconds, verify_cleartext, verify_detached};

use crate::keys::{Hash, KeySpec, Revocation, SignSpec, SigningKey, sign_cleartext, sign_detached};

/// When signatures of these tests are made, if they do not say otherwise.
pub(crate) const T: UnixSeconds = UnixSeconds(1_700_000_000);
/// When their keys were made.
pub(crate) const BORN: UnixSeconds = UnixSeconds(1_600_000_000);
/// A document.
pub(crate) const TEXT: &[u8] = b"Suite: stable\n- dashed\n";

pub(crate) fn key(name: &str) -> SigningKey {
    SigningKey::generate(&KeySpec::new(name, BORN))
}

pub(crate) fn ring(keys: &[&SigningKey]) -> Keyring {
    let bytes: Vec<u8> = keys.iter().flat_map(|key| key.certificate()).collect();
    Keyring::parse("test", &bytes).unwrap()
}

fn verdict(result: Result<Signed, TrustError>) -> String {
    match result {
        Ok(signed) => format!("good, {} beside", signed.others.len()),
        Err(error) => error.to_string(),
    }
}

fn now(seconds: u64) -> Judgement {
    Judgement::Now(UnixSeconds(seconds))
}

fn life(from: u64, until: u64) -> Judgement {
    Judgement::AtSignature { from: UnixSeconds(from), until: UnixSeconds(until) }
}

#[test]
fn keys_and_times() {
    let good = key("good");
    let brief = SigningKey::generate(&KeySpec { expires: Some(T.plus(100)), ..KeySpec::new("brief", BORN) });
    let with_subkey = SigningKey::generate(&KeySpec { subkey: true, ..KeySpec::new("subkey", BORN) });
    let compromised = good.revoked(T.plus(50), Revocation::Compromised);
    let retired = good.revoked(T.plus(50), Revocation::Retired);
    let at = SignSpec::at(T);
    let f = |key: &SigningKey, rest: &str| format!("signature by {}: {rest}", key.fingerprint());
    let t = T.0;
    let fine = "good, 0 beside".to_owned();
    #[rustfmt::skip]
    let cases = [
        // keyring      | signer       | how                                        | judged                  | verdict
        (&good,         &good,         at,                                          now(t + 10),              fine.clone()),
        (&with_subkey,  &with_subkey,  at,                                          now(t + 10),              fine.clone()),
        (&good,         &good,         at.with_hash(Hash::Sha256),                  now(t + 10),              fine.clone()),
        // The clock of this machine is behind.
        (&good,         &good,         at,                                          now(t - SKEW),            fine.clone()),
        (&good,         &good,         at,                                          now(t - SKEW - 1),        f(&good, "the signature was made on 2023-11-14 22:13:20 UTC, in the future of this machine's clock (2023-11-14 21:58:19 UTC)")),
        // The key expires.
        (&brief,        &brief,        at,                                          now(t + 99),              fine.clone()),
        (&brief,        &brief,        at,                                          now(t + 100),             f(&brief, "the key expired on 2023-11-14 22:15:00 UTC, judged at 2023-11-14 22:15:00 UTC")),
        (&brief,        &brief,        at,                                          now(t + 1_000_000_000),   f(&brief, "the key expired on 2023-11-14 22:15:00 UTC, judged at 2055-07-24 00:00:00 UTC")),
        // Ended suites: at the signature's time, both ends of the life included.
        (&brief,        &brief,        at,                                          life(t, t),               fine.clone()),
        (&brief,        &brief,        at,                                          life(t + 1, t + 9),       f(&brief, "the signature was made on 2023-11-14 22:13:20 UTC, outside of the suite's life from 2023-11-14 22:13:21 UTC until 2023-11-14 22:13:29 UTC")),
        (&brief,        &brief,        at,                                          life(0, t - 1),           f(&brief, "the signature was made on 2023-11-14 22:13:20 UTC, outside of the suite's life from 1970-01-01 00:00:00 UTC until 2023-11-14 22:13:19 UTC")),
        (&brief,        &brief,        SignSpec::at(T.plus(100)),                   life(0, t + 1000),        f(&brief, "the key expired on 2023-11-14 22:15:00 UTC, judged at 2023-11-14 22:15:00 UTC")),
        // Revoked: compromised falls for ever, retired for what is judged later.
        (&compromised,  &good,         at,                                          now(t + 60),              f(&good, "the key was revoked on 2023-11-14 22:14:10 UTC (Key material has been compromised: test)")),
        (&compromised,  &good,         at,                                          now(t + 40),              f(&good, "the key was revoked on 2023-11-14 22:14:10 UTC (Key material has been compromised: test)")),
        (&compromised,  &good,         at,                                          life(0, t + 60),          f(&good, "the key was revoked on 2023-11-14 22:14:10 UTC (Key material has been compromised: test)")),
        (&retired,      &good,         at,                                          now(t + 60),              f(&good, "the key was revoked on 2023-11-14 22:14:10 UTC (Key is retired and no longer used: test)")),
        (&retired,      &good,         at,                                          now(t + 40),              fine.clone()),
        (&retired,      &good,         at,                                          life(0, t + 60),          fine.clone()),
        (&retired,      &good,         SignSpec::at(T.plus(55)),                    life(0, t + 60),          f(&good, "the key was revoked on 2023-11-14 22:14:10 UTC (Key is retired and no longer used: test)")),
        // Hashes that can be forged are never good enough, whatever the time.
        (&good,         &good,         at.with_hash(Hash::Sha1),                    now(t + 10),              f(&good, "the signature's hash SHA1 is too weak")),
        (&good,         &good,         at.with_hash(Hash::Sha1),                    life(0, t + 10),          f(&good, "the signature's hash SHA1 is too weak")),
        (&good,         &good,         at.with_hash(Hash::Md5),                     now(t + 10),              f(&good, "the signature's hash MD5 is too weak")),
        // The signature itself has an end.
        (&good,         &good,         SignSpec { expires_after: Some(100), ..at }, now(t + 99),              fine.clone()),
        (&good,         &good,         SignSpec { expires_after: Some(100), ..at }, now(t + 100),             f(&good, "the signature expired on 2023-11-14 22:15:00 UTC")),
        (&good,         &good,         SignSpec { expires_after: Some(100), ..at }, life(0, t + 1000),        fine.clone()),
        // Nobody knows it.
        (&brief,        &good,         at,                                          now(t + 10),              format!("signed by no trusted key: {}", good.fingerprint())),
        (&brief,        &with_subkey,  at,                                          now(t + 10),              format!("signed by no trusted key: {}", with_subkey.signing_fingerprint())),
        // A signature before the key was made is none.
        (&good,         &good,         SignSpec::at(UnixSeconds(BORN.0 - 1)),       now(t + 10),              f(&good, "bad signature: the bytes are not those that were signed")),
    ];
    for (row, (keyring, signer, how, judgement, expected)) in cases.into_iter().enumerate() {
        let keyring = ring(&[keyring]);
        let signed = verify_cleartext(&signer.sign_cleartext(TEXT, &how), &keyring, &judgement);
        assert_eq!(verdict(signed), expected, "row {row}, cleartext");
        let signed = verify_detached(TEXT, &signer.sign_detached(TEXT, &how), &keyring, &judgement);
        assert_eq!(verdict(signed), expected, "row {row}, detached");
    }
}

#[test]
fn sha1_was_never_good_enough_for_a_document() {
    let old = SigningKey::generate(&KeySpec::new("old", UnixSeconds(1_000_000_000)));
    let at = UnixSeconds(1_100_000_000);
    let document = old.sign_cleartext(TEXT, &SignSpec::at(at).with_hash(Hash::Sha1));
    let judgement = Judgement::AtSignature { from: at, until: at };
    let found = verify_cleartext(&document, &ring(&[&old]), &judgement).unwrap_err().to_string();
    assert!(found.ends_with("the signature's hash SHA1 is too weak"), "{found}");
    let document = old.sign_cleartext(TEXT, &SignSpec::at(at));
    assert!(verify_cleartext(&document, &ring(&[&old]), &judgement).is_ok());
}

#[test]
fn says_who_signed() {
    for spec in [
        KeySpec::new("plain", BORN),
        KeySpec { subkey: true, ..KeySpec::new("subkey", BORN) },
        KeySpec { rsa: true, ..KeySpec::new("rsa", BORN) },
    ] {
        let key = SigningKey::generate(&spec);
        let signed = verify_cleartext(&key.sign_cleartext(TEXT, &SignSpec::at(T)), &ring(&[&key]), &now(T.0)).unwrap();
        assert_eq!(signed.signer, key.fingerprint());
        assert_eq!(signed.signing_key, key.signing_fingerprint());
        assert_eq!(signed.signer == signed.signing_key, !spec.subkey);
        assert_eq!(signed.signed_at, T);
        assert_eq!(signed.text, TEXT);
    }
}

#[test]
fn one_good_signature_is_enough() {
    let (a, b, stranger) = (key("a"), key("b"), key("stranger"));
    let keyring = ring(&[&a, &b]);
    let at = SignSpec::at(T);
    let weak = at.with_hash(Hash::Sha1);
    let future = SignSpec::at(T.plus(SKEW + 11));
    let forged = |key: &SigningKey| {
        let signature = key.sign_detached_binary(b"something else\n", &at);
        crate::keys::armoured("SIGNATURE", &signature)
    };
    let together = |blocks: &[Vec<u8>]| blocks.concat();
    let of = |key: &SigningKey, how: &SignSpec| key.sign_detached(TEXT, how);
    let f = |key: &SigningKey, rest: &str| format!("signature by {}: {rest}", key.fingerprint());
    let bad = "bad signature: the bytes are not those that were signed";
    let mut strangers = [stranger.fingerprint().to_string(), key("other").fingerprint().to_string()];
    strangers.sort();
    let cases = [
        (together(&[of(&a, &at), of(&b, &at)]), "good, 0 beside".to_owned()),
        (together(&[of(&stranger, &at), of(&b, &at)]), "good, 1 beside".into()),
        (together(&[of(&a, &weak), of(&b, &at)]), "good, 1 beside".into()),
        (together(&[forged(&a), of(&b, &at), forged(&stranger)]), "good, 2 beside".into()),
        (together(&[forged(&stranger), of(&b, &at)]), "good, 1 beside".into()),
        // None: what explains it best is said.
        (together(&[of(&stranger, &at), of(&a, &weak)]), f(&a, "the signature's hash SHA1 is too weak")),
        (together(&[of(&a, &weak), forged(&b)]), f(&b, bad)),
        (together(&[of(&a, &future), of(&stranger, &at), forged(&b)]), f(&b, bad)),
        (together(&[forged(&stranger)]), format!("signed by no trusted key: {}", stranger.fingerprint())),
    ];
    for (row, (signatures, expected)) in cases.into_iter().enumerate() {
        assert_eq!(verdict(verify_detached(TEXT, &signatures, &keyring, &now(T.0 + 10))), expected, "row {row}");
    }
    // In one block, too.
    let document = sign_cleartext(TEXT, &[(&stranger, at), (&a, weak), (&b, at)]);
    let signed = verify_cleartext(&document, &keyring, &now(T.0 + 10)).unwrap();
    assert_eq!((signed.signer, signed.others.len()), (b.fingerprint(), 2));
    assert_eq!(
        signed.others.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [f(&stranger, "the key is in no keyring"), f(&a, "the signature's hash SHA1 is too weak")]
    );
    let document = sign_detached(TEXT, &[(&stranger, at), (&b, at), (&a, at)]);
    let signed = verify_detached(TEXT, &document, &keyring, &now(T.0 + 10)).unwrap();
    assert_eq!((signed.signer, signed.signers), (b.fingerprint(), vec![b.fingerprint(), a.fingerprint()]));
}

#[test]
fn a_certificate_that_may_not_sign_does_not() {
    let key = SigningKey::generate(&KeySpec { subkey: true, ..KeySpec::new("subkey", BORN) });
    let document = key.with_primary_signing().sign_cleartext(TEXT, &SignSpec::at(T));
    let found = verify_cleartext(&document, &ring(&[&key]), &now(T.0)).unwrap_err().to_string();
    assert_eq!(found, format!("signature by {}: the key is not for signing data", key.fingerprint()));
}

#[test]
fn errors_say_what_to_do() {
    let (a, b) = (key("a"), key("b"));
    let document = a.sign_cleartext(TEXT, &SignSpec::at(T));
    for (document, keyring, judgement, expected) in [
        (&document[..], ring(&[&b]), now(T.0), "`bedplate keyring update debian`"),
        (&document[..], ring(&[&b]), now(T.0), "--keyring FILE"),
        (&document[..], ring(&[&a]), now(T.0 - 86_400), "clock"),
        (&document[..], ring(&[&a]), life(0, 1), "archive that holds the ended suite"),
        (&b"<html>"[..], ring(&[&a]), now(T.0), "--allow-unsigned"),
        (&document[..document.len() / 2], ring(&[&a]), now(T.0), "another mirror"),
    ] {
        let error = verify_cleartext(document, &keyring, &judgement).unwrap_err();
        assert!(error.remedy("debian").contains(expected), "{error}: {}", error.remedy("debian"));
    }
}
