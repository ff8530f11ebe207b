//! Where a bootstrapped root goes when it does not become an image of the store.

use std::fs;
use std::path::{Path, PathBuf};

use bedplate_archive::codec::EncodeOptions;
use bedplate_archive::{Compression, Encoder};
use bedplate_bootstrap::request::Request;
use bedplate_bootstrap::{About, Built, Resolved, store_image, write_archive};
use bedplate_image::{UnpackOptions, unpack_tree};
use bedplate_oci::Reference;
use bedplate_store::Lease;
use bedplate_store::transfer::write_layout;
use bedplate_sys::rooted::Handle;
use bedplate_tree::TreePath;

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output;

/// Threads that compress at most: one of xz takes 170 MiB.
const MAX_ENCODERS: usize = 8;

/// A place for the root.
#[derive(Debug)]
pub(crate) enum Sink {
    /// A tar on standard output.
    Stdout,
    /// A tar, compressed as its name says.
    Archive {
        /// Where.
        path: PathBuf,
        /// How its name says it is compressed.
        compression: Compression,
        /// Whether a Dockerfile is written beside it.
        dockerfile: bool,
    },
    /// A directory, which must be new or empty.
    Directory(PathBuf),
    /// An OCI image layout in a directory, which must be new or empty.
    Layout {
        /// The directory.
        path: PathBuf,
        /// What the image is called in it; `None` for its distribution and suite.
        name: Option<Reference>,
    },
}

impl Sink {
    /// Reads what stands after `-o`.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        const ENDINGS: [(&[&str], Compression); 5] = [
            (&[".tar"], Compression::None),
            (&[".tar.gz", ".tgz"], Compression::Gzip),
            (&[".tar.xz", ".txz"], Compression::Xz),
            (&[".tar.zst", ".tzst"], Compression::Zstd),
            (&[".tar.bz2", ".tbz2"], Compression::Bzip2),
        ];
        if text == "-" {
            return Ok(Self::Stdout);
        }
        if let Some(path) = text.strip_prefix("oci:") {
            return Ok(Self::Layout { path: path.into(), name: None });
        }
        if text.ends_with('/') || Path::new(text).is_dir() {
            return Ok(Self::Directory(text.into()));
        }
        let ending = ENDINGS.iter().find(|(names, _)| names.iter().any(|name| text.ends_with(name)));
        match ending {
            Some((_, compression)) => {
                Ok(Self::Archive { path: text.into(), compression: *compression, dockerfile: false })
            }
            None => Err(Failure::new(Kind::User, format!("cannot tell what {text:?} is to be"))
                .hint("end a directory with /, a file with .tar, .tar.gz, .tar.xz or .tar.zst; or write oci:DIR")),
        }
    }

    /// Tells whether files of others are made in it, which needs rights.
    pub(crate) fn owns(&self) -> bool {
        matches!(self, Self::Directory(_))
    }

    /// Tells before all the work that the root cannot be written there.
    pub(super) fn check(&self, context: &Context) -> Result<(), Failure> {
        let checked = match self {
            Self::Stdout if context.stdout_is_terminal => {
                return Err(Failure::new(Kind::User, "cowardly refusing to write a tar to a terminal")
                    .hint("redirect standard output"));
            }
            Self::Stdout => return Ok(()),
            Self::Archive { path, dockerfile, .. } => output::check(path).and_then(|()| match dockerfile {
                true => no_dockerfile_beside(path),
                false => Ok(()),
            }),
            Self::Directory(path) | Self::Layout { path, .. } => output::is_new(path).and_then(|new| match new {
                true => output::check(path),
                false => Ok(()),
            }),
        };
        checked.map_err(|failure| failure.context(self.cannot()))
    }

    /// What is said first where it cannot be written.
    fn cannot(&self) -> String {
        match self {
            Self::Stdout => "cannot write to standard output".to_owned(),
            Self::Archive { path, .. } => format!("cannot write {path:?}"),
            Self::Directory(path) => format!("cannot fill {path:?}"),
            Self::Layout { path, .. } => format!("cannot write the image layout {path:?}"),
        }
    }

    /// Writes the root. Where that fails, nothing half made stays.
    pub(super) fn write(&self, built: &Built<'_>, about: &About, lease: &Lease) -> Result<(), Failure> {
        let written = match self {
            Self::Stdout => output::to_stdout(|out| {
                write_archive(&built.tree, &built.contents, built.style, out)?;
                Ok(())
            }),
            Self::Archive { path, compression, dockerfile } => archive(path, *compression, built)
                .and_then(|()| if *dockerfile { write_dockerfile(path, about) } else { Ok(()) }),
            Self::Directory(path) => output::filled(path, || directory(path, built)),
            Self::Layout { path, name } => output::filled(path, || layout(path, name.as_ref(), built, about, lease)),
        };
        written.map_err(|failure| failure.context(self.cannot()))
    }
}

