//! What can be wrong with a manifest, and how it is said.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The file, or `-`.
    pub file: Arc<Path>,
    /// One-based line, where known.
    pub line: Option<u32>,
    /// One-based column, where it helps: for what is not YAML.
    pub column: Option<u32>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        for part in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{part}")?;
        }
        Ok(())
    }
}

/// Something wrong with a manifest. Prints on one line: `FILE:LINE: KIND NAMESPACE/NAME: FIELD: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, and the line of the field where it is known, else of the object.
    pub origin: Origin,
    /// `NetworkPolicy x/allow`; none where the document could not be read at all.
    pub object: Option<String>,
    /// `spec.ingress[0].ports[1].port`; none where the whole object is meant.
    pub field: Option<String>,
    /// A lowercase fragment, with the offending value.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.origin.to_string();
        let parts = [
            Some(origin.as_str()),
            self.object.as_deref(),
            self.field.as_deref(),
            Some(&self.message),
        ];
        for (index, part) in parts.into_iter().flatten().enumerate() {
            if index > 0 {
                f.write_str(": ")?;
            }
            one_line(part, f)?;
        }
        Ok(())
    }
}

/// Keys and names come from files: whatever would break the line or the terminal is escaped.
fn one_line(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for character in text.chars() {
        if character.is_control() {
            write!(f, "{}", character.escape_default())?;
        } else {
            f.write_char(character)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line() {
        let problem = Problem {
            origin: Origin {
                file: Path::new("a.yaml").into(),
                line: Some(3),
                column: None,
            },
            object: Some("NetworkPolicy x/allow".to_owned()),
            field: Some("spec.ingress[0].ports[1].port".to_owned()),
            message: "must be\n1 to 65535".to_owned(),
        };
        assert_eq!(
            problem.to_string(),
            "a.yaml:3: NetworkPolicy x/allow: spec.ingress[0].ports[1].port: must be\\n1 to 65535"
        );
    }
}
