//! A tar stream, compressed or not, becomes a layer in the store: one pass, one hash, bytes kept.

use std::io::{self, Cursor, Read, Seek as _, SeekFrom, Write};

use bedplate_archive::codec::DETECT;
use bedplate_archive::tar::RootAttributes;
use bedplate_archive::{Compression, Decoder, Index};
use bedplate_oci::{Descriptor, DiffId, Digest, media_type};
use bedplate_store::{BlobWriter, Lease, SealedBlob};

use crate::ImportError;

/// A layer that is in the store, and what is in it.
#[derive(Debug)]
pub struct Layer {
    /// The blob.
    pub descriptor: Descriptor,
    /// The entries of its archive.
    pub index: Index,
    /// What the root entry had before it was rewritten, where it was.
    pub mended: Option<RootAttributes>,
}

impl Layer {
    /// The digest of the uncompressed archive.
    #[must_use]
    pub fn diff_id(&self) -> DiffId {
        DiffId(Digest::from_bytes(self.index.diff_id()))
    }
}

/// Stores a stream as a layer; `what` names it in errors.
///
/// The layer keeps the bytes it was given: an uncompressed stream is the blob, and gzip and zstd blobs keep their
/// digest. xz and bzip2, which no image may hold, become uncompressed. With `mend_root`, a root entry that is not
/// 0:0 or lacks one of the bits 0755 is rewritten; a compressed input then becomes uncompressed, too.
///
/// # Errors
/// [`ImportError`]; nothing stays in the store.
pub fn store_stream(lease: &Lease, mut source: impl Read, what: &str, mend_root: bool) -> Result<Layer, ImportError> {
    let mut first = Vec::with_capacity(DETECT);
    (&mut source).take(DETECT as u64).read_to_end(&mut first).map_err(|error| ImportError::read(what, error))?;
    // A valid archive to tar, but what a pipe gives whose writer failed. The smallest that anybody means is two zero blocks.
    if first.is_empty() {
        return Err(ImportError::Empty { what: what.to_owned() });
    }
    let compression = Compression::detect(&first);
    let source = Cursor::new(first).chain(source);
    match compression {
        Compression::None => store_uncompressed(lease, source, what, mend_root),
        Compression::Bzip2 | Compression::Xz => store_uncompressed(lease, decode(source, what)?, what, mend_root),
        Compression::Gzip => store_compressed(lease, source, what, mend_root, media_type::LAYER_GZIP),
        Compression::Zstd => store_compressed(lease, source, what, mend_root, media_type::LAYER_ZSTD),
    }
}

fn decode<R: Read>(source: R, what: &str) -> Result<Decoder<R>, ImportError> {
    Decoder::new(source).map_err(|error| ImportError::read(what, error))
}

fn store_uncompressed(lease: &Lease, source: impl Read, what: &str, mend_root: bool) -> Result<Layer, ImportError> {
    let mut writer = lease.unhashed_writer()?;
    let scanned = Index::copy_tar(source, &mut writer, mend_root).map_err(|error| ImportError::tar(what, error))?;
    // The hash of the pass is the blob's digest: nothing is hashed twice.
    let blob = writer.finish_as(Digest::from_bytes(scanned.index.diff_id()), lease)?;
    Ok(Layer { descriptor: blob.descriptor(media_type::LAYER), index: scanned.index, mended: scanned.mended })
}

fn store_compressed(
    lease: &Lease,
    source: impl Read,
    what: &str,
    mend_root: bool,
    media_type: &str,
) -> Result<Layer, ImportError> {
    let mut tee = Tee { source, writer: lease.blob_writer()? };
    let decoder = decode(&mut tee, what)?;
    let scanned = Index::copy_tar(decoder, io::sink(), mend_root).map_err(|error| ImportError::tar(what, error))?;
    let sealed = tee.finish().map_err(|error| ImportError::read(what, error))?.seal()?;
    if scanned.mended.is_some() {
        // Rare, so that a second pass over what is on the disk now costs less than writing both forms always.
        return store_uncompressed(lease, decode(reopen(&sealed, what)?, what)?, what, mend_root);
    }
    let blob = sealed.publish(lease)?;
    Ok(Layer { descriptor: blob.descriptor(media_type), index: scanned.index, mended: None })
}

fn reopen(sealed: &SealedBlob, what: &str) -> Result<impl Read, ImportError> {
    let mut file = sealed.file();
    file.seek(SeekFrom::Start(0)).map_err(|error| ImportError::read(what, error))?;
    Ok(file)
}

/// Reads, and writes what was read.
struct Tee<R> {
    source: R,
    writer: BlobWriter,
}

impl<R: Read> Tee<R> {
    /// Takes what the decoder had no need to read.
    fn finish(mut self) -> io::Result<BlobWriter> {
        io::copy(&mut self.source, &mut self.writer)?;
        Ok(self.writer)
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.writer.write_all(buffer.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}
