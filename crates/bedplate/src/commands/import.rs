//! `bedplate import`: a tar archive, a directory or a URL becomes an image.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use bedplate_import::{DirectoryOptions, ImportError, Layer, Request, assemble, store_directory, store_stream};
use bedplate_oci::{Platform, Reference};
use bedplate_store::Lease;

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::progress::Progress;

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A tar stream keeps its bytes: the sha256 of an uncompressed stream is the layer's diff ID, gzip and zstd archives \
keep their digest, xz and bzip2 archives become uncompressed layers. Compression is recognised by content.

Examples:
  tar -C rootfs -c . | bedplate import - focal
  bedplate import --change 'CMD [\"bash\"]' rootfs.tar.xz debian:jessie
  bedplate import / my-machine")]
pub(crate) struct Args {
    /// Apply a Dockerfile instruction to the new image (CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD,
    /// SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR)
    #[arg(short, long, value_name = "INSTRUCTION", allow_hyphen_values = true)]
    change: Vec<String>,
    /// Set the remark in the image's history
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    message: Option<String>,
    /// Set the platform, as linux/arm64 [default: that of the tree's own programs]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// Keep owner and mode of the root directory as the archive has them
    #[arg(long)]
    keep_root_mode: bool,
    /// Print nothing but errors and the image ID
    #[arg(short, long)]
    quiet: bool,
    /// An archive, a directory, a URL, or - for standard input
    #[arg(value_name = "FILE|DIR|URL|-")]
    source: String,
    /// The name of the image; without a tag, :latest
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

/// Where the bytes come from.
enum Source {
    Stdin,
    Url(bedplate_fetch::Url),
    Directory(PathBuf),
    File(PathBuf),
}

impl Source {
    fn parse(text: &str) -> Result<Self, Failure> {
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Url(text.parse()?));
        }
        let path = PathBuf::from(text);
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => Ok(Self::Directory(path)),
            Ok(_) => Ok(Self::File(path)),
            Err(error) => Err(Failure::from(error).context(format!("cannot import {text:?}"))),
        }
    }
}

/// Imports, prints the image ID.
pub(crate) fn run(args: Args, context: &Context) -> Result<u8, Failure> {
    let name = args.name.as_deref().map(Reference::parse).transpose()?;
    let source = Source::parse(&args.source)?;
    let request = Request {
        changes: args.change,
        message: args.message.unwrap_or_else(|| default_message(&source)),
        platform: args.platform,
        epoch: context.epoch(),
        names: name.into_iter().collect(),
    };
    request.check()?;
    let store = context.store()?;
    let lease = store.lease()?;
    let what = described(&source, &args.source);
    let (layer, mut warnings) = read(context, &lease, &source, &what, !args.keep_root_mode)?;
    let imported = assemble(&lease, &layer, &request, &what).map_err(failed)?;
    warnings.extend(imported.warnings);
    if !args.quiet {
        for warning in warnings {
            context.warn(&warning);
        }
    }
    writeln!(io::stdout(), "{}", imported.image.id())?;
    Ok(0)
}

fn read(
    context: &Context,
    lease: &Lease,
    source: &Source,
    what: &str,
    mend_root: bool,
) -> Result<(Layer, Vec<bedplate_import::Warning>), Failure> {
    let stream = |reader: &mut dyn Read, total| {
        let progress = Progress::bytes(context, "importing", total);
        store_stream(lease, progress.reader(reader), what, mend_root).map(|layer| (layer, Vec::new())).map_err(failed)
    };
    match source {
        Source::Stdin => {
            if io::IsTerminal::is_terminal(&io::stdin()) {
                return Err(Failure::new(Kind::User, "standard input is a terminal, not an archive")
                    .hint("pipe a tar into it: tar -C DIR -c . | bedplate import - NAME"));
            }
            stream(&mut io::stdin().lock(), None)
        }
        Source::File(path) => {
            let open = |path: &Path| -> io::Result<_> { File::open(path).and_then(|f| Ok((f.metadata()?.len(), f))) };
            let (size, mut file) =
                open(path).map_err(|error| Failure::from(error).context(format!("cannot import {path:?}")))?;
            // A pipe or device has no length to count towards.
            stream(&mut file, (size > 0).then_some(size))
        }
        Source::Url(url) => {
            let scratch = lease.scratch();
            let mut file = crate::download::to_file(context, url, None, &scratch)?;
            let size = file.metadata()?.len();
            stream(&mut file, Some(size))
        }
        Source::Directory(path) => {
            let _progress = Progress::bytes(context, "packing", None);
            let options = DirectoryOptions {
                keep_root_mode: !mend_root,
                epoch: context.epoch(),
                invoker: context.invoker,
                leave: Some(&context.root),
            };
            store_directory(lease, path, what, &options).map_err(failed)
        }
    }
}

fn described(source: &Source, text: &str) -> String {
    match source {
        Source::Stdin => "standard input".into(),
        Source::Url(url) => url.to_string(),
        Source::Directory(_) | Source::File(_) => format!("{text:?}"),
    }
}

/// Docker's remark. A local path says nothing to anybody else, and makes an image depend on where it was made.
fn default_message(source: &Source) -> String {
    match source {
        Source::Url(url) => format!("Imported from {url}"),
        Source::Stdin | Source::Directory(_) | Source::File(_) => "Imported from -".into(),
    }
}

fn failed(error: ImportError) -> Failure {
    match error.hint() {
        Some(hint) => Failure::from(error).hint(hint),
        None => error.into(),
    }
}
