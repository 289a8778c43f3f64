//! Distributions: a panel for each of several, in which each mode has the share that took at most so long.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;
use super::panel::{Panel, Place};
use super::{Area, BOLD, Drawn, WIDTH, colour, drawn, text_at};

const COLUMNS: usize = 2;
const PANEL: (i32, i32) = (370, 200);
const STEP: (i32, i32) = (445, 285);
const LEFT: i32 = 60;
const TOP: i32 = 90;

/// What one panel shows.
#[derive(Clone, Debug)]
pub(in crate::report) struct Distribution {
    pub(in crate::report) title: String,
    /// By mode: values, and the share of all that is at most that, both growing.
    pub(in crate::report) lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// `unit` is what they count; on a logarithmic axis each.
pub(in crate::report) fn distributions(panels: &[Distribution], unit: &str) -> Result<String> {
    let rows = i32::try_from(panels.len().div_ceil(COLUMNS))?;
    let mut modes: Vec<&str> = Vec::new();
    for (mode, _) in panels.iter().flat_map(|panel| &panel.lines) {
        if !modes.contains(&&**mode) {
            modes.push(mode);
        }
    }
    drawn(TOP + rows * STEP.1 - 30, |area| {
        across(area, &modes)?;
        for (number, panel) in panels.iter().enumerate() {
            let column = i32::try_from(number % COLUMNS)?;
            let row = i32::try_from(number / COLUMNS)?;
            let place = Place {
                left: LEFT + column * STEP.0,
                top: TOP + row * STEP.1,
                width: PANEL.0,
                height: PANEL.1,
            };
            one(area, panel, place, unit, &modes)?;
        }
        Ok(())
    })
}

/// What the colours mean, in rows at the top.
fn across(area: &Area<'_>, modes: &[&str]) -> Drawn {
    const EACH: i32 = 165;
    let in_a_row = (i32::try_from(WIDTH)? - 20) / EACH;
    for (number, mode) in (0..).zip(modes) {
        let at = (20 + number % in_a_row * EACH, 16 + number / in_a_row * 18);
        let own = colour(mode, usize::try_from(number)?);
        super::legend(area, at, &[((*mode).to_owned(), own)])?;
    }
    Ok(())
}

fn one(area: &Area<'_>, of: &Distribution, place: Place, unit: &str, modes: &[&str]) -> Drawn {
    let values = of.lines.iter().flat_map(|(_, points)| points);
    let x = Axis::log(unit, values.map(|(value, _)| *value));
    let panel = Panel::new(area, place, x, Axis::linear("", [0.0, 1.0 / 1.05]));
    panel.grid()?;
    // Many lie upon one another.
    let width = if of.lines.len() > 3 { 1 } else { 2 };
    for (mode, points) in &of.lines {
        let number = modes.iter().position(|it| it == mode).unwrap_or_default();
        let style = colour(mode, number).stroke_width(width);
        panel.line(&steps(points), style)?;
    }
    let style = BOLD.into_text_style(area);
    let style = style.pos(Pos::new(HPos::Left, VPos::Bottom));
    let at = (place.left, place.top - 6);
    area.draw(&Text::new(of.title.clone(), at, style))?;
    let share = (place.left + place.width, place.top - 6);
    text_at(area, "share of all", share, (HPos::Right, VPos::Bottom))
}

/// From one share up to the next where the value is reached.
fn steps(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut before = 0.0;
    let mut steps = Vec::with_capacity(2 * points.len());
    for (value, share) in points {
        steps.extend([(*value, before), (*value, *share)]);
        before = *share;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_reached_with_its_value() {
        let steps = steps(&[(1.0, 0.5), (3.0, 1.0)]);
        assert_eq!(steps, [(1.0, 0.0), (1.0, 0.5), (3.0, 0.5), (3.0, 1.0)]);
    }
}
