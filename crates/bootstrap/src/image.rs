//! A root becomes an image.

use std::io::Write;

use bedplate_image::layer::LayerError;
use bedplate_image::{ConfigEditor, Contents, write_gnu_tar, write_tree};
use bedplate_oci::{Created, History, ImageConfig, Platform, Reference, annotation, media_type, to_json};
use bedplate_store::{Image, Lease, StoreError};
use bedplate_tree::{Timestamp, Tree};
use thiserror::Error;

use crate::finish::Style;

/// A root cannot be made an image, or written as an archive.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The layer cannot be written.
    #[error("cannot write the layer")]
    Layer(#[source] LayerError),
    /// The store cannot take it.
    #[error("cannot store the image")]
    Store(#[source] StoreError),
    /// The root holds what no archive can.
    #[error("the root cannot be an archive: {what}")]
    LeftOut {
        /// What, and where.
        what: String,
    },
}

/// What is said of the image.
#[derive(Debug, Clone)]
pub struct About {
    /// What it runs on.
    pub platform: Platform,
    /// The time of the image: its epoch.
    pub created: Timestamp,
    /// `debian`.
    pub distribution: String,
    /// `trixie`.
    pub suite: String,
    /// `13`; `None` where nobody says.
    pub version: Option<String>,
    /// What was made, in words that depend on nothing but what is in the image: `required, style docker`.
    pub variant: String,
    /// The words of the command: `bash`, or nothing where the root has no shell.
    pub command: Vec<String>,
}

impl About {
    /// What the image says of itself. No version of this program, command line, path or mirror is among it.
    ///
    /// Spec: OCI image-spec v1.1, annotations.md.
    fn labels(&self) -> Vec<(String, String)> {
        let title = (annotation::TITLE.to_owned(), format!("{} {}", self.distribution, self.suite));
        let version = self.version.iter().map(|text| (annotation::VERSION.to_owned(), text.clone()));
        std::iter::once(title).chain(version).collect()
    }

    /// The same, with what the config says in a field of its own.
    fn annotations(&self) -> Vec<(String, String)> {
        let mut all = self.labels();
        all.push((annotation::CREATED.to_owned(), Created::new(self.created.seconds, 0).to_string()));
        all
    }
}

/// Stores the root as an image of one layer, and names it.
///
/// # Errors
/// [`ImageError`]; nothing is left in the store.
pub fn store_image(
    lease: &Lease,
    tree: &Tree,
    contents: &dyn Contents,
    about: &About,
    names: &[Reference],
) -> Result<Image, ImageError> {
    let mut writer = lease.unhashed_writer().map_err(ImageError::Store)?;
    let (written, left_out) = write_tree(tree, contents, &mut writer).map_err(ImageError::Layer)?;
    refuse(&left_out)?;
    let blob = writer.finish_as(written.diff_id.0, lease).map_err(ImageError::Store)?;
    let descriptor = blob.descriptor(media_type::LAYER);
    lease.put_layer_index(&written.index).map_err(ImageError::Store)?;
    let mut editor = ConfigEditor::new(ImageConfig::new(about.platform.clone()));
    let created = Some(Created::new(about.created.seconds, 0));
    editor.config_mut().created = created;
    editor.ensure_path();
    editor.config_mut().config.labels.extend(about.labels());
    if !about.command.is_empty() {
        editor.config_mut().config.cmd = Some(about.command.clone());
    }
    let said = format!("bootstrap {} {} ({})", about.distribution, about.suite, about.variant);
    editor.add_layer(written.diff_id, History { created, created_by: said, ..History::default() });
    let config = to_json(&editor.finish());
    lease.add_new_image(&config, vec![descriptor], about.annotations(), names).map_err(ImageError::Store)
}

/// Writes the root as a tar archive: as a layer, or in GNU tar's form where the style promises the bytes of one.
///
/// # Errors
/// [`ImageError`].
pub fn write_archive(tree: &Tree, contents: &dyn Contents, style: Style, sink: impl Write) -> Result<(), ImageError> {
    if style == Style::Debuerreotype {
        return write_gnu_tar(tree, contents, sink).map(drop).map_err(ImageError::Layer);
    }
    let (_, left_out) = write_tree(tree, contents, sink).map_err(ImageError::Layer)?;
    refuse(&left_out)
}

fn refuse(left_out: &[bedplate_tree::LeftOut]) -> Result<(), ImageError> {
    match left_out.first() {
        Some(left) => Err(ImageError::LeftOut { what: left.to_string() }),
        None => Ok(()),
    }
}
