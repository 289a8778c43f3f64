//! Which cases are meant: by name, tag, feature and share.

use std::collections::BTreeSet;
use std::str::FromStr;

use wildmatch::WildMatch;

use crate::case::Case;

/// Which cases are meant. All of them, where nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Ids, in which `*` stands for anything; one must match, where there are any.
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

/// Whether an id, in which `*` stands for anything, is that of a case: the same as in waivers.
fn is_id(pattern: &str, case: &Case) -> bool {
    WildMatch::new(pattern).matches(&case.id)
}

/// Whether an id, in which `*` stands for anything, is that of any case.
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

/// The id that was meant, most likely, by one that no case has.
pub fn meant_id(typed: &str, cases: &[Case]) -> Option<String> {
    let typed = typed.to_lowercase();
    let themes: BTreeSet<&str> = cases.iter().map(Case::theme).collect();
    let ids = cases.iter().map(|case| &*case.id);
    if themes.contains(&*typed) {
        return Some(format!("{typed}/*"));
    }
    // A name without its theme.
    let name = format!("/{typed}");
    if let Some(id) = ids.clone().find(|id| id.ends_with(&name)) {
        return Some(id.to_owned());
    }
    let patterns: Vec<String> = themes.iter().map(|theme| format!("{theme}/*")).collect();
    let patterns = patterns.iter().map(String::as_str);
    let is_pattern = typed.contains('*');
    let ids = ids.filter(|_| !is_pattern);
    nearest(&typed, ids.chain(patterns)).map(str::to_owned)
}

/// The tag, feature or theme that was meant, most likely, by a word that no case has.
pub fn meant_word<'c>(typed: &str, cases: &'c [Case]) -> Option<&'c str> {
    let words = cases.iter().flat_map(|case| {
        let more = case.tags.iter().chain(&case.features);
        std::iter::once(case.theme()).chain(more.map(|it| &**it))
    });
    nearest(&typed.to_lowercase(), words)
}

/// The first of the words that differ in the fewest letters, if those are few.
fn nearest<'w>(typed: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let most = 1.max(typed.chars().count() / 4);
    let apart = words.map(|word| (strsim::damerau_levenshtein(typed, word), word));
    let near = apart.filter(|(apart, _)| *apart <= most);
    near.min_by_key(|(apart, _)| *apart).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_guessed() {
        let cases = crate::catalogue::Catalogue::built_in().cases;
        for (typed, wanted) in [
            ("upstream/np-1", Some("upstream/np-01")),
            ("np-21", Some("upstream/np-21")),
            ("UPSTREAM/NP-21", Some("upstream/np-21")),
            ("upstream", Some("upstream/*")),
            ("upsteram/*", Some("upstream/*")),
            ("nothing-like-it", None),
        ] {
            assert_eq!(meant_id(typed, &cases).as_deref(), wanted, "{typed}");
        }
        for (typed, wanted) in [
            ("INGRESS", Some("ingress")),
            ("ingres", Some("ingress")),
            ("np.endprot", Some("np.endport")),
            ("everything", None),
        ] {
            assert_eq!(meant_word(typed, &cases), wanted, "{typed}");
        }
    }

    #[test]
    fn shares_are_whole_numbers_from_one() {
        assert!("1/1".parse::<Shard>().is_ok() && "4/4".parse::<Shard>().is_ok());
        for wrong in ["0/4", "5/4", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
