//! Packages for the corners of dpkg's behaviour, and what dpkg makes of them.
//!
//! Each corner names what must lie in the root afterwards; a test of this crate asks mmdebstrap, and with it the
//! machine's dpkg, whether that is so.

use super::deb::{Deb, Item, Kind, Packing};
use crate::tar::Style;

/// One corner: packages, and what they must leave in a root.
#[derive(Debug, Clone)]
pub struct Corner {
    /// What is tried.
    pub name: &'static str,
    /// The packages, to be installed with an essential set.
    pub packages: Vec<Deb>,
    /// Lines of `tar --numeric-owner -tv` without the time: `-rw-r--r-- 0/0 4 ./path`, directories with a slash.
    pub listing: Vec<&'static str>,
    /// Files and what they hold.
    pub contents: Vec<(&'static str, &'static str)>,
    /// Paths that must not be there.
    pub absent: Vec<&'static str>,
}

impl Corner {
    fn new(name: &'static str, packages: impl IntoIterator<Item = Deb>) -> Corner {
        let packages = packages.into_iter().collect();
        Corner { name, packages, listing: Vec::new(), contents: Vec::new(), absent: Vec::new() }
    }

    fn lists(mut self, lines: impl IntoIterator<Item = &'static str>) -> Corner {
        self.listing.extend(lines);
        self
    }

    fn holds(mut self, path: &'static str, text: &'static str) -> Corner {
        self.contents.push((path, text));
        self
    }

    fn lacks(mut self, path: &'static str) -> Corner {
        self.absent.push(path);
        self
    }

    /// The names of its packages.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.packages.iter().filter_map(|deb| deb.get("Package")).collect()
    }
}

/// Every corner; their packages can be installed together.
#[must_use]
pub fn all() -> Vec<Corner> {
    vec![
        shared_directory(),
        replaces(),
        replaced_later(),
        disappears(),
        needed(),
        diverts(),
        diverts_before(),
        pre_depends_on_user(),
        overridden(),
        hard_links(),
        service(),
        alternatives(),
        triggers(),
        conffiles(),
        through_a_link(),
        names(),
        questions(),
        dialects(),
        special_modes(),
        changes_others(),
        co_installed(),
        environment(),
    ]
}

/// A package packed with gzip, the form that every age reads.
///
/// The copyright is a file that no other package has: dpkg makes a package disappear when all its files are others'.
fn deb(name: &str) -> Deb {
    Deb::new(name, "1.0").packed(Packing::Gzip, Packing::Gzip).file(
        &format!("/usr/share/doc/{name}/copyright"),
        0o644,
        "generated\n",
    )
}

/// What a script is told, but for what depends on the version and on apt, and where it begins.
fn environment() -> Corner {
    let tell = |to: &str| {
        format!(
            "mkdir -p /srv/envy\n{{ env | grep ^DPKG_ | grep -v -e RUNNING_VERSION -e FORCE -e COLORS -e LOCKED | sort\n\
             echo \"$# $1 [$2]\"; umask; pwd; }} > /srv/envy/{to}\n"
        )
    };
    let package = deb("envy").preinst(&tell("pre")).postinst(&tell("post"));
    Corner::new("scripts have dpkg's environment and arguments", [package])
        .holds(
            "srv/envy/pre",
            "DPKG_ADMINDIR=/var/lib/dpkg\nDPKG_MAINTSCRIPT_ARCH=all\nDPKG_MAINTSCRIPT_DEBUG=0\n\
             DPKG_MAINTSCRIPT_NAME=preinst\nDPKG_MAINTSCRIPT_PACKAGE=envy\nDPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1\n\
             DPKG_ROOT=\n1 install []\n0022\n/\n",
        )
        .holds(
            "srv/envy/post",
            "DPKG_ADMINDIR=/var/lib/dpkg\nDPKG_MAINTSCRIPT_ARCH=all\nDPKG_MAINTSCRIPT_DEBUG=0\n\
             DPKG_MAINTSCRIPT_NAME=postinst\nDPKG_MAINTSCRIPT_PACKAGE=envy\nDPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1\n\
             DPKG_ROOT=\n2 configure []\n0022\n/\n",
        )
}

