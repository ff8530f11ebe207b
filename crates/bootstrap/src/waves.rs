//! Which packages are unpacked together.

use bedplate_packages::deb::payload::Payload;

/// Waves of packages by their numbers.
pub(crate) fn waves(packages: &[Payload]) -> Vec<Vec<usize>> {
    vec![(0..packages.len()).collect()]
}
