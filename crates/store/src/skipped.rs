//! The file `skipped` of an unpacked root: what the disk lacks of the layers, so that whoever uses the root later
//! knows as much as whoever unpacked it.
//!
//! ```text
//! "bedplate skipped 1\n"  count:u32
//! count x ( reason:u8  length:u16 path  [ length:u16 name-of-attribute ] )       numbers little-endian
//! ```

use bedplate_image::unpack::{SkipReason, Skipped};
use bedplate_tree::TreePath;

/// The first bytes, version included; a file of another version makes its root be unpacked anew.
const MAGIC: &[u8] = b"bedplate skipped 1\n";

/// The largest file in bytes: about a million entries with paths as they occur. What is longer is not kept, and the root
/// is unpacked anew for each use.
pub(crate) const MAX_SKIPPED: u64 = 64 << 20;

const DEVICE: u8 = 0;
const WHITEOUT_DEVICE: u8 = 1;
const SOCKET: u8 = 2;
const XATTR: u8 = 3;
const OVERLAY_XATTR: u8 = 4;

/// Writes a list; `None` where it is longer than a reader takes.
pub(crate) fn encode(list: &[Skipped]) -> Option<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(u32::try_from(list.len()).ok()?.to_le_bytes());
    for Skipped { path, reason } in list {
        let (code, name): (u8, Option<&[u8]>) = match reason {
            SkipReason::Device => (DEVICE, None),
            SkipReason::WhiteoutDevice => (WHITEOUT_DEVICE, None),
            SkipReason::Socket => (SOCKET, None),
            SkipReason::Xattr { name } => (XATTR, Some(name)),
            SkipReason::OverlayXattr { name } => (OVERLAY_XATTR, Some(name)),
        };
        bytes.push(code);
        for part in [Some(path.as_bytes()), name].into_iter().flatten() {
            bytes.extend(u16::try_from(part.len()).ok()?.to_le_bytes());
            bytes.extend(part);
        }
        if bytes.len() as u64 > MAX_SKIPPED {
            return None;
        }
    }
    Some(bytes)
}

/// Reads a list; `None` where it is not whole.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<Skipped>> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let count = u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?);
    // The count is only believed as far as there are bytes.
    let mut list = Vec::with_capacity((count as usize).min(rest.len() / 3));
    for _ in 0..count {
        let code = *take(&mut rest, 1)?.first()?;
        let path = TreePath::parse(text(&mut rest)?).ok()?;
        let reason = match code {
            DEVICE => SkipReason::Device,
            WHITEOUT_DEVICE => SkipReason::WhiteoutDevice,
            SOCKET => SkipReason::Socket,
            XATTR => SkipReason::Xattr { name: text(&mut rest)?.into() },
            OVERLAY_XATTR => SkipReason::OverlayXattr { name: text(&mut rest)?.into() },
            _ => return None,
        };
        list.push(Skipped { path, reason });
    }
    rest.is_empty().then_some(list)
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u16::from_le_bytes(take(rest, 2)?.try_into().ok()?);
    take(rest, length.into())
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Vec<Skipped> {
        let name = |text: &[u8]| text.into();
        [
            ("dev/null", SkipReason::Device),
            ("dev/odd", SkipReason::WhiteoutDevice),
            ("run/socket", SkipReason::Socket),
            ("a\nb", SkipReason::Xattr { name: name(b"trusted.\xff") }),
            ("", SkipReason::OverlayXattr { name: name(b"user.overlay.opaque") }),
        ]
        .map(|(path, reason)| Skipped { path: TreePath::parse(path.as_bytes()).unwrap(), reason })
        .to_vec()
    }

    #[test]
    fn what_is_written_is_read() {
        for list in [Vec::new(), list()] {
            assert_eq!(decode(&encode(&list).unwrap()).unwrap(), list);
        }
    }

    #[test]
    fn what_is_not_whole_is_nothing() {
        let bytes = encode(&list()).unwrap();
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_none(), "the first {length} bytes");
        }
        assert!(decode(&[&bytes[..], b"x"].concat()).is_none(), "a byte too many");
        let mut version = bytes.clone();
        version[MAGIC.len() - 2] = b'2';
        assert!(decode(&version).is_none(), "another version");
        // A count without entries costs nothing.
        assert!(decode(&[MAGIC, &u32::MAX.to_le_bytes()].concat()).is_none());
        let path = [MAGIC, &1u32.to_le_bytes(), &[DEVICE, 2, 0], b".."].concat();
        assert!(decode(&path).is_none(), "a path that leads out");
        let reason = [MAGIC, &1u32.to_le_bytes(), &[9, 1, 0], b"a"].concat();
        assert!(decode(&reason).is_none(), "an unknown reason");
    }

    #[test]
    fn a_list_is_bounded() {
        let path = TreePath::parse("n".repeat(255).as_bytes()).unwrap();
        let one =
            encode(&[Skipped { path: path.clone(), reason: SkipReason::Socket }]).unwrap().len() - MAGIC.len() - 4;
        let most = (MAX_SKIPPED as usize - MAGIC.len() - 4) / one;
        let mut list = vec![Skipped { path, reason: SkipReason::Socket }; most];
        assert!(encode(&list).is_some());
        list.push(list[0].clone());
        assert!(encode(&list).is_none());
    }
}
