//! The build checks by their public names.
//!
//! Names, descriptions and pages are those of the published list (BuildKit's documentation, "Build checks"), so that
//! `# check=skip=NAME` and the tools that read findings mean the same here.

use std::fmt;

/// A build check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Stage names are in lower case.
    StageNameCasing,
    /// AS is written as FROM is.
    FromAsCasing,
    /// No empty line in a continued instruction.
    NoEmptyContinuation,
    /// All keywords are in one case.
    ConsistentInstructionCasing,
    /// Stage names are unique.
    DuplicateStageName,
    /// Stages do not have reserved names.
    ReservedStageName,
    /// CMD and ENTRYPOINT are in exec form, or the shell is chosen.
    JsonArgsRecommended,
    /// MAINTAINER is not used.
    MaintainerDeprecated,
    /// FROM uses declared arguments.
    UndefinedArgInFrom,
    /// A relative WORKDIR has an absolute one before it.
    WorkdirRelativePath,
    /// Variables are set before their use.
    UndefinedVar,
    /// CMD, ENTRYPOINT and HEALTHCHECK come once in a stage.
    MultipleInstructionsDisallowed,
    /// `key=value` and not `key value`.
    LegacyKeyValueFormat,
    /// The base is for the platform of the build.
    InvalidBaseImagePlatform,
    /// FROM does not say the default platform.
    RedundantTargetPlatform,
    /// No secrets in ARG and ENV.
    SecretsUsedInArgOrEnv,
    /// The default of a global ARG makes a valid base.
    InvalidDefaultArgInFrom,
    /// FROM has no fixed platform.
    FromPlatformFlagConstDisallowed,
    /// COPY and ADD do not name what the ignore file excludes.
    CopyIgnoredFile,
    /// Comments above stages and arguments describe them.
    InvalidDefinitionDescription,
    /// The protocol of EXPOSE is in lower case.
    ExposeProtoCasing,
    /// EXPOSE names ports of the container only.
    ExposeInvalidFormat,
    /// What looks like a JSON array is one. Of this list, the only rule that is not on the published one.
    InvalidJsonArgs,
}

/// What is said about a rule, whatever it finds.
struct About {
    name: &'static str,
    page: &'static str,
    description: &'static str,
    mend: &'static str,
}

impl Rule {
    /// All rules.
    pub const ALL: [Rule; 23] = [
        Rule::StageNameCasing,
        Rule::FromAsCasing,
        Rule::NoEmptyContinuation,
        Rule::ConsistentInstructionCasing,
        Rule::DuplicateStageName,
        Rule::ReservedStageName,
        Rule::JsonArgsRecommended,
        Rule::MaintainerDeprecated,
        Rule::UndefinedArgInFrom,
        Rule::WorkdirRelativePath,
        Rule::UndefinedVar,
        Rule::MultipleInstructionsDisallowed,
        Rule::LegacyKeyValueFormat,
        Rule::InvalidBaseImagePlatform,
        Rule::RedundantTargetPlatform,
        Rule::SecretsUsedInArgOrEnv,
        Rule::InvalidDefaultArgInFrom,
        Rule::FromPlatformFlagConstDisallowed,
        Rule::CopyIgnoredFile,
        Rule::InvalidDefinitionDescription,
        Rule::ExposeProtoCasing,
        Rule::ExposeInvalidFormat,
        Rule::InvalidJsonArgs,
    ];

