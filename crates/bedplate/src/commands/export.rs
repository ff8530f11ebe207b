//! `bedplate export`: the whole root filesystem of an image or container as one tar.

use std::ffi::OsStr;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use bedplate_image::write_tree;
use bedplate_sys::durable::TempFile;
use bedplate_sys::rooted::Handle;

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output;
use crate::rootfs::Rootfs;

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The same image gives the same bytes: entries are sorted, owners are numbers, times are those of the image.

Examples:
  bedplate export hello | tar -t
  bedplate export -o rootfs.tar debian:trixie")]
pub(crate) struct Args {
    /// Write to a file, which appears when it is complete [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The image or container
    #[arg(value_name = "IMAGE|CONTAINER")]
    object: String,
}

/// Bytes written at once.
const BUFFER: usize = 256 * 1024;

/// Writes the tar.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    if args.output.is_none() && context.stdout_is_terminal {
        return Err(Failure::new(Kind::User, "cowardly refusing to write a tar to a terminal")
            .hint("give -o FILE, or redirect standard output"));
    }
    let store = context.store()?;
    let rootfs = Rootfs::find(context, &store, &args.object)?;
    match &args.output {
        None => output::to_stdout(|out| write(context, &rootfs, out))?,
        Some(path) => {
            let failed = |failure: Failure| failure.context(format!("cannot write {path:?}"));
            to_file(context, &rootfs, path).map_err(failed)?;
        }
    }
    Ok(0)
}

fn write(context: &Context, rootfs: &Rootfs<'_>, out: &mut dyn io::Write) -> Result<(), Failure> {
    let (_, left_out) = write_tree(&rootfs.tree, &rootfs.contents, out)?;
    for left_out in left_out {
        context.warn(&left_out);
    }
    Ok(())
}

fn to_file(context: &Context, rootfs: &Rootfs<'_>, path: &Path) -> Result<(), Failure> {
    // A device or a pipe takes bytes and cannot be replaced.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let mut out = BufWriter::with_capacity(BUFFER, std::fs::File::options().write(true).open(path)?);
        write(context, rootfs, &mut out)?;
        return Ok(out.flush()?);
    }
    let (parent, name) = place_of(path)?;
    let directory = Handle::open(parent)?;
    let mut file = TempFile::create_in(&directory)?;
    let mut out = BufWriter::with_capacity(BUFFER, file.file_mut());
    write(context, rootfs, &mut out)?;
    out.flush()?;
    drop(out);
    Ok(file.persist(&directory, name)?)
}

/// The directory of a file, and its name there.
fn place_of(path: &Path) -> Result<(&Path, &OsStr), Failure> {
    let name = path.file_name().ok_or_else(|| Failure::new(Kind::User, "it names no file"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((parent, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let cases =
            [("a", Some((".", "a"))), ("d/a", Some(("d", "a"))), ("/a", Some(("/", "a"))), ("/", None), ("..", None)];
        for (path, expected) in cases {
            let found = place_of(Path::new(path)).ok();
            assert_eq!(found, expected.map(|(parent, name)| (Path::new(parent), OsStr::new(name))), "{path}");
        }
    }
}
