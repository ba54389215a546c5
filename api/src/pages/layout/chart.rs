//! Lines over time, as SVG. The lines differ in dashes and marks, not in colour alone, and the figures stand below as a table.

use std::fmt::Write as _;

use maud::{Markup, html};
use time::OffsetDateTime;

use super::elements::{moment, number, scrolling, span};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 140.0;
/// Room for the scale.
const LEFT: f64 = 58.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 22.0;
/// Rows of the table of figures.
const MAX_ROWS: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pages) enum Unit {
    Count,
    Milliseconds,
}

impl Unit {
    fn text(self, value: f64) -> String {
        match self {
            Self::Count if value < 10.0 && value.fract() != 0.0 => format!("{value:.1}"),
            Self::Count => number(value.round() as u64),
            Self::Milliseconds => span(value.round() as u64),
        }
    }
}

#[derive(Debug)]
pub(in crate::pages) struct Series {
    pub(in crate::pages) name: &'static str,
    /// One for each time of the chart; none where nothing is known.
    pub(in crate::pages) values: Vec<Option<f64>>,
}

#[derive(Debug)]
pub(in crate::pages) struct Chart<'a> {
    /// Names it within its page.
    pub(in crate::pages) id: &'a str,
    pub(in crate::pages) title: &'a str,
    pub(in crate::pages) unit: Unit,
    pub(in crate::pages) times: Vec<OffsetDateTime>,
    pub(in crate::pages) series: Vec<Series>,
}

impl Chart<'_> {
    pub(in crate::pages) fn render(&self) -> Markup {
        let most = self.series.iter().flat_map(|series| series.values.iter().flatten()).copied().fold(0.0, f64::max);
        let top = ceiling(most);
        let (title, desc) = (format!("{}-title", self.id), format!("{}-desc", self.id));
        html! {
            figure.chart {
                figcaption { (self.title) (self.legend()) }
                @if self.times.len() < 2 {
                    p.empty { "Nothing yet." }
                } @else {
                    svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-labelledby={ (title) " " (desc) } {
                        title id=(title) { (self.title) }
                        desc id=(desc) { (self.summary(most)) }
                        (self.scale(top))
                        @for (index, series) in self.series.iter().enumerate() {
                            @for points in self.lines(series, top) {
                                polyline.line.(format!("s{index}")) points=(points) {}
                            }
                        }
                    }
                    details id={ (self.id) "-figures" } { summary { "Figures" } (self.table()) }
                }
            }
        }
    }

    fn legend(&self) -> Markup {
        html! {
            @if self.series.len() > 1 {
                span.legend {
                    @for (index, series) in self.series.iter().enumerate() {
                        span.key {
                            svg viewBox="0 0 24 8" width="24" height="8" aria-hidden="true" {
                                polyline.line.(format!("s{index}")) points="1,4 23,4" {}
                            }
                            (series.name)
                        }
                    }
                }
            }
        }
    }

    fn scale(&self, top: f64) -> Markup {
        let y = |share: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share);
        let clock = |at: OffsetDateTime| {
            let at = at.to_offset(time::UtcOffset::UTC);
            let is_long = self
                .times
                .last()
                .zip(self.times.first())
                .is_some_and(|(last, first)| *last - *first > time::Duration::days(2));
            if is_long {
                format!("{}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day())
            } else {
                format!("{:02}:{:02}", at.hour(), at.minute())
            }
        };
        html! {
            @for share in [0.0, 0.5, 1.0] {
                line.grid x1=(LEFT) x2=(WIDTH) y1=(y(share)) y2=(y(share)) {}
                text.tick x=(LEFT - 6.0) y=(y(share) + 4.0) text-anchor="end" { (self.unit.text(top * share)) }
            }
            @if let (Some(first), Some(last)) = (self.times.first(), self.times.last()) {
                text.tick x=(LEFT) y=(HEIGHT - 4.0) { (clock(*first)) }
                text.tick x=(WIDTH) y=(HEIGHT - 4.0) text-anchor="end" { (clock(*last)) " UTC" }
            }
        }
    }

    /// The points of a series; a line ends where a value is missing.
    fn lines(&self, series: &Series, top: f64) -> Vec<String> {
        let step = (WIDTH - LEFT - 4.0) / (self.times.len().saturating_sub(1).max(1)) as f64;
        let (mut lines, mut line) = (Vec::new(), String::new());
        for (index, value) in series.values.iter().enumerate() {
            let Some(value) = value else {
                if !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                }
                continue;
            };
            let (x, y) = (LEFT + step * index as f64, TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / top));
            // Writing to a string does not fail.
            let _ = write!(line, "{x:.1},{y:.1} ");
            if series.values.get(index + 1).is_none_or(Option::is_none) && !line.trim().contains(' ') {
                // A point alone would not be seen.
                let _ = write!(line, "{:.1},{y:.1} ", x + 2.0);
            }
        }
        if !line.is_empty() {
            lines.push(line);
        }
        lines
    }

    fn summary(&self, most: f64) -> String {
        let last = |series: &Series| {
            let value = series.values.iter().rev().flatten().next();
            format!("{} {}", series.name, value.map_or_else(|| "unknown".to_owned(), |value| self.unit.text(*value)))
        };
        let last: Vec<String> = self.series.iter().map(last).collect();
        format!("At most {}; last: {}. The figures are in the table below.", self.unit.text(most), last.join(", "))
    }

    /// The latest figures, newest first.
    fn table(&self) -> Markup {
        let first = self.times.len().saturating_sub(MAX_ROWS);
        let table = html! {
            table {
                caption { (self.title) ": figures" }
                thead { tr { th scope="col" { "From" } @for series in &self.series { th.num scope="col" { (series.name) } } } }
                tbody {
                    @for (index, at) in self.times.iter().enumerate().skip(first).rev() {
                        tr {
                            th scope="row" { (moment(*at)) }
                            @for series in &self.series {
                                td.num { (series.values.get(index).copied().flatten().map_or_else(|| "–".to_owned(), |value| self.unit.text(value))) }
                            }
                        }
                    }
                }
            }
        };
        scrolling(&format!("{}: figures", self.title), &table)
    }
}

/// A round number that is no smaller.
fn ceiling(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(most.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|round| *round >= most).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: Vec<Option<f64>>) -> String {
        let start = OffsetDateTime::UNIX_EPOCH;
        let times = (0..values.len()).map(|minute| start + time::Duration::minutes(minute as i64)).collect();
        let series = vec![Series { name: "done", values }];
        Chart { id: "c", title: "Jobs", unit: Unit::Count, times, series }.render().into_string()
    }

    #[test]
    fn a_line_ends_where_nothing_is_known() {
        let shown = chart(vec![Some(1.0), Some(2.0), None, Some(4.0)]);
        assert_eq!(shown.matches("<polyline class=\"line s0\"").count(), 2, "{shown}");
    }

    #[test]
    fn a_chart_says_in_words_and_in_a_table_what_its_lines_show() {
        let shown = chart(vec![Some(1.0), Some(12.0)]);
        assert!(shown.contains("At most 12; last: done 12"), "{shown}");
        assert!(shown.contains("<td class=\"num\">12</td>"), "{shown}");
        assert!(chart(Vec::new()).contains("Nothing yet"));
    }

    #[test]
    fn scales_end_at_round_numbers() {
        for (most, top) in [(0.0, 1.0), (1.0, 1.0), (3.0, 5.0), (99.0, 100.0), (101.0, 200.0)] {
            assert!((ceiling(most) - top).abs() < 1e-9, "{most}");
        }
    }
}
