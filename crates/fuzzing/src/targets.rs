//! The table of targets: one row for each function in a `fuzz` module of a product crate.

/// What the bytes of a target look like, so that mutations keep enough of it to get past the first check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// No form is known.
    Bytes,
    /// Lines and words.
    Text,
    /// 512-byte blocks, headers with a checksum that is repaired after most mutations.
    Tar,
}

/// One parser under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// `<crate>_<function>`; also the name of its corpus folder and of the cargo-fuzz target.
    pub name: &'static str,
    /// The form of its input.
    pub shape: Shape,
    /// Runs the parser and panics when an invariant does not hold.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target("template_table", Shape::Text, bedplate_template::fuzz::table),
    target("template_template", Shape::Text, bedplate_template::fuzz::template),
];

const fn target(name: &'static str, shape: Shape, run: fn(&[u8])) -> Target {
    Target { name, shape, run }
}

/// Finds a target by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
