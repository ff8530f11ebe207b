//! OCI and Docker image types: digests, descriptors, manifests, configs, references, platforms.
#![forbid(unsafe_code)]
