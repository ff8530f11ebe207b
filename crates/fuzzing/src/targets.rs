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
    target("archive_codec_decode", Shape::Bytes, bedplate_archive::fuzz::codec_decode),
    target("archive_pax_records", Shape::Bytes, bedplate_archive::fuzz::pax_records),
    target("archive_tar_index_decode", Shape::Bytes, bedplate_archive::fuzz::tar_index_decode),
    target("archive_tar_read", Shape::Tar, bedplate_archive::fuzz::tar_read),
    target("bootstrap_debconf", Shape::Text, bedplate_bootstrap::fuzz::debconf),
    target("bootstrap_distribution", Shape::Text, bedplate_bootstrap::fuzz::distribution),
    target("bootstrap_lock", Shape::Text, bedplate_bootstrap::fuzz::lock),
    target("bootstrap_notes", Shape::Text, bedplate_bootstrap::fuzz::notes),
    target("bootstrap_recipe", Shape::Text, bedplate_bootstrap::fuzz::recipe),
    target("bootstrap_remembered", Shape::Text, bedplate_bootstrap::fuzz::remembered),
    target("dockerfile_expand", Shape::Text, bedplate_dockerfile::fuzz::expand),
    target("dockerfile_glob", Shape::Text, bedplate_dockerfile::fuzz::glob),
    target("dockerfile_ignore", Shape::Text, bedplate_dockerfile::fuzz::ignore),
    target("dockerfile_parse", Shape::Text, bedplate_dockerfile::fuzz::parse),
    target("fetch_dns_reply", Shape::Bytes, bedplate_fetch::fuzz::dns_reply),
    target("fetch_texts", Shape::Text, bedplate_fetch::fuzz::texts),
    target("fetch_url", Shape::Text, bedplate_fetch::fuzz::url),
    target("image_elf_sniff", Shape::Bytes, bedplate_image::fuzz::elf_sniff),
    target("image_layer_apply", Shape::Tar, bedplate_image::fuzz::layer_apply),
    target("oci_documents", Shape::Text, bedplate_oci::fuzz::documents),
    target("oci_words", Shape::Text, bedplate_oci::fuzz::words),
    target("packages_deb_aptconf", Shape::Text, bedplate_packages::fuzz::deb_aptconf),
    target("packages_deb_archive", Shape::Bytes, bedplate_packages::fuzz::deb_archive),
    target("packages_deb_control", Shape::Text, bedplate_packages::fuzz::deb_control),
    target("packages_deb_data", Shape::Tar, bedplate_packages::fuzz::deb_data),
    target("packages_deb_index", Shape::Text, bedplate_packages::fuzz::deb_index),
    target("packages_deb_payload", Shape::Bytes, bedplate_packages::fuzz::deb_payload),
    target("packages_deb_relation", Shape::Text, bedplate_packages::fuzz::deb_relation),
    target("packages_deb_release", Shape::Text, bedplate_packages::fuzz::deb_release),
    target("packages_deb_solve", Shape::Text, bedplate_packages::fuzz::deb_solve),
    target("packages_deb_sources", Shape::Text, bedplate_packages::fuzz::deb_sources),
    target("packages_deb_version", Shape::Text, bedplate_packages::fuzz::deb_version),
    target("packages_dpkg_texts", Shape::Text, bedplate_packages::fuzz::dpkg_texts),
    target("run_program", Shape::Bytes, bedplate_run::fuzz::program),
    target("run_seccomp", Shape::Text, bedplate_run::fuzz::seccomp),
    target("run_users", Shape::Text, bedplate_run::fuzz::users),
    target("run_words", Shape::Text, bedplate_run::fuzz::words),
    target("store_archive_link", Shape::Text, bedplate_store::fuzz::archive_link),
    target("store_container_state", Shape::Text, bedplate_store::fuzz::container_state),
    target("store_docker_manifest", Shape::Text, bedplate_store::fuzz::docker_manifest),
    target("store_format", Shape::Text, bedplate_store::fuzz::format),
    target("store_index_json", Shape::Text, bedplate_store::fuzz::index_json),
    target("sys_id_files", Shape::Text, bedplate_sys::fuzz::id_files),
    target("sys_mountinfo", Shape::Text, bedplate_sys::fuzz::mountinfo),
    target("template_table", Shape::Text, bedplate_template::fuzz::table),
    target("template_template", Shape::Text, bedplate_template::fuzz::template),
    target("trust_cleartext", Shape::Text, bedplate_trust::fuzz::cleartext),
    target("trust_detached", Shape::Bytes, bedplate_trust::fuzz::detached),
    target("trust_keyring", Shape::Bytes, bedplate_trust::fuzz::keyring),
];

const fn target(name: &'static str, shape: Shape, run: fn(&[u8])) -> Target {
    Target { name, shape, run }
}

/// Finds a target by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
