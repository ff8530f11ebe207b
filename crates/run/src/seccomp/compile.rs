//! From rules to a BPF program.
//!
//! ```text
//! arch? ─┬─ x86_64 ── number ≥ …? ── … ── return, or tests of arguments, then return
//!        ├─ i386   ── …
//!        └─ other  ── kill
//! ```

use bedplate_sys::caps::CapSet;
use bedplate_sys::seccomp::{Instruction, MOST_INSTRUCTIONS};

use super::rules::{Action, Arch, Op, Profile, ProfileError, Test};
use super::syscalls::GREATEST;

// Operations of classic BPF; see linux/bpf_common.h.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQ: u16 = 0x15;
const JUMP_GT: u16 = 0x25;
const JUMP_GE: u16 = 0x35;
const RETURN: u16 = 0x06;

// Offsets in struct seccomp_data: number, architecture, instruction pointer, six arguments.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// `ENOSYS`: what a kernel says to a call it does not have.
const ENOSYS: u16 = 38;

fn ins(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn ret(action: Action) -> Instruction {
    ins(RETURN, 0, 0, action.value())
}

/// What happens to one call.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fate {
    /// Tried in order.
    conditional: Vec<(Vec<Test>, Action)>,
    /// When none holds.
    otherwise: Action,
}

/// Compiles a profile for processes with `capabilities` on a machine with these architectures, its own first.
///
/// Calls that are newer than this program are answered with `ENOSYS`, so that programs try older ones; an
/// architecture that is not named ends the process.
///
/// # Errors
/// [`ProfileError::Filter`] where the program is beyond what the kernel takes.
pub fn compile(profile: &Profile, capabilities: CapSet, arches: &[Arch]) -> Result<Vec<Instruction>, ProfileError> {
    let mut program = vec![ins(LOAD, 0, 0, ARCHITECTURE)];
    let Some(own) = arches.first().copied() else {
        return Ok(vec![ret(Action::Allow)]);
    };
    for arch in arches {
        let section = section(profile, capabilities, own, *arch);
        // Not this architecture: over the section.
        program.push(ins(JUMP_EQ, 1, 0, arch.audit()));
        program.push(ins(JUMP, 0, 0, section.len() as u32));
        program.extend(section);
    }
    program.push(ret(Action::KillProcess));
    if program.len() > MOST_INSTRUCTIONS {
        return Err(ProfileError::Filter { size: program.len(), limit: MOST_INSTRUCTIONS });
    }
    Ok(program)
}

fn section(profile: &Profile, capabilities: CapSet, own: Arch, arch: Arch) -> Vec<Instruction> {
    let unknown = Fate { conditional: Vec::new(), otherwise: profile.default };
    let mut fates: Vec<(u32, Fate)> = Vec::new();
    let mut rules: Vec<(u32, &[Test], Action)> = Vec::new();
    for rule in profile.rules.iter().filter(|r| r.applies(capabilities, own)) {
        for name in &rule.names {
            if let Some(number) = arch.number(name) {
                rules.push((number, &rule.tests, rule.action));
            }
        }
    }
    // Stable: rules of one call stay in their order.
    rules.sort_by_key(|r| r.0);
    for group in rules.chunk_by(|a, b| a.0 == b.0) {
        let mut fate = unknown.clone();
        match group.iter().find(|r| r.1.is_empty()) {
            Some((_, _, action)) => fate.otherwise = *action,
            None => fate.conditional = group.iter().map(|r| (r.1.to_vec(), r.2)).collect(),
        }
        fates.push((group[0].0, fate));
    }
    // Ranges of numbers with one fate each, from 0 up.
    let newer = Fate { conditional: Vec::new(), otherwise: Action::Errno(ENOSYS) };
    let mut ranges: Vec<(u32, Fate)> = Vec::new();
    let mut push = |start: u32, fate: &Fate| {
        if ranges.last().is_none_or(|(_, last)| last != fate) {
            ranges.push((start, fate.clone()));
        }
    };
    let mut next = 0;
    let gap = |from: u32, to: u32, push: &mut dyn FnMut(u32, &Fate)| {
        if from < to {
            if from <= GREATEST {
                push(from, &unknown);
            }
            if to > GREATEST + 1 {
                push(from.max(GREATEST + 1), &newer);
            }
        }
    };
    for (number, fate) in &fates {
        gap(next, *number, &mut push);
        push(*number, fate);
        next = number + 1;
    }
    gap(next, u32::MAX, &mut push);
    // Where everything is allowed anyhow, so is what is newer.
    if profile.default == Action::Allow {
        for range in &mut ranges {
            if range.1 == newer {
                range.1 = unknown.clone();
            }
        }
    }
    let mut code = vec![ins(LOAD, 0, 0, NUMBER)];
    code.extend(halves(&ranges));
    code
}

