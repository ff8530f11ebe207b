//! Golden cases: `cases/<name>/{Dockerfile,expected}` and `cases-reject/<name>/{Dockerfile,expected}`.
//!
//! `BEDPLATE_BLESS=1` rewrites the expected files; the difference is to be reviewed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use bedplate_dockerfile::{Dockerfile, excerpt};

fn folders(kind: &str) -> Vec<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind);
    let mut folders: Vec<_> = fs::read_dir(&root)
        .unwrap_or_else(|error| panic!("{}: {error}", root.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    folders
}

fn compare(folder: &Path, found: &str) {
    let expected = folder.join("expected");
    if std::env::var_os("BEDPLATE_BLESS").is_some() {
        fs::write(&expected, found).unwrap();
        return;
    }
    let wanted = fs::read_to_string(&expected).unwrap_or_default();
    assert_eq!(found, wanted, "{} (BEDPLATE_BLESS=1 rewrites it)", folder.display());
}

fn describe(file: &Dockerfile) -> String {
    let mut text = String::new();
    writeln!(text, "{:?}", file.directives).unwrap();
    for node in &file.global {
        writeln!(text, "{:?}-{:?} {:?}", node.span.start, node.span.end, node.instruction).unwrap();
    }
    for (index, stage) in file.stages.iter().enumerate() {
        let span = stage.node.span;
        writeln!(text, "stage {index}\n{:?}-{:?} {:?}", span.start, span.end, stage.from).unwrap();
        for node in &stage.instructions {
            writeln!(text, "{:?}-{:?} {:?}", node.span.start, node.span.end, node.instruction).unwrap();
        }
    }
    for warning in &file.warnings {
        writeln!(text, "warning: {warning}").unwrap();
    }
    write!(text, "---\n{file}").unwrap();
    text
}

#[test]
fn good_files_parse_as_expected() {
    let folders = folders("cases");
    assert!(folders.len() >= 20, "{} cases", folders.len());
    for folder in folders {
        let source = fs::read(folder.join("Dockerfile")).unwrap();
        let file = Dockerfile::parse(&source).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        compare(&folder, &describe(&file));
        let again = Dockerfile::parse(file.to_string().as_bytes());
        assert_eq!(again.as_ref(), Ok(&file), "{}: print and parse", folder.display());
    }
}

#[test]
fn bad_files_are_refused_with_their_message() {
    let folders = folders("cases-reject");
    assert!(folders.len() >= 20, "{} cases", folders.len());
    for folder in folders {
        let source = fs::read(folder.join("Dockerfile")).unwrap();
        let error = match Dockerfile::parse(&source) {
            Ok(file) => panic!("{}: parsed as {file}", folder.display()),
            Err(error) => error,
        };
        let mut text = format!("{error}\n");
        let mut source_error: Option<&dyn std::error::Error> = std::error::Error::source(&error.kind);
        while let Some(cause) = source_error {
            writeln!(text, "cause: {cause}").unwrap();
            source_error = cause.source();
        }
        if let Some(shown) = excerpt(&source, error.position) {
            writeln!(text, "{shown}").unwrap();
        }
        compare(&folder, &text);
    }
}
