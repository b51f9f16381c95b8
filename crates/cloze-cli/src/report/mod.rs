//! One HTML file that tells how a training went: no script, no font, no picture from elsewhere.

mod chart;
pub mod finetune;
mod outcome;
pub mod pretrain;
mod run;
pub mod seeds;
mod table;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;
use cloze::checkpoint::write_file;
use cloze::settings::{FILE_NAME, RunSettings, StoredSettings};
use cloze::train::{MARK, REPORT, is_ours};

pub use chart::{Chart, Line, Series, Unit, points};
pub use run::State;
pub use table::{Cell, Table};

const STYLE: &str = include_str!("style.css");

/// Everything that a report shows, in this order.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The headline.
    pub title: String,
    /// A few sentences below it.
    pub introduction: String,
    /// Figures that stand out: (what, value, what to hold it against).
    pub highlights: Vec<Highlight>,
    /// Curves.
    pub charts: Vec<Chart>,
    /// Tables.
    pub tables: Vec<Table>,
    /// Sentences with words filled in.
    pub fills: Vec<Fill>,
    /// What was done: (what, figure).
    pub facts: Vec<(String, String)>,
    /// What to type next: (what for, command).
    pub commands: Vec<(String, String)>,
}

/// Writes the report of what a folder holds: a pre-training, a finished fine-tuning, or one with several seeds. Gives its
/// path. A folder of anything else is an error that says so.
pub fn of_folder(dir: &Path) -> anyhow::Result<PathBuf> {
    // A training that is under way has the folder to itself, but for its report.
    let _reading = cloze::folder::read(dir).ok();
    if dir.join(seeds::SUMMARY).is_file() && !dir.join(FILE_NAME).is_file() {
        return seeds::write_all(dir);
    }
    match StoredSettings::read(dir)?.run.map(|run| run.settings) {
        Some(RunSettings::Pretrain(_)) => pretrain::write(dir),
        _ => finetune::write(dir),
    }
}

/// Writes a report into a folder; one of another origin stays, and is an error.
fn save(dir: &Path, report: &Report) -> anyhow::Result<PathBuf> {
    let path = dir.join(REPORT);
    if fs::exists(&path)? && !is_ours(&path) {
        bail!("{} is no report of a training; move it away to have one written", path.display());
    }
    let page = report.html().replacen("<head>\n", &format!("<head>\n{MARK}\n"), 1);
    // A training may have the folder, so that nobody sweeps it.
    cloze::folder::remove_stale_of(&path);
    write_file(&path, page.as_bytes())?;
    Ok(path)
}

/// A figure in large type.
#[derive(Clone, Debug)]
pub struct Highlight {
    /// What it is.
    pub name: String,
    /// The figure.
    pub value: String,
    /// What to hold it against.
    pub against: String,
}

/// A sentence with one masked word, and what the model would put there.
#[derive(Clone, Debug)]
pub struct Fill {
    /// The sentence with `[MASK]`.
    pub text: String,
    /// Words with their probability, best first.
    pub candidates: Vec<(String, f64)>,
}

impl Report {
    /// The whole page.
    pub fn html(&self) -> String {
        let mut page = String::new();
        page.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        page.push_str("<meta name=\"color-scheme\" content=\"light dark\">\n");
        write(
            &mut page,
            format_args!("<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n", escape(&self.title)),
        );
        write(
            &mut page,
            format_args!(
                "<header>\n<h1>{}</h1>\n<p>{}</p>\n</header>\n",
                escape(&self.title),
                escape(&self.introduction)
            ),
        );
        self.highlights_html(&mut page);
        self.charts_html(&mut page);
        self.tables.iter().for_each(|table| table.html(&mut page));
        self.fills_html(&mut page);
        self.facts_html(&mut page);
        self.commands_html(&mut page);
        page.push_str("</body>\n</html>\n");
        page
    }

    fn highlights_html(&self, page: &mut String) {
        if self.highlights.is_empty() {
            return;
        }
        page.push_str("<section class=\"highlights\">\n");
        for Highlight { name, value, against } in &self.highlights {
            let (name, value, against) = (escape(name), escape(value), escape(against));
            write(page, format_args!("<div><span>{name}</span><strong>{value}</strong><span>{against}</span></div>\n"));
        }
        page.push_str("</section>\n");
    }

