//! What tests share: generated root filesystems, archives, static programs, clocks and oracles.
