//! Real packages: a folder of them is named by the environment, since tests need no network.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use bedplate_packages::deb::compose::{ComposeOptions, link_usr};
use bedplate_packages::deb::dpkg::statoverride::StatOverrides;
use bedplate_packages::deb::payload::Payload;
use bedplate_testkit::needs;
use bedplate_tree::Timestamp;

use crate::kit::{
    Folder, assert_same, assert_same_text, compose, dpkg, dpkg_works, list_disk, new_root, read, text, without_scripts,
};

/// A folder of packages of one suite, each of them once.
const DEBS: &str = "BEDPLATE_DEBS";

const REASON: &str = "needs root, dpkg, and a folder of packages in BEDPLATE_DEBS";

fn debs() -> Vec<PathBuf> {
    let Some(folder) = std::env::var_os(DEBS) else { return Vec::new() };
    let mut debs: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    debs.retain(|path| path.extension().is_some_and(|extension| extension == "deb" || extension == "udeb"));
    debs.sort();
    debs
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn real_packages_are_read_as_dpkg_deb_reads_them() {
    let debs = debs();
    needs!("packages::real_packages_are_read_as_dpkg_deb_reads_them", !debs.is_empty() && dpkg_works(), REASON);
    let folder = Folder::new("dpkg-deb");
    for path in debs {
        let read = read(&fs::read(&path).unwrap());
        let tar = output(Command::new("dpkg-deb").arg("--fsys-tarfile").arg(&path));
        assert!(read.data == tar, "{}: the data member differs", path.display());
        let control = folder.0.join(path.file_name().unwrap());
        output(Command::new("dpkg-deb").arg("-e").arg(&path).arg(&control));
        let mut files: Vec<String> =
            fs::read_dir(&control).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let mut ours: Vec<String> = read.payload.control_files().keys().map(|name| name.to_string()).collect();
        ours.push("control".to_owned());
        ours.sort();
        assert_eq!(ours, files, "{}", path.display());
        assert_eq!(fs::read(control.join("control")).unwrap(), read.payload.control().text());
        for (name, file) in read.payload.control_files() {
            assert_eq!(fs::read(control.join(name.as_ref())).unwrap(), &*file.content, "{} {name}", path.display());
        }
        for field in ["Package", "Version", "Architecture", "Depends", "Description"] {
            let theirs = output(Command::new("dpkg-deb").arg("-f").arg(&path).arg(field));
            let theirs = String::from_utf8(theirs).unwrap();
            let ours = read.payload.control().field(field).unwrap_or_default();
            assert_eq!(ours, theirs.strip_suffix('\n').unwrap_or(&theirs), "{} {field}", path.display());
        }
    }
}

#[test]
fn real_packages_are_composed_as_dpkg_unpacks_them() {
    let debs = debs();
    needs!("packages::real_packages_are_composed_as_dpkg_unpacks_them", !debs.is_empty() && dpkg_works(), REASON);
    let folder = Folder::new("dpkg-install");
    let root = folder.0.join("root");
    new_root(&root);
    let mut stripped = Vec::new();
    let mut reads = Vec::new();
    let mut names = std::collections::HashSet::new();
    for path in &debs {
        let deb = without_scripts(&fs::read(path).unwrap());
        let package = read(&deb);
        // Several versions in one folder: the first one counts.
        if names.insert(package.payload.control().name().to_owned()) {
            let file = folder.0.join(path.file_name().unwrap());
            fs::write(&file, deb).unwrap();
            stripped.push(file);
            reads.push(package);
        }
    }
    let links = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
    for link in links {
        fs::create_dir_all(root.join("usr").join(link)).unwrap();
        std::os::unix::fs::symlink(format!("usr/{link}"), root.join(link)).unwrap();
    }
    dpkg(&root, &["--force-all", "--install"], &stripped).unwrap();
    let begin = Instant::now();
    let made = compose(&reads, ComposeOptions::default(), &StatOverrides::default(), |tree| {
        link_usr(tree, &links, Timestamp::ZERO).unwrap();
    });
    let made = made.unwrap();
    println!("{} packages, {} entries in {:?}", reads.len(), made.listing.len(), begin.elapsed());
    let status = fs::read_to_string(root.join("var/lib/dpkg/status")).unwrap();
    assert_same_text("status", &text(&made.tree, "var/lib/dpkg/status"), &status);
    assert_same(&made.listing, &list_disk(&root));
}

/// Not a timed test: prints what reading costs beside decompression alone. Run with `--run-ignored all --no-capture`.
#[test]
#[ignore = "a measurement"]
fn reading_beside_decompression_alone() {
    let debs: Vec<Vec<u8>> = debs().iter().map(|path| fs::read(path).unwrap()).collect();
    needs!("packages::reading_beside_decompression_alone", !debs.is_empty(), REASON);
    for _ in 0..2 {
        let begin = Instant::now();
        let mut bytes = 0;
        for deb in &debs {
            for (name, data) in crate::kit::members(deb) {
                if name.starts_with("data.tar") {
                    let mut decoder = bedplate_archive::Decoder::new(&data[..]).unwrap();
                    let mut buffer = vec![0; 256 << 10];
                    loop {
                        match std::io::Read::read(&mut decoder, &mut buffer).unwrap() {
                            0 => break,
                            count => bytes += count,
                        }
                    }
                }
            }
        }
        let alone = begin.elapsed();
        let begin = Instant::now();
        let payloads: Vec<Payload> = debs.iter().map(|deb| Payload::read(&deb[..], std::io::sink()).unwrap()).collect();
        let reading = begin.elapsed();
        let kept: Vec<Vec<u8>> = payloads.iter().map(Payload::encode).collect();
        let begin = Instant::now();
        for kept in &kept {
            Payload::decode(kept).unwrap();
        }
        println!(
            "{} packages, {} MB: decompression {alone:?}, reading {reading:?}; opening all kept ones ({} KB) {:?}",
            debs.len(),
            bytes / 1_000_000,
            kept.iter().map(Vec::len).sum::<usize>() / 1000,
            begin.elapsed(),
        );
    }
}
