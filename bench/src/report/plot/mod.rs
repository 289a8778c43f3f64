//! Plots as SVG documents. The one room that knows `plotters`.

use std::collections::BTreeMap;
use std::error::Error;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::document::{Compare, Policies, Ratio};

const FONT: (&str, u32) = ("sans-serif", 13);
const ROW: u32 = 20;
const LABELS: i32 = 330;

/// The line of the comparison that made the subject known: the number of policies and the mean of a fetch of half a
/// kilobyte, in milliseconds, on its own hardware.
const KNOWN: [(f64, f64); 5] = [
    (0.0, 0.732),
    (10.0, 0.744),
    (50.0, 0.745),
    (100.0, 0.762),
    (200.0, 0.783),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn drawn(
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE)
            .map_err(|error| anyhow!("plot: {error}"))?;
        draw(&area).map_err(|error| anyhow!("plot: {error}"))?;
        area.present().map_err(|error| anyhow!("plot: {error}"))?;
    }
    Ok(text)
}

/// A forest plot: each ratio with its interval, on a line of its own, beside the line of 1.
pub(super) fn ratios(compare: &Compare) -> Result<String> {
    let rows: Vec<(String, &Ratio)> = compare
        .workloads
        .iter()
        .flat_map(|workload| {
            let shown = workload
                .ratios
                .iter()
                .filter(|it| ["p50", "gbit_s"].contains(&&*it.stat));
            shown.map(|it| (format!("{}: {} ÷ {}", workload.name, it.a, it.b), it))
        })
        .collect();
    let low = rows.iter().map(|(_, it)| it.ci[0]).fold(0.9, f64::min);
    let high = rows.iter().map(|(_, it)| it.ci[1]).fold(1.1, f64::max);
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX / (2 * ROW));
    drawn((900, ROW * count + 70), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .margin_left(LABELS)
            .x_label_area_size(40)
            .build_cartesian_2d((low * 0.97..high * 1.03).log_scale(), 0.0..f64::from(count))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_desc("ratio of p50, or of Gbit/s, with its 95 % interval")
            .label_style(FONT)
            .draw()?;
        let top = f64::from(count);
        chart.draw_series(LineSeries::new([(1.0, 0.0), (1.0, top)], BLACK.mix(0.5)))?;
        for (number, (label, ratio)) in (0_u32..).zip(&rows) {
            let y = top - f64::from(number) - 0.5;
            let ends = [(ratio.ci[0], y), (ratio.ci[1], y)];
            chart.draw_series(LineSeries::new(ends, BLUE.stroke_width(2)))?;
            chart.draw_series([Circle::new((ratio.value, y), 4, BLUE.filled())])?;
            let (_, pixel) = chart.backend_coord(&(1.0, y));
            let text = Text::new(label.clone(), (10, pixel - 8), FONT);
            area.draw(&text)?;
        }
        Ok(())
    })
}

/// Every slice's p50 in the order in which they ran; those that do not count are crosses.
pub(super) fn slices(compare: &Compare) -> Result<String> {
    let points: Vec<(f64, f64, &str, bool)> = (0_u32..)
        .zip(&compare.rows)
        .filter_map(|(number, row)| {
            let p50 = *row.figures.get("p50_us")?;
            Some((f64::from(number), p50, &*row.mode, row.void.is_none()))
        })
        .collect();
    let high = points.iter().map(|it| it.1).fold(1.0, f64::max);
    let low = points.iter().map(|it| it.1).fold(high, f64::min);
    let last = points.last().map_or(1.0, |it| it.0);
    let mut colours: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, _, mode, _) in &points {
        let next = colours.len();
        colours.entry(mode).or_insert(next);
    }
    drawn((900, 360), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..last, (low * 0.9..high * 4.0).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("slices, as they ran")
            .y_desc("p50 µs")
            .label_style(FONT)
            .draw()?;
        for (mode, colour) in &colours {
            let style = Palette99::pick(*colour).to_rgba();
            let of = |counts: bool| {
                let points = points.iter();
                points.filter(move |it| it.2 == *mode && it.3 == counts)
            };
            let circles = of(true).map(|it| Circle::new((it.0, it.1), 2, style.filled()));
            chart
                .draw_series(circles)?
                .label(*mode)
                .legend(move |at| Circle::new(at, 4, style.filled()));
            let crosses = of(false).map(|it| Cross::new((it.0, it.1), 3, style.filled()));
            chart.draw_series(crosses)?;
        }
        legend(&mut chart)
    })
}

/// The mean of the smallest fetch against the number of policies, and the known line.
pub(super) fn cost(policies: &Policies) -> Result<String> {
    let smallest = crate::policies::SIZES[0].0;
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = policies
        .modes
        .iter()
        .map(|(mode, table)| {
            let points = table.mean_ms.iter().filter_map(|(count, means)| {
                let count = f64::from(u32::try_from(*count).ok()?);
                Some((count, *means.get(smallest)?))
            });
            (mode.clone(), points.collect())
        })
        .collect();
    lines.push(("Romana 2016, its hardware".to_owned(), KNOWN.to_vec()));
    let all = || lines.iter().flat_map(|(_, points)| points);
    let right = all().map(|it| it.0).fold(1.0, f64::max);
    let high = all().map(|it| it.1).fold(0.001, f64::max);
    drawn((900, 400), |area| {
        // One more than there are, so that none has a place on the axis.
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d((1.0..right + 1.0).log_scale(), 0.0..high * 1.4)?;
        chart
            .configure_mesh()
            .x_desc("policies, and one")
            .y_desc("mean fetch of 0.5 kB, ms")
            .y_label_formatter(&|it| format!("{it:.2}"))
            .label_style(FONT)
            .draw()?;
        for (number, (name, points)) in lines.iter().enumerate() {
            let style = Palette99::pick(number).to_rgba();
            let moved: Vec<_> = points.iter().map(|it| (it.0 + 1.0, it.1)).collect();
            chart
                .draw_series(LineSeries::new(moved.clone(), style.stroke_width(2)))?
                .label(name.clone())
                .legend(move |at| Circle::new(at, 4, style.filled()));
            let circles = moved.iter().map(|at| Circle::new(*at, 3, style.filled()));
            chart.draw_series(circles)?;
        }
        legend(&mut chart)
    })
}

fn legend<'a, X: Ranged<ValueType = f64>, Y: Ranged<ValueType = f64>>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
) -> Result<(), Box<dyn Error>> {
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .label_font(FONT)
        .draw()
        .map_err(|error| error.to_string().into())
}
