//! Archives of real packages without a network: what is installed on a Debian machine, packed again.
//!
//! The packages hold the machine's own dpkg, shell and libraries, their maintainer scripts, conffiles and triggers, so
//! that a bootstrap from them configures as a real one does. Manuals, documents and translations are left out: they
//! are most of the bytes and none of the behaviour.

use super::deb::{Built, Deb, Item, Kind, Packing};
use super::hash::Hash;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// dpkg's folder.
const DATABASE: &str = "/var/lib/dpkg";

/// Changes with what is packed from the same machine: an older copy in a temporary folder is then not taken.
const VERSION: u32 = 2;

/// Fields of the status file that are dpkg's own and of no package.
const LOCAL_FIELDS: &[&str] = &["status", "conffiles", "config-version", "triggers-pending", "triggers-awaited"];

/// Folders whose files are left out; the folders stay, since alternatives want them.
const LEFT_OUT: &[&str] = &[
    "/usr/share/doc/",
    "/usr/share/man/",
    "/usr/share/info/",
    "/usr/share/locale/",
    "/usr/share/lintian/",
    "/usr/share/bug/",
    "/usr/share/doc-base/",
    "/usr/share/bash-completion/",
    "/usr/share/zoneinfo/",
    "/usr/share/i18n/",
];

/// Names that are links to `usr` on a merged machine, and folders in the packages up to Debian 12.
const ALIASES: [&str; 7] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/libo32"];

/// Which packages to take from the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// `Essential: yes` and what it depends on.
    Essential,
    /// `Priority: required`, apt, and what these depend on.
    Minbase,
}

/// Where the packages have what is needed to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As on the machine, which is merged: `usr-is-merged` is among them.
    AsPacked,
    /// In folders of their own, as before the merge: nothing asks for a merged system, and such names are folders.
    Unmerged,
    /// Everything below `usr`, and the links `bin`, `sbin`, `lib`, `lib64` are base-files' own, as since Debian 13.
    Moved,
}

/// What to take from the machine, and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which packages.
    pub extent: Extent,
    /// Names beside; they must be installed.
    pub more: Vec<String>,
    /// Where files lie.
    pub layout: Layout,
    /// Compressions of control and data.
    pub packing: (Packing, Packing),
}

impl Wanted {
    /// This extent as it is, packed with zstd, which is fastest.
    #[must_use]
    pub fn new(extent: Extent) -> Wanted {
        Wanted { extent, more: Vec::new(), layout: Layout::AsPacked, packing: (Packing::Zstd, Packing::Zstd) }
    }
}

/// Packages made of the machine's own files.
#[derive(Debug, Clone)]
pub struct World {
    /// In order of their names.
    pub packages: Vec<Built>,
}

impl World {
    /// Packs the machine's packages of this extent, and all they depend on.
    ///
    /// # Errors
    /// See [`World::build`].
    pub fn of_host(extent: Extent) -> Result<World, String> {
        World::build(&Wanted::new(extent))
    }

    /// Packs what is wanted of the machine's packages, with all they depend on; from a copy in the temporary folder
    /// where one was made before.
    ///
    /// # Errors
    /// The reason for a skip: no Debian machine, a needed package is not installed, a file cannot be read, the machine
    /// has moved already where another layout is wanted.
    pub fn build(wanted: &Wanted) -> Result<World, String> {
        let status = std::fs::read_to_string(format!("{DATABASE}/status"))
            .map_err(|_| "the machine is no Debian (no dpkg status)".to_owned())?;
        let key = Hash::Sha256.hex(format!("{VERSION} {wanted:?} {status}").as_bytes());
        let uid = crate::privilege::ids().0;
        let folder = std::env::temp_dir().join(format!("bedplate-world-{uid}-{}", &key[..16]));
        if let Some(packages) = read_copy(&folder) {
            return Ok(World { packages });
        }
        let packer = Packer::new(&status)?;
        if packer.links_in_base_files && wanted.layout == Layout::Unmerged {
            return Err("the machine's packages lie below /usr: there is no unmerged form".to_owned());
        }
        let mut packages = Vec::new();
        for name in chosen(&packer.status, wanted.extent, &wanted.more)? {
            let deb = packer.pack(&name)?.packed(wanted.packing.0, wanted.packing.1);
            packages.extend(laid_out(deb, wanted.layout).map(|deb| deb.build()));
        }
        write_copy(&folder, &packages);
        Ok(World { packages })
    }

