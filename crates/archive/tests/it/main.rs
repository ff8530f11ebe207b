//! Archives and compression, against tables, properties and the tools of others. Every file of this folder is a module.
#![forbid(unsafe_code)]

mod codec;
mod index;
mod node;
mod tar_hostile;
mod tar_properties;
mod tar_read;
mod tar_tools;

#[test]
fn every_file_is_a_module() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let Ok(files) = std::fs::read_dir(&folder) else {
        return bedplate_testkit::skip::note("archive::every_file_is_a_module", "the checkout cannot be read");
    };
    let listed = include_str!("main.rs");
    for file in files {
        let name = file.unwrap().file_name().into_string().unwrap();
        let module = name.strip_suffix(".rs").unwrap_or(&name);
        assert!(module == "main" || listed.contains(&format!("\nmod {module};\n")), "{name} is not listed in main.rs");
    }
}
