//! From logical lines to a [`Dockerfile`].

use crate::directive::{DirectiveReader, Directives, Escape};
use crate::duration;
use crate::error::{ParseError, ParseErrorKind};
use crate::flags::Flags;
use crate::heredoc::{Heredoc, Marker, markers};
use crate::instruction::{
    Add, Argument, Arguments, CommandLine, Copy, From, FromNode, HealthCommand, Healthcheck, Instruction, Network,
    Node, Onbuild, Pair, PairForm, Pairs, Run, Security, Shell, Source, Stage, Word,
};
use crate::mount::MountSpec;
use crate::position::{Position, Span};
use crate::source::{LogicalLine, PhysicalLine, PhysicalLines, Slice, strip_continuation};
use crate::stage::StageName;
use crate::suggest;
use crate::warning::{Warning, WarningKind};
use crate::words::{self, Json};

/// The largest Dockerfile, in bytes. Real ones have kilobytes; heredocs may carry files.
pub const MAX_DOCKERFILE_BYTES: usize = 16 * 1024 * 1024;

/// The most instructions of a file: an image may have 127 layers or so, and stages multiply that.
pub const MAX_INSTRUCTIONS: usize = 10_000;

/// The most heredocs of a file.
pub const MAX_HEREDOCS: usize = 10_000;

const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// A parsed Dockerfile.
///
/// Two are equal when they mean the same: places and warnings do not count.
#[derive(Clone, Debug)]
pub struct Dockerfile {
    /// The parser directives.
    pub directives: Directives,
    /// The ARG instructions before the first FROM.
    pub global: Vec<Node>,
    /// The build stages in order; not empty.
    pub stages: Vec<Stage>,
    /// What the file should not do, in order of place.
    pub warnings: Vec<Warning>,
}

impl PartialEq for Dockerfile {
    fn eq(&self, other: &Dockerfile) -> bool {
        (&self.directives, &self.global, &self.stages) == (&other.directives, &other.global, &other.stages)
    }
}

impl Eq for Dockerfile {}

impl Dockerfile {
    /// Parses a whole file.
    ///
    /// # Errors
    /// [`ParseError`] with line and column of the first fault.
    pub fn parse(bytes: &[u8]) -> Result<Dockerfile, ParseError> {
        let mut parser = Parser::new(bytes, DirectiveReader::default())?;
        let mut global = Vec::new();
        let mut stages: Vec<Stage> = Vec::new();
        let mut last = Position::START;
        while let Some(item) = parser.next()? {
            last = item.text.span.start;
            match (item.parsed, stages.last_mut()) {
                (Parsed::From(from), _) => {
                    let ItemText { span, original, comments } = item.text;
                    let node = FromNode { span, original, comments };
                    stages.push(Stage { from, node, instructions: Vec::new() });
                }
                (Parsed::Instruction(instruction), Some(stage)) => {
                    stage.instructions.push(item.text.node(instruction));
                }
                (Parsed::Instruction(instruction @ Instruction::Arg(_)), None) => {
                    global.push(item.text.node(instruction));
                }
                (Parsed::Instruction(instruction), None) => {
                    return Err(ParseError {
                        position: item.text.span.start,
                        kind: ParseErrorKind::BeforeFrom { instruction: instruction.keyword() },
                    });
                }
            }
        }
        if stages.is_empty() {
            let kind = match global.is_empty() {
                true => ParseErrorKind::NoInstructions,
                false => ParseErrorKind::NoStage,
            };
            return Err(ParseError { position: last, kind });
        }
        Ok(Dockerfile { directives: parser.directives.directives, global, stages, warnings: parser.warnings })
    }

    /// Finds a stage by name or number among the first `before` ones.
    ///
    /// Case does not count; of equal names the last wins; a name is looked for before a number.
    pub fn find_stage(&self, reference: &str, before: usize) -> Option<usize> {
        let stages = self.stages.get(..before).unwrap_or(&self.stages);
        let name = reference.to_lowercase();
        let named = |stage: &Stage| stage.name().is_some_and(|known| known.as_str() == name);
        stages.iter().rposition(named).or_else(|| {
            let digits = !reference.is_empty() && reference.bytes().all(|b| b.is_ascii_digit());
            let number = if digits { reference.parse::<usize>().ok()? } else { return None };
            (number < stages.len()).then_some(number)
        })
    }