    /// The package of this name.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn package(&self, name: &str) -> &Built {
        match self.packages.iter().find(|built| built.name == name) {
            Some(built) => built,
            None => panic!("no {name} among {:?}", self.packages.iter().map(|built| &built.name).collect::<Vec<_>>()),
        }
    }

    /// Adds a package, or replaces the one of its name.
    #[must_use]
    pub fn with(mut self, built: Built) -> World {
        self.packages.retain(|known| known.name != built.name);
        self.packages.push(built);
        self
    }
}

/// The installed package as one to be built, with all its files: to be changed and added to a [`World`].
///
/// # Errors
/// The reason for a skip, as in [`World::build`].
pub fn installed(name: &str) -> Result<Deb, String> {
    let status = std::fs::read_to_string(format!("{DATABASE}/status"))
        .map_err(|_| "the machine is no Debian (no dpkg status)".to_owned())?;
    Packer::new(&status)?.pack(name)
}

/// The machine's installed packages by name.
struct Status<'s> {
    stanzas: BTreeMap<&'s str, BTreeMap<String, String>>,
    order: HashMap<&'s str, Vec<String>>,
    providers: HashMap<String, Vec<&'s str>>,
}

impl<'s> Status<'s> {
    fn parse(text: &'s str) -> Status<'s> {
        let mut status = Status { stanzas: BTreeMap::new(), order: HashMap::new(), providers: HashMap::new() };
        for stanza in text.split("\n\n") {
            let Some(name) = stanza.lines().find_map(|line| line.strip_prefix("Package: ")) else { continue };
            let mut fields: BTreeMap<String, String> = BTreeMap::new();
            let mut order: Vec<String> = Vec::new();
            for line in stanza.lines() {
                if line.starts_with([' ', '\t']) {
                    if let Some(value) = order.last().and_then(|last| fields.get_mut(&last.to_ascii_lowercase())) {
                        value.push('\n');
                        value.push_str(line);
                    }
                } else if let Some((field, value)) = line.split_once(':') {
                    order.push(field.to_owned());
                    fields.insert(field.to_ascii_lowercase(), value.trim().to_owned());
                }
            }
            let native = [super::archive::host_architecture(), "all"];
            let architecture = fields.get("architecture").map_or("", String::as_str);
            if fields.get("status").map(String::as_str) != Some("install ok installed")
                || !native.contains(&architecture)
            {
                continue;
            }
            for provided in fields.get("provides").map_or("", String::as_str).split(',') {
                let provided = provided.split_whitespace().next().unwrap_or_default();
                status.providers.entry(provided.to_owned()).or_default().push(name);
            }
            status.stanzas.insert(name, fields);
            status.order.insert(name, order);
        }
        status
    }

    fn field(&self, name: &str, field: &str) -> &str {
        self.stanzas.get(name).and_then(|fields| fields.get(field)).map_or("", String::as_str)
    }

    /// What a package cannot do without, as far as the machine has it: any alternative that is installed.
    fn needs(&self, name: &str) -> Vec<&'s str> {
        let mut found: Vec<&'s str> = Vec::new();
        for field in ["depends", "pre-depends"] {
            for group in self.field(name, field).split(',') {
                let names = group.split('|').filter_map(|one| {
                    let one = one.split_whitespace().next()?;
                    Some(one.split(':').next().unwrap_or(one))
                });
                let names: Vec<&str> = names.collect();
                let real = names.iter().find_map(|name| self.stanzas.get_key_value(*name).map(|(name, _)| *name));
                let virtual_one = || names.iter().find_map(|name| self.providers.get(*name)?.first().copied());
                found.extend(real.or_else(virtual_one));
            }
        }
        found
    }
}

