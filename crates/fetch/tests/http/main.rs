//! Downloads from a small server inside the test process: no network, no C library resolver.

mod files;
mod proxies;
mod redirects;
mod server;
mod tls;
mod transfers;

use std::path::PathBuf;
use std::time::Duration;

use bedplate_fetch::{Expected, FetchError, Fetcher, Limits, Options, Response, Url, names::NameFiles};

/// What every test but those on limits expects.
const ANYTHING: Expected = Expected { digest: None, size: None, max_size: 64 << 20 };

/// Options that fail fast, and know some host names.
fn options() -> Options {
    let hosts = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http/hosts"));
    Options {
        names: NameFiles { resolv_conf: hosts.with_file_name("none"), hosts },
        limits: Limits {
            backoff: Duration::from_millis(1),
            max_backoff: Duration::from_millis(20),
            resolve: Duration::from_millis(200),
            connect: Duration::from_secs(5),
            answer: Duration::from_millis(500),
            stall: Duration::from_millis(300),
            ..Limits::default()
        },
        ..Options::default()
    }
}

fn get_with(options: Options, url: &str, expected: Expected) -> (Result<Response, FetchError>, Vec<u8>) {
    let mut sink = Vec::new();
    let result = Fetcher::new(options).get(&Url::parse(url).unwrap(), expected, &mut sink);
    (result, sink)
}

fn get(url: &str, expected: Expected) -> (Result<Response, FetchError>, Vec<u8>) {
    get_with(options(), url, expected)
}

/// The message of the error and all its causes.
fn message(error: &FetchError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Bytes without a period that a lost or doubled block could hide in.
fn content(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}
