//! `--output`: what becomes of a built image.
//!
//! | type | without `dest` | with `dest` |
//! |---|---|---|
//! | image | in the store | |
//! | docker | in the store | an archive for `docker load` |
//! | oci | on standard output | an OCI archive; with `tar=false` a layout in a directory |
//! | tar | on standard output | the root filesystem as a tar |
//! | local | | the root filesystem as a directory |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bedplate_image::{Owners, UnpackOptions, unpack_tree, write_tree};
use bedplate_oci::Reference;
use bedplate_store::transfer::{Saved, save, write_layout};
use bedplate_store::{Image, Lease};
use bedplate_sys::kernel::processors;
use bedplate_sys::rooted::Handle;

use super::given::fields;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::interrupt::{HalfMade, guarded};
use crate::output;

/// What becomes of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// It is listed in the store.
    Store,
    /// An archive that is Docker's and OCI's at once; `None` for standard output.
    Archive(Option<PathBuf>),
    /// An OCI layout in a directory.
    Layout(PathBuf),
    /// The root as a tar; `None` for standard output.
    Tar(Option<PathBuf>),
    /// The root as a directory.
    Directory(PathBuf),
}

/// All that becomes of an image, and the names that outputs give it.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    pub(super) all: Vec<Output>,
    pub(super) names: Vec<Reference>,
}

impl Outputs {
    /// Reads the values of the flag; without one, the image goes into the store.
    pub(super) fn parse(texts: &[String], context: &Context) -> Result<Self, Failure> {
        let mut outputs = Self::default();
        for text in texts {
            let (output, names) = one(text).map_err(|failure| failure.context(format!("--output {text}")))?;
            outputs.all.push(output);
            outputs.names.extend(names);
        }
        if outputs.all.is_empty() {
            outputs.all.push(Output::Store);
        }
        let to_stdout = |output: &&Output| matches!(output, Output::Archive(None) | Output::Tar(None));
        match outputs.all.iter().filter(to_stdout).count() {
            0 => {}
            1 if context.stdout_is_terminal => {
                return Err(Failure::new(Kind::User, "cowardly refusing to write an archive to a terminal")
                    .hint("name a file with dest=FILE, or redirect standard output"));
            }
            1 => {}
            _ => return Err(Failure::new(Kind::User, "only one output can go to standard output")),
        }
        for output in &outputs.all {
            output.check()?;
        }
        Ok(outputs)
    }

    /// Whether the store lists the image.
    pub(super) fn listed(&self) -> bool {
        self.all.contains(&Output::Store)
    }

    /// Whether standard output is an archive's.
    pub(super) fn take_stdout(&self) -> bool {
        self.all.iter().any(|output| matches!(output, Output::Archive(None) | Output::Tar(None)))
    }

    /// Writes them, but for the store's.
    pub(super) fn write(
        &self,
        image: &Image,
        names: &[Reference],
        lease: &Lease,
        context: &Context,
    ) -> Result<(), Failure> {
        for output in &self.all {
            let place = Place { image, names, lease, context };
            output.write(&place).map_err(|failure| failure.context(output.cannot()))?;
        }
        Ok(())
    }
}