fn chosen(status: &Status<'_>, extent: Extent, more: &[String]) -> Result<BTreeSet<String>, String> {
    let mut open: Vec<&str> = status
        .stanzas
        .keys()
        .copied()
        .filter(|name| match extent {
            Extent::Essential => status.field(name, "essential") == "yes",
            Extent::Minbase => status.field(name, "priority") == "required" || *name == "apt",
        })
        .collect();
    if open.is_empty() {
        return Err("the machine's dpkg knows no essential package".to_owned());
    }
    for name in more {
        match status.stanzas.get_key_value(name.as_str()) {
            Some((name, _)) => open.push(name),
            None => return Err(format!("{name} is not installed on this machine")),
        }
    }
    let mut names = BTreeSet::new();
    while let Some(name) = open.pop() {
        if names.insert(name.to_owned()) {
            open.extend(status.needs(name));
        }
    }
    Ok(names)
}

/// The package in another layout; `None` where that has no such package.
fn laid_out(mut deb: Deb, layout: Layout) -> Option<Deb> {
    let name = deb.get("Package").unwrap_or_default().to_owned();
    match layout {
        Layout::AsPacked => Some(deb),
        Layout::Unmerged if name == "usr-is-merged" => None,
        Layout::Unmerged => {
            for field in ["Depends", "Pre-Depends"] {
                let Some(relations) = deb.get(field) else { continue };
                let kept: Vec<&str> = relations.split(", ").filter(|group| !group.contains("usr-is-merged")).collect();
                let kept = kept.join(", ");
                deb = deb.field(field, &kept);
            }
            Some(deb)
        }
        Layout::Moved => {
            let aliases = ALIASES.map(|alias| &alias[1..]);
            let moved = |path: &str| {
                let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
                aliases.contains(&first).then(|| format!("usr/{}", path.trim_start_matches('/')))
            };
            let mut named: BTreeSet<String> = BTreeSet::new();
            deb.items.retain_mut(|item| {
                if let Some(path) = moved(&item.path) {
                    // A relative target is still right one folder deeper only where it does not leave its own.
                    if let Kind::Symlink(target) = &mut item.kind
                        && target.starts_with("../")
                        && item.path.matches('/').count() < target.matches("../").count() + 1
                    {
                        *target = format!("../{target}").replace("../../usr/", "../");
                    }
                    item.path = path;
                }
                if let Kind::Hardlink(target) = &mut item.kind
                    && let Some(path) = moved(target)
                {
                    *target = path;
                }
                named.insert(item.path.clone()) || item.kind != Kind::Directory
            });
            if name == "base-files" {
                let links = aliases.iter().filter(|alias| Path::new("/").join(alias).is_dir());
                deb = links.fold(deb, |deb, alias| deb.symlink(alias, &format!("usr/{alias}")));
            }
            Some(deb)
        }
    }
}

/// What is needed to pack an installed package.
struct Packer<'s> {
    status: Status<'s>,
    diversions: HashMap<String, (String, String)>,
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
    links_in_base_files: bool,
}

impl<'s> Packer<'s> {
    fn new(text: &'s str) -> Result<Packer<'s>, String> {
        let status = Status::parse(text);
        let diversions = std::fs::read_to_string(format!("{DATABASE}/diversions")).unwrap_or_default();
        let lines: Vec<&str> = diversions.lines().collect();
        let diversions = lines
            .chunks_exact(3)
            .map(|triple| (triple[0].to_owned(), (triple[1].to_owned(), triple[2].to_owned())))
            .collect();
        let version = status.field("base-files", "version");
        let major: u32 = version.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).unwrap_or(0);
        Ok(Packer {
            diversions,
            users: names_of("/etc/passwd"),
            groups: names_of("/etc/group"),
            links_in_base_files: major >= 13,
            status,
        })
    }

