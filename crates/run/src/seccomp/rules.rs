//! Rules about system calls, and profiles read from files in Docker's format.

use bedplate_sys::caps::{CapSet, LinuxCapability};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::syscalls::{NONE, TABLE};

/// Largest profile file that is read, in bytes: Docker's own has 17 thousand.
pub const LARGEST_PROFILE: usize = 1 << 20;

/// Conditions of one rule: six arguments, each tested from below and above; more would not fit the filter's jumps.
pub const MOST_TESTS: usize = 12;

/// An architecture whose calls a process can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM, EABI.
    Arm,
}

impl Arch {
    /// The architectures of processes on this machine, its own first.
    pub fn of_machine() -> &'static [Arch] {
        match std::env::consts::ARCH {
            "x86_64" => &[Arch::X86_64, Arch::X86],
            "aarch64" => &[Arch::Aarch64, Arch::Arm],
            _ => &[],
        }
    }

    /// The value of `seccomp_data.arch` (`AUDIT_ARCH_*`).
    pub fn audit(self) -> u32 {
        match self {
            Arch::X86_64 => 0xc000_003e,
            Arch::X86 => 0x4000_0003,
            Arch::Aarch64 => 0xc000_00b7,
            Arch::Arm => 0x4000_0028,
        }
    }

    fn column(self) -> usize {
        match self {
            Arch::X86_64 => 0,
            Arch::X86 => 1,
            Arch::Aarch64 => 2,
            Arch::Arm => 3,
        }
    }

    /// The number of a call; `None` where this architecture lacks it.
    pub fn number(self, name: &str) -> Option<u32> {
        let row = TABLE.binary_search_by(|row| row.0.cmp(name)).ok()?;
        let number = TABLE.get(row)?.1[self.column()];
        (number != NONE).then_some(number)
    }

    fn docker_names(self) -> &'static [&'static str] {
        match self {
            Arch::X86_64 => &["amd64", "x86_64", "SCMP_ARCH_X86_64"],
            Arch::X86 => &["x86", "386", "SCMP_ARCH_X86"],
            Arch::Aarch64 => &["arm64", "aarch64", "SCMP_ARCH_AARCH64"],
            Arch::Arm => &["arm", "SCMP_ARCH_ARM"],
        }
    }
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// It is made.
    Allow,
    /// It is made and noted in the kernel's log.
    Log,
    /// It fails with this errno.
    Errno(u16),
    /// The thread gets `SIGSYS`.
    Trap,
    /// A tracer decides.
    Trace(u16),
    /// The thread ends.
    KillThread,
    /// The process ends.
    KillProcess,
}

impl Action {
    /// The value that a filter returns (`SECCOMP_RET_*`).
    pub fn value(self) -> u32 {
        match self {
            Action::Allow => 0x7fff_0000,
            Action::Log => 0x7ffc_0000,
            Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Action::Trap => 0x0003_0000,
            Action::Trace(data) => 0x7ff0_0000 | u32::from(data),
            Action::KillThread => 0,
            Action::KillProcess => 0x8000_0000,
        }
    }
}

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// `argument != value`.
    NotEqual,
    /// `argument < value`.
    Less,
    /// `argument <= value`.
    LessOrEqual,
    /// `argument == value`.
    Equal,
    /// `argument >= value`.
    GreaterOrEqual,
    /// `argument > value`.
    Greater,
    /// `argument & value == operand`.
    MaskedEqual,
}

/// A condition on one argument, all 64 bits of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Test {
    /// Which argument, 0 to 5.
    pub index: u8,
    /// How it is compared.
    pub op: Op,
    /// With what; the mask of [`Op::MaskedEqual`].
    pub value: u64,
    /// What [`Op::MaskedEqual`] expects.
    pub operand: u64,
}

/// What happens to some calls, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The calls.
    pub names: Vec<String>,
    /// What happens to them.
    pub action: Action,
    /// Conditions, all of which must hold.
    pub tests: Vec<Test>,
    /// Only with all these capabilities.
    pub with: Vec<String>,
    /// Only without any of these capabilities.
    pub without: Vec<String>,
    /// Only where the machine's own or secondary architecture is one of these; everywhere where empty.
    pub on: Vec<Arch>,
    /// The rule names architectures of which this program knows none.
    pub elsewhere: bool,
}

impl Rule {
    /// Makes a rule without conditions.
    pub fn new(names: Vec<String>, action: Action) -> Self {
        Self {
            names,
            action,
            tests: Vec::new(),
            with: Vec::new(),
            without: Vec::new(),
            on: Vec::new(),
            elsewhere: false,
        }
    }

    pub(super) fn when(mut self, test: Test) -> Self {
        self.tests.push(test);
        self
    }

    pub(super) fn with(mut self, capability: LinuxCapability) -> Self {
        self.with.push(capability.name().to_owned());
        self
    }

    pub(super) fn without(mut self, capability: LinuxCapability) -> Self {
        self.without.push(capability.name().to_owned());
        self
    }

    pub(super) fn on(mut self, arches: &[Arch]) -> Self {
        self.on = arches.to_vec();
        self
    }

    /// Whether the rule counts for a process with `capabilities` on a machine whose own architecture is `own`.
    pub(super) fn applies(&self, capabilities: CapSet, own: Arch) -> bool {
        let has = |name: &String| LinuxCapability::by_name(name).is_some_and(|c| capabilities.contains(c));
        let here = if self.on.is_empty() { !self.elsewhere } else { self.on.contains(&own) };
        here && self.with.iter().all(has) && !self.without.iter().any(has)
    }
}

