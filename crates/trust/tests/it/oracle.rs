//! The same documents, judged by GnuPG's `gpgv` and Sequoia's `sqv`.

use std::path::Path;

use bedplate_testkit::{needs, oracle};
use bedplate_trust::{Judgement, Keyring, UnixSeconds, verify_cleartext, verify_detached};

use crate::{
    judgement::{BORN, T, TEXT, key},
    keys::{Hash, KeySpec, Revocation, SignSpec, SigningKey, armoured, sign_cleartext},
};

/// Where a reference judges otherwise, and why; every other difference fails.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "gpgv",
        "text before",
        "GnuPG looks for the first message; what is before it was never signed, and a parser must not see it",
    ),
    ("gpgv", "blank line before", "the same"),
    ("gpgv", "text behind", "GnuPG stops at the end of the first message"),
    ("gpgv", "no hash header", "GnuPG hashes with MD5 then; here the signature says its hash, as RFC 9580 7.1 has it"),
    ("gpgv", "other hash header", "the same"),
    ("gpgv", "binary signature", "no archive makes it; which bytes it is over is nowhere said"),
    ("gpgv", "detached, future", "GnuPG warns and accepts; apt and sqv refuse"),
];

struct Case {
    name: &'static str,
    document: Vec<u8>,
    /// For detached signatures.
    signatures: Option<Vec<u8>>,
    keyring: Vec<u8>,
}

/// What a reference says: whether it accepts, and the text that it gives.
fn gpgv(folder: &Path, case: &Case) -> (bool, Option<Vec<u8>>) {
    let path = |name: &str| folder.join(name);
    let mut command = oracle::command("gpgv");
    command.args(["--weak-digest", "SHA1", "--homedir"]).arg(folder).arg("--keyring").arg(path("keyring"));
    command.args(["--status-fd", "1"]);
    if case.signatures.is_some() {
        command.arg(path("signatures"));
    } else {
        let _ = std::fs::remove_file(path("text"));
        command.arg("--output").arg(path("text"));
    }
    let output = oracle::output(command.arg(path("document")));
    let status = String::from_utf8_lossy(&output.stdout).into_owned();
    // apt asks so, too: a valid signature of a key that has neither expired nor been revoked.
    let good =
        status.contains("[GNUPG:] GOODSIG") && status.contains("[GNUPG:] VALIDSIG") && output.status.code() != Some(2);
    let only_unknown = status.contains("[GNUPG:] GOODSIG") && status.contains("NO_PUBKEY");
    (good || only_unknown, std::fs::read(path("text")).ok())
}

fn sqv(folder: &Path) -> bool {
    let mut command = oracle::command("sqv");
    command.arg("--keyring").arg(folder.join("keyring")).arg(folder.join("signatures")).arg(folder.join("document"));
    oracle::output(&mut command).status.success()
}

