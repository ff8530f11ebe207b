//! Keyrings in the forms in which people have them, and those that are built in.

use bedplate_testkit::debian::hash::Hash as Digest;
use bedplate_trust::{Builtin, Keyring, KeyringError, MAX_CERTIFICATES, MAX_KEYRING, UnixSeconds, verify_cleartext};

use crate::{
    judgement::{BORN, T, TEXT, key},
    keys::{KeySpec, Revocation, SignSpec, SigningKey},
};

#[test]
fn forms() {
    let (a, b) = (key("a"), key("b"));
    let armoured = String::from_utf8(a.certificate_armoured()).unwrap();
    let both = [armoured.as_bytes(), &b.certificate_armoured()].concat();
    for (name, bytes, expected) in [
        ("binary", a.certificate(), 1),
        ("two binary", [a.certificate(), b.certificate()].concat(), 2),
        ("the same twice", a.certificate().repeat(2), 1),
        ("armoured", armoured.clone().into_bytes(), 1),
        ("two blocks", both.clone(), 2),
        ("text around", format!("pub rsa4096\n{armoured}\nthat was it\n").into_bytes(), 1),
        ("CRLF", armoured.replace('\n', "\r\n").into_bytes(), 1),
    ] {
        let keyring = Keyring::parse(name, &bytes).unwrap();
        assert_eq!((keyring.len(), keyring.is_empty()), (expected, false), "{name}");
        assert!(keyring.contains(&a.fingerprint()), "{name}");
        assert_eq!(keyring.names(), [name]);
        assert!(keyring.skipped().is_empty());
    }
}

#[test]
fn refused_with_the_reason() {
    let a = key("a");
    let mut keybox = vec![0; 32];
    keybox[8..12].copy_from_slice(b"KBXf");
    let armoured = String::from_utf8(a.certificate_armoured()).unwrap();
    for (bytes, expected) in [
        (Vec::new(), "keyring \"x\" holds no OpenPGP certificate".to_owned()),
        (b"<html>".to_vec(), "keyring \"x\" holds no OpenPGP certificate".into()),
        (keybox, "keyring \"x\" is a GnuPG keybox, a private format of GnuPG; export its keys: gpg --no-default-keyring --keyring FILE.kbx --export > FILE.gpg".into()),
        (a.private(), format!("keyring \"x\" holds the private key of {0}, which no keyring needs; export the public one: gpg --export {0}", a.fingerprint())),
        (armoured.as_bytes()[..armoured.len() / 2].to_vec(), "keyring \"x\": the document ends before its line END".into()),
        (armoured.replace("\n\n", "\n\n*").into_bytes(), "keyring \"x\": line 3: not base64".into()),
        (a.sign_detached_binary(TEXT, &SignSpec::at(T)), "keyring \"x\": certificate 1 cannot be read: ".into()),
    ] {
        let found = Keyring::parse("x", &bytes).unwrap_err().to_string();
        assert!(found.starts_with(&expected), "expected {expected}\nfound    {found}");
    }
}

#[test]
fn a_certificate_that_is_not_known_is_skipped() {
    let a = key("a");
    // A public-key packet of version 99.
    let unknown = [0x99, 0, 6, 99, 0, 0, 0, 0, 1];
    let keyring = Keyring::parse("x", &[&unknown[..], &a.certificate()].concat()).unwrap();
    assert_eq!((keyring.len(), keyring.skipped().len()), (1, 1), "{:?}", keyring.skipped());
    let found = Keyring::parse("x", &unknown).unwrap_err();
    assert!(matches!(found, KeyringError::Certificate { .. }), "{found}");
}

#[test]
fn descriptions() {
    let spec = KeySpec { expires: Some(T), subkey: true, ..KeySpec::new("A\u{7}b <a@example.org>", BORN) };
    let key = SigningKey::generate(&spec);
    let keyring = Keyring::parse("x", &key.certificate()).unwrap();
    let found: Vec<_> = keyring.certificates().collect();
    let [found] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(found.fingerprint, key.fingerprint());
    assert_eq!(found.subkeys, [key.signing_fingerprint()]);
    assert_eq!(found.user_ids, ["A\u{fffd}b <a@example.org>"]);
    assert_eq!((found.created, found.expires, found.revoked), (BORN, Some(T), false));
    let revoked = Keyring::parse("x", &key.revoked(T, Revocation::Retired).certificate()).unwrap();
    assert!(revoked.certificates().all(|certificate| certificate.revoked));
}

#[test]
fn merging_keeps_revocations() {
    let a = key("a");
    let document = a.sign_cleartext(TEXT, &SignSpec::at(T));
    let judgement = bedplate_trust::Judgement::Now(T);
    let fresh = || Keyring::parse("fresh", &a.certificate()).unwrap();
    let revoked = || Keyring::parse("revoked", &a.revoked(T, Revocation::Compromised).certificate()).unwrap();
    assert!(verify_cleartext(&document, &fresh(), &judgement).is_ok());
    for (mut first, second) in [(fresh(), revoked()), (revoked(), fresh())] {
        first.merge(second);
        assert_eq!((first.len(), first.names().len()), (1, 2));
        let found = verify_cleartext(&document, &first, &judgement).unwrap_err().to_string();
        assert!(found.contains("the key was revoked"), "{found}");
    }
}

