//! Makes the inputs: input number `n` of a corpus, by a handful of edits to one or two of its seeds.

use bedplate_testkit::Random;

use crate::targets::Shape;

/// Longest input made, in bytes: parsers that break do so on short inputs, and short inputs run faster.
pub const MAX_INPUT: usize = 256 * 1024;

/// Bytes of a tar block.
const BLOCK: usize = 512;

/// Where the checksum stands in a tar header.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Words that parsers of text treat apart.
const WORDS: &[&str] = &[
    "FROM ",
    "RUN ",
    "COPY ",
    "ADD ",
    "ARG ",
    "ENV ",
    "LABEL ",
    "ONBUILD ",
    "HEALTHCHECK ",
    "SHELL ",
    "--from=",
    "--chmod=",
    "--mount=",
    "<<EOF",
    "<<-'EOF'",
    "EOF\n",
    "# escape=`\n",
    "# syntax=",
    "\\\n",
    "`\n",
    "${",
    "}",
    ":-",
    ":+",
    "$$",
    "[\"",
    "\"]",
    "\"",
    "'",
    "\\",
    "#",
    "{{",
    "}}",
    "{{-",
    "-}}",
    "range",
    "end",
    "else",
    "if",
    "with",
    "index ",
    "|",
    ":=",
    "$",
    ".",
    "..",
    "/",
    "//",
    "*",
    "**",
    "?",
    "[",
    "]",
    "!",
    "null",
    "true",
    "{",
    "}",
    ":",
    ",",
    "sha256:",
    "@",
    "latest",
    "1e999",
    "-1",
    "18446744073709551616",
    "9223372036854775807",
    "\0",
    "\u{feff}",
    "\r\n",
    "\t",
    " ",
    "\n",
    "\u{e9}",
    "\u{1f9f1}",
];

/// Numbers at the edges of fields.
const EDGES: &[u64] = &[0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX >> 1, u64::MAX];

/// Values for the text fields of a tar header.
const TAR_FIELDS: &[&str] = &[
    "00000000000",
    "77777777777",
    "00000001000",
    "-1",
    "\u{80}",
    "",
    "../x",
    "/abs",
    ".wh.x",
    ".wh..wh..opq",
    ".wh.",
    "a/b/../c",
    "./",
    "ustar\u{0}00",
    "ustar  \u{0}",
    "SCHILY.xattr.user.a=b\n",
    "30 mtime=1234567890.123456789\n",
    "99999 path=x\n",
    "0 path=x\n",
    "GNU.sparse.major=1\n",
    "GNU.sparse.map=0,1,5,9\n",
    "19 GNU.sparse.map=",
    "size=",
];

/// Start and length of the fields of a tar header, the flag of its type last.
const TAR_PLACES: &[(usize, usize)] = &[
    (0, 100),
    (100, 8),
    (108, 8),
    (116, 8),
    (124, 12),
    (136, 12),
    (157, 100),
    (257, 8),
    (265, 32),
    (297, 32),
    (329, 8),
    (337, 8),
    (345, 155),
    (156, 1),
];

