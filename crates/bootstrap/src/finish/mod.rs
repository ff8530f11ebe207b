//! What becomes of the root once all packages are configured: the styles.
