//! What can be wrong with an object, and how it is said.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

/// Where something comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The Kubernetes API, where an object's name says enough.
    Api,
    /// A manifest.
    File(Place),
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, or `-`.
    pub file: Arc<Path>,
    /// One-based line, where known.
    pub line: Option<u32>,
    /// One-based column, where it helps: for what is not YAML.
    pub column: Option<u32>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api => f.write_str("the Kubernetes API"),
            Self::File(place) => place.fmt(f),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        for part in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{part}")?;
        }
        Ok(())
    }
}

/// Something wrong with an object. Prints on one line: `FILE:LINE: KIND NAMESPACE/NAME: FIELD: MESSAGE`, without the
/// first part where the object comes from the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Of a manifest the file, and the line of the field where it is known, else of the object.
    pub origin: Origin,
    /// `NetworkPolicy x/allow`; none where the document could not be read at all.
    pub object: Option<String>,
    /// `spec.ingress[0].ports[1].port`; none where the whole object is meant.
    pub field: Option<String>,
    /// A lowercase fragment, with the offending value.
    pub message: String,
    /// Whether the object is enforced as it is written all the same: it is badly written, and no more.
    pub harmless: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.origin {
            Origin::Api => None,
            Origin::File(place) => Some(place.to_string()),
        };
        let parts = [
            place.as_deref(),
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
        let mut problem = Problem {
            origin: Origin::File(Place {
                file: Path::new("a.yaml").into(),
                line: Some(3),
                column: None,
            }),
            object: Some("NetworkPolicy x/allow".to_owned()),
            field: Some("spec.ingress[0].ports[1].port".to_owned()),
            message: "must be\n1 to 65535".to_owned(),
            harmless: false,
        };
        assert_eq!(
            problem.to_string(),
            "a.yaml:3: NetworkPolicy x/allow: spec.ingress[0].ports[1].port: must be\\n1 to 65535"
        );
        problem.origin = Origin::Api;
        assert_eq!(
            problem.to_string(),
            "NetworkPolicy x/allow: spec.ingress[0].ports[1].port: must be\\n1 to 65535"
        );
    }
}