/// Two packages ship one directory with two modes; the first unpacked one's wins. The second waits for the first.
fn shared_directory() -> Corner {
    let first = deb("shared-first").dir("/srv/shared", 0o2750).file("/srv/shared/first", 0o644, "1\n");
    let second = deb("shared-second").pre_depends("shared-first").dir("/srv/shared", 0o700).file(
        "/srv/shared/second",
        0o644,
        "2\n",
    );
    Corner::new("a shared directory has the first package's mode", [first, second])
        .lists(["drwxr-s--- 0/0 0 ./srv/shared/", "-rw-r--r-- 0/0 2 ./srv/shared/second"])
}

/// The package that says Replaces is unpacked last, and takes the file.
fn replaces() -> Corner {
    let old = deb("replaced").file("/srv/replaces/file", 0o600, "old\n").file("/srv/replaces/kept", 0o644, "kept\n");
    let new = deb("replacing").field("Replaces", "replaced (<< 2)").pre_depends("replaced").file(
        "/srv/replaces/file",
        0o644,
        "new\n",
    );
    Corner::new("Replaces takes a file over", [old, new])
        .lists(["-rw-r--r-- 0/0 4 ./srv/replaces/file"])
        .holds("srv/replaces/file", "new\n")
        .holds("srv/replaces/kept", "kept\n")
}

/// The package that says Replaces is unpacked first: its file stays when the other one comes.
fn replaced_later() -> Corner {
    let new = deb("keeping").field("Replaces", "late").file("/srv/later/file", 0o644, "keeping\n");
    let old = deb("late").pre_depends("keeping").file("/srv/later/file", 0o600, "late\n");
    Corner::new("a file that its package Replaces for stays", [new, old])
        .lists(["-rw-r--r-- 0/0 8 ./srv/later/file"])
        .holds("srv/later/file", "keeping\n")
}

/// All that a package had is another one's, and nobody needs it: it goes, and is told so, once.
fn disappears() -> Corner {
    // Without the copyright, which nobody else has.
    let gone = Deb::new("gone", "1.0")
        .packed(Packing::Gzip, Packing::Gzip)
        .file("/srv/gone/file", 0o600, "gone\n")
        .postinst("mkdir -p /srv/told && echo configured >> /srv/told/gone")
        .script("postrm", "mkdir -p /srv/told && echo \"$1 $DPKG_MAINTSCRIPT_NAME\" >> /srv/told/gone");
    let taker = deb("gone-taker").field("Replaces", "gone").file("/srv/gone/file", 0o644, "taken\n");
    // Whichever of the two comes first: when this one comes, the other has nothing of its own.
    let later = deb("gone-later").pre_depends("gone-taker");
    Corner::new("a package with nothing of its own disappears", [gone, taker, later])
        .holds("srv/gone/file", "taken\n")
        .lacks("var/lib/dpkg/info/gone.list")
        .lacks("var/lib/dpkg/info/gone.postrm")
}

/// The same, but another package needs it.
fn needed() -> Corner {
    let kept = Deb::new("needed", "1.0").packed(Packing::Gzip, Packing::Gzip).file("/srv/needed/file", 0o600, "old\n");
    let user = deb("needed-user").depends("needed");
    let taker = deb("needed-taker").field("Replaces", "needed").pre_depends("needed-user").file(
        "/srv/needed/file",
        0o644,
        "taken\n",
    );
    Corner::new("a package that is needed stays, with nothing of its own", [kept, user, taker])
        .holds("srv/needed/file", "taken\n")
        .holds("var/lib/dpkg/info/needed.list", "/.\n/srv\n/srv/needed\n")
}

/// A preinst moves another package's file away and ships its own under the name.
fn diverts() -> Corner {
    let tool = deb("tool").file("/usr/bin/generated-tool", 0o755, "#!/bin/sh\necho real\n");
    let wrapper = deb("tool-wrapper")
        .pre_depends("tool")
        .preinst(
            "dpkg-divert --package tool-wrapper --rename --divert /usr/bin/generated-tool.real --add /usr/bin/generated-tool",
        )
        .file("/usr/bin/generated-tool", 0o755, "#!/bin/sh\necho wrapped\nexec generated-tool.real\n");
    Corner::new("a preinst diverts a file that is there", [tool, wrapper])
        .holds("usr/bin/generated-tool.real", "#!/bin/sh\necho real\n")
        .holds("usr/bin/generated-tool", "#!/bin/sh\necho wrapped\nexec generated-tool.real\n")
}

