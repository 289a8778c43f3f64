//! What the commands about manifests have in common: what is read, asked and judged.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use sluice_conformance::decide::Decider;
use sluice_conformance::expect::{self, Expected};
use sluice_conformance::judge::destination;
use sluice_conformance::profile::Profile;
use sluice_conformance::report::Judged;
use sluice_kubernetes::{Loaded, World};
use sluice_oracle::{Cell, Family, Port, PortError};

use super::Stopped;

/// What is asked of a world, and who answers.
#[derive(Debug, Args)]
pub(super) struct AskArgs {
    /// A port to ask about, such as 80/TCP [default: those that pods declare and policies name]. Repeatable
    #[arg(long = "port", value_name = "PORT/PROTOCOL", value_parser = port)]
    ports: Vec<Port>,
    /// A source to ask about [default: every pod]. Repeatable
    #[arg(long, value_name = "NS/POD")]
    from: Vec<String>,
    /// A destination to ask about: a pod, or service:NS/NAME [default: all]. Repeatable
    #[arg(long, value_name = "NS/POD")]
    to: Vec<String>,
    /// Ask Sluice's evaluator in place of the API text
    #[arg(long)]
    pub(super) evaluator: bool,
    /// Of the API text: which of its readings, as `run` has them
    #[arg(long, default_value = "strict")]
    profile: Profile,
}

/// `80/TCP`, or `80` for TCP, in any case.
fn port(text: &str) -> Result<Port, PortError> {
    let text = text.to_ascii_uppercase();
    if text.contains('/') {
        text.parse()
    } else {
        format!("{text}/TCP").parse()
    }
}

/// Reads manifests. Whatever is wrong with them goes to stderr at once, a line each.
pub(super) fn load(paths: &[PathBuf]) -> Result<World, Stopped> {
    let Loaded {
        world, problems, ..
    } = sluice_kubernetes::load(paths).map_err(|error| Stopped(2, error.to_string()))?;
    for problem in &problems {
        eprintln!("{problem}");
    }
    match problems.iter().filter(|problem| !problem.harmless).count() {
        0 => Ok(world),
        1 => Err(Stopped(2, "1 problem in the manifests".to_owned())),
        some => Err(Stopped(2, format!("{some} problems in the manifests"))),
    }
}

impl AskArgs {
    /// Every cell that is asked about; at least one.
    pub(super) fn cells(&self, worlds: &[&World]) -> Result<Vec<Cell>, Stopped> {
        let ports = self.ports(worlds);
        let mut seen = BTreeSet::new();
        let mut cells = Vec::new();
        for world in worlds {
            for cell in expect::cells(world, &ports, &Family::ALL) {
                if ports.contains(&cell.port) && seen.insert(key(&cell)) {
                    cells.push(cell);
                }
            }
        }
        for (flag, names, is_from) in [("--from", &self.from, true), ("--to", &self.to, false)] {
            let name = |cell: &Cell| {
                if is_from {
                    cell.from.to_string()
                } else {
                    destination(&cell.to)
                }
            };
            if let Some(missing) = names
                .iter()
                .find(|it| !cells.iter().any(|cell| name(cell) == **it))
            {
                return Err(Stopped(2, format!("{flag}: no {missing} in the manifests")));
            }
            cells.retain(|cell| names.is_empty() || names.contains(&name(cell)));
        }
        if cells.is_empty() {
            let message = "no pod with an address in the manifests, so there is nothing to ask";
            return Err(Stopped(2, message.to_owned()));
        }
        Ok(cells)
    }

    fn ports(&self, worlds: &[&World]) -> Vec<Port> {
        if !self.ports.is_empty() {
            return self.ports.clone();
        }
        let own = worlds.iter().flat_map(|world| world.ports());
        let services = worlds.iter().flat_map(|world| &world.services);
        let services = services.flat_map(|it| it.ports.iter().map(|it| (it.port, it.protocol)));
        let all: BTreeSet<_> = own.chain(services).collect();
        let port = |(number, protocol)| Port { number, protocol };
        all.into_iter().map(port).collect()
    }

    /// What holds of cells of a world.
    pub(super) fn judge(&self, world: &World, cells: &[Cell]) -> Vec<Judged> {
        let said = if self.evaluator {
            let decided = Decider::new(world).decide(cells);
            decided.into_iter().map(|it| it.said).collect()
        } else {
            expect::expected(world, &self.profile.readings(), cells)
        };
        cells.iter().cloned().zip(said).collect()
    }
}

/// What sets a cell apart from others.
pub(super) fn key(cell: &Cell) -> (String, String, Port, Family) {
    let from = cell.from.to_string();
    (from, destination(&cell.to), cell.port, cell.family)
}

/// A cell as JSON has it.
pub(super) fn json_of(cell: &Cell) -> Value {
    json!({
        "from": cell.from.to_string(),
        "to": destination(&cell.to),
        "port": cell.port.number,
        "protocol": cell.port.protocol.to_string(),
        "family": cell.family.to_string(),
    })
}

/// One word.
pub(super) fn word(said: &Expected) -> &'static str {
    match said {
        Expected::Allowed => "allowed",
        Expected::Denied => "denied",
        Expected::Open(_) => "open",
        Expected::Either => "either",
    }
}
