//! Faults: the step, the object and the reason are in the message, and nothing is half made.

use crate::kit::*;

#[test]
fn faults_name_step_and_object() {
    let kit = Kit::new();
    kit.write("a", "A");
    let table = [
        ("COPY missing /", "line 2, column 1: cannot do \"COPY missing /\": \"missing\" is not in the build context"),
        ("COPY [x /", "bad pattern \"[x\""),
        ("COPY --chmod=999 a /", "--chmod=999: expected an octal mode"),
        ("COPY --chown=: a /", "--chown=:: expected USER"),
        ("COPY --chown=nobody a /", "there is no user \"nobody\" in the image's /etc/passwd"),
        ("COPY --chown=1:staff a /", "there is no group \"staff\""),
        ("COPY --exclude=[ a /", "bad pattern"),
        ("COPY ${X a /", "missing \"}\""),
        ("COPY a ${X?unset}", "X: unset"),
        ("ENV A=${B:?needed}", "B: needed"),
        ("EXPOSE 99999", "invalid port"),
        ("STOPSIGNAL SIGNOPE", "invalid signal"),
        ("WORKDIR $X", "WORKDIR needs a value"),
        ("USER nobody\nWORKDIR /w", "there is no user \"nobody\""),
        ("COPY a /f\nWORKDIR /f", "cannot copy directory over regular file \"/f\""),
        ("COPY a /f\nWORKDIR /f/g", "in the place of a directory"),
        ("RUN x", "no runtime"),
        ("RUN --mount=type=cache x", "--mount=type=cache needs a target below \"/\""),
        ("RUN --mount=type=tmpfs,target=/ x", "needs a target below"),
        ("RUN --mount=source=gone,target=/g x", "\"gone\" is not in the build context"),
        ("RUN --mount=from=gone,target=/g x", "gone"),
        ("RUN --security=insecure x", "not supported yet"),
        ("RUN --device=x y", "not supported yet"),
    ];
    for (lines, part) in table {
        let fault = kit.fault(&format!("FROM scratch\n{lines}\n"));
        assert!(fault.contains(part), "{lines}: {fault}");
    }
    assert!(kit.store.images().unwrap().is_empty(), "no image was made");
}

#[test]
fn a_failed_build_takes_no_name() {
    let kit = Kit::new();
    kit.write("a", "A");
    let named = Options { names: vec!["x"], ..Options::default() };
    let first = kit.build("FROM scratch\nCOPY a /\n", &named);
    assert!(kit.try_build("FROM scratch\nCOPY a /b\nCOPY missing /\n", &named).is_err());
    assert_eq!(kit.store.resolve("x").unwrap().id(), first.image.id());
}

#[test]
fn a_base_with_a_broken_trigger_says_so() {
    let kit = Kit::new();
    let base = "FROM scratch\nONBUILD COPY a /\n";
    kit.build(base, &Options { names: vec!["base"], ..Options::default() });
    let fault = kit.fault("FROM base\n");
    assert!(fault.contains("cannot do \"COPY a /\""), "{fault}");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error_or_seen() {
    let kit = Kit::new();
    kit.write("a", "A");
    let first = kit.build("FROM scratch\nCOPY a /\n", &Options::default());
    kit.write("a", "B");
    let second = kit.build("FROM scratch\nCOPY a /\n", &Options::default());
    assert_ne!(first.image.id(), second.image.id());
    assert_eq!(kit.listing(&second.image), ["644 0:0 /a B"]);
}