fn cases() -> Vec<Case> {
    let (a, b) = (key("a"), key("b"));
    let brief = SigningKey::generate(&KeySpec { expires: Some(T.plus(100)), ..KeySpec::new("brief", BORN) });
    let subkey = SigningKey::generate(&KeySpec { subkey: true, ..KeySpec::new("subkey", BORN) });
    let rsa = SigningKey::generate(&KeySpec { rsa: true, ..KeySpec::new("rsa", BORN) });
    let spec = SignSpec::at(T);
    let mut cases = Vec::new();
    let mut clear = |name, document: Vec<u8>, key: &SigningKey| {
        cases.push(Case { name, document, signatures: None, keyring: key.certificate() });
    };
    let document = String::from_utf8(a.sign_cleartext(TEXT, &spec)).unwrap();
    let edit = |from: &str, to: &str| {
        let edited = document.replacen(from, to, 1);
        assert_ne!(edited, document);
        edited.into_bytes()
    };
    let end = "-----BEGIN PGP SIGNATURE-----";
    clear("good", document.clone().into_bytes(), &a);
    clear("subkey", subkey.sign_cleartext(TEXT, &spec), &subkey);
    clear("rsa", rsa.sign_cleartext(TEXT, &spec), &rsa);
    clear("sha256", a.sign_cleartext(TEXT, &spec.with_hash(Hash::Sha256)), &a);
    clear("sha1", a.sign_cleartext(TEXT, &spec.with_hash(Hash::Sha1)), &a);
    clear("md5", a.sign_cleartext(TEXT, &spec.with_hash(Hash::Md5)), &a);
    clear("empty text", a.sign_cleartext(b"", &spec), &a);
    clear("only blank lines", a.sign_cleartext(b"\n\n\n", &spec), &a);
    clear("trailing blank lines", a.sign_cleartext(b"a\n\n\n", &spec), &a);
    clear("form feed", a.sign_cleartext(b"a\x0cb\n", &spec), &a);
    clear("dashes", a.sign_cleartext(b"-\n--\n- -\n-----BEGIN PGP SIGNATURE-----\nFrom me\n", &spec), &a);
    clear("needless escape", edit("Suite", "- Suite"), &a);
    clear("forged", edit("stable", "Stable"), &a);
    clear("line added", edit(end, &format!("added\n{end}")), &a);
    clear("blank line added", edit(end, &format!("\n{end}")), &a);
    clear("trailing blanks added", edit("stable\n", "stable \t \n"), &a);
    clear("carriage return added", edit("stable\n", "stable\r\n"), &a);
    clear("two carriage returns added", edit("stable\n", "stable\r\r\n"), &a);
    clear("carriage return inside", edit("stable\n", "sta\rble\n"), &a);
    clear("CRLF", document.replace('\n', "\r\n").into_bytes(), &a);
    clear("escape lost", edit("- - dashed", "- dashed"), &a);
    clear("dash unescaped", edit("- - dashed", "-dashed"), &a);
    clear("stripped", TEXT.to_vec(), &a);
    clear("signature cut off", document.as_bytes()[..document.find(end).unwrap()].to_vec(), &a);
    clear("half a signature", document.as_bytes()[..document.len() - 60].to_vec(), &a);
    clear("text before", edit("-----BEGIN PGP SIGNED", "Suite: evil\n-----BEGIN PGP SIGNED"), &a);
    clear("blank line before", edit("-----BEGIN PGP SIGNED", "\n-----BEGIN PGP SIGNED"), &a);
    clear("text behind", format!("{document}Suite: evil\n").into_bytes(), &a);
    clear("two messages", document.repeat(2).into_bytes(), &a);
    clear("message in a message", edit("\n\nSuite", "\n\n-----BEGIN PGP SIGNED MESSAGE-----\n\nSuite"), &a);
    clear("not dash-escaped", edit("Hash: SHA512\n", "Hash: SHA512\nNotDashEscaped: You need GnuPG\n"), &a);
    clear("other header", edit("Hash: SHA512\n", "Hash: SHA512\nSuite: evil\n"), &a);
    clear("no hash header", edit("Hash: SHA512\n", ""), &a);
    clear("other hash header", edit("Hash: SHA512\n", "Hash: SHA256\n"), &a);
    clear("no blank line", edit("SHA512\n\n", "SHA512\n"), &a);
    clear("blank line of blanks", edit("SHA512\n\n", "SHA512\n \t\n"), &a);
    clear("armour header", edit(&format!("{end}\n"), &format!("{end}\nVersion: GnuPG v1\nComment: x\n")), &a);
    clear("no blank line in the armour", edit(&format!("{end}\n\n"), &format!("{end}\n")), &a);
    clear("binary signature", a.sign_cleartext_as_binary(TEXT, &spec), &a);
    clear("expired key", brief.sign_cleartext(TEXT, &spec), &brief);
    clear("expired signature", a.sign_cleartext(TEXT, &SignSpec { expires_after: Some(10), ..spec }), &a);
    clear("compromised key", a.sign_cleartext(TEXT, &spec), &a.revoked(T.plus(9), Revocation::Compromised));
    clear("retired key", a.sign_cleartext(TEXT, &spec), &a.revoked(T.plus(9), Revocation::Retired));
    clear("unknown key", b.sign_cleartext(TEXT, &spec), &a);
    clear("unknown key beside", sign_cleartext(TEXT, &[(&b, spec), (&a, spec)]), &a);
    clear("primary key that may not sign", subkey.with_primary_signing().sign_cleartext(TEXT, &spec), &subkey);
    clear("a private key's document", a.private(), &a);

    let mut detached = |name, document: &[u8], signatures: Vec<u8>, key: &SigningKey| {
        let keyring = key.certificate();
        cases.push(Case { name, document: document.to_vec(), signatures: Some(signatures), keyring });
    };
    detached("detached", TEXT, a.sign_detached(TEXT, &spec), &a);
    detached("detached, packet", TEXT, a.sign_detached_binary(TEXT, &spec), &a);
    detached("detached, subkey", TEXT, subkey.sign_detached(TEXT, &spec), &subkey);
    detached("detached, sha1", TEXT, a.sign_detached(TEXT, &spec.with_hash(Hash::Sha1)), &a);
    detached("detached, forged", b"Suite: evil\n", a.sign_detached(TEXT, &spec), &a);
    detached("detached, line end cut", TEXT.trim_ascii_end(), a.sign_detached(TEXT, &spec), &a);
    detached("detached, CRLF", b"Suite: stable\r\n- dashed\r\n", a.sign_detached(TEXT, &spec), &a);
    detached("detached, text", TEXT, a.sign_detached_text(TEXT, &spec), &a);
    detached("detached, text with CRLF", b"Suite: stable\r\n- dashed\r\n", a.sign_detached_text(TEXT, &spec), &a);
    detached("detached, unknown key", TEXT, b.sign_detached(TEXT, &spec), &a);
    detached("detached, two packets", TEXT, crate::keys::sign_detached(TEXT, &[(&b, spec), (&a, spec)]), &a);
    detached(
        "detached, compromised key",
        TEXT,
        a.sign_detached(TEXT, &spec),
        &a.revoked(T.plus(9), Revocation::Compromised),
    );
    detached("detached, future", TEXT, a.sign_detached(TEXT, &SignSpec::at(UnixSeconds(4_000_000_000))), &a);
    detached("detached, empty", TEXT, Vec::new(), &a);
    detached("detached, certificate", TEXT, armoured("SIGNATURE", &a.certificate()), &a);
    detached("detached, half", TEXT, a.sign_detached_binary(TEXT, &spec)[..40].to_vec(), &a);
    cases
}