    fn about(self) -> About {
        let about = |name, page, description, mend| About { name, page, description, mend };
        match self {
            Rule::StageNameCasing => about(
                "StageNameCasing",
                "stage-name-casing",
                "Stage names should be lowercase",
                "write the name in lower case",
            ),
            Rule::FromAsCasing => about(
                "FromAsCasing",
                "from-as-casing",
                "The 'as' keyword should match the case of the 'from' keyword",
                "write both in upper or both in lower case",
            ),
            Rule::NoEmptyContinuation => about(
                "NoEmptyContinuation",
                "no-empty-continuation",
                "Empty continuation lines will become errors in a future release",
                "remove the empty line, or make it a comment",
            ),
            Rule::ConsistentInstructionCasing => about(
                "ConsistentInstructionCasing",
                "consistent-instruction-casing",
                "All commands within the Dockerfile should use the same casing (either upper or lower)",
                "write all keywords in the same case",
            ),
            Rule::DuplicateStageName => about(
                "DuplicateStageName",
                "duplicate-stage-name",
                "Stage names should be unique",
                "give one of the stages another name; the later one hides the earlier",
            ),
            Rule::ReservedStageName => about(
                "ReservedStageName",
                "reserved-stage-name",
                "Reserved words should not be used as stage names",
                "give the stage another name; nothing can refer to this one",
            ),
            Rule::JsonArgsRecommended => about(
                "JSONArgsRecommended",
                "json-args-recommended",
                "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
                "write [\"program\", \"argument\"], or choose the shell with SHELL",
            ),
            Rule::MaintainerDeprecated => about(
                "MaintainerDeprecated",
                "maintainer-deprecated",
                "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
                "write LABEL org.opencontainers.image.authors=\"name\"",
            ),
            Rule::UndefinedArgInFrom => about(
                "UndefinedArgInFrom",
                "undefined-arg-in-from",
                "FROM command must use declared ARGs",
                "declare it with ARG before the first FROM",
            ),
            Rule::WorkdirRelativePath => about(
                "WorkdirRelativePath",
                "workdir-relative-path",
                "Relative workdir without an absolute workdir declared within the build can have unexpected results if \
                 the base image changes",
                "begin the path with /, or put an absolute WORKDIR before it",
            ),
            Rule::UndefinedVar => about(
                "UndefinedVar",
                "undefined-var",
                "Variables should be defined before their use",
                "set it with ARG or ENV in this stage, or give a default: ${NAME:-default}",
            ),
            Rule::MultipleInstructionsDisallowed => about(
                "MultipleInstructionsDisallowed",
                "multiple-instructions-disallowed",
                "Multiple instructions of the same type should not be used in the same stage",
                "remove this one; a later one of the stage replaces it",
            ),
            Rule::LegacyKeyValueFormat => about(
                "LegacyKeyValueFormat",
                "legacy-key-value-format",
                "Legacy key/value format with whitespace separator should not be used",
                "put a = between name and value, and the value in quotes where it has blanks",
            ),
            Rule::InvalidBaseImagePlatform => about(
                "InvalidBaseImagePlatform",
                "",
                "Base image platform does not match expected target platform",
                "choose a base of the platform, or say --platform",
            ),
            Rule::RedundantTargetPlatform => about(
                "RedundantTargetPlatform",
                "redundant-target-platform",
                "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
                "remove --platform",
            ),
            Rule::SecretsUsedInArgOrEnv => about(
                "SecretsUsedInArgOrEnv",
                "secrets-used-in-arg-or-env",
                "Sensitive data should not be used in the ARG or ENV commands",
                "hand it to the step with RUN --mount=type=secret; ARG and ENV stay readable in the image",
            ),
            Rule::InvalidDefaultArgInFrom => about(
                "InvalidDefaultArgInFrom",
                "invalid-default-arg-in-from",
                "Default value for global ARG results in an empty or invalid base image name",
                "give the ARG a default that makes a valid name",
            ),
            Rule::FromPlatformFlagConstDisallowed => about(
                "FromPlatformFlagConstDisallowed",
                "from-platform-flag-const-disallowed",
                "FROM --platform flag should not use a constant value",
                "remove --platform and say it to the build, or name the stage after the platform",
            ),
            Rule::CopyIgnoredFile => about(
                "CopyIgnoredFile",
                "copy-ignored-file",
                "Attempting to Copy file that is excluded by .dockerignore",
                "remove the pattern from the ignore file, or the source from the instruction",
            ),
            Rule::InvalidDefinitionDescription => about(
                "InvalidDefinitionDescription",
                "invalid-definition-description",
                "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If \
                 this is not intended to be a description comment, add an empty line or comment between the \
                 instruction and the comment.",
                "begin the comment with the name, or put an empty line below it",
            ),
            Rule::ExposeProtoCasing => about(
                "ExposeProtoCasing",
                "expose-proto-casing",
                "Protocol in EXPOSE instruction should be lowercase",
                "write tcp, udp or sctp",
            ),
            Rule::ExposeInvalidFormat => about(
                "ExposeInvalidFormat",
                "expose-invalid-format",
                "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error \
                 in a future release",
                "name the container's port only; ports of the host are chosen when it runs",
            ),
            Rule::InvalidJsonArgs => about(
                "InvalidJSONArgs",
                "",
                "Arguments that look like a JSON array and are none are taken as a shell command",
                "put each word in double quotes, commas between them, and \\\\ for a backslash",
            ),
        }
    }

    /// The public name.
    pub fn name(self) -> &'static str {
        self.about().name
    }

    /// What the rule asks for, in a sentence.
    pub fn description(self) -> &'static str {
        self.about().description
    }

    /// How to mend what the rule finds.
    pub fn mend(self) -> &'static str {
        self.about().mend
    }

    /// The page that explains the rule, where there is one.
    pub fn url(self) -> Option<String> {
        let page = self.about().page;
        (!page.is_empty()).then(|| format!("https://docs.docker.com/go/dockerfile/rule/{page}/"))
    }

    /// Whether the rule is off until a file asks for it.
    pub fn is_experimental(self) -> bool {
        matches!(self, Rule::CopyIgnoredFile | Rule::InvalidDefinitionDescription)
    }

    /// Finds a rule by its name.
    pub fn from_name(name: &str) -> Option<Rule> {
        Rule::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_rules_and_pages_follow_them() {
        for rule in Rule::ALL {
            assert_eq!(Rule::from_name(rule.name()), Some(rule));
            // The page's name is the rule's, with dashes: JSONArgsRecommended, json-args-recommended.
            if let Some(url) = rule.url() {
                let page = url.trim_end_matches('/').rsplit('/').next().unwrap().replace('-', "");
                assert_eq!(page, rule.name().to_lowercase());
            }
            assert!(!rule.mend().is_empty() && !rule.description().is_empty());
        }
        assert_eq!(Rule::from_name("stagenamecasing"), None, "names keep their case");
    }
}
