//! COPY: what goes where, with which attributes.

use crate::kit::*;

fn kit() -> Kit {
    let kit = Kit::new();
    kit.write("a", "A");
    kit.write_mode("run", "R", 0o750);
    kit.write("dir/b", "B");
    kit.write_mode("dir/sub/c", "C", 0o600);
    kit.write("x.txt", "X");
    kit.write("y.txt", "Y");
    kit.link("link", "a");
    kit.link("dirlink", "dir");
    kit.link("dir/inner", "b");
    kit
}

#[test]
fn files_and_directories_go_where_the_reference_says() {
    let kit = kit();
    // instructions | tree
    let table: [(&str, &[&str]); 19] = [
        ("COPY a /", &["644 0:0 /a A"]),
        ("COPY a /b", &["644 0:0 /b A"]),
        ("COPY a b", &["644 0:0 /b A"]),
        ("COPY run /", &["750 0:0 /run R"]),
        ("COPY a /d/", &["755 0:0 /d/", "644 0:0 /d/a A"]),
        ("COPY a /d/e/f", &["755 0:0 /d/", "755 0:0 /d/e/", "644 0:0 /d/e/f A"]),
        ("COPY a /d/.", &["755 0:0 /d/", "644 0:0 /d/a A"]),
        (
            "COPY dir /d",
            &["755 0:0 /d/", "644 0:0 /d/b B", "link 0:0 /d/inner -> b", "755 0:0 /d/sub/", "600 0:0 /d/sub/c C"],
        ),
        ("COPY dir/sub/ /", &["600 0:0 /c C"]),
        ("COPY dir/./sub/../sub/c /", &["600 0:0 /c C"]),
        ("COPY ../../a /", &["644 0:0 /a A"]),
        ("COPY link /", &["644 0:0 /link A"]),
        ("COPY dirlink/sub /", &["600 0:0 /c C"]),
        ("COPY a x.txt /d/", &["755 0:0 /d/", "644 0:0 /d/a A", "644 0:0 /d/x.txt X"]),
        ("COPY *.txt /d/", &["755 0:0 /d/", "644 0:0 /d/x.txt X", "644 0:0 /d/y.txt Y"]),
        ("COPY x*.txt /z", &["644 0:0 /z X"]),
        ("COPY nothing* /d/", &[]),
        ("COPY dir/sub dir/sub /d/", &["755 0:0 /d/", "600 0:0 /d/c C"]),
        ("COPY a /d\nCOPY x.txt /d", &["644 0:0 /d X"]),
    ];
    for (lines, expected) in table {
        same(kit.tree(&format!("FROM scratch\n{lines}\n")), expected.iter().map(|s| (*s).to_owned()).collect(), lines);
    }
}

#[test]
fn owners_and_modes_are_those_of_the_flags() {
    let kit = kit();
    kit.write("passwd", "root:x:0:0::/:\nwww:x:33:33::/:\n");
    kit.write("group", "staff:x:50:\n");
    let base = "FROM scratch\nCOPY passwd group /etc/\n";
    let table: [(&str, &[&str]); 7] = [
        ("COPY --chown=7 a /n/", &["755 7:7 /n/", "644 7:7 /n/a A"]),
        ("COPY --chown=7:8 a /", &["644 7:8 /a A"]),
        ("COPY --chown=www:staff a /", &["644 33:50 /a A"]),
        ("COPY --chown=www a /", &["644 33:33 /a A"]),
        ("COPY --chmod=4711 a /", &["4711 0:0 /a A"]),
        ("COPY --chmod=u=rwX,go=rX dir/sub /s", &["755 0:0 /s/", "644 0:0 /s/c C"]),
        ("ARG U=9\nCOPY --chown=$U a /", &["644 9:9 /a A"]),
    ];
    for (line, expected) in table {
        let found = kit.tree(&format!("{base}{line}\n"));
        let found: Vec<String> = found.into_iter().filter(|line| !line.contains("/etc")).collect();
        same(found, expected.iter().map(|s| (*s).to_owned()).collect(), line);
    }
}

#[test]
fn excluded_files_stay_behind() {
    let kit = kit();
    let table: [(&str, &[&str]); 5] = [
        ("COPY --exclude=sub dir /", &["644 0:0 /b B", "link 0:0 /inner -> b"]),
        ("COPY --exclude=**/c --exclude=inner dir /", &["644 0:0 /b B", "755 0:0 /sub/"]),
        ("COPY --exclude=* --exclude=!sub/c dir /", &["755 0:0 /sub/", "600 0:0 /sub/c C"]),
        ("COPY --exclude=x* *.txt /", &["644 0:0 /y.txt Y"]),
        ("COPY --exclude=a a /d/", &["755 0:0 /d/"]),
    ];
    for (line, expected) in table {
        same(kit.tree(&format!("FROM scratch\n{line}\n")), expected.iter().map(|s| (*s).to_owned()).collect(), line);
    }
}

