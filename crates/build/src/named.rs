//! Named contexts: what a name in FROM, COPY --from and mounts stands for besides stages and images of the store.

use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;

use bedplate_oci::Platform;
use bedplate_store::Image;

use crate::context::BuildContext;

/// What a name stands for.
#[derive(Debug, Clone)]
pub enum Named {
    /// Files: a directory, an archive, a commit.
    Files(Arc<BuildContext>),
    /// An image, which is in the store.
    Image(Arc<Image>),
}

/// Why a name does not lead to what it stands for.
pub type NamedError = Box<dyn Error + Send + Sync>;

/// Who knows names beyond stages and the store's images.
///
/// It is asked before the first step for all names that the Dockerfile holds, while the process has one thread, and once
/// for each; only what a trigger of a base names is asked for later.
pub trait NamedContexts: Debug + Sync {
    /// Finds what a name stands for; `None` where it is just a name. Never asked for `scratch` and `context`.
    ///
    /// # Errors
    /// Where the name is known, and what it stands for cannot be had.
    fn find(&self, name: &str, platform: Option<&Platform>) -> Result<Option<Named>, NamedError>;
}
