//! What a build reads: a context and a Dockerfile, from a directory, standard input, a repository or a URL.

use std::fs::{self, File};
use std::io::{self, BufReader, IsTerminal as _, Read, Seek as _};
use std::path::{Path, PathBuf};

use bedplate_archive::{Compression, Decoder, Reader};
use bedplate_build::{BuildContext, GitError, GitSource};
use bedplate_dockerfile::ignore::Ignore;
use bedplate_fetch::{Expected, Fetcher, Url};
use bedplate_store::Lease;

use crate::failure::{Failure, Kind};

/// The Dockerfile's name where none is given.
const DOCKERFILE: &str = "Dockerfile";

/// The name of the ignore file.
const IGNORE: &str = ".dockerignore";

/// The most bytes of a Dockerfile on standard input: what the parser takes, and one more so that it can say so.
const MAX_DOCKERFILE: u64 = bedplate_dockerfile::MAX_DOCKERFILE_BYTES as u64 + 1;

/// The largest archive of a URL that is a context, in bytes.
const MAX_CONTEXT: u64 = 64 << 30;

/// What a build reads.
pub(super) struct Input {
    pub(super) dockerfile: Vec<u8>,
    /// The Dockerfile's name in messages.
    pub(super) name: String,
    pub(super) context: BuildContext,
}

/// What the user asked to be read, and with what.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) context: &'a str,
    /// The Dockerfile, where it was named.
    pub(super) file: Option<&'a Path>,
    pub(super) lease: &'a Lease,
    pub(super) fetcher: &'a Fetcher,
}

impl Asked<'_> {
    /// Where files beside the Dockerfile are: its folder, that of the context, or this one.
    pub(super) fn folder(&self) -> PathBuf {
        let of_file = self.file.filter(|file| *file != Path::new("-")).map(|file| file.parent().unwrap_or(file));
        match of_file {
            Some(folder) => folder.to_owned(),
            None if Path::new(self.context).is_dir() => self.context.into(),
            None => PathBuf::from("."),
        }
    }

    /// Reads it.
    pub(super) fn read(&self) -> Result<Input, Failure> {
        let from_stdin = self.file == Some(Path::new("-"));
        if self.context == "-" {
            if from_stdin {
                return Err(Failure::new(
                    Kind::User,
                    "both the context and the Dockerfile are to come from standard input",
                ));
            }
            return self.read_stdin();
        }
        if !from_stdin && let Some(source) = GitSource::parse(self.context) {
            return self.read_git(&source);
        }
        let lower = self.context.to_ascii_lowercase();
        if ["http://", "https://"].iter().any(|scheme| lower.starts_with(scheme)) {
            if from_stdin {
                return Err(Failure::new(
                    Kind::User,
                    "a Dockerfile on standard input needs a directory as its context",
                ));
            }
            let mut file = BufReader::with_capacity(256 * 1024, downloaded(self.context, self.lease, self.fetcher)?);
            return self.read_stream(&mut file, self.context);
        }
        let directory = Path::new(self.context);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error: io::Error| Failure::from(error).context(format!("cannot read {path:?}"))
        };
        let mut context = BuildContext::directory(directory)?;
        let (dockerfile, name) = match self.file {
            Some(_) if from_stdin => {
                (read_limited(io::stdin().lock()).map_err(failed(Path::new("-")))?, "-".to_owned())
            }
            Some(path) => (File::open(path).and_then(read_limited).map_err(failed(path))?, path.display().to_string()),
            None => {
                let path = directory.join(DOCKERFILE);
                let Some(bytes) = context.read_file(DOCKERFILE)? else {
                    return Err(
                        Failure::new(Kind::User, format!("there is no {path:?}")).hint("name another with --file")
                    );
                };
                (bytes, path.display().to_string())
            }
        };
        // The Dockerfile's own ignore file goes before that of the context. Spec: Dockerfile reference, ".dockerignore".
        let beside = self.file.filter(|_| !from_stdin).map(|path| {
            let mut name = path.to_path_buf().into_os_string();
            name.push(IGNORE);
            PathBuf::from(name)
        });
        match beside.map(|path| (File::open(&path), path)) {
            Some((Ok(file), path)) => {
                let bytes = read_limited(file).map_err(failed(&path))?;
                context.set_ignore(ignore(&bytes, &path.display().to_string())?);
            }
            _ => {
                let own = self.file.is_none().then(|| format!("{DOCKERFILE}{IGNORE}"));
                set_ignore(&mut context, own.as_deref())?;
            }
        }
        Ok(Input { dockerfile, name, context })
    }

    /// A context, or a lone Dockerfile: which of the two, the first bytes tell.
    fn read_stdin(&self) -> Result<Input, Failure> {
        if io::stdin().is_terminal() {
            return Err(Failure::new(Kind::User, "standard input is a terminal, not a context")
                .hint("pipe a Dockerfile or a tar into it, or name a directory: bedplate build ."));
        }
        let mut source = BufReader::with_capacity(256 * 1024, io::stdin().lock());
        self.read_stream(&mut source, "standard input")
    }

    /// The same from anywhere; `what` names it in messages.
    fn read_stream(&self, mut source: impl Read, what: &str) -> Result<Input, Failure> {
        let failed = |error: io::Error| Failure::from(error).context(format!("cannot read {what}"));
        let mut head = Vec::new();
        source.by_ref().take(512).read_to_end(&mut head).map_err(failed)?;
        let all = io::Cursor::new(head.clone()).chain(source);
        if is_archive(&head) {
            let mut context = BuildContext::archive(self.lease, all)?;
            let name = match self.file {
                Some(path) => path.display().to_string(),
                None => DOCKERFILE.to_owned(),
            };
            let Some(dockerfile) = context.read_file(&name)? else {
                return Err(Failure::new(Kind::User, format!("there is no {name:?} in the archive of {what}"))
                    .hint("name another with --file"));
            };
            set_ignore(&mut context, Some(&format!("{name}{IGNORE}")))?;
            return Ok(Input { dockerfile, name, context });
        }
        let dockerfile = read_limited(all).map_err(failed)?;
        Ok(Input { dockerfile, name: "-".to_owned(), context: BuildContext::empty() })
    }

    /// A commit of a repository as the context; the Dockerfile lies in it.
    fn read_git(&self, source: &GitSource) -> Result<Input, Failure> {
        let (mut context, commit) = checked_out(source, self.lease)?;
        let name = self.file.map_or_else(|| DOCKERFILE.to_owned(), |path| path.display().to_string());
        let Some(dockerfile) = context.read_file(&name)? else {
            return Err(Failure::new(
                Kind::User,
                format!("there is no {name:?} in {:?} at commit {commit}", source.shown()),
            )
            .hint("name another with --file"));
        };
        set_ignore(&mut context, Some(&format!("{name}{IGNORE}")))?;
        Ok(Input { dockerfile, name, context })
    }
}