/// A preinst diverts a file before its package comes.
fn diverts_before() -> Corner {
    let wrapper = deb("early-wrapper")
        .preinst(
            "dpkg-divert --package early-wrapper --rename --divert /usr/bin/early-tool.real --add /usr/bin/early-tool",
        )
        .file("/usr/bin/early-tool", 0o755, "#!/bin/sh\necho wrapped\n");
    let tool =
        deb("early-tool").pre_depends("early-wrapper").file("/usr/bin/early-tool", 0o700, "#!/bin/sh\necho real\n");
    Corner::new("a preinst diverts a file that comes later", [wrapper, tool])
        .lists(["-rwx------ 0/0 20 ./usr/bin/early-tool.real", "-rwxr-xr-x 0/0 23 ./usr/bin/early-tool"])
        .holds("usr/bin/early-tool.real", "#!/bin/sh\necho real\n")
}

/// A preinst needs the user that its Pre-Depends' postinst makes; the payload names that user as an owner.
fn pre_depends_on_user() -> Corner {
    let account = deb("account").pre_depends("base-passwd").depends("base-passwd").postinst(
        "if ! grep -q ^generated: /etc/passwd; then\n\
         \x20 echo 'generated:x:990:991::/nonexistent:/usr/sbin/nologin' >> /etc/passwd\n\
         \x20 echo 'generated:x:991:' >> /etc/group\n\
         fi",
    );
    let user = deb("account-user").pre_depends("account").preinst("id -u generated >/dev/null").item(
        Item::new("/srv/account/file", Kind::File(b"owned\n"[..].into())).mode(0o640).owner(
            0,
            0,
            "generated",
            "generated",
        ),
    );
    let numeric =
        deb("account-number").item(Item::new("/srv/account/number", Kind::File(b"n\n"[..].into())).mode(0o640).owner(
            8,
            12,
            "nobody-knows",
            "nothing",
        ));
    Corner::new("a Pre-Depends' user owns files", [account, user, numeric])
        .lists(["-rw-r----- 990/991 6 ./srv/account/file", "-rw-r----- 8/12 2 ./srv/account/number"])
}

/// A package overrides the attributes of a file that comes later.
fn overridden() -> Corner {
    let setter = deb("override-setter").postinst(
        "dpkg-statoverride --list /srv/override/file >/dev/null ||\n\
         \x20 dpkg-statoverride --add man mail 4750 /srv/override/file",
    );
    let user = deb("override-user").pre_depends("override-setter").file("/srv/override/file", 0o644, "o\n");
    Corner::new("an override governs what is unpacked later", [setter, user])
        .lists(["-rwsr-x--- 6/8 2 ./srv/override/file"])
}

/// A postinst changes the mode of one of two names.
fn hard_links() -> Corner {
    let links = deb("hard-links")
        .file("/srv/links/a", 0o755, "one file\n")
        .hardlink("/srv/links/b", "/srv/links/a")
        .hardlink("/srv/other/c", "/srv/links/a")
        .postinst("chmod 4711 /srv/links/b");
    Corner::new("a mode set by one name is all names' mode", [links]).lists([
        "-rws--x--x 0/0 9 ./srv/links/a",
        "hrws--x--x 0/0 0 ./srv/links/b link to ./srv/links/a",
        "hrws--x--x 0/0 0 ./srv/other/c link to ./srv/links/a",
    ])
}

/// A package that starts a service in every way that there is, none of which may succeed in a bootstrap.
fn service() -> Corner {
    let service = deb("service")
        .depends("init-system-helpers, dpkg")
        .file("/usr/sbin/generated-daemon", 0o755, "#!/bin/sh\necho ran > /srv/daemon-ran\n")
        .file("/etc/init.d/generated", 0o755, "#!/bin/sh\n# Provides: generated\necho ran > /srv/init-ran\n")
        .conffiles_line("/etc/init.d/generated")
        .postinst(
            "invoke-rc.d generated start || exit $?\n\
             start-stop-daemon --start --quiet --exec /usr/sbin/generated-daemon",
        );
    Corner::new("no service starts", [service])
        .lacks("srv/daemon-ran")
        .lacks("srv/init-ran")
        .lacks("usr/sbin/policy-rc.d.new")
}

