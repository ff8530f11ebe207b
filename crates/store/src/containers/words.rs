//! Names for containers that nobody named.

const FIRST: [&str; 32] = [
    "amber", "ancient", "banded", "bright", "calm", "coarse", "cold", "crystal", "dark", "deep", "dense", "dry",
    "dusty", "even", "fine", "folded", "glassy", "grey", "hidden", "layered", "level", "light", "old", "pale",
    "polished", "quiet", "rough", "silver", "smooth", "soft", "solid", "steep",
];

const SECOND: [&str; 32] = [
    "agate",
    "basalt",
    "beryl",
    "boulder",
    "canyon",
    "chalk",
    "chert",
    "cliff",
    "clay",
    "dolomite",
    "dune",
    "feldspar",
    "flint",
    "garnet",
    "gneiss",
    "granite",
    "gravel",
    "jasper",
    "ledge",
    "marble",
    "mesa",
    "mica",
    "obsidian",
    "onyx",
    "opal",
    "pebble",
    "pumice",
    "quartz",
    "ridge",
    "sandstone",
    "schist",
    "slate",
];

/// A name of two words, chosen by random bytes; with a number once several were taken.
pub(super) fn name(random: &[u8], attempt: usize) -> String {
    let pick = |words: &[&'static str; 32], bytes: &[u8]| {
        let sum = bytes.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        words.get(sum % words.len()).copied().unwrap_or("plain")
    };
    let (a, b) = random.split_at(random.len() / 2);
    match attempt {
        0..4 => format!("{}_{}", pick(&FIRST, a), pick(&SECOND, b)),
        _ => format!("{}_{}{}", pick(&FIRST, a), pick(&SECOND, b), attempt),
    }
}
