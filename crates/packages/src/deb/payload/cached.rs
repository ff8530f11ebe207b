//! A payload as it is kept beside its stream.
//!
//! ```text
//! "bedplate payload\n" version:u8 control, files, conffiles, generated sums, names of owners    numbers in LEB128
//! sha256(all before)
//! index as bedplate_archive encodes it, which has its own sum
//! ```

use std::collections::BTreeMap;

use bedplate_archive::{Index, IndexError};
use bedplate_tree::{Metadata, Timestamp, TreePath, Xattrs};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{Conffile, Control, ControlFile, Md5, OwnerNames, Payload};

const MAGIC: &[u8] = b"bedplate payload\n";

/// The version of the encoding. A change of it makes every kept payload be read anew from its package.
pub const VERSION: u8 = 2;

/// Why a kept payload cannot be used; it is then to be read anew from its package.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CachedError {
    /// Not a payload at all, or one that was cut.
    #[error("not a payload: {reason}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// Written by another version of bedplate.
    #[error("payload has version {found}, not {VERSION}")]
    Version {
        /// Its version.
        found: u8,
    },
    /// Damaged on disk.
    #[error("payload is damaged: its checksum is wrong")]
    Checksum,
    /// The index in it.
    #[error("index of the payload")]
    Index {
        /// What is wrong with it.
        #[source]
        source: IndexError,
    },
}

impl Payload {
    /// The payload as it is kept: the same bytes for the same payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4096);
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        put_bytes(&mut out, self.control.text());
        put(&mut out, self.files.len() as u64);
        for (name, ControlFile { content, metadata }) in &self.files {
            put_bytes(&mut out, name.as_bytes());
            put_bytes(&mut out, content);
            put(&mut out, metadata.mode.into());
            put(&mut out, metadata.uid.into());
            put(&mut out, metadata.gid.into());
            put(&mut out, zigzag(metadata.mtime.seconds));
            put(&mut out, metadata.mtime.nanoseconds.into());
        }
        put(&mut out, self.conffiles.len() as u64);
        for conffile in &self.conffiles {
            put_bytes(&mut out, conffile.path.as_bytes());
            out.push(u8::from(conffile.remove_on_upgrade));
            put_bytes(&mut out, conffile.md5.as_ref().map_or(&[], |md5| md5.as_bytes()));
        }
        out.push(u8::from(self.generated_sums.is_some()));
        put_bytes(&mut out, self.generated_sums.as_deref().unwrap_or_default());
        put(&mut out, self.owner_names.len() as u64);
        for (offset, OwnerNames { user, group }) in &self.owner_names {
            put(&mut out, *offset);
            put_bytes(&mut out, user);
            put_bytes(&mut out, group);
        }
        let sum: [u8; 32] = Sha256::digest(&out).into();
        out.extend_from_slice(&sum);
        out.extend_from_slice(&self.index.encode());
        out
    }

    /// Reads a kept payload.
    ///
    /// # Errors
    /// [`CachedError`]; the payload is then to be read anew.
    pub fn decode(bytes: &[u8]) -> Result<Self, CachedError> {
        let malformed = |reason| CachedError::Malformed { reason };
        let rest = bytes.strip_prefix(MAGIC).ok_or(malformed("it begins with something else"))?;
        let mut input = match rest.split_first() {
            Some((&VERSION, rest)) => Input { rest },
            Some((&found, _)) => return Err(CachedError::Version { found }),
            None => return Err(malformed("it was cut")),
        };
        let facts = decode_facts(&mut input).ok_or(malformed("its content breaks its own rules"))?;
        let length = bytes.len() - input.rest.len();
        let sum = input.take(32).ok_or(malformed("it was cut"))?;
        if <[u8; 32]>::from(Sha256::digest(&bytes[..length])) != *sum {
            return Err(CachedError::Checksum);
        }
        let Facts { control, files, conffiles, generated_sums, owner_names } = facts;
        let control = Control::parse(control).map_err(|_| malformed("its control file breaks its own rules"))?;
        if super::unfit(&control, &files).is_some() {
            return Err(malformed("a file of its control member has too long a name"));
        }
        let index = Index::decode(input.rest).map_err(|source| CachedError::Index { source })?;
        Ok(Self { control, files, conffiles, generated_sums, owner_names, index })
    }
}

/// All but the index.
struct Facts {
    control: Box<[u8]>,
    files: super::ControlFiles,
    conffiles: Vec<Conffile>,
    generated_sums: Option<Box<[u8]>>,
    owner_names: BTreeMap<u64, OwnerNames>,
}

fn decode_facts(input: &mut Input<'_>) -> Option<Facts> {
    let control = input.bytes()?.into();
    let mut files = super::ControlFiles::new();
    for _ in 0..input.number()? {
        let name = std::str::from_utf8(input.bytes()?).ok()?.into();
        let content = input.bytes()?.into();
        let (mode, uid, gid) = (input.small()?, input.small()?, input.small()?);
        let mtime = Timestamp { seconds: unzigzag(input.number()?), nanoseconds: input.small()? };
        let metadata = Metadata { mode, uid, gid, mtime, xattrs: Xattrs::new() };
        files.insert(name, ControlFile { content, metadata });
    }
    let mut conffiles = Vec::new();
    for _ in 0..input.number()? {
        let path = TreePath::parse(input.bytes()?).ok()?;
        let remove_on_upgrade = input.take(1)? != [0];
        let md5 = match input.bytes()? {
            [] => None,
            sum => Some(Md5::from_bytes(sum.try_into().ok()?)),
        };
        conffiles.push(Conffile { path, remove_on_upgrade, md5 });
    }
    let has_sums = input.take(1)? != [0];
    let sums = input.bytes()?;
    let mut owner_names = BTreeMap::new();
    for _ in 0..input.number()? {
        let offset = input.number()?;
        owner_names.insert(offset, OwnerNames { user: input.bytes()?.into(), group: input.bytes()?.into() });
    }
    Some(Facts { control, files, conffiles, generated_sums: has_sums.then(|| sums.into()), owner_names })
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return None;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.take(count)
    }
}
