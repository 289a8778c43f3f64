//! How something grows with a number of objects: a line for each mode, both axes logarithmic.

use anyhow::Result;
use plotters::prelude::*;

use super::axis::Axis;
use super::panel::{Panel, Place};
use super::{Drawn, GREY, WIDTH, colour, drawn, legend};

const PLACE: Place = Place {
    left: 60,
    top: 34,
    width: WIDTH.cast_signed() - 60 - 230,
    height: 300,
};

/// What is shown.
#[derive(Clone, Debug)]
pub(in crate::report) struct Growth<'a> {
    /// What the objects are.
    pub(in crate::report) of: &'a str,
    /// What grows, with its unit.
    pub(in crate::report) what: &'a str,
    /// By name: numbers of objects, 0 among them where it likes, and values above 0.
    pub(in crate::report) lines: Vec<(String, Vec<(f64, f64)>)>,
    /// The same of others, on other machines, so that only its shape compares.
    pub(in crate::report) elsewhere: Option<(&'a str, &'a [(f64, f64)])>,
}

/// See [`Growth`].
pub(in crate::report) fn growth(growth: &Growth<'_>) -> Result<String> {
    let elsewhere = growth.elsewhere.iter().flat_map(|(_, points)| *points);
    let points = || {
        let own = growth.lines.iter().flat_map(|(_, points)| points);
        own.chain(elsewhere.clone())
    };
    let numbers = points().map(|(number, _)| *number);
    let x = if numbers.clone().any(|it| it <= 0.0) {
        Axis::log_with_zero(growth.of, numbers)
    } else {
        Axis::log(growth.of, numbers)
    };
    let y = Axis::log(growth.what, points().map(|(_, value)| *value));
    drawn(PLACE.top + PLACE.height + 50, |area| {
        let panel = Panel::new(area, PLACE, x, y);
        panel.grid()?;
        let mut entries = Vec::new();
        for (number, (name, points)) in growth.lines.iter().enumerate() {
            let colour = colour(name, number);
            entries.push((name.clone(), colour));
            one(&panel, points, colour)?;
        }
        if let Some((name, points)) = growth.elsewhere {
            entries.push((name.to_owned(), GREY));
            one(&panel, points, GREY)?;
        }
        let beside = (PLACE.left + PLACE.width + 20, PLACE.top + 12);
        legend(area, beside, &entries)
    })
}

fn one(panel: &Panel<'_, '_>, points: &[(f64, f64)], colour: RGBColor) -> Drawn {
    panel.line(points, colour.stroke_width(2))?;
    points
        .iter()
        .try_for_each(|point| panel.dot(*point, 3, colour))
}
