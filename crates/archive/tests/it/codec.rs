//! Compression: there and back, the same bytes always, the tools of others, and damage.

use std::io::{self, Read, Write};
use std::process::Stdio;

use bedplate_archive::codec::{CodecError, Compression, Decoder, EncodeOptions, Encoder, Expansion};
use bedplate_archive::hash::StreamHasher;
use bedplate_testkit::{Random, oracle, skip};

const FORMATS: [Compression; 4] = [Compression::Gzip, Compression::Bzip2, Compression::Xz, Compression::Zstd];

/// Bytes that compress by about a half.
fn sample(length: usize) -> Vec<u8> {
    let mut random = Random::new(length as u64);
    let mut bytes = Vec::with_capacity(length + 64);
    while bytes.len() < length {
        match random.below(3) {
            0 => bytes.extend_from_slice(&random.bytes(40)),
            1 => bytes.extend_from_slice(b"/usr/share/doc/something/copyright\n"),
            _ => bytes.extend(std::iter::repeat_n(b' ', random.below(50) as usize)),
        }
    }
    bytes.truncate(length);
    bytes
}

fn encode(bytes: &[u8], compression: Compression, workers: u32, step: usize) -> Vec<u8> {
    encode_at(None, bytes, compression, workers, step)
}

fn encode_at(level: Option<u32>, bytes: &[u8], compression: Compression, workers: u32, step: usize) -> Vec<u8> {
    let options = EncodeOptions { level, workers };
    let mut encoder = Encoder::new(Vec::new(), compression, options).unwrap();
    for (index, piece) in bytes.chunks(step).enumerate() {
        encoder.write_all(piece).unwrap();
        if index % 3 == 0 {
            encoder.flush().unwrap();
        }
    }
    encoder.finish().unwrap()
}

fn decode(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut decoded = Vec::new();
    Decoder::new(bytes)?.read_to_end(&mut decoded)?;
    Ok(decoded)
}

fn codec_error(error: io::Error) -> CodecError {
    *error.into_inner().expect("an error of the codec").downcast().expect("an error of the codec")
}

#[test]
fn there_and_back() {
    for length in [0, 1, 511, 70_000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20] {
        let bytes = sample(length);
        for compression in FORMATS {
            let encoded = encode(&bytes, compression, 1, usize::MAX);
            assert_eq!(Compression::detect(&encoded), compression);
            let mut decoder = Decoder::new(&encoded[..]).unwrap();
            let mut decoded = Vec::new();
            decoder.read_to_end(&mut decoded).unwrap();
            assert!(decoded == bytes, "{compression} {length}");
            assert_eq!((decoder.input_count(), decoder.output_count()), (encoded.len() as u64, length as u64));
        }
        assert!(decode(&bytes).unwrap() == bytes);
    }
}

#[test]
fn neither_workers_nor_writes_nor_flushes_change_the_bytes() {
    // More than one of each format's own blocks; level 1 and repetitions, since the time goes into searching matches.
    let bytes = sample(600_000).repeat(45);
    for (compression, ways) in [
        (Compression::Gzip, &[(1, 4096), (2, 300_001), (8, usize::MAX)][..]),
        (Compression::Bzip2, &[(1, 300_001)]),
        (Compression::Xz, &[(2, 300_001), (8, usize::MAX)]),
        (Compression::Zstd, &[(1, 4096), (2, 300_001), (8, usize::MAX)]),
    ] {
        let reference = encode_at(Some(1), &bytes, compression, 1, usize::MAX);
        for &(workers, step) in ways {
            let found = encode_at(Some(1), &bytes, compression, workers, step);
            assert!(found == reference, "{compression} {workers} {step}");
        }
    }
}

#[test]
fn the_bytes_are_the_same_as_ever() {
    let bytes = sample(3 << 20);
    // A change of one of these is a change of compressed digests: a new pinned version of an encoder.
    let pinned = [
        (Compression::Gzip, "62a34e29b4d8127f"),
        (Compression::Bzip2, "54821bd2371ffbbb"),
        (Compression::Xz, "7e2602cbea52e7d3"),
        (Compression::Zstd, "6c4ca7b4d6171768"),
    ];
    let found = pinned.map(|(compression, _)| {
        let mut hasher = StreamHasher::new();
        hasher.update(&encode(&bytes, compression, 1, usize::MAX));
        let hex: String = hasher.finish()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        (compression, hex)
    });
    assert_eq!(found, pinned.map(|(compression, hex)| (compression, hex.to_owned())));
}

