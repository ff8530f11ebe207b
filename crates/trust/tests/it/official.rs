//! Documents of real archives.

use std::io::Read as _;

use bedplate_testkit::needs;
use bedplate_trust::{
    Builtin, Judgement, Keyring, Rejection, TrustError, UnixSeconds, verify_cleartext, verify_detached,
};

const GPG: &[u8] = include_bytes!("../official/jessie-Release.gpg");
/// Wheezy's automatic key, whose signature comes first.
const WHEEZY: &str = "A1BD8E9D78F7FE5C3E65D8AF8B48AD6246925553";

fn jessie() -> Vec<u8> {
    let mut text = Vec::new();
    let packed: &[u8] = include_bytes!("../official/jessie-Release.xz");
    liblzma::read::XzDecoder::new(packed).read_to_end(&mut text).unwrap();
    text
}

fn day(days: u64) -> UnixSeconds {
    UnixSeconds(days * 86_400)
}

fn life() -> Judgement {
    // 2015-04-25 to 2020-06-30.
    Judgement::AtSignature { from: day(16_550), until: day(18_443) }
}

#[test]
fn jessie_is_judged_at_its_signature() {
    let removed = Builtin::DebianRemoved.keyring().unwrap();
    let signed = verify_detached(&jessie(), GPG, &removed, &life()).unwrap();
    assert_eq!(signed.signer.as_str(), WHEEZY);
    assert_eq!(signed.signed_at.to_string(), "2018-06-23 10:31:33 UTC");
    let others: Vec<String> = signed.others.iter().map(ToString::to_string).collect();
    assert_eq!(
        others,
        ["signature by 75DDC3C4A499F1A18CB5F3C8CBF8D6FD518E17E1: the signature's hash SHA1 is too weak"]
    );
    assert!(
        signed.text.starts_with(b"Origin: Debian\nLabel: Debian\nSuite: oldoldstable\n")
            || signed.text.starts_with(b"Origin: Debian\n")
    );
}

#[test]
fn jessie_is_not_good_now() {
    let mut keyring = Builtin::DebianRemoved.keyring().unwrap();
    keyring.merge(Builtin::Debian.keyring().unwrap());
    let found = verify_detached(&jessie(), GPG, &keyring, &Judgement::Now(day(20_000))).unwrap_err();
    let TrustError::Rejected { finding, others } = &found else { panic!("{found}") };
    assert!(matches!(finding.rejection, Rejection::KeyExpired { .. }), "{found}");
    assert_eq!(others.len(), 2);
    // Outside of the life that the table says, the expired keys do not help either.
    let early = Judgement::AtSignature { from: day(16_550), until: day(17_000) };
    let found = verify_detached(&jessie(), GPG, &keyring, &early).unwrap_err().to_string();
    assert!(found.contains("outside of the suite's life"), "{found}");
}

#[test]
fn jessie_needs_the_removed_keys() {
    let keyring = Builtin::Debian.keyring().unwrap();
    let found = verify_detached(&jessie(), GPG, &keyring, &life()).unwrap_err();
    assert_eq!(
        found.to_string(),
        "signed by no trusted key: 126C0D24BD8A2942CC7DF8AC7638D0442B90D010, \
         A1BD8E9D78F7FE5C3E65D8AF8B48AD6246925553, CBF8D6FD518E17E1"
    );
}

#[test]
fn a_changed_jessie_is_no_jessie() {
    let removed = Builtin::DebianRemoved.keyring().unwrap();
    let mut text = jessie();
    let at = text.len() / 2;
    text[at] ^= 1;
    let found = verify_detached(&text, GPG, &removed, &life()).unwrap_err().to_string();
    assert!(found.contains("bad signature"), "{found}");
}

#[test]
fn ubuntu_keys_are_good_now_and_then() {
    // No Ubuntu archive is at hand: that its keys are accepted is all that can be asked. The signature itself is bad.
    use sequoia_openpgp::{
        Cert, parse::Parse as _, policy::HashAlgoSecurity, policy::StandardPolicy, types::HashAlgorithm,
    };
    let cert = sequoia_openpgp::cert::CertParser::from_bytes(Builtin::Ubuntu.bytes()).unwrap();
    let certs: Vec<Cert> = cert.map(Result::unwrap).collect();
    for seconds in [1_399_550_477, 1_461_283_200, 1_795_000_000_u64] {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let mut policy = StandardPolicy::at(time);
        policy.accept_hash_property(HashAlgorithm::SHA1, HashAlgoSecurity::SecondPreImageResistance);
        for cert in certs.iter().filter(|cert| cert.primary_key().key().creation_time() < time) {
            let valid = cert.with_policy(&policy, time).unwrap();
            assert_eq!(
                valid.keys().alive().revoked(false).for_signing().count(),
                1,
                "{} at {seconds}",
                cert.fingerprint()
            );
        }
    }
}

/// What this machine's apt has fetched of Debian is verified with what is built in.
#[test]
fn living_debian() {
    let folder = std::path::Path::new("/var/lib/apt/lists");
    let mut keyring = Keyring::default();
    keyring.merge(Builtin::Debian.keyring().unwrap());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut seen = 0;
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(document) = std::fs::read(&path) else { continue };
        let text = String::from_utf8_lossy(&document);
        let ours = text.contains("\nOrigin: Debian\n")
            && ["bullseye", "bookworm", "trixie"].iter().any(|name| text.contains(&format!("\nCodename: {name}")));
        if !path.to_string_lossy().ends_with("InRelease") || !ours {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().rsplit("_dists_").next().unwrap().to_owned();
        let signed = verify_cleartext(&document, &keyring, &Judgement::Now(UnixSeconds(now)));
        let signed = signed.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(signed.text.starts_with(b"Origin: Debian\n"), "{name}");
        assert!(signed.text.ends_with(b"\n"), "{name}");
        seen += 1;
    }
    needs!("trust::living_debian", seen > 0, "apt has fetched no InRelease of Debian here");
}
