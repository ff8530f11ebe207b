//! What the cases share: images of a few bytes, and the look at the store after each step.

use bedplate_testkit::{Invocation, Outcome, Sandbox, Tar, generate, oracle, privilege, probe, program};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// An empty sandbox for the binary that Cargo built.
pub(crate) fn sandbox() -> Sandbox {
    Sandbox::new(env!("CARGO_BIN_EXE_bedplate"))
}

/// The digest of bytes as OCI spells it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The path of a blob in the store.
pub(crate) fn blob(sandbox: &Sandbox, digest: &str) -> PathBuf {
    sandbox.store().join("blobs/sha256").join(digest.strip_prefix("sha256:").expect("a sha256 digest"))
}

/// The image ID that a command printed as its only line on stdout; it is a digest, and its config is in the store.
#[track_caller]
pub(crate) fn image_id(sandbox: &Sandbox, outcome: &Outcome) -> String {
    let id = outcome.text();
    let hex = id.strip_prefix("sha256:").unwrap_or_else(|| panic!("no image ID on stdout: {outcome}"));
    assert!(hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()), "{outcome}");
    let config = std::fs::read(blob(sandbox, &id)).unwrap_or_else(|error| panic!("config of {id}: {error}"));
    assert_eq!(sha256(&config), id, "the config's bytes are not what its name says");
    id
}

/// Imports a tar and returns the image ID.
#[track_caller]
pub(crate) fn import(sandbox: &Sandbox, tar: &[u8], arguments: &[&str]) -> String {
    let mut words = vec!["import"];
    words.extend_from_slice(arguments);
    let outcome = sandbox.bedplate(words).stdin(tar).ok();
    fsck(sandbox);
    image_id(sandbox, &outcome)
}

