//! The near name for a misspelt one.

/// Names longer than this are not compared: the distance costs the product of the lengths.
const MAX_NAME: usize = 64;

/// Finds the candidate nearest to `word`, if one is near enough to be meant.
///
/// Upper and lower case do not count. At most a third of the letters, and at most three, may
/// differ, and never all of them.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > MAX_NAME {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= MAX_NAME)
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(steps, candidate)| {
            let letters = candidate.chars().count().max(word.chars().count());
            *steps <= 3.min(letters.div_ceil(3)) && *steps < letters
        })
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, candidate)| candidate)
}

/// Counts insertions, deletions, substitutions and swaps of neighbours between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    let mut table = vec![0_usize; (a.len() + 1) * width];
    for (j, cell) in table.iter_mut().take(width).enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        table[i * width] = i;
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (table[(i - 1) * width + j] + 1)
                .min(table[i * width + j - 1] + 1)
                .min(table[(i - 1) * width + j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(table[(i - 2) * width + j - 2] + 1);
            }
            table[i * width + j] = best;
        }
    }
    table.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let table = [
            ("RNU", Some("RUN")),
            ("form", Some("FROM")),
            ("entripoint", Some("ENTRYPOINT")),
            ("chwon", Some("chown")),
            ("zzzzz", None),
            ("z", None),
            ("a", None),
            ("", None),
        ];
        let names = ["FROM", "RUN", "ENTRYPOINT", "COPY", "chown", "chmod", "b"];
        for (word, expected) in table {
            assert_eq!(nearest(word, names), expected, "{word:?}");
        }
        let long = "x".repeat(MAX_NAME + 1);
        assert_eq!(nearest(&long, [long.as_str()]), None);
        let fits = "x".repeat(MAX_NAME);
        assert_eq!(nearest(&fits, [fits.as_str()]), Some(fits.as_str()));
    }
}
