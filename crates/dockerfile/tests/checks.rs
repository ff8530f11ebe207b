//! The build checks: for each rule, files in which it finds something and files in which it does not.
//!
//! The expected texts are those of BuildKit's documentation; what it does not show is written from its text.

use std::collections::{BTreeMap, BTreeSet};

use bedplate_dockerfile::check::{Base, CheckOptions, Subject, Surroundings, check};
use bedplate_dockerfile::ignore::Ignore;
use bedplate_dockerfile::{Dockerfile, Rule, Warning};

/// `base` has a variable, `shelled` a shell, `triggered` a trigger and `foreign` another platform; `unknown/` is not
/// at hand; all else is a plain image.
struct Images;

impl Surroundings for Images {
    fn base(&mut self, name: &str, _platform: Option<&str>) -> Option<Base> {
        let env = |name: &str| vec![(name.to_owned(), "x".to_owned())];
        match name {
            "base" => Some(Base { env: env("BASE_HOME"), ..Base::default() }),
            "shelled" => Some(Base { has_shell: true, ..Base::default() }),
            "triggered" => Some(Base { triggers: vec!["COPY $WHAT /".to_owned()], ..Base::default() }),
            "foreign" => {
                Some(Base { platforms: Some(("linux/amd64".to_owned(), "linux/arm64".to_owned())), ..Base::default() })
            }
            name if name.starts_with("unknown/") => None,
            _ => Some(Base::default()),
        }
    }

    fn is_image_name(&self, text: &str) -> bool {
        !text.is_empty() && !text.ends_with(':') && text.to_lowercase() == text
    }

    fn platform(&self, text: &str) -> Option<(String, String)> {
        let (os, architecture) = text.split_once('/')?;
        Some((os.to_owned(), architecture.to_owned()))
    }
}

#[derive(Default)]
struct Given<'a> {
    options: &'a str,
    ignore: Option<&'a str>,
    build_args: &'a [(&'a str, &'a str)],
    target: Option<&'a str>,
}