#[test]
fn verdicts_are_those_of_the_references() {
    needs!("trust::verdicts_are_those_of_the_references", oracle::find("gpgv").is_some(), "no gpgv");
    let with_sqv = oracle::find("sqv").is_some();
    needs_beside(with_sqv);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let judgement = Judgement::Now(UnixSeconds(now));
    let mut unexpected = Vec::new();
    let mut used = Vec::new();
    for case in cases() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("keyring"), &case.keyring).unwrap();
        std::fs::write(folder.path().join("document"), &case.document).unwrap();
        let keyring = Keyring::parse("keyring", &case.keyring).unwrap();
        let ours = match &case.signatures {
            Some(signatures) => {
                std::fs::write(folder.path().join("signatures"), signatures).unwrap();
                verify_detached(&case.document, signatures, &keyring, &judgement)
            }
            None => verify_cleartext(&case.document, &keyring, &judgement),
        };
        let (accepted, text) = gpgv(folder.path(), &case);
        let mut verdicts = vec![("gpgv", accepted)];
        if with_sqv && case.signatures.is_some() {
            verdicts.push(("sqv", sqv(folder.path())));
        }
        for (reference, theirs) in verdicts {
            let known = DIFFERENCES.iter().find(|(who, name, _)| (*who, *name) == (reference, case.name));
            match (ours.is_ok() == theirs, known) {
                (true, None) => {}
                (false, Some(known)) => used.push(known),
                (same, _) => unexpected.push(format!(
                    "{}: {reference} {theirs}, ours {:?}{}",
                    case.name,
                    ours.as_ref().map(|_| ()).map_err(ToString::to_string),
                    if same { " (a known difference is gone)" } else { "" }
                )),
            }
        }
        if let (Ok(signed), Some(text)) = (&ours, text) {
            // GnuPG gives the lines as they stand; blanks at their ends were not signed.
            let cut: Vec<u8> = text
                .split_inclusive(|byte| *byte == b'\n')
                .flat_map(|line| {
                    [String::from_utf8_lossy(line).trim_end_matches([' ', '\t', '\r', '\n']).as_bytes(), b"\n"].concat()
                })
                .collect();
            let cut = if cut == b"\n" { Vec::new() } else { cut };
            if cut != signed.text {
                unexpected.push(format!(
                    "{}: gpgv's text {:?}, ours {:?}",
                    case.name,
                    String::from_utf8_lossy(&text),
                    String::from_utf8_lossy(&signed.text)
                ));
            }
        }
    }
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
    assert_eq!(used.len(), DIFFERENCES.len(), "a known difference was not met: {used:?}");
}

fn needs_beside(with_sqv: bool) {
    if !with_sqv {
        bedplate_testkit::skip::note("trust::verdicts_are_those_of_the_references", "no sqv: gpgv alone");
    }
}
