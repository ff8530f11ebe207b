use std::collections::{BTreeMap, BTreeSet};

use bedplate_sys::caps::{CapSet, LinuxCapability};
use bedplate_sys::seccomp::Instruction;
use proptest::prelude::*;

use super::syscalls::{GREATEST, TABLE};
use super::*;
use crate::config::DEFAULT_CAPABILITIES;

/// Docker's default as one line a call, written from its publication and not from our data.
const DOCKER: &str = include_str!("docker_default.txt");

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const KILL: u32 = 0x8000_0000;

/// Runs a filter as the kernel would: classic BPF over `struct seccomp_data`.
fn answer(program: &[Instruction], arch: u32, number: u32, args: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_le_bytes());
    data.extend(arch.to_le_bytes());
    data.extend(0_u64.to_le_bytes());
    args.iter().for_each(|a| data.extend(a.to_le_bytes()));
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    for _ in 0..program.len() {
        let Instruction { code, jt, jf, k } = program[at];
        let jump = |holds: bool| usize::from(if holds { jt } else { jf });
        at += 1;
        match code {
            0x20 => {
                let k = k as usize;
                accumulator = u32::from_le_bytes(data[k..k + 4].try_into().unwrap());
            }
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += jump(accumulator == k),
            0x25 => at += jump(accumulator > k),
            0x35 => at += jump(accumulator >= k),
            0x06 => return k,
            _ => panic!("unknown operation {code:#x}"),
        }
    }
    panic!("the program does not end");
}

fn caps(names: &[&str]) -> CapSet {
    names.iter().map(|n| LinuxCapability::by_name(n).unwrap()).collect()
}

fn default_caps() -> CapSet {
    caps(&DEFAULT_CAPABILITIES)
}

/// What Docker's text says of a call: always allowed, or allowed for these arguments; else what it answers.
#[derive(Default, Clone)]
struct Expected {
    allow: bool,
    when: Vec<(usize, String, u64)>,
    errno: Option<u32>,
}

fn docker(capabilities: CapSet, machine: &str) -> BTreeMap<&'static str, Expected> {
    let has = |name: &str| capabilities.contains(LinuxCapability::by_name(name).unwrap());
    let mut calls: BTreeMap<&str, Expected> = BTreeMap::new();
    for line in DOCKER.lines().filter(|l| !l.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["allow", name] => calls.entry(name).or_default().allow = true,
            ["cap", cap, name] if has(cap) => calls.entry(name).or_default().allow = true,
            ["cap", ..] => {}
            ["arch", arches, name] if arches.split(',').any(|a| a == machine) => {
                calls.entry(name).or_default().allow = true;
            }
            ["arch", ..] => {}
            ["args", name, index, op, value] => calls.entry(name).or_default().when.push((
                index.parse().unwrap(),
                (*op).to_owned(),
                value.parse().unwrap(),
            )),
            ["without", cap, ..] if has(cap) => {}
            ["without", _, name, "errno", errno] => {
                calls.entry(name).or_default().errno = Some(0x0005_0000 | errno.parse::<u32>().unwrap());
            }
            ["without", _, name, index, op, value] => calls.entry(name).or_default().when.push((
                index.parse().unwrap(),
                (*op).to_owned(),
                value.parse().unwrap(),
            )),
            other => panic!("{other:?}"),
        }
    }
    calls
}

impl Expected {
    fn answer(&self, args: [u64; 6]) -> u32 {
        let holds = |(index, op, value): &(usize, String, u64)| match op.as_str() {
            "eq" => args[*index] == *value,
            "lt" => args[*index] < *value,
            "masked" => args[*index] & *value == 0,
            other => panic!("{other}"),
        };
        if self.allow || self.when.iter().any(holds) { ALLOW } else { self.errno.unwrap_or(EPERM) }
    }
}

