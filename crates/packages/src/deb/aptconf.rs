//! apt's configuration, `apt.conf` and `apt.conf.d/*`: enough of it to know what a host wants of its archives.
//!
//! Spec: apt.conf(5).

use thiserror::Error;

use super::sources::truth;

/// How deep blocks may lie in blocks. Real files have four.
pub const DEPTH_MAX: usize = 64;
/// The most values of all files together. A Debian system has some hundreds; the search for a name is linear in them.
pub const VALUES_MAX: usize = 10_000;
/// The longest name of a value with all its blocks, in bytes: short text in deep blocks must not become long names.
pub const NAME_MAX: usize = 4096;

/// How deep files may include files: apt's own limit.
pub const INCLUDES_MAX: usize = 10;

/// Why text is not a configuration of apt. Lines are counted from one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AptConfigError {
    /// The text ends within quotes or a comment.
    #[error("line {line}: {open} is not closed")]
    Unclosed {
        /// Where it opens.
        line: usize,
        /// What opens.
        open: &'static str,
    },
    /// Something stands where it cannot.
    #[error("line {line}: unexpected {found:?}")]
    Unexpected {
        /// The line.
        line: usize,
        /// What stands there, capped.
        found: String,
    },
    /// Blocks deeper than [`DEPTH_MAX`], a name longer than [`NAME_MAX`], or more values than [`VALUES_MAX`].
    #[error("line {line}: more than {limit} {what}")]
    TooMuch {
        /// The line.
        line: usize,
        /// What there is too much of.
        what: &'static str,
        /// How much may be.
        limit: usize,
    },
}

/// The values of a configuration. Names compare without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AptConfig {
    /// Lower-case names with their values, in the order in which they were set; an item of a list ends in `::`.
    values: Vec<(String, String)>,
}

/// Gives the texts that the file, or the folder whose name ends in a slash, of an `#include` holds.
pub type Includes<'i> = dyn FnMut(&str) -> Vec<String> + 'i;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Open,
    Close,
    End,
    /// `#clear`, `#include`.
    Directive(String),
}

impl AptConfig {
    /// Adds a file: its values replace those of files before it, its lists are added to theirs. What it includes is added
    /// where it is included.
    ///
    /// # Errors
    /// What apt would not take. Values before it stay added.
    pub fn add(&mut self, text: &str, includes: &mut Includes<'_>) -> Result<(), AptConfigError> {
        self.add_nested(text, includes, 0)
    }

    fn add_nested(&mut self, text: &str, includes: &mut Includes<'_>, depth: usize) -> Result<(), AptConfigError> {
        let mut tokens = Tokens { text, at: 0, line: 1 };
        let mut blocks: Vec<String> = Vec::new();
        loop {
            let Some(token) = tokens.next()? else {
                let line = tokens.line;
                return if blocks.is_empty() { Ok(()) } else { Err(AptConfigError::Unclosed { line, open: "{" }) };
            };
            match token {
                Token::End => {}
                Token::Close => {
                    if blocks.pop().is_none() {
                        return Err(tokens.unexpected("}"));
                    }
                }
                Token::Directive(name) => self.directive(&name, &mut tokens, includes, depth)?,
                Token::Quoted(value) => {
                    let list = blocks.last().map(|block| format!("{block}::")).unwrap_or_default();
                    self.set(list, value, tokens.line)?;
                    let next = tokens.next()?;
                    Self::after(next, String::new(), &tokens, &mut blocks)?;
                }
                Token::Open => return Err(tokens.unexpected("{")),
                Token::Word(name) => {
                    let name = match blocks.last() {
                        Some(block) => format!("{block}::{}", name.to_ascii_lowercase()),
                        None => name.to_ascii_lowercase(),
                    };
                    if name.len() > NAME_MAX {
                        let (what, limit) = ("bytes in a name", NAME_MAX);
                        return Err(AptConfigError::TooMuch { line: tokens.line, what, limit });
                    }
                    self.statement(name, &mut tokens, &mut blocks)?;
                }
            }
        }
    }

