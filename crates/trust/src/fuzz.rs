//! Entry points for fuzzing.

use std::sync::OnceLock;

use crate::{
    Judgement, Keyring, TrustError, UnixSeconds, cleartext, keyring::Certificate, verify_cleartext, verify_detached,
};

/// A key that nobody has the private half of; it signed the seeds of the corpus.
const CERTIFICATE: &[u8] = include_bytes!("fuzz.pgp");
/// What it signed, so that a mutation that stays good can be told from a forgery.
const SIGNED: &[u8] = b"Origin: Fuzz\nSuite: stable\n- dashed\n\nSHA256:\n 0 0 main/Packages\n";

const ANY_TIME: Judgement = Judgement::AtSignature { from: UnixSeconds(0), until: UnixSeconds(u64::MAX) };

fn trusted() -> &'static Keyring {
    static KEYRING: OnceLock<Keyring> = OnceLock::new();
    KEYRING.get_or_init(|| Keyring::parse("fuzz", CERTIFICATE).unwrap_or_default())
}

/// Verifies a cleartext message: nothing but the text that was signed may come out.
pub fn cleartext(data: &[u8]) {
    match verify_cleartext(data, trusted(), &ANY_TIME) {
        Ok(signed) => assert_eq!(signed.text, SIGNED, "a forgery"),
        Err(error) => explain(&error),
    }
    if let Ok(parts) = cleartext::split(data) {
        assert!(parts.text.is_empty() || parts.text.ends_with(b"\n"));
        assert!(parts.text.len() <= data.len());
        let blank = |line: &[u8]| line.last().is_some_and(|last| matches!(last, b' ' | b'\t' | b'\r'));
        assert!(!parts.text.split(|byte| *byte == b'\n').any(blank), "a blank that no signature covers");
    }
}

/// Verifies a document (up to the first NUL) by what follows.
pub fn detached(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let document = parts.next().unwrap_or_default();
    match verify_detached(document, parts.next().unwrap_or_default(), trusted(), &ANY_TIME) {
        // A text signature does not mind line ends; a binary one minds everything.
        Ok(signed) => {
            assert_eq!(cleartext::crlf(&signed.text), cleartext::crlf(SIGNED), "a forgery");
            assert_eq!(signed.text, document);
        }
        Err(error) => explain(&error),
    }
}

/// Reads a keyring, describes it, and verifies with it.
pub fn keyring(data: &[u8]) {
    match Keyring::parse("fuzz", data) {
        Ok(keyring) => {
            let all: Vec<Certificate> = keyring.certificates().collect();
            assert_eq!(all.len(), keyring.len());
            assert!(!keyring.is_empty());
            let mut twice = keyring.clone();
            twice.merge(keyring.clone());
            assert_eq!(twice.len(), keyring.len());
            let _ = verify_detached(SIGNED, CERTIFICATE, &keyring, &Judgement::Now(UnixSeconds(1_700_000_000)));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn explain(error: &TrustError) {
    assert!(!error.to_string().is_empty());
    assert!(!error.remedy("debian").is_empty());
}