#[test]
fn gzip_has_one_member_without_time_and_name() {
    let encoded = encode(&sample(3 << 20), Compression::Gzip, 1, usize::MAX);
    assert_eq!(encoded[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
    let mut decoded = Vec::new();
    flate2_first_member(&encoded, &mut decoded);
    assert_eq!(decoded.len(), 3 << 20, "a reader of the first member only sees everything");
}

/// Decodes one member, as readers do that stop there.
fn flate2_first_member(encoded: &[u8], decoded: &mut Vec<u8>) {
    flate2::read::GzDecoder::new(encoded).read_to_end(decoded).unwrap();
}

#[test]
fn parts_in_a_row_are_joined() {
    for compression in FORMATS {
        let (a, b) = (sample(100_000), sample(50_000));
        let parts = [
            encode(&a, compression, 1, usize::MAX),
            encode(b"", compression, 1, 1),
            encode(&b, compression, 1, usize::MAX),
        ];
        assert!(decode(&parts.concat()).unwrap() == [a, b].concat(), "{compression}");
    }
    // Padding between xz streams, in multiples of four.
    let part = encode(b"text", Compression::Xz, 1, 10);
    assert_eq!(decode(&[&part[..], &[0; 8], &part, &[0; 4]].concat()).unwrap(), b"texttext");
    assert!(decode(&[&part[..], &[0; 7], &part].concat()).is_err());
    // A skippable frame before, between and after.
    let part = encode(b"text", Compression::Zstd, 1, 10);
    let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
    assert_eq!(decode(&[&skippable[..], &part, skippable, &part, skippable].concat()).unwrap(), b"texttext");
}

#[test]
fn every_cut_is_called_truncated() {
    let bytes = sample(3000);
    for compression in FORMATS {
        let encoded = encode(&bytes, compression, 1, usize::MAX);
        for cut in 0..encoded.len() {
            let mut decoder = Decoder::with_compression(&encoded[..cut], compression).unwrap();
            let error = io::copy(&mut decoder, &mut io::sink()).expect_err("truncated");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{compression} cut at {cut}: {error}");
            match codec_error(error) {
                CodecError::Truncated { input, .. } => assert_eq!(input, cut as u64, "{compression}"),
                other => panic!("{compression} cut at {cut}: {other}"),
            }
        }
    }
}

#[test]
fn damage_and_trailing_garbage_are_errors() {
    let bytes = sample(200_000);
    for compression in FORMATS {
        let encoded = encode(&bytes, compression, 1, usize::MAX);
        let mut damaged = encoded.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        damaged[middle + 1] ^= 0xff;
        let error = codec_error(decode(&damaged).expect_err("corrupt"));
        assert!(matches!(error, CodecError::Corrupt { .. }), "{compression}: {error}");
        let trailing = [&encoded[..], b"this is not another member of the stream"].concat();
        let error = codec_error(decode(&trailing).expect_err("trailing garbage"));
        assert!(matches!(error, CodecError::Corrupt { .. }), "{compression}: {error}");
    }
}

#[test]
fn a_source_that_fails_is_not_called_corrupt() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the network is gone"))
        }
    }
    let bytes = sample(1_000_000);
    for compression in FORMATS {
        let encoded = encode(&bytes, compression, 1, usize::MAX);
        let mut decoder = Decoder::new((&encoded[..encoded.len() / 2]).chain(Failing)).unwrap();
        let error = io::copy(&mut decoder, &mut io::sink()).unwrap_err();
        assert_eq!(error.to_string(), "the network is gone", "{compression}");
    }
}