#[test]
fn limits_hold_on_both_sides() {
    let certificate = key("a").certificate();
    assert!(Keyring::parse("x", &certificate.repeat(MAX_CERTIFICATES)).is_ok());
    let found = Keyring::parse("x", &certificate.repeat(MAX_CERTIFICATES + 1)).unwrap_err().to_string();
    assert_eq!(found, "keyring \"x\" has 8193 certificates, more than 8192");
    let padded = |size: usize| {
        let block = key("a").certificate_armoured();
        [&block[..], &vec![b'\n'; size - block.len()]].concat()
    };
    assert!(Keyring::parse("x", &padded(MAX_KEYRING)).is_ok());
    let found = Keyring::parse("x", &padded(MAX_KEYRING + 1)).unwrap_err().to_string();
    assert_eq!(found, "keyring \"x\" has 67108865 bytes, more than 67108864");
}

#[test]
fn built_in_keyrings_are_those_of_the_packages() {
    let readme = include_str!("../../keyrings/README.md");
    for (builtin, count) in [(Builtin::Debian, 9), (Builtin::DebianRemoved, 23), (Builtin::Ubuntu, 3)] {
        let keyring = builtin.keyring().unwrap();
        assert_eq!((keyring.len(), keyring.skipped()), (count, &[][..]), "{}", builtin.name());
        assert!(
            readme.contains(&Digest::Sha256.hex(builtin.bytes())),
            "{} is not the file of the table",
            builtin.name()
        );
        assert_eq!(Builtin::find(builtin.name()), Some(builtin));
    }
    assert_eq!(Builtin::find("ubuntu-archive-removed-keys"), None);
}

#[test]
fn built_in_keyrings_hold_the_keys_of_the_archives() {
    for (builtin, fingerprint, user, expires) in [
        (
            Builtin::Debian,
            "1F89983E0081FDE018F3CC9673A4F27B8DD47936",
            "Debian Archive Automatic Signing Key (11/bullseye) <ftpmaster@debian.org>",
            true,
        ),
        (
            Builtin::Debian,
            "AC530D520F2F3269F5E98313A48449044AAD5C5D",
            "Debian Security Archive Automatic Signing Key (11/bullseye) <ftpmaster@debian.org>",
            true,
        ),
        (
            Builtin::Debian,
            "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8",
            "Debian Archive Automatic Signing Key (12/bookworm) <ftpmaster@debian.org>",
            true,
        ),
        (
            Builtin::Debian,
            "05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0",
            "Debian Security Archive Automatic Signing Key (12/bookworm) <ftpmaster@debian.org>",
            true,
        ),
        (
            Builtin::Debian,
            "4D64FEC119C2029067D6E791F8D2585B8783D481",
            "Debian Stable Release Key (12/bookworm) <debian-release@lists.debian.org>",
            true,
        ),
        (
            Builtin::Debian,
            "04B54C3CDCA79751B16BC6B5225629DF75B188BD",
            "Debian Archive Automatic Signing Key (13/trixie) <ftpmaster@debian.org>",
            true,
        ),
        (
            Builtin::Debian,
            "5E04A1E3223A19A20706E20F9904613D4CCE68C6",
            "Debian Security Archive Automatic Signing Key (13/trixie) <ftpmaster@debian.org>",
            true,
        ),
        (
            Builtin::Debian,
            "41587F7DB8C774BCCF131416762F67A0B2C39DE4",
            "Debian Stable Release Key (13/trixie) <debian-release@lists.debian.org>",
            true,
        ),
        (
            Builtin::DebianRemoved,
            "126C0D24BD8A2942CC7DF8AC7638D0442B90D010",
            "Debian Archive Automatic Signing Key (8/jessie) <ftpmaster@debian.org>",
            true,
        ),
        (
            Builtin::DebianRemoved,
            "80D15823B7FD1561F9F7BCDDDC30D7C23CBBABEE",
            "Debian Archive Automatic Signing Key (10/buster) <ftpmaster@debian.org>",
            true,
        ),
        (
            Builtin::Ubuntu,
            "790BC7277767219C42C86F933B4FE6ACC0B21F32",
            "Ubuntu Archive Automatic Signing Key (2012) <ftpmaster@ubuntu.com>",
            false,
        ),
        (
            Builtin::Ubuntu,
            "F6ECB3762474EDA9D21B7022871920D1991BC93C",
            "Ubuntu Archive Automatic Signing Key (2018) <ftpmaster@ubuntu.com>",
            false,
        ),
    ] {
        let keyring = builtin.keyring().unwrap();
        let fingerprint = fingerprint.parse().unwrap();
        let found = keyring.certificates().find(|certificate| certificate.fingerprint == fingerprint);
        let found = found.unwrap_or_else(|| panic!("{} lacks {fingerprint}", builtin.name()));
        assert_eq!(found.user_ids, [user]);
        assert_eq!(found.expires.is_some(), expires, "{user}");
        assert!(!found.revoked);
        assert!(found.created > UnixSeconds(1_300_000_000));
    }
}
