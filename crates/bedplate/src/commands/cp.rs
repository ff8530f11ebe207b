//! `bedplate cp`: files and directories out of an image or container.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use bedplate_image::unpack::SkipReason;
use bedplate_image::{Owners, UnpackOptions, unpack_tree, write_tree};
use bedplate_sys::durable;
use bedplate_sys::file::Kind as FileKind;
use bedplate_sys::rooted::Handle;
use bedplate_sys::userns;
use bedplate_tree::{Entry, Name, Tree, TreePath, Xattrs};

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::format;
use crate::output;
use crate::rootfs::Rootfs;

/// Arguments of `cp`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The rules are Docker's: a directory is copied into a destination that exists, and becomes one that does not; with
/. at its end only what it holds is copied. A destination of - writes a tar to standard output.

Examples:
  bedplate cp debian:trixie:/etc/os-release .
  bedplate cp hello:/ - | tar -t")]
pub(crate) struct Args {
    /// Keep owners
    #[arg(short, long)]
    archive: bool,
    /// Follow a symbolic link in the source
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Do not say what was copied
    #[arg(short, long)]
    quiet: bool,
    /// What to copy
    #[arg(value_name = "IMAGE|CONTAINER:PATH")]
    source: OsString,
    /// Where to, or - for a tar on standard output
    #[arg(value_name = "DEST|-")]
    destination: OsString,
}

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
enum Side {
    /// A path of this machine, or `-`.
    Host(PathBuf),
    /// A path in an image or container.
    Inside { object: String, path: Vec<u8> },
}

impl Side {
    /// Splits `NAME:PATH`. A name may have colons itself (`host:5000/a:tag`), so the path begins at the first `:/`;
    /// a path that is not absolute begins at the first colon. `/a:b` and `./a:b` are files of this machine.
    fn parse(text: &OsString) -> Self {
        let bytes = text.as_bytes();
        let host = || Self::Host(PathBuf::from(text));
        if matches!(bytes.first(), None | Some(b'/' | b'.' | b'-')) {
            return host();
        }
        let absolute = bytes.windows(2).position(|pair| pair == b":/");
        let Some(colon) = absolute.or_else(|| bytes.iter().position(|&byte| byte == b':')) else { return host() };
        match std::str::from_utf8(&bytes[..colon]) {
            Ok(object) if !object.is_empty() => {
                Self::Inside { object: object.to_owned(), path: bytes[colon + 1..].to_vec() }
            }
            _ => host(),
        }
    }
}

/// Copies.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let user = |message: &str| Failure::new(Kind::User, message);
    match (Side::parse(&args.source), Side::parse(&args.destination)) {
        (Side::Inside { object, path }, Side::Host(destination)) => {
            copy_out(&args, context, &object, &path, &destination)
        }
        (Side::Host(_), Side::Host(_)) => Err(user("one side of the copy must be an image or container")
            .hint("write it as NAME:PATH, such as hello:/etc/passwd")),
        (Side::Host(_), Side::Inside { .. }) => Err(user("copying into a container is not supported yet")
            .hint("an image is changed by building on it: FROM, COPY")),
        (Side::Inside { .. }, Side::Inside { .. }) => Err(user("copying between containers is not supported")),
    }
}

/// What is to be copied.
struct Selection {
    /// Where it is, links followed.
    path: TreePath,
    /// The name that the user gave for it.
    base: Option<Name>,
    /// Only what the directory holds.
    inner: bool,
    directory: bool,
}

fn copy_out(args: &Args, context: &Context, object: &str, path: &[u8], destination: &Path) -> Result<u8, Failure> {
    let to_stdout = destination.as_os_str() == "-";
    if to_stdout && context.stdout_is_terminal {
        return Err(Failure::new(Kind::User, "cowardly refusing to write a tar to a terminal")
            .hint("redirect standard output, or name a directory"));
    }
    let store = context.store()?;
    let rootfs = Rootfs::find(context, &store, object)?;
    let selection = select(&rootfs.tree, path, args.follow_link)?.ok_or_else(|| {
        let shown = String::from_utf8_lossy(path).into_owned();
        Failure::new(Kind::User, format!("could not find the file {shown} in {object}"))
    })?;
    if to_stdout {
        // A link that was followed is named by what it led to there, as with Docker.
        let at = match (selection.inner, args.follow_link) {
            (true, _) => TreePath::root(),
            (false, true) => under(&selection.path.file_name().map(Name::new).transpose()?)?,
            (false, false) => under(&selection.base)?,
        };
        let mut out = Tree::new();
        out.graft(&at, &rootfs.tree, &selection.path, |_, _| true)?;
        output::to_stdout(|stdout| {
            let (_, left_out) = write_tree(&out, &rootfs.contents, stdout)?;
            left_out.iter().for_each(|left_out| context.warn(left_out));
            Ok(())
        })?;
        return Ok(0);
    }
    let bytes = to_host(args, context, &rootfs, &selection, destination)
        .map_err(|failure| failure.context(format!("cannot copy to {destination:?}")))?;
    if !args.quiet {
        // Said beside the result, as Docker does; a closed stderr is the user's choice.
        let size = format::size(bytes);
        let _ = writeln!(io::stderr(), "Successfully copied {size} to {}", destination.display());
    }
    Ok(0)
}

