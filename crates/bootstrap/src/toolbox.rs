//! A static busybox out of its signed package: a shell for images that have none.

use crate::acquire::{Context, open};
use crate::request::Request;
use crate::single::{Single, SingleError, newest};

/// The package.
const PACKAGE: &str = "busybox-static";

/// Where it has the program: before and after `/bin` became a link.
const PATHS: [&str; 2] = ["usr/bin/busybox", "bin/busybox"];

/// The most that the package may unpack to, in bytes: Debian's has 2 MB.
const MAX_UNPACKED: usize = 64 << 20;

/// Fetches the program, for the architecture of `request`. What was fetched before is taken from the cache, and then no
/// network is needed where `context` is offline.
///
/// # Errors
/// [`SingleError`].
pub fn busybox(request: &Request, context: &Context<'_>) -> Result<Vec<u8>, SingleError> {
    let acquired = open(request, context)?;
    let (wanted, version) = newest(&acquired, PACKAGE)?;
    let name = format!("{PACKAGE} {}", version.as_str());
    let package = Single::fetch(&wanted, &name, MAX_UNPACKED, context)?;
    let found = PATHS.iter().find_map(|path| package.file(path));
    let lacks = || SingleError::NoFile { package: name.clone(), paths: PATHS.map(str::to_owned).to_vec() };
    Ok(found.ok_or_else(lacks)?.to_vec())
}
