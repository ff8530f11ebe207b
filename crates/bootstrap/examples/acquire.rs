//! Opens the archive of a suite and fetches packages by name: `acquire STORE SUITE [MIRROR...] [-- PACKAGE...]`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stderr, clippy::print_stdout)]

use std::error::Error;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bedplate_bootstrap::acquire::{self, Context, Event, Host, Observer, Wanted};
use bedplate_bootstrap::request::{Mirror, Request};
use bedplate_fetch::Fetcher;
use bedplate_packages::deb::index::PackagesIndex;
use bedplate_store::{OpenOptions, Store};

struct Lines;

impl Observer for Lines {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Received { .. } => {}
            Event::Notice(notice) => eprintln!("{notice}"),
            other => eprintln!("{other:?}"),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let store = arguments.next().ok_or("no store")?;
    let mut request = Request::new(arguments.next().ok_or("no suite")?);
    request.mirrors = arguments.by_ref().take_while(|word| word != "--").map(|word| Mirror::parse(&word)).collect();
    request.checks.valid_until = std::env::var_os("NO_VALID_UNTIL").map(|_| false);
    let names: Vec<String> = arguments.collect();
    let store = Store::open(&OpenOptions::new(store))?;
    let fetcher = Fetcher::new(bedplate_fetch::Options::default());
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let host = Host::read(Path::new("/"))?;
    let offline = std::env::var_os("OFFLINE").is_some();
    let context =
        Context { store: &store, fetcher: &fetcher, now: i64::try_from(now)?, host: &host, offline, observer: &Lines };
    let start = Instant::now();
    let acquired = acquire::open(&request, &context)?;
    println!("opened in {:?}", start.elapsed());
    let mut wanted = Vec::new();
    for source in &acquired.sources {
        println!("{} at {:?}: {:?}", source.suite, source.mirrors, source.release);
        for index in &source.indexes {
            let start = Instant::now();
            let packages = PackagesIndex::parse(&index.bytes)?;
            println!(
                "  {} {} {}: {} in {:?}",
                index.component,
                index.architecture,
                index.digest,
                packages.packages().len(),
                start.elapsed()
            );
            for package in packages.packages() {
                if names.iter().any(|name| name == package.name) {
                    wanted.push(Wanted::of(package, source)?);
                }
            }
        }
    }
    let start = Instant::now();
    let fetched = acquire::fetch(&wanted, request.downloads, &context)?;
    println!("fetched {} in {:?}", fetched.paths.len(), start.elapsed());
    Ok(())
}
