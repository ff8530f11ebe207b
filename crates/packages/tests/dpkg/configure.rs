//! Configuring: the calls of `postinst` and the states in between, beside those of `dpkg --configure`.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use bedplate_packages::deb::dpkg::configure::{Configuring, MAX_TRIGGERED};
use bedplate_packages::deb::dpkg::status;
use bedplate_packages::deb::dpkg::{DatabaseOptions, Record, State, database};
use bedplate_packages::deb::payload::Payload;
use bedplate_testkit::debian::deb::Deb;
use bedplate_testkit::needs;

use crate::kit::{Folder, dpkg_works, new_root, read};

/// Writes down its call and the states that it sees; then triggers what the case says.
const POSTINST: &str = r#"{
echo "$DPKG_MAINTSCRIPT_PACKAGE $*"
dpkg-query --admindir="$DPKG_ADMINDIR" -W -f ' ${Package}=${Status}\n' | sed 's/install ok //'
} >> "$DPKG_ROOT/log"
"#;

/// When a `postinst` triggers something, and the words of `dpkg-trigger`.
type Call = (&'static str, &'static [&'static str]);

/// Packages, and what their scripts trigger.
struct Case {
    name: &'static str,
    packages: Vec<(Deb, Vec<Call>)>,
}

fn deb(name: &str) -> Deb {
    Deb::new(name, "1.0-1").mtime(1_000_000_000)
}

fn cases() -> Vec<Case> {
    let silent = |deb: Deb| (deb, Vec::new());
    vec![
        Case {
            name: "who is not configured yet is not triggered",
            packages: vec![silent(deb("a1").trigger("activate t")), silent(deb("b1").trigger("interest t"))],
        },
        Case {
            name: "one run for many, the newest trigger first, and who waits",
            packages: vec![
                silent(deb("a1").trigger("interest t").trigger("interest-noawait u")),
                silent(deb("b1").trigger("activate t")),
                silent(deb("c1").trigger("activate u").trigger("activate-noawait t")),
                silent(deb("d1").trigger("activate-noawait u")),
            ],
        },
        Case {
            name: "scripts that call dpkg-trigger",
            packages: vec![
                silent(deb("a1").trigger("interest t").trigger("interest-noawait /opt/f")),
                (deb("b1"), vec![("configure", &["t"])]),
                (deb("c1"), vec![("configure", &["--no-await", "t"]), ("configure", &["/opt/f"])]),
            ],
        },
        Case {
            name: "a package that triggers itself",
            packages: vec![(deb("a1").trigger("interest t"), vec![("configure", &["t"])])],
        },
        Case {
            name: "a trigger that triggers",
            packages: vec![
                (deb("a1").trigger("interest t"), vec![("triggered", &["u"])]),
                silent(deb("b1").trigger("interest u")),
                silent(deb("c1").trigger("activate t")),
            ],
        },
        Case {
            name: "a package of an architecture",
            packages: vec![
                silent(deb("a1").field("Multi-Arch", "same").architecture("amd64").trigger("interest t")),
                silent(deb("b1").field("Multi-Arch", "same").architecture("amd64").trigger("activate t")),
            ],
        },
        Case {
            name: "two who wait for one, and one for two",
            packages: vec![
                silent(deb("a1").trigger("interest t")),
                silent(deb("b1").trigger("interest t").trigger("interest u")),
                silent(deb("c1").trigger("activate t")),
                silent(deb("d1").trigger("activate t").trigger("activate u")),
            ],
        },
    ]
}

fn script(calls: &[(&str, &[&str])]) -> String {
    calls.iter().fold(POSTINST.to_owned(), |mut script, (when, words)| {
        let words = words.join(" ");
        let _ = writeln!(script, "if [ \"$1\" = {when} ]; then dpkg-trigger --admindir=\"$DPKG_ADMINDIR\" {words}; fi");
        script
    })
}

/// What our account says at each call, in the form of the scripts' own log.
fn ours(case: &Case) -> String {
    let payloads: Vec<Payload> = case.packages.iter().map(|(deb, _)| read(&deb.build().bytes).payload).collect();
    let record = |payload| Record { payload, state: State::Unpacked, unlisted: None };
    let records: Vec<Record<'_>> = payloads.iter().map(record).collect();
    let files = database(&records, &DatabaseOptions::default()).unwrap();
    let status = files.iter().find(|(path, _)| path.as_bytes() == b"var/lib/dpkg/status").unwrap();
    let status = status.1.content().unwrap();
    let bedplate_tree::Source::Memory(status) = status.source() else { panic!("the database lies in memory") };
    let mut account = Configuring::new(status, &payloads).unwrap();
    let mut log = String::new();
    let call = |account: &Configuring, number: usize, words: &str, log: &mut String| {
        let payload = &payloads[number];
        let _ = writeln!(log, "{} {words}", payload.control().name());
        let status = account.status();
        for stanza in status::parse(&status).unwrap() {
            let _ = writeln!(log, " {}={}", stanza.name, stanza.state.as_str());
        }
        let when = words.split(' ').next().unwrap();
        let calls = case.packages[number].1.iter().filter(|(own, _)| *own == when);
        let lines = calls.map(|(_, words)| match words {
            ["--no-await", trigger] => format!("{trigger} -\n"),
            [trigger, ..] => format!("{trigger} {}\n", payload.control().info_name()),
            [] => String::new(),
        });
        lines.collect::<String>()
    };
    for (number, payload) in payloads.iter().enumerate() {
        let name = payload.control().info_name();
        account.begin(&name);
        let lines = call(&account, number, "configure ", &mut log);
        account.end(&name, lines.as_bytes());
    }
    while let Some(triggered) = account.triggered().unwrap() {
        let number = payloads.iter().position(|p| p.control().info_name() == triggered.package).unwrap();
        let lines = call(&account, number, &format!("triggered {}", triggered.triggers), &mut log);
        account.end(&triggered.package, lines.as_bytes());
    }
    log.push_str("end\n");
    for stanza in status::parse(&account.status()).unwrap() {
        let _ = writeln!(log, " {}={}", stanza.name, stanza.state.as_str());
    }
    log
}

/// What happens where dpkg configures.
fn dpkgs(case: &Case) -> String {
    let folder = Folder::new("postinsts");
    let root = folder.0.join("root");
    new_root(&root);
    let dpkg = |arguments: &[&str], files: &[String]| {
        let mut command = Command::new("dpkg");
        command.env("LC_ALL", "C").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg(format!("--root={}", root.display()));
        command.args(["--force-unsafe-io", "--force-script-chrootless", "--force-depends"]);
        let output = command.args(arguments).args(files).output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", case.name);
        String::from_utf8(output.stdout).unwrap()
    };
    let mut files = Vec::new();
    for (number, (deb, calls)) in case.packages.iter().enumerate() {
        let path = folder.0.join(format!("{number}.deb"));
        fs::write(&path, deb.clone().postinst(&script(calls)).build().bytes).unwrap();
        files.push(path.display().to_string());
    }
    dpkg(&["--no-triggers", "--unpack"], &files);
    let names: Vec<String> = case.packages.iter().map(|(deb, _)| deb.get("Package").unwrap().to_owned()).collect();
    dpkg(&["--configure"], &names);
    let admin = format!("--admindir={}", root.join("var/lib/dpkg").display());
    let output = Command::new("dpkg-query").args([&admin, "-W", "-f", " ${Package}=${db:Status-Status}\n"]).output();
    let states = String::from_utf8(output.unwrap().stdout).unwrap();
    format!("{}end\n{states}", fs::read_to_string(root.join("log")).unwrap())
}

#[test]
fn postinsts_are_called_as_dpkg_calls_them() {
    needs!("packages::postinsts_are_called_as_dpkg_calls_them", dpkg_works(), "needs root and dpkg");
    for case in cases() {
        assert_eq!(ours(&case), dpkgs(&case), "{}", case.name);
    }
}

#[test]
fn a_loop_of_triggers_ends() {
    let payloads = [("a1", "t"), ("b1", "u")]
        .map(|(name, trigger)| read(&deb(name).trigger(&format!("interest {trigger}")).build().bytes).payload);
    let status = b"Package: a1\nStatus: install ok installed\nVersion: 1.0-1\nArchitecture: all\n\n\
        Package: b1\nStatus: install ok installed\nVersion: 1.0-1\nArchitecture: all\n\n";
    let mut account = Configuring::new(status, &payloads).unwrap();
    account.incorporate(b"t -\n");
    let mut runs = 0;
    let error = loop {
        match account.triggered() {
            Ok(Some(triggered)) => {
                let next: &[u8] = if triggered.package == "a1" { b"u -\n" } else { b"t -\n" };
                account.end(&triggered.package, next);
                runs += 1;
            }
            Ok(None) => panic!("they trigger each other"),
            Err(error) => break error,
        }
    };
    assert_eq!(runs, 2 * MAX_TRIGGERED);
    let expected = format!("package \"a1\" was triggered more than {MAX_TRIGGERED} times, the last time by t");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_status_keeps_what_it_does_not_understand() {
    let text = "Package: a1\nStatus: hold ok triggers-pending\nVersion: 1\nArchitecture: all\nX-Own: 1\n \
        more\nTriggers-Pending: t\n\nPackage: b1\nVersion: 1\nStatus: install ok unpacked\n\n";
    let account = Configuring::new(text.as_bytes(), []).unwrap();
    let expected = "Package: a1\nStatus: hold ok triggers-pending\nVersion: 1\nArchitecture: all\nX-Own: 1\n more\n\n\
        Package: b1\nVersion: 1\nStatus: install ok unpacked\n\n";
    assert_eq!(String::from_utf8(account.status()).unwrap(), expected);
}