    fn pack(&self, name: &str) -> Result<Deb, String> {
        let fields = self.status.stanzas.get(name).ok_or_else(|| format!("{name} is not installed on this machine"))?;
        let mut deb = Deb::new(name, "0");
        for field in self.status.order.get(name).into_iter().flatten() {
            let key = field.to_ascii_lowercase();
            if let Some(value) = fields.get(&key).filter(|_| !LOCAL_FIELDS.contains(&key.as_str())) {
                deb = deb.field(field, value);
            }
        }
        let info = |suffix: &str| self.info(name, suffix);
        let list = info("list").and_then(|path| std::fs::read_to_string(path).ok());
        let list = list.ok_or_else(|| format!("dpkg has no list of {name}'s files"))?;
        let mut present = BTreeSet::new();
        let mut inodes: HashMap<(u64, u64), String> = HashMap::new();
        for path in list.lines().filter(|path| *path != "/.") {
            if let Some(item) = self.item(name, path, &mut inodes)? {
                present.insert(path.to_owned());
                deb = deb.item(item);
            }
        }
        for suffix in ["preinst", "postinst", "prerm", "postrm", "config", "templates", "shlibs", "symbols"] {
            if let Some(data) = info(suffix).and_then(|path| std::fs::read(path).ok()) {
                let mode = if matches!(suffix, "templates" | "shlibs" | "symbols") { 0o644 } else { 0o755 };
                deb = deb.control_file(suffix, data, mode);
            }
        }
        let text = |suffix: &str| info(suffix).and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        for line in text("conffiles").lines().filter(|line| present.contains(*line)) {
            deb = deb.conffiles_line(line);
        }
        for line in text("triggers").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            deb = deb.trigger(line);
        }
        Ok(deb)
    }

    fn info(&self, name: &str, suffix: &str) -> Option<PathBuf> {
        let architecture = super::archive::host_architecture();
        [format!("{DATABASE}/info/{name}.{suffix}"), format!("{DATABASE}/info/{name}:{architecture}.{suffix}")]
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.is_file())
    }

    /// The entry of a path; `None` where it is left out or gone from the machine.
    fn item(
        &self,
        package: &str,
        path: &str,
        inodes: &mut HashMap<(u64, u64), String>,
    ) -> Result<Option<Item>, String> {
        let mut on_disk = path;
        if let Some((target, owner)) = self.diversions.get(path)
            && owner != package
        {
            on_disk = target;
        }
        let Ok(metadata) = std::fs::symlink_metadata(on_disk) else { return Ok(None) };
        let fail = |error: std::io::Error| format!("{on_disk}: {error}");
        let alias = ALIASES.contains(&path) && !(self.links_in_base_files && package == "base-files");
        let kind = if metadata.is_dir() || alias {
            Kind::Directory
        } else if LEFT_OUT.iter().any(|folder| path.starts_with(folder)) {
            return Ok(None);
        } else if metadata.is_symlink() {
            Kind::Symlink(std::fs::read_link(on_disk).map_err(fail)?.to_string_lossy().into_owned())
        } else if metadata.is_file() {
            let first = (metadata.nlink() > 1).then(|| inodes.get(&(metadata.dev(), metadata.ino()))).flatten();
            match first {
                Some(first) => Kind::Hardlink(first.clone()),
                None => {
                    inodes.insert((metadata.dev(), metadata.ino()), path.to_owned());
                    Kind::File(std::fs::read(on_disk).map_err(fail)?.into())
                }
            }
        } else {
            return Ok(None);
        };
        let (uid, gid) = if alias { (0, 0) } else { (metadata.uid(), metadata.gid()) };
        let name = |names: &HashMap<u32, String>, id: u32| names.get(&id).cloned().unwrap_or_default();
        let mode = if alias { 0o755 } else { metadata.mode() & 0o7777 };
        let item = Item::new(path, kind.clone()).mode(mode).owner(
            u64::from(uid),
            u64::from(gid),
            &name(&self.users, uid),
            &name(&self.groups, gid),
        );
        // The times of folders are those of the machine's last installation.
        let newest = super::EPOCH.cast_signed();
        let mtime = if kind == Kind::Directory { newest } else { metadata.mtime().min(newest) };
        Ok(Some(item.mtime(mtime)))
    }
}