/// Two packages offer one command.
fn alternatives() -> Corner {
    let one = deb("editor-one")
        .file("/usr/bin/editor-one", 0o755, "#!/bin/sh\necho one\n")
        .postinst("update-alternatives --install /usr/bin/generated-editor generated-editor /usr/bin/editor-one 10");
    let two = deb("editor-two")
        .file("/usr/bin/editor-two", 0o755, "#!/bin/sh\necho two\n")
        .postinst("update-alternatives --install /usr/bin/generated-editor generated-editor /usr/bin/editor-two 20");
    Corner::new("the better alternative is chosen", [one, two]).lists([
        "lrwxrwxrwx 0/0 0 ./etc/alternatives/generated-editor -> /usr/bin/editor-two",
        "lrwxrwxrwx 0/0 0 ./usr/bin/generated-editor -> /etc/alternatives/generated-editor",
    ])
}

/// Triggers of files and of names; a configured package is triggered when others come.
fn triggers() -> Corner {
    let listener = deb("listener")
        .dir("/usr/share/listened", 0o755)
        .trigger("interest-noawait /usr/share/listened")
        .trigger("interest-noawait generated-event")
        .postinst("mkdir -p /srv/listener\nls /usr/share/listened | LC_ALL=C sort > /srv/listener/seen");
    let file = deb("speaker-file").file("/usr/share/listened/file", 0o644, "x\n");
    let name =
        deb("speaker-name").file("/usr/share/listened/name", 0o644, "x\n").trigger("activate-noawait generated-event");
    Corner::new("triggers run after all was unpacked", [listener, file, name])
        .holds("srv/listener/seen", "file\nname\n")
}

/// Conffiles, one of which a postinst changes.
fn conffiles() -> Corner {
    let package = deb("conffiles")
        .conffile("/etc/generated/kept", "kept\n")
        .conffile("/etc/generated/changed", "as shipped\n")
        .conffiles_line("remove-on-upgrade /etc/generated/gone")
        .postinst("echo 'changed by postinst' > /etc/generated/changed");
    Corner::new("conffiles", [package])
        .holds("etc/generated/kept", "kept\n")
        .holds("etc/generated/changed", "changed by postinst\n")
        .lacks("etc/generated/gone")
        .lacks("etc/generated/kept.dpkg-new")
}

/// A package whose directory is another one's link to a directory.
fn through_a_link() -> Corner {
    let link = deb("link-owner").dir("/srv/through/real", 0o755).symlink("/srv/through/link", "real");
    let through = deb("link-user").pre_depends("link-owner").dir("/srv/through/link", 0o700).file(
        "/srv/through/link/file",
        0o644,
        "through\n",
    );
    Corner::new("a directory over a link to one goes through it", [link, through]).lists([
        "lrwxrwxrwx 0/0 0 ./srv/through/link -> real",
        "drwxr-xr-x 0/0 0 ./srv/through/real/",
        "-rw-r--r-- 0/0 8 ./srv/through/real/file",
    ])
}

/// Epochs, tildes and plus signs in names; long paths.
fn names() -> Corner {
    let path = format!("/srv/names/{}/{}", "directory".repeat(12), "file".repeat(30));
    let odd =
        Deb::new("odd+name1.0-x", "3:1.0~rc1+b2-0.1").packed(Packing::Gzip, Packing::Gzip).file(&path, 0o644, "long\n");
    let spaces = deb("spaces").file("/srv/names/with space", 0o644, "s\n").file("/srv/names/ä", 0o644, "u\n");
    Corner::new("odd names", [odd, spaces]).holds("srv/names/with space", "s\n").holds("srv/names/ä", "u\n")
}

/// A question of debconf's, answered by its default.
fn questions() -> Corner {
    let package = deb("questions")
        .depends("debconf")
        .control_file(
            "templates",
            "Template: questions/colour\nType: string\nDefault: blue\nDescription: Colour?\n Which one.\n",
            0o644,
        )
        .script("config", ". /usr/share/debconf/confmodule\ndb_input high questions/colour || true\ndb_go || true")
        .postinst(
            ". /usr/share/debconf/confmodule\ndb_get questions/colour\nmkdir -p /srv/questions\n\
             echo \"$RET\" > /srv/questions/colour\ndb_stop",
        );
    Corner::new("debconf's default", [package]).holds("srv/questions/colour", "blue\n")
}

