//! Contexts: directories, archives, ignore files.

use bedplate_build::BuildContext;
use bedplate_dockerfile::ignore::Ignore;

use crate::kit::*;

fn kit() -> Kit {
    let kit = Kit::new();
    for name in ["a", "b.log", "docs/readme", "docs/api/x", "src/main.c", "src/main.o", "Dockerfile", ".dockerignore"] {
        kit.write(name, name);
    }
    kit
}

fn names(kit: &Kit, ignore: &str, line: &str) -> Vec<String> {
    let outcome =
        kit.build(&format!("FROM scratch\n{line}\n"), &Options { ignore: Some(ignore), ..Options::default() });
    kit.listing(&outcome.image).iter().filter_map(|line| line.split(' ').nth(2).map(str::to_owned)).collect()
}

#[test]
fn excluded_files_are_not_there() {
    let kit = kit();
    let all = [
        "/.dockerignore",
        "/Dockerfile",
        "/a",
        "/b.log",
        "/docs/",
        "/docs/api/",
        "/docs/api/x",
        "/docs/readme",
        "/src/",
        "/src/main.c",
        "/src/main.o",
    ];
    assert_eq!(names(&kit, "", "COPY . /"), all);
    let table: [(&str, &[&str]); 5] = [
        ("*\n!a", &["/a"]),
        ("*\n!docs/api", &["/docs/", "/docs/api/", "/docs/api/x"]),
        (
            "**/*.o\n*.log\nDockerfile\n.dockerignore",
            &["/a", "/docs/", "/docs/api/", "/docs/api/x", "/docs/readme", "/src/", "/src/main.c"],
        ),
        ("*\n!src/nothing", &[]),
        ("**", &[]),
    ];
    for (ignore, expected) in table {
        assert_eq!(names(&kit, ignore, "COPY . /"), expected, "{ignore:?}");
    }
    assert_eq!(names(&kit, "docs\n!docs/readme", "COPY docs /d"), ["/d/", "/d/readme"]);
    let fault =
        kit.try_build("FROM scratch\nCOPY a /\n", &Options { ignore: Some("a"), ..Options::default() }).err().unwrap();
    assert!(chain(&fault).contains("or excluded by its ignore file"), "{}", chain(&fault));
}

#[test]
fn an_archive_is_the_same_as_its_directory() {
    let kit = kit();
    kit.link("l", "src");
    let tar = kit.context().parent().unwrap().join("context.tar");
    let made = std::process::Command::new("tar").arg("-C").arg(kit.context()).arg("-czf").arg(&tar).arg(".").status();
    assert!(made.is_ok_and(|status| status.success()), "tar is needed");
    for ignore in ["", "*\n!docs/api\n!l\n!src"] {
        let dockerfile = "FROM scratch\nCOPY . /all\nCOPY l/main.c docs /some/\n";
        let from_directory = kit.build(dockerfile, &Options { ignore: Some(ignore), ..Options::default() });
        let lease = kit.lease();
        let mut context = BuildContext::archive(&lease, std::fs::File::open(&tar).unwrap()).unwrap();
        context.set_ignore(Ignore::parse(ignore.as_bytes()).unwrap());
        let options = Options { no_cache: true, ..Options::default() };
        let from_archive = kit.try_build_with(&lease, &context, dockerfile, &options, None).unwrap();
        assert_eq!(kit.listing(&from_archive.image), kit.listing(&from_directory.image), "{ignore:?}");
        assert_eq!(from_archive.image.id(), from_directory.image.id(), "{ignore:?}");
        assert_eq!(context.read_file("docs/readme").unwrap().as_deref(), Some(&b"docs/readme"[..]), "though excluded");
        assert_eq!(context.read_file("nope").unwrap(), None);
        assert_eq!(context.read_file("../a").unwrap(), None);
    }
}

#[test]
fn small_files_are_read_whatever_is_excluded() {
    let kit = kit();
    kit.link("df", "docs/readme");
    kit.link("out", "/etc/passwd");
    let mut context = BuildContext::directory(&kit.context()).unwrap();
    context.set_ignore(Ignore::parse(b"**").unwrap());
    let read = |name: &str| context.read_file(name).unwrap().map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(read("Dockerfile").as_deref(), Some("Dockerfile"));
    assert_eq!(read("df").as_deref(), Some("docs/readme"));
    assert_eq!(read("out"), None, "links stay inside");
    assert_eq!(BuildContext::empty().read_file("Dockerfile").unwrap(), None);
}

#[test]
fn links_never_lead_out_of_a_context() {
    let kit = kit();
    kit.link("etc", "/etc");
    kit.link("up", "../../../../../../etc");
    for line in ["COPY etc/passwd /", "COPY up/passwd /", "COPY up /"] {
        let fault = kit.fault(&format!("FROM scratch\n{line}\n"));
        assert!(fault.contains("is not in the build context"), "{line}: {fault}");
    }
    // As a part of what is copied a link is just a link.
    kit.link("docs/out", "/etc/passwd");
    assert!(kit.tree("FROM scratch\nCOPY docs /\n").contains(&"link 0:0 /out -> /etc/passwd".to_owned()));
}

#[test]
fn an_empty_context_has_nothing() {
    let kit = kit();
    let (lease, context) = (kit.lease(), BuildContext::empty());
    let fails = kit.try_build_with(&lease, &context, "FROM scratch\nCOPY a /\n", &Options::default(), None);
    assert!(fails.is_err());
    let works = kit.try_build_with(&lease, &context, "FROM scratch\nCOPY <<E /e\nx\nE\n", &Options::default(), None);
    assert_eq!(kit.listing(&works.unwrap().image), ["644 0:0 /e x\\n"]);
    assert!(BuildContext::archive(&lease, &b"not a tar"[..]).is_err());
}