fn names_of(path: &str) -> HashMap<u32, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            Some((fields.nth(1)?.parse().ok()?, name.to_owned()))
        })
        .collect()
}

/// Reads what [`write_copy`] wrote: the control file of each package beside it.
fn read_copy(folder: &Path) -> Option<Vec<Built>> {
    let index = std::fs::read_to_string(folder.join("names")).ok()?;
    let read = |name: &str| {
        let control = std::fs::read_to_string(folder.join(format!("{name}.control"))).ok()?;
        let bytes = std::fs::read(folder.join(format!("{name}.deb"))).ok()?;
        let field = |field: &str| {
            let prefix = format!("{field}: ");
            control.lines().find_map(|line| line.strip_prefix(prefix.as_str())).map(str::to_owned)
        };
        let source = field("Source").and_then(|source| source.split_whitespace().next().map(str::to_owned));
        Some(Built {
            name: field("Package")?,
            version: field("Version")?,
            architecture: field("Architecture")?,
            source: source.unwrap_or(field("Package")?),
            control,
            bytes: bytes.into(),
        })
    };
    index.lines().map(read).collect()
}

fn write_copy(folder: &Path, packages: &[Built]) {
    // A copy that cannot be kept costs the next test its time, no more.
    let write = || -> std::io::Result<()> {
        let parent = folder.parent().unwrap_or(Path::new("/tmp"));
        let own = tempfile::Builder::new().prefix("bedplate-world-new-").tempdir_in(parent)?;
        let mut names = String::new();
        for built in packages {
            std::fs::write(own.path().join(format!("{}.deb", built.name)), &built.bytes)?;
            std::fs::write(own.path().join(format!("{}.control", built.name)), &built.control)?;
            names.push_str(&built.name);
            names.push('\n');
        }
        std::fs::write(own.path().join("names"), names)?;
        std::fs::rename(own.keep(), folder)
    };
    let _ = write();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle;

    fn world(test: &str, extent: Extent) -> Option<World> {
        match World::of_host(extent) {
            Ok(world) => Some(world),
            Err(reason) => {
                crate::skip::note(test, &reason);
                None
            }
        }
    }

    #[test]
    fn packs_the_essential_set() {
        let Some(world) = world("testkit::packs_the_essential_set", Extent::Essential) else { return };
        for name in ["base-files", "base-passwd", "dpkg", "libc6", "tar", "dash"] {
            assert_eq!(world.package(name).name, name);
        }
        let again = World::of_host(Extent::Essential).unwrap();
        assert_eq!(again.packages, world.packages, "the copy is what was packed");
        if oracle::find("dpkg-deb").is_some() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("dash.deb");
            std::fs::write(&path, &world.package("dash").bytes).unwrap();
            let listing = oracle::expect(oracle::command("dpkg-deb").arg("-c").arg(&path));
            assert!(listing.contains("/bin/dash\n"), "{listing}");
            assert!(world.package("dash").control.contains("Essential: yes\n"));
        }
    }

    #[test]
    fn other_layouts() {
        const TEST: &str = "testkit::other_layouts";
        if world(TEST, Extent::Essential).is_none() || oracle::find("dpkg-deb").is_none() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let listing = |world: &World, name: &str| {
            let path = folder.path().join("x.deb");
            std::fs::write(&path, &world.package(name).bytes).unwrap();
            oracle::expect(oracle::command("dpkg-deb").arg("-c").arg(&path))
        };
        let moved = World::build(&Wanted { layout: Layout::Moved, ..Wanted::new(Extent::Essential) }).unwrap();
        assert!(listing(&moved, "dash").contains(" ./usr/bin/dash\n"));
        assert!(listing(&moved, "base-files").contains(" ./bin -> usr/bin\n"));
        let unmerged = World::build(&Wanted { layout: Layout::Unmerged, ..Wanted::new(Extent::Essential) });
        match unmerged {
            Ok(world) => assert!(world.packages.iter().all(|built| !built.control.contains("usr-is-merged"))),
            Err(reason) => crate::skip::note(TEST, &reason),
        }
    }
}
