//! Distributions: what their archives, suites and defaults are; one data file each.
