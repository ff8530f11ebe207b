//! Packages at random, few names so that they meet often: dpkg and we must agree on every one.

use std::fs;

use bedplate_packages::deb::compose::{ComposeOptions, Composition};
use bedplate_packages::deb::dpkg::statoverride::StatOverrides;
use bedplate_testkit::debian::deb::{Deb, Item, Kind};
use bedplate_testkit::{Random, needs};
use bedplate_tree::{Tree, whiteout};

use crate::kit::{Folder, assert_same, assert_same_text, compose, dpkg, dpkg_works, list_disk, new_root, read, text};

const NAMES: &[&str] = &["a", "b", "c", "d"];

fn name(random: &mut Random) -> &'static str {
    NAMES[random.below(NAMES.len() as u64) as usize]
}

fn path(random: &mut Random) -> String {
    let mut path = format!("opt/{}", name(random));
    for _ in 0..random.below(3) {
        path = format!("{path}/{}", name(random));
    }
    path
}

/// Some packages of some entries each. Targets of links stay inside the root: dpkg without chroot would follow others.
fn packages(random: &mut Random) -> Vec<Deb> {
    let count = 2 + random.below(3);
    let packages = (0..count).map(|number| {
        let mut deb = Deb::new(&format!("p{number}"), "1.0").mtime(1_000_000_000 + number as i64);
        for other in 0..count {
            if other != number && random.below(3) == 0 {
                deb = deb.field("Replaces", &format!("p{other}"));
                break;
            }
        }
        // Of what is not there, too; some will do for others.
        let other = |random: &mut Random| match random.below(6) {
            0 => "virtual".to_owned(),
            1 => format!("p{} (>= 2)", random.below(count)),
            _ => format!("p{}", random.below(count)),
        };
        for field in ["Depends", "Recommends", "Suggests"] {
            if random.below(4) == 0 {
                deb = deb.field(field, &format!("{} | {}", other(random), other(random)));
            }
        }
        if random.below(3) == 0 {
            deb = deb.field("Provides", "virtual");
        }
        let mut files: Vec<String> = Vec::new();
        let mut taken: Vec<String> = Vec::new();
        for _ in 0..1 + random.below(5) {
            let path = path(random);
            // One package has a name once, and nothing below what is no directory: no builder makes others.
            let clash = taken.iter().any(|old| {
                *old == path || path.starts_with(&format!("{old}/")) || old.starts_with(&format!("{path}/"))
            });
            if clash {
                continue;
            }
            taken.push(path.clone());
            let mode = 0o600 | random.below(0o200) as u32;
            let kind = match random.below(6) {
                0 => Kind::Directory,
                1 => Kind::Symlink(name(random).to_owned()),
                2 if !files.is_empty() => Kind::Hardlink(files[random.below(files.len() as u64) as usize].clone()),
                _ => Kind::File(format!("{number}{path}").into_bytes().into()),
            };
            let mode = match &kind {
                Kind::Directory => mode | 0o100,
                // A link has the mode of its file.
                Kind::Hardlink(_) => 0o644,
                Kind::File(_) => 0o644,
                _ => 0o777,
            };
            if let Kind::File(_) = kind {
                files.push(path.clone());
            }
            deb = deb.item(Item::new(&path, kind).mode(mode));
        }
        deb
    });
    packages.collect()
}

#[test]
fn waves_amount_to_the_whole() {
    let mut random = Random::new(7);
    let mut composed = 0;
    for _ in 0..300 {
        let reads: Vec<_> = packages(&mut random).iter().map(|deb| read(&deb.build().bytes)).collect();
        let mut whole = Composition::new(ComposeOptions::default());
        let at_once = whole.unpack_wave(reads.iter().map(|read| &read.payload)).map(|_| ());
        let mut waves = Composition::new(ComposeOptions::default());
        let mut applied = Tree::new();
        let one_by_one = reads.iter().try_for_each(|read| {
            let (delta, _) = waves.unpack_wave([&read.payload])?;
            assert!(!delta.changes.iter().any(|change| whiteout::is_reserved(&change.path)));
            applied.apply(&delta).unwrap();
            assert!(applied == *waves.tree());
            Ok::<_, bedplate_packages::deb::compose::ComposeError>(())
        });
        match (at_once, one_by_one) {
            (Ok(()), Ok(())) => {
                composed += 1;
                assert!(whole.tree() == waves.tree());
                assert_eq!(whole.overwritten(), waves.overwritten());
            }
            (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string()),
            (a, b) => panic!("{a:?} {b:?}"),
        }
    }
    assert!(composed > 50, "only {composed} of 300 sets can be composed: they say little");
}

#[test]
fn dpkg_agrees_on_packages_at_random() {
    needs!("packages::dpkg_agrees_on_packages_at_random", dpkg_works(), "needs root and dpkg");
    let folder = Folder::new("random");
    let sets = std::env::var("BEDPLATE_RANDOM_PACKAGES").ok().and_then(|sets| sets.parse().ok()).unwrap_or(40);
    let mut failed = Vec::new();
    for seed in 0..sets {
        let debs = packages(&mut Random::new(seed));
        let compared = std::panic::catch_unwind(|| compare(&folder, seed, &debs));
        if compared.is_err() {
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?}");
}

fn compare(folder: &Folder, seed: u64, debs: &[Deb]) {
    let root = folder.0.join(format!("root{seed}"));
    new_root(&root);
    let mut outcome = Ok(String::new());
    let mut reads = Vec::new();
    for (place, deb) in debs.iter().enumerate() {
        let built = deb.build();
        let file = folder.0.join(format!("{seed}-{place}.deb"));
        fs::write(&file, &built.bytes).unwrap();
        if outcome.is_ok() {
            outcome = dpkg(&root, &["--force-depends", "--install"], &[file]);
            reads.push(read(&built.bytes));
        }
    }
    match (compose(&reads, ComposeOptions::default(), &StatOverrides::default(), |_| ()), outcome) {
        (Ok(made), Ok(_)) => {
            let dpkgs = fs::read_to_string(root.join("var/lib/dpkg/status")).unwrap();
            assert_same_text("status", &text(&made.tree, "var/lib/dpkg/status"), &dpkgs);
            for entry in fs::read_dir(root.join("var/lib/dpkg/info")).unwrap() {
                let file = format!("var/lib/dpkg/info/{}", entry.unwrap().file_name().to_str().unwrap());
                let dpkgs = fs::read_to_string(root.join(&file)).unwrap();
                assert_same_text(&file, &text(&made.tree, &file), &dpkgs);
            }
            assert_same(&made.listing, &list_disk(&root));
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(theirs)) => panic!("dpkg fails: {theirs}"),
        (Err(ours), Ok(theirs)) => panic!("only we fail: {ours}: {theirs}"),
    }
    let _ = fs::remove_dir_all(root);
}
