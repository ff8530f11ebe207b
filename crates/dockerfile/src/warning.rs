//! What a Dockerfile may do but should not.

use std::fmt;

use crate::position::Span;
use crate::rule::Rule;

/// A remark on a Dockerfile that parses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub span: Span,
    /// What.
    pub kind: WarningKind,
}

/// The kinds of [`Warning`]: what a [`Rule`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningKind {
    /// An empty line inside a continued instruction.
    EmptyContinuation,
    /// `ENV key value` or `LABEL key value`.
    LegacyKeyValue {
        /// The instruction as written.
        instruction: String,
    },
    /// MAINTAINER was used.
    MaintainerDeprecated,
    /// Two stages have the same name; the later hides the earlier.
    DuplicateStageName {
        /// The name.
        name: String,
    },
    /// A stage is called `scratch` or `context`.
    ReservedStageName {
        /// The name.
        name: String,
    },
    /// The name of a stage has letters in upper case.
    StageNameCasing {
        /// The name as written.
        name: String,
    },
    /// AS is not written as FROM is.
    FromAsCasing {
        /// FROM as written.
        from: String,
        /// AS as written.
        by: String,
    },
    /// A keyword is not written as most are.
    InstructionCasing {
        /// The keyword as written.
        instruction: String,
        /// Whether most are in lower case.
        lower: bool,
    },
    /// The arguments begin with `[` but are no JSON, so they are taken as a shell command.
    NotJson {
        /// The instruction.
        instruction: &'static str,
    },
    /// CMD or ENTRYPOINT is in shell form, and no shell was chosen.
    ShellForm {
        /// The instruction as written.
        instruction: String,
    },
    /// A later instruction of the stage replaces this one.
    OnlyLastCounts {
        /// The instruction as written.
        instruction: String,
    },
    /// FROM uses an argument that is not declared.
    UndefinedArgument {
        /// The argument.
        name: String,
        /// A near one.
        near: Option<String>,
    },
    /// A variable is used that nothing sets.
    UndefinedVariable {
        /// The variable.
        name: String,
        /// A near one.
        near: Option<String>,
    },
    /// A relative WORKDIR, and none before it that is absolute.
    RelativeWorkdir {
        /// The path.
        path: String,
    },
    /// The base is for another platform than the build.
    BasePlatform {
        /// The base.
        image: String,
        /// The platform of the build.
        expected: String,
        /// The platform of the base.
        found: String,
    },
    /// `--platform` of FROM says what is the default.
    TargetPlatform {
        /// The flag's value as written.
        word: String,
    },
    /// `--platform` of FROM is fixed.
    ConstantPlatform {
        /// The platform.
        platform: String,
    },
    /// A variable by the name of a secret.
    Secret {
        /// ARG or ENV.
        instruction: &'static str,
        /// The variable.
        name: String,
    },
    /// The base's name is not valid with the defaults of its arguments.
    DefaultArgument {
        /// The base as written.
        image: String,
    },
    /// A source that the ignore file excludes.
    IgnoredSource {
        /// `Copy` or `Add`.
        action: &'static str,
        /// The source.
        path: String,
    },
    /// A comment above a stage or an argument that does not begin with its name.
    Description {
        /// FROM or ARG.
        instruction: &'static str,
        /// The name with which it should begin.
        name: String,
    },
    /// A protocol in upper case.
    ProtocolCasing {
        /// The port as written.
        port: String,
    },
    /// EXPOSE with an address or a port of the host.
    HostPort {
        /// The port as written.
        port: String,
    },
}

impl Warning {
    /// The rule that found it.
    pub fn rule(&self) -> Rule {
        self.kind.rule()
    }
}

impl WarningKind {
    /// The rule that finds such a thing.
    pub fn rule(&self) -> Rule {
        match self {
            WarningKind::EmptyContinuation => Rule::NoEmptyContinuation,
            WarningKind::LegacyKeyValue { .. } => Rule::LegacyKeyValueFormat,
            WarningKind::MaintainerDeprecated => Rule::MaintainerDeprecated,
            WarningKind::DuplicateStageName { .. } => Rule::DuplicateStageName,
            WarningKind::ReservedStageName { .. } => Rule::ReservedStageName,
            WarningKind::StageNameCasing { .. } => Rule::StageNameCasing,
            WarningKind::FromAsCasing { .. } => Rule::FromAsCasing,
            WarningKind::InstructionCasing { .. } => Rule::ConsistentInstructionCasing,
            WarningKind::NotJson { .. } => Rule::InvalidJsonArgs,
            WarningKind::ShellForm { .. } => Rule::JsonArgsRecommended,
            WarningKind::OnlyLastCounts { .. } => Rule::MultipleInstructionsDisallowed,
            WarningKind::UndefinedArgument { .. } => Rule::UndefinedArgInFrom,
            WarningKind::UndefinedVariable { .. } => Rule::UndefinedVar,
            WarningKind::RelativeWorkdir { .. } => Rule::WorkdirRelativePath,
            WarningKind::BasePlatform { .. } => Rule::InvalidBaseImagePlatform,
            WarningKind::TargetPlatform { .. } => Rule::RedundantTargetPlatform,
            WarningKind::ConstantPlatform { .. } => Rule::FromPlatformFlagConstDisallowed,
            WarningKind::Secret { .. } => Rule::SecretsUsedInArgOrEnv,
            WarningKind::DefaultArgument { .. } => Rule::InvalidDefaultArgInFrom,
            WarningKind::IgnoredSource { .. } => Rule::CopyIgnoredFile,
            WarningKind::Description { .. } => Rule::InvalidDefinitionDescription,
            WarningKind::ProtocolCasing { .. } => Rule::ExposeProtoCasing,
            WarningKind::HostPort { .. } => Rule::ExposeInvalidFormat,
        }
    }
}

