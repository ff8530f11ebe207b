//! The keys of a recipe, once: for the check of keys, near names, and the reference page.

use std::fmt::Write as _;

/// A key of a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub value: &'static str,
    /// What happens without it.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn key(name: &'static str, value: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key { name, value, default, meaning }
}

/// The keys at the top.
pub const KEYS: &[Key] = &[
    key("suite", "string", "needed", "The suite: `debian:trixie`, `trixie`, `ubuntu:20.04`, `stable`."),
    key("tags", "strings", "none", "Names for the image, as `--tag`."),
    key("output", "string", "the store", "Where the root is written in place of the store, as `--output`."),
    key("distribution", "path", "none", "A derivative's data file; see `docs/distribution.md`."),
    key("architecture", "string", "the machine's", "The architecture in Debian's words: `amd64`, `arm64`."),
    key(
        "variant",
        "string",
        "`required`",
        "The packages to begin with: `extract`, `custom`, `essential`, `apt`, `required` (`minbase`), `buildd`, `important` (`debootstrap`), `standard`.",
    ),
    key("resolver", "string", "`apt`", "Whose rules choose packages: `apt` or `debootstrap`."),
    key("include", "strings", "none", "Packages to add: `curl`, `curl=8.1-1`, `curl/trixie-backports`."),
    key("exclude", "strings", "none", "Packages to leave out."),
    key("recommends", "boolean", "`false`", "Whether recommended packages are taken, too."),
    key("components", "strings", "the distribution's", "Components of the archive."),
    key("pockets", "strings", "the suite's", "Pockets: `release`, `updates`, `security`, `backports`, `proposed`."),
    key(
        "mirrors",
        "strings",
        "the host's, else the distribution's",
        "Archives to ask: `URL`, or `security=URL` for one pocket; several are tried in their order.",
    ),
    key(
        "image-mirrors",
        "strings",
        "the archive that was asked",
        "Archives that the image's own package sources name, in the same form.",
    ),
    key(
        "sources",
        "strings",
        "none",
        "More package sources: lines of `sources.list`, or stanzas of a `.sources` file.",
    ),
    key("keyrings", "paths", "built in", "Keyrings in place of the built-in ones."),
    key(
        "check-valid-until",
        "boolean",
        "as the host's apt, else `true`",
        "Whether `Valid-Until` of Release files counts.",
    ),
    key("allow-unsigned", "strings", "none", "Roots of archives that need no signature; recorded in the lock."),
    key("allow-downgrade", "boolean", "`false`", "Takes a Release file that is older than the newest one seen."),
    key(
        "style",
        "string",
        "`docker`",
        "The kind of image: `docker`, `debuerreotype`, `mkimage-debootstrap`, `debootstrap`, `plain`.",
    ),
    key("slim", "boolean", "`false`", "Leaves out documentation, translations and manual pages."),
    key(
        "paths",
        "strings",
        "none",
        "Patterns of paths: `-/usr/share/doc/*` leaves out, `+/usr/share/doc/*/copyright` keeps; the last match wins.",
    ),
    key("merged-usr", "boolean", "the suite's", "Whether `/bin`, `/sbin` and `/lib` lead into `/usr`."),
    key(
        "epoch",
        "string",
        "the newest time in the packages",
        "The epoch of the image, as `2024-01-02T03:04:05Z`; no time in it is later.",
    ),
    key("downloads", "integer", "`4`", "Downloads at once from one host."),
    key("step", "tables", "none", "What is done after all packages are configured, in this order."),
];

/// The keys of a `[[step]]`.
pub const STEP_KEYS: &[Key] = &[
    key("copy-in", "path", "", "A file or folder of the host to copy into the root."),
    key("to", "path", "", "Where it goes in the root: an absolute path."),
    key("run", "string", "", "A command of the shell to run in the root, in the sandbox."),
    key(
        "network",
        "boolean",
        "`false`",
        "Whether the command may use the network; then a lock promises nothing of what it did.",
    ),
];

/// The reference page.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Recipes\n\nEverything that the flags of `bedplate bootstrap` say can stand in one TOML file: \
         `bedplate bootstrap --recipe NAME.toml`. What changes the image is the recipe's alone; names, the output, mirrors, \
         keyrings and checks may be given beside it. Relative paths begin at the recipe's folder. An unknown key is an error.\n\n\
         `examples/` has a recipe for each kind of image. This page is written from the code; a test holds it to the \
         parser.\n",
    );
    for (title, keys) in [("Keys", KEYS), ("Keys of a `[[step]]`", STEP_KEYS)] {
        let _ = write!(page, "\n## {title}\n\n| key | value | default | meaning |\n|---|---|---|---|\n");
        for key in keys {
            let Key { name, value, default, meaning } = key;
            let _ = writeln!(page, "| `{name}` | {value} | {default} | {meaning} |");
        }
    }
    page.push_str("\nA step is `copy-in` and `to`, or `run` and perhaps `network`.\n");
    page
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_is_fresh() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/recipe.md");
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        if found != page() && std::env::var_os("BEDPLATE_BLESS").is_some() {
            std::fs::write(&path, page()).unwrap();
            return;
        }
        assert_eq!(found, page(), "docs/recipe.md: run this test with BEDPLATE_BLESS=1");
    }

    #[test]
    fn every_example_is_a_recipe() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let recipe = super::super::Recipe::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error:?}"));
                let plan = crate::acquire::plan(&recipe.request, &crate::acquire::Host::default());
                assert!(plan.is_ok(), "{path:?}: {plan:?}");
                names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
            }
        }
        names.sort();
        assert_eq!(
            names,
            ["debian-buildd", "debian-derivative", "debian-extract", "debian-minimal", "debian-slim", "ubuntu"]
        );
    }
}
