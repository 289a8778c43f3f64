//! Files and functions small enough to be read at once.

use super::rust::{self, Token};
use super::tree::{Finding, Tree};

/// Lines of a file at most; more is split by concept.
const FILE: usize = 500;

/// Lines of a function at most, from `fn` to its closing brace.
const FUNCTION: usize = 60;

/// Files and functions that are too long.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        let lines = text.lines().count();
        if lines > FILE {
            findings.push(Finding::in_file(
                path,
                format!("{lines} lines, {FILE} are allowed"),
            ));
        }
        let long = functions(&rust::tokens(text))
            .into_iter()
            .filter(|function| function.lines > FUNCTION);
        findings.extend(long.map(|Function { name, line, lines }| {
            Finding::at(
                path,
                line,
                format!("fn {name}: {lines} lines, {FUNCTION} are allowed"),
            )
        }));
    }
    findings
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// The functions with a body.
fn functions(tokens: &[Token]) -> Vec<Function> {
    let starts = tokens
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0].text == "fn" && is_name(&pair[1].text));
    starts
        .filter_map(|(start, pair)| {
            let open = body(tokens, start + 2)?;
            let lines = tokens[rust::closing(tokens, open)].line + 1 - pair[0].line;
            Some(Function {
                name: pair[1].text.clone(),
                line: pair[0].line,
                lines,
            })
        })
        .collect()
}

/// The opening brace of the body; none for a declaration. Signs inside of brackets are part of the signature.
fn body(tokens: &[Token], mut at: usize) -> Option<usize> {
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => return Some(at),
            ";" => return None,
            "(" | "[" => at = rust::closing(tokens, at),
            _ => {}
        }
        at += 1;
    }
    None
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    fn found(text: &str) -> Vec<String> {
        check(&Tree::of(&[("a.rs", text)]))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_function_may_have_sixty_lines() {
        let of = |lines: usize| {
            format!(
                "//! x\nfn long(x: [u8; 4]) {{\n{}}}\n",
                "    g();\n".repeat(lines - 2)
            )
        };
        assert!(found(&of(60)).is_empty());
        assert_eq!(
            found(&of(61)),
            ["a.rs:2: fn long: 61 lines, 60 are allowed"]
        );
    }

    #[test]
    fn declarations_pointers_and_comments_have_no_body() {
        let after = "// }\n".repeat(100);
        assert!(found(&format!("trait T {{ fn f(&self) -> u8; }}\ntype F = fn(u8) -> u8;\n{after}fn g() {{ \"}}\" }}")).is_empty());
    }

    #[test]
    fn a_file_may_have_five_hundred_lines() {
        assert!(found(&"// x\n".repeat(500)).is_empty());
        assert_eq!(
            found(&"// x\n".repeat(501)),
            ["a.rs: 501 lines, 500 are allowed"]
        );
    }
}
