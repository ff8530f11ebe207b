//! `--format` of the commands that list: a table, a template per row, or JSON per row.

use crate::error::TemplateError;
use crate::value::Shape;
use crate::{Template, print};
use serde_json::{Map, Value};

/// Columns narrower than this are widened to it, in characters. Docker's `tabwriter` settings.
const MIN_COLUMN: usize = 10;
/// Characters between two columns.
const PADDING: usize = 3;
/// Columns of a table; cells past them stand as they are. More columns come from no `--format` that a person reads.
const MAX_COLUMNS: usize = 256;

/// What a `--format` option asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// `table TEMPLATE`: a heading, then aligned rows.
    Table(Template),
    /// `json`: an object per line.
    Json,
    /// `TEMPLATE`: a line per row.
    Plain(Template),
}

impl Format {
    /// Parses the value of `--format`; `table` alone means `default`, a table's template.
    ///
    /// In the text `\t` and `\n` stand for a tab and a newline, since shells hand them over so.
    ///
    /// # Errors
    /// The template's [`TemplateError::Syntax`].
    pub fn parse(text: &str, default: &str) -> Result<Format, TemplateError> {
        let unescape = |text: &str| text.replace("\\t", "\t").replace("\\n", "\n");
        match text {
            "json" => Ok(Format::Json),
            "table" => Ok(Format::Table(Template::parse(&unescape(default))?)),
            _ => match text.strip_prefix("table") {
                Some(rest) => Ok(Format::Table(Template::parse(unescape(rest.trim()).as_str())?)),
                None => Ok(Format::Plain(Template::parse(&unescape(text))?)),
            },
        }
    }

    /// Renders all rows; `headers` gives the heading of each field, e.g. `("ID", "IMAGE ID")`. Every line ends in a newline.
    ///
    /// # Errors
    /// [`TemplateError::Execution`] if the template names a field that rows (or, in a table, headings) lack.
    pub fn render(&self, headers: &[(&str, &str)], rows: &[Value], shape: &Shape) -> Result<String, TemplateError> {
        let mut out = String::new();
        match self {
            Format::Json => {
                for row in rows {
                    out.push_str(&print::json(row));
                    out.push('\n');
                }
                Ok(out)
            }
            Format::Plain(template) => {
                for row in rows {
                    out.push_str(&template.render(row, shape)?);
                    out.push('\n');
                }
                Ok(out)
            }
            Format::Table(template) => {
                let heading: Map<String, Value> = headers
                    .iter()
                    .map(|(field, heading)| ((*field).to_owned(), Value::String((*heading).to_owned())))
                    .collect();
                out.push_str(&template.render_header(&Value::Object(heading), shape)?);
                out.push('\n');
                for row in rows {
                    out.push_str(&template.render(row, shape)?);
                    out.push('\n');
                }
                Ok(align(&out))
            }
        }
    }
}

/// Aligns cells that end in a tab, as Go's `text/tabwriter` does: a column is a run of lines that all have the cell.
pub fn align(text: &str) -> String {
    let mut table = Aligner {
        lines: text.split('\n').map(|line| line.splitn(MAX_COLUMNS, '\t').collect()).collect(),
        widths: Vec::new(),
        out: String::with_capacity(text.len() * 2),
    };
    let end = table.lines.len();
    table.format(0, end);
    // The last line has no newline; `write` added one.
    table.out.pop();
    table.out
}

struct Aligner<'t> {
    lines: Vec<Vec<&'t str>>,
    widths: Vec<usize>,
    out: String,
}

