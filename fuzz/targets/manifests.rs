//! Manifests: whatever the text is, it is read without a panic, and what is taken from it can be evaluated.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_policy::{Index, Scope};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let loaded = sluice_kubernetes::load_text("fuzz.yaml", text);
    for problem in &loaded.problems {
        assert!(!problem.to_string().is_empty());
    }
    let mut index = Index::new(Scope::Cluster);
    let _everything_is_new = index.apply(loaded.world.events());
    let snapshot = index.snapshot();
    assert!(snapshot.counts().isolated <= snapshot.counts().local);
    // Read again, nothing is different.
    let again = sluice_kubernetes::load_text("fuzz.yaml", text);
    assert!(again.world.events_since(&loaded.world).is_empty());
});