    /// What follows a name: a value, a block, both, or nothing.
    fn statement(
        &mut self,
        name: String,
        tokens: &mut Tokens<'_>,
        blocks: &mut Vec<String>,
    ) -> Result<(), AptConfigError> {
        let mut next = tokens.next()?;
        if let Some(Token::Word(value) | Token::Quoted(value)) = next {
            self.set(name.clone(), value, tokens.line)?;
            next = tokens.next()?;
        }
        Self::after(next, name, tokens, blocks)
    }

    /// The end of a statement, or the block that belongs to it; an item of a list has no name.
    fn after(
        next: Option<Token>,
        name: String,
        tokens: &Tokens<'_>,
        blocks: &mut Vec<String>,
    ) -> Result<(), AptConfigError> {
        match next {
            Some(Token::End) => Ok(()),
            Some(Token::Open) if !name.is_empty() => {
                if blocks.len() == DEPTH_MAX {
                    let (what, limit) = ("blocks in blocks", DEPTH_MAX);
                    return Err(AptConfigError::TooMuch { line: tokens.line, what, limit });
                }
                blocks.push(name.trim_end_matches("::").to_owned());
                Ok(())
            }
            Some(Token::Close) => {
                // The last statement of a block may lack its semicolon.
                if blocks.pop().is_none() { Err(tokens.unexpected("}")) } else { Ok(()) }
            }
            None => Err(AptConfigError::Unclosed { line: tokens.line, open: "a statement" }),
            Some(Token::Open) => Err(tokens.unexpected("{")),
            Some(Token::Word(text) | Token::Quoted(text) | Token::Directive(text)) => Err(tokens.unexpected(&text)),
        }
    }

    fn directive(
        &mut self,
        name: &str,
        tokens: &mut Tokens<'_>,
        includes: &mut Includes<'_>,
        depth: usize,
    ) -> Result<(), AptConfigError> {
        loop {
            match tokens.next()? {
                Some(Token::Word(word) | Token::Quoted(word)) => match name {
                    "#clear" => self.clear(&word),
                    "#include" if depth == INCLUDES_MAX => {
                        let (what, limit) = ("files in files", INCLUDES_MAX);
                        return Err(AptConfigError::TooMuch { line: tokens.line, what, limit });
                    }
                    "#include" => {
                        for text in includes(&word) {
                            self.add_nested(&text, includes, depth + 1)?;
                        }
                    }
                    _ => {}
                },
                Some(Token::End) => return Ok(()),
                _ => return Err(tokens.unexpected(name)),
            }
        }
    }

    fn clear(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        let name = name.trim_end_matches("::");
        self.values.retain(|(known, _)| {
            known.strip_prefix(name).is_none_or(|rest| !rest.is_empty() && !rest.starts_with("::"))
        });
    }

    fn set(&mut self, name: String, value: String, line: usize) -> Result<(), AptConfigError> {
        if !name.ends_with("::")
            && let Some((_, known)) = self.values.iter_mut().find(|(known, _)| *known == name)
        {
            *known = value;
            return Ok(());
        }
        if self.values.len() == VALUES_MAX {
            return Err(AptConfigError::TooMuch { line, what: "values", limit: VALUES_MAX });
        }
        self.values.push((name, value));
        Ok(())
    }

    /// The value of a name such as `Acquire::http::Proxy`, if it is set to anything.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.values.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The value as yes or no; nothing where it is not set or neither.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).and_then(truth)
    }

    /// The items of a list such as `DPkg::Post-Invoke`.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        let name = format!("{}::", name.trim_end_matches("::").to_ascii_lowercase());
        self.values.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// All values with their names in lower case, in the order in which they were set; an item of a list ends in `::`.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether `Valid-Until` counts: `Acquire::Check-Valid-Until`. Nothing where nothing is said.
    #[must_use]
    pub fn check_valid_until(&self) -> Option<bool> {
        self.flag("Acquire::Check-Valid-Until")
    }

    /// The proxy for a host: that of the host, else that of the scheme; nothing for none and for `DIRECT`.
    #[must_use]
    pub fn proxy(&self, scheme: &str, host: &str) -> Option<&str> {
        let own = self.get(&format!("Acquire::{scheme}::Proxy::{host}"));
        let proxy = own.or_else(|| self.get(&format!("Acquire::{scheme}::Proxy")))?;
        (!proxy.eq_ignore_ascii_case("DIRECT")).then_some(proxy)
    }
}

