//! Entry points for fuzzing.

use std::io;
use std::path::Path;

use crate::acquire;
use crate::debootstrap::{Notes, NotesError};
use crate::distribution::{Distribution, builtin, resolve};
use crate::lock::Lock;
use crate::recipe::{Recipe, RecipeError};

/// Reads a lock: what is read is written as the same bytes ever after.
pub fn lock(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(lock) = Lock::parse(text) else { return };
    let written = lock.to_toml();
    let again = Lock::parse(&written).unwrap_or_else(|error| panic!("{error:?}: {written}"));
    assert_eq!(again, lock);
    assert_eq!(again.to_toml(), written);
    assert!(lock.keep(&again).is_ok());
    if let Ok(request) = lock.request() {
        assert_eq!(request.suite, lock.suite);
    }
    for package in &lock.packages {
        assert!(!package.path.split('/').any(|part| part == ".."), "{}", package.path);
        assert!(!package.path.starts_with('/'), "{}", package.path);
    }
}

/// Reads a recipe, and plans what it asks for.
pub fn recipe(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = |path: &Path| {
        Err(RecipeError::Read { path: path.to_owned(), source: io::Error::from(io::ErrorKind::NotFound) })
    };
    if let Ok(recipe) = Recipe::parse(text, Path::new("/recipe"), &read) {
        assert!(recipe.request.downloads > 0);
        if let Ok(plan) = acquire::plan(&recipe.request, &acquire::Host::default()) {
            assert!(!plan.sources.is_empty());
            assert!(plan.sources.iter().all(|source| !source.mirrors.is_empty()));
        }
    }
}

/// Reads a distribution file, and the words that may mean its suites.
pub fn distribution(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = resolve(text, builtin());
    let Ok(distribution) = Distribution::parse(text) else { return };
    let known = [distribution];
    for suite in &known[0].suites {
        let found = resolve(&format!("{}:{}", known[0].name, suite.codename), &known);
        assert_eq!(found.map(|found| &found.suite.codename), Ok(&suite.codename));
        assert!(suite.pockets.iter().all(|pocket| suite.name_of(*pocket).is_some()));
    }
}

/// Reads notes of debootstrap, each after a line with its name: what is read is written as the same notes ever after.
pub fn notes(data: &[u8]) {
    let files = |wanted: &str| {
        let mut lines =
            data.split_inclusive(|byte| *byte == b'\n').skip_while(|line| line.trim_ascii() != wanted.as_bytes());
        lines.next()?;
        Some(lines.take_while(|line| !line.trim_ascii().is_empty()).flatten().copied().collect::<Vec<u8>>())
    };
    let Ok(notes) = Notes::read::<NotesError>(|name| Ok(files(name))) else { return };
    let printed = notes.print();
    let again = Notes::read::<NotesError>(|name| {
        Ok(printed.iter().find(|(known, _)| *known == name).map(|(_, text)| text.clone().into_bytes()))
    });
    assert_eq!(again.as_ref(), Ok(&notes), "{printed:?}");
    for (_, path) in &notes.files {
        assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."), "{path}");
    }
}

/// Reads what the cache remembers of Release files.
pub fn remembered(data: &[u8]) {
    acquire::fuzz_remembered(data);
}

/// Reads debconf's databases and templates.
pub fn debconf(data: &[u8]) {
    crate::native::fuzz_debconf(data);
}
