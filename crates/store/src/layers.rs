//! Layers by diff ID.

use bedplate_oci::DiffId;

use crate::error::StoreError;
use crate::open::Store;

impl Store {
    /// Tells whether a layer is here or in the fallback, in any form.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn has_layer(&self, diff_id: &DiffId) -> Result<bool, StoreError> {
        self.has_blob(&diff_id.0)
    }
}
