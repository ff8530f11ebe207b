//! Files of templates as packages carry them. Spec: debconf-devel(7), "THE TEMPLATES FILE".

use std::collections::BTreeMap;

use super::database::{Text, is_space};

/// The fields of one template by their names in lower case, `template` among them.
pub(super) type Fields = BTreeMap<Text, Text>;

/// Reads the templates of a file; `None` where debconf would complain.
pub(super) fn parse(text: &[u8]) -> Option<Vec<Fields>> {
    records(text).map(record).collect()
}

/// The parts that end with an empty line.
fn records(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.windows(2).position(|pair| pair == b"\n\n").map_or(rest.len(), |at| at + 2);
        let (record, after) = rest.split_at(end);
        rest = after;
        Some(record)
    })
}

fn record(text: &[u8]) -> Option<Fields> {
    let mut fields = Fields::new();
    let (mut name, mut value, mut extended) = (Text::new(), Text::new(), Text::new());
    let start = text.iter().position(|byte| *byte != b'\n').unwrap_or(text.len());
    let end = text.iter().rposition(|byte| *byte != b'\n').map_or(start, |at| at + 1);
    for line in text[start..end].split(|byte| *byte == b'\n') {
        if let Some((key, rest)) = head(line) {
            keep(&mut fields, &name, &value, &extended)?;
            name = key.to_ascii_lowercase();
            value = trimmed(rest).to_vec();
            extended.clear();
            continue;
        }
        let [first, rest @ ..] = line else { return None };
        if !is_space(*first) {
            return None;
        }
        // A line of its own stays one; others flow.
        let is_verbatim = rest.first().is_some_and(|byte| is_space(*byte));
        let open = !extended.is_empty() && !extended.ends_with(b"\n") && !extended.ends_with(b" ");
        match rest {
            b"." => extended.extend_from_slice(b"\n\n"),
            _ if is_verbatim => {
                if open {
                    extended.push(b'\n');
                }
                extended.extend_from_slice(trimmed(rest));
                extended.push(b'\n');
            }
            _ => {
                if open {
                    extended.push(b' ');
                }
                extended.extend_from_slice(trimmed(rest));
            }
        }
    }
    keep(&mut fields, &name, &value, &extended)?;
    let known = |name: &[u8]| fields.get(name).is_some_and(|value| !value.is_empty());
    (known(b"template") && known(b"type")).then_some(fields)
}

/// `Name: value`, with at most one blank.
fn head(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b"-_@.".contains(byte)))?;
    let rest = line[end..].strip_prefix(b":")?;
    Some((&line[..end], rest.strip_prefix(b" ").or_else(|| rest.strip_prefix(b"\t")).unwrap_or(rest)))
}

fn keep(fields: &mut Fields, name: &Text, value: &Text, extended: &Text) -> Option<()> {
    if name.is_empty() {
        return Some(());
    }
    let end = extended.iter().rposition(|byte| *byte != b'\n').map_or(0, |at| at + 1);
    if end > 0 {
        fields.insert([b"extended_".as_slice(), name].concat(), extended[..end].to_vec());
    }
    // Two templates that are not parted by an empty line.
    fields.insert(name.clone(), value.clone()).is_none().then_some(())
}

fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !is_space(*byte)).map_or(0, |at| at + 1);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read_as_debconf_reads_them() {
        let text = "Template: a/b\nType: select \nChoices: x, y\nDescription: Short\n Long text\n goes on\n .\n New\n  \
            kept\n   as it is\n flows\nDescription-de.UTF-8: Kurz\n\n\nTemplate: c\nType: text\n";
        let templates = parse(text.as_bytes()).unwrap();
        let shown: Vec<Vec<String>> = templates
            .iter()
            .map(|fields| {
                let text = |bytes: &Text| String::from_utf8(bytes.clone()).unwrap();
                fields.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect()
            })
            .collect();
        let expected: [&[&str]; 2] = [
            &[
                "choices=x, y",
                "description=Short",
                "description-de.utf-8=Kurz",
                "extended_description=Long text goes on\n\nNew\n kept\n  as it is\nflows",
                "template=a/b",
                "type=select",
            ],
            &["template=c", "type=text"],
        ];
        assert_eq!(shown, expected);
        for bad in
            ["Type: text\n", "Template: a\n", "Template: a\nType: text\nType: x\n", "Template: a\nType: x\nbad\n"]
        {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
