//! Properties over generated Dockerfiles and over the golden cases with random damage.

use std::fs;
use std::path::Path;

use bedplate_dockerfile::{Dockerfile, fuzz};
use proptest::prelude::*;

/// Pieces that make the parser's decisions; a file is a random row of them.
fn piece() -> impl Strategy<Value = String> {
    let fixed: Vec<String> = [
        "FROM ",
        "FROM x\n",
        "RUN ",
        "COPY ",
        "ADD ",
        "ENV ",
        "LABEL ",
        "ARG ",
        "CMD ",
        "ONBUILD ",
        "ENTRYPOINT ",
        "VOLUME ",
        "EXPOSE ",
        "USER ",
        "WORKDIR ",
        "SHELL ",
        "HEALTHCHECK ",
        "CMD [",
        "STOPSIGNAL ",
        "MAINTAINER ",
        "HEALTHCHECK NONE",
        " AS ",
        "[\"a\", \"b c\"]",
        "[",
        "]",
        "\"",
        "'",
        "\\",
        "`",
        "\\\n",
        "`\n",
        "\n",
        "\r\n",
        " ",
        "\t",
        "\u{c}",
        "\u{a0}",
        "#",
        "# escape=`\n",
        "<<E",
        "<<-E",
        "<<'E'",
        "E\n",
        "\tE\n",
        "<<\\E",
        "3<<E",
        "--",
        " -- ",
        "--link ",
        "--from=x ",
        "--chown=\"a b\" ",
        "--exclude=a\\ b ",
        "--mount=type=cache,target=/x ",
        "--interval=1m30s ",
        "=",
        "$",
        "${a:-b}",
        "a",
        "b",
        "/",
        ".",
        "a=b",
        "key value",
        "\u{e9}",
        "\u{2028}",
    ]
    .map(str::to_owned)
    .into();
    prop_oneof![8 => prop::sample::select(fixed), 1 => "\\PC{0,3}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn printing_gives_an_equal_file(pieces in prop::collection::vec(piece(), 0..24)) {
        fuzz::parse(format!("FROM x\n{}", pieces.concat()).as_bytes());
        fuzz::parse(pieces.concat().as_bytes());
    }

    #[test]
    fn any_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz::parse(&data);
        fuzz::expand(&data);
        fuzz::ignore(&data);
        fuzz::glob(&data);
    }
}

#[test]
fn damaged_cases_are_survived() {
    let mut files = Vec::new();
    for kind in ["cases", "cases-reject"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind);
        for entry in fs::read_dir(root).unwrap() {
            files.push(fs::read(entry.unwrap().path().join("Dockerfile")).unwrap());
        }
    }
    for file in &files {
        for end in 0..=file.len() {
            fuzz::parse(&file[..end]);
        }
        for index in 0..file.len() {
            let mut without = file.clone();
            without.remove(index);
            fuzz::parse(&without);
            without.insert(index, b'\\');
            fuzz::parse(&without);
        }
    }
}

#[test]
fn any_place_of_an_error_lies_in_the_file() {
    for text in ["RNU", "FROM x\nCOPY a", "FROM x\nRUN <<E", "\n\nARG a"] {
        let error = Dockerfile::parse(text.as_bytes()).unwrap_err();
        let line = text.split('\n').nth(error.position.line as usize - 1);
        let width = line.map(|line| line.chars().count() as u32 + 1);
        assert!(width.is_some_and(|width| error.position.column <= width), "{text}: {error}");
    }
}
