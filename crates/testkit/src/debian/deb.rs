//! Binary packages, laid out byte by byte.

use super::hash::Hash;
use crate::tar::{Entry, Style, Tar};
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

/// Compression of a member or an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Packing {
    /// As it is.
    Plain,
    /// `.gz`.
    Gzip,
    /// `.bz2`.
    Bzip2,
    /// `.xz`.
    Xz,
    /// `.lzma`, of the oldest packages.
    Lzma,
    /// `.zst`, of Ubuntu since 21.10.
    Zstd,
}

impl Packing {
    /// All that dpkg reads today.
    pub const ALL: [Packing; 6] =
        [Packing::Plain, Packing::Gzip, Packing::Bzip2, Packing::Xz, Packing::Lzma, Packing::Zstd];

    /// What follows the file's name, with its dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Packing::Plain => "",
            Packing::Gzip => ".gz",
            Packing::Bzip2 => ".bz2",
            Packing::Xz => ".xz",
            Packing::Lzma => ".lzma",
            Packing::Zstd => ".zst",
        }
    }

    /// Compresses, fast rather than small.
    ///
    /// # Panics
    /// Never: memory takes it.
    #[must_use]
    pub fn pack(self, data: &[u8]) -> Vec<u8> {
        let all = "memory takes it";
        match self {
            Packing::Plain => data.to_vec(),
            Packing::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(data).expect(all);
                encoder.finish().expect(all)
            }
            Packing::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(data).expect(all);
                encoder.finish().expect(all)
            }
            Packing::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
                encoder.write_all(data).expect(all);
                encoder.finish().expect(all)
            }
            Packing::Lzma => {
                let options = liblzma::stream::LzmaOptions::new_preset(0).expect("a known preset");
                let stream = liblzma::stream::Stream::new_lzma_encoder(&options).expect(all);
                let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
                encoder.write_all(data).expect(all);
                encoder.finish().expect(all)
            }
            Packing::Zstd => zstd::encode_all(data, 1).expect(all),
        }
    }
}

/// What an item of a package is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file with its bytes.
    File(Arc<[u8]>),
    /// A symbolic link to this target.
    Symlink(String),
    /// Another name of an earlier item, named as in the package.
    Hardlink(String),
    /// A character device.
    Characters(u32, u32),
    /// A block device.
    Blocks(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One entry of the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Path without a leading `/` or `./`; both are dropped.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u64, u64),
    /// Their names; empty: none.
    pub names: (String, String),
    /// Seconds since the epoch; `None`: the package's time.
    pub mtime: Option<i64>,
    /// PAX records of this entry, e.g. `SCHILY.xattr.user.x`.
    pub pax: Vec<(String, Vec<u8>)>,
    /// Whether the path stands in the archive exactly as it is, and no parents are added: for attacks.
    pub verbatim: bool,
}

impl Item {
    /// An item of root's, 0755 for directories, 0644 for files.
    #[must_use]
    pub fn new(path: &str, kind: Kind) -> Item {
        let mode = match kind {
            Kind::Directory => 0o755,
            Kind::Symlink(_) => 0o777,
            _ => 0o644,
        };
        let trimmed = path.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/');
        Item {
            path: trimmed.to_owned(),
            kind,
            mode,
            owner: (0, 0),
            names: ("root".to_owned(), "root".to_owned()),
            mtime: None,
            pax: Vec::new(),
            verbatim: false,
        }
    }

    /// With permission bits.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Item {
        self.mode = mode;
        self
    }

    /// With an owner and a group, and their names, which win where the target knows them.
    #[must_use]
    pub fn owner(mut self, uid: u64, gid: u64, user: &str, group: &str) -> Item {
        self.owner = (uid, gid);
        self.names = (user.to_owned(), group.to_owned());
        self
    }

    /// With a time.
    #[must_use]
    pub fn mtime(mut self, seconds: i64) -> Item {
        self.mtime = Some(seconds);
        self
    }

    /// With an extended attribute.
    #[must_use]
    pub fn xattr(mut self, name: &str, value: &[u8]) -> Item {
        self.pax.push((format!("SCHILY.xattr.{name}"), value.to_vec()));
        self
    }
}

