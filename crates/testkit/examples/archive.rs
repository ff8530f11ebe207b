//! Writes a generated archive into a folder, to try a bootstrap by hand:
//! `cargo run --release -p bedplate-testkit --example archive -- DIR [ERA]`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use bedplate_testkit::debian::{Era, Extent, corners};

fn main() {
    let mut words = std::env::args().skip(1);
    let folder = std::path::PathBuf::from(words.next().expect("the folder to write to"));
    let name = words.next().unwrap_or_else(|| "bookworm".to_owned());
    let era = Era::ALL.into_iter().find(|era| era.codename() == name).expect("a known codename");
    let world = era.world(Extent::Minbase).expect("a Debian machine");
    let mut archives = era.archives(world.packages);
    for corner in corners::all() {
        archives.release().packages.extend(corner.packages.iter().map(Into::into));
    }
    let rendered = archives.render();
    rendered.site.write_to(&folder);
    std::fs::write(folder.join("keyring.gpg"), archives.keyring()).expect("own folder");
    println!("{name} of {}, keyring {}/keyring.gpg", era.date(), folder.display());
    for mirror in rendered.mirrors(&format!("file://{}", folder.display())) {
        println!("--mirror {mirror}");
    }
}
