//! The same packages, the same image: whoever bootstraps, when, where, how fast, and from whom.

use crate::bootstrap::{DAY, NEXT_DAY, command, cornered, world};
use crate::bootstrap_oracles::compare;
use crate::kit::*;
use bedplate_testkit::debian::{Archives, Deb, Era, Extent, Listing, Rendered};
use bedplate_testkit::{Http, Invocation, Sandbox, oracle, privilege, probe, skip};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// The archive that images name, whoever serves their packages.
const IMAGE_MIRROR: [&str; 2] = ["--image-mirror", "http://archive.example.org/debian"];

/// Longest pause of a slow mirror, before an answer and within it.
const PAUSE: Duration = Duration::from_millis(60);

/// One bootstrap by a lock, and what is other about it.
struct Row<'a> {
    what: &'static str,
    mirrors: &'a [String],
    words: &'a [&'a str],
    around: fn(Invocation) -> Invocation,
}

/// A lock, and the image that it stands for.
struct Expected<'s> {
    sandbox: &'s Sandbox,
    lock: PathBuf,
    id: String,
}

impl Expected<'_> {
    /// The words of a bootstrap by the lock.
    fn words<'a>(&'a self, mirrors: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec!["bootstrap", "--locked", self.lock.to_str().unwrap(), "-t", "same"];
        words.extend(mirrors.iter().flat_map(|mirror| ["--mirror", mirror]));
        words.extend(more);
        words
    }

    /// Runs a bootstrap by the lock; what is no overlay here is skipped, any other digest fails with what differs.
    #[track_caller]
    fn holds(&self, test: &str, row: &Row<'_>, bedplate: &dyn Fn(&[&str]) -> Invocation) {
        let outcome = (row.around)(bedplate(&self.words(row.mirrors, row.words))).patient().run();
        if outcome.status != Some(0) && row.words.iter().any(|word| ["overlay", "mount"].contains(word)) {
            outcome.says("overlay");
            return skip::note(test, &format!("{}: no such overlay here", row.what));
        }
        assert_eq!(outcome.status, Some(0), "{}: {outcome}", row.what);
        if outcome.text() == self.id {
            return;
        }
        let root = |command: Invocation| command.ok().stdout;
        let theirs = root(self.sandbox.bedplate(["export", &self.id]));
        let ours = root((row.around)(bedplate(&["export", "same"])));
        let differences: Vec<String> =
            compare(&ours, &theirs, true).iter().map(|(who, path, what)| format!("{who} {path}: {what}")).collect();
        panic!("{}: {} instead of {}\n{}", row.what, outcome.text(), self.id, differences.join("\n"));
    }
}

/// Another place: host name, home, terminal, and the time since the machine's start.
fn elsewhere(command: Invocation) -> Invocation {
    let command = command.env("HOME", "/nonexistent").env("TERM", "vt52").env("HOSTNAME", "elsewhere");
    if !privilege::is_root() || oracle::find("unshare").is_none() {
        return command;
    }
    let times = ["--time", "--monotonic=100000", "--boottime=900000", "--fork"];
    let name = ["sh", "-c", "hostname elsewhere.example.org && exec \"$@\"", "sh"];
    command.wrap(["unshare", "--uts"].into_iter().chain(times).chain(name))
}

fn as_it_is(command: Invocation) -> Invocation {
    command
}

/// A folder whose entries are listed in a random order; unmounted with the value.
struct Disorder {
    folder: TempDir,
}

