//! The store: an OCI image layout with names, locks, snapshots, sweeps and archives.
#![forbid(unsafe_code)]
