//! Entry points for fuzzing: bytes in, invariants asserted.

use std::io::{self, Read, Write};

use crate::codec::{Compression, Decoder, EncodeOptions, Encoder, Expansion};
use crate::index::{Index, IndexBuilder};
use crate::tar::{Limits, MemberKind, Reader, Tap, Writer};

/// What a fuzzed stream may become: large enough for every branch, small enough for many runs.
const EXPANSION: Expansion = Expansion { output: 4 << 20, ratio: u64::MAX, floor: 0 };

const LIMITS: Limits = Limits { entries: 4096, extents: 4096, names: 1 << 20 };

/// Takes bytes and counts them.
struct Count(u64);

impl Tap for Count {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0 += bytes.len() as u64;
        Ok(())
    }
}

/// Reads an archive: entries lie in the stream, in order; what was read can be written, and read again the same.
pub fn tar_read(data: &[u8]) {
    for mend in [false, true] {
        let mut reader = Reader::with_tap(data, Count(0)).limits(LIMITS).mend_root(mend);
        let mut members = Vec::new();
        let mut end = 0;
        let mut whole = true;
        loop {
            let member = match reader.next_entry() {
                Ok(Some(member)) => member,
                Ok(None) => break,
                Err(_) => {
                    whole = false;
                    break;
                }
            };
            assert!(member.header_offset >= end && member.data_offset > member.header_offset);
            assert!(member.data_offset <= data.len() as u64);
            end = member.data_offset;
            let mut stored = 0;
            if let MemberKind::File { size, extents } = &member.kind {
                assert!(extents.iter().all(|extent| extent.logical + extent.length <= *size && extent.length > 0));
                stored = extents.iter().map(|extent| extent.length).sum();
                end += stored;
            }
            if stored < 1 << 16 && io::copy(&mut reader.body(), &mut io::sink()).is_err() {
                whole = false;
                break;
            }
            members.push(member);
        }
        if !whole {
            continue;
        }
        let Ok(finished) = reader.finish() else { continue };
        assert_eq!((finished.size, finished.tap.0), (data.len() as u64, data.len() as u64));
        let mut writer = Writer::new(io::sink());
        for member in members {
            let size = member.size();
            if size < 1 << 20 {
                // Everything that is read can be written, but for attributes too large together.
                let _ = writer.append_member(member, io::repeat(0).take(size));
            }
        }
        writer.finish().expect("a sink takes everything");
    }
    if let Ok(scanned) = Index::copy_tar_within(data, io::sink(), true, LIMITS) {
        let encoded = scanned.index.encode();
        assert_eq!(Index::decode(&encoded).expect("an index is read as it was written"), scanned.index);
        let _ = scanned.index.delta();
    }
}

/// Reads an index, as found and with its length and checksum made right.
pub fn tar_index_decode(data: &[u8]) {
    let _ = Index::decode(data);
    let mut sealed = IndexBuilder::new().finish([0; 32], 0).encode();
    let body = data.len() as u64;
    sealed.truncate(sealed.len() - 32 - 34);
    let fixed = sealed.len();
    sealed[fixed - 8..].copy_from_slice(&body.to_le_bytes());
    sealed.extend_from_slice(data);
    let sum: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&sealed).into();
    sealed.extend_from_slice(&sum);
    if let Ok(index) = Index::decode(&sealed) {
        let again = Index::decode(&index.encode()).expect("an index is read as it was written");
        assert_eq!(again, index);
    }
}

/// Decompresses: by content, and as each format; what a format's encoder wrote comes back.
pub fn codec_decode(data: &[u8]) {
    let all = [Compression::None, Compression::Gzip, Compression::Bzip2, Compression::Xz, Compression::Zstd];
    if let Ok(decoder) = Decoder::new(data) {
        let _ = io::copy(&mut decoder.expansion(EXPANSION), &mut io::sink());
    }
    for compression in all {
        if let Ok(decoder) = Decoder::with_compression(data, compression) {
            let _ = io::copy(&mut decoder.expansion(EXPANSION), &mut io::sink());
        }
    }
    let Some(&compression) = data.first().and_then(|first| all.get(usize::from(*first) % all.len())) else { return };
    let mut encoder = Encoder::new(Vec::new(), compression, EncodeOptions::default()).expect("default levels exist");
    encoder.write_all(data).expect("a vector takes everything");
    let encoded = encoder.finish().expect("a vector takes everything");
    let mut decoded = Vec::new();
    let mut decoder = Decoder::with_compression(&encoded[..], compression).expect("a decoder has its memory");
    decoder.read_to_end(&mut decoded).expect("what was compressed is decompressed");
    assert_eq!(decoded, data);
}

/// Takes PAX records apart; what was understood is written and understood the same.
pub fn pax_records(data: &[u8]) {
    use crate::tar::pax::{Records, put_record};
    let mut again = Vec::new();
    let mut all = Vec::new();
    for record in Records::new(data) {
        let Ok(record) = record else { return };
        put_record(&mut again, record.key, record.value);
        all.push((record.key, record.value));
    }
    let read: Vec<_> = Records::new(&again).map(|record| record.expect("written by the rules")).collect();
    assert!(read.iter().map(|record| (record.key, record.value)).eq(all));
    crate::tar::pax::fuzz(data);
}
