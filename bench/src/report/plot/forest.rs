//! A forest plot: each figure with its interval, on a line of its own, below the name of its group.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;
use super::panel::{Panel, Place, text_at};
use super::{Area, BOLD, Drawn, GREY, LIGHT, RED, WIDTH, colour, drawn};

const ROW: i32 = 18;
const LEFT: i32 = 300;
const RIGHT: i32 = 150;
const TOP: i32 = 12;
const BOTTOM: i32 = 50;

/// A figure.
#[derive(Clone, Debug)]
pub(in crate::report) struct Figure {
    /// Figures of one group follow one another.
    pub(in crate::report) group: String,
    pub(in crate::report) label: String,
    /// Whose colour it has.
    pub(in crate::report) mode: String,
    pub(in crate::report) value: f64,
    pub(in crate::report) ci: Option<[f64; 2]>,
    /// What its interval is not to go beyond, and whether it does not.
    pub(in crate::report) bound: Option<(f64, Option<bool>)>,
}

/// Of ratios, around the line of 1; of others from 0 on.
pub(in crate::report) fn forest(
    figures: &[Figure],
    title: &str,
    are_ratios: bool,
) -> Result<String> {
    let ends = figures.iter().flat_map(Figure::ends);
    let axis = if are_ratios {
        Axis::log(title, ends.chain([0.9, 1.1]))
    } else {
        Axis::linear(title, ends)
    };
    let groups = figures.chunk_by(|a, b| a.group == b.group);
    let lines = i32::try_from(figures.len() + groups.clone().count())?;
    let place = Place {
        left: LEFT,
        top: TOP,
        width: i32::try_from(WIDTH)? - LEFT - RIGHT,
        height: lines * ROW,
    };
    drawn(TOP + lines * ROW + BOTTOM, |area| {
        let panel = Panel::new(area, place, axis, Axis::linear("", [1.0]));
        panel.x_grid()?;
        if are_ratios {
            let (x, _) = panel.at((1.0, 0.0));
            let line = vec![(x, TOP), (x, TOP + lines * ROW)];
            area.draw(&PathElement::new(line, BLACK))?;
        }
        let mut line = 0;
        for group in groups {
            heading(area, &group[0].group, line)?;
            for figure in group {
                line += 1;
                row(area, &panel, figure, middle(line))?;
            }
            line += 1;
        }
        panel.frame()
    })
}

const fn middle(line: i32) -> i32 {
    TOP + line * ROW + ROW / 2
}

fn heading(area: &Area<'_>, name: &str, line: i32) -> Drawn {
    let y = middle(line);
    let style = BOLD.into_text_style(area);
    let style = style.pos(Pos::new(HPos::Left, VPos::Center));
    area.draw(&Text::new(name.to_owned(), (10, y), style))?;
    let above = y - ROW / 2;
    let rule = vec![(10, above), (i32::try_from(WIDTH)? - 10, above)];
    area.draw(&PathElement::new(rule, LIGHT))?;
    Ok(())
}

fn row(area: &Area<'_>, panel: &Panel<'_, '_>, figure: &Figure, y: i32) -> Drawn {
    let own = colour(&figure.mode, 0);
    let x = |value| panel.at((value, 0.0)).0;
    if let Some((bound, met)) = figure.bound {
        let colour = if met == Some(false) { RED } else { GREY };
        let tick = vec![(x(bound), y - 7), (x(bound), y + 7)];
        area.draw(&PathElement::new(tick, colour.stroke_width(2)))?;
    }
    if let Some([low, high]) = figure.ci {
        let line = vec![(x(low), y), (x(high), y)];
        area.draw(&PathElement::new(line, own.stroke_width(2)))?;
    }
    area.draw(&Circle::new((x(figure.value), y), 4, own.filled()))?;
    text_at(area, &figure.label, (24, y), (HPos::Left, VPos::Center))?;
    let right = i32::try_from(WIDTH)? - RIGHT + 10;
    text_at(
        area,
        &figure.written(),
        (right, y),
        (HPos::Left, VPos::Center),
    )
}

impl Figure {
    fn ends(&self) -> Vec<f64> {
        let interval = self.ci.into_iter().flatten();
        let bound = self.bound.map(|(bound, _)| bound);
        interval.chain([self.value]).chain(bound).collect()
    }

    fn written(&self) -> String {
        let digits = |value: f64| match value.abs() {
            it if it >= 100.0 => format!("{value:.0}"),
            it if it >= 10.0 => format!("{value:.1}"),
            _ => format!("{value:.2}"),
        };
        let value = digits(self.value);
        self.ci.map_or_else(
            || value.clone(),
            |[low, high]| format!("{value} [{}, {}]", digits(low), digits(high)),
        )
    }
}
