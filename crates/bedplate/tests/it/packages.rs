//! `packages`: dpkg's database of an image, read without running anything.

use crate::kit::*;
use bedplate_testkit::{Tar, needs};
use serde_json::{Value, json};

const STATUS: &str = "\
Package: libc6
Status: install ok installed
Priority: optional
Section: libs
Installed-Size: 12986
Architecture: amd64
Multi-Arch: same
Source: glibc (2.36-9)
Version: 2.36-9+deb12u10
Description: GNU C Library: Shared libraries
 Contains the standard libraries.

Package: base-files
Status: install ok unpacked
Architecture: amd64
Version: 12.4
Conffiles:
 /etc/issue 0cc175b9c0f1b6a831c399e269772661

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1:2-3
";

/// An image `x` with a database of dpkg.
fn debian(sandbox: &bedplate_testkit::Sandbox) {
    let tar = Tar::new()
        .file("var/lib/dpkg/status", 0o644, STATUS)
        .file("var/lib/dpkg/info/base-files.list", 0o644, "/.\n/etc\n/etc/issue\n")
        .file("var/lib/dpkg/info/libc6:amd64.list", 0o644, "/.\n/lib\n")
        .finish();
    import(sandbox, &tar, &["-", "x"]);
}

#[test]
fn packages_of_an_image_with_dpkg() {
    let sandbox = sandbox();
    debian(&sandbox);
    let table = sandbox.bedplate(["packages", "x"]).ok();
    table.is_silent();
    let expected = "\
NAME         VERSION           ARCHITECTURE
base-files   12.4              amd64
libc6        2.36-9+deb12u10   amd64";
    assert_eq!(table.text(), expected);
    assert_eq!(sandbox.bedplate(["packages", "-q", "x"]).ok().text(), "base-files\nlibc6");
    assert_eq!(sandbox.bedplate(["packages", "-q", "--all", "x"]).ok().text(), "base-files\ngone\nlibc6");
    let states = sandbox.bedplate(["packages", "-a", "--format", "{{.Name}} {{.Status}} {{.Version}}", "x"]).ok();
    let expected = "base-files unpacked 12.4\ngone config-files 1:2-3\nlibc6 installed 2.36-9+deb12u10";
    assert_eq!(states.text(), expected);
    let json = sandbox.bedplate(["packages", "--format", "json", "x"]).ok().text();
    let libc: Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    let expected = json!({
        "Architecture": "amd64", "Name": "libc6", "Priority": "optional", "Section": "libs", "Size": "13.3MB",
        "Source": "glibc", "SourceVersion": "2.36-9", "Status": "installed",
        "Summary": "GNU C Library: Shared libraries", "Version": "2.36-9+deb12u10",
    });
    assert_eq!(libc, expected);
    sandbox.bedplate(["packages", "--format", "{{.Absent}}", "x"]).fails().says("the fields are .Name");
}

#[test]
fn files_of_a_package() {
    let sandbox = sandbox();
    debian(&sandbox);
    assert_eq!(sandbox.bedplate(["packages", "--files", "base-files", "x"]).ok().text(), "/.\n/etc\n/etc/issue");
    for name in ["libc6", "libc6:amd64"] {
        assert_eq!(sandbox.bedplate(["packages", "--files", name, "x"]).ok().text(), "/.\n/lib", "{name}");
    }
    for name in ["libc6:arm64", "libc", "gone", ""] {
        let outcome = sandbox.bedplate(["packages", "--files", name, "x"]).fails();
        outcome.says(&format!("\"x\" has no list of the files of package \"{name}\""));
    }
}

#[test]
fn an_image_without_dpkg_has_a_file_for_each_package() {
    let sandbox = sandbox();
    let paragraph = |name: &str| format!("Package: {name}\nVersion: 1\nArchitecture: all\nDescription: x\n");
    let tar = Tar::new()
        .file("usr/lib/dpkg/status.d/tzdata", 0o644, paragraph("tzdata"))
        .file(
            "usr/lib/dpkg/status.d/tzdata.md5sums",
            0o644,
            "0cc175b9c0f1b6a831c399e269772661  usr/share/zoneinfo/UTC\n",
        )
        .file("usr/lib/dpkg/status.d/netbase", 0o644, paragraph("netbase"))
        .symlink("var/lib/dpkg", "../../usr/lib/dpkg")
        .finish();
    import(&sandbox, &tar, &["-", "x"]);
    assert_eq!(sandbox.bedplate(["packages", "-q", "x"]).ok().text(), "netbase\ntzdata");
    assert_eq!(sandbox.bedplate(["packages", "--files", "tzdata", "x"]).ok().text(), "/usr/share/zoneinfo/UTC");
}

#[test]
fn what_has_no_database_says_so() {
    let sandbox = sandbox();
    hello_image(&sandbox);
    let outcome = sandbox.bedplate(["packages", "hello"]).fails();
    outcome.says("\"hello\" has no package database that is known here").says("looked for var/lib/dpkg/status");
    sandbox.bedplate(["packages", "absent"]).fails().says("no such image or container: absent");
}

#[test]
fn a_broken_database_is_named_with_its_line() {
    let sandbox = sandbox();
    let status = "Package: a\nVersion: 1\nStatus: install ok installed\n\nPackage: b\nnonsense\n";
    import(&sandbox, &Tar::new().file("var/lib/dpkg/status", 0o644, status).finish(), &["-", "x"]);
    let outcome = sandbox.bedplate(["packages", "x"]).run();
    assert_eq!(outcome.status, Some(65), "{outcome}");
    outcome.says("cannot read /var/lib/dpkg/status").says("line 6: \"nonsense\" is not a field");
}

#[test]
fn packages_of_this_machine_as_its_own_dpkg_lists_them() {
    let test = "packages::packages_of_this_machine_as_its_own_dpkg_lists_them";
    let status = std::fs::read("/var/lib/dpkg/status").unwrap_or_default();
    let format = "${db:Status-Status} ${Package} ${Version} ${Architecture}\n";
    let dpkg = std::process::Command::new("dpkg-query").args(["-W", "-f", format]).output();
    needs!(test, !status.is_empty() && dpkg.as_ref().is_ok_and(|dpkg| dpkg.status.success()), "no dpkg here");
    let listed = String::from_utf8(dpkg.unwrap().stdout).unwrap();
    let there = |line: &str| !line.starts_with("config-files ") && !line.starts_with("not-installed ");
    let mut expected: Vec<&str> = listed.lines().filter(|line| there(line)).collect();
    expected.sort_unstable();
    let sandbox = sandbox();
    import(&sandbox, &Tar::new().file("var/lib/dpkg/status", 0o644, status).finish(), &["-", "host"]);
    let ours = "{{.Status}} {{.Name}} {{.Version}} {{.Architecture}}";
    let found = sandbox.bedplate(["packages", "--format", ours, "host"]).ok().text();
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    assert_eq!(found, expected);
}