/// Finds the range of the number in the accumulator by halving.
fn halves(ranges: &[(u32, Fate)]) -> Vec<Instruction> {
    match ranges {
        [] => vec![ret(Action::KillProcess)],
        [(_, fate)] => leaf(fate),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let (start, low, high) = (high[0].0, halves(low), halves(high));
            let mut code = match u8::try_from(low.len()) {
                Ok(over) => vec![ins(JUMP_GE, over, 0, start)],
                // Conditional jumps reach 255 instructions.
                Err(_) => vec![ins(JUMP_GE, 0, 1, start), ins(JUMP, 0, 0, low.len() as u32)],
            };
            code.extend(low);
            code.extend(high);
            code
        }
    }
}

fn leaf(fate: &Fate) -> Vec<Instruction> {
    let mut code = Vec::new();
    for (tests, action) in &fate.conditional {
        code.extend(conditional(tests, *action));
    }
    code.push(ret(fate.otherwise));
    code
}

/// Where a comparison goes on.
#[derive(Clone, Copy)]
enum To {
    /// The next instruction.
    Next,
    /// The instruction after this test: it holds.
    Holds,
    /// The end of this rule: the test fails.
    Fails,
}

/// Tests one after the other and returns the action where all hold.
fn conditional(tests: &[Test], action: Action) -> Vec<Instruction> {
    let parts: Vec<Vec<(u16, u32, To, To)>> = tests.iter().map(one_test).collect();
    let length: usize = parts.iter().map(Vec::len).sum::<usize>() + 1;
    let mut code = Vec::with_capacity(length);
    for part in parts {
        let after = code.len() + part.len();
        for (op, k, yes, no) in part {
            let here = code.len() + 1;
            // A rule has a handful of tests of at most six instructions: offsets stay small; a rule beyond 255 never
            // matches rather than wrongly.
            let offset = |to| {
                let target = match to {
                    To::Next => here,
                    To::Holds => after,
                    To::Fails => length,
                };
                u8::try_from(target - here).unwrap_or(u8::MAX)
            };
            code.push(match op {
                LOAD | AND => ins(op, 0, 0, k),
                _ => ins(op, offset(yes), offset(no), k),
            });
        }
    }
    code.push(ret(action));
    code
}

fn one_test(test: &Test) -> Vec<(u16, u32, To, To)> {
    // Both architectures are little-endian: the low half comes first.
    let low_at = ARGUMENTS + 8 * u32::from(test.index);
    let (high, low) = ((test.value >> 32) as u32, test.value as u32);
    let load_high = (LOAD, low_at + 4, To::Next, To::Next);
    let load_low = (LOAD, low_at, To::Next, To::Next);
    // Greater or equal, or greater, with both outcomes named.
    let above = |op, yes, no| {
        vec![load_high, (JUMP_GT, high, yes, To::Next), (JUMP_EQ, high, To::Next, no), load_low, (op, low, yes, no)]
    };
    match test.op {
        Op::Equal => {
            vec![load_high, (JUMP_EQ, high, To::Next, To::Fails), load_low, (JUMP_EQ, low, To::Holds, To::Fails)]
        }
        Op::NotEqual => {
            vec![load_high, (JUMP_EQ, high, To::Next, To::Holds), load_low, (JUMP_EQ, low, To::Fails, To::Holds)]
        }
        Op::GreaterOrEqual => above(JUMP_GE, To::Holds, To::Fails),
        Op::Greater => above(JUMP_GT, To::Holds, To::Fails),
        Op::Less => above(JUMP_GE, To::Fails, To::Holds),
        Op::LessOrEqual => above(JUMP_GT, To::Fails, To::Holds),
        Op::MaskedEqual => {
            let (want_high, want_low) = ((test.operand >> 32) as u32, test.operand as u32);
            vec![
                load_high,
                (AND, high, To::Next, To::Next),
                (JUMP_EQ, want_high, To::Next, To::Fails),
                load_low,
                (AND, low, To::Next, To::Next),
                (JUMP_EQ, want_low, To::Holds, To::Fails),
            ]
        }
    }
}
