//! An API server without nodes: it starts, stops, starts again with what it held, and leaves nothing.

use std::time::Duration;

use anyhow::Result;
use sluice_cluster::{
    Component, ControlOptions, ControlPlane, skipped, until, why_no_control_plane,
};

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
        // What the API server says of etcd may be older than the stop.
        let names = until("names of namespaces", Duration::from_mins(1), || {
            Ok(control.kubectl(&["get", "namespaces", "-o", "name"]).ok())
        })?;
        assert!(names.contains("namespace/x"), "{component}: {names}");
    }
    Ok(())
}
