//! Instructions that change the config, and the history.

use bedplate_build::Remark;

use crate::kit::*;

#[test]
fn every_instruction_has_its_field_and_its_words() {
    let kit = Kit::new();
    kit.write("hello", "x");
    let outcome = kit.build(
        concat!(
            "FROM scratch\nMAINTAINER me\nARG V=1\nARG W\nENV A=b C=\"$V d\"\nLABEL l=m\nEXPOSE 80 53/udp\nVOLUME /v\n",
            "USER 5:6\nWORKDIR /w\nWORKDIR sub\nWORKDIR /\nSTOPSIGNAL SIGINT\nSHELL [\"/bin/ash\", \"-c\"]\n",
            "HEALTHCHECK --interval=5s CMD true\nONBUILD RUN x\nCMD echo hi\nENTRYPOINT [\"/e\", \"x y\"]\n",
            "COPY --chown=1 hello /h\n",
        ),
        &Options { epoch: Some(77), ..Options::default() },
    );
    let expected = [
        "MAINTAINER me",
        "ARG V=1",
        "ARG W",
        "ENV A=b C=1 d",
        "LABEL l=m",
        "EXPOSE [80/tcp 53/udp]",
        "VOLUME [/v]",
        "USER 5:6",
        "WORKDIR /w",
        "WORKDIR /w/sub",
        "WORKDIR /",
        "STOPSIGNAL SIGINT",
        "SHELL [/bin/ash -c]",
        "HEALTHCHECK [\"CMD-SHELL\" \"true\"]",
        "CMD [\"/bin/ash\" \"-c\" \"echo hi\"]",
        "ENTRYPOINT [\"/e\" \"x y\"]",
        "COPY --chown=1 hello /h # buildkit",
    ];
    assert_eq!(history(&outcome), expected);
    let config = config(&outcome);
    for entry in &config.history {
        let layer =
            entry.created_by.starts_with("COPY") || matches!(&*entry.created_by, "WORKDIR /w" | "WORKDIR /w/sub");
        assert_eq!(entry.empty_layer, !layer, "{}", entry.created_by);
        assert_eq!(entry.comment, "buildkit.dockerfile.v0");
        assert_eq!(entry.created.unwrap().seconds(), 77);
    }
    assert_eq!(config.layers_in_history(), config.rootfs.diff_ids.len());
    assert_eq!(kit.listing(&outcome.image), ["644 1:1 /h x @77", "755 5:6 /w/ @77", "755 5:6 /w/sub/ @77"]);
    let container = &config.config;
    assert_eq!(container.env, ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=b", "C=1 d"]);
    assert_eq!(container.working_dir, "/");
    assert_eq!(container.on_build, ["RUN x"]);
    assert_eq!(container.cmd.as_deref(), Some(&["/bin/ash", "-c", "echo hi"].map(str::to_owned)[..]));
    assert_eq!(config.author, "me");
}

#[test]
fn one_value_counts_for_a_whole_instruction() {
    let kit = Kit::new();
    let outcome = kit.build("FROM scratch\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\n", &Options::default());
    assert_eq!(config(&outcome).config.env[1..], ["abc=bye", "def=hello", "ghi=bye"]);
}

#[test]
fn commands_that_cannot_run_are_remarked() {
    let kit = Kit::new();
    kit.write_mode("script", "#!/bin/sh\n", 0o755);
    let remarks = |lines: &str| {
        let outcome = kit.build(&format!("FROM scratch\nCOPY script /\n{lines}\n"), &Options::default());
        outcome.remarks.iter().filter(|remark| matches!(remark, Remark::Program(_))).count()
    };
    assert_eq!(remarks("CMD [\"/script\"]"), 1);
    assert_eq!(remarks("CMD echo"), 1, "there is no shell");
    assert_eq!(remarks(""), 0);
}

#[test]
fn an_image_without_a_layer_is_one() {
    let kit = Kit::new();
    let outcome = kit.build("FROM scratch\nENV A=b\n", &Options::default());
    assert!(outcome.image.diff_ids().is_empty());
    assert!(kit.listing(&outcome.image).is_empty());
    let again = kit.build("FROM scratch\n", &Options { names: vec!["empty"], ..Options::default() });
    assert_eq!(config(&kit.build("FROM empty\nENV X=1\n", &Options::default())).config.env.len(), 2);
    assert!(history(&again).is_empty());
}