/// One value of the flag: `type=...,dest=...`, `-` for a tar on standard output, or a directory.
fn one(text: &str) -> Result<(Output, Vec<Reference>), Failure> {
    let wrong = |why: String| Failure::new(Kind::User, why);
    if text == "-" {
        return Ok((Output::Tar(None), Vec::new()));
    }
    if !text.contains('=') {
        return Ok((Output::Directory(text.into()), Vec::new()));
    }
    let (mut kind, mut destination, mut names, mut tar) = (None, None, Vec::new(), true);
    for (key, value) in fields(text)? {
        match key.as_str() {
            "type" => kind = Some(value),
            "dest" => destination = Some(value),
            "name" => {
                for name in value.split(',').filter(|name| !name.is_empty()) {
                    names.push(Reference::parse(name)?);
                }
            }
            "tar" => tar = truth(&key, &value)?,
            // Times are never later than the epoch here, whatever this says.
            "rewrite-timestamp" | "store" | "oci-mediatypes" | "unpack" | "platform-split" => {
                truth(&key, &value)?;
            }
            "compression" if value == "uncompressed" => {}
            "push" if !truth(&key, &value)? => {}
            "push" | "push-by-digest" | "registry.insecure" => {
                return Err(wrong("images cannot be pushed yet".to_owned())
                    .hint("write a layout with type=oci,tar=false,dest=DIR and push it with skopeo copy oci:DIR"));
            }
            "compression" | "compression-level" | "force-compression" => {
                return Err(wrong(format!("{key} is not supported: layers are written uncompressed"))
                    .hint("compress the archive: type=oci | zstd"));
            }
            _ => return Err(wrong(format!("there is no option {key:?}"))),
        }
    }
    let kind =
        kind.ok_or_else(|| wrong("it has no type".to_owned()).hint("write type=image, oci, docker, tar or local"))?;
    let stdout = destination.as_deref().is_none_or(|path| path == "-");
    let path = destination.filter(|path| path != "-").map(PathBuf::from);
    let output = match (kind.as_str(), path) {
        ("image", None) => Output::Store,
        ("docker", None) if !stdout => Output::Store,
        ("image", Some(_)) => return Err(wrong("type=image has no dest: it goes into the store".to_owned())),
        ("docker", None) => Output::Store,
        ("oci", Some(path)) if !tar => Output::Layout(path),
        ("oci", None) if !tar => return Err(wrong("a layout needs a directory: dest=DIR".to_owned())),
        ("oci" | "docker", path) => Output::Archive(path),
        ("tar", path) => Output::Tar(path),
        ("local", Some(path)) => Output::Directory(path),
        ("local", None) => return Err(wrong("type=local needs a directory: dest=DIR".to_owned())),
        ("registry", _) => {
            return Err(wrong("images cannot be pushed yet".to_owned())
                .hint("write a layout with type=oci,tar=false,dest=DIR and push it with skopeo copy oci:DIR"));
        }
        ("cacheonly", _) => return Err(wrong("type=cacheonly is not supported".to_owned())),
        (other, _) => {
            return Err(wrong(format!("{other:?} is no type")).hint("there are image, oci, docker, tar and local"));
        }
    };
    Ok((output, names))
}

fn truth(key: &str, value: &str) -> Result<bool, Failure> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Failure::new(Kind::User, format!("{key}={value}: expected true or false"))),
    }
}

/// What is written, and with what.
struct Place<'a> {
    image: &'a Image,
    names: &'a [Reference],
    lease: &'a Lease,
    context: &'a Context,
}

impl Output {
    /// Tells before all the work that it cannot be written.
    fn check(&self) -> Result<(), Failure> {
        let checked = match self {
            Self::Store | Self::Archive(None) | Self::Tar(None) => return Ok(()),
            Self::Archive(Some(path)) | Self::Tar(Some(path)) => output::check(path),
            Self::Layout(path) => output::is_new(path).and_then(|new| if new { output::check(path) } else { Ok(()) }),
            Self::Directory(path) if path.is_dir() => Ok(()),
            Self::Directory(path) => output::check(path),
        };
        checked.map_err(|failure| failure.context(self.cannot()))
    }

    fn cannot(&self) -> String {
        match self {
            Self::Store => "cannot store the image".to_owned(),
            Self::Archive(None) | Self::Tar(None) => "cannot write to standard output".to_owned(),
            Self::Archive(Some(path)) | Self::Tar(Some(path)) => format!("cannot write {path:?}"),
            Self::Layout(path) => format!("cannot write the image layout {path:?}"),
            Self::Directory(path) => format!("cannot fill {path:?}"),
        }
    }

    fn write(&self, place: &Place<'_>) -> Result<(), Failure> {
        match self {
            Self::Store => Ok(()),
            Self::Archive(None) => output::to_stdout(|out| place.archive(out)),
            Self::Archive(Some(path)) => output::to_file(path, |out| place.archive(out)),
            Self::Tar(None) => output::to_stdout(|out| place.tar(out)),
            Self::Tar(Some(path)) => output::to_file(path, |out| place.tar(out)),
            Self::Layout(path) => output::filled(path, || {
                let name = place.names.first().map(Reference::familiar);
                Ok(write_layout(place.lease.store(), place.image, name.as_deref(), path)?)
            }),
            Self::Directory(path) => place.directory(path),
        }
    }
}

