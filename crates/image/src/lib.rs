//! Image views and edits: layers read, written, applied, unpacked and compared.
#![forbid(unsafe_code)]