    /// The lines of the instruction that begins at a place, or just the place.
    pub fn span_at(&self, position: Position) -> Span {
        let of_stage = |stage: &Stage| {
            let own = stage.instructions.iter().map(|node| node.span).collect::<Vec<_>>();
            std::iter::once(stage.node.span).chain(own)
        };
        let spans = self.global.iter().map(|node| node.span).chain(self.stages.iter().flat_map(of_stage));
        let found = spans.into_iter().find(|span| span.start == position);
        found.unwrap_or(Span { start: position, end: position })
    }

    /// The stages that a stage names itself; see [`Stage::named`].
    pub fn named_in(&self, index: usize) -> Vec<usize> {
        let names = self.stages.get(index).map(Stage::named).unwrap_or_default();
        names.into_iter().filter_map(|(_, name)| self.find_stage(name, index)).collect()
    }

    /// The name nearest to a misspelt one among the first `before` stages.
    pub fn nearest_stage(&self, reference: &str, before: usize) -> Option<&str> {
        let stages = self.stages.get(..before).unwrap_or(&self.stages);
        let names = stages.iter().filter_map(|stage| stage.name()).map(StageName::as_str);
        suggest::nearest(reference, names)
    }
}

/// Parses the expression of an `ONBUILD`, as an image keeps it.
///
/// # Errors
/// [`ParseError`], also where the expression is not exactly one instruction that may be a trigger.
pub fn parse_trigger(expression: &str) -> Result<Node, ParseError> {
    let node = parse_one(expression)?;
    match node.instruction {
        Instruction::Onbuild(_) | Instruction::Maintainer(_) => Err(ParseError {
            position: node.span.start,
            kind: ParseErrorKind::Trigger { instruction: node.instruction.keyword() },
        }),
        _ => Ok(node),
    }
}

/// Parses a text that is one instruction other than FROM.
pub(crate) fn parse_one(text: &str) -> Result<Node, ParseError> {
    let mut directives = DirectiveReader::default();
    directives.end();
    let mut parser = Parser::new(text.as_bytes(), directives)?;
    let mut first = None;
    let mut found = 0;
    while let Some(item) = parser.next()? {
        found += 1;
        first = first.or(Some(item));
    }
    let wrong = |kind| Err(ParseError { position: Position::START, kind });
    match first {
        Some(item) if found == 1 => match item.parsed {
            Parsed::Instruction(instruction) => Ok(item.text.node(instruction)),
            Parsed::From(_) => wrong(ParseErrorKind::Trigger { instruction: "FROM" }),
        },
        _ => wrong(ParseErrorKind::NotOneInstruction { found }),
    }
}

/// Finds the keyword of a text of one instruction, as written.
pub(crate) fn keyword_of(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

enum Parsed {
    From(From),
    Instruction(Instruction),
}

struct Item {
    parsed: Parsed,
    text: ItemText,
}

/// How an instruction is written.
struct ItemText {
    span: Span,
    original: String,
    comments: Vec<String>,
}

impl ItemText {
    fn node(self, instruction: Instruction) -> Node {
        Node { instruction, span: self.span, original: self.original, comments: self.comments }
    }
}

struct Parser<'a> {
    lines: PhysicalLines<'a>,
    directives: DirectiveReader,
    warnings: Vec<Warning>,
    /// The comment lines since the last blank line, empty comment or instruction.
    comments: Vec<String>,
    instructions: usize,
    heredocs: usize,
}

/// An instruction split into its three parts.
struct Header<'a> {
    keyword: &'static str,
    start: Position,
    flags: Flags,
    args: Slice<'a>,
}

fn error<T>(position: Position, kind: ParseErrorKind) -> Result<T, ParseError> {
    Err(ParseError { position, kind })
}

fn utf8<'a>(line: &PhysicalLine<'_>, bytes: &'a [u8]) -> Result<&'a str, ParseError> {
    std::str::from_utf8(bytes).map_err(|_| ParseError { position: line.start(), kind: ParseErrorKind::NotUtf8 })
}

