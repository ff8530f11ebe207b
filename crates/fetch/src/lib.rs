//! Verified downloads over HTTP and HTTPS.
//!
//! One [`Fetcher`] serves a whole command: it keeps connections, follows redirects, uses proxies, asks again when a
//! server is busy, goes on where a broken transfer ended, and compares size and digest at the end of the stream.
//! What went into the sink may be used only after [`Fetcher::get`] returned without an error.
//!
//! Names are looked up by our own code ([`names`]): in a static binary, the C library's resolver would load the
//! host's NSS modules. There is one TLS library (rustls) with one crypto provider (ring). Nothing here reads an
//! environment variable: proxies and certificate bundle come from the caller. All of it adds 3 MB to a binary.
#![forbid(unsafe_code)]

mod error;
mod fetcher;
mod forward;
#[doc(hidden)]
pub mod fuzz;
mod header;
pub mod names;
mod proxy;
mod transfer;
mod trust;
mod url;

pub use error::{FetchError, Phase};
pub use fetcher::{ClientFiles, Event, Expected, Fetcher, Limits, Options, Response};
pub use header::base64;
pub use proxy::{Proxies, ProxyError};
pub use url::{MAX_URL, Scheme, Url, UrlError};