/// The files that a named context stands for: a directory, an archive, a repository, a URL. Those that its ignore file
/// excludes are not there.
pub(super) fn files(name: &str, place: &str, lease: &Lease, fetcher: &Fetcher) -> Result<BuildContext, Failure> {
    let lower = place.to_ascii_lowercase();
    let archive = |file: File| BuildContext::archive(lease, BufReader::with_capacity(256 * 1024, file));
    let context = if let Some(source) = GitSource::parse(place) {
        checked_out(&source, lease)?.0
    } else if ["http://", "https://"].iter().any(|scheme| lower.starts_with(scheme)) {
        archive(downloaded(place, lease, fetcher)?)?
    } else {
        let path = Path::new(place);
        let failed = |error: io::Error| Failure::from(error).context(format!("cannot read {path:?}"));
        match path.metadata().map_err(failed)?.is_dir() {
            true => BuildContext::directory(path)?,
            false => archive(File::open(path).map_err(failed)?)?,
        }
    };
    let mut context = context.named(name);
    set_ignore(&mut context, None)?;
    Ok(context)
}

/// The files of a commit, and which it is.
fn checked_out(source: &GitSource, lease: &Lease) -> Result<(BuildContext, String), Failure> {
    let failed = |error: GitError| {
        let missing = matches!(error, GitError::Missing);
        let failure = Failure::from(error).context(format!("cannot take {:?} as the context", source.shown()));
        if missing { failure.hint("install git, or fetch the files first and name their directory") } else { failure }
    };
    let folder = lease.scratch();
    fs::create_dir(&folder)?;
    let commit = source.commit().map_err(failed)?;
    source.check_out(&commit, &folder, false).map_err(failed)?;
    let context = BuildContext::directory(&folder.join(&source.directory))?;
    Ok((context, commit))
}

/// The file of a URL, in the lease's folder.
fn downloaded(url: &str, lease: &Lease, fetcher: &Fetcher) -> Result<File, Failure> {
    let attempt = || format!("cannot fetch the context {:?}", url);
    let url = Url::parse(url).map_err(|error| Failure::from(error).context(attempt()))?;
    let mut file = File::options().read(true).write(true).create_new(true).open(lease.scratch())?;
    let expected = Expected { digest: None, size: None, max_size: MAX_CONTEXT };
    fetcher.get(&url, expected, &mut file).map_err(|error| Failure::from(error).context(attempt()))?;
    file.rewind()?;
    Ok(file)
}

fn set_ignore(context: &mut BuildContext, own: Option<&str>) -> Result<(), Failure> {
    for name in own.into_iter().chain([IGNORE]) {
        if let Some(bytes) = context.read_file(name)? {
            context.set_ignore(ignore(&bytes, name)?);
            break;
        }
    }
    Ok(())
}

fn ignore(bytes: &[u8], name: &str) -> Result<Ignore, Failure> {
    Ignore::parse(bytes).map_err(|error| Failure::from(error).context(format!("cannot read {name:?}")))
}

/// Whether bytes begin an archive; of a compressed one the compression is enough.
fn is_archive(head: &[u8]) -> bool {
    if Compression::detect(head) != Compression::None {
        return true;
    }
    let first = || -> Option<bool> {
        let mut reader = Reader::new(Decoder::new(head).ok()?);
        reader.next_entry().ok().map(|entry| entry.is_some())
    };
    // 512 zeros are an archive without entries.
    first().unwrap_or(false) || (head.len() == 512 && head.iter().all(|byte| *byte == 0))
}

fn read_limited(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_DOCKERFILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}
