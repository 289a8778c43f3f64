//! The nodes known: their addresses, and which selections of nodes those belong to.

use std::sync::Arc;

use crate::Node;
use crate::address::Address;
use crate::objects::{Objects, Touched};
use crate::selection::SelectionId;
use crate::snapshot::NodesAt;

impl Objects {
    /// Takes a node in.
    pub(crate) fn set_node(&mut self, mut node: Node, touched: &mut Touched) {
        if self.nodes.get(&node.name) == Some(&node) {
            return;
        }
        self.remove_node(&Arc::clone(&node.name), touched);
        touched.anything = true;
        let name = self.strings.string(&node.name);
        for address in addresses(&node) {
            touched.node_address(address);
            self.edit_nodes(address, |nodes| {
                if let Err(place) = nodes.names.binary_search(&name) {
                    nodes.names.insert(place, Arc::clone(&name));
                }
            });
        }
        node.name = Arc::clone(&name);
        node.labels = self.strings.labels(&node.labels);
        self.nodes.insert(name, node);
    }

    /// Lets a node go.
    pub(crate) fn remove_node(&mut self, name: &Arc<str>, touched: &mut Touched) {
        let Some(node) = self.nodes.remove(name) else {
            return;
        };
        touched.anything = true;
        for address in addresses(&node) {
            touched.node_address(address);
            self.edit_nodes(address, |nodes| {
                nodes.names.retain(|other| other != name);
            });
        }
    }

    /// Finds the selections of the addresses that nodes touched, or of all nodes' where other selections are in use.
    pub(crate) fn match_nodes(&mut self, touched: &mut Touched) {
        let mut touched = std::mem::take(&mut touched.node_addresses);
        if self.selections.take_other_nodes() {
            touched.extend(self.nodes.values().flat_map(addresses));
        }
        for address in touched {
            self.match_address(address);
        }
    }

    fn match_address(&mut self, address: Address) {
        let Some(entry) = self.addresses.get(address) else {
            return;
        };
        let nodes = entry.nodes().iter().filter_map(|name| self.nodes.get(name));
        let found = nodes.flat_map(|node| self.selections.of_node(&node.labels));
        let mut found: Vec<SelectionId> = found.collect();
        found.sort_unstable();
        found.dedup();
        // Whatever is not different is not copied.
        if *entry.node_selections() != *found {
            self.edit_nodes(address, |nodes| nodes.selections = found);
        }
    }

    /// Changes the nodes of an address; nothing is kept where no node has it.
    fn edit_nodes(&mut self, address: Address, edit: impl FnOnce(&mut NodesAt)) {
        self.addresses.update(address, |entry| {
            edit(Arc::make_mut(entry.nodes.get_or_insert_default()));
            entry.nodes.take_if(|nodes| nodes.names.is_empty());
        });
    }
}

impl Touched {
    /// Notes that other nodes have an address, or that they have other labels.
    fn node_address(&mut self, address: Address) {
        self.addresses.insert(address);
        self.node_addresses.insert(address);
    }
}

fn addresses(node: &Node) -> impl Iterator<Item = Address> {
    node.addresses.iter().map(|address| Address::from(*address))
}
