//! Skips: a test that this machine cannot run says so, and is counted.

use std::fs::OpenOptions;
use std::io::Write;

/// Environment variable with the file to which skips are appended; `cargo xtask test` sets and sums it up.
pub const FILE: &str = "BEDPLATE_TEST_SKIPS";

/// Notes that a test, or a part of one, is not run, and why: `suite::test: reason`.
pub fn note(test: &str, reason: &str) {
    let line = format!("{test}: {reason}\n");
    eprint!("skipped {line}");
    let Some(path) = std::env::var_os(FILE) else { return };
    let written =
        OpenOptions::new().create(true).append(true).open(&path).and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        panic!("cannot count a skip in {}: {error}", path.display());
    }
}

/// Leaves the test with a counted skip unless a need is met: `needs!("suite::test", condition, "reason")`.
#[macro_export]
macro_rules! needs {
    ($test:expr, $condition:expr, $reason:expr) => {
        if !$condition {
            $crate::skip::note($test, $reason);
            return;
        }
    };
}