/// Arguments that the conditions of the profile tell apart.
fn samples() -> Vec<[u64; 6]> {
    let mut values: Vec<u64> = (0..64).collect();
    values.extend([0x8, 0x2_0000, 0x2_0008, 0x4_0000, 0xffff_ffff, 0xffff_fffe, u64::MAX, 1 << 32, (1 << 32) + 2]);
    values.extend([0x7e02_0000, 0x1000_0000, 0x0200_0000, 0x0002_0000, 0x0101_0011, 0x003d_0f00, (1 << 32) + 38]);
    values.into_iter().map(|v| [v, 0, 0, 0, 0, 0]).collect()
}

#[test]
fn every_call_is_answered_as_docker_does() {
    let mut sets = vec![CapSet::EMPTY, default_caps(), CapSet::ALL];
    sets.extend(LinuxCapability::all().map(|c| CapSet::EMPTY.with(c)));
    for (machine, arches) in [("amd64", [Arch::X86_64, Arch::X86]), ("arm64", [Arch::Aarch64, Arch::Arm])] {
        for set in &sets {
            let program = compile(&default_profile(), *set, &arches).unwrap();
            let expected = docker(*set, machine);
            for arch in arches {
                let mut numbers = BTreeSet::new();
                for (name, _) in TABLE {
                    let Some(number) = arch.number(name) else { continue };
                    numbers.insert(number);
                    let none = Expected::default();
                    let expected = expected.get(name).unwrap_or(&none);
                    let conditional = !expected.when.is_empty();
                    for args in samples().into_iter().take(if conditional { usize::MAX } else { 3 }) {
                        assert_eq!(
                            answer(&program, arch.audit(), number, args),
                            expected.answer(args),
                            "{name} {args:x?} {arch:?} {set:?}"
                        );
                    }
                }
                // Numbers that no call has.
                for number in (0..=GREATEST).filter(|n| !numbers.contains(n)) {
                    assert_eq!(answer(&program, arch.audit(), number, [0; 6]), EPERM, "{number}");
                }
                for number in [GREATEST + 1, 1000, 0x4000_0000, 0x4000_0001, u32::MAX - 1] {
                    assert_eq!(answer(&program, arch.audit(), number, [0; 6]), ENOSYS, "{number:#x}");
                }
            }
            // An architecture that was not expected ends the process.
            assert_eq!(answer(&program, Arch::X86_64.audit() ^ 1, 0, [0; 6]), KILL);
        }
    }
}

#[test]
fn all_names_of_docker_are_known() {
    let mut names = BTreeSet::new();
    for line in DOCKER.lines().filter(|l| !l.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        names.insert(match words[0] {
            "allow" | "args" => words[1],
            _ => words[2],
        });
    }
    for name in &names {
        assert!(TABLE.binary_search_by(|row| row.0.cmp(name)).is_ok(), "{name}");
    }
    assert!(names.len() > 400);
    assert!(TABLE.windows(2).all(|w| w[0].0 < w[1].0));
}

#[test]
fn the_filter_is_small_and_finds_a_call_in_few_steps() {
    let program = compile(&default_profile(), default_caps(), &[Arch::X86_64, Arch::X86]).unwrap();
    assert!(program.len() < 800, "{}", program.len());
    // What is not on the hot path may be longer; reading is.
    let steps = |number: u32| {
        let mut n = 0;
        let (mut at, data) = (0, [number, Arch::X86_64.audit()]);
        let mut accumulator = 0;
        loop {
            let i = program[at];
            (n, at) = (n + 1, at + 1);
            match i.code {
                0x20 => accumulator = data[i.k as usize / 4],
                0x05 => at += i.k as usize,
                0x15 => at += usize::from(if accumulator == i.k { i.jt } else { i.jf }),
                0x35 => at += usize::from(if accumulator >= i.k { i.jt } else { i.jf }),
                _ => return n,
            }
        }
    };
    assert!(steps(0) <= 16, "{}", steps(0));
}

