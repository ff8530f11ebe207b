//! What stages begin with: nothing, a stage, an image, a named context.

use std::sync::Arc;

use bedplate_image::ConfigEditor;
use bedplate_oci::{ImageConfig, Platform, Reference, SCRATCH};
use bedplate_store::Image;
use bedplate_tree::{Timestamp, Tree};

use crate::build::Build;
use crate::cache::KeyBuilder;
use crate::context::BuildContext;
use crate::error::StepError;
use crate::executor::Executor;
use crate::named::Named;
use crate::plan;
use crate::stage::StageState;

/// Names that never stand for a context. Spec: SEMANTICS of BuildKit's named contexts.
const NEVER_NAMED: [&str; 2] = [SCRATCH, "context"];

/// Keys of a config that speak of the container in which another builder made the image.
const FOREIGN_KEYS: [&str; 3] = ["container", "container_config", "docker_version"];

/// What a stage begins with.
#[derive(Debug, Clone)]
pub(crate) enum Base {
    Scratch,
    Stage(usize),
    Image {
        name: String,
        platform: Option<Platform>,
    },
    /// What was given for the name; `whole` if it stands in for the stage itself, which then has no instructions.
    Named {
        name: String,
        named: Named,
        whole: bool,
    },
}

impl Build<'_> {
    /// Finds out what a stage begins with.
    pub(crate) fn base(&self, index: usize) -> Result<Base, StepError> {
        let file = self.request.dockerfile;
        let stage = &file.stages[index];
        if let Some(name) = stage.name()
            && let Some(named) = self.named(name.as_str(), self.request.platform.as_ref())?
        {
            return Ok(Base::Named { name: name.as_str().to_owned(), named, whole: true });
        }
        let escape = file.directives.escape();
        let name = self.word(&stage.from.image, escape, &self.globals)?;
        if name.is_empty() {
            return Err(StepError::EmptyBase { word: stage.from.image.as_str().to_owned() });
        }
        let platform = match &stage.from.platform {
            None => self.request.platform.clone(),
            Some(word) => {
                let text = self.word(word, escape, &self.globals)?;
                match text.as_str() {
                    "" => self.request.platform.clone(),
                    _ => Some(text.parse().map_err(|_| StepError::Platform { text })?),
                }
            }
        };
        if name == SCRATCH {
            return Ok(Base::Scratch);
        }
        let is_named =
            |other: &usize| file.stages[*other].name().is_some_and(|known| known.as_str() == name.to_lowercase());
        if let Some(other) = (0..index).rev().find(is_named) {
            return Ok(Base::Stage(other));
        }
        if let Some(named) = self.named(&name, platform.as_ref())? {
            return Ok(Base::Named { name, named, whole: false });
        }
        Ok(Base::Image { name, platform })
    }

    /// What a name was given for; asked for once.
    pub(crate) fn named(&self, name: &str, platform: Option<&Platform>) -> Result<Option<Named>, StepError> {
        let Some(contexts) = self.request.contexts.filter(|_| !NEVER_NAMED.contains(&name)) else { return Ok(None) };
        let key = (name.to_owned(), platform.cloned());
        let mut known = self.known_names();
        if let Some(named) = known.get(&key) {
            return Ok(named.clone());
        }
        let failed = |source| StepError::Named { name: name.to_owned(), source };
        let named = contexts.find(name, platform).map_err(failed)?;
        known.insert(key, named.clone());
        Ok(named)
    }

    /// An image of the store.
    pub(crate) fn image(&self, name: &str, platform: Option<&Platform>, before: usize) -> Result<Image, StepError> {
        self.store.resolve_for(name, platform).map_err(|source| StepError::Image {
            name: name.to_owned(),
            near: self.request.dockerfile.nearest_stage(name, before).map(str::to_owned),
            source,
        })
    }
}

impl Executor<'_, '_> {
    /// The state that a stage begins in, and whether that is all that there is to it.
    pub(crate) fn begin(&mut self, index: usize) -> Result<(StageState, bool), StepError> {
        let build = self.build;
        let base = match build.bases.get(index) {
            Some(Some(base)) => base.clone(),
            _ => build.base(index)?,
        };
        let mut whole = false;
        let mut state = match base {
            Base::Scratch => self.scratch(),
            Base::Stage(other) => {
                self.needs(other)?;
                build.stages.done(other, |state| Ok(state.child()))?
            }
            Base::Image { name, platform } => {
                let image = build.image(&name, platform.as_ref(), index)?;
                self.on_image(&name, &image)?
            }
            Base::Named { name, named: Named::Image(image), whole: all } => {
                whole = all;
                self.on_image(&name, &image)?
            }
            Base::Named { name, named: Named::Files(context), whole: all } => {
                whole = all;
                self.on_files(&name, &context)?
            }
        };
        let label = plan::label(index, &build.request.dockerfile.stages[index]);
        state.anew = build.request.no_cache || build.request.no_cache_filter.contains(&label);
        Ok((state, whole))
    }

    fn scratch(&self) -> StageState {
        let mut config = ImageConfig::new(self.build.platform.clone());
        config.config.working_dir = "/".to_owned();
        let mut editor = ConfigEditor::new(config);
        editor.ensure_path();
        StageState::new(editor, Vec::new(), self.build.request.epoch.unwrap_or(Timestamp::ZERO))
    }

    fn on_image(&self, name: &str, image: &Image) -> Result<StageState, StepError> {
        let mut config = image.config.clone();
        FOREIGN_KEYS.iter().for_each(|key| {
            config.other.shift_remove(*key);
        });
        let created = config.created.map(|time| Timestamp { seconds: time.seconds(), nanoseconds: time.nanoseconds() });
        let epoch = self.build.request.epoch.or(created).unwrap_or(Timestamp::ZERO);
        let mut editor = ConfigEditor::new(config);
        editor.ensure_path();
        for diff_id in image.diff_ids() {
            self.build.lease.pin_layer(diff_id)?;
        }
        let layers = image.layers().map(|(diff_id, layer)| (diff_id, layer.clone())).collect();
        let mut state = StageState::new(editor, layers, epoch);
        let name = Reference::parse(name).map_or_else(|_| name.to_owned(), |name| name.to_string());
        state.base = Some((name, image.descriptor.digest));
        Ok(state)
    }

    /// All files of a context as one layer on nothing.
    fn on_files(&mut self, name: &str, context: &Arc<BuildContext>) -> Result<StageState, StepError> {
        let mut state = self.scratch();
        let tree = context.view(None, &mut self.contents, &self.build.streams)?.tree;
        let mut key = KeyBuilder::new("context", &[], state.epoch);
        self.key_of_tree(&mut key, &tree, &bedplate_tree::TreePath::root(), &Default::default())?;
        let text = format!("FROM {name} # files");
        self.layer(&mut state, key.finish(), text, |this, state| {
            let mut tree = tree;
            at_epoch(&mut tree, state.epoch);
            Ok(this.changes(&Tree::new(), &tree, bedplate_dockerfile::Position::START))
        })?;
        Ok(state)
    }
}

/// The times of a context's files are no input of a build.
pub(crate) fn at_epoch(tree: &mut Tree, epoch: Timestamp) {
    let all: Vec<_> = tree.walk().map(|(_, id)| id).collect();
    for id in all {
        tree.metadata_mut(id).mtime = epoch;
    }
}
