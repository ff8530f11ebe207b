//! A stage being built: config, layers, and the tree that they amount to when somebody needs it.

use bedplate_image::layer::write_layer;
use bedplate_image::{ConfigEditor, ContentSources};
use bedplate_oci::{Descriptor, DiffId, Digest, History, media_type};
use bedplate_store::{Lease, Store};
use bedplate_tree::{Content, Delta, Timestamp, Tree, diff};

use crate::cache;
use crate::error::StepError;
use crate::history;
use crate::scope::{Arguments, StageScope};

/// What a stage is at some point of its Dockerfile.
#[derive(Debug, Clone)]
pub(crate) struct StageState {
    pub(crate) editor: ConfigEditor,
    /// The layers, the lowest first.
    pub(crate) layers: Vec<(DiffId, Descriptor)>,
    /// What the layers amount to; `None` until a step needs it.
    tree: Option<Tree>,
    /// No time of a new entry is later.
    pub(crate) epoch: Timestamp,
    pub(crate) arguments: Arguments,
    /// The image that the stage, or the one it is built on, begins with: its name and the digest of its manifest.
    pub(crate) base: Option<(String, Digest)>,
    /// Whether its steps are done anew, whatever the cache has.
    pub(crate) anew: bool,
    /// How many layers the base has.
    pub(crate) base_layers: usize,
}

impl StageState {
    pub(crate) fn new(editor: ConfigEditor, layers: Vec<(DiffId, Descriptor)>, epoch: Timestamp) -> Self {
        let tree = layers.is_empty().then(Tree::new);
        let base_layers = layers.len();
        Self { editor, layers, tree, epoch, arguments: Arguments::default(), base: None, anew: false, base_layers }
    }

    /// The beginning of a stage that is built on this one.
    pub(crate) fn child(&self) -> Self {
        // A CMD of this stage is inherited by the next: an ENTRYPOINT there forgets it.
        Self { editor: ConfigEditor::new(self.editor.config().clone()), ..self.clone() }
    }

    pub(crate) fn scope(&self) -> StageScope<'_> {
        StageScope { env: &self.editor.config().config.env, arguments: &self.arguments }
    }

    /// The variables as they are now, for words that are expanded while the stage changes.
    pub(crate) fn clone_scope(&self) -> Vec<(String, String)> {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let env = self.editor.config().config.env.iter().filter_map(|line| line.split_once('='));
        self.arguments.values().map(pair).chain(env.map(pair)).collect()
    }

    pub(crate) fn diff_ids(&self) -> Vec<DiffId> {
        self.layers.iter().map(|(diff_id, _)| *diff_id).collect()
    }

    /// The root filesystem as it is now.
    pub(crate) fn tree(&mut self, store: &Store) -> Result<&Tree, StepError> {
        let tree = match self.tree.take() {
            Some(tree) => tree,
            None => store.tree_of(&self.diff_ids())?,
        };
        Ok(self.tree.insert(tree))
    }

    /// Adds a layer that the cache had.
    pub(crate) fn add_cached(&mut self, diff_id: DiffId, layer: Descriptor, history: History) {
        self.tree = None;
        self.editor.add_layer(diff_id, history);
        self.layers.push((diff_id, layer));
    }

    /// Makes one layer of all above the base's. Steps keep their lines in the history, without a layer.
    pub(crate) fn squash(&mut self, contents: &ContentSources<'_>, lease: &Lease) -> Result<(), StepError> {
        let store = lease.store();
        let base = store.tree_of(&self.diff_ids()[..self.base_layers])?;
        let count = self.layers.len() - self.base_layers;
        // What lies in the same place is the same; the rest is in the layer.
        let differ = &mut |_: &Content, _: &Content| Ok::<_, std::convert::Infallible>(false);
        let Ok(found) = diff(&base, self.tree(store)?, differ);
        let mut writer = lease.unhashed_writer()?;
        let written = write_layer(&found.delta, contents, self.epoch, &mut writer)?;
        let blob = writer.finish_as(written.diff_id.0, lease)?;
        lease.put_layer_index(&written.index)?;
        self.editor.drop_layers_above(self.base_layers);
        self.layers.truncate(self.base_layers);
        let author = self.editor.config().author.clone();
        let mut step = history::entry(self.epoch, String::new(), &author);
        step.comment = format!("{count} layers squashed");
        self.editor.add_layer(written.diff_id, step);
        self.layers.push((written.diff_id, blob.descriptor(media_type::LAYER)));
        Ok(())
    }

    /// Writes a layer and adds it; `tree` is what the stage then is, where the caller knows.
    pub(crate) fn add_layer(
        &mut self,
        delta: &Delta,
        tree: Option<Tree>,
        history: History,
        key: &Digest,
        contents: &ContentSources<'_>,
        lease: &Lease,
    ) -> Result<(), StepError> {
        let mut writer = lease.unhashed_writer()?;
        let written = write_layer(delta, contents, self.epoch, &mut writer)?;
        let blob = writer.finish_as(written.diff_id.0, lease)?;
        lease.put_layer_index(&written.index)?;
        let layer = blob.descriptor(media_type::LAYER);
        lease.store().build_cache_put(key, &cache::entry_of(written.diff_id, &layer))?;
        // Contents of the tree may lie in a context that goes away; those of the layer stay. So the index is asked again.
        self.tree = match tree {
            Some(_) if delta.changes.is_empty() => tree,
            _ => None,
        };
        self.editor.add_layer(written.diff_id, history);
        self.layers.push((written.diff_id, layer));
        Ok(())
    }
}