#[test]
fn another_compiler_makes_a_filter_that_answers_the_same() {
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        TargetArch,
    };
    let profile = default_profile();
    let set = default_caps();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut unconditional = BTreeSet::new();
    for rule in profile.rules.iter().filter(|r| r.applies(set, Arch::X86_64) && r.action == Action::Allow) {
        for name in &rule.names {
            let Some(number) = Arch::X86_64.number(name) else { continue };
            if rule.tests.is_empty() {
                unconditional.insert(i64::from(number));
                continue;
            }
            let conditions = rule.tests.iter().map(|t| {
                let (op, value) = match t.op {
                    Op::Equal => (SeccompCmpOp::Eq, t.value),
                    Op::NotEqual => (SeccompCmpOp::Ne, t.value),
                    Op::Less => (SeccompCmpOp::Lt, t.value),
                    Op::LessOrEqual => (SeccompCmpOp::Le, t.value),
                    Op::GreaterOrEqual => (SeccompCmpOp::Ge, t.value),
                    Op::Greater => (SeccompCmpOp::Gt, t.value),
                    Op::MaskedEqual => (SeccompCmpOp::MaskedEq(t.value), t.operand),
                };
                SeccompCondition::new(t.index, SeccompCmpArgLen::Qword, op, value).unwrap()
            });
            rules.entry(number.into()).or_default().push(SeccompRule::new(conditions.collect()).unwrap());
        }
    }
    for number in unconditional {
        rules.insert(number, Vec::new());
    }
    let filter = SeccompFilter::new(rules, SeccompAction::Errno(1), SeccompAction::Allow, TargetArch::x86_64).unwrap();
    let theirs: Vec<Instruction> = BpfProgram::try_from(filter)
        .unwrap()
        .into_iter()
        .map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k })
        .collect();
    let ours = compile(&profile, set, &[Arch::X86_64]).unwrap();
    let clone3 = Arch::X86_64.number("clone3").unwrap();
    for number in (0..=GREATEST).filter(|n| *n != clone3) {
        for args in samples() {
            let audit = Arch::X86_64.audit();
            assert_eq!(answer(&ours, audit, number, args), answer(&theirs, audit, number, args), "{number} {args:x?}");
        }
    }
}

#[test]
fn profiles_in_docker_s_format() {
    let profile = Profile::parse(
        br#"{"defaultAction":"SCMP_ACT_ALLOW","archMap":[{"architecture":"SCMP_ARCH_X86_64"}],"syscalls":[
            {"names":["mkdir","nonsense"],"action":"SCMP_ACT_ERRNO","errnoRet":30},
            {"name":"chmod","action":"SCMP_ACT_KILL_PROCESS","args":[{"index":1,"value":511,"valueTwo":0,"op":"SCMP_CMP_EQ"}]},
            {"names":["chown"],"action":"SCMP_ACT_ERRNO","includes":{"caps":["CAP_CHOWN"]}},
            {"names":["link"],"action":"SCMP_ACT_ERRNO","excludes":{"arches":["amd64"]}},
            {"names":["rename"],"action":"SCMP_ACT_ERRNO","includes":{"arches":["s390x"]}}]}"#,
    )
    .unwrap();
    let program = compile(&profile, caps(&["CHOWN"]), &[Arch::X86_64]).unwrap();
    let call = |name: &str, second: u64| {
        answer(&program, Arch::X86_64.audit(), Arch::X86_64.number(name).unwrap(), [0, second, 0, 0, 0, 0])
    };
    for (name, second, expected) in [
        ("mkdir", 0, 0x0005_001e),
        ("chmod", 511, KILL),
        ("chmod", 510, ALLOW),
        ("chown", 0, EPERM),
        ("link", 0, ALLOW),
        ("rename", 0, ALLOW),
        ("read", 0, ALLOW),
    ] {
        assert_eq!(call(name, second), expected, "{name} {second}");
    }
    // Where everything is allowed, so is what is newer than this program.
    assert_eq!(answer(&program, Arch::X86_64.audit(), 2000, [0; 6]), ALLOW);
    for (text, message) in [
        ("", "seccomp profile is malformed"),
        ("{}", "seccomp profile is malformed"),
        (r#"{"defaultAction":"NONSENSE"}"#, "seccomp profile has unknown action \"NONSENSE\""),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
            "seccomp profile tests argument 6 of \"read\"; calls have arguments 0 to 5",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":0,"op":"MAYBE"}]}]}"#,
            "seccomp profile has unknown operator \"MAYBE\"",
        ),
    ] {
        assert_eq!(Profile::parse(text.as_bytes()).unwrap_err().to_string(), message);
    }
    let test = r#"{"index":0,"value":0,"op":"SCMP_CMP_EQ"}"#;
    let with = |count: usize| {
        let tests = vec![test; count].join(",");
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["read"],"action":"SCMP_ACT_LOG","args":[{tests}]}}]}}"#
        )
    };
    assert!(Profile::parse(with(MOST_TESTS).as_bytes()).is_ok());
    assert!(Profile::parse(with(MOST_TESTS + 1).as_bytes()).is_err());
    assert!(Profile::parse(&vec![b' '; LARGEST_PROFILE + 1]).unwrap_err().to_string().contains("1048577 bytes"));
}