/// A binary package in the making.
#[derive(Debug, Clone)]
pub struct Deb {
    fields: Vec<(String, String)>,
    pub(super) items: Vec<Item>,
    conffiles: Vec<String>,
    control: Vec<(String, Vec<u8>, u32)>,
    triggers: Vec<String>,
    packing: (Packing, Packing),
    mtime: i64,
    style: Style,
    md5sums: bool,
    extra_members: Vec<(String, Vec<u8>)>,
}

impl Deb {
    /// An empty package for all architectures.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Deb {
        let fields = [
            ("Package", name),
            ("Version", version),
            ("Architecture", "all"),
            ("Maintainer", "Generated Packages <packages@example.org>"),
            ("Section", "misc"),
            ("Priority", "optional"),
            ("Description", "generated package\n It serves tests only."),
        ];
        Deb {
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            items: Vec::new(),
            conffiles: Vec::new(),
            control: Vec::new(),
            triggers: Vec::new(),
            packing: (Packing::Xz, Packing::Xz),
            mtime: super::EPOCH.cast_signed(),
            style: Style::Gnu,
            md5sums: true,
            extra_members: Vec::new(),
        }
    }

    /// Sets or replaces a field of the control file; an empty value removes it.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Deb {
        self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name) || !value.is_empty());
        if value.is_empty() {
            return self;
        }
        match self.fields.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, known)) => value.clone_into(known),
            None => {
                // Descriptions stand last, as in every archive.
                let last =
                    self.fields.iter().position(|(known, _)| known == "Description").unwrap_or(self.fields.len());
                self.fields.insert(last, (name.to_owned(), value.to_owned()));
            }
        }
        self
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Sets the architecture.
    #[must_use]
    pub fn architecture(self, name: &str) -> Deb {
        self.field("Architecture", name)
    }

    /// Sets `Depends`.
    #[must_use]
    pub fn depends(self, relation: &str) -> Deb {
        self.field("Depends", relation)
    }

    /// Sets `Pre-Depends`.
    #[must_use]
    pub fn pre_depends(self, relation: &str) -> Deb {
        self.field("Pre-Depends", relation)
    }

    /// Sets `Priority`.
    #[must_use]
    pub fn priority(self, value: &str) -> Deb {
        self.field("Priority", value)
    }

    /// Sets `Essential: yes` and the priority that goes with it.
    #[must_use]
    pub fn essential(self) -> Deb {
        self.field("Essential", "yes").priority("required")
    }

    /// Adds an item; its parents are added where no item names them.
    #[must_use]
    pub fn item(mut self, item: Item) -> Deb {
        self.items.push(item);
        self
    }

    /// Adds a directory.
    #[must_use]
    pub fn dir(self, path: &str, mode: u32) -> Deb {
        self.item(Item::new(path, Kind::Directory).mode(mode))
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, data: impl AsRef<[u8]>) -> Deb {
        self.item(Item::new(path, Kind::File(data.as_ref().into())).mode(mode))
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Deb {
        self.item(Item::new(path, Kind::Symlink(target.to_owned())))
    }

    /// Adds another name of an earlier file, both named as in the package.
    #[must_use]
    pub fn hardlink(self, path: &str, target: &str) -> Deb {
        self.item(Item::new(path, Kind::Hardlink(target.to_owned())))
    }

    /// Adds a file that is a conffile.
    #[must_use]
    pub fn conffile(mut self, path: &str, data: impl AsRef<[u8]>) -> Deb {
        self.conffiles.push(format!("/{}", path.trim_start_matches('/')));
        self.file(path, 0o644, data)
    }

    /// Adds a line of `conffiles` as it is, e.g. `remove-on-upgrade /etc/x`, or the name of a file added before.
    #[must_use]
    pub fn conffiles_line(mut self, line: &str) -> Deb {
        self.conffiles.push(line.to_owned());
        self
    }

    /// Adds an entry that stands in the archive exactly as given, without parents: for attacks.
    #[must_use]
    pub fn verbatim(mut self, path: &str, kind: Kind, mode: u32) -> Deb {
        let item = Item { path: path.to_owned(), verbatim: true, mode, ..Item::new(path, kind) };
        self.items.push(item);
        self
    }

    /// Adds a maintainer script: `preinst`, `postinst`, `prerm`, `postrm` or `config`; `body` follows `#!/bin/sh`.
    #[must_use]
    pub fn script(self, name: &str, body: &str) -> Deb {
        let text = if body.starts_with("#!") { body.to_owned() } else { format!("#!/bin/sh\nset -e\n{body}\n") };
        self.control_file(name, text, 0o755)
    }

    /// Adds the script that runs before unpacking.
    #[must_use]
    pub fn preinst(self, body: &str) -> Deb {
        self.script("preinst", body)
    }

    /// Adds the script that configures.
    #[must_use]
    pub fn postinst(self, body: &str) -> Deb {
        self.script("postinst", body)
    }

    /// Adds a member of the control archive, e.g. `templates`.
    #[must_use]
    pub fn control_file(mut self, name: &str, data: impl Into<Vec<u8>>, mode: u32) -> Deb {
        self.control.retain(|(known, _, _)| known != name);
        self.control.push((name.to_owned(), data.into(), mode));
        self
    }

    /// Adds a line of `triggers`, e.g. `interest-noawait /usr/share/x`.
    #[must_use]
    pub fn trigger(mut self, line: &str) -> Deb {
        self.triggers.push(line.to_owned());
        self
    }

    /// Sets the compressions of the control and of the data archive.
    #[must_use]
    pub fn packed(mut self, control: Packing, data: Packing) -> Deb {
        self.packing = (control, data);
        self
    }

    /// Sets the time of everything that names none, in seconds since the epoch.
    #[must_use]
    pub fn mtime(mut self, seconds: i64) -> Deb {
        self.mtime = seconds;
        self
    }

    /// Writes headers in another dialect; V7 and ustar cut names at 100 bytes unless PAX records carry them.
    #[must_use]
    pub fn style(mut self, style: Style) -> Deb {
        self.style = style;
        self
    }

    /// Leaves `md5sums` out.
    #[must_use]
    pub fn without_md5sums(mut self) -> Deb {
        self.md5sums = false;
        self
    }

    /// Adds a member between control and data, e.g. `_gpgorigin`; names that begin with `_` are to be ignored.
    #[must_use]
    pub fn extra_member(mut self, name: &str, data: &[u8]) -> Deb {
        self.extra_members.push((name.to_owned(), data.to_vec()));
        self
    }

    /// The package as a file. The same calls give the same bytes.
    #[must_use]
    pub fn build(&self) -> Built {
        let (control, data) = self.packing;
        let paragraph = self.paragraph();
        let mut members = vec![("debian-binary".to_owned(), b"2.0\n".to_vec())];
        members.push((format!("control.tar{}", control.extension()), control.pack(&self.control_tar(&paragraph))));
        members.extend(self.extra_members.iter().cloned());
        members.push((format!("data.tar{}", data.extension()), data.pack(&self.data_tar())));
        let bytes = ar(&members, self.mtime);
        let of = |name: &str| self.get(name).unwrap_or_default().to_owned();
        Built {
            name: of("Package"),
            version: of("Version"),
            architecture: of("Architecture"),
            source: self.get("Source").map_or_else(
                || of("Package"),
                |source| source.split_whitespace().next().unwrap_or_default().to_owned(),
            ),
            control: paragraph,
            bytes: bytes.into(),
        }
    }

    /// The control file.
    #[must_use]
    pub fn paragraph(&self) -> String {
        let size: usize = self
            .items
            .iter()
            .map(|item| match &item.kind {
                Kind::File(data) => data.len().div_ceil(1024),
                _ => 1,
            })
            .sum();
        let mut text = String::new();
        for (name, value) in &self.fields {
            if name == "Description" && self.get("Installed-Size").is_none() {
                text.push_str(&format!("Installed-Size: {size}\n"));
            }
            text.push_str(&format!("{name}: {value}\n"));
        }
        text
    }

    fn control_tar(&self, paragraph: &str) -> Vec<u8> {
        let mut files: Vec<(&str, Vec<u8>, u32)> = vec![("control", paragraph.as_bytes().to_vec(), 0o644)];
        if !self.conffiles.is_empty() {
            files.push(("conffiles", format!("{}\n", self.conffiles.join("\n")).into_bytes(), 0o644));
        }
        if self.md5sums && self.items.iter().any(|item| matches!(item.kind, Kind::File(_))) {
            files.push(("md5sums", self.md5sums().into_bytes(), 0o644));
        }
        if !self.triggers.is_empty() {
            files.push(("triggers", format!("{}\n", self.triggers.join("\n")).into_bytes(), 0o644));
        }
        for (name, data, mode) in &self.control {
            files.retain(|(known, _, _)| known != name);
            files.push((name, data.clone(), *mode));
        }
        let root = Entry { path: b"./", kind: b'5', mode: 0o755, ..self.entry() };
        let tar = files.iter().fold(Tar::new().entry(&root), |tar, (name, data, mode)| {
            tar.entry(&Entry { path: format!("./{name}").as_bytes(), mode: *mode, data, ..self.entry() })
        });
        tar.finish()
    }

    fn md5sums(&self) -> String {
        let mut text = String::new();
        for item in &self.items {
            if let Kind::File(data) = &item.kind
                && !self.conffiles.iter().any(|line| line.trim_start_matches('/') == item.path)
            {
                text.push_str(&format!("{}  {}\n", Hash::Md5.hex(data), item.path));
            }
        }
        text
    }

    /// The payload as an uncompressed tar archive.
    #[must_use]
    pub fn data_tar(&self) -> Vec<u8> {
        let mut named: BTreeSet<String> = self.items.iter().map(|item| item.path.clone()).collect();
        let mut tar = Tar::new();
        if !named.contains("") {
            tar = tar.entry(&Entry { path: b"./", kind: b'5', mode: 0o755, ..self.entry() });
        }
        for item in &self.items {
            if !item.verbatim {
                for (at, _) in item.path.match_indices('/') {
                    if named.insert(item.path[..at].to_owned()) {
                        let parent = Item::new(&item.path[..at], Kind::Directory);
                        tar = self.append(tar, &parent);
                    }
                }
            }
            tar = self.append(tar, item);
        }
        tar.finish()
    }

    fn append(&self, mut tar: Tar, item: &Item) -> Tar {
        let dotted = |path: &str| match item.verbatim {
            true => path.to_owned(),
            false => format!("./{}", path.trim_start_matches("./").trim_start_matches('/')),
        };
        let mut path = dotted(&item.path);
        let (mut link, mut data, mut device) = (String::new(), &[][..], (0, 0));
        let kind = match &item.kind {
            Kind::Directory => {
                if !path.ends_with('/') {
                    path.push('/');
                }
                b'5'
            }
            Kind::File(bytes) => {
                data = bytes;
                b'0'
            }
            Kind::Symlink(target) => {
                target.clone_into(&mut link);
                b'2'
            }
            Kind::Hardlink(target) => {
                link = dotted(target);
                b'1'
            }
            Kind::Characters(major, minor) => {
                device = (*major, *minor);
                b'3'
            }
            Kind::Blocks(major, minor) => {
                device = (*major, *minor);
                b'4'
            }
            Kind::Fifo => b'6',
        };
        let mut records: Vec<(&str, &[u8])> =
            item.pax.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
        for (name, key, flag) in [(&path, "path", b'L'), (&link, "linkpath", b'K')] {
            match self.style {
                _ if name.len() <= 100 => {}
                Style::Gnu => tar = tar.long_name(flag, name),
                _ => records.push((key, name.as_bytes())),
            }
        }
        if !records.is_empty() {
            tar = tar.pax(&records);
        }
        tar.entry(&Entry {
            path: path.as_bytes(),
            kind,
            mode: item.mode,
            uid: item.owner.0,
            gid: item.owner.1,
            mtime: item.mtime.unwrap_or(self.mtime),
            link: link.as_bytes(),
            device,
            names: (&item.names.0, &item.names.1),
            data,
            ..self.entry()
        })
    }

    fn entry(&self) -> Entry<'static> {
        Entry { style: self.style, mtime: self.mtime, names: ("root", "root"), ..Entry::default() }
    }
}

