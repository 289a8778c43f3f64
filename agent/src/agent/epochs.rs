//! The epochs as of one snapshot: the agent's copy of the kernel's array.
//!
//! Immutable and shared in blocks, so that publishing a change costs the blocks it touches.

use std::collections::BTreeSet;
use std::sync::Arc;

const BLOCK: usize = 256;

/// An epoch for each slot of the kernel's array.
#[derive(Clone)]
pub(crate) struct Epochs {
    blocks: Arc<[Arc<[u32; BLOCK]>]>,
}

impl Epochs {
    /// From the kernel's array; its length is a multiple of the block size.
    pub(crate) fn new(values: &[u32]) -> Self {
        let blocks = values.chunks(BLOCK).map(|chunk| {
            let mut block = [0; BLOCK];
            block[..chunk.len()].copy_from_slice(chunk);
            Arc::new(block)
        });
        Self {
            blocks: blocks.collect(),
        }
    }

    /// The epoch of a slot; 0 for one beyond the array.
    pub(crate) fn get(&self, slot: u32) -> u32 {
        let slot = slot as usize;
        self.blocks
            .get(slot / BLOCK)
            .map_or(0, |block| block[slot % BLOCK])
    }

    /// These epochs with those of `slots` raised by one, and the raised values.
    ///
    /// A slot comes round to an old value after 2³² changes, and a lease would have to sleep through all of them.
    pub(crate) fn raised(&self, slots: &BTreeSet<u32>) -> (Self, Vec<(u32, u32)>) {
        let mut blocks = self.blocks.to_vec();
        let mut raised = Vec::with_capacity(slots.len());
        for &slot in slots {
            let Some(block) = blocks.get_mut(slot as usize / BLOCK) else {
                continue;
            };
            let value = &mut Arc::make_mut(block)[slot as usize % BLOCK];
            *value = value.wrapping_add(1);
            raised.push((slot, *value));
        }
        (
            Self {
                blocks: blocks.into(),
            },
            raised,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_touches_the_named_slots_alone() {
        let before = Epochs::new(&[7; 1024]);
        let (after, raised) = before.raised(&BTreeSet::from([3, 700]));
        assert_eq!(raised, [(3, 8), (700, 8)]);
        assert_eq!((after.get(3), after.get(4), after.get(700)), (8, 7, 8));
        assert_eq!(
            (before.get(3), before.get(700)),
            (7, 7),
            "an older snapshot keeps its epochs"
        );
    }

    #[test]
    fn slots_beyond_the_array_do_not_exist() {
        let (after, raised) = Epochs::new(&[0; 256]).raised(&BTreeSet::from([256]));
        assert!(raised.is_empty());
        assert_eq!(after.get(256), 0);
    }
}