/// What `inspect` says of one object.
#[track_caller]
pub(crate) fn inspect(sandbox: &Sandbox, name: &str) -> Value {
    let outcome = sandbox.bedplate(["inspect", name]).ok();
    let value: Value = serde_json::from_slice(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"));
    match value {
        Value::Array(mut items) if items.len() == 1 => items.remove(0),
        _ => panic!("not a list of one: {outcome}"),
    }
}

/// What `inspect --format` prints.
#[track_caller]
pub(crate) fn inspect_format(sandbox: &Sandbox, name: &str, format: &str) -> String {
    sandbox.bedplate(["inspect", "--format", format, name]).ok().text()
}

/// The layer digests of an image as its config lists them.
#[track_caller]
pub(crate) fn diff_ids(sandbox: &Sandbox, name: &str) -> Vec<String> {
    let image = inspect(sandbox, name);
    let layers = image["RootFS"]["Layers"].as_array().unwrap_or_else(|| panic!("no layers in {image}"));
    layers.iter().map(|layer| layer.as_str().expect("a digest").to_owned()).collect()
}

/// Holds that the store is whole: nothing corrupt, nothing half made.
#[track_caller]
pub(crate) fn fsck(sandbox: &Sandbox) {
    let outcome = sandbox.bedplate(["fsck"]).run();
    assert_eq!(outcome.status, Some(0), "the store is not whole: {outcome}");
    let left: Vec<PathBuf> = list(&sandbox.store().join("tmp"));
    assert!(left.is_empty(), "left in tmp/: {left:?}");
}

/// All image IDs in the store, dangling ones too.
#[track_caller]
pub(crate) fn images(sandbox: &Sandbox) -> BTreeSet<String> {
    let outcome = sandbox.bedplate(["images", "--all", "--no-trunc", "--quiet"]).ok();
    outcome.text().lines().map(str::to_owned).collect()
}

/// The files below a folder that are not folders; none if it is absent.
pub(crate) fn list(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.append(&mut list(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// A tar of one static program that greets.
pub(crate) fn hello_tar() -> Vec<u8> {
    Tar::new().file("hello", 0o755, program::hello(program::Machine::host())).finish()
}

/// An image `hello` whose command greets.
#[track_caller]
pub(crate) fn hello_image(sandbox: &Sandbox) -> String {
    import(sandbox, &hello_tar(), &["--change", "CMD [\"/hello\"]", "-", "hello"])
}

/// Writes the page's Dockerfile and program.
pub(crate) fn hello_context(sandbox: &Sandbox) {
    sandbox.write_program("hello", program::hello(program::Machine::host()));
    sandbox.write("Dockerfile", "FROM scratch\nADD hello /\nCMD [\"/hello\"]\n");
}

/// An image `box` with Debian's busybox; `None` (and a counted skip) where that is not installed.
#[track_caller]
pub(crate) fn busybox_image(sandbox: &Sandbox, test: &str) -> Option<String> {
    let Some(tar) = generate::busybox() else {
        bedplate_testkit::skip::note(test, "no /bin/busybox (package busybox-static)");
        return None;
    };
    Some(import(sandbox, &tar, &["-c", "CMD [\"sh\"]", "-c", "ENV PATH=/bin", "-", "box"]))
}

/// An image `probe` whose entrypoint says what it sees; `None` (and a counted skip) without a compiler.
#[track_caller]
pub(crate) fn probe_image(sandbox: &Sandbox, test: &str) -> Option<String> {
    let program = match probe::build() {
        Ok(path) => std::fs::read(path).expect("a program just built"),
        Err(reason) => {
            bedplate_testkit::skip::note(test, &reason);
            return None;
        }
    };
    let tar = Tar::new()
        .dir("./", 0o755)
        .dir("dev/", 0o755)
        .dir("etc/", 0o755)
        .file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
        .file("etc/group", 0o644, "root:x:0:\nstaff:x:50:user\nuser:x:1000:\n")
        .file("probe", 0o755, program)
        .dir("proc/", 0o555)
        .dir("sys/", 0o555)
        .dir("tmp/", 0o1777)
        .finish();
    Some(import(sandbox, &tar, &["-c", "ENTRYPOINT [\"/probe\"]", "-", "probe"]))
}

/// True where containers can be run: as root, or with user namespaces. Counts a skip else.
pub(crate) fn can_run(test: &str) -> bool {
    if privilege::is_root() || privilege::has_user_namespaces() {
        return true;
    }
    bedplate_testkit::skip::note(test, "no user namespaces for plain users");
    false
}

/// Compresses bytes with a program; `None` (and a counted skip) where it is not installed.
pub(crate) fn compressed(test: &str, program: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write as _;
    if oracle::find(program).is_none() {
        bedplate_testkit::skip::note(test, &format!("no {program}"));
        return None;
    }
    let mut command = oracle::command(program);
    command.arg("-c").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().expect("an installed program");
    let mut pipe = child.stdin.take().expect("a pipe");
    let data = bytes.to_vec();
    let writer = std::thread::spawn(move || pipe.write_all(&data));
    let output = child.wait_with_output().expect("an installed program");
    writer.join().expect("no panic").expect("a program that reads");
    assert!(output.status.success());
    Some(output.stdout)
}

/// Another user, as whom root runs commands: a home with a store of its own, and a copy of the binary, since the checkout
/// may be closed to others.
pub(crate) struct OtherUser<'s> {
    sandbox: &'s Sandbox,
    uid: u32,
    pub(crate) home: PathBuf,
    program: PathBuf,
}

impl<'s> OtherUser<'s> {
    /// Makes the home; `None` (and a counted skip) where nobody else can be become.
    pub(crate) fn new(test: &str, sandbox: &'s Sandbox, uid: u32) -> Option<OtherUser<'s>> {
        if !privilege::is_root() || oracle::find("setpriv").is_none() {
            bedplate_testkit::skip::note(test, "needs root to become another user");
            return None;
        }
        let home = sandbox.path(&format!("home-{uid}"));
        std::fs::create_dir(&home).expect("a folder in an own folder");
        oracle::expect(oracle::command("chown").arg(format!("{uid}:{uid}")).arg(&home));
        let built = bedplate_testkit::binary(env!("CARGO_BIN_EXE_bedplate"));
        let program = sandbox.write_program("bedplate", std::fs::read(built).expect("the binary"));
        Some(OtherUser { sandbox, uid, home, program })
    }

    /// A command of that user.
    pub(crate) fn bedplate<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Invocation {
        let id = |option: &str| format!("--{option}={}", self.uid);
        self.sandbox
            .bedplate(words)
            .binary(&self.program)
            .env("BEDPLATE_ROOT", self.home.join("store"))
            .env("HOME", &self.home)
            .env("TMPDIR", &self.home)
            .wrap(["setpriv".to_owned(), id("reuid"), id("regid"), "--clear-groups".to_owned()])
    }
}

impl Drop for OtherUser<'_> {
    fn drop(&mut self) {
        bedplate_testkit::remove_tree(&self.home);
    }
}