fn judge(text: &str, given: &Given<'_>) -> Vec<Warning> {
    let file = Dockerfile::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let options = CheckOptions::parse(file.directives.check.as_deref().unwrap_or(given.options)).unwrap();
    let predefined: BTreeMap<String, String> = [("TARGETPLATFORM", "linux/amd64"), ("TARGETARCH", "amd64")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let build_args: Vec<(String, String)> =
        given.build_args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let ignore = given.ignore.map(|text| Ignore::parse(text.as_bytes()).unwrap());
    let subject = Subject {
        file: &file,
        build_args: &build_args,
        predefined: &predefined,
        ignore: ignore.as_ref(),
        target: given.target.map(|name| file.find_stage(name, file.stages.len()).unwrap()),
    };
    check(&subject, &options, &mut Images)
}

fn shown(text: &str, given: &Given<'_>) -> Vec<String> {
    judge(text, given).iter().map(Warning::to_string).collect()
}

/// A file, and what is found in it by all rules.
type Case = (&'static str, &'static [&'static str]);

const CASES: [Case; 54] = [
    ("FROM x AS BuilderBase", &["StageNameCasing: Stage name 'BuilderBase' should be lowercase (line 1)"]),
    ("FROM x AS builder-base", &[]),
    ("FROM x as one", &["FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"]),
    ("from x AS one", &["FromAsCasing: 'AS' and 'from' keywords' casing do not match (line 1)"]),
    ("from --platform=$TARGETARCH/x x as one", &[]),
    ("FROM x\nRUN a \\\n\n  b\n", &["NoEmptyContinuation: Empty continuation line (line 3)"]),
    ("FROM x\nRUN a \\\n# note\n  b\n", &[]),
    (
        "FROM x\nrun a\nUSER u\nwOrkdir /",
        &[
            "ConsistentInstructionCasing: Command 'run' should match the case of the command majority (uppercase) (line 2)",
            "ConsistentInstructionCasing: Command 'wOrkdir' should match the case of the command majority (uppercase) (line 4)",
        ],
    ),
    (
        "from x\nRUN a\nuser u",
        &[
            "ConsistentInstructionCasing: Command 'RUN' should match the case of the command majority (lowercase) (line 2)",
        ],
    ),
    ("ARG a=x\nfrom x\nrun a", &[]),
    (
        "FROM x AS a\nFROM y AS b\nFROM z AS A",
        &[
            "StageNameCasing: Stage name 'A' should be lowercase (line 3)",
            "DuplicateStageName: Duplicate stage name \"a\", stage names should be unique (line 3)",
        ],
    ),
    ("FROM x AS a\nFROM y AS b", &[]),
    (
        "FROM x AS scratch\nFROM y AS context",
        &[
            "ReservedStageName: Stage name should not use the same name as reserved stage \"scratch\" (line 1)",
            "ReservedStageName: Stage name should not use the same name as reserved stage \"context\" (line 2)",
        ],
    ),
    ("FROM x AS scratchy", &[]),
    (
        "FROM x\nENTRYPOINT a\nCMD b",
        &[
            "JSONArgsRecommended: JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals (line 2)",
            "JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 3)",
        ],
    ),
    ("FROM x\nCMD [\"b\"]\nRUN c\nHEALTHCHECK CMD d", &[]),
    ("FROM x\nSHELL [\"/bin/bash\", \"-c\"]\nCMD b", &[]),
    ("FROM shelled AS s\nFROM s\nCMD b", &[]),
    (
        "FROM x\nMAINTAINER m",
        &["MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 2)"],
    ),
    ("FROM x\nLABEL org.opencontainers.image.authors=m", &[]),
    (
        "ARG VARIANT=1\nFROM x:${VARIAN}",
        &[
            "InvalidDefaultArgInFrom: Default value for ARG x:${VARIAN} results in empty or invalid base image name (line 2)",
            "UndefinedArgInFrom: FROM argument 'VARIAN' is not declared (did you mean VARIANT?) (line 2)",
        ],
    ),
    ("FROM --platform=$PLATFORM/y x", &["UndefinedArgInFrom: FROM argument 'PLATFORM' is not declared (line 1)"]),
    ("ARG A=1\nFROM x:$A-$TARGETARCH", &[]),
    ("FROM x:${A:-1}", &[]),
    (
        "ARG TAG\nFROM x:${TAG}",
        &[
            "InvalidDefaultArgInFrom: Default value for ARG x:${TAG} results in empty or invalid base image name (line 2)",
        ],
    ),
    ("ARG TAG=latest\nFROM x:${TAG}", &[]),
    (
        "FROM x\nWORKDIR a\nWORKDIR b",
        &["WorkdirRelativePath: Relative workdir \"a\" can have unexpected results if the base image changes (line 2)"],
    ),
    ("FROM x AS a\nWORKDIR /a\nFROM a\nWORKDIR b", &[]),
    (
        "FROM x\nARG foo\nCOPY $fo $bar /\nLABEL a=$PAHT",
        &[
            "UndefinedVar: Usage of undefined variable '$fo' (line 3)",
            "UndefinedVar: Usage of undefined variable '$bar' (line 3)",
            "UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?) (line 4)",
        ],
    ),
    (
        "FROM x\nENV A=b B=$A\nARG C=$c\nRUN --mount=type=cache,target=$D true",
        &[
            "UndefinedVar: Usage of undefined variable '$A' (line 2)",
            "UndefinedVar: Usage of undefined variable '$c' (line 3)",
            "UndefinedVar: Usage of undefined variable '$D' (line 4)",
        ],
    ),
    (
        "FROM x\nCOPY <<a <<\"b\" /\n$one\na\n$two\nb\nRUN <<c\n$three\nc",
        &["UndefinedVar: Usage of undefined variable '$one' (line 2)"],
    ),
    ("FROM triggered", &["UndefinedVar: Usage of undefined variable '$WHAT' (line 1)"]),
    ("FROM x AS a\nONBUILD USER $u\nFROM a", &["UndefinedVar: Usage of undefined variable '$u' (line 3)"]),
    ("FROM base\nLABEL a=$BASE_HOME b=$PATH c=${D:-d} d='$E'\nEXPOSE $F\nARG G\nUSER $G", &[]),
    ("FROM unknown/base\nLABEL a=$ANYTHING", &[]),
    ("FROM x AS a\nARG A\nENV B=1\nFROM a\nLABEL a=$A b=$B\nRUN echo $C", &[]),
    (
        "FROM x\nCMD [\"a\"]\nENTRYPOINT [\"b\"]\nHEALTHCHECK NONE\nCMD [\"c\"]\nENTRYPOINT [\"d\"]\nHEALTHCHECK CMD a",
        &[
            "MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used (line 2)",
            "MultipleInstructionsDisallowed: Multiple ENTRYPOINT instructions should not be used in the same stage because only the last one will be used (line 3)",
            "MultipleInstructionsDisallowed: Multiple HEALTHCHECK instructions should not be used in the same stage because only the last one will be used (line 4)",
        ],
    ),
    ("FROM x AS a\nCMD [\"a\"]\nFROM a\nCMD [\"b\"]", &[]),
    (
        "FROM x\nENV a b c\nLABEL d e",
        &[
            "LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format (line 2)",
            "LegacyKeyValueFormat: \"LABEL key=value\" should be used instead of legacy \"LABEL key value\" format (line 3)",
        ],
    ),
    ("FROM x\nENV a=b\nLABEL c=\"d e\"", &[]),
    (
        "FROM foreign",
        &[
            "InvalidBaseImagePlatform: Base image foreign was pulled with platform \"linux/arm64\", expected \"linux/amd64\" for current build (line 1)",
        ],
    ),
    (
        "FROM --platform=${TARGETPLATFORM} x",
        &[
            "RedundantTargetPlatform: Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior (line 1)",
        ],
    ),
    ("ARG P=$TARGETPLATFORM\nFROM --platform=$P x", &[]),
    (
        "FROM x\nARG AWS_SECRET_ACCESS a\nENV git_key= PUBLIC_KEY=1 TOKEN_FILE=2 monkey=3 PASSWD=4",
        &[
            "SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG \"AWS_SECRET_ACCESS\") (line 2)",
            "SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV \"git_key\") (line 3)",
            "SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV \"PASSWD\") (line 3)",
        ],
    ),
    ("ARG API_TOKEN\nFROM x\nENV TOKENS=1 AUTHOR=2 KEY_VERSION=3", &[]),
    (
        "FROM --platform=linux/arm64 x\nFROM --platform=linux/arm64 x AS build_arm64",
        &[
            "FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/arm64\" (line 1)",
        ],
    ),
    (
        "FROM x\nEXPOSE 80/TCP 90/tcp",
        &["ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase (line 2)"],
    ),
    (
        "FROM x\nEXPOSE 127.0.0.1:80:80 90:90/Udp 100",
        &[
            "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80' (line 2)",
            "ExposeProtoCasing: Defined protocol '90:90/Udp' in EXPOSE instruction should be lowercase (line 2)",
            "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '90:90/Udp' (line 2)",
        ],
    ),
    (
        "# check=experimental=all\n# something else\nFROM x AS base\n# no description\nARG one two\n# VERSION is described\nARG VERSION",
        &[
            "InvalidDefinitionDescription: Comment for FROM should follow the format: `# base <description>` (line 3)",
            "InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>` (line 5)",
        ],
    ),
    ("# check=experimental=all\n# something\n\nFROM x AS base\n# else\n#\nARG one", &[]),
    ("# check=experimental=all\nFROM x AS base\n# a plain comment\nRUN a", &[]),
    (
        "FROM x\nRUN ['a', 'b']",
        &[
            "InvalidJSONArgs: Arguments of RUN begin with \"[\" but are no valid JSON; they are taken as a shell command (line 2)",
        ],
    ),
    ("FROM x\nRUN [ -f a ] && b", &[]),
    ("# check=skip=JSONArgsRecommended,MaintainerDeprecated\nFROM x\nCMD a\nMAINTAINER b", &[]),
];

#[test]
fn rules_find_what_they_should_and_nothing_else() {
    for (text, expected) in CASES {
        assert_eq!(shown(text, &Given::default()), expected, "{text}");
    }
}

#[test]
fn every_rule_has_a_file_in_which_it_finds_something() {
    let mut seen: BTreeSet<Rule> =
        CASES.iter().flat_map(|(text, _)| judge(text, &Given::default())).map(|warning| warning.rule()).collect();
    // Of the ignore file, below.
    seen.insert(Rule::CopyIgnoredFile);
    let missing: Vec<Rule> = Rule::ALL.into_iter().filter(|rule| !seen.contains(rule)).collect();
    assert_eq!(missing, []);
}

#[test]
fn ignored_sources_are_found_where_no_exception_may_bring_them_back() {
    let text = "FROM x AS a\nCOPY hello.txt ./sub/../hello.txt /\nADD hello.txt http://h/hello.txt /\nCOPY . /\n\
                COPY --from=a hello.txt /\nCOPY dir/below /";
    let at = |kind: &str, path: &str, line: u32| {
        format!("CopyIgnoredFile: Attempting to {kind} file {path:?} that is excluded by .dockerignore (line {line})")
    };
    let found = |ignore| shown(text, &Given { options: "experimental=all", ignore, ..Given::default() });
    let one = [at("Copy", "hello.txt", 2), at("Copy", "hello.txt", 2), at("Add", "hello.txt", 3)];
    assert_eq!(found(Some("*.txt")), one);
    assert_eq!(found(Some("dir")), [at("Copy", "dir/below", 6)]);
    assert_eq!(found(Some("*")).iter().filter(|found| found.contains("\".\"")).count(), 1);
    assert_eq!(found(Some("*.txt\n!a.txt")), [""; 0]);
    assert_eq!(found(None), [""; 0]);
    assert_eq!(
        shown(text, &Given { ignore: Some("*.txt"), ..Given::default() }),
        [""; 0],
        "experimental rules are off"
    );
}

#[test]
fn given_arguments_count_and_only_what_the_target_needs_is_judged() {
    let text =
        "ARG TAG\nFROM x:$TAG AS a\nCMD a\nFROM x AS b\nCMD b\nFROM x AS c\nCOPY --from=a /a /\nCMD c\nMAINTAINER m";
    let lines = |given: &Given<'_>| -> Vec<(String, u32)> {
        judge(text, given).iter().map(|w| (w.rule().to_string(), w.span.start.line)).collect()
    };
    let found = |rules: &[(&str, u32)]| -> Vec<(String, u32)> {
        rules.iter().map(|(rule, line)| ((*rule).to_owned(), *line)).collect()
    };
    let json = "JSONArgsRecommended";
    let base = ("InvalidDefaultArgInFrom", 2);
    let author = ("MaintainerDeprecated", 9);
    assert_eq!(lines(&Given::default()), found(&[base, (json, 3), (json, 5), (json, 8), author]));
    let target = |name| Given { target: Some(name), ..Given::default() };
    assert_eq!(lines(&target("b")), found(&[base, (json, 5), author]), "names are judged in all stages");
    assert_eq!(lines(&target("c")), found(&[base, (json, 3), (json, 8), author]));
    let given = Given { build_args: &[("x", "1")], ..Given::default() };
    assert_eq!(shown("FROM y\nARG x=$nothing\nUSER $x", &given), [""; 0], "the default is not looked at");
}
