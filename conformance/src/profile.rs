//! Which readings of what the API leaves open an enforcer may have.

use std::fmt;
use std::str::FromStr;

use sluice_oracle::{Finality, HostNetwork, OwnNode, Reading, Ties};

/// What becomes of connections that are open when policy begins to deny them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Established {
    /// They end.
    Cut,
    /// They go on.
    Kept,
}

/// What an enforcer says of itself where the API leaves it the choice. What it does not say is not judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    host_network: Option<HostNetwork>,
    own_node: Option<OwnNode>,
    finality: Option<Finality>,
    ties: Option<Ties>,
    /// Of connections that are open when policy begins to deny them.
    pub established: Option<Established>,
}

/// Profiles and what they mean.
pub const PROFILES: &[(&str, &str)] = &[
    (
        "strict",
        "the API text alone: what it leaves open is not judged",
    ),
    (
        "packet",
        "policy is about packets: open connections that it begins to deny end",
    ),
    (
        "connection",
        "policy is about new connections: open ones go on",
    ),
    ("host-node", "a pod in the network of its node is its node"),
    (
        "host-pod",
        "a pod in the network of its node is a pod like others",
    ),
    (
        "sluice",
        "what Sluice is: packet, host-node, nodes judged by egress policy, final by direction, ties by name",
    ),
];

/// A profile that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no profile {0}; there are {known}", known = names())]
pub struct ProfileError(String);

fn names() -> String {
    let names: Vec<&str> = PROFILES.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl FromStr for Profile {
    type Err = ProfileError;

    /// One name, or several with commas between them, later ones on top.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',')
            .try_fold(Self::default(), |profile, name| profile.with(name.trim()))
    }
}

impl Profile {
    /// What Sluice says of itself.
    pub const SLUICE: Self = Self {
        host_network: Some(HostNetwork::Node),
        own_node: Some(OwnNode::ByPolicy),
        finality: Some(Finality::Direction),
        ties: Some(Ties::ByName),
        established: Some(Established::Cut),
    };

    fn with(self, name: &str) -> Result<Self, ProfileError> {
        Ok(match name {
            "strict" => self,
            "packet" => Self {
                established: Some(Established::Cut),
                ..self
            },
            "connection" => Self {
                established: Some(Established::Kept),
                ..self
            },
            "host-node" => Self {
                host_network: Some(HostNetwork::Node),
                ..self
            },
            "host-pod" => Self {
                host_network: Some(HostNetwork::Pod),
                ..self
            },
            "sluice" => Self::SLUICE,
            _ => return Err(ProfileError(name.to_owned())),
        })
    }

    /// Every reading that it allows; at least one.
    pub fn readings(self) -> Vec<Reading> {
        let is_allowed = |reading: &Reading| {
            self.host_network
                .is_none_or(|it| it == reading.host_network)
                && self.own_node.is_none_or(|it| it == reading.own_node)
                && self.finality.is_none_or(|it| it == reading.finality)
                && self.ties.is_none_or(|it| it == reading.ties)
        };
        Reading::all().into_iter().filter(is_allowed).collect()
    }
}

impl fmt::Display for Profile {
    /// Names that mean it, as they are typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (base, name) = if self.finality.is_some() {
            (Self::SLUICE, "sluice")
        } else {
            (Self::default(), "strict")
        };
        let established = self.established.map(|it| match it {
            Established::Cut => "packet",
            Established::Kept => "connection",
        });
        let host = self.host_network.map(|it| match it {
            HostNetwork::Node => "host-node",
            HostNetwork::Pod => "host-pod",
        });
        let established = established.filter(|_| self.established != base.established);
        let host = host.filter(|_| self.host_network != base.host_network);
        let more: Vec<&str> = established.into_iter().chain(host).collect();
        match (more.is_empty(), name) {
            (true, _) => f.write_str(name),
            (false, "strict") => f.write_str(&more.join(",")),
            (false, _) => write!(f, "{name},{}", more.join(",")),
        }
    }
}

impl fmt::Display for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "cut",
            Self::Kept => "kept",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_said_as_it_is_typed() {
        for text in [
            "strict",
            "sluice",
            "packet",
            "host-pod",
            "connection,host-node",
            "sluice,connection",
            "sluice,connection,host-pod",
        ] {
            assert_eq!(text.parse::<Profile>().unwrap().to_string(), text);
        }
        let twice: Profile = "sluice,packet,strict".parse().unwrap();
        assert_eq!(twice.to_string(), "sluice");
    }

    #[test]
    fn a_profile_allows_fewer_readings_the_more_it_says() {
        let readings = |text: &str| text.parse::<Profile>().unwrap().readings().len();
        assert_eq!(readings("strict"), Reading::all().len());
        assert_eq!(readings("host-node"), Reading::all().len() / 2);
        assert_eq!(readings("sluice"), 1);
        assert!("lenient".parse::<Profile>().is_err());
        for (name, _) in PROFILES {
            assert!(name.parse::<Profile>().is_ok(), "{name}");
        }
    }
}
