//! The modes that are compared.

use clap::ValueEnum;
use serde::Serialize;

use crate::load::Workload;

/// What is between two pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Mode {
    /// Routing alone: no netfilter, no connection tracking
    None,
    /// Connection tracking and address translation, as kube-proxy leaves a node: the fair reference, since every
    /// cluster has it
    Conntrack,
    /// The same once more, on a node of its own: what two equal modes differ by is what this machine cannot tell
    ConntrackAgain,
    /// Sluice without its fast path, one queue
    Nfqueue,
    /// The same with a queue per core
    NfqueueN,
    /// Sluice, every pair known to the kernel before
    Hybrid,
    /// The same with `--redirect-established`: once opened, connections go past netfilter
    HybridRedirect,
    /// Sluice, every pair new to it
    HybridCold,
    /// Sluice, its agent stopped (SIGSTOP) while a slice lasts
    HybridStopped,
    /// A chain of rules, one per policy, the one that matches last; no agent
    Linear,
    /// What the command of `--external` enforces
    External,
}

/// How the agent of a mode is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentFlags {
    /// With or without the fast path.
    pub mode: sluice_lab::Mode,
    /// `--queues`; none: the agent's own default.
    pub queues: Option<u16>,
    /// `--redirect-established`.
    pub redirect: bool,
}

impl Mode {
    /// As flags and documents spell it.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The agent of the mode, if it has one.
    pub const fn agent(self) -> Option<AgentFlags> {
        let (mode, queues, redirect) = match self {
            Self::None | Self::Conntrack | Self::ConntrackAgain | Self::Linear | Self::External => {
                return None;
            }
            Self::Nfqueue => (sluice_lab::Mode::Nfqueue, Some(1), false),
            Self::NfqueueN => (sluice_lab::Mode::Nfqueue, None, false),
            Self::Hybrid | Self::HybridCold | Self::HybridStopped => {
                (sluice_lab::Mode::Hybrid, None, false)
            }
            Self::HybridRedirect => (sluice_lab::Mode::Hybrid, None, true),
        };
        Some(AgentFlags {
            mode,
            queues,
            redirect,
        })
    }

    /// Whether somebody is denied in it.
    pub const fn enforces(self) -> bool {
        self.agent().is_some() || matches!(self, Self::Linear | Self::External)
    }

    /// Whether the workload can be sent in it.
    pub const fn has(self, workload: Workload) -> bool {
        match self {
            // Without translation of addresses there is no Service.
            Self::None => !matches!(workload, Workload::TcpCrrService),
            // Only a connection that is opened can be new to it, and the first two have one port. What its slices are
            // limited to is too little to tell what one in a hundred takes.
            Self::HybridCold => {
                use Workload::{Flood, FloodQuiet, Http, TcpCrrService};
                workload.opens() && !matches!(workload, TcpCrrService | Http | FloodQuiet | Flood)
            }
            // What is translated, or has one packet there and back, is not redirected, nor what goes to another node.
            Self::HybridRedirect => {
                use Workload::{TcpCrrNodes, TcpCrrService, TcpRrNodes, UdpNew};
                !matches!(workload, TcpCrrNodes | TcpCrrService | TcpRrNodes | UdpNew)
            }
            // The chain is of IPv4.
            Self::Linear => !workload.is_ipv6(),
            _ => true,
        }
    }

    /// Whether its node tracks connections.
    pub const fn tracks(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// The pairs of modes whose ratio says something, `a` ÷ `b`.
pub const PAIRS: [(Mode, Mode); 18] = [
    (Mode::ConntrackAgain, Mode::Conntrack),
    (Mode::Conntrack, Mode::None),
    (Mode::Hybrid, Mode::Conntrack),
    (Mode::Nfqueue, Mode::Conntrack),
    (Mode::Nfqueue, Mode::Hybrid),
    (Mode::NfqueueN, Mode::Nfqueue),
    (Mode::NfqueueN, Mode::Hybrid),
    (Mode::HybridRedirect, Mode::Conntrack),
    (Mode::HybridRedirect, Mode::Hybrid),
    (Mode::Nfqueue, Mode::HybridRedirect),
    (Mode::NfqueueN, Mode::HybridRedirect),
    (Mode::HybridCold, Mode::Nfqueue),
    (Mode::HybridCold, Mode::NfqueueN),
    (Mode::HybridStopped, Mode::Hybrid),
    (Mode::Linear, Mode::Conntrack),
    (Mode::Linear, Mode::Hybrid),
    (Mode::External, Mode::Conntrack),
    (Mode::External, Mode::Hybrid),
];