impl Place<'_> {
    fn archive(&self, out: &mut dyn io::Write) -> Result<(), Failure> {
        let saved = Saved { image: self.image.clone(), names: self.names.to_vec() };
        save(self.lease.store(), &[saved], out)?;
        Ok(())
    }

    fn tar(&self, out: &mut dyn io::Write) -> Result<(), Failure> {
        let store = self.lease.store();
        let (_, left_out) = write_tree(&store.image_tree(self.image)?, &store.contents(), out)?;
        left_out.iter().for_each(|left_out| self.context.warn(left_out));
        Ok(())
    }

    /// Puts the files into a directory, over what is there; they belong to the user, as with BuildKit.
    fn directory(&self, path: &Path) -> Result<(), Failure> {
        let store = self.lease.store();
        let mut tree = store.image_tree(self.image)?;
        let all: Vec<_> = tree.walk().map(|(_, id)| id).collect();
        for id in all {
            let metadata = tree.metadata_mut(id);
            (metadata.uid, metadata.gid) = (0, 0);
        }
        if !path.is_dir() {
            fs::create_dir(path)?;
        }
        // All at once at the end: an interrupt, or a full disk, leaves what was there.
        let scratch = path.join(format!(".bedplate-{}", std::process::id()));
        let begin = || {
            fs::create_dir(&scratch)?;
            Ok((HalfMade::Directory(scratch.clone()), ()))
        };
        let filled = guarded(begin, |()| {
            let options = UnpackOptions { owners: Owners::One, threads: processors().min(4) };
            let report = unpack_tree(&tree, &store.contents(), &Handle::open(&scratch)?, &options)?;
            for skipped in &report.skipped {
                self.context.warn(&format!("{:?} is left out: {:?}", skipped.path.to_string(), skipped.reason));
            }
            Ok(merge(&scratch, path)?)
        });
        let gone = fs::remove_dir_all(&scratch);
        filled.and_then(|()| Ok(gone?))
    }
}

/// Moves what a directory holds into another: directories are joined, anything else is replaced.
fn merge(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let there = target.symlink_metadata().ok();
        match (entry.file_type()?.is_dir(), there.is_some_and(|there| there.is_dir())) {
            (true, true) => merge(&entry.path(), &target)?,
            (false, true) => {
                fs::remove_dir_all(&target)?;
                fs::rename(entry.path(), &target)?;
            }
            (true, false) if target.symlink_metadata().is_ok() => {
                fs::remove_file(&target)?;
                fs::rename(entry.path(), &target)?;
            }
            _ => fs::rename(entry.path(), &target)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_dockers() {
        let table: [(&str, Result<Output, &str>); 16] = [
            ("-", Ok(Output::Tar(None))),
            ("out", Ok(Output::Directory("out".into()))),
            ("type=local,dest=out", Ok(Output::Directory("out".into()))),
            ("type=tar", Ok(Output::Tar(None))),
            ("type=tar,dest=-", Ok(Output::Tar(None))),
            ("type=tar,dest=x.tar", Ok(Output::Tar(Some("x.tar".into())))),
            ("type=tar,\"dest=a,b.tar\"", Ok(Output::Tar(Some("a,b.tar".into())))),
            ("type=oci,dest=x.tar", Ok(Output::Archive(Some("x.tar".into())))),
            ("type=oci,tar=false,dest=x", Ok(Output::Layout("x".into()))),
            ("type=docker", Ok(Output::Store)),
            ("type=docker,dest=x.tar", Ok(Output::Archive(Some("x.tar".into())))),
            ("type=image", Ok(Output::Store)),
            ("type=image,push=true", Err("pushed")),
            ("type=local", Err("needs a directory")),
            ("type=zip,dest=x", Err("no type")),
            ("type=tar,speed=1", Err("there is no option")),
        ];
        for (text, expected) in table {
            match (one(text), expected) {
                (Ok((found, _)), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(failure), Err(words)) => assert!(format!("{failure:?}").contains(words), "{text}: {failure:?}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