    fn charts_html(&self, page: &mut String) {
        if self.charts.is_empty() {
            return;
        }
        page.push_str("<section class=\"charts\">\n");
        for chart in &self.charts {
            write(
                page,
                format_args!("<figure>\n<figcaption>{}</figcaption>\n<p class=\"legend\">", escape(&chart.title)),
            );
            for (index, series) in chart.series.iter().enumerate().filter(|(_, series)| !series.points.is_empty()) {
                let dot = if series.points.len() == 1 { " dot" } else { "" };
                write(page, format_args!("<span class=\"series{index}{dot}\">{}</span> ", escape(&series.name)));
            }
            if let Some((name, _)) = &chart.reference {
                write(page, format_args!("<span class=\"reference\">{}</span>", escape(name)));
            }
            write(page, format_args!("</p>\n{}</figure>\n", chart.svg()));
        }
        page.push_str("</section>\n");
    }

    fn fills_html(&self, page: &mut String) {
        if self.fills.is_empty() {
            return;
        }
        page.push_str("<section>\n<h2>Masked words, filled in</h2>\n<div class=\"fills\">\n");
        for fill in &self.fills {
            let text = escape(&fill.text).replace("[MASK]", "<mark>[MASK]</mark>");
            write(page, format_args!("<div class=\"fill\">\n<p>{text}</p>\n<dl>\n"));
            for (word, probability) in &fill.candidates {
                let percent = 100.0 * probability;
                let word = escape(word);
                write(
                    page,
                    format_args!(
                        "<dt>{word}</dt><dd><i style=\"width:{percent:.1}%\"></i><span>{percent:.0} %</span></dd>\n"
                    ),
                );
            }
            page.push_str("</dl>\n</div>\n");
        }
        page.push_str("</div>\n</section>\n");
    }

    fn facts_html(&self, page: &mut String) {
        if self.facts.is_empty() {
            return;
        }
        page.push_str("<section>\n<h2>What was done</h2>\n<dl class=\"facts\">\n");
        for (name, value) in &self.facts {
            write(page, format_args!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value)));
        }
        page.push_str("</dl>\n</section>\n");
    }

    fn commands_html(&self, page: &mut String) {
        if self.commands.is_empty() {
            return;
        }
        page.push_str("<section>\n<h2>What to type next</h2>\n");
        for (purpose, command) in &self.commands {
            write(page, format_args!("<p>{}</p>\n<pre><code>{}</code></pre>\n", escape(purpose), escape(command)));
        }
        page.push_str("</section>\n");
    }
}

/// Writing to a string cannot fail.
fn write(page: &mut String, text: std::fmt::Arguments) {
    let _ = page.write_fmt(text);
}

/// Text for HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Report {
        let points = (0..50).map(|x| (f64::from(x * 30), 5.0 * (-f64::from(x) / 20.0).exp())).collect();
        Report {
            title: "A <report>".to_string(),
            charts: vec![Chart {
                title: "Loss".to_string(),
                x_label: "step".to_string(),
                x_range: None,
                unit: Unit::Nats,
                series: vec![Series { name: "training".to_string(), points }],
                bars: None,
                reference: Some(("chance".to_string(), Line::Level(4.9))),
            }],
            fills: vec![Fill { text: "The [MASK].".to_string(), candidates: vec![("cow".to_string(), 0.5)] }],
            ..Report::default()
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let html = sample().html();
        for forbidden in ["<script", "src=", "@import", "url(", "<link"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        // The name of the SVG format is the one address there is.
        assert!(html.match_indices("http").all(|(at, _)| html[at..].starts_with("http://www.w3.org/2000/svg")));
    }

    #[test]
    fn text_is_escaped_and_parts_without_content_are_left_out() {
        let html = sample().html();
        assert!(html.contains("<h1>A &lt;report&gt;</h1>"));
        assert!(html.contains("<mark>[MASK]</mark>"));
        assert!(html.contains("<polyline"));
        assert!(!html.contains("What to type next"));
    }
}
