//! The binary, by capability. Every file of this folder is a module here; a test holds that.
#![forbid(unsafe_code)]

mod bad_input;
mod bootstrap;
mod bootstrap_attacks;
mod bootstrap_kept;
mod bootstrap_oracles;
mod bootstrap_real;
mod bootstrap_same;
mod bootstrap_sinks;
mod build;
mod build_checks;
mod build_contexts;
mod build_debug;
mod build_faults;
mod build_flags;
mod build_mounts;
mod build_outputs;
mod build_progress;
mod build_remote;
mod copying;
mod corpus;
mod debootstrap;
mod import;
mod keyring;
mod kit;
mod looking;
mod moving;
mod packages;
mod page;
mod reproducible;
mod rootless;
mod run;
mod save_load;
mod store_concurrency;
mod store_crash;

#[test]
fn every_file_is_a_module() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let Ok(files) = std::fs::read_dir(&folder) else {
        // The runs as plain users have a copy of this program and no checkout.
        return bedplate_testkit::skip::note("it::every_file_is_a_module", "the checkout cannot be read");
    };
    let listed = include_str!("main.rs");
    for file in files {
        let name = file.unwrap().file_name().into_string().unwrap();
        let module = name.strip_suffix(".rs").unwrap_or(&name);
        assert!(module == "main" || listed.contains(&format!("\nmod {module};\n")), "{name} is not listed in main.rs");
    }
}
