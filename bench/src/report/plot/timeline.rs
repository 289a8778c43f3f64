//! A run as it went: each slice beside what its mode usually took, and which do not count.

use std::collections::BTreeMap;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::axis::Axis;
use super::panel::{Panel, Place, text_at};
use super::{Area, Drawn, GREY, LIGHT, RED, WIDTH, colour, drawn, legend};

const PLACE: Place = Place {
    left: 60,
    top: 72,
    width: WIDTH.cast_signed() - 60 - 160,
    height: 300,
};

/// A slice.
#[derive(Clone, Debug)]
pub(in crate::report) struct Moment {
    pub(in crate::report) workload: String,
    pub(in crate::report) mode: String,
    /// How many times what is usual for its workload and mode.
    pub(in crate::report) times: f64,
    pub(in crate::report) counts: bool,
}

/// In the order in which they ran.
pub(in crate::report) fn timeline(moments: &[Moment]) -> Result<String> {
    let count = f64::from(u32::try_from(moments.len())?);
    let title = "slices, as they ran";
    let x = Axis::linear(title, [(count / 1.05).max(1.0)]);
    let times = moments.iter().map(|it| it.times);
    let y = Axis::log(
        "p50, times the median of its mode",
        times.chain([0.8, 1.25]),
    );
    let mut modes: Vec<&str> = Vec::new();
    for moment in moments {
        if !modes.contains(&&*moment.mode) {
            modes.push(&moment.mode);
        }
    }
    drawn(PLACE.top + PLACE.height + 50, |area| {
        let panel = Panel::new(area, PLACE, x, y);
        panel.grid()?;
        workloads(area, &panel, moments)?;
        let size = if moments.len() > 1_000 { 1 } else { 2 };
        for (number, moment) in (0_u32..).zip(moments) {
            let at = (f64::from(number) + 0.5, moment.times);
            let place = modes.iter().position(|it| *it == moment.mode);
            let own = colour(&moment.mode, place.unwrap_or_default());
            if moment.counts {
                panel.dot(at, size, own)?;
            } else {
                panel.cross(at, 3, RED)?;
            }
        }
        let names = modes.iter().enumerate();
        let mut entries: Vec<_> = names
            .map(|(number, mode)| ((*mode).to_owned(), colour(mode, number)))
            .collect();
        entries.push(("does not count".to_owned(), RED));
        let beside = (PLACE.left + PLACE.width + 14, PLACE.top + 12);
        legend(area, beside, &entries)
    })
}

/// Slices of one workload, or of several that share their rounds.
#[derive(Debug, PartialEq, Eq)]
struct Stretch<'m> {
    first: usize,
    /// Behind the last one.
    next: usize,
    workloads: Vec<&'m str>,
}

fn stretches(moments: &[Moment]) -> Vec<Stretch<'_>> {
    let last: BTreeMap<&str, usize> = moments
        .iter()
        .enumerate()
        .map(|(number, moment)| (&*moment.workload, number))
        .collect();
    let mut stretches: Vec<Stretch<'_>> = Vec::new();
    for (number, moment) in moments.iter().enumerate() {
        let workload = &*moment.workload;
        let next = last[workload] + 1;
        match stretches.last_mut().filter(|stretch| number < stretch.next) {
            Some(stretch) => {
                stretch.next = stretch.next.max(next);
                if !stretch.workloads.contains(&workload) {
                    stretch.workloads.push(workload);
                }
            }
            None => stretches.push(Stretch {
                first: number,
                next,
                workloads: vec![workload],
            }),
        }
    }
    stretches
}

/// Where one ends and another begins; their names take turns in two rows, so that none is on another.
fn workloads(area: &Area<'_>, panel: &Panel<'_, '_>, moments: &[Moment]) -> Drawn {
    for (number, stretch) in (0..).zip(stretches(moments)) {
        let (first, next) = (u32::try_from(stretch.first)?, u32::try_from(stretch.next)?);
        let (left, _) = panel.at((f64::from(first), 1.0));
        let (right, _) = panel.at((f64::from(next), 1.0));
        if first > 0 {
            let line = vec![(left, PLACE.top), (left, PLACE.top + PLACE.height)];
            area.draw(&PathElement::new(line, GREY))?;
        }
        let y = PLACE.top - 22 - number % 2 * 16;
        let at = (i32::midpoint(left, right), y);
        let name = stretch.workloads.join(", ");
        text_at(area, &name, at, (HPos::Center, VPos::Bottom))?;
    }
    let (left, y) = panel.at((0.0, 1.0));
    let one = vec![(left, y), (left + PLACE.width, y)];
    area.draw(&PathElement::new(one, LIGHT.stroke_width(2)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_that_share_their_rounds_are_one_stretch() {
        let moments: Vec<_> = ["a", "a", "quiet", "flood", "flood", "quiet", "b"]
            .map(|workload| Moment {
                workload: workload.to_owned(),
                mode: "hybrid".to_owned(),
                times: 1.0,
                counts: true,
            })
            .into();
        let stretch = |first, next, workloads: &[&'static str]| Stretch {
            first,
            next,
            workloads: workloads.to_vec(),
        };
        assert_eq!(
            stretches(&moments),
            [
                stretch(0, 2, &["a"]),
                stretch(2, 6, &["quiet", "flood"]),
                stretch(6, 7, &["b"]),
            ]
        );
    }
}