#[test]
fn expansion_is_bounded_on_both_sides() {
    let zeros = vec![0; 1 << 20];
    for compression in FORMATS {
        let encoded = encode(&zeros, compression, 1, usize::MAX);
        let run = |expansion| {
            let mut decoder = Decoder::new(&encoded[..]).unwrap().expansion(expansion);
            io::copy(&mut decoder, &mut io::sink()).map_err(codec_error)
        };
        let ratio = (zeros.len() / encoded.len()) as u64;
        let free = Expansion { output: u64::MAX, ratio: u64::MAX, floor: 0 };
        assert!(run(Expansion { output: 1 << 20, ..free }).is_ok());
        assert!(matches!(run(Expansion { output: (1 << 20) - 1, ..free }), Err(CodecError::TooLarge { .. })));
        assert!(run(Expansion { ratio: 1, floor: 1 << 20, ..free }).is_ok());
        assert!(matches!(run(Expansion { ratio: ratio / 2, floor: 1 << 19, ..free }), Err(CodecError::Ratio { .. })));
    }
    let mut plain = Decoder::new(&zeros[..]).unwrap().expansion(Expansion { output: 100, ratio: 1, floor: 0 });
    assert!(matches!(codec_error(io::copy(&mut plain, &mut io::sink()).unwrap_err()), CodecError::TooLarge { .. }));
}

/// Runs a tool as a filter; `None` and a counted skip where it is not installed.
fn filter(test: &str, tool: &str, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    if oracle::find(tool).is_none() {
        skip::note(test, &format!("{tool} is not installed"));
        return None;
    }
    let mut child = oracle::command(tool).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{tool} {arguments:?} fails");
    Some(output.stdout)
}

#[test]
fn tools_read_what_we_write() {
    let bytes = sample(3 << 20);
    for compression in FORMATS {
        let encoded = encode(&bytes, compression, 2, usize::MAX);
        let test = "archive::tools_read_what_we_write";
        if let Some(decoded) = filter(test, compression.name(), &["-dc"], &encoded) {
            assert!(decoded == bytes, "{compression}");
        }
    }
}

#[test]
fn we_read_what_tools_write() {
    let bytes = sample(3 << 20);
    let ways: [(&str, &[&str]); 10] = [
        ("gzip", &["-c"]),
        ("gzip", &["-1c"]),
        ("bzip2", &["-c"]),
        ("xz", &["-1c"]),
        ("xz", &["-1c", "-T2", "--block-size=1MiB"]),
        ("xz", &["-1c", "--check=sha256"]),
        ("xz", &["-1c", "--check=none"]),
        ("zstd", &["-c"]),
        ("zstd", &["-5c", "--long=27"]),
        ("zstd", &["-c", "-T2", "--no-check"]),
    ];
    for (tool, arguments) in ways {
        if let Some(encoded) = filter("archive::we_read_what_tools_write", tool, arguments, &bytes) {
            assert!(decode(&encoded).unwrap() == bytes, "{tool} {arguments:?}");
        }
    }
}

#[test]
fn streams_that_want_too_much_memory_are_refused() {
    let test = "archive::streams_that_want_too_much_memory_are_refused";
    // A window as large as the input is cut to it: the size must not be known beforehand.
    if let Some(encoded) = filter(test, "zstd", &["-1c", "--long=28", "--no-check"], &sample(1 << 20)) {
        let error = codec_error(decode(&encoded).expect_err("a window of 256 MiB"));
        assert!(matches!(error, CodecError::Memory { limit: 128, .. }), "{error}");
    }
    if let Some(encoded) = filter(test, "xz", &["-c", "--lzma2=dict=512MiB"], b"text") {
        let error = codec_error(decode(&encoded).expect_err("a dictionary of 512 MiB"));
        assert!(matches!(error, CodecError::Memory { limit: 256, .. }), "{error}");
    }
    if let Some(encoded) = filter(test, "xz", &["-c", "--lzma2=dict=128MiB"], b"text") {
        assert_eq!(decode(&encoded).unwrap(), b"text");
    }
}

#[test]
fn random_damage_never_panics() {
    let mut random = Random::new(5);
    let bytes = sample(2000);
    for compression in FORMATS {
        let encoded = encode(&bytes, compression, 1, usize::MAX);
        for _ in 0..60 {
            let mut damaged = encoded.clone();
            for _ in 0..1 + random.below(3) {
                let at = random.below(damaged.len() as u64) as usize;
                damaged[at] = random.number() as u8;
            }
            bedplate_archive::fuzz::codec_decode(&damaged);
        }
    }
}