struct Tokens<'t> {
    text: &'t str,
    at: usize,
    line: usize,
}

impl Tokens<'_> {
    fn unexpected(&self, found: &str) -> AptConfigError {
        AptConfigError::Unexpected { line: self.line, found: found.chars().take(60).collect() }
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn pass(&mut self, length: usize) {
        let passed = self.rest().get(..length).unwrap_or_default();
        let lines = passed.bytes().filter(|&b| b == b'\n').count();
        self.line += lines;
        self.at += length;
    }

    fn next(&mut self) -> Result<Option<Token>, AptConfigError> {
        loop {
            let blanks = self.rest().len() - self.rest().trim_ascii_start().len();
            self.pass(blanks);
            let rest = self.rest();
            let line_end = rest.find('\n').unwrap_or(rest.len());
            if rest.starts_with("//") {
                self.pass(line_end);
            } else if let Some(inside) = rest.strip_prefix("/*") {
                let open = "a comment";
                let length = inside.find("*/").ok_or(AptConfigError::Unclosed { line: self.line, open })?;
                self.pass(length + 4);
            } else if rest.starts_with('#') {
                let length = rest.find([' ', '\t', '\n', ';']).unwrap_or(rest.len());
                let word = rest.get(..length).unwrap_or_default().to_ascii_lowercase();
                if matches!(word.as_str(), "#clear" | "#include" | "#x-apt-configure-index") {
                    self.pass(length);
                    return Ok(Some(Token::Directive(word)));
                }
                self.pass(line_end);
            } else {
                break;
            }
        }
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(None) };
        let (token, length) = match first {
            '{' => (Token::Open, 1),
            '}' => (Token::Close, 1),
            ';' => (Token::End, 1),
            '"' => {
                let inside = rest.get(1..).unwrap_or_default();
                let length = inside.find('"').ok_or(AptConfigError::Unclosed { line: self.line, open: "\"" })?;
                (Token::Quoted(inside.get(..length).unwrap_or_default().to_owned()), length + 2)
            }
            _ => {
                let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '{' | '}' | ';' | '"');
                let length = rest.find(ends).unwrap_or(rest.len());
                (Token::Word(rest.get(..length).unwrap_or_default().to_owned()), length)
            }
        };
        self.pass(length);
        Ok(Some(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> AptConfig {
        let mut config = AptConfig::default();
        config.add(text, &mut |_| Vec::new()).unwrap();
        config
    }

    #[test]
    fn whether_valid_until_counts() {
        let cases = [
            ("Acquire::Check-Valid-Until \"false\";", Some(false)),
            ("acquire::check-valid-until no;", Some(false)),
            ("Acquire { Check-Valid-Until \"0\"; };", Some(false)),
            ("Acquire { Check-Valid-Until \"0\" }", Some(false)),
            ("Acquire\n{\n  http { Proxy \"x\"; };\n  Check-Valid-Until \"true\";\n}\n", Some(true)),
            ("// Acquire::Check-Valid-Until \"false\";\n", None),
            ("# Acquire::Check-Valid-Until \"false\";\n", None),
            ("/* Acquire::Check-Valid-Until\n \"false\"; */", None),
            ("Acquire::Check-Valid-Until \"false\"; // said aloud\n", Some(false)),
            ("Acquire::Check-Valid-Until \"false\"; Acquire::Check-Valid-Until \"true\";", Some(true)),
            ("Acquire::Check-Valid-Until \"false\";\n#clear Acquire;\n", None),
            ("Acquire::Check-Valid-Until \"false\";\n#clear Acq;\n", Some(false)),
            ("Acquire::Check-Valid-Until \"perhaps\";", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).check_valid_until(), expected, "{text}");
        }
    }

    #[test]
    fn later_files_win_and_lists_grow() {
        let mut config = read("A::B \"1\"; L { \"x\"; \"y\" }; L::M:: \"deep\";");
        config.add("A::B \"2\"; L:: \"z\"; C \"v\" { D \"w\"; };", &mut |_| Vec::new()).unwrap();
        assert_eq!(config.get("a::b"), Some("2"));
        assert_eq!(config.list("l").collect::<Vec<_>>(), ["x", "y", "z"]);
        assert_eq!(config.list("L::M::").collect::<Vec<_>>(), ["deep"]);
        assert_eq!((config.get("C"), config.get("C::D")), (Some("v"), Some("w")));
    }

    #[test]
    fn what_is_included_stands_where_it_is_included() {
        let mut config = AptConfig::default();
        let mut asked = Vec::new();
        let mut includes = |name: &str| {
            asked.push(name.to_owned());
            match name {
                "/etc/more.d/" => vec!["A \"2\"; B \"2\"; #include \"/etc/deeper\";".into(), "B \"3\";".into()],
                "/etc/deeper" => vec!["C \"4\";".into()],
                _ => Vec::new(),
            }
        };
        config.add("A \"1\"; B \"1\"; #include /etc/more.d/; A \"5\"; #include /etc/none;", &mut includes).unwrap();
        assert_eq!(["A", "B", "C"].map(|name| config.get(name)), [Some("5"), Some("3"), Some("4")]);
        assert_eq!(asked, ["/etc/more.d/", "/etc/deeper", "/etc/none"]);
        let endless = config.add("#include x;", &mut |_| vec!["#include x;".into()]).unwrap_err();
        assert_eq!(endless.to_string(), "line 1: more than 10 files in files");
    }

    #[test]
    fn proxies() {
        let config = read(
            "Acquire::http { Proxy \"http://proxy:3128\"; Proxy::mirror.example \"DIRECT\"; };
             Acquire::https::Proxy \"\";",
        );
        assert_eq!(config.proxy("http", "ftp.debian.org"), Some("http://proxy:3128"));
        assert_eq!(config.proxy("http", "mirror.example"), None);
        assert_eq!(config.proxy("https", "ftp.debian.org"), None);
    }

    #[test]
    fn a_hash_within_quotes_is_no_comment() {
        let config = read("A \"x # y // z\";\nAPT::NeverAutoRemove { \"^a{2};$\"; };");
        assert_eq!(config.get("A"), Some("x # y // z"));
        assert_eq!(config.list("APT::NeverAutoRemove").collect::<Vec<_>>(), ["^a{2};$"]);
    }

    #[test]
    fn rejected() {
        let deep = "a {\n".repeat(DEPTH_MAX + 1);
        let many = "L:: \"x\";\n".repeat(VALUES_MAX + 1);
        let long = format!("{} x;", "n".repeat(NAME_MAX + 1));
        let cases = [
            ("A \"b", "line 1: \" is not closed"),
            ("A \"b\";\n/* x", "line 2: a comment is not closed"),
            ("A {\nB \"c\";\n", "line 3: { is not closed"),
            ("A \"b\"", "line 1: a statement is not closed"),
            ("A b\nC d;", "line 2: unexpected \"C\""),
            ("}", "line 1: unexpected \"}\""),
            ("A { { } }", "line 1: unexpected \"{\""),
            ("#clear }", "line 1: unexpected \"#clear\""),
            (&deep, "line 65: more than 64 blocks in blocks"),
            (&many, "line 10001: more than 10000 values"),
            (&long, "line 1: more than 4096 bytes in a name"),
        ];
        for (text, message) in cases {
            let error = AptConfig::default().add(text, &mut |_| Vec::new()).unwrap_err().to_string();
            assert_eq!(error, message, "{}", text.chars().take(40).collect::<String>());
        }
        let (fits, _) = many.trim_end().rsplit_once('\n').unwrap();
        assert_eq!(read(fits).list("L").count(), VALUES_MAX);
        read(&format!("{}{}", "a {".repeat(DEPTH_MAX), "}".repeat(DEPTH_MAX)));
        read(&long[1..]);
    }
}
