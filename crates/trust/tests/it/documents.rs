//! Which bytes are signed, and what is refused by its form.

use bedplate_trust::{
    Judgement, MAX_DOCUMENT, MAX_SIGNATURE_BYTES, MAX_SIGNATURES, TrustError, verify_cleartext, verify_detached,
};
use proptest::prelude::*;

use crate::{
    judgement::{T, TEXT, key, ring},
    keys::{SignSpec, armoured},
};

const NOW: Judgement = Judgement::Now(T);

#[test]
fn text_is_what_was_signed() {
    let key = key("a");
    let keyring = ring(&[&key]);
    for (signed, expected) in [
        ("", ""),
        ("\n", ""),
        ("a", "a\n"),
        ("a\n\n\n", "a\n\n\n"),
        ("- a\n--\n-----BEGIN PGP SIGNATURE-----\n", "- a\n--\n-----BEGIN PGP SIGNATURE-----\n"),
        ("a \t\r\n b\n", "a\n b\n"),
        ("\u{feff}ä\n", "\u{feff}ä\n"),
    ] {
        let document = key.sign_cleartext(signed.as_bytes(), &SignSpec::at(T));
        let found = verify_cleartext(&document, &keyring, &NOW).unwrap();
        assert_eq!(String::from_utf8(found.text).unwrap(), expected, "{signed:?}");
        // A mail gateway or a checkout with other line ends takes nothing away, and adds nothing.
        let windows = String::from_utf8(document).unwrap().replace('\n', " \r\n");
        let found = verify_cleartext(windows.as_bytes(), &keyring, &NOW).unwrap();
        assert_eq!(String::from_utf8(found.text).unwrap(), expected, "{signed:?} with CRLF");
    }
    let document = b"Suite: x\n\r\n trailing \n";
    let found = verify_detached(document, &key.sign_detached(document, &SignSpec::at(T)), &keyring, &NOW).unwrap();
    assert_eq!(found.text, document);
}

#[test]
fn changed_text_is_refused() {
    let key = key("a");
    let keyring = ring(&[&key]);
    let document =
        String::from_utf8(key.sign_cleartext(b"Suite: stable\nCodename: trixie\n", &SignSpec::at(T))).unwrap();
    let bad = format!("signature by {}: bad signature: the bytes are not those that were signed", key.fingerprint());
    for (from, to) in [
        ("stable", "Stable"),
        ("Suite: stable\n", ""),
        ("trixie\n", "trixie\n\n"),
        ("Suite", " Suite"),
        ("Suite: stable\n", "Suite:\n stable\n"),
        ("trixie", "trixie\u{c}"),
        ("Codename", "- - Codename"),
        ("Suite: stable\n", "Suite: stable\rX\n"),
    ] {
        let changed = document.replacen(from, to, 1);
        assert_ne!(changed, document);
        assert_eq!(verify_cleartext(changed.as_bytes(), &keyring, &NOW).unwrap_err().to_string(), bad, "{to:?}");
    }
    // The escape belongs to the frame: a line may have it without need.
    let escaped = document.replace("Codename", "- Codename");
    assert!(verify_cleartext(escaped.as_bytes(), &keyring, &NOW).is_ok());
    for (document, expected) in [(&b"Suite: x\n"[..], &bad[..]), (b"", &bad)] {
        let signature = key.sign_detached(TEXT, &SignSpec::at(T));
        assert_eq!(verify_detached(document, &signature, &keyring, &NOW).unwrap_err().to_string(), expected);
    }
}

