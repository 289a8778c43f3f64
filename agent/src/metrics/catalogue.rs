//! The registry, and what it holds by name: so that the table of metrics can be compared with it.

use prometheus::core::Collector;
use prometheus::{Registry, Result as Outcome};

/// All metrics of the agent.
#[derive(Default)]
pub(super) struct Catalogue {
    registry: Registry,
    names: Vec<String>,
}

impl Catalogue {
    /// Registers what was made, and hands it on.
    pub(super) fn add<C: Collector + Clone + 'static>(&mut self, made: Outcome<C>) -> Outcome<C> {
        let collector = made?;
        let described = collector.desc();
        self.names
            .extend(described.into_iter().map(|desc| desc.fq_name.clone()));
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    pub(super) const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The names of all that was added.
    #[cfg(test)]
    pub(super) fn names(&self) -> std::collections::BTreeSet<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}