/// A whole set of rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// What happens to calls that no rule speaks of.
    pub default: Action,
    /// The rules; of several for a call one without conditions wins, else the first that holds.
    pub rules: Vec<Rule>,
}

/// Why a profile cannot be used.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// The file is beyond the limit.
    #[error("seccomp profile has {size} bytes; at most {LARGEST_PROFILE} are read")]
    Size {
        /// Its size.
        size: usize,
    },
    /// It is not the JSON it should be.
    #[error("seccomp profile is malformed")]
    Json {
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A word in it is unknown.
    #[error("seccomp profile has unknown {what} {found:?}")]
    Unknown {
        /// `action` or `operator`.
        what: &'static str,
        /// The word.
        found: String,
    },
    /// A call has no argument of that number.
    #[error("seccomp profile tests argument {index} of {call:?}; calls have arguments 0 to 5")]
    Argument {
        /// The number.
        index: u64,
        /// The first call of the rule.
        call: String,
    },
    /// A rule has more conditions than fit.
    #[error("seccomp profile tests {count} conditions of {call:?}; at most {MOST_TESTS} are possible")]
    Tests {
        /// How many.
        count: usize,
        /// The first call of the rule.
        call: String,
    },
    /// The filter would be beyond what the kernel takes.
    #[error("seccomp filter has {size} instructions; the kernel takes {limit}")]
    Filter {
        /// How many.
        size: usize,
        /// How many at most.
        limit: usize,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    default_action: String,
    default_errno_ret: Option<u16>,
    #[serde(default)]
    syscalls: Vec<Calls>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Calls {
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    action: String,
    errno_ret: Option<u16>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u64,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Deserialize, Default)]
struct Filter {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
}

fn action(word: &str, errno: Option<u16>) -> Result<Action, ProfileError> {
    Ok(match word {
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_LOG" => Action::Log,
        // Docker's default where the file does not say.
        "SCMP_ACT_ERRNO" => Action::Errno(errno.unwrap_or(1)),
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_TRACE" => Action::Trace(errno.unwrap_or(1)),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        _ => return Err(ProfileError::Unknown { what: "action", found: word.to_owned() }),
    })
}

impl Profile {
    /// Parses a profile in Docker's format. Calls and architectures that are unknown are passed over, as Docker does;
    /// conditions on the kernel's version are taken as met.
    ///
    /// # Errors
    /// [`ProfileError`]: malformed JSON, unknown actions and operators, a file beyond [`LARGEST_PROFILE`].
    pub fn parse(text: &[u8]) -> Result<Self, ProfileError> {
        if text.len() > LARGEST_PROFILE {
            return Err(ProfileError::Size { size: text.len() });
        }
        let file: File = serde_json::from_slice(text).map_err(|source| ProfileError::Json { source })?;
        let default = action(&file.default_action, file.default_errno_ret)?;
        let mut rules = Vec::with_capacity(file.syscalls.len());
        for calls in file.syscalls {
            let mut names = calls.names;
            names.extend(calls.name);
            let mut rule = Rule::new(names, action(&calls.action, calls.errno_ret)?);
            for argument in calls.args.unwrap_or_default() {
                let op = match argument.op.as_str() {
                    "SCMP_CMP_NE" => Op::NotEqual,
                    "SCMP_CMP_LT" => Op::Less,
                    "SCMP_CMP_LE" => Op::LessOrEqual,
                    "SCMP_CMP_EQ" => Op::Equal,
                    "SCMP_CMP_GE" => Op::GreaterOrEqual,
                    "SCMP_CMP_GT" => Op::Greater,
                    "SCMP_CMP_MASKED_EQ" => Op::MaskedEqual,
                    _ => return Err(ProfileError::Unknown { what: "operator", found: argument.op }),
                };
                let index = u8::try_from(argument.index).ok().filter(|i| *i < 6).ok_or_else(|| {
                    let call = rule.names.first().cloned().unwrap_or_default();
                    ProfileError::Argument { index: argument.index, call }
                })?;
                rule.tests.push(Test { index, op, value: argument.value, operand: argument.value_two });
            }
            if rule.tests.len() > MOST_TESTS {
                let call = rule.names.first().cloned().unwrap_or_default();
                return Err(ProfileError::Tests { count: rule.tests.len(), call });
            }
            let includes = calls.includes.unwrap_or_default();
            let excludes = calls.excludes.unwrap_or_default();
            let known = |names: &[String]| -> Vec<Arch> {
                [Arch::X86_64, Arch::X86, Arch::Aarch64, Arch::Arm]
                    .into_iter()
                    .filter(|a| names.iter().any(|n| a.docker_names().contains(&n.as_str())))
                    .collect()
            };
            rule.on = known(&includes.arches);
            rule.elsewhere = !includes.arches.is_empty();
            let not_on = known(&excludes.arches);
            if !not_on.is_empty() {
                if rule.on.is_empty() {
                    rule.on = vec![Arch::X86_64, Arch::X86, Arch::Aarch64, Arch::Arm];
                }
                rule.on.retain(|a| !not_on.contains(a));
                rule.elsewhere = true;
            }
            rule.with = includes.caps;
            rule.without = excludes.caps;
            rules.push(rule);
        }
        Ok(Profile { default, rules })
    }
}
