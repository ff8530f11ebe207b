//! Verification as an archive's user meets it.

mod documents;
mod judgement;
mod keyrings;
mod keys;
mod official;
mod oracle;

/// Writes a new key and seeds for the fuzz targets into the folder that the variable names; see `src/fuzz.rs`.
#[test]
#[ignore = "makes files; run by hand"]
fn write_fuzz_seeds() {
    use keys::{Hash, KeySpec, SignSpec, SigningKey, sign_cleartext};
    let folder = std::path::PathBuf::from(std::env::var_os("FUZZ_SEEDS").expect("FUZZ_SEEDS names a folder"));
    let text = b"Origin: Fuzz\nSuite: stable\n- dashed\n\nSHA256:\n 0 0 main/Packages\n";
    let key = SigningKey::generate(&KeySpec { subkey: true, ..KeySpec::new("Fuzz", judgement::BORN) });
    let other = judgement::key("other");
    let spec = SignSpec::at(judgement::T);
    let with_nul = |signatures: Vec<u8>| [text, &b"\0"[..], &signatures].concat();
    for (name, bytes) in [
        ("fuzz.pgp", key.certificate()),
        ("trust_cleartext/good", key.sign_cleartext(text, &spec)),
        ("trust_cleartext/two", sign_cleartext(text, &[(&other, spec), (&key, spec.with_hash(Hash::Sha256))])),
        ("trust_cleartext/weak", key.sign_cleartext(text, &spec.with_hash(Hash::Sha1))),
        ("trust_cleartext/unknown", other.sign_cleartext(b"Suite: x\n", &spec)),
        ("trust_detached/armour", with_nul(key.sign_detached(text, &spec))),
        ("trust_detached/packet", with_nul(key.sign_detached_binary(text, &spec))),
        ("trust_detached/text", with_nul(key.sign_detached_text(text, &spec))),
        ("trust_keyring/binary", key.certificate()),
        ("trust_keyring/armour", other.certificate_armoured()),
        ("trust_keyring/revoked", other.revoked(judgement::T, keys::Revocation::Retired).certificate()),
    ] {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder that can be written");
        std::fs::write(path, bytes).expect("a folder that can be written");
    }
}