impl Aligner<'_> {
    /// True if the line has a cell in `column` that a tab ends.
    fn has(&self, line: usize, column: usize) -> bool {
        self.lines.get(line).is_some_and(|cells| column + 1 < cells.len())
    }

    fn format(&mut self, first: usize, end: usize) {
        let column = self.widths.len();
        let mut first = first;
        let mut line = first;
        while line < end {
            if !self.has(line, column) {
                line += 1;
                continue;
            }
            self.write(first, line);
            first = line;
            let mut width = MIN_COLUMN;
            while line < end && self.has(line, column) {
                let cell = self.lines[line][column].chars().count();
                width = width.max(cell + PADDING);
                line += 1;
            }
            self.widths.push(width);
            self.format(first, line);
            self.widths.pop();
            first = line;
        }
        self.write(first, end);
    }

    fn write(&mut self, first: usize, end: usize) {
        for cells in &self.lines[first..end] {
            for (column, cell) in cells.iter().enumerate() {
                self.out.push_str(cell);
                if let Some(width) = self.widths.get(column)
                    && column + 1 < cells.len()
                {
                    let missing = width.saturating_sub(cell.chars().count());
                    self.out.extend(std::iter::repeat_n(' ', missing));
                }
            }
            self.out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HEADERS: &[(&str, &str)] =
        &[("Repository", "REPOSITORY"), ("Tag", "TAG"), ("ID", "IMAGE ID"), ("Size", "SIZE")];

    fn rows() -> Vec<Value> {
        vec![
            json!({"Repository": "debian", "Tag": "trixie", "ID": "sha256:0123456789abcdef", "Size": "78.6MB"}),
            json!({"Repository": "registry.example/very/long/name", "Tag": "1", "ID": "sha256:fedc", "Size": "1kB"}),
        ]
    }

    fn rendered(format: &str) -> String {
        Format::parse(format, "table").unwrap().render(HEADERS, &rows(), &Shape::STRICT).unwrap()
    }

    #[test]
    fn table_is_aligned_as_docker_aligns_it() {
        assert_eq!(
            rendered("table {{.Repository}}\\t{{.Tag}}\\t{{.Size}}"),
            "REPOSITORY                        TAG       SIZE\n\
             debian                            trixie    78.6MB\n\
             registry.example/very/long/name   1         1kB\n"
        );
    }

    #[test]
    fn heading_passes_through_formatting_functions() {
        assert_eq!(
            rendered("table {{truncate .ID 9}}\t{{lower .Tag}}\t{{json .Size}}"),
            "IMAGE ID    TAG       SIZE\n\
             sha256:01   trixie    \"78.6MB\"\n\
             sha256:fe   1         \"1kB\"\n"
        );
    }

    #[test]
    fn plain_and_json() {
        assert_eq!(rendered("{{.Tag}}"), "trixie\n1\n");
        assert_eq!(rendered("{{.Tag}}\\t{{.Size}}"), "trixie\t78.6MB\n1\t1kB\n");
        assert_eq!(
            rendered("json").lines().next().unwrap(),
            r#"{"Repository":"debian","Tag":"trixie","ID":"sha256:0123456789abcdef","Size":"78.6MB"}"#
        );
    }

    #[test]
    fn unknown_column_is_an_error_with_its_place() {
        let error = Format::parse("table {{.Repo}}", "").unwrap().render(HEADERS, &rows(), &Shape::STRICT).unwrap_err();
        assert_eq!(error.to_string(), "template: :1:2: executing \"\" at <.Repo>: map has no entry for key \"Repo\"");
    }

    #[test]
    fn runs_of_lines_are_columns() {
        let table = [
            ("", ""),
            ("a", "a"),
            ("a\tb", "a         b"),
            ("a\tb\tc", "a         b         c"),
            ("0123456789\tb", "0123456789   b"),
            ("a\tb\n\n0123456789\tb\n", "a         b\n\n0123456789   b\n"),
            ("ä\tb", "ä         b"),
        ];
        for (text, expected) in table {
            assert_eq!(align(text), expected, "{text:?}");
        }
    }

    #[test]
    fn columns_past_the_limit_stand_as_they_are() {
        for columns in [MAX_COLUMNS - 1, MAX_COLUMNS, MAX_COLUMNS + 1] {
            let text = vec!["a"; columns].join("\t");
            let aligned = align(&text);
            assert_eq!(aligned.contains('\t'), columns > MAX_COLUMNS, "{columns}");
        }
    }
}