#[test]
fn detached_signatures_come_in_many_forms() {
    let (a, b) = (key("a"), key("b"));
    let keyring = ring(&[&a]);
    let spec = SignSpec::at(T);
    let packet = a.sign_detached_binary(TEXT, &spec);
    let block = a.sign_detached(TEXT, &spec);
    let with = |before: &str, after: &str| [before.as_bytes(), &block, after.as_bytes()].concat();
    let good = "good";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("packet", packet.clone(), good),
        ("armour", block.clone(), good),
        ("two packets", [b.sign_detached_binary(TEXT, &spec), packet.clone()].concat(), good),
        ("two blocks", [b.sign_detached(TEXT, &spec), b"\n".to_vec(), block.clone()].concat(), good),
        ("blank lines", with("\n \n", "\r\n\n"), good),
        ("CRLF", String::from_utf8(block.clone()).unwrap().replace('\n', "\r\n").into_bytes(), good),
        (
            "header",
            String::from_utf8(block.clone()).unwrap().replacen("\n\n", "\nVersion: GnuPG v1\n\n", 1).into_bytes(),
            good,
        ),
        ("text signature", a.sign_detached_text(TEXT, &spec), good),
        (
            "text before",
            with("hello\n", ""),
            "malformed signed document: line 1: expected an armoured signature, found \"hello\"",
        ),
        (
            "text behind",
            with("", "hello\n"),
            "malformed signed document: line 8: expected an armoured signature, found \"hello\"",
        ),
        ("empty", Vec::new(), "not signed: there is no OpenPGP signature in it"),
        ("web page", b"<html>login</html>".to_vec(), "not signed: there is no OpenPGP signature in it"),
        (
            "cleartext message",
            a.sign_cleartext(TEXT, &spec),
            "malformed signed document: line 1: expected an armoured signature, found \"-----BEGIN PGP SIGNED MESSAGE-----\"",
        ),
        ("empty armour", armoured("SIGNATURE", b""), "not signed: there is no OpenPGP signature in it"),
        (
            "a certificate",
            a.certificate(),
            "malformed signed document: signature packets: a Public-Key Packet packet where only signatures may stand",
        ),
        (
            "an armoured certificate",
            armoured("SIGNATURE", &a.certificate()),
            "malformed signed document: signature packets: a Public-Key Packet packet where only signatures may stand",
        ),
        (
            "a literal with a signature",
            [&b"\xcb\x07b\0\0\0\0\0x"[..], &packet].concat(),
            "malformed signed document: signature packets: a Literal Data Packet packet where only signatures may stand",
        ),
    ];
    for (name, signatures, expected) in cases {
        let found = match verify_detached(TEXT, &signatures, &keyring, &NOW) {
            Ok(signed) => {
                assert_eq!((signed.text.as_slice(), signed.signer), (TEXT, a.fingerprint()), "{name}");
                good.to_owned()
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{name}");
    }
    // Truncated anywhere: never good, never a panic.
    for end in 0..packet.len() {
        assert!(verify_detached(TEXT, &packet[..end], &keyring, &NOW).is_err(), "{end}");
    }
    for end in 0..block.len() - 2 {
        assert!(verify_detached(TEXT, &block[..end], &keyring, &NOW).is_err(), "{end}");
    }
}

#[test]
fn text_signatures_do_not_mind_line_ends() {
    let key = key("a");
    let keyring = ring(&[&key]);
    let signature = key.sign_detached_text(b"a\nb\n", &SignSpec::at(T));
    for (document, good) in [(&b"a\nb\n"[..], true), (b"a\r\nb\r\n", true), (b"a\nb", false), (b"a \nb\n", false)] {
        assert_eq!(verify_detached(document, &signature, &keyring, &NOW).is_ok(), good, "{document:?}");
    }
}

#[test]
fn a_cleartext_message_needs_a_text_signature() {
    let key = key("a");
    let document = key.sign_cleartext_as_binary(TEXT, &SignSpec::at(T));
    let found = verify_cleartext(&document, &ring(&[&key]), &NOW).unwrap_err().to_string();
    assert_eq!(
        found,
        format!("signature by {}: a signature of kind Binary signs no document of this form", key.fingerprint())
    );
}

#[test]
fn limits_hold_on_both_sides() {
    let key = key("a");
    let keyring = ring(&[&key]);
    let spec = SignSpec::at(T);
    let large = vec![b'x'; MAX_DOCUMENT];
    assert!(verify_detached(&large, &key.sign_detached_binary(&large, &spec), &keyring, &NOW).is_ok());
    assert!(matches!(verify_cleartext(&large, &keyring, &NOW), Err(TrustError::NotSigned)));
    let larger = vec![b'x'; MAX_DOCUMENT + 1];
    let found = verify_cleartext(&larger, &keyring, &NOW).unwrap_err().to_string();
    assert_eq!(found, "the document is too large: 33554433 bytes, at most 33554432 allowed");
    let found = verify_detached(&larger, &key.sign_detached_binary(TEXT, &spec), &keyring, &NOW);
    assert!(matches!(found, Err(TrustError::TooLarge { .. })));

    let packet = key.sign_detached_binary(TEXT, &spec);
    assert!(verify_detached(TEXT, &packet.repeat(MAX_SIGNATURES), &keyring, &NOW).is_ok());
    let found = verify_detached(TEXT, &packet.repeat(MAX_SIGNATURES + 1), &keyring, &NOW).unwrap_err().to_string();
    assert_eq!(found, "there are too many signatures: 65, at most 64 allowed");

    let padded = |size: usize| {
        let block = key.sign_detached(TEXT, &spec);
        [&block[..], &vec![b'\n'; size - block.len()]].concat()
    };
    assert!(verify_detached(TEXT, &padded(MAX_SIGNATURE_BYTES), &keyring, &NOW).is_ok());
    let found = verify_detached(TEXT, &padded(MAX_SIGNATURE_BYTES + 1), &keyring, &NOW).unwrap_err().to_string();
    assert_eq!(found, "the signatures are too large: 262145 bytes, at most 262144 allowed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever text is signed comes back; whatever byte is changed, only that text or nothing comes back.
    #[test]
    fn only_signed_text_comes_back(text in "([-A-Za-z \t:\r]{0,12}\n){0,6}", at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        use std::sync::OnceLock;
        static KEY: OnceLock<crate::keys::SigningKey> = OnceLock::new();
        let key = KEY.get_or_init(|| key("a"));
        let keyring = ring(&[key]);
        // A bare carriage return inside of a line is no line end, and the generated signer knows none.
        prop_assume!(!text.contains('\r') || text.lines().all(|line| !line.trim_end_matches([' ', '\t', '\r']).contains('\r')));
        let mut document = key.sign_cleartext(text.as_bytes(), &SignSpec::at(T));
        let signed = verify_cleartext(&document, &keyring, &NOW).unwrap().text;
        let at = at.index(document.len());
        document[at] = byte;
        if let Ok(found) = verify_cleartext(&document, &keyring, &NOW) {
            prop_assert_eq!(found.text, signed);
        }
    }
}
