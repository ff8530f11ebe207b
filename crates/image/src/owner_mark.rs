//! The true owner of an unpacked file where one ID has to own all.
//!
//! An extended attribute that goes where the file goes: an overlay copies it up, a new name keeps it, a new file in the
//! same place has none. It never gets into an image.

/// The attribute; its value is two numbers of 32 bits, user and group, little-endian.
pub(crate) const OWNER_MARK: &[u8] = b"user.bedplate.owner";

/// Tells whether an attribute is one that only we write.
pub(crate) fn is_own_xattr(name: &[u8]) -> bool {
    name.starts_with(b"user.bedplate.")
}

/// The value of the attribute.
pub(crate) fn owner_mark(uid: u32, gid: u32) -> [u8; 8] {
    (u64::from(uid) | u64::from(gid) << 32).to_le_bytes()
}

/// Reads the value; a process may have written anything there.
pub(crate) fn owner_of_mark(value: &[u8]) -> Option<(u32, u32)> {
    let number = u64::from_le_bytes(value.try_into().ok()?);
    Some((number as u32, (number >> 32) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_survive_the_mark() {
        for owner in [(0, 0), (5, 42), (u32::MAX, 0), (0, u32::MAX), (70_000, 80_000)] {
            assert_eq!(owner_of_mark(&owner_mark(owner.0, owner.1)), Some(owner));
        }
        for foreign in [&b""[..], b"1234567", b"123456789"] {
            assert_eq!(owner_of_mark(foreign), None);
        }
    }
}
