//! Curves as inline SVG. The colours stand for roles only; the style sheet turns them into those of a light or a
//! dark page.

use plotters::prelude::*;

const WIDTH: u32 = 560;
const HEIGHT: u32 = 300;

/// Stand-ins that `style.css` replaces.
const TEXT: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const REFERENCE: RGBColor = RGBColor(3, 3, 3);
const SERIES: [RGBColor; 3] = [RGBColor(4, 4, 4), RGBColor(5, 5, 5), RGBColor(6, 6, 6)];

/// What the vertical axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Shares between 0 and 1, shown in percent.
    Percent,
    /// Losses.
    Nats,
}

/// A curve.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it shows.
    pub name: String,
    /// (x, y), by rising x.
    pub points: Vec<(f64, f64)>,
}

/// Up to three curves and a line of reference.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The caption.
    pub title: String,
    /// What the horizontal axis counts.
    pub x_label: String,
    /// What the vertical axis counts.
    pub unit: Unit,
    /// The curves.
    pub series: Vec<Series>,
    /// A level to hold the curves against, with its name.
    pub reference: Option<(String, f64)>,
}

impl Chart {
    /// The chart as an `<svg>` element.
    pub fn svg(&self) -> String {
        let mut svg = String::new();
        // Drawing to a string meets no file and no device that could fail.
        if let Err(error) = self.draw(&mut svg) {
            unreachable!("drawing to a string: {error}");
        }
        // The picture scales with the page.
        svg.replacen(&format!("width=\"{WIDTH}\" height=\"{HEIGHT}\""), "role=\"img\"", 1)
    }

    fn draw(&self, svg: &mut String) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
        assert!(self.series.len() <= SERIES.len(), "a chart has up to {} curves", SERIES.len());
        let area = SVGBackend::with_string(svg, (WIDTH, HEIGHT)).into_drawing_area();
        let (x, y) = self.ranges();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .margin_right(28)
            .x_label_area_size(46)
            .y_label_area_size(52)
            .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
        let font = ("sans-serif", 16).into_font().color(&TEXT);
        let unit = self.unit;
        let show_y = |y: &f64| match unit {
            Unit::Percent => format!("{:.0} %", 100.0 * y),
            Unit::Nats => format!("{y:.1}"),
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .x_labels(7)
            .y_labels(6)
            .x_desc(&self.x_label)
            .x_label_style(font.clone())
            .y_label_style(font.clone())
            .axis_desc_style(font)
            .x_label_formatter(&|x| whole_number(*x))
            .y_label_formatter(&show_y)
            .draw()?;
        if let Some((_, level)) = self.reference {
            let line = vec![(x.0, level), (x.1, level)];
            chart.draw_series(DashedLineSeries::new(line, 5, 5, REFERENCE.stroke_width(2)))?;
        }
        for (series, color) in self.series.iter().zip(SERIES) {
            chart.draw_series(LineSeries::new(series.points.iter().copied(), color.stroke_width(2)))?;
            // A curve of few points shows them.
            if series.points.len() <= 12 {
                let dots = series.points.iter().map(|&point| Circle::new(point, 3, color.filled()));
                chart.draw_series(dots)?;
            }
        }
        area.present()
    }

    /// From the first to the last x; y with some room above and below, percentages from 0 up.
    fn ranges(&self) -> ((f64, f64), (f64, f64)) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let ys = || points().map(|point| point.1).chain(self.reference.iter().map(|(_, level)| *level));
        let x = bounds(points().map(|point| point.0)).unwrap_or((0.0, 1.0));
        let y = bounds(ys()).unwrap_or((0.0, 1.0));
        let x = if x.0 < x.1 { x } else { (x.0 - 1.0, x.0 + 1.0) };
        match self.unit {
            Unit::Percent => (x, (0.0, (y.1 * 1.05).clamp(0.1, 1.0))),
            Unit::Nats => {
                let room = 0.06 * (y.1 - y.0).max(0.1);
                (x, ((y.0 - room).max(0.0), y.1 + room))
            }
        }
    }
}

/// Steps and epochs are whole; marks between them stay without a number.
fn whole_number(x: f64) -> String {
    if (x - x.round()).abs() < 1e-9 { format!("{x:.0}") } else { String::new() }
}

fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).fold(None, |bounds, value| {
        let (low, high) = bounds.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        let series = vec![Series { name: "one".to_string(), points }];
        Chart { title: String::new(), x_label: "step".to_string(), unit: Unit::Percent, series, reference: None }
    }

    #[test]
    fn draws_what_there_is() {
        assert!(chart(vec![(0.0, 0.1), (10.0, 0.9)]).svg().contains("<polyline"));
        // A single point, and none at all, are no reason to fail.
        assert!(chart(vec![(3.0, 0.5)]).svg().contains("<circle"));
        assert!(chart(Vec::new()).svg().contains("</svg>"));
        assert!(chart(vec![(0.0, f64::NAN), (1.0, 0.5)]).svg().contains("</svg>"));
    }

    #[test]
    fn every_colour_is_one_that_the_style_sheet_replaces() {
        let svg = chart(vec![(0.0, 0.1), (10.0, 0.9)]).svg();
        for (at, _) in svg.match_indices("\"#") {
            let color = &svg[at + 1..at + 8];
            assert!(super::super::STYLE.contains(color), "{color}");
        }
    }
}
