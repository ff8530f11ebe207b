//! Holds the direction of dependencies: an arrow points down the map of crates, never up or sideways.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::process::{Failure, root};

/// The row of each crate on the map in `ARCHITECTURE.md`, 0 at the bottom.
///
/// A crate may depend on crates of lower rows only. A new crate without a row is a finding: its place is a decision.
const ROWS: &[(&str, u8)] = &[
    ("bedplate-sys", 0),
    ("bedplate-tree", 1),
    ("bedplate-oci", 1),
    ("bedplate-dockerfile", 1),
    ("bedplate-template", 1),
    ("bedplate-trust", 1),
    ("bedplate-archive", 2),
    ("bedplate-packages", 3),
    ("bedplate-image", 3),
    ("bedplate-fetch", 3),
    ("bedplate-store", 4),
    ("bedplate-import", 5),
    ("bedplate-run", 5),
    ("bedplate-bootstrap", 6),
    ("bedplate-build", 6),
    ("bedplate", 7),
];

/// Crates for the project's own work; no product crate may need them to build.
const DEV: &[&str] = &["xtask", "bedplate-testkit", "bedplate-fuzzing"];

/// Crates that take bytes and give values: they know no file, clock, environment, network or kernel.
const PURE: &[&str] = &[
    "bedplate-tree",
    "bedplate-oci",
    "bedplate-dockerfile",
    "bedplate-template",
    "bedplate-trust",
    "bedplate-archive",
    "bedplate-packages",
];

/// What a pure crate cannot need.
const IMPURE: &[&str] = &["bedplate-sys", "rustix", "libc", "nix", "tempfile", "indicatif", "clap", "tokio", "hyper"];

/// One arrow between packages as Cargo sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edge {
    from: String,
    to: String,
    dev: bool,
}

/// Reads the workspace and gives one line for each arrow that points the wrong way.
pub(crate) fn check() -> Result<(), Failure> {
    let mut command = MetadataCommand::new();
    command.current_dir(root()).no_deps().other_options(["--offline".to_owned(), "--locked".to_owned()]);
    // The lock may be behind while a crate is added; direction can be judged without it.
    let metadata = command.exec().or_else(|_| MetadataCommand::new().current_dir(root()).no_deps().exec());
    let metadata = metadata.map_err(|source| Failure::Metadata { source })?;
    let findings = judge(&edges(&metadata), &members(&metadata));
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Failure::Findings { what: "dependencies point the wrong way", findings })
    }
}

fn members(metadata: &Metadata) -> Vec<String> {
    metadata.packages.iter().map(|package| package.name.to_string()).collect()
}

fn edges(metadata: &Metadata) -> Vec<Edge> {
    let mut edges = Vec::new();
    for package in &metadata.packages {
        for dependency in &package.dependencies {
            edges.push(Edge {
                from: package.name.to_string(),
                to: dependency.name.clone(),
                dev: dependency.kind == DependencyKind::Development,
            });
        }
    }
    edges
}

fn row(name: &str) -> Option<u8> {
    ROWS.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, row)| *row)
}

/// Judges arrows among `members`; everything else is a library from outside.
fn judge(edges: &[Edge], members: &[String]) -> Vec<String> {
    let mut findings = Vec::new();
    for member in members {
        if row(member).is_none() && !DEV.contains(&member.as_str()) {
            findings.push(format!("{member} has no row on the map (crates/xtask/src/deps.rs, ARCHITECTURE.md)"));
        }
    }
    for Edge { from, to, dev } in edges {
        if DEV.contains(&from.as_str()) {
            continue;
        }
        if PURE.contains(&from.as_str()) && IMPURE.contains(&to.as_str()) && !dev {
            findings.push(format!("{from} is pure and cannot need {to}"));
        }
        if DEV.contains(&to.as_str()) && !dev {
            findings.push(format!("{from} ships, {to} is for development only"));
        }
        if let (Some(above), Some(below)) = (row(from), row(to))
            && below >= above
        {
            findings.push(format!("{from} (row {above}) needs {to} (row {below})"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str, dev: bool) -> Edge {
        Edge { from: from.into(), to: to.into(), dev }
    }

    #[test]
    fn arrows_are_judged() {
        // from | to | dev | finding
        let table = [
            ("bedplate-store", "bedplate-image", false, None),
            ("bedplate-image", "bedplate-store", false, Some("bedplate-image (row 3) needs bedplate-store (row 4)")),
            ("bedplate-image", "bedplate-fetch", false, Some("bedplate-image (row 3) needs bedplate-fetch (row 3)")),
            ("bedplate-image", "bedplate-store", true, Some("bedplate-image (row 3) needs bedplate-store (row 4)")),
            ("bedplate-tree", "rustix", false, Some("bedplate-tree is pure and cannot need rustix")),
            ("bedplate-tree", "tempfile", true, None),
            ("bedplate-sys", "rustix", false, None),
            (
                "bedplate-run",
                "bedplate-testkit",
                false,
                Some("bedplate-run ships, bedplate-testkit is for development only"),
            ),
            ("bedplate-run", "bedplate-testkit", true, None),
            ("xtask", "bedplate", false, None),
        ];
        for (from, to, dev, expected) in table {
            let found = judge(&[edge(from, to, dev)], &[]);
            assert_eq!(found, expected.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{from} -> {to}");
        }
    }

    #[test]
    fn a_crate_without_a_row_is_a_finding() {
        let found = judge(&[], &["bedplate-new".to_owned()]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("bedplate-new has no row"));
    }

    #[test]
    fn this_workspace_points_down() {
        check().expect("every arrow of the workspace points down the map");
    }
}
