//! A panel: two axes, and what is drawn between them.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;
use super::{Area, Drawn, GREY, LIGHT, SMALL};

/// Where it is, in pixels from the top left; without what is written beside its axes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) left: i32,
    pub(super) top: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

/// Two axes on an area.
pub(super) struct Panel<'a, 'b> {
    area: &'a Area<'b>,
    place: Place,
    x: Axis,
    y: Axis,
}

impl<'a, 'b> Panel<'a, 'b> {
    pub(super) fn new(area: &'a Area<'b>, place: Place, x: Axis, y: Axis) -> Self {
        Self { area, place, x, y }
    }

    /// Where a point is, in pixels.
    #[expect(clippy::cast_possible_truncation, reason = "pixels of a plot")]
    pub(super) fn at(&self, (x, y): (f64, f64)) -> (i32, i32) {
        let Place {
            left,
            top,
            width,
            height,
        } = self.place;
        let right = (self.x.place(x) * f64::from(width)).round() as i32;
        let up = (self.y.place(y) * f64::from(height)).round() as i32;
        (left + right, top + height - up)
    }

    /// Lines at the values of both axes, the values, and what they count.
    pub(super) fn grid(&self) -> Drawn {
        self.x_grid()?;
        let Place {
            left, top, width, ..
        } = self.place;
        for (value, text) in self.y.ticks() {
            let (_, y) = self.at((0.0, value));
            let line = vec![(left, y), (left + width, y)];
            self.area.draw(&PathElement::new(line, LIGHT))?;
            text_at(self.area, &text, (left - 6, y), (HPos::Right, VPos::Center))?;
        }
        let title = (left - 40, top - 6);
        text_at(self.area, &self.y.title, title, (HPos::Left, VPos::Bottom))?;
        self.frame()
    }

    /// The same of the axis across alone.
    pub(super) fn x_grid(&self) -> Drawn {
        let Place {
            left,
            top,
            width,
            height,
        } = self.place;
        let bottom = top + height;
        for (value, text) in self.x.ticks() {
            let (x, _) = self.at((value, 0.0));
            let line = vec![(x, top), (x, bottom)];
            self.area.draw(&PathElement::new(line, LIGHT))?;
            text_at(self.area, &text, (x, bottom + 5), (HPos::Center, VPos::Top))?;
        }
        let title = (left + width / 2, bottom + 22);
        text_at(self.area, &self.x.title, title, (HPos::Center, VPos::Top))?;
        Ok(())
    }

    /// Around it.
    pub(super) fn frame(&self) -> Drawn {
        let Place {
            left,
            top,
            width,
            height,
        } = self.place;
        let corners = [(left, top), (left + width, top + height)];
        self.area.draw(&Rectangle::new(corners, GREY))?;
        Ok(())
    }

    /// Through all points.
    pub(super) fn line(&self, points: &[(f64, f64)], style: impl Into<ShapeStyle>) -> Drawn {
        let points: Vec<_> = points.iter().map(|point| self.at(*point)).collect();
        self.area.draw(&PathElement::new(points, style))?;
        Ok(())
    }

    pub(super) fn dot(&self, point: (f64, f64), size: i32, colour: RGBColor) -> Drawn {
        let dot = Circle::new(self.at(point), size, colour.filled());
        self.area.draw(&dot)?;
        Ok(())
    }

    pub(super) fn cross(&self, point: (f64, f64), size: i32, colour: RGBColor) -> Drawn {
        let cross = Cross::new(self.at(point), size, colour.stroke_width(1));
        self.area.draw(&cross)?;
        Ok(())
    }
}

/// Writes a text that has the point at this place of it.
pub(super) fn text_at(area: &Area<'_>, text: &str, at: (i32, i32), (h, v): (HPos, VPos)) -> Drawn {
    let style = SMALL.into_text_style(area).pos(Pos::new(h, v));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}
