//! A layer and what was said about it become an image.

use bedplate_dockerfile::{Escape, change};
use bedplate_image::elf;
use bedplate_image::instruction::config_change;
use bedplate_image::{ConfigEditor, Contents};
use bedplate_oci::{Created, History, ImageConfig, Platform, Reference, to_json};
use bedplate_store::{Image, Lease};
use bedplate_tree::{Timestamp, Tree};

use crate::{ImportError, Layer, SavedImage, Warning};

/// What the user says of the image.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Lines of a Dockerfile, carried out in order on an empty config.
    pub changes: Vec<String>,
    /// The remark of the one entry of the history.
    pub message: String,
    /// What the image runs on; taken from its own programs where it is not said.
    pub platform: Option<Platform>,
    /// When the image was made; the newest entry's time where it is not said.
    pub epoch: Option<Timestamp>,
    /// The names that shall lead to the image.
    pub names: Vec<Reference>,
}

impl Request {
    /// Looks whether all changes can be made, before anything is read that takes long.
    ///
    /// # Errors
    /// As [`assemble`], for a change.
    pub fn check(&self) -> Result<(), ImportError> {
        let mut editor = ConfigEditor::new(ImageConfig::new(Platform::host()));
        self.changes.iter().try_for_each(|line| change_config(&mut editor, line, &mut Vec::new()))
    }
}

/// An image that is in the store now.
#[derive(Debug)]
pub struct Imported {
    /// The image.
    pub image: Image,
    /// What its user may not expect.
    pub warnings: Vec<Warning>,
}

/// Makes an image of one layer and names it; `what` names the input in errors.
///
/// # Errors
/// A layer that is a saved image, entries that make no tree, a change that is none, or a store that cannot take it.
pub fn assemble(lease: &Lease, layer: &Layer, request: &Request, what: &str) -> Result<Imported, ImportError> {
    let as_tree = |source| ImportError::Tree { what: what.to_owned(), source };
    let delta = layer.index.delta().map_err(|error| as_tree(Box::new(error)))?;
    let mut tree = Tree::new();
    tree.apply(&delta).map_err(|error| as_tree(Box::new(error)))?;
    if let Some(form) = SavedImage::detect(&tree) {
        return Err(ImportError::Saved { what: what.to_owned(), form });
    }

    let mut warnings = Vec::new();
    if let Some(root) = layer.mended {
        let diff_id = layer.diff_id();
        warnings.push(Warning::RootMended { mode: root.mode, uid: root.uid, gid: root.gid, diff_id });
    }
    match layer.index.duplicates() {
        0 => {}
        count => warnings.push(Warning::Duplicates { count }),
    }

    // The layer's stream is needed for the first bytes of one program only.
    lease.put_layer_index(&layer.index)?;
    lease.put_layer_variant(&layer.diff_id(), &layer.descriptor)?;
    let platform = platform(&tree, &lease.store().contents(), request, &mut warnings);

    let mut editor = ConfigEditor::new(ImageConfig::new(platform));
    for line in &request.changes {
        change_config(&mut editor, line, &mut warnings)?;
    }
    let created = request.epoch.or(layer.index.newest()).unwrap_or(Timestamp::ZERO);
    let created = Some(Created::new(created.seconds, created.nanoseconds));
    editor.config_mut().created = created;
    editor.add_layer(layer.diff_id(), History { created, comment: request.message.clone(), ..History::default() });

    let config = to_json(&editor.finish());
    let image = lease.add_new_image(&config, vec![layer.descriptor.clone()], [], &request.names)?;
    Ok(Imported { image, warnings })
}

fn platform(tree: &Tree, contents: &dyn Contents, request: &Request, warnings: &mut Vec<Warning>) -> Platform {
    let found = elf::platform_of(tree, contents);
    match (&request.platform, found) {
        (Some(asked), Some(found)) => {
            if !asked.matches(&found) {
                warnings.push(Warning::PlatformDiffers { asked: asked.clone(), found });
            }
            asked.clone()
        }
        (Some(asked), None) => asked.clone(),
        (None, Some(found)) => found,
        (None, None) => {
            let platform = Platform::host();
            // An archive without any entry runs everywhere: nothing was assumed that could be wrong.
            if !tree.inode(tree.root()).children().is_empty() {
                warnings.push(Warning::PlatformAssumed { platform: platform.clone() });
            }
            platform
        }
    }
}

fn change_config(editor: &mut ConfigEditor, line: &str, warnings: &mut Vec<Warning>) -> Result<(), ImportError> {
    let instruction = change::parse(line)?;
    let scope: Vec<(String, String)> = (editor.config().config.env.iter())
        .filter_map(|variable| variable.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    let translated = config_change(&instruction, Escape::Backslash, &scope)
        .map_err(|source| ImportError::Instruction { change: line.to_owned(), source })?;
    // `change::parse` lets through only what changes the config and nothing else.
    if let Some(translated) = translated {
        warnings.extend(
            (translated.undefined.into_iter()).map(|name| Warning::Undefined { name, change: line.to_owned() }),
        );
        editor.apply(translated.change);
    }
    Ok(())
}