#[test]
fn a_filter_beyond_the_kernel_s_limit_is_refused() {
    let rules = (0..2000)
        .map(|value| {
            let mut rule = Rule::new(vec!["read".into()], Action::Log);
            rule.tests.push(Test { index: 0, op: Op::Equal, value, operand: 0 });
            rule
        })
        .collect();
    let profile = Profile { default: Action::Allow, rules };
    let error = compile(&profile, CapSet::EMPTY, &[Arch::X86_64]).unwrap_err();
    assert!(error.to_string().contains("the kernel takes 4096"), "{error}");
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        Just(Op::NotEqual),
        Just(Op::Less),
        Just(Op::LessOrEqual),
        Just(Op::Equal),
        Just(Op::GreaterOrEqual),
        Just(Op::Greater),
        Just(Op::MaskedEqual)
    ]
}

/// Numbers whose halves meet each other.
fn number() -> impl Strategy<Value = u64> {
    let half = prop_oneof![0..3_u64, Just(0xffff_ffff), Just(0x8000_0000), any::<u32>().prop_map(u64::from)];
    (half.clone(), half).prop_map(|(high, low)| high << 32 | low)
}

proptest! {
    #[test]
    fn conditions_compare_all_64_bits(
        tests in prop::collection::vec((0..6_u8, op(), number(), number()), 1..MOST_TESTS),
        args in prop::array::uniform6(number()),
        same in any::<bool>(),
    ) {
        let tests: Vec<Test> =
            tests.into_iter().map(|(index, op, value, operand)| Test { index, op, value, operand }).collect();
        let mut args = args;
        if same {
            tests.iter().for_each(|t| args[usize::from(t.index)] = t.value);
        }
        let mut rule = Rule::new(vec!["read".into()], Action::Errno(5));
        rule.tests = tests.clone();
        let profile = Profile { default: Action::Allow, rules: vec![rule] };
        let program = compile(&profile, CapSet::EMPTY, &[Arch::X86_64]).unwrap();
        let holds = tests.iter().all(|t| {
            let a = args[usize::from(t.index)];
            match t.op {
                Op::NotEqual => a != t.value,
                Op::Less => a < t.value,
                Op::LessOrEqual => a <= t.value,
                Op::Equal => a == t.value,
                Op::GreaterOrEqual => a >= t.value,
                Op::Greater => a > t.value,
                Op::MaskedEqual => a & t.value == t.operand,
            }
        });
        let found = answer(&program, Arch::X86_64.audit(), 0, args);
        prop_assert_eq!(found, if holds { 0x0005_0005 } else { ALLOW });
    }

    #[test]
    fn any_bytes_are_a_profile_or_an_error(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Profile::parse(&text);
    }
}