/// The dialects of tar, and every compression of the payload.
fn dialects() -> Corner {
    let package = |name: &str, style: Style, packing: Packing| {
        Deb::new(name, "1.0").style(style).packed(Packing::Gzip, packing).file(
            &format!("/srv/dialects/{name}/{}", "n".repeat(60)),
            0o644,
            name,
        )
    };
    let long = |name: &str, style: Style| {
        let path = format!("/srv/dialects/{name}/{}", "long".repeat(40));
        Deb::new(name, "1.0").style(style).packed(Packing::Xz, Packing::Xz).file(&path, 0o644, name)
    };
    Corner::new(
        "dialects of tar",
        [
            package("dialect-v7", Style::V7, Packing::Plain),
            package("dialect-ustar", Style::Ustar, Packing::Bzip2),
            package("dialect-gnu", Style::Gnu, Packing::Xz),
            package("dialect-lzma", Style::Gnu, Packing::Lzma),
            package("dialect-zstd", Style::Gnu, Packing::Zstd),
            long("dialect-long", Style::Gnu),
        ],
    )
    .lists(["drwxr-xr-x 0/0 0 ./srv/dialects/dialect-v7/", "drwxr-xr-x 0/0 0 ./srv/dialects/dialect-zstd/"])
}

/// Set-id and sticky bits, foreign owners, pipes.
fn special_modes() -> Corner {
    let item = |path: &str, mode: u32, uid: u64, gid: u64, user: &str, group: &str| {
        Item::new(path, Kind::File(b"m\n"[..].into())).mode(mode).owner(uid, gid, user, group)
    };
    let package = deb("modes")
        .item(item("/srv/modes/setuid", 0o4755, 0, 0, "root", "root"))
        .item(item("/srv/modes/setgid", 0o2755, 0, 8, "root", "mail"))
        .item(item("/srv/modes/owned", 0o640, 6, 12, "man", "man"))
        .dir("/srv/modes/sticky", 0o1777)
        .item(Item::new("/srv/modes/pipe", Kind::Fifo).mode(0o600));
    Corner::new("special modes", [package]).lists([
        "-rwsr-xr-x 0/0 2 ./srv/modes/setuid",
        "-rwxr-sr-x 0/8 2 ./srv/modes/setgid",
        "-rw-r----- 6/12 2 ./srv/modes/owned",
        "drwxrwxrwt 0/0 0 ./srv/modes/sticky/",
        "prw------- 0/0 0 ./srv/modes/pipe",
    ])
}

/// A postinst that changes what other packages own: removes, replaces a directory, makes a link of a file.
fn changes_others() -> Corner {
    let owner = deb("changed")
        .file("/srv/changes/removed", 0o644, "r\n")
        .file("/srv/changes/directory/old", 0o644, "o\n")
        .file("/srv/changes/becomes-link", 0o644, "l\n");
    let changer = deb("changer").depends("changed").postinst(
        "cd /srv/changes\nrm removed\nrm -r directory\nmkdir -m 0711 directory\necho n > directory/new\n\
         rm becomes-link\nln -s directory/new becomes-link\nln directory/new second\nmkdir -p /run/generated\n\
         echo t > /tmp/generated",
    );
    Corner::new("a postinst changes others' files", [owner, changer])
        .lists([
            "drwx--x--x 0/0 0 ./srv/changes/directory/",
            "lrwxrwxrwx 0/0 0 ./srv/changes/becomes-link -> directory/new",
        ])
        .holds("srv/changes/directory/new", "n\n")
        .lacks("srv/changes/removed")
        .lacks("srv/changes/directory/old")
}

/// `Multi-Arch: same`: dpkg's files carry the architecture in their names.
fn co_installed() -> Corner {
    let library = deb("libgenerated1")
        .architecture(super::archive::host_architecture())
        .field("Multi-Arch", "same")
        .file("/usr/lib/libgenerated.so.1", 0o644, "not really\n")
        .trigger("activate-noawait ldconfig");
    let any = deb("any-architecture").field("Multi-Arch", "foreign").depends("libgenerated1").dir("/srv/multi", 0o755);
    Corner::new("Multi-Arch: same", [library, any]).lists(["drwxr-xr-x 0/0 0 ./srv/multi/"])
}

/// Two packages with one file and no Replaces: a bootstrap must refuse them.
#[must_use]
pub fn overlap() -> Vec<Deb> {
    vec![
        deb("overlap-one").file("/srv/overlap/file", 0o644, "one\n"),
        deb("overlap-two").file("/srv/overlap/file", 0o644, "two\n"),
    ]
}