#[test]
fn parents_are_kept() {
    let kit = kit();
    kit.write("p/q/one.c", "1");
    kit.write("p/two.c", "2");
    let table: [(&str, &[&str]); 5] = [
        (
            "COPY --parents dir/sub/c a /o/",
            &["755 0:0 /o/", "644 0:0 /o/a A", "755 0:0 /o/dir/", "755 0:0 /o/dir/sub/", "600 0:0 /o/dir/sub/c C"],
        ),
        ("COPY --parents p/./q/one.c /", &["755 0:0 /q/", "644 0:0 /q/one.c 1"]),
        ("COPY --parents **/*.c /", &["755 0:0 /p/", "755 0:0 /p/q/", "644 0:0 /p/q/one.c 1", "644 0:0 /p/two.c 2"]),
        ("COPY --parents p/q /", &["755 0:0 /p/", "755 0:0 /p/q/", "644 0:0 /p/q/one.c 1"]),
        ("COPY --parents --exclude=*.c p/q /", &["755 0:0 /p/", "755 0:0 /p/q/"]),
    ];
    for (line, expected) in table {
        same(kit.tree(&format!("FROM scratch\n{line}\n")), expected.iter().map(|s| (*s).to_owned()).collect(), line);
    }
}

#[test]
fn heredocs_become_files() {
    let kit = kit();
    let tree = kit.tree(concat!(
        "FROM scratch\nENV V=v\n",
        "COPY <<one.txt <<-'two.txt' a /d/\n$V \"$V\" \\$V\none.txt\n\t$V\n\ttwo.txt\n",
        "COPY <<E /named\nx\nE\n",
        "COPY --chmod=755 --chown=1 <<E /script\n#!/bin/sh\nE\n",
    ));
    let expected = [
        "755 0:0 /d/",
        "644 0:0 /d/a A",
        "644 0:0 /d/one.txt v \\\"v\\\" $V\\n",
        "644 0:0 /d/two.txt $V\\n",
        "644 0:0 /named x\\n",
        "755 1:1 /script #!/bin/sh\\n",
    ];
    assert_eq!(tree, expected);
}

#[test]
fn symbolic_links_of_the_image_are_followed_unless_linked() {
    let kit = kit();
    kit.write("image/real/keep", "K");
    kit.link("image/to", "real");
    kit.link("image/file", "real/keep");
    let base = "FROM scratch\nCOPY image /\n";
    let table: [(&str, &[&str]); 4] = [
        (
            "COPY a /to/",
            &[
                "link 0:0 /file -> real/keep",
                "755 0:0 /real/",
                "644 0:0 /real/a A",
                "644 0:0 /real/keep K",
                "link 0:0 /to -> real",
            ],
        ),
        (
            "COPY a /file",
            &["link 0:0 /file -> real/keep", "755 0:0 /real/", "644 0:0 /real/keep A", "link 0:0 /to -> real"],
        ),
        (
            "COPY --link a /to/",
            &[
                "link 0:0 /file -> real/keep",
                "755 0:0 /real/",
                "644 0:0 /real/keep K",
                "755 0:0 /to/",
                "644 0:0 /to/a A",
            ],
        ),
        ("COPY --link a /file", &["644 0:0 /file A", "755 0:0 /real/", "644 0:0 /real/keep K", "link 0:0 /to -> real"]),
    ];
    for (line, expected) in table {
        same(kit.tree(&format!("{base}{line}\n")), expected.iter().map(|s| (*s).to_owned()).collect(), line);
    }
}

#[test]
fn types_do_not_replace_each_other() {
    let kit = kit();
    kit.write("image/bin/tool", "T");
    kit.link("merged/bin", "usr/bin");
    kit.write("merged/usr/bin/old", "O");
    let table = [
        ("COPY a /f\nCOPY dir /f\n", "cannot copy directory over regular file \"/f\""),
        ("COPY dir /d\nCOPY image/bin/tool /d/sub/c/x\n", "in the place of a directory"),
        ("COPY merged /\nCOPY image /\n", "cannot copy directory over symbolic link \"/bin\""),
        ("COPY a x.txt /new\n", "several sources need a directory"),
        ("COPY a x.txt /f\nCOPY a /f\n", "several sources need a directory"),
    ];
    for (lines, part) in table {
        let fault = kit.fault(&format!("FROM scratch\n{lines}"));
        assert!(fault.contains(part), "{lines}: {fault}");
    }
    let error = kit.try_build("FROM scratch\nCOPY merged /\nCOPY image /\n", &Options::default()).err().unwrap();
    assert!(error.hint().is_some_and(|hint| hint.contains("usr/bin")), "{:?}", error.hint());
}

#[test]
fn a_layer_holds_what_its_step_changed_and_nothing_else() {
    let kit = kit();
    let outcome =
        kit.build("FROM scratch\nCOPY dir /d\nCOPY a /d/sub/a\nWORKDIR /d/sub\nWORKDIR /w\n", &Options::default());
    let names: Vec<Vec<String>> = (outcome.image.diff_ids().iter())
        .map(|id| kit.store.layer_index(id).unwrap().entries().iter().map(|entry| entry.path.to_string()).collect())
        .collect();
    let expected: [&[&str]; 4] =
        [&["/d", "/d/b", "/d/inner", "/d/sub", "/d/sub/c"], &["/d", "/d/sub", "/d/sub/a"], &[], &["/w"]];
    assert_eq!(names, expected);
}