impl Disorder {
    fn mount(test: &str) -> Option<Disorder> {
        if !privilege::is_root() || oracle::find("disorderfs").is_none() || !Path::new("/dev/fuse").exists() {
            skip::note(test, "no disorderfs here, or not root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for name in ["real", "disorder"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut command = oracle::command("disorderfs");
        command.args(["--quiet", "--shuffle-dirents=yes", "--multi-user=yes", "--share-locks=yes"]);
        // A file's times must not be those of a second ago.
        command.args(["-o", "attr_timeout=0"]);
        oracle::expect(command.arg(folder.path().join("real")).arg(folder.path().join("disorder")));
        Some(Disorder { folder })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disorder")
    }
}

impl Drop for Disorder {
    fn drop(&mut self) {
        oracle::output(oracle::command("umount").arg(self.path()));
    }
}

/// An archive in a folder that other users can read.
fn written(rendered: &Rendered) -> TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    rendered.site.write_to(folder.path());
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn one_lock_gives_one_image() {
    let test = "it::one_lock_gives_one_image";
    let Some(world) = world(test, Extent::Essential) else { return };
    let (_, archives, names) = cornered(world);
    let rendered = archives.render();
    let (quick, slow, slower) = (Http::start(), Http::start(), Http::start());
    slow.delay(1, PAUSE);
    slower.delay(2, 2 * PAUSE);
    let served = [&quick, &slow, &slower].map(|http| rendered.serve(http));
    let [quick, slow, slower] = &served;
    let first = sandbox();
    let more = [&["--variant", "essential", "--include", &names, "--lock", "same.lock"][..], &IMAGE_MIRROR].concat();
    let made = command(&first, "bookworm", quick, &archives.keyring(), &more).clock(NEXT_DAY).ok();
    let expected = Expected { sandbox: &first, lock: first.path("same.lock"), id: image_id(&first, &made) };
    let folder = written(&rendered);
    let files = rendered.mirrors(&format!("file://{}", folder.path().display()));
    let rows = [
        Row { what: "one job", mirrors: slow, words: &["--jobs", "1", "--root-kind", "copy"], around: as_it_is },
        Row {
            what: "another clock, locale, zone and umask",
            mirrors: slower,
            words: &["--jobs", "2", "--root-kind", "overlay"],
            around: Invocation::shifted,
        },
        Row { what: "elsewhere", mirrors: &files, words: &["--jobs", "8", "--root-kind", "mount"], around: elsewhere },
        Row {
            what: "one download, another epoch",
            mirrors: quick,
            words: &["--downloads", "1", "--jobs", "8"],
            around: |command| command.shifted().env("SOURCE_DATE_EPOCH", "0"),
        },
    ];
    for row in &rows {
        let second = sandbox();
        expected.holds(test, row, &|words| second.bedplate(words));
        fsck(&second);
    }
    let warm =
        Row { what: "with all that was left", mirrors: &[], words: &["--offline", "--no-cache"], around: elsewhere };
    expected.holds(test, &warm, &|words| first.bedplate(words));
    // On another file system.
    if oracle::is_on(Path::new("/dev/shm"), "tmpfs") {
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let store = memory.path().join("store");
        let row = Row { what: "a store in memory", mirrors: slow, words: &["--jobs", "2"], around: as_it_is };
        expected.holds(test, &row, &|words| first.bedplate(words).env("BEDPLATE_ROOT", &store));
        bedplate_testkit::remove_tree(memory.path());
    } else {
        skip::note(test, "no tmpfs at /dev/shm");
    }
    // Where directories are read in another order each time.
    if let Some(disorder) = Disorder::mount(test) {
        let store = disorder.path().join("store");
        let row = Row { what: "disorder", mirrors: quick, words: &["--root-kind", "copy"], around: as_it_is };
        expected.holds(test, &row, &|words| first.bedplate(words).env("BEDPLATE_ROOT", &store));
    }
    // By another user.
    if !privilege::is_root() {
        return;
    }
    let Some(uid) = crate::rootless::user_with_range(test) else { return };
    let ways: [&[&str]; 3] = [
        &["--root-kind", "overlay"],
        &["--root-kind", "mount", "--jobs", "8"],
        &["--root-kind", "copy", "--jobs", "1"],
    ];
    for words in ways {
        let second = sandbox();
        let Some(user) = OtherUser::new(test, &second, uid) else { return };
        let lock = second.write("same.lock", std::fs::read(&expected.lock).unwrap());
        let theirs = Expected { lock, sandbox: &first, id: expected.id.clone() };
        let row = Row { what: "another user", mirrors: slow, words, around: as_it_is };
        theirs.holds(test, &row, &|words| user.bedplate(words));
    }
}

/// A push of the archive that changes none of the chosen packages changes no image, and leaves every lock valid.
#[test]
fn a_push_that_changes_no_chosen_package_changes_no_image() {
    let test = "it::a_push_that_changes_no_chosen_package";
    let Some(world) = world(test, Extent::Essential) else { return };
    let mut archives = Era::Bookworm.archives(world.packages);
    let other = |version: &str| Listing::from(Deb::new("bystander", version).file("/srv/bystander", 0o644, version));
    archives.release().packages.push(other("1"));
    let sandbox = sandbox();
    let bootstrap = |archives: &Archives, now: u64, more: &[&str]| {
        let http = Http::start();
        let mirrors = archives.render().serve(&http);
        let more = [&["--variant", "essential", "-t", "pushed"][..], &IMAGE_MIRROR, more].concat();
        image_id(&sandbox, &command(&sandbox, "bookworm", &mirrors, &archives.keyring(), &more).clock(now).ok())
    };
    let before = bootstrap(&archives, NEXT_DAY, &["--lock", "before.lock"]);
    // A point release: another date and version, one package newer, one new, one gone from the updates.
    let release = archives.release();
    release.date += 2 * DAY;
    "12.99".clone_into(&mut release.version);
    release.packages.retain(|listing| listing.built.name != "bystander");
    release.packages.extend([other("2"), Listing::from(Deb::new("newcomer", "1"))]);
    release.packages.reverse();
    for path in ["bookworm-updates", "bookworm-security"] {
        let pocket = archives.suite(path);
        pocket.date += 2 * DAY;
        pocket.valid_until = pocket.valid_until.map(|until| until + 2 * DAY);
        pocket.packages.push(other("1.5"));
    }
    let after = bootstrap(&archives, NEXT_DAY + 3 * DAY, &["--lock", "after.lock"]);
    assert_eq!(before, after);
    let locks = ["before.lock", "after.lock"].map(|name| std::fs::read_to_string(sandbox.path(name)).unwrap());
    let packages = |lock: &str| lock[lock.find("[[package]]").expect("packages")..].to_owned();
    assert_ne!(locks[0], locks[1], "the lock records the indexes");
    assert_eq!(packages(&locks[0]), packages(&locks[1]));
    // A package that was chosen, and is newer now, changes it; what the old lock says does not.
    let newer = Deb::new("newer-essential", "1").essential().file("/srv/newer", 0o644, "new\n");
    archives.release().packages.push(Listing::from(newer));
    assert_ne!(bootstrap(&archives, NEXT_DAY + 3 * DAY, &[]), before, "the test sees no change at all");
    let http = Http::start();
    let mirrors = archives.render().serve(&http);
    let expected = Expected { sandbox: &sandbox, lock: sandbox.path("before.lock"), id: before };
    let row = Row { what: "the old lock", mirrors: &mirrors, words: &[], around: as_it_is };
    let second = crate::kit::sandbox();
    expected.holds(test, &row, &|words| second.bedplate(words));
}

/// Scripts that believe in another year: what asks the clock is no part of the image.
#[test]
fn the_clock_of_scripts_does_not_count() {
    let test = "it::the_clock_of_scripts_does_not_count";
    let Some(world) = world(test, Extent::Essential) else { return };
    let (_, mut archives, names) = cornered(world);
    archives.release().packages.push(Listing::from(Deb::new("clock-asker", "1").postinst(
        "date +%s > /tmp/now\n\
         echo \"generated-today:!:$(( $(date +%s) / 86400 )):0:99999:7:::\" >> /etc/shadow\n\
         update-alternatives --install /usr/bin/generated-clock generated-clock /bin/date 10",
    )));
    let include = format!("clock,clock-asker,{names}");
    let sandbox = sandbox();
    let mut roots = Vec::new();
    for ahead in [5 * 365 * DAY, 11 * 365 * DAY] {
        let library = match probe::clock(ahead) {
            Ok(path) => std::fs::read(path).unwrap(),
            Err(reason) => return skip::note(test, &reason),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + ahead;
        let clock = Deb::new("clock", "1")
            .essential()
            .file("/usr/lib/clock.so", 0o644, &library)
            .file("/etc/ld.so.preload", 0o644, "/usr/lib/clock.so\n")
            .preinst(&format!("test $(date +%s) -ge {now}"));
        let packages = &mut archives.release().packages;
        packages.retain(|listing| listing.built.name != "clock");
        packages.push(Listing::from(clock));
        let http = Http::start();
        let mirrors = archives.render().serve(&http);
        let more = ["--variant", "essential", "--include", &include, "-o", "root.tar"];
        command(&sandbox, "bookworm", &mirrors, &archives.keyring(), &more).clock(NEXT_DAY).patient().ok();
        roots.push(std::fs::read(sandbox.path("root.tar")).unwrap());
    }
    let own = ["usr/lib/clock.so", "var/lib/dpkg/info/clock.md5sums", "var/lib/dpkg/info/clock.preinst"];
    let differences =
        compare(&roots[0], &roots[1], true).into_iter().filter(|(_, path, _)| !own.contains(&path.as_str()));
    let differences: Vec<String> = differences.map(|(who, path, what)| format!("{who} {path}: {what}")).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The same of a real archive, whose packages a slow mirror on this machine serves the second time.
#[test]
fn a_real_lock_gives_one_image() {
    let test = "it::a_real_lock_gives_one_image";
    if !crate::bootstrap_real::has_archive(test) {
        return;
    }
    let first = sandbox();
    let words = [&["bootstrap", "trixie", "-t", "real", "--lock", "real.lock"][..], &IMAGE_MIRROR].concat();
    let made = first.bedplate(words).patient().ok();
    let expected = Expected { sandbox: &first, lock: first.path("real.lock"), id: image_id(&first, &made) };
    let lock = std::fs::read_to_string(&expected.lock).unwrap();
    let http = Http::start();
    http.delay(3, PAUSE).serve_folder("/debian", &pool(&first, &lock));
    let url = http.url("/debian");
    let mirrors = [url.clone(), format!("security={url}")];
    let words = ["--jobs", "8", "--root-kind", "copy"];
    let row = Row { what: "a slow mirror", mirrors: &mirrors, words: &words, around: Invocation::shifted };
    let second = sandbox();
    expected.holds(test, &row, &|words| second.bedplate(words));
    fsck(&second);
    if !privilege::is_root() {
        return;
    }
    let Some(uid) = crate::rootless::user_with_range(test) else { return };
    let Some(user) = OtherUser::new(test, &second, uid) else { return };
    let lock = second.write("real.lock", lock);
    let theirs = Expected { lock, sandbox: &first, id: expected.id.clone() };
    let row = Row { what: "another user", mirrors: &mirrors, words: &["--jobs", "2"], around: as_it_is };
    theirs.holds(test, &row, &|words| user.bedplate(words));
}

/// The packages of a lock, out of the cache of the store that made it, laid out as on a mirror.
fn pool(sandbox: &Sandbox, lock: &str) -> PathBuf {
    let folder = sandbox.path("pool");
    let mut place = PathBuf::new();
    for line in lock[lock.find("[[package]]").expect("packages")..].lines() {
        let value = |key: &str| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"');
        if let Some(path) = value("path") {
            place = folder.join(path);
        } else if let Some(digest) = value("digest") {
            let name = format!("cache/packages/{}.deb", digest.trim_start_matches("sha256:"));
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::hard_link(sandbox.store().join(name), &place).unwrap();
        }
    }
    folder
}