/// Compares a root, packed as a tar archive by path, with what a corner expects: one line for each difference.
///
/// # Panics
/// If tar is missing or cannot read the archive.
#[must_use]
pub fn judge(corner: &Corner, archive: &std::path::Path) -> Vec<String> {
    let mut tar = crate::oracle::command("tar");
    tar.args(["--numeric-owner", "--quoting-style=literal", "-tvf"]).arg(archive);
    let listing = crate::oracle::expect(&mut tar);
    judge_listing(corner, archive, &listing)
}

/// Like [`judge`], with the listing of the archive that `tar --numeric-owner --quoting-style=literal -tv` gave.
///
/// # Panics
/// If tar is missing.
#[must_use]
pub fn judge_listing(corner: &Corner, archive: &std::path::Path, listing: &str) -> Vec<String> {
    let lines: Vec<String> = listing.lines().map(normal).collect();
    let path_of = |line: &str| {
        let rest = line.splitn(4, ' ').nth(3).unwrap_or_default();
        let rest = rest.split(" -> ").next().unwrap_or(rest);
        rest.split(" link to ").next().unwrap_or(rest).to_owned()
    };
    let mut differences = Vec::new();
    for expected in &corner.listing {
        let path = path_of(expected);
        let found = lines.iter().find(|line| path_of(line) == path);
        // Which name of a file comes first is the writer's choice.
        let linked = |line: &str| line.contains(" link to ") || expected.contains(" link to ");
        match found {
            None => differences.push(format!("{}: no {path}", corner.name)),
            Some(found) if found == expected => {}
            Some(found) if linked(found) && found[1..10] == expected[1..10] => {}
            Some(found) => differences.push(format!("{}: expected {expected}, found {found}", corner.name)),
        }
    }
    for path in &corner.absent {
        if lines.iter().any(|line| path_of(line).trim_end_matches('/') == format!("./{path}")) {
            differences.push(format!("{}: {path} is there", corner.name));
        }
    }
    for (path, text) in &corner.contents {
        // Members are named with and without `./`.
        let read = |name: &str| {
            let mut tar = crate::oracle::command("tar");
            let output = crate::oracle::output(tar.args(["-xOf"]).arg(archive).arg(name));
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        match read(&format!("./{path}")).or_else(|| read(path)) {
            None => differences.push(format!("{}: no {path}", corner.name)),
            Some(found) if found == *text => {}
            // A hard link's bytes stand at its first name.
            Some(found) if found.is_empty() => {}
            Some(found) => differences.push(format!("{}: {path}: expected {text:?}, found {found:?}", corner.name)),
        }
    }
    differences
}

/// A line of tar's listing without the time, single-spaced, the path with `./`.
fn normal(line: &str) -> String {
    let mut words = line.split_whitespace();
    let mut take = || words.next().unwrap_or_default();
    let (mode, owner, size, day, time) = (take(), take(), take(), take(), take());
    // Blanks inside of names count, so the rest is taken behind the time.
    let at = line.find(&format!("{day} {time}")).map_or(line.len(), |at| at + day.len() + 1 + time.len());
    let rest = line[at..].strip_prefix(' ').unwrap_or(&line[at..]);
    let dotted = |path: &str| if path.starts_with("./") { path.to_owned() } else { format!("./{path}") };
    let rest = match rest.split_once(" link to ") {
        Some((path, target)) => format!("{} link to {}", dotted(path), dotted(target)),
        None => dotted(rest),
    };
    format!("{mode} {owner} {size} {rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_tar_are_read() {
        // line | normal form
        for (line, expected) in [
            ("-rw-r--r-- 0/0               4 2023-11-14 22:13 ./a b", "-rw-r--r-- 0/0 4 ./a b"),
            ("drwxr-xr-x 0/0               0 2023-11-14 22:13 srv/", "drwxr-xr-x 0/0 0 ./srv/"),
            ("lrwxrwxrwx 0/0 0 2023-11-14 22:13 ./l -> t", "lrwxrwxrwx 0/0 0 ./l -> t"),
            ("hrwxr-xr-x 0/0 0 2023-11-14 22:13 b link to a", "hrwxr-xr-x 0/0 0 ./b link to ./a"),
        ] {
            assert_eq!(normal(line), expected);
        }
    }

    #[test]
    fn corners_have_packages_of_different_names() {
        let corners = all();
        let mut names: Vec<&str> = corners.iter().flat_map(Corner::names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
