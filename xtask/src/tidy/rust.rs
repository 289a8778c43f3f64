//! Just enough Rust to check a source: its code without comments and literals, its tokens, its paths, its blocks.
//!
//! Not a parser: what does not compile may be read wrongly here, and is the compiler's business.

/// A word or a sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// From 1.
    pub line: usize,
    /// An identifier, a keyword, a number, `::`, or a single sign.
    pub text: String,
}

/// The tokens of a source, comments and literals left out.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (number, line) in code(source).lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                c => c.len_utf8(),
            };
            tokens.push(Token {
                line: number + 1,
                text: rest[..length].to_owned(),
            });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// The source with comments blanked, and what is inside of string and character literals; lines stay where they are.
pub(super) fn code(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match skipped(&chars, at) {
            0 => {
                code.push(chars[at]);
                at += 1;
                continue;
            }
            length => (at + length).min(chars.len()),
        };
        code.extend(
            chars[at..end]
                .iter()
                .map(|c| if *c == '\n' { '\n' } else { ' ' }),
        );
        at = end;
    }
    code
}

/// The paths that a source names, `use` trees spelled out: line and `a::b::c`.
pub(super) fn paths(tokens: &[Token]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = if is_name(&tokens[at]) {
            path(tokens, at, "", &mut found)
        } else {
            at + 1
        };
    }
    found
}

/// The position of the bracket that closes the one at `open`; the last position where none does.
pub(super) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, token) in tokens[open..].iter().enumerate() {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + offset;
        }
    }
    tokens.len() - 1
}

/// The lines, first and last, of the inline modules that are compiled for tests only.
pub(super) fn test_modules(tokens: &[Token]) -> Vec<(usize, usize)> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let starts = tokens.windows(attribute.len()).enumerate();
    let starts =
        starts.filter(|(_, window)| window.iter().map(|token| token.text.as_str()).eq(attribute));
    starts
        .filter_map(|(start, _)| {
            let opening = tokens[start..]
                .iter()
                .position(|token| matches!(token.text.as_str(), "{" | ";"))?
                + start;
            let is_module = tokens[start..opening]
                .iter()
                .any(|token| token.text == "mod");
            let block = is_module && tokens[opening].text == "{";
            block.then(|| (tokens[start].line, tokens[closing(tokens, opening)].line))
        })
        .collect()
}

/// Reads the path at `at`, a name; returns where it ends.
fn path(tokens: &[Token], at: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let mut full = format!("{prefix}{}", tokens[at].text);
    let mut next = at + 1;
    while tokens.get(next).is_some_and(|token| token.text == "::") {
        match tokens.get(next + 1) {
            Some(name) if is_name(name) || name.text == "*" => {
                full = format!("{full}::{}", name.text);
                next += 2;
            }
            Some(group) if group.text == "{" => {
                return branches(tokens, next + 1, &format!("{full}::"), found);
            }
            _ => break,
        }
    }
    found.push((tokens[at].line, full));
    next
}

/// Reads the `{…}` of a `use` tree at `open`.
fn branches(
    tokens: &[Token],
    open: usize,
    prefix: &str,
    found: &mut Vec<(usize, String)>,
) -> usize {
    let end = closing(tokens, open);
    let mut at = open + 1;
    while at < end {
        at = if is_name(&tokens[at]) {
            path(tokens, at, prefix, found)
        } else {
            at + 1
        };
    }
    end + 1
}

fn is_name(token: &Token) -> bool {
    token
        .text
        .starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How many characters from `at` on are no code: a comment, or a literal from quote to quote. 0: code.
fn skipped(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let after_word = at > 0 && is_word(chars[at - 1]);
    match rest {
        ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['r', '#' | '"', ..] if !after_word => raw_string(rest, 1),
        ['b' | 'c', 'r', '#' | '"', ..] if !after_word => raw_string(rest, 2),
        ['"', ..] => quoted(rest, '"'),
        ['\'', '\\', ..] => quoted(rest, '\''),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// From the prefix of `prefix` characters to the quote with as many `#`; 0 for a raw identifier such as `r#type`.
fn raw_string(rest: &[char], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let start = prefix + hashes;
    if rest.get(start) != Some(&'"') {
        return 0;
    }
    let ends = |at: usize| {
        rest[at] == '"' && rest[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes
    };
    (start + 1..rest.len())
        .find(|at| ends(*at))
        .map_or(rest.len(), |end| end + 1 + hashes)
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::{closing, code, paths, test_modules, tokens};

    fn words(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(words("a // b\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
        assert_eq!(
            words(r##"f("x", b"y\"", r#"z " q"#, 'c', '\'', '"') h"##).join(" "),
            "f ( , b , , , , ) h"
        );
        assert_eq!(
            words("fn f<'a>(x: &'a str) {}").join(" "),
            "fn f < ' a > ( x : & ' a str ) { }"
        );
        assert_eq!(
            words("r#type br"),
            ["r", "#", "type", "br"],
            "a raw identifier is no string"
        );
    }

    #[test]
    fn lines_stay_where_they_are() {
        let source = "a /* \n\n */ \"\n\" b";
        assert_eq!(code(source).matches('\n').count(), 3);
        assert_eq!(
            tokens(source)
                .iter()
                .map(|token| token.line)
                .collect::<Vec<_>>(),
            [1, 4]
        );
    }

    #[test]
    fn use_trees_are_spelled_out() {
        let source = "use std::{fs, io::{self, Read as _}};\nlet x = ::aya::Ebpf::load::<T>(a.b);";
        let found: Vec<_> = paths(&tokens(source))
            .into_iter()
            .map(|(line, path)| format!("{line} {path}"))
            .collect();
        for expected in [
            "1 std::fs",
            "1 std::io::self",
            "1 std::io::Read",
            "2 aya::Ebpf::load",
            "2 T",
        ] {
            assert!(
                found.iter().any(|path| path == expected),
                "{expected} in {found:?}"
            );
        }
    }

    #[test]
    fn blocks_end_where_they_end() {
        let all = tokens("fn f() { if a { b([c]) } } fn g() {}");
        assert_eq!(closing(&all, 4), 15);
        assert_eq!(closing(&tokens("{ {"), 0), 1, "unclosed: the end");
    }

    #[test]
    fn test_modules_are_found() {
        let source = "fn a() {}\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n fn b() {}\n}\n#[cfg(test)]\nmod far;\n#[cfg(test)]\nfn h() {}";
        assert_eq!(test_modules(&tokens(source)), [(2, 6)]);
    }
}
