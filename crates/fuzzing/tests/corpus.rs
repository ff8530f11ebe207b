//! Every target over its corpus and a fixed number of mutations, as an ordinary test.

use bedplate_fuzzing::targets::TARGETS;
use bedplate_fuzzing::{corpus, mutate};

/// Mutations for each target: a second or so for all; `cargo xtask fuzz` runs by time.
const MUTATIONS: u64 = 300;

#[test]
fn every_target_holds_on_its_corpus_and_some_mutations() {
    for target in TARGETS {
        let seeds = corpus::read(&corpus::folder(), target.name).expect("the corpus is in the repository");
        assert!(!seeds.is_empty(), "{} has no seed in fuzz/corpus", target.name);
        for number in 0..seeds.len() as u64 + MUTATIONS {
            let data = mutate::input(&seeds, target.shape, 1, number);
            let run = std::panic::catch_unwind(|| (target.run)(&data));
            assert!(run.is_ok(), "{} breaks on input {number} of seed 1", target.name);
        }
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TARGETS.len());
}
