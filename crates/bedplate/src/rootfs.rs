//! The root filesystem of an image or a container as a tree, for commands that look into it without unpacking it.

use bedplate_image::disk::DiskOwners;
use bedplate_image::{ContentSources, Marks, Prepared, Recorded, compare, read_upper};
use bedplate_store::{ContainerState, Store, StoreError};
use bedplate_sys::rooted::Root;
use bedplate_sys::userns;
use bedplate_tree::Tree;

use crate::context::Context;
use crate::failure::{Failure, Kind};

/// In a container's details: it was run in a user namespace.
pub(crate) const ROOTLESS: &str = "rootless";
/// In a container's details: that namespace had one ID only, so that owners on the disk say nothing.
pub(crate) const ONE_ID: &str = "one-id";
/// In a container's details: its upper side is no upper side, but the whole root.
pub(crate) const COPY: &str = "copy";

/// A root filesystem, and what its files' bytes are read from.
#[derive(Debug)]
pub(crate) struct Rootfs<'a> {
    /// What it holds.
    pub(crate) tree: Tree,
    /// Where the bytes are.
    pub(crate) contents: ContentSources<'a>,
}

impl<'a> Rootfs<'a> {
    /// That of a container or an image; containers are looked for first.
    ///
    /// # Errors
    /// Neither has that name; the store or the container's changes cannot be read.
    pub(crate) fn find(context: &Context, store: &'a Store, wanted: &str) -> Result<Self, Failure> {
        match store.find_container(wanted) {
            Ok(state) => Self::of_container(context, store, &state),
            Err(StoreError::NoSuchContainer { .. }) => {
                let image = store.resolve(wanted).map_err(|error| match &error {
                    StoreError::NoSuchImage { near, .. } if near.is_empty() => {
                        Failure::new(Kind::User, format!("no such image or container: {wanted}"))
                    }
                    _ => error.into(),
                })?;
                Ok(Self { tree: store.image_tree(&image)?, contents: store.contents() })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn of_container(context: &Context, store: &'a Store, state: &ContainerState) -> Result<Self, Failure> {
        let mut tree = store.tree_of(&state.layers)?;
        let mut contents = store.contents();
        let flag = |name: &str| state.details[name] == true;
        // What a rootless container changed belongs to subordinate IDs, which only its user namespace can read.
        if flag(ROOTLESS)
            && !userns::is_root()
            && let Err(error) = userns::become_root(&userns::Sources::default())
        {
            context.warn(&error);
        }
        let upper = store.root().join("containers").join(&state.id).join("upper");
        if state.started.is_some() && upper.is_dir() {
            let upper = Root::open(&upper)?;
            let owners = if flag(ONE_ID) { DiskOwners::One } else { DiskOwners::AsIs };
            let prepared = Prepared { owners, ..Prepared::default() };
            let difference = if flag(COPY) {
                compare(upper, &tree, &Recorded::default(), &mut contents, &prepared)?
            } else {
                let marks = if flag(ROOTLESS) { Marks::User } else { Marks::Trusted };
                read_upper(upper, &tree, &mut contents, marks, &prepared)?
            };
            tree.apply(&difference.delta)?;
        }
        Ok(Self { tree, contents })
    }
}
