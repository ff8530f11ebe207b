//! Near names for a misspelt one.

/// How many names are offered.
const OFFERED: usize = 5;

/// The names nearest to `wanted`, nearest first, then by name: at most [`OFFERED`], none that is another word.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    // One slip in a short word, two in a longer one, three in a long one.
    let limit = match wanted.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    let folded = wanted.to_ascii_lowercase();
    // Of equally near ones those of the same letters come first: fingers swap more often than they miss.
    let letters = |word: &str| {
        let mut letters = word.as_bytes().to_vec();
        letters.sort_unstable();
        letters
    };
    let wanted = letters(&folded);
    let mut near: Vec<(usize, bool, &str)> = names
        .filter_map(|name| distance(&folded, name, limit).map(|distance| (distance, letters(name) != wanted, name)))
        .collect();
    near.sort_unstable();
    near.dedup();
    // Where one is near, farther ones are noise.
    let least = near.first().map_or(0, |(distance, ..)| *distance);
    near.into_iter()
        .take_while(|(distance, ..)| *distance <= least + usize::from(least == 0))
        .map(|(_, _, name)| name)
        .take(OFFERED)
        .collect()
}

/// The number of insertions, deletions, substitutions and swaps of neighbours between two words, if within `limit`.
fn distance(left: &str, right: &str, limit: usize) -> Option<usize> {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    // Names are ASCII; a wish that is not is compared by bytes, which is near enough for a hint.
    if left.len().abs_diff(right.len()) > limit || left.len() > NAME_COMPARED || right.len() > NAME_COMPARED {
        return None;
    }
    let mut older = [0usize; NAME_COMPARED + 1];
    let mut above = [0usize; NAME_COMPARED + 1];
    let mut row = [0usize; NAME_COMPARED + 1];
    for (column, cell) in above.iter_mut().enumerate().take(right.len() + 1) {
        *cell = column;
    }
    for (i, l) in left.iter().enumerate() {
        row[0] = i + 1;
        let mut least = row[0];
        for (j, r) in right.iter().enumerate() {
            let mut cell = (above[j] + usize::from(l != r)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *l == right[j - 1] && left[i - 1] == *r {
                cell = cell.min(older[j - 1] + 1);
            }
            row[j + 1] = cell;
            least = least.min(cell);
        }
        if least > limit {
            return None;
        }
        (older, above, row) = (above, row, older);
    }
    Some(above[right.len()]).filter(|distance| *distance <= limit)
}

/// Longer names are not compared; the longest real one has some 80 bytes.
const NAME_COMPARED: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names() {
        const NAMES: &[&str] = &[
            "curl",
            "crun",
            "cargo",
            "ca-certificates",
            "ca-certificates-java",
            "python3",
            "python3.11",
            "nginx",
            "ngircd",
        ];
        for (wanted, expected) in [
            ("crul", "curl crun"),
            ("CURL", "curl"),
            ("curl2", "curl"),
            ("ca-certificate", "ca-certificates"),
            ("pyhton3", "python3"),
            ("ngnix", "nginx"),
            ("systemd", ""),
            ("", ""),
        ] {
            assert_eq!(nearest(wanted, NAMES.iter().copied()).join(" "), expected, "{wanted}");
        }
    }
}
