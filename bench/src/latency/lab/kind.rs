//! Kinds of changes, what they are called, and what is demanded of them. Pure.

use std::fmt;

use serde::Serialize;

use super::report::Figure;
use super::{Plan, What};

/// What a change of policy may take until it is enforced, in milliseconds: the median, and 99 of 100.
const TARGET: Bounds = Bounds {
    p50: 2.0,
    p99: 20.0,
};

/// A change, and whose connections show that it is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A policy that allows is made: until new connections get through.
    Allow,
    /// It is deleted: until no new connection does.
    Deny,
    /// It is deleted: until nothing arrives on an open connection.
    RevokeTcp,
    /// The same of a flow of datagrams.
    RevokeUdp,
    /// The target's label changes so that it may be reached.
    LabelAllow,
    /// It changes so that it may not.
    LabelDeny,
    /// The label of the target's namespace changes so that it may be reached.
    NamespaceAllow,
    /// It changes so that it may not.
    NamespaceDeny,
    /// Many policies are made at once, the last of which allows: until new connections get through.
    BurstAllow,
    /// They are deleted at once: until no new connection does.
    BurstDeny,
    /// As `Allow`, while pods come and go.
    ChurnAllow,
    /// As `Deny`, while pods come and go.
    ChurnDeny,
    /// A pod's object appears with its address: until who may gets through.
    Reached,
    /// The same: until nobody else does.
    Protected,
    /// A pod that is known gets another interface: until nobody else gets through, which is at once.
    Window,
}

/// How long at most, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bounds {
    /// The median.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
}

impl Plan {
    /// Its kinds of changes, without samples.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let mut kinds = match self.what {
            What::Policy => vec![
                Kind::Allow,
                Kind::Deny,
                Kind::RevokeTcp,
                Kind::RevokeUdp,
                Kind::LabelAllow,
                Kind::LabelDeny,
                Kind::NamespaceAllow,
                Kind::NamespaceDeny,
            ],
            What::Pod => vec![Kind::Reached, Kind::Protected, Kind::Window],
        };
        if self.bursts() {
            kinds.extend([Kind::BurstAllow, Kind::BurstDeny]);
        }
        if self.churns() {
            kinds.extend([Kind::ChurnAllow, Kind::ChurnDeny]);
        }
        kinds.into_iter().map(Figure::new).collect()
    }
}

impl Kind {
    /// For how long at most it may take. Of a burst that depends on how many there are; and while pods come and go the
    /// agent waits for what follows closely, as it does for manifests that are written in a row.
    pub(super) const fn target(self) -> Option<Bounds> {
        match self {
            Self::Allow
            | Self::Deny
            | Self::RevokeTcp
            | Self::RevokeUdp
            | Self::LabelAllow
            | Self::LabelDeny
            | Self::NamespaceAllow
            | Self::NamespaceDeny => Some(TARGET),
            Self::BurstAllow
            | Self::BurstDeny
            | Self::ChurnAllow
            | Self::ChurnDeny
            | Self::Reached
            | Self::Protected
            | Self::Window => None,
        }
    }

    /// In a table.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Allow => "policy made: new connections get through",
            Self::Deny => "policy deleted: no new connection does",
            Self::RevokeTcp => "policy deleted: an open TCP connection stands",
            Self::RevokeUdp => "policy deleted: an open UDP flow stands",
            Self::LabelAllow => "label changed: new connections get through",
            Self::LabelDeny => "label changed: no new connection does",
            Self::NamespaceAllow => "namespace's label: new connections get through",
            Self::NamespaceDeny => "namespace's label: no new connection does",
            Self::BurstAllow => "many policies made: new connections get through",
            Self::BurstDeny => "many policies deleted: no new connection does",
            Self::ChurnAllow => "policy made in churn: new connections get through",
            Self::ChurnDeny => "policy deleted in churn: no new connection does",
            Self::Reached => "pod's object appears: who may gets through",
            Self::Protected => "pod's object appears: nobody else does",
            Self::Window => "a known pod's interface appears: nobody else",
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 at most {} ms, p99 at most {} ms",
            self.p50, self.p99
        )
    }
}
