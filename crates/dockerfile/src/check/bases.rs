//! What FROM lines show: their arguments and platforms.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::{Judge, Surroundings, near};
use crate::instruction::Word;
use crate::position::Span;
use crate::warning::WarningKind;
use crate::{Expansion, Instruction, Scope};

/// What a stage is built on.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    Scratch,
    Stage(usize),
    Image {
        name: String,
        platform: Option<String>,
    },
    /// It cannot be told; the build will say why.
    Unknown,
}

/// What all stages see of the lines before the first FROM.
pub(super) struct Bases {
    /// One for each stage.
    pub(super) origins: Vec<Origin>,
    /// Values of arguments, with those that are given.
    pub(super) values: BTreeMap<String, String>,
    /// The arguments that each stage's FROM uses.
    pub(super) used: Vec<BTreeSet<String>>,
}

/// A scope that notes which names were found.
struct Noting<'a> {
    scope: &'a BTreeMap<String, String>,
    found: RefCell<BTreeSet<String>>,
}

impl Scope for Noting<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        let value = self.scope.value(name);
        if value.is_some() {
            self.found.borrow_mut().insert(name.to_owned());
        }
        value
    }
}

impl Judge<'_> {
    pub(super) fn bases(&mut self, surroundings: &dyn Surroundings) -> Bases {
        let file = self.subject.file;
        if let Some(defaults) = self.global_values(&[]) {
            for stage in &file.stages {
                let Ok(name) = stage.from.image.expand(file.directives.escape(), &defaults) else { break };
                if !surroundings.is_image_name(&name.text) {
                    let image = stage.from.image.as_str().to_owned();
                    self.report(stage.node.span, WarningKind::DefaultArgument { image });
                }
            }
        }
        let Some(values) = self.global_values(self.subject.build_args) else {
            let values = self.subject.predefined.clone();
            let count = file.stages.len();
            return Bases { origins: vec![Origin::Unknown; count], values, used: vec![BTreeSet::new(); count] };
        };
        let declared: BTreeSet<&str> =
            file.global.iter().flat_map(|node| super::argument_names(&node.instruction)).collect();
        let (mut origins, mut used) = (Vec::new(), Vec::new());
        for (index, stage) in file.stages.iter().enumerate() {
            let span = stage.node.span;
            let mut names = BTreeSet::new();
            let platform = stage.from.platform.as_ref().and_then(|word| {
                let (expansion, found) = self.base_word(word, &values, &declared, span)?;
                self.platform(word, &expansion, &found, &values, index, surroundings);
                names.extend(found);
                Some(expansion.text).filter(|text| !text.is_empty())
            });
            let image = self.base_word(&stage.from.image, &values, &declared, span).map(|(expansion, found)| {
                names.extend(found);
                expansion.text
            });
            origins.push(match image {
                Some(name) if !name.is_empty() => self.origin(index, name, platform),
                _ => Origin::Unknown,
            });
            used.push(names);
        }
        Bases { origins, values, used }
    }

    fn origin(&self, index: usize, name: String, platform: Option<String>) -> Origin {
        if name == "scratch" {
            return Origin::Scratch;
        }
        let stages = &self.subject.file.stages[..index];
        let lower = name.to_lowercase();
        match stages.iter().rposition(|stage| stage.name().is_some_and(|known| known.as_str() == lower)) {
            Some(other) => Origin::Stage(other),
            None => Origin::Image { name, platform },
        }
    }

    /// The values of the ARGs before the first FROM; `None` where one cannot be expanded.
    fn global_values(&self, given: &[(String, String)]) -> Option<BTreeMap<String, String>> {
        let file = self.subject.file;
        let mut values = self.subject.predefined.clone();
        for node in &file.global {
            let Instruction::Arg(arguments) = &node.instruction else { continue };
            for argument in &arguments.arguments {
                let escape = file.directives.escape();
                let name = argument.name.expand(escape, &values).ok()?.text;
                let value = match (given.value(&name), &argument.default) {
                    (Some(value), _) => value.to_owned(),
                    (None, Some(word)) => word.expand(escape, &values).ok()?.text,
                    (None, None) => continue,
                };
                values.insert(name, value);
            }
        }
        Some(values)
    }

    /// The variables that a word finds.
    pub(super) fn used(&self, word: &Word, values: &BTreeMap<String, String>) -> BTreeSet<String> {
        let noting = Noting { scope: values, found: RefCell::default() };
        // What a word that cannot be expanded used up to there is as good as all.
        let _ = word.expand(self.subject.file.directives.escape(), &noting);
        noting.found.into_inner()
    }

    /// Expands a word of FROM, and reports what is not declared.
    fn base_word(
        &mut self,
        word: &Word,
        values: &BTreeMap<String, String>,
        declared: &BTreeSet<&str>,
        span: Span,
    ) -> Option<(Expansion, BTreeSet<String>)> {
        let noting = Noting { scope: values, found: RefCell::default() };
        let expansion = word.expand(self.subject.file.directives.escape(), &noting).ok()?;
        for name in expansion.undefined.iter().filter(|name| !declared.contains(name.as_str())) {
            let known = declared.iter().copied().chain(values.keys().map(String::as_str));
            let near = near(name, known);
            self.report(span, WarningKind::UndefinedArgument { name: name.clone(), near });
        }
        Some((expansion, noting.found.into_inner()))
    }

    fn platform(
        &mut self,
        word: &Word,
        expansion: &Expansion,
        found: &BTreeSet<String>,
        values: &BTreeMap<String, String>,
        index: usize,
        surroundings: &dyn Surroundings,
    ) {
        const TARGET: &str = "TARGETPLATFORM";
        let stage = &self.subject.file.stages[index];
        let span = stage.node.span;
        let only_target = found.len() == 1 && found.contains(TARGET) && expansion.undefined.is_empty();
        if only_target && values.value(TARGET) == Some(&expansion.text) {
            self.report(span, WarningKind::TargetPlatform { word: word.as_str().to_owned() });
        }
        // A default in the word, `${P:-linux}`, makes it no constant either.
        if !found.is_empty() || !expansion.undefined.is_empty() || word.as_str().contains('$') {
            return;
        }
        let Some((os, architecture)) = surroundings.platform(&expansion.text) else { return };
        let name = stage.name().map_or("", |name| name.as_str());
        if !name.contains(&os) && !name.contains(&architecture) {
            self.report(span, WarningKind::ConstantPlatform { platform: expansion.text.clone() });
        }
    }
}
