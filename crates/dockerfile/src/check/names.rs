//! What the text alone shows: casing, names of stages, comments, instructions that are out of use.

use std::collections::BTreeSet;

use super::{Judge, argument_names};
use crate::parse::keyword_of;
use crate::position::Span;
use crate::warning::WarningKind;
use crate::{Instruction, Stage};

impl Judge<'_> {
    /// Judges what needs no variable; unneeded stages count, too.
    pub(super) fn names(&mut self) {
        let file = self.subject.file;
        for node in &file.global {
            self.description("ARG", &argument_names(&node.instruction), &node.comments, node.span);
        }
        let mut known = BTreeSet::new();
        for stage in &file.stages {
            let span = stage.node.span;
            self.stage_name(stage, span, &mut known);
            for node in &stage.instructions {
                self.description("ARG", &argument_names(&node.instruction), &node.comments, node.span);
                if matches!(node.instruction, Instruction::Maintainer(_)) {
                    self.report(node.span, WarningKind::MaintainerDeprecated);
                }
            }
        }
        self.casing();
    }

    fn stage_name<'s>(&mut self, stage: &'s Stage, span: Span, known: &mut BTreeSet<&'s str>) {
        let Some(name) = stage.name() else { return };
        // FROM [--platform=P] IMAGE AS NAME: the last words are these, whatever the flags.
        let words: Vec<&str> = stage.node.original.split_whitespace().collect();
        if let (Some(from), [.., by, written]) = (words.first(), words.as_slice()) {
            if written.to_lowercase() != *written {
                self.report(span, WarningKind::StageNameCasing { name: (*written).to_owned() });
            }
            let differs = match casing(from) {
                Some(Case::Lower) => by.to_lowercase() != *by,
                Some(Case::Upper) => by.to_uppercase() != *by,
                // A keyword in mixed case is another rule's.
                None => false,
            };
            if differs {
                let (from, by) = ((*from).to_owned(), (*by).to_owned());
                self.report(span, WarningKind::FromAsCasing { from, by });
            }
        }
        self.description("FROM", &[name.as_str()], &stage.node.comments, span);
        let text = || name.as_str().to_owned();
        if name.is_reserved() {
            self.report(span, WarningKind::ReservedStageName { name: text() });
        }
        if !known.insert(name.as_str()) {
            self.report(span, WarningKind::DuplicateStageName { name: text() });
        }
    }

    /// A comment right above a name describes it, and so begins with it.
    fn description(&mut self, instruction: &'static str, names: &[&str], comments: &[String], span: Span) {
        let Some(last) = comments.last() else { return };
        let word = last.split(' ').next().unwrap_or_default();
        let name = match names {
            [] => return,
            names if names.contains(&word) => return,
            [name] => (*name).to_owned(),
            _ => "<arg_key>".to_owned(),
        };
        self.report(span, WarningKind::Description { instruction, name });
    }

    /// Keywords are in the case that most of the file are in; ARGs before the first FROM do not count.
    fn casing(&mut self) {
        let file = self.subject.file;
        let keywords: Vec<(&str, Span)> = (file.stages.iter())
            .flat_map(|stage| {
                let from = (keyword_of(&stage.node.original), stage.node.span);
                let others = stage.instructions.iter().map(|node| (keyword_of(&node.original), node.span));
                std::iter::once(from).chain(others)
            })
            .collect();
        let count = |case| keywords.iter().filter(|(keyword, _)| casing(keyword) == Some(case)).count();
        let most = if count(Case::Lower) > count(Case::Upper) { Case::Lower } else { Case::Upper };
        for (keyword, span) in keywords.iter().filter(|(keyword, _)| casing(keyword) != Some(most)) {
            let kind =
                WarningKind::InstructionCasing { instruction: (*keyword).to_owned(), lower: most == Case::Lower };
            self.report(*span, kind);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
}

fn casing(keyword: &str) -> Option<Case> {
    if keyword.to_lowercase() == keyword {
        Some(Case::Lower)
    } else if keyword.to_uppercase() == keyword {
        Some(Case::Upper)
    } else {
        None
    }
}
