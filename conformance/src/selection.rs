//! Which cases are meant: by name, tag, feature and share.

use std::str::FromStr;

use crate::case::Case;

/// Which cases are meant. All of them, where nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Ids, or their beginnings with a `*`; one must match, where there are any.
    pub ids: Vec<String>,
    /// Tags, features and themes; one must match, where there are any.
    pub include: Vec<String>,
    /// Tags, features and themes; none may match.
    pub exclude: Vec<String>,
    /// One share of all that is left.
    pub shard: Option<Shard>,
}

/// The I-th of N shares, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    of: usize,
}

/// What is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no share such as 1/4: {0}")]
pub struct ShardError(String);

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ShardError(text.to_owned());
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let number = |text: &str| text.parse::<usize>().map_err(|_not_a_number| wrong());
        let (index, of) = (number(index)?, number(of)?);
        if index == 0 || index > of {
            return Err(wrong());
        }
        Ok(Self { index, of })
    }
}

impl Selection {
    /// The cases that are meant, in their order.
    pub fn of<'c>(&self, cases: &'c [Case]) -> Vec<&'c Case> {
        let chosen = cases.iter().filter(|case| self.matches(case));
        let Some(shard) = self.shard else {
            return chosen.collect();
        };
        let mine = chosen
            .enumerate()
            .filter(|(at, _)| at % shard.of == shard.index - 1);
        mine.map(|(_, case)| case).collect()
    }

    fn matches(&self, case: &Case) -> bool {
        let is_id = |pattern: &String| is_id(pattern, case);
        let has = |word: &String| has(case, word);
        (self.ids.is_empty() || self.ids.iter().any(is_id))
            && (self.include.is_empty() || self.include.iter().any(has))
            && !self.exclude.iter().any(has)
    }
}

/// Whether an id, or its beginning with a `*`, is that of a case.
fn is_id(pattern: &str, case: &Case) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => case.id.starts_with(start),
        None => *pattern == *case.id,
    }
}

/// Whether an id, or its beginning with a `*`, is that of any case.
pub fn is_any(pattern: &str, cases: &[Case]) -> bool {
    cases.iter().any(|case| is_id(pattern, case))
}

fn has(case: &Case, word: &str) -> bool {
    case.theme() == word || case.tags.contains(word) || case.features.contains(word)
}

/// Words that no case has: typing errors, most likely.
pub fn unknown<'w>(words: impl IntoIterator<Item = &'w String>, cases: &[Case]) -> Vec<&'w String> {
    let is_unknown = |word: &&String| !cases.iter().any(|case| has(case, word));
    words.into_iter().filter(is_unknown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_numbers_from_one() {
        assert!("1/1".parse::<Shard>().is_ok() && "4/4".parse::<Shard>().is_ok());
        for wrong in ["0/4", "5/4", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