impl<'a> Parser<'a> {
    fn new(bytes: &'a [u8], directives: DirectiveReader) -> Result<Parser<'a>, ParseError> {
        if bytes.len() > MAX_DOCKERFILE_BYTES {
            return error(Position::START, ParseErrorKind::TooLarge { size: bytes.len(), limit: MAX_DOCKERFILE_BYTES });
        }
        let lines = PhysicalLines::new(bytes);
        let (warnings, comments) = (Vec::new(), Vec::new());
        Ok(Parser { lines, directives, warnings, comments, instructions: 0, heredocs: 0 })
    }

    /// Reads the next instruction.
    fn next(&mut self) -> Result<Option<Item>, ParseError> {
        let Some(line) = self.logical_line()? else { return Ok(None) };
        self.instructions += 1;
        let whole = Slice::whole(&line).trim();
        if self.instructions > MAX_INSTRUCTIONS {
            let kind = ParseErrorKind::TooManyInstructions { limit: MAX_INSTRUCTIONS };
            return error(whole.position(), kind);
        }
        let header = Header::split(whole)?;
        let start = header.start;
        let mut end = line.end();
        let parsed = match header.keyword {
            "FROM" => Parsed::From(header.from()?),
            "ONBUILD" => Parsed::Instruction(self.onbuild(header, &mut end)?),
            _ => {
                let (found, bodies) = self.bodies(&header, &mut end)?;
                Parsed::Instruction(self.instruction(header, found, bodies)?)
            }
        };
        let text = ItemText {
            span: Span { start, end },
            original: whole.text.to_owned(),
            comments: std::mem::take(&mut self.comments),
        };
        Ok(Some(Item { parsed, text }))
    }

    /// Joins the next lines that belong together; comments and blank lines are passed over.
    fn logical_line(&mut self) -> Result<Option<LogicalLine>, ParseError> {
        loop {
            let Some(first) = self.lines.next() else { return Ok(None) };
            if first.is_comment() {
                let text = String::from_utf8_lossy(first.bytes());
                let text = text.trim();
                self.directives.comment(text).map_err(|kind| ParseError { position: first.start(), kind })?;
                match text.trim_start_matches('#').trim() {
                    "" => self.comments.clear(),
                    _ if !self.directives.is_done() => {}
                    comment => self.comments.push(comment.to_owned()),
                }
                continue;
            }
            self.directives.end();
            let escape = self.directives.directives.escape().char();
            let text = utf8(&first, first.bytes())?;
            let trimmed = text.trim_start();
            let indent = text[..text.len() - trimmed.len()].chars().count();
            let (content, mut more) = strip_continuation(trimmed, escape);
            let mut line = LogicalLine::default();
            line.push(content, Position { line: first.number, column: 1 + indent as u32 });
            let mut empty = None;
            while more {
                let Some(next) = self.lines.next() else { break };
                if next.is_comment() {
                    continue;
                }
                let text = utf8(&next, next.bytes())?;
                if text.trim().is_empty() {
                    empty = empty.or(Some(next.start()));
                    continue;
                }
                let (content, again) = strip_continuation(text, escape);
                line.push(content, next.start());
                more = again;
            }
            if let Some(position) = empty {
                let span = Span { start: position, end: position };
                self.warnings.push(Warning { span, kind: WarningKind::EmptyContinuation });
            }
            if !line.text.trim().is_empty() {
                return Ok(Some(line));
            }
            self.comments.clear();
        }
    }

    /// Reads the bodies of the heredocs that an instruction announces.
    fn bodies(&mut self, header: &Header<'_>, end: &mut Position) -> Result<(Vec<Marker>, Vec<Heredoc>), ParseError> {
        if !matches!(header.keyword, "ADD" | "COPY" | "RUN")
            || matches!(words::json(header.args.text), Json::Strings(_))
        {
            return Ok((Vec::new(), Vec::new()));
        }
        let found = markers(header.args);
        let mut heredocs = Vec::new();
        for marker in &found {
            let position = header.args.from(marker.start).position();
            self.heredocs += 1;
            if self.heredocs > MAX_HEREDOCS {
                let kind = ParseErrorKind::TooManyHeredocs { limit: MAX_HEREDOCS };
                return error(position, kind);
            }
            let mut body = String::new();
            loop {
                let Some(line) = self.lines.next() else {
                    let name = marker.name.clone();
                    return error(position, ParseErrorKind::HeredocUnterminated { name });
                };
                let text = utf8(&line, line.raw)?;
                let bare = text.trim_end_matches(['\r', '\n']);
                let compared = match marker.strip_tabs {
                    true => bare.trim_start_matches('\t'),
                    false => bare,
                };
                if compared == marker.name {
                    let column = 1 + bare.chars().count() as u32;
                    *end = Position { line: line.number, column };
                    break;
                }
                body.push_str(text);
            }
            heredocs.push(Heredoc {
                name: marker.name.clone(),
                body,
                strip_tabs: marker.strip_tabs,
                expand: marker.expand,
                descriptor: marker.descriptor,
                position,
            });
        }
        Ok((found, heredocs))
    }

    fn onbuild(&mut self, header: Header<'_>, end: &mut Position) -> Result<Instruction, ParseError> {
        header.flags.check(&[], &[])?;
        header.needs(!header.args.text.is_empty(), "an instruction")?;
        let inner = Header::split(header.args)?;
        if matches!(inner.keyword, "ONBUILD" | "FROM" | "MAINTAINER") {
            return error(inner.start, ParseErrorKind::Trigger { instruction: inner.keyword });
        }
        let (found, heredocs) = self.bodies(&inner, end)?;
        let mut expression = header.args.text.to_owned();
        for heredoc in &heredocs {
            expression.push('\n');
            expression.push_str(&heredoc.body);
            expression.push_str(&heredoc.name);
        }
        let instruction = Box::new(self.instruction(inner, found, heredocs)?);
        Ok(Instruction::Onbuild(Onbuild { expression, instruction }))
    }

    fn instruction(
        &mut self,
        header: Header<'_>,
        markers: Vec<Marker>,
        heredocs: Vec<Heredoc>,
    ) -> Result<Instruction, ParseError> {
        let text_word = |expected| -> Result<Word, ParseError> {
            header.flags.check(&[], &[])?;
            header.needs(!header.args.text.is_empty(), expected)?;
            Ok(Word::new(header.args.text, header.args.position()))
        };
        Ok(match header.keyword {
            "ADD" => Instruction::Add(header.add(&markers, heredocs)?),
            "COPY" => Instruction::Copy(header.copy(&markers, heredocs)?),
            "RUN" => {
                let command = self.command(&header)?;
                Instruction::Run(Box::new(header.run(command, heredocs)?))
            }
            "CMD" => {
                header.flags.check(&[], &[])?;
                Instruction::Cmd(self.command(&header)?)
            }
            "ENTRYPOINT" => {
                header.flags.check(&[], &[])?;
                Instruction::Entrypoint(self.command(&header)?)
            }
            "ENV" => Instruction::Env(self.pairs(&header)?),
            "LABEL" => Instruction::Label(self.pairs(&header)?),
            "ARG" => Instruction::Arg(header.arguments(self.escape())?),
            "EXPOSE" => {
                header.flags.check(&[], &[])?;
                let words: Vec<Word> = words::blanks(header.args).into_iter().map(word).collect();
                header.needs(!words.is_empty(), "at least one port")?;
                Instruction::Expose(words)
            }
            "VOLUME" => {
                header.flags.check(&[], &[])?;
                let words = header.list()?;
                let full = !words.is_empty() && words.iter().all(|w| !w.as_str().trim().is_empty());
                header.needs(full, "at least one path, and none empty")?;
                Instruction::Volume(words)
            }
            "HEALTHCHECK" => Instruction::Healthcheck(self.healthcheck(&header)?),
            "SHELL" => Instruction::Shell(header.shell()?),
            "MAINTAINER" => Instruction::Maintainer(text_word("a name")?.as_str().to_owned()),
            "STOPSIGNAL" => Instruction::StopSignal(text_word("a signal")?),
            "USER" => Instruction::User(text_word("a user")?),
            // FROM and ONBUILD are handled by the callers; what remains is WORKDIR.
            _ => Instruction::Workdir(text_word("a path")?),
        })
    }

    fn escape(&self) -> Escape {
        self.directives.directives.escape()
    }

    /// The exec or shell form of the arguments.
    fn command(&mut self, header: &Header<'_>) -> Result<CommandLine, ParseError> {
        self.command_of(header.keyword, header.args)
    }

    fn command_of(&mut self, instruction: &'static str, args: Slice<'_>) -> Result<CommandLine, ParseError> {
        match words::json(args.text) {
            Json::Strings(words) => Ok(CommandLine::Exec(words)),
            Json::NotStrings => error(args.position(), ParseErrorKind::JsonNotStrings { instruction }),
            Json::Broken | Json::Other => {
                // `[ -f x ] && y` is the shell's test; an array begins with a quote.
                let inside = args.text.strip_prefix('[').map(str::trim_start).unwrap_or_default();
                if inside.starts_with(['"', '\'']) && args.text.ends_with(']') {
                    let start = args.position();
                    let end = args.from(args.text.len()).position();
                    let kind = WarningKind::NotJson { instruction };
                    self.warnings.push(Warning { span: Span { start, end }, kind });
                }
                Ok(CommandLine::Shell(args.text.to_owned()))
            }
        }
    }

    fn pairs(&mut self, header: &Header<'_>) -> Result<Pairs, ParseError> {
        let instruction = header.keyword;
        header.flags.check(&[], &[])?;
        let args = header.args;
        let words = words::quoted(args, self.escape());
        let Some(first) = words.first() else {
            header.needs(false, "at least one argument")?;
            return Ok(Pairs { form: PairForm::Assignments, pairs: Vec::new() });
        };
        if !first.text.contains('=') {
            let (name, value) = words::first(args);
            header.needs(!value.text.is_empty(), "two arguments: a name and a value")?;
            let pairs = vec![Pair { name: word(name), value: word(value) }];
            return Ok(Pairs { form: PairForm::Legacy, pairs });
        }
        let mut pairs = Vec::new();
        for found in &words {
            let position = args.from(found.offset).position();
            let Some((name, value)) = found.text.split_once('=') else {
                let word = found.text.clone();
                return error(position, ParseErrorKind::NoEquals { instruction, word });
            };
            if name.is_empty() {
                return error(position, ParseErrorKind::EmptyName { instruction });
            }
            let behind = args.from(found.offset + name.len() + 1).position();
            pairs.push(Pair { name: Word::new(name, position), value: Word::new(value, behind) });
        }
        Ok(Pairs { form: PairForm::Assignments, pairs })
    }

    fn healthcheck(&mut self, header: &Header<'_>) -> Result<Healthcheck, ParseError> {
        let flags = &header.flags;
        flags.check(&["interval", "timeout", "start-period", "start-interval", "retries"], &[])?;
        let args = header.args;
        header.needs(!args.text.is_empty(), "CMD with a command, or NONE")?;
        let end = args.text.find(char::is_whitespace).unwrap_or(args.text.len());
        let (kind, rest) = (args.part(0, end), args.from(end).trim());
        match kind.text.to_ascii_uppercase().as_str() {
            "NONE" => {
                header.needs(rest.text.is_empty(), "nothing behind NONE")?;
                return Ok(Healthcheck::None);
            }
            "CMD" => {}
            _ => {
                let name = kind.text.to_owned();
                return error(kind.position(), ParseErrorKind::HealthcheckType { name });
            }
        }
        let command = self.command_of("HEALTHCHECK", rest)?;
        let empty = match &command {
            CommandLine::Exec(words) => words.is_empty(),
            CommandLine::Shell(text) => text.is_empty(),
        };
        header.needs(!empty, "a command behind CMD")?;
        let interval = |name: &str| {
            let Some(value) = flags.text(name)?.filter(|value| !value.as_str().is_empty()) else {
                return Ok(None);
            };
            duration::parse_interval(value.as_str()).map_err(|source| ParseError {
                position: value.position(),
                kind: ParseErrorKind::FlagDuration { flag: name.to_owned(), source },
            })
        };
        let retries = match flags.text("retries")?.filter(|value| !value.as_str().is_empty()) {
            None => 0,
            Some(value) => {
                let number = value.as_str().parse::<i32>().ok().and_then(|n| u32::try_from(n).ok());
                number.ok_or_else(|| ParseError {
                    position: value.position(),
                    kind: ParseErrorKind::FlagValue {
                        instruction: "HEALTHCHECK",
                        flag: "retries".to_owned(),
                        value: value.as_str().to_owned(),
                        expected: "a number from 0 to 2147483647",
                    },
                })?
            }
        };
        Ok(Healthcheck::Command(HealthCommand {
            command,
            interval: interval("interval")?,
            timeout: interval("timeout")?,
            start_period: interval("start-period")?,
            start_interval: interval("start-interval")?,
            retries,
        }))
    }
}

fn word(slice: Slice<'_>) -> Word {
    Word::new(slice.text, slice.position())
}

impl<'a> Header<'a> {
    fn split(line: Slice<'a>) -> Result<Header<'a>, ParseError> {
        let (name, rest) = words::first(line);
        let start = name.position();
        let Some(keyword) = KEYWORDS.iter().find(|known| name.text.eq_ignore_ascii_case(known)) else {
            let suggestion = suggest::nearest(name.text, KEYWORDS).map(str::to_owned);
            let name = name.text.to_owned();
            return error(start, ParseErrorKind::UnknownInstruction { name, suggestion });
        };
        let (flags, args) = Flags::split(keyword, rest);
        Ok(Header { keyword, start, flags, args })
    }

    fn needs(&self, fulfilled: bool, expected: &'static str) -> Result<(), ParseError> {
        if fulfilled {
            return Ok(());
        }
        error(self.start, ParseErrorKind::Arguments { instruction: self.keyword, expected })
    }

    /// The arguments as a JSON array, or split at blanks.
    fn list(&self) -> Result<Vec<Word>, ParseError> {
        let position = self.args.position();
        match words::json(self.args.text) {
            Json::Strings(words) => Ok(words.into_iter().map(|text| Word::new(text, position)).collect()),
            Json::NotStrings => error(position, ParseErrorKind::JsonNotStrings { instruction: self.keyword }),
            Json::Broken | Json::Other => Ok(words::blanks(self.args).into_iter().map(word).collect()),
        }
    }

    fn from(&self) -> Result<From, ParseError> {
        self.flags.check(&["platform"], &[])?;
        let words = words::blanks(self.args);
        let (image, name) = match words.as_slice() {
            [image] => (image, None),
            [image, by, name] if by.text.eq_ignore_ascii_case("as") => (image, Some(name)),
            _ => return error(self.start, ParseErrorKind::FromArguments),
        };
        let name = match name {
            None => None,
            Some(name) => match StageName::parse(name.text) {
                Ok(name) => Some(name),
                Err(fault) => return error(name.position(), fault.into()),
            },
        };
        Ok(From { image: word(*image), platform: self.flags.text("platform")?, name })
    }

    /// The sources and the destination of ADD and COPY.
    fn files(&self, markers: &[Marker], heredocs: Vec<Heredoc>) -> Result<(Vec<Source>, Word), ParseError> {
        let instruction = self.keyword;
        let enough = "at least two arguments: a source and a destination";
        if markers.is_empty() {
            let mut words = self.list()?;
            let destination = words.pop();
            self.needs(!words.is_empty(), enough)?;
            let sources = words.into_iter().map(Source::Path).collect();
            return Ok((sources, destination.unwrap_or_else(|| word(self.args))));
        }
        let words = words::blanks(self.args);
        let mut heredocs: Vec<Option<Heredoc>> = heredocs.into_iter().map(Some).collect();
        let mut all = Vec::new();
        for slice in words {
            let start = slice.offset - self.args.offset;
            let end = start + slice.text.len();
            let index = markers.iter().position(|m| m.start == start && m.end == end);
            let heredoc = index.and_then(|index| heredocs.get_mut(index)).and_then(Option::take);
            all.push(match heredoc {
                Some(heredoc) => Source::Heredoc(heredoc),
                None => Source::Path(word(slice)),
            });
        }
        // A marker that is no word of its own has white space in its quoted name.
        let whole = all.iter().filter_map(|source| match source {
            Source::Heredoc(heredoc) => Some(heredoc),
            Source::Path(_) => None,
        });
        let unfit = |name: &str| name.contains('/') || name.contains(char::is_whitespace) || matches!(name, "." | "..");
        if let Some(heredoc) = heredocs.iter().flatten().chain(whole).find(|heredoc| unfit(&heredoc.name)) {
            let kind = ParseErrorKind::HeredocFileName { instruction, name: heredoc.name.clone() };
            return error(heredoc.position, kind);
        }
        match all.pop() {
            Some(Source::Heredoc(heredoc)) => {
                error(heredoc.position, ParseErrorKind::HeredocDestination { instruction })
            }
            Some(Source::Path(destination)) if !all.is_empty() => Ok((all, destination)),
            _ => {
                self.needs(false, enough)?;
                Ok((all, word(self.args)))
            }
        }
    }

    fn add(&self, markers: &[Marker], heredocs: Vec<Heredoc>) -> Result<Add, ParseError> {
        let once = ["chown", "chmod", "checksum", "link", "unpack", "keep-git-dir"];
        self.flags.check(&once, &["exclude"])?;
        let (sources, destination) = self.files(markers, heredocs)?;
        Ok(Add {
            chown: self.flags.text("chown")?,
            chmod: self.flags.text("chmod")?,
            checksum: self.flags.text("checksum")?,
            link: self.flags.switch("link")?.unwrap_or(false),
            unpack: self.flags.switch("unpack")?,
            keep_git_dir: self.flags.switch("keep-git-dir")?.unwrap_or(false),
            exclude: self.flags.texts("exclude")?,
            sources,
            destination,
        })
    }

    fn copy(&self, markers: &[Marker], heredocs: Vec<Heredoc>) -> Result<Copy, ParseError> {
        self.flags.check(&["from", "chown", "chmod", "link", "parents"], &["exclude"])?;
        let (sources, destination) = self.files(markers, heredocs)?;
        Ok(Copy {
            from: self.flags.text("from")?,
            chown: self.flags.text("chown")?,
            chmod: self.flags.text("chmod")?,
            link: self.flags.switch("link")?.unwrap_or(false),
            parents: self.flags.switch("parents")?.unwrap_or(false),
            exclude: self.flags.texts("exclude")?,
            sources,
            destination,
        })
    }

    fn run(&self, command: CommandLine, heredocs: Vec<Heredoc>) -> Result<Run, ParseError> {
        self.flags.check(&["network", "security"], &["mount", "device"])?;
        let empty = match &command {
            CommandLine::Exec(words) => words.is_empty(),
            CommandLine::Shell(text) => text.is_empty(),
        };
        self.needs(!empty, "a command")?;
        let choice = |word: Option<Word>, flag: &str, expected| {
            word.map(|word| {
                (
                    word.as_str().to_owned(),
                    ParseError {
                        position: word.position(),
                        kind: ParseErrorKind::FlagValue {
                            instruction: "RUN",
                            flag: flag.to_owned(),
                            value: word.as_str().to_owned(),
                            expected,
                        },
                    },
                )
            })
        };
        let network = match choice(self.flags.text("network")?, "network", "default, none or host") {
            None => None,
            Some((value, fault)) => Some(match value.as_str() {
                "default" => Network::Default,
                "none" => Network::None,
                "host" => Network::Host,
                _ => return Err(fault),
            }),
        };
        let security = match choice(self.flags.text("security")?, "security", "sandbox or insecure") {
            None => None,
            Some((value, fault)) => Some(match value.as_str() {
                "sandbox" => Security::Sandbox,
                "insecure" => Security::Insecure,
                _ => return Err(fault),
            }),
        };
        let mut mounts = Vec::new();
        for word in self.flags.texts("mount")? {
            let position = word.position();
            let spec =
                MountSpec::parse(word).map_err(|fault| ParseError { position, kind: ParseErrorKind::Mount(fault) })?;
            mounts.push(spec);
        }
        let devices = self.flags.texts("device")?;
        let devices = devices.into_iter().map(|word| word.as_str().to_owned()).collect();
        Ok(Run { mounts, network, security, devices, command, heredocs })
    }

    fn arguments(&self, escape: Escape) -> Result<Arguments, ParseError> {
        self.flags.check(&[], &[])?;
        let mut arguments = Vec::new();
        for found in words::quoted(self.args, escape) {
            let position = self.args.from(found.offset).position();
            let (name, default) = match found.text.split_once('=') {
                Some((name, value)) => {
                    let behind = self.args.from(found.offset + name.len() + 1).position();
                    (name, Some(Word::new(value, behind)))
                }
                None => (found.text.as_str(), None),
            };
            if name.is_empty() {
                return error(position, ParseErrorKind::EmptyName { instruction: "ARG" });
            }
            arguments.push(Argument { name: Word::new(name, position), default });
        }
        self.needs(!arguments.is_empty(), "at least one argument")?;
        Ok(Arguments { arguments })
    }

    fn shell(&self) -> Result<Shell, ParseError> {
        self.flags.check(&[], &[])?;
        match words::json(self.args.text) {
            Json::Strings(words) if !words.is_empty() => Ok(Shell { words }),
            Json::Strings(_) => {
                self.needs(false, "at least one argument")?;
                Ok(Shell { words: Vec::new() })
            }
            Json::NotStrings => error(self.args.position(), ParseErrorKind::JsonNotStrings { instruction: "SHELL" }),
            Json::Broken | Json::Other => error(self.start, ParseErrorKind::ShellNotJson),
        }
    }
}