/// A package as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// `Package`.
    pub name: String,
    /// `Version`.
    pub version: String,
    /// `Architecture`.
    pub architecture: String,
    /// Name of the source package.
    pub source: String,
    /// The control file.
    pub control: String,
    /// The `.deb`.
    pub bytes: Arc<[u8]>,
}

impl Built {
    /// `name_version_arch.deb`, the version without its epoch, as in a pool.
    #[must_use]
    pub fn file_name(&self) -> String {
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, version)| version);
        format!("{}_{version}_{}.deb", self.name, self.architecture)
    }

    /// Its place below the archive's root.
    #[must_use]
    pub fn pool_path(&self, component: &str) -> String {
        let first = if self.source.starts_with("lib") { 4 } else { 1 };
        let prefix: String = self.source.chars().take(first).collect();
        format!("pool/{component}/{prefix}/{}/{}", self.source, self.file_name())
    }
}

/// An `ar` archive; nothing is checked.
#[must_use]
pub fn ar(members: &[(String, Vec<u8>)], mtime: i64) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, data) in members {
        bytes.extend(format!("{name:<16}{mtime:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, "100644", data.len()).bytes());
        bytes.extend_from_slice(data);
        if data.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle;

    fn sample() -> Deb {
        Deb::new("sample", "1:2.0-3")
            .architecture("amd64")
            .depends("libc6 (>= 2.36)")
            .dir("/usr/share/sample", 0o2775)
            .file("/usr/bin/sample", 0o4755, "#!/bin/sh\n")
            .hardlink("/usr/bin/again", "/usr/bin/sample")
            .symlink("/usr/bin/link", "sample")
            .conffile("/etc/sample.conf", "a=1\n")
            .item(Item::new("/usr/share/sample/x", Kind::File(b"x"[..].into())).owner(7, 8, "lp", "mail").mtime(5))
            .file(&format!("/usr/share/{}/f", "long".repeat(40)), 0o644, "deep")
            .postinst("echo configured $1")
            .trigger("interest-noawait /usr/share/sample")
    }

    #[test]
    fn dpkg_deb_reads_every_packing() {
        crate::needs!("testkit::dpkg_deb_reads_every_packing", oracle::find("dpkg-deb").is_some(), "no dpkg-deb");
        let folder = tempfile::tempdir().unwrap();
        for packing in Packing::ALL {
            // dpkg wants control archives in one of the newer forms.
            let control = if matches!(packing, Packing::Bzip2 | Packing::Lzma) { Packing::Gzip } else { packing };
            let built = sample().packed(control, packing).build();
            assert_eq!(built, sample().packed(control, packing).build(), "the same calls, the same bytes");
            let path = folder.path().join(built.file_name());
            std::fs::write(&path, &built.bytes).unwrap();
            let fields = oracle::expect(oracle::command("dpkg-deb").arg("-f").arg(&path));
            assert_eq!(fields, built.control, "{packing:?}");
            let listing = oracle::expect(oracle::command("dpkg-deb").env("TZ", "UTC").arg("-c").arg(&path));
            let lines: Vec<String> =
                listing.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            for line in [
                "drwxr-xr-x root/root 0 2023-11-14 22:13 ./",
                "drwxr-xr-x root/root 0 2023-11-14 22:13 ./usr/",
                "drwxrwsr-x root/root 0 2023-11-14 22:13 ./usr/share/sample/",
                "-rwsr-xr-x root/root 10 2023-11-14 22:13 ./usr/bin/sample",
                "hrw-r--r-- root/root 0 2023-11-14 22:13 ./usr/bin/again link to ./usr/bin/sample",
                "lrwxrwxrwx root/root 0 2023-11-14 22:13 ./usr/bin/link -> sample",
                "-rw-r--r-- lp/mail 1 1970-01-01 00:00 ./usr/share/sample/x",
            ] {
                assert!(lines.iter().any(|found| found == line), "{packing:?}: no {line:?} in {lines:#?}");
            }
            let control = oracle::expect(oracle::command("dpkg-deb").arg("-I").arg(&path).arg("conffiles"));
            assert_eq!(control, "/etc/sample.conf\n");
            let sums = oracle::expect(oracle::command("dpkg-deb").arg("-I").arg(&path).arg("md5sums"));
            assert_eq!(sums.lines().count(), 3, "conffiles and links have none: {sums}");
        }
        assert_eq!(sample().build().pool_path("main"), "pool/main/s/sample/sample_2.0-3_amd64.deb");
        assert_eq!(
            Deb::new("libx1", "1").field("Source", "libx (2)").build().pool_path("main"),
            "pool/main/libx/libx/libx1_1_all.deb"
        );
    }
}
