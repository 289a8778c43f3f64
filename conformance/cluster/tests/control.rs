//! An API server without nodes: it starts, stops, starts again with what it held, and leaves nothing.

use anyhow::Result;
use sluice_cluster::{Component, ControlOptions, ControlPlane, skipped, why_no_control_plane};

#[test]
fn a_control_plane_keeps_its_objects_while_its_parts_are_stopped() -> Result<()> {
    if skipped(why_no_control_plane()) {
        return Ok(());
    }
    let control = ControlPlane::start(ControlOptions::default())?;
    control.kubectl(&["create", "namespace", "x"])?;
    for component in [Component::ApiServer, Component::Etcd] {
        control.stop(component)?;
        assert!(!control.runs(component), "{component}");
        control.start_component(component)?;
        control.wait_ready()?;
        let names = control.kubectl(&["get", "namespaces", "-o", "name"])?;
        assert!(names.contains("namespace/x"), "{component}: {names}");
    }
    Ok(())
}
