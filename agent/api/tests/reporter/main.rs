//! Events, conditions and the election against a real API server, with the rights that the chart grants and no others.
//!
//! Each scene has a namespace of its own for its Lease object, and so its own election.

mod bed;
mod scenes;

use anyhow::Result;
use sluice_cluster::{ControlOptions, ControlPlane, skipped, why_no_control_plane};

use bed::Bed;

type Scene = fn(&Bed<'_>) -> Result<()>;

#[test]
fn policies_owners_are_told_what_is_the_matter() -> Result<()> {
    if skipped(why_no_control_plane()) {
        return Ok(());
    }
    let control = ControlPlane::start(ControlOptions::default())?;
    bed::define_kinds(&control)?;
    let scenes: [(&str, Scene); 8] = [
        (
            "events",
            scenes::two_agents_tell_once_and_one_takes_over_from_the_other,
        ),
        ("handover", scenes::an_agent_that_stops_hands_over_at_once),
        (
            "conditions",
            scenes::conditions_appear_change_and_go_and_others_stay,
        ),
        ("theirs", scenes::conditions_of_somebody_else_stay_theirs),
        (
            "empty",
            scenes::what_selects_nothing_is_told_once_it_stayed_so,
        ),
        (
            "statusless",
            scenes::a_kind_without_a_status_has_events_all_the_same,
        ),
        ("terminating", scenes::what_is_about_to_go_is_let_go),
        (
            "refused",
            scenes::what_is_refused_is_said_once_and_tried_again,
        ),
    ];
    for (name, scene) in scenes {
        println!("{name}");
        let bed = Bed::make(&control, name)?;
        scene(&bed).map_err(|error| error.context(name))?;
    }
    Ok(())
}