/// `Rule: what (line 3)`, as a build says it at its end.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (line {})", self.rule(), self.kind, self.span.start.line)
    }
}

/// What was found, in the words of BuildKit: tools and people look for them.
impl fmt::Display for WarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meant = |near: &Option<String>, sign: &str| match near {
            Some(near) => format!(" (did you mean {sign}{near}?)"),
            None => String::new(),
        };
        match self {
            WarningKind::EmptyContinuation => f.write_str("Empty continuation line"),
            WarningKind::LegacyKeyValue { instruction: i } => {
                write!(f, "\"{i} key=value\" should be used instead of legacy \"{i} key value\" format")
            }
            WarningKind::MaintainerDeprecated => {
                f.write_str("Maintainer instruction is deprecated in favor of using label")
            }
            WarningKind::DuplicateStageName { name } => {
                write!(f, "Duplicate stage name {name:?}, stage names should be unique")
            }
            WarningKind::ReservedStageName { name } => {
                write!(f, "Stage name should not use the same name as reserved stage {name:?}")
            }
            WarningKind::StageNameCasing { name } => write!(f, "Stage name '{name}' should be lowercase"),
            WarningKind::FromAsCasing { from, by } => {
                write!(f, "'{by}' and '{from}' keywords' casing do not match")
            }
            WarningKind::InstructionCasing { instruction, lower } => {
                let casing = if *lower { "lowercase" } else { "uppercase" };
                write!(f, "Command '{instruction}' should match the case of the command majority ({casing})")
            }
            WarningKind::NotJson { instruction } => write!(
                f,
                "Arguments of {instruction} begin with \"[\" but are no valid JSON; they are taken as a shell command"
            ),
            WarningKind::ShellForm { instruction } => write!(
                f,
                "JSON arguments recommended for {instruction} to prevent unintended behavior related to OS signals"
            ),
            WarningKind::OnlyLastCounts { instruction } => write!(
                f,
                "Multiple {instruction} instructions should not be used in the same stage because only the last one \
                 will be used"
            ),
            WarningKind::UndefinedArgument { name, near } => {
                write!(f, "FROM argument '{name}' is not declared{}", meant(near, ""))
            }
            WarningKind::UndefinedVariable { name, near } => {
                write!(f, "Usage of undefined variable '${name}'{}", meant(near, "$"))
            }
            WarningKind::RelativeWorkdir { path } => {
                write!(f, "Relative workdir {path:?} can have unexpected results if the base image changes")
            }
            WarningKind::BasePlatform { image, expected, found } => write!(
                f,
                "Base image {image} was pulled with platform {found:?}, expected {expected:?} for current build"
            ),
            WarningKind::TargetPlatform { word } => {
                write!(f, "Setting platform to predefined {word} in FROM is redundant as this is the default behavior")
            }
            WarningKind::ConstantPlatform { platform } => {
                write!(f, "FROM --platform flag should not use constant value {platform:?}")
            }
            WarningKind::Secret { instruction, name } => {
                write!(f, "Do not use ARG or ENV instructions for sensitive data ({instruction} {name:?})")
            }
            WarningKind::DefaultArgument { image } => {
                write!(f, "Default value for ARG {image} results in empty or invalid base image name")
            }
            WarningKind::IgnoredSource { action, path } => {
                write!(f, "Attempting to {action} file {path:?} that is excluded by .dockerignore")
            }
            WarningKind::Description { instruction, name } => {
                write!(f, "Comment for {instruction} should follow the format: `# {name} <description>`")
            }
            WarningKind::ProtocolCasing { port } => {
                write!(f, "Defined protocol '{port}' in EXPOSE instruction should be lowercase")
            }
            WarningKind::HostPort { port } => {
                write!(f, "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'")
            }
        }
    }
}
