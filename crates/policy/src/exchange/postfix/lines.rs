//! Logical lines of a lookup table, as postmap(1) reads them.

/// A key and its value, which may go on over several lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Logical {
    pub(super) key: String,
    /// Where the key begins.
    pub(super) offset: usize,
    pub(super) value: Vec<Token>,
    /// Whether it begins with a space, and continues nothing.
    pub(super) loose: bool,
}

/// One word of a value. Spaces and commas part them, but not within braces.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) offset: usize,
}

/// The logical lines of a text. Lines that are empty or begin with `#` are passed over, within a logical line too.
pub(super) fn logical(text: &str) -> Vec<Logical> {
    let mut lines: Vec<Logical> = Vec::new();
    let mut pieces: Vec<(usize, &str)> = Vec::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        if !line.starts_with(|c: char| c.is_ascii_whitespace()) {
            lines.extend(entry(&pieces));
            pieces.clear();
        }
        pieces.push((start, line));
    }
    lines.extend(entry(&pieces));
    lines
}

fn entry(pieces: &[(usize, &str)]) -> Option<Logical> {
    let ((start, first), rest) = pieces.split_first()?;
    let loose = first.starts_with(|c: char| c.is_ascii_whitespace());
    let indent = first.len() - first.trim_start().len();
    let body = first.trim_start();
    let key = key(body);
    let mut words = Words::default();
    words.push(start + indent + key.len(), body.get(key.len()..).unwrap_or_default());
    for (start, line) in rest {
        words.push(*start, line);
    }
    Some(Logical { key: key.to_owned(), offset: start + indent, value: words.finish(), loose })
}

/// The key that a line begins with: up to a space that is not in quotes. Quotes stay part of it.
fn key(line: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    let end = line.find(|c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        c.is_ascii_whitespace() && !quoted
    });
    line.get(..end.unwrap_or(line.len())).unwrap_or_default().trim_ascii_end()
}

#[derive(Default)]
struct Words {
    done: Vec<Token>,
    open: Option<Token>,
    depth: usize,
}

impl Words {
    fn push(&mut self, start: usize, text: &str) {
        for (at, c) in text.char_indices() {
            if self.depth == 0 && matches!(c, ' ' | '\t' | '\r' | '\n' | ',') {
                self.done.extend(self.open.take());
                continue;
            }
            match c {
                '{' => self.depth += 1,
                '}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            self.open.get_or_insert_with(|| Token { text: String::new(), offset: start + at }).text.push(c);
        }
    }

    fn finish(mut self) -> Vec<Token> {
        self.done.extend(self.open.take());
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(String, Vec<String>)> {
        logical(text).into_iter().map(|line| (line.key, line.value.into_iter().map(|token| token.text).collect())).collect()
    }

    fn line(key: &str, words: &[&str]) -> (String, Vec<String>) {
        (key.to_owned(), words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn lines_go_on_over_comments_and_empty_lines() {
        let text = "# a\n  # b\na  secure match=x\n\n# c\n\tprotocols=y,\n   # d\n  ciphers=z\nb\tmay\n";
        assert_eq!(words(text), [line("a", &["secure", "match=x", "protocols=y", "ciphers=z"]), line("b", &["may"])]);
    }

    #[test]
    fn braces_and_quotes_hold_together() {
        assert_eq!(words("a may { a = b, c } x"), [line("a", &["may", "{ a = b, c }", "x"])]);
        assert_eq!(words("\"a b\\\"c\" may"), [line("\"a b\\\"c\"", &["may"])]);
        assert_eq!(words("\"a may\nb may"), [line("\"a may", &[]), line("b", &["may"])]);
        assert_eq!(words("a"), [line("a", &[])]);
    }

    #[test]
    fn places_are_those_of_the_text() {
        let text = "# x\nkey may\n  protocols=y\n";
        let lines = logical(text);
        let at = |offset: usize, word: &str| text.get(offset..).is_some_and(|rest| rest.starts_with(word));
        assert!(at(lines[0].offset, "key") && at(lines[0].value[0].offset, "may") && at(lines[0].value[1].offset, "protocols=y"));
        assert!(logical("  a may\nb may")[0].loose);
    }
}