/// Finds a path as users write it: relative to the root, with `..` that stops there.
fn select(tree: &Tree, raw: &[u8], follow: bool) -> Result<Option<Selection>, Failure> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in raw.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let path = TreePath::parse(&parts.join(&b'/'))?;
    let inner = parts.is_empty() || raw.ends_with(b"/.") || raw == b".";
    let must_be_directory = inner || raw.ends_with(b"/");
    let (path_found, id) = tree.resolve(&path, follow || must_be_directory)?;
    let Some(id) = id else { return Ok(None) };
    let directory = tree.inode(id).entry.is_directory();
    if must_be_directory && !directory {
        let shown = String::from_utf8_lossy(raw).into_owned();
        return Err(Failure::new(Kind::User, format!("{shown:?} is no directory")));
    }
    let base = parts.last().map(|name| Name::new(name)).transpose()?;
    Ok(Some(Selection { path: path_found, base, inner, directory }))
}

fn under(base: &Option<Name>) -> Result<TreePath, Failure> {
    match base {
        Some(name) => Ok(TreePath::root().join(name)?),
        None => Ok(TreePath::root()),
    }
}

/// Where on this machine a selection goes: a directory that exists, and a name in it unless only the inner part is
/// copied into that directory. Spec: Docker's reference, `docker container cp`.
fn target_of(selection: &Selection, destination: &Path) -> Result<(PathBuf, Option<Name>), Failure> {
    let user = |message: String| Failure::new(Kind::User, message);
    let own_name = || {
        let path = destination.file_name().ok_or_else(|| user("it names nothing".into()))?;
        Ok::<_, Failure>(Name::new(path.as_bytes())?)
    };
    let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let must_be_directory = destination.as_os_str().as_bytes().ends_with(b"/");
    match destination.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            Ok((destination.to_owned(), if selection.inner { None } else { selection.base.clone() }))
        }
        Ok(_) if selection.directory => Err(user("a directory cannot take the place of a file".into())),
        Ok(_) if must_be_directory => Err(user("it is no directory".into())),
        Ok(_) => {
            // Through a link to the file that it leads to, as cp(1) does.
            let real = destination.canonicalize()?;
            let name = Name::new(real.file_name().unwrap_or_default().as_bytes())?;
            Ok((real.parent().unwrap_or(Path::new("/")).to_owned(), Some(name)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if must_be_directory && !selection.directory {
                return Err(user("the destination directory must exist".into()));
            }
            Ok((parent.to_owned(), Some(own_name()?)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Unpacks beside the destination, and then moves everything to its place: nothing half made is ever seen there.
fn to_host(
    args: &Args,
    context: &Context,
    rootfs: &Rootfs<'_>,
    selection: &Selection,
    destination: &Path,
) -> Result<u64, Failure> {
    let (folder, name) = target_of(selection, destination)?;
    let (uid, gid) = userns::effective_ids();
    let edit = |_: &TreePath, entry: &mut Entry| {
        if !args.archive {
            (entry.metadata.uid, entry.metadata.gid) = (uid, gid);
            // Labels and capabilities are for the image's own programs, not for this machine.
            entry.metadata.xattrs = Xattrs::default();
        }
        true
    };
    // What a directory holds is staged with the directory, so that hard links in it stay hard links.
    let staged_name = match &name {
        Some(name) => name.clone(),
        None => Name::new(b"inner")?,
    };
    let selected = TreePath::root().join(&staged_name)?;
    let mut staged = Tree::new();
    staged.graft(&selected, &rootfs.tree, &selection.path, edit)?;
    let folder = Handle::open(&folder)?;
    let (temporary, staging) = durable::create_temp_dir(&folder, 0o700)?;
    let owners = if args.archive || userns::is_root() { Owners::Keep } else { Owners::One };
    let options = UnpackOptions { owners, ..UnpackOptions::default() };
    let done = unpack_tree(&staged, &rootfs.contents, &staging, &options).map_err(Failure::from).and_then(|report| {
        let whole = |reason: &SkipReason| !matches!(reason, SkipReason::Xattr { .. } | SkipReason::OverlayXattr { .. });
        if let Some(skipped) = report.skipped.iter().find(|skipped| skipped.path == selected && whole(&skipped.reason))
        {
            return Err(Failure::new(Kind::User, format!("{}: {}", selection.path, skipped.reason)));
        }
        let from = match &name {
            Some(_) => staging,
            None => {
                unlock(&staging, staged_name.as_bytes())?;
                staging.open_dir(staged_name.as_bytes())?
            }
        };
        check(&from, &folder)?;
        place(&from, &folder)?;
        Ok(report)
    });
    if done.is_err() {
        // What cannot be opened up cannot be removed either, and that is then said.
        let _ = folder.open_dir(temporary.as_c_str()).map_err(Failure::from).and_then(|staging| unlock_all(&staging));
    }
    let removed = folder.remove_all(temporary.as_c_str());
    let report = done?;
    removed?;
    for skipped in &report.skipped {
        context.warn(&format_args!("{} was left out: {}", skipped.path, skipped.reason));
    }
    Ok(report.bytes)
}

/// Refuses to put a file in the place of a directory, or the other way round, before anything was moved.
fn check(from: &Handle, to: &Handle) -> Result<(), Failure> {
    for entry in from.entries()? {
        let name = entry.name.as_c_str();
        let Some(there) = to.try_stat(name)? else { continue };
        let shown = entry.name.to_string_lossy();
        match (from.stat(name)?.kind == FileKind::Directory, there.kind == FileKind::Directory) {
            (true, true) => check(&from.open_dir(name)?, &to.open_dir(name)?)?,
            (true, false) => {
                return Err(Failure::new(
                    Kind::User,
                    format!("cannot overwrite non-directory {shown:?} with directory"),
                ));
            }
            (false, true) => {
                return Err(Failure::new(
                    Kind::User,
                    format!("cannot overwrite directory {shown:?} with non-directory"),
                ));
            }
            (false, false) => {}
        }
    }
    Ok(())
}

/// Lets the owner of a directory write to it; tells whether that was not so.
fn unlock(parent: &Handle, name: &[u8]) -> Result<bool, Failure> {
    let stat = parent.stat(name)?;
    let locked = stat.mode & 0o700 != 0o700;
    if locked {
        parent.chmod(name, stat.mode | 0o700)?;
    }
    Ok(locked)
}

/// Lets the owner of all directories below one write to them, so that they can be removed.
fn unlock_all(folder: &Handle) -> Result<(), Failure> {
    for entry in folder.entries()? {
        let name = entry.name.as_c_str();
        if folder.stat(name)?.kind == FileKind::Directory {
            unlock(folder, name.to_bytes())?;
            unlock_all(&folder.open_dir(name)?)?;
        }
    }
    Ok(())
}

/// Moves what is in one directory into another; directories that exist keep their attributes and what they hold.
fn place(from: &Handle, to: &Handle) -> Result<(), Failure> {
    for entry in from.entries()? {
        let name = entry.name.as_c_str();
        let stat = from.stat(name)?;
        if stat.kind != FileKind::Directory {
            from.rename(name, to, name)?;
            continue;
        }
        // A directory that its owner may not write to can neither change its parent nor give away what it holds.
        let locked = unlock(from, name.to_bytes())?;
        if to.try_stat(name)?.is_some() {
            place(&from.open_dir(name)?, &to.open_dir(name)?)?;
            continue;
        }
        from.rename(name, to, name)?;
        if locked {
            to.chmod(name, stat.mode)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides() {
        let inside = |object: &str, path: &str| Side::Inside { object: object.into(), path: path.as_bytes().to_vec() };
        let host = |path: &str| Side::Host(path.into());
        let cases = [
            ("hello:/a", inside("hello", "/a")),
            ("debian:trixie:/etc/x:y", inside("debian:trixie", "/etc/x:y")),
            ("localhost:5000/a:/", inside("localhost:5000/a", "/")),
            ("hello:etc/passwd", inside("hello", "etc/passwd")),
            ("hello:", inside("hello", "")),
            ("/a:/b", host("/a:/b")),
            ("./a:b", host("./a:b")),
            ("-", host("-")),
            ("a", host("a")),
            (":/a", host(":/a")),
            ("", host("")),
        ];
        for (text, expected) in cases {
            assert_eq!(Side::parse(&text.into()), expected, "{text}");
        }
    }

    fn tree() -> Tree {
        use bedplate_tree::{Content, EntryKind, Metadata};
        let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap();
        let mut tree = Tree::new();
        tree.put(&path("d"), Entry::directory(Metadata::default())).unwrap();
        tree.put(&path("d/f"), Entry::file(Content::from_bytes(*b"x"), Metadata::default())).unwrap();
        let link = Entry { kind: EntryKind::Symlink(b"d"[..].into()), metadata: Metadata::default() };
        tree.put(&path("l"), link).unwrap();
        tree
    }

    #[test]
    fn selections() {
        let cases = [
            // path | follow | found, base, only the inner part, a directory
            ("/d/f", false, Some(("/d/f", "f", false, false))),
            ("d/f", false, Some(("/d/f", "f", false, false))),
            ("/l/f", false, Some(("/d/f", "f", false, false))),
            ("/../d/../../d/./f", false, Some(("/d/f", "f", false, false))),
            ("/d", false, Some(("/d", "d", false, true))),
            ("/d/.", false, Some(("/d", "d", true, true))),
            ("/l", false, Some(("/l", "l", false, false))),
            ("/l", true, Some(("/d", "l", false, true))),
            ("/l/", false, Some(("/d", "l", false, true))),
            ("/l/.", false, Some(("/d", "l", true, true))),
            ("/", false, Some(("/", "", true, true))),
            ("", false, Some(("/", "", true, true))),
            (".", false, Some(("/", "", true, true))),
            ("/none", false, None),
        ];
        for (path, follow, expected) in cases {
            let found = select(&tree(), path.as_bytes(), follow).unwrap();
            let found = found.map(|found| {
                let base = found.base.map(|base| base.to_string()).unwrap_or_default();
                (found.path.to_string(), base, found.inner, found.directory)
            });
            let expected =
                expected.map(|(path, base, inner, directory)| (path.to_owned(), base.to_owned(), inner, directory));
            assert_eq!(found, expected, "{path}");
        }
        assert!(select(&tree(), b"/d/f/", false).is_err());
        assert!(select(&tree(), b"/d/f/.", false).is_err());
    }

    #[test]
    fn targets() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("dir")).unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("file", folder.path().join("link")).unwrap();
        let select = |path: &str| select(&tree(), path.as_bytes(), false).unwrap().unwrap();
        let cases = [
            // source | destination | directory and name, or part of the message
            ("/d/f", "dir", Ok(("dir", Some("f")))),
            ("/d/f", "dir/", Ok(("dir/", Some("f")))),
            ("/d/f", "file", Ok(("", Some("file")))),
            ("/d/f", "link", Ok(("", Some("file")))),
            ("/d/f", "new", Ok(("", Some("new")))),
            ("/d/f", "new/", Err("must exist")),
            ("/d/f", "file/", Err("")),
            ("/d", "dir", Ok(("dir", Some("d")))),
            ("/d/.", "dir", Ok(("dir", None))),
            ("/d/.", "new", Ok(("", Some("new")))),
            ("/d", "new/", Ok(("", Some("new")))),
            ("/d", "file", Err("place of a file")),
            ("/", "dir", Ok(("dir", None))),
        ];
        for (source, destination, expected) in cases {
            let path = PathBuf::from(format!("{}/{destination}", folder.path().display()));
            match (target_of(&select(source), &path), expected) {
                (Ok((found, name)), Ok((place, expected))) => {
                    assert_eq!(found.canonicalize().unwrap(), folder.path().join(place).canonicalize().unwrap());
                    assert_eq!(name.map(|name| name.to_string()).as_deref(), expected, "{source} {destination}");
                }
                (Err(failure), Err(message)) => assert!(format!("{failure:?}").contains(message), "{failure:?}"),
                (found, _) => panic!("{source} {destination}: {found:?}"),
            }
        }
    }
}
