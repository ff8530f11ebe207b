//! The project's own commands: check, test, bench, fuzz, docs.
fn main() {}