/// Gives input number `number` of the row that belongs to `seed`.
///
/// The first inputs are the seeds themselves, then come mutations; an empty corpus mutates nothing into something.
#[must_use]
pub fn input(corpus: &[Vec<u8>], shape: Shape, seed: u64, number: u64) -> Vec<u8> {
    if let Some(kept) = usize::try_from(number).ok().and_then(|at| corpus.get(at)) {
        return kept.clone();
    }
    // Neighbours differ in few bits of the state: a multiplication spreads them over all.
    let mut random = Random::new(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
    random.number();
    let mut data = pick(&mut random, corpus);
    let other = pick(&mut random, corpus);
    for _ in 0..=below(&mut random, 6) {
        edit(&mut data, &other, shape, &mut random);
    }
    data.truncate(MAX_INPUT);
    if shape == Shape::Tar && !random.one_in(8) {
        repair_checksums(&mut data);
    }
    data
}

fn edit(data: &mut Vec<u8>, other: &[u8], shape: Shape, random: &mut Random) {
    let at = below(random, data.len() + 1);
    match (shape, below(random, 14)) {
        (Shape::Tar, 8..=10) => tar_field(data, random),
        (Shape::Tar, 11) => tar_blocks(data, other, random),
        (Shape::Text, 8..=11) => {
            let word = *random.pick(WORDS);
            replace(data, at..at, word.as_bytes());
        }
        (_, 0) => flip(data, random),
        (_, 1) => {
            if let Some(byte) = data.get_mut(at) {
                *byte = random.number() as u8;
            }
        }
        (_, 2) => {
            let extra: Vec<u8> = (0..=below(random, 8)).map(|_| random.number() as u8).collect();
            replace(data, at..at, &extra);
        }
        (_, 3) => {
            let end = (at + 1 + below(random, 16)).min(data.len());
            replace(data, at..end, &[]);
        }
        (_, 4) => data.truncate(at),
        (_, 5) => {
            let from = below(random, other.len());
            let end = (from + 1 + below(random, 64)).min(other.len());
            let piece = other.get(from..end).unwrap_or_default().to_vec();
            let until = (at + below(random, piece.len() + 1)).min(data.len());
            replace(data, at..until, &piece);
        }
        (_, 6) => number(data, at, random),
        (_, 7) => {
            let end = (at + 1 + below(random, 128)).min(data.len());
            let piece = data.get(at..end).unwrap_or_default().to_vec();
            let most = if random.one_in(16) { 512 } else { 3 };
            for _ in 0..=below(random, most) {
                if data.len() < MAX_INPUT {
                    replace(data, at..at, &piece);
                }
            }
        }
        (_, 12) => {
            // Digits are where sizes stand: make one larger.
            if let Some(byte) = data.iter_mut().skip(at).find(|byte| byte.is_ascii_digit()) {
                *byte = b'0' + (random.number() % 10) as u8;
            }
        }
        _ => {
            let from = below(random, other.len() + 1);
            data.truncate(at);
            data.extend_from_slice(other.get(from..).unwrap_or_default());
        }
    }
}

/// A place below `end`; 0 when there is none.
fn below(random: &mut Random, end: usize) -> usize {
    random.below(end as u64) as usize
}

/// One of the seeds; nothing of an empty corpus.
fn pick(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    if corpus.is_empty() { Vec::new() } else { random.pick(corpus).clone() }
}

fn replace(data: &mut Vec<u8>, range: std::ops::Range<usize>, with: &[u8]) {
    data.splice(range, with.iter().copied());
}

fn flip(data: &mut [u8], random: &mut Random) {
    let at = below(random, data.len());
    let bit = below(random, 8);
    if let Some(byte) = data.get_mut(at) {
        *byte ^= 1 << bit;
    }
}

/// Writes a number from the edges, in 1 to 8 bytes of either order, or as digits.
fn number(data: &mut Vec<u8>, at: usize, random: &mut Random) {
    let value = *random.pick(EDGES);
    if random.one_in(3) {
        let digits = if random.one_in(2) { format!("{value}") } else { format!("{value:o}") };
        let end = (at + digits.len()).min(data.len());
        replace(data, at..end, digits.as_bytes());
        return;
    }
    let width = 1 << below(random, 4);
    let bytes: Vec<u8> = if random.one_in(2) {
        value.to_le_bytes().into_iter().take(width).collect()
    } else {
        value.to_be_bytes().into_iter().skip(8 - width).collect()
    };
    let end = (at + width).min(data.len());
    replace(data, at..end, &bytes);
}

/// Changes one field of one header-sized block.
fn tar_field(data: &mut [u8], random: &mut Random) {
    let block = below(random, data.len() / BLOCK) * BLOCK;
    let (start, length) = *random.pick(TAR_PLACES);
    let Some(field) = data.get_mut(block + start..block + start + length) else { return };
    if length == 1 {
        let flags = b"01234567gxLKSNVADM\0 ";
        field[0] = *random.pick(flags);
        return;
    }
    let value = random.pick(TAR_FIELDS).as_bytes();
    field.fill(0);
    let fits = value.len().min(length);
    field[..fits].copy_from_slice(&value[..fits]);
}

/// Drops, doubles or brings in whole blocks.
fn tar_blocks(data: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = below(random, data.len() / BLOCK + 1) * BLOCK;
    let end = (at + BLOCK).min(data.len());
    if at > end {
        return;
    }
    let from = below(random, other.len() / BLOCK) * BLOCK;
    let block = other.get(from..from + BLOCK).unwrap_or_default().to_vec();
    match below(random, 3) {
        0 => replace(data, at..end, &[]),
        1 => replace(data, at..at, &block),
        _ => replace(data, at..end, &block),
    }
}

/// Makes the checksum of every block that looks like a header true again.
fn repair_checksums(data: &mut [u8]) {
    for block in data.chunks_exact_mut(BLOCK) {
        let digits = block[CHECKSUM].iter().filter(|byte| (b'0'..=b'7').contains(byte)).count();
        if digits < 4 {
            continue;
        }
        block[CHECKSUM].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        let text = format!("{sum:06o}\0 ");
        block[CHECKSUM].copy_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_depends_on_its_number_alone() {
        let corpus = vec![b"FROM scratch\nCOPY a b\n".to_vec(), b"ARG x=1\n".to_vec()];
        assert_eq!(input(&corpus, Shape::Text, 1, 0), corpus[0]);
        assert_eq!(input(&corpus, Shape::Text, 1, 1), corpus[1]);
        let mut changed = 0;
        for number in 2..200 {
            let made = input(&corpus, Shape::Text, 1, number);
            assert_eq!(made, input(&corpus, Shape::Text, 1, number));
            changed += usize::from(!corpus.contains(&made));
        }
        assert!(changed > 150, "{changed} of 198 differ from the corpus");
    }

    #[test]
    fn an_empty_corpus_and_empty_seeds_are_mutated_too() {
        for shape in [Shape::Bytes, Shape::Text, Shape::Tar] {
            for corpus in [vec![], vec![Vec::new()], vec![vec![0; 511]], vec![vec![b'7'; 1025]]] {
                for number in 0..2000 {
                    assert!(input(&corpus, shape, 3, number).len() <= MAX_INPUT);
                }
            }
        }
    }

    #[test]
    fn a_repaired_header_has_a_true_checksum() {
        let mut block = vec![0u8; BLOCK];
        block[0] = b'a';
        block[CHECKSUM].copy_from_slice(b"000000\0 ");
        repair_checksums(&mut block);
        // 'a' and eight blanks
        assert_eq!(&block[CHECKSUM], format!("{:06o}\0 ", 0x61 + 8 * 0x20).as_bytes());
    }
}