fn archive(path: &Path, compression: Compression, built: &Built<'_>) -> Result<(), Failure> {
    output::to_file(path, |out| {
        let workers = bedplate_sys::kernel::processors().min(MAX_ENCODERS) as u32;
        let mut encoder = Encoder::new(out, compression, EncodeOptions { workers, ..EncodeOptions::default() })?;
        write_archive(&built.tree, &built.contents, built.style, &mut encoder)?;
        encoder.finish()?;
        Ok(())
    })
}

/// What debuerreotype's repositories and moby's mkimage have beside a root.
fn write_dockerfile(archive: &Path, about: &About) -> Result<(), Failure> {
    let mut text = add_line(archive);
    if !about.command.is_empty() {
        text.push_str(&format!("CMD {}\n", serde_json::json!(about.command)));
    }
    output::to_file(&archive.with_file_name("Dockerfile"), |out| Ok(out.write_all(text.as_bytes())?))
}

/// Somebody's own Dockerfile is no place for another; one that was written here before may be written again.
fn no_dockerfile_beside(archive: &Path) -> Result<(), Failure> {
    let path = archive.with_file_name("Dockerfile");
    match fs::read_to_string(&path) {
        Ok(text) if !text.starts_with(&add_line(archive)) => {
            Err(Failure::new(Kind::User, format!("{path:?} is there, and says something else"))
                .hint("move it away, or write the archive into a directory of its own"))
        }
        _ => Ok(()),
    }
}

/// The beginning of the Dockerfile of an archive.
fn add_line(archive: &Path) -> String {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    match name.contains([' ', '"', '\\', '[', '$']) {
        true => format!("FROM scratch\nADD {}\n", serde_json::json!([name, "/"])),
        false => format!("FROM scratch\nADD {name} /\n"),
    }
}

fn directory(path: &Path, built: &Built<'_>) -> Result<(), Failure> {
    let handle = Handle::open(path)?;
    let options = UnpackOptions { threads: bedplate_sys::kernel::processors().min(4), ..UnpackOptions::default() };
    let report = unpack_tree(&built.tree, &built.contents, &handle, &options)?;
    match report.skipped.first() {
        None => Ok(()),
        Some(skipped) => Err(Failure::new(
            Kind::Environment,
            format!(
                "{} entries cannot be made as they are, {:?} among them",
                report.skipped.len(),
                skipped.path.to_string()
            ),
        )
        .hint("run as root, or write an archive: it holds what a directory of an ordinary user cannot")),
    }
}

fn layout(
    path: &Path,
    name: Option<&Reference>,
    built: &Built<'_>,
    about: &About,
    lease: &Lease,
) -> Result<(), Failure> {
    let image = store_image(lease, &built.tree, &built.contents, about, &[])?;
    let name = name.map_or_else(|| format!("{}:{}", about.distribution, about.suite), Reference::familiar);
    Ok(write_layout(lease.store(), &image, Some(&name), path)?)
}

/// What is said of the image.
pub(super) fn about(resolved: &Resolved, request: &Request, built: &Built<'_>) -> Result<About, Failure> {
    let plan = &resolved.plan;
    let platform = bedplate_packages::deb::arch::to_platform(&plan.architecture)?;
    let has = |name: &str| {
        TreePath::parse(name.as_bytes()).is_ok_and(|path| matches!(built.tree.resolve(&path, true), Ok((_, Some(_)))))
    };
    let shell = [("bin/bash", "bash"), ("bin/sh", "sh")].into_iter().find(|(path, _)| has(path));
    let mut variant = request.variant.to_string();
    if request.slim {
        variant.push_str(", slim");
    }
    Ok(About {
        platform,
        created: built.epoch,
        distribution: plan.distribution.name.clone(),
        suite: plan.suite.codename.clone(),
        version: plan.suite.version.clone(),
        variant,
        command: shell.map(|(_, shell)| vec![shell.to_owned()]).unwrap_or_default(),
    })
}
