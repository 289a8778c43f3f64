//! Plots as SVG documents. The one room that knows `plotters`.

mod axis;
mod distribution;
mod forest;
mod growth;
mod panel;
mod timeline;

use std::error::Error;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

pub(super) use self::distribution::{Distribution, distributions};
pub(super) use self::forest::{Figure, forest};
pub(super) use self::growth::{Growth, growth};
use self::panel::text_at;
pub(super) use self::timeline::{Moment, timeline};

const SMALL: (&str, u32) = ("sans-serif", 12);
const BOLD: (&str, u32, FontStyle) = ("sans-serif", 13, FontStyle::Bold);
const GREY: RGBColor = RGBColor(130, 130, 130);
const LIGHT: RGBColor = RGBColor(228, 228, 228);
/// Of what does not count, and of targets that are not met.
const RED: RGBColor = RGBColor(200, 20, 20);
const WIDTH: u32 = 900;

/// Colours that people with any sight tell apart (Okabe and Ito), and of them those of the modes.
const MODES: [(&str, RGBColor); 10] = [
    ("none", RGBColor(150, 150, 150)),
    ("conntrack", RGBColor(0, 0, 0)),
    ("conntrack_again", RGBColor(140, 86, 75)),
    ("nfqueue", RGBColor(213, 94, 0)),
    ("nfqueue_n", RGBColor(230, 159, 0)),
    ("hybrid", RGBColor(0, 114, 178)),
    ("hybrid_redirect", RGBColor(136, 34, 85)),
    ("hybrid_cold", RGBColor(86, 180, 233)),
    ("hybrid_stopped", RGBColor(0, 158, 115)),
    ("linear", RGBColor(204, 121, 167)),
];
const OTHERS: [RGBColor; 4] = [
    RGBColor(51, 34, 136),
    RGBColor(153, 153, 51),
    RGBColor(102, 37, 6),
    RGBColor(17, 119, 51),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// A plot of a document.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// What its file is called, after the document's name.
    pub(super) suffix: &'static str,
    /// What it shows, in a sentence.
    pub(super) title: &'static str,
    pub(super) svg: String,
}

/// What something is drawn in: the same in all plots for a mode; `number` tells others apart.
fn colour(name: &str, number: usize) -> RGBColor {
    let mut modes = MODES.iter();
    modes
        .find(|(mode, _)| *mode == name)
        .map_or(OTHERS[number % OTHERS.len()], |(_, colour)| *colour)
}

fn drawn(height: i32, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    let mut text = String::new();
    {
        let size = (WIDTH, u32::try_from(height)?);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE)
            .map_err(|error| anyhow!("plot: {error}"))?;
        draw(&area).map_err(|error| anyhow!("plot: {error}"))?;
        area.present().map_err(|error| anyhow!("plot: {error}"))?;
    }
    Ok(text)
}

/// What colours mean, one below the other.
fn legend(area: &Area<'_>, (left, top): (i32, i32), entries: &[(String, RGBColor)]) -> Drawn {
    for (number, (name, colour)) in (0..).zip(entries) {
        let y = top + 18 * number;
        let line = vec![(left, y), (left + 16, y)];
        area.draw(&PathElement::new(line, colour.stroke_width(3)))?;
        text_at(area, name, (left + 22, y), (HPos::Left, VPos::Center))?;
    }
    Ok(())
}
