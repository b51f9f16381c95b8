//! Curves as inline SVG. The colours stand for roles only; the style sheet turns them into those of a light or a
//! dark page.

use plotters::prelude::*;
use serde_json::Value;

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
    /// Figures of any kind, as they are.
    Figure,
    /// Learning rates.
    Rate,
}

/// A line to hold curves against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Line {
    /// At this height.
    Level(f64),
    /// Upright, at this x.
    At(f64),
    /// Where y is x, from 0 to 1.
    Diagonal,
}

/// A curve.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it shows.
    pub name: String,
    /// (x, y), by rising x.
    pub points: Vec<(f64, f64)>,
}

/// Up to three curves and a line of reference. With bars, x is a share, too, and both axes go from 0 to 1.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The caption.
    pub title: String,
    /// What the horizontal axis counts.
    pub x_label: String,
    /// Its ends; by default those of the curves.
    pub x_range: Option<(f64, f64)>,
    /// What the vertical axis counts.
    pub unit: Unit,
    /// The curves.
    pub series: Vec<Series>,
    /// The first curve as bars of this width instead.
    pub bars: Option<f64>,
    /// What to hold the curves against, with its name.
    pub reference: Option<(String, Line)>,
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
            .y_label_area_size(if self.unit == Unit::Rate { 68 } else { 52 })
            .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
        let font = ("sans-serif", 16).into_font().color(&TEXT);
        let unit = self.unit;
        let decimals = match y.1 - y.0 {
            span if span > 8.0 => 0,
            span if span > 0.8 => 1,
            span if span > 0.08 => 2,
            _ => 3,
        };
        let show_y = |y: &f64| match unit {
            Unit::Percent => format!("{:.0} %", 100.0 * y),
            Unit::Nats => format!("{y:.1}"),
            Unit::Figure => format!("{y:.decimals$}"),
            Unit::Rate if *y == 0.0 => "0".to_string(),
            Unit::Rate => format!("{y:.1e}"),
        };
        let show_x = |x: &f64| if self.bars.is_some() { format!("{:.0} %", 100.0 * x) } else { whole_number(*x) };
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
            .x_label_formatter(&show_x)
            .y_label_formatter(&show_y)
            .draw()?;
        if let (Some(width), Some(series)) = (self.bars, self.series.first()) {
            let bar = |&(x, y): &(f64, f64)| {
                Rectangle::new([(x - width / 2.0, 0.0), (x + width / 2.0, y)], SERIES[0].mix(0.6).filled())
            };
            chart.draw_series(series.points.iter().map(bar))?;
        }
        if let Some((_, line)) = self.reference {
            let line = match line {
                Line::Level(level) => vec![(x.0, level), (x.1, level)],
                Line::At(at) => vec![(at, y.0), (at, y.1)],
                Line::Diagonal => vec![(0.0, 0.0), (1.0, 1.0)],
            };
            chart.draw_series(DashedLineSeries::new(line, 5, 5, REFERENCE.stroke_width(2)))?;
        }
        for (series, color) in self.series.iter().zip(SERIES).skip(usize::from(self.bars.is_some())) {
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
        if self.bars.is_some() {
            return ((0.0, 1.0), (0.0, 1.0));
        }
        let points = || self.series.iter().flat_map(|series| &series.points);
        let level = self.reference.iter().filter_map(|(_, line)| match line {
            Line::Level(level) => Some(*level),
            Line::At(_) | Line::Diagonal => None,
        });
        let ys = || points().map(|point| point.1).chain(level.clone());
        let x = self.x_range.or_else(|| bounds(points().map(|point| point.0))).unwrap_or((0.0, 1.0));
        let y = bounds(ys()).unwrap_or((0.0, 1.0));
        let x = if x.0 < x.1 { x } else { (x.0 - 1.0, x.0 + 1.0) };
        match self.unit {
            Unit::Percent => (x, (0.0, (y.1 * 1.05).clamp(0.1, 1.0))),
            Unit::Nats => {
                let room = 0.06 * (y.1 - y.0).max(0.1);
                (x, ((y.0 - room).max(0.0), y.1 + room))
            }
            Unit::Figure => {
                let room = (0.06 * (y.1 - y.0)).max(0.01);
                // What is never below 0 has no room there.
                (x, (if y.0 < 0.0 { y.0 - room } else { (y.0 - room).max(0.0) }, y.1 + room))
            }
            Unit::Rate => (x, (0.0, if y.1 > 0.0 { 1.06 * y.1 } else { 1.0 })),
        }
    }
}

/// The points (x, y) of the entries that have both.
pub fn points(history: &[Value], x: &str, y: &str) -> Vec<(f64, f64)> {
    history.iter().filter_map(|entry| Some((entry[x].as_f64()?, entry[y].as_f64()?))).collect()
}

/// Means of neighbouring points, so that about `count` remain.
pub fn smoothed(points: &[(f64, f64)], count: usize) -> Vec<(f64, f64)> {
    let group = points.len().div_ceil(count).max(1);
    points
        .chunks(group)
        .map(|chunk| {
            let mean = |of: fn(&(f64, f64)) -> f64| chunk.iter().map(of).sum::<f64>() / chunk.len() as f64;
            (mean(|point| point.0), mean(|point| point.1))
        })
        .collect()
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
        Chart {
            title: String::new(),
            x_label: "step".to_string(),
            x_range: None,
            unit: Unit::Percent,
            series,
            bars: None,
            reference: None,
        }
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
    fn bars_stand_against_the_diagonal() {
        let bars = chart(vec![(0.1, 0.2), (0.3, 0.9)]);
        let bars = Chart { bars: Some(0.2), reference: Some(("as said".to_string(), Line::Diagonal)), ..bars };
        let svg = bars.svg();
        assert_eq!(svg.matches("fill=\"#040404\"").count(), 2, "{svg}");
        assert!(svg.contains("20 %") && svg.contains("stroke=\"#030303\""), "{svg}");
    }

    #[test]
    fn small_figures_and_rates_have_the_digits_that_they_need() {
        let figures = Chart { unit: Unit::Figure, ..chart(vec![(0.0, 0.91), (10.0, 0.93)]) }.svg();
        assert!(figures.contains("0.920"), "{figures}");
        let rates = Chart { unit: Unit::Rate, ..chart(vec![(0.0, 0.0), (10.0, 2e-5)]) }.svg();
        assert!(rates.contains("2.0e-5"), "{rates}");
        let below = Chart { unit: Unit::Figure, ..chart(vec![(0.0, -0.5), (10.0, 0.5)]) }.svg();
        assert!(below.contains("-0.4"), "{below}");
    }

    #[test]
    fn curves_are_read_from_a_log() {
        let entry = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let history =
            [r#"{"step": 1, "loss": 2.0}"#, r#"{"step": 2, "eval_loss": 3.0}"#, r#"{"step": 2, "loss": 1.0}"#];
        assert_eq!(points(&history.map(entry), "step", "loss"), [(1.0, 2.0), (2.0, 1.0)]);
    }

    #[test]
    fn smoothing_keeps_the_mean() {
        let line: Vec<(f64, f64)> = (0..100).map(|x| (f64::from(x), 2.0)).collect();
        let few = smoothed(&line, 10);
        assert_eq!(few.len(), 10);
        assert!(few.iter().all(|point| point.1 == 2.0));
        assert!(smoothed(&[], 10).is_empty());
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
