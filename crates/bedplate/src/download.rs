//! Downloads as commands need them: into a file, with a progress bar.

use std::fs::File;
use std::io::{BufWriter, Seek as _, Write as _};
use std::path::Path;

use bedplate_fetch::{Event, Expected, Url};
use bedplate_oci::Digest;

use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Progress;

/// The most bytes that are downloaded without a promised size: more than any root filesystem, less than a disk.
const MAX_DOWNLOAD: u64 = 64 << 30;

/// Fetches `url` into a new file at `path`, which is open at its beginning when this returns.
///
/// # Errors
/// What the network, the digest or the disk says; the file may then hold a part.
pub(crate) fn to_file(context: &Context, url: &Url, digest: Option<Digest>, path: &Path) -> Result<File, Failure> {
    let fetcher = context.fetcher()?;
    let place = |error: std::io::Error| Failure::from(error).context(format!("cannot download {url} to {path:?}"));
    let file = File::options().read(true).write(true).create_new(true).open(path).map_err(place)?;
    let progress = Progress::bytes(context, "downloading", None);
    let mut sink = BufWriter::with_capacity(256 * 1024, progress.writer(file));
    let expected = Expected { digest, size: None, max_size: MAX_DOWNLOAD };
    fetcher.get_observed(url, expected, &mut sink, &mut |event| match event {
        Event::Started { total, .. } => progress.expect(total),
        Event::Retrying { error, pause } => context.warn(&format_args!("{error}; trying again in {pause:?}")),
    })?;
    sink.flush().map_err(place)?;
    let (counted, _) = sink.into_parts();
    let mut file = counted.into_inner();
    file.rewind().map_err(place)?;
    Ok(file)
}
