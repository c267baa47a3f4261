//! What a source file is made of, as far as its structure goes. Comments, texts and tests are left out.

/// A word or a mark, and the line on which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

impl Token {
    pub fn is_word(&self) -> bool {
        self.text
            .starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

#[derive(Debug)]
pub struct Source {
    /// The path below `src`.
    pub name: String,
    /// How many lines there are without tests.
    pub lines: usize,
    pub tokens: Vec<Token>,
    /// Functions that have a body, and their lines.
    pub functions: Vec<(String, usize)>,
}

impl Source {
    pub fn parse(name: &str, text: &str) -> Self {
        let (tokens, lines_of_tests) = without_tests(tokens(text));
        Self {
            name: name.to_string(),
            lines: text.lines().count() - lines_of_tests,
            functions: functions(&tokens),
            tokens,
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let (mut tokens, mut rest, mut line) = (Vec::new(), text, 1);
    while let Some(first) = rest.chars().next() {
        let len = token_len(rest);
        let (token, behind) = rest.split_at(len);
        let is_text = first.is_whitespace()
            || first == '"'
            || token.starts_with("//")
            || token.starts_with("/*")
            || (token.len() > 1 && token.ends_with(['"', '\'', '#']));
        if !is_text {
            let text = token.to_string();
            tokens.push(Token { text, line });
        }
        line += token.matches('\n').count();
        rest = behind;
    }
    tokens
}

/// The length in bytes of the token at the start of `text`, which is not empty.
fn token_len(text: &str) -> usize {
    let until = |end: &str, from: usize| {
        text[from..]
            .find(end)
            .map_or(text.len(), |at| from + at + end.len())
    };
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let first = text.chars().next().unwrap();
    let behind_prefix = text.trim_start_matches(['b', 'c']);
    match first {
        _ if text.starts_with("//") => text.find('\n').unwrap_or(text.len()),
        _ if text.starts_with("/*") => until("*/", 2),
        _ if text.starts_with("::") => 2,
        _ if text.starts_with("r#") && !text.starts_with("r#\"") => word_len(text, 2),
        'r' | 'b' | 'c' if raw_text_end(behind_prefix).is_some() => {
            let end = raw_text_end(behind_prefix).unwrap();
            text.len() - behind_prefix.len() + until(&end, behind_prefix.find('"').unwrap() + 1)
        }
        'b' | 'c'
            if behind_prefix.starts_with(['"', '\'']) && text.len() == behind_prefix.len() + 1 =>
        {
            1 + token_len(behind_prefix)
        }
        '"' => quoted_len(text, '"'),
        '\'' if is_character(text) => quoted_len(text, '\''),
        '\'' => word_len(text, 1),
        _ if is_word(first) => word_len(text, 0),
        _ => first.len_utf8(),
    }
}

fn word_len(text: &str, from: usize) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text[from..]
        .find(|c| !is_word(c))
        .map_or(text.len(), |at| from + at)
}

/// What a raw text ends with, if one starts here.
fn raw_text_end(text: &str) -> Option<String> {
    let behind = text.strip_prefix('r')?;
    let marks = behind.len() - behind.trim_start_matches('#').len();
    behind[marks..]
        .starts_with('"')
        .then(|| format!("\"{}", "#".repeat(marks)))
}

/// Whether a quote starts a character, and not a lifetime.
fn is_character(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

fn quoted_len(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Leaves out what is `#[cfg(test)]`, and says how many lines that has.
fn without_tests(tokens: Vec<Token>) -> (Vec<Token>, usize) {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut lines, mut at) = (Vec::new(), 0, 0);
    while at < tokens.len() {
        let attribute = tokens[at..].iter().take(TEST.len());
        if attribute.map(|token| &*token.text).eq(TEST) {
            let end = end_of_item(&tokens, at + TEST.len());
            lines += tokens[end].line - tokens[at].line + 1;
            at = end + 1;
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    (kept, lines)
}

/// The token that ends the item that starts at `at`: a semicolon, or the brace that closes its body.
fn end_of_item(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(at) {
        match &*token.text {
            "{" | "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            ";" if depth == 0 => return at,
            _ => {}
        }
    }
    tokens.len() - 1
}

fn functions(tokens: &[Token]) -> Vec<(String, usize)> {
    let mut functions = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        // `fn(u8)` is a type.
        if pair[0].text == "fn" && pair[1].is_word() {
            let end = end_of_item(tokens, at);
            if tokens[end].text == "}" {
                functions.push((pair[1].text.clone(), tokens[end].line - pair[0].line + 1));
            }
        }
    }
    functions
}
