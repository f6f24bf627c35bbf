//! Charts. Plotters maps and draws; colours are those of the style sheet, so that they follow the
//! reader's light or dark.

use crate::PagesError;
use crate::sorted::sorted;
use askama::Template;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::io;

/// What the horizontal axis is.
pub(crate) enum Across {
    /// Places 0, 1, 2, … with these names.
    Names(Vec<String>),
    /// Numbers, from 0.
    Linear(&'static str),
    /// Powers of ten.
    Log(&'static str),
}

/// A line: neighbours are joined, where neither is missing.
pub(crate) struct Line {
    pub name: String,
    /// Which of the colours, where it always has the same; else that of its place.
    pub colour: Option<usize>,
    /// Across, up, and whether it is marked as a change.
    pub points: Vec<Option<(f64, f64, bool)>>,
}

/// A chart of lines.
pub(crate) struct Plot {
    /// Unlike that of any other on the page.
    pub id: String,
    pub title: String,
    /// What a reader who does not see it is told.
    pub about: String,
    pub across: Across,
    /// What is drawn upwards, with its unit.
    pub up: String,
    /// Upwards in powers of ten, as percent, with lines at 1, 10 and 40 %.
    pub is_share: bool,
    pub lines: Vec<Line>,
    /// Narrow ones stand side by side.
    pub is_narrow: bool,
}

/// Colours as the style sheet knows them: by number.
const INK: u8 = 0;
const GRID: u8 = 1;
const MARK: u8 = 2;
const FIRST_LINE: u8 = 3;
/// Colours for lines; then they begin again, with other points.
const COLOURS: u8 = 6;

/// Shares that matter, in percent.
const THRESHOLDS: [(f64, &str); 5] =
    [(0.01, "0.01 %"), (0.1, "0.1 %"), (1.0, "1 %"), (10.0, "10 %"), (40.0, "40 %")];

/// Height of a line of text.
const LINE: i32 = 16;
/// Letters of a name that have room under the plot, and beside it.
const UNDER: usize = 24;
const BESIDE: usize = 26;
const TEXT: i32 = 13;
const ABOVE: i32 = 30;
const SCALE: i32 = 58;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Mapped<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;
type Point = (i32, i32);

/// The SVG as it stands in a page.
#[derive(Template)]
#[template(path = "chart.svg", escape = "html")]
struct Framed<'a> {
    id: &'a str,
    title: &'a str,
    about: &'a str,
    width: i32,
    height: i32,
    class: &'a str,
    inner: &'a str,
}

impl Plot {
    /// Draws it.
    pub(crate) fn svg(&self) -> Result<String, PagesError> {
        let mut svg = String::new();
        let (width, height) = (self.width(), ABOVE + self.plot_height() + self.below());
        {
            let size = (width.unsigned_abs(), height.unsigned_abs());
            let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            let drawn = self.draw(&root).and_then(|()| root.present());
            drawn.map_err(|error| PagesError::Draw(error.to_string()))?;
        }
        let framed = Framed {
            id: &self.id,
            title: &self.title,
            about: &self.about,
            width,
            height,
            class: if self.is_narrow { "narrow" } else { "wide" },
            inner: &with_classes(inner(&svg)),
        };
        Ok(framed.to_string())
    }

    const fn width(&self) -> i32 {
        if self.is_narrow { 360 } else { 760 }
    }

    const fn plot_height(&self) -> i32 {
        if self.is_narrow { 170 } else { 250 }
    }

    /// Room for the lines' names.
    fn beside(&self) -> i32 {
        let longest = self.lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
        18 + 8 * i32::try_from(longest.min(BESIDE)).unwrap_or(0)
    }

    /// Room for what stands under the plot.
    fn below(&self) -> i32 {
        match &self.across {
            Across::Names(names) if self.is_upright() => {
                let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
                20 + 7 * i32::try_from(longest.min(UNDER)).unwrap_or(0)
            }
            Across::Names(_) => 34,
            Across::Linear(_) | Across::Log(_) => 50,
        }
    }

    /// Whether names under the plot would meet, written across.
    fn is_upright(&self) -> bool {
        let Across::Names(names) = &self.across else { return false };
        let letters: usize = names.iter().map(|name| name.chars().count() + 2).sum();
        let room = self.width() - SCALE - self.beside();
        i32::try_from(letters).unwrap_or(i32::MAX).saturating_mul(7) > room
    }

    fn range_across(&self) -> (f64, f64) {
        let points = self.lines.iter().flat_map(|line| line.points.iter().flatten());
        let most = points.clone().fold(0.0_f64, |most, point| most.max(point.0));
        match &self.across {
            Across::Names(names) => (-0.4, place(names.len()) - 0.6),
            Across::Linear(_) => (0.0, if most > 0.0 { most } else { 1.0 }),
            Across::Log(_) => {
                let least = points.fold(f64::INFINITY, |least, point| least.min(point.0));
                let least = if least.is_finite() { least } else { 1.0 };
                (least.log10().floor(), most.max(least * 10.0).log10().ceil())
            }
        }
    }

    fn highest(&self) -> f64 {
        let points = self.lines.iter().flat_map(|line| line.points.iter().flatten());
        let most = points.fold(0.0_f64, |most, point| most.max(point.1));
        if most > 0.0 { most * 1.08 } else { 1.0 }
    }

    /// A point in the plot's own numbers; none if it cannot be drawn.
    fn mapped(&self, (across, up): (f64, f64)) -> Option<(f64, f64)> {
        let across = match self.across {
            Across::Log(_) => across.log10(),
            Across::Names(_) | Across::Linear(_) => across,
        };
        let up = if self.is_share { (up * 100.0).log10() } else { up };
        let least = if self.is_share { THRESHOLDS[0].0.log10() } else { 0.0 };
        (across.is_finite() && up.is_finite() && up >= least).then_some((across, up))
    }

    fn draw(&self, root: &Area<'_>) -> Drawn {
        let (from, to) = self.range_across();
        let (low, high) =
            if self.is_share { (THRESHOLDS[0].0.log10(), 2.0) } else { (0.0, self.highest()) };
        let chart = ChartBuilder::on(root)
            .margin_top(ABOVE)
            .margin_left(SCALE)
            .margin_right(self.beside())
            .margin_bottom(self.below())
            .build_cartesian_2d(from..to, low..high)?;
        root.draw_text(&self.up, &text(HPos::Left, INK), (0, LINE / 2))?;
        self.scale(root, &chart, (from, to), high)?;
        match &self.across {
            Across::Names(names) => self.names(root, &chart, names)?,
            Across::Linear(title) => {
                let ticks = ticks(to, 8).into_iter().map(|tick| (tick, short_number(tick)));
                self.axis(root, &chart, title, ticks)?;
            }
            Across::Log(title) => {
                let mut ticks = Vec::new();
                let mut decade = from;
                while decade <= to {
                    ticks.push((decade, short_number(10f64.powf(decade))));
                    decade += 1.0;
                }
                self.axis(root, &chart, title, ticks.into_iter())?;
            }
        }
        let mut ends = Vec::new();
        for (number, line) in self.lines.iter().enumerate() {
            let point = |(across, up, changed): (f64, f64, bool)| {
                let (point, changed) = (self.mapped((across, up))?, changed);
                Some((chart.backend_coord(&point), changed))
            };
            let points: Vec<_> = line.points.iter().map(|p| p.and_then(point)).collect();
            let is_dense = points.len() > 60;
            draw_line(root, self.colour(number), &points, is_dense)?;
            if let Some(((_, y), _)) = points.iter().flatten().next_back() {
                ends.push((*y, number));
            }
        }
        self.ends(root, &ends)
    }

    /// The vertical scale, with lines across.
    fn scale(
        &self,
        root: &Area<'_>,
        chart: &Mapped<'_, '_>,
        (from, to): (f64, f64),
        high: f64,
    ) -> Drawn {
        let ticks: Vec<(f64, String)> = if self.is_share {
            THRESHOLDS.iter().map(|(at, name)| (at.log10(), (*name).to_owned())).collect()
        } else {
            ticks(high, 6).into_iter().map(|tick| (tick, short_number(tick))).collect()
        };
        for (tick, name) in ticks {
            let (left, y) = chart.backend_coord(&(from, tick));
            let (right, _) = chart.backend_coord(&(to, tick));
            root.draw(&PathElement::new(vec![(left, y), (right, y)], colour(GRID)))?;
            root.draw_text(&name, &text(HPos::Right, INK), (left - 6, y))?;
        }
        Ok(())
    }

    /// The horizontal scale of numbers.
    fn axis(
        &self,
        root: &Area<'_>,
        chart: &Mapped<'_, '_>,
        title: &str,
        ticks: impl Iterator<Item = (f64, String)>,
    ) -> Drawn {
        let bottom = ABOVE + self.plot_height();
        for (tick, name) in ticks {
            let (x, _) = chart.backend_coord(&(tick, 0.0));
            root.draw_text(&name, &text(HPos::Center, INK), (x, bottom + LINE))?;
        }
        let middle = SCALE.midpoint(self.width() - self.beside());
        root.draw_text(title, &text(HPos::Center, INK), (middle, bottom + LINE * 2 + 4))
    }

    /// Names under the plot: all, or as many as have room.
    fn names(&self, root: &Area<'_>, chart: &Mapped<'_, '_>, names: &[String]) -> Drawn {
        const MOST: usize = 28;
        let bottom = ABOVE + self.plot_height();
        let step = names.len().div_ceil(MOST).max(1);
        for (at, name) in names.iter().enumerate().step_by(step) {
            let (x, _) = chart.backend_coord(&(place(at), 0.0));
            let name = cut(name, UNDER);
            if self.is_upright() {
                let style = text(HPos::Right, INK);
                let font = style.font.transform(FontTransform::Rotate270);
                root.draw_text(&name, &TextStyle { font, ..style }, (x, bottom + 10))?;
            } else {
                root.draw_text(&name, &text(HPos::Center, INK), (x, bottom + LINE))?;
            }
        }
        Ok(())
    }

    /// The lines' names beside their ends, apart from each other.
    fn ends(&self, root: &Area<'_>, ends: &[(i32, usize)]) -> Drawn {
        let mut lowest = ABOVE + self.plot_height() + LINE / 2;
        let mut places = Vec::new();
        for (y, number) in sorted(ends, &|one, other| other.cmp(one)) {
            let y = y.min(lowest);
            lowest = y - LINE;
            places.push((y, number));
        }
        for (y, number) in places {
            let name = cut(&self.lines[number].name, BESIDE);
            let x = self.width() - self.beside() + 10;
            root.draw_text(&name, &text(HPos::Left, line_colour(self.colour(number))), (x, y))?;
        }
        Ok(())
    }

    fn colour(&self, number: usize) -> usize {
        self.lines[number].colour.unwrap_or(number)
    }
}

/// A name that has room; one that is cut says so.
fn cut(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    let mut short: String = name.chars().take(most - 1).collect();
    short.push('…');
    short
}

fn draw_line(
    root: &Area<'_>,
    number: usize,
    points: &[Option<(Point, bool)>],
    is_dense: bool,
) -> Drawn {
    let style = colour(line_colour(number)).stroke_width(2);
    for run in points.split(Option::is_none) {
        let run: Vec<Point> = run.iter().flatten().map(|(point, _)| *point).collect();
        if run.len() > 1 {
            root.draw(&PathElement::new(run, style))?;
        }
    }
    for (point, changed) in points.iter().flatten() {
        if *changed {
            root.draw(&Circle::new(*point, 8, colour(MARK).stroke_width(2)))?;
        }
        if !is_dense || *changed {
            marker(root, number, *point)?;
        }
    }
    Ok(())
}

/// A point, of another shape for each line.
fn marker(root: &Area<'_>, number: usize, (x, y): Point) -> Drawn {
    const SIZE: i32 = 4;
    let filled = colour(line_colour(number)).filled();
    let corners = |corners: &[Point]| -> Vec<Point> {
        corners.iter().map(|(right, down)| (x + right, y + down)).collect()
    };
    match number % 4 {
        0 => root.draw(&Circle::new((x, y), SIZE - 1, filled)),
        1 => root.draw(&Polygon::new(corners(&[(-SIZE, 3), (SIZE, 3), (0, -SIZE)]), filled)),
        2 => root.draw(&Polygon::new(corners(&[(-3, -3), (3, -3), (3, 3), (-3, 3)]), filled)),
        _ => root.draw(&Polygon::new(
            corners(&[(0, -SIZE - 1), (SIZE + 1, 0), (0, SIZE + 1), (-SIZE - 1, 0)]),
            filled,
        )),
    }
}

#[allow(clippy::cast_precision_loss)] // a place on the axis, far below 2^53
pub(crate) fn place(at: usize) -> f64 {
    at as f64
}

/// Round numbers from 0 to `most`, about so many.
fn ticks(most: f64, about: u8) -> Vec<f64> {
    let raw = most / f64::from(about);
    let size = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|by| by * size).find(|step| *step >= raw);
    let step = step.unwrap_or(size * 10.0);
    let mut ticks = vec![0.0];
    let mut times = 1.0;
    while times * step <= most * 1.000_001 && ticks.len() < 100 {
        ticks.push(times * step);
        times += 1.0;
    }
    ticks
}

/// `1.5k`, `20M`.
fn short_number(number: f64) -> String {
    let (by, unit) = match number.abs() {
        1e9.. => (1e9, "G"),
        1e6.. => (1e6, "M"),
        1e4.. => (1e3, "k"),
        _ => (1.0, ""),
    };
    format!("{}{unit}", crate::text::number(number / by))
}

/// A colour's number, as a colour that nothing else has.
const fn colour(number: u8) -> RGBColor {
    RGBColor(number, 0xfe, 0x01)
}

fn line_colour(number: usize) -> u8 {
    FIRST_LINE + u8::try_from(number % usize::from(COLOURS)).unwrap_or(0)
}

fn text(anchor: HPos, number: u8) -> TextStyle<'static> {
    let style = reports::chart::text(TEXT, colour(number), anchor);
    TextStyle { pos: Pos::new(anchor, VPos::Center), ..style }
}

/// What stands inside of plotters' `<svg>`.
fn inner(svg: &str) -> &str {
    let begin = svg.find("<svg").and_then(|at| Some(at + svg[at..].find('>')? + 1)).unwrap_or(0);
    let end = svg.rfind("</svg>").unwrap_or(svg.len());
    svg.get(begin..end).unwrap_or_default()
}

/// Colours by number become classes: `f0` fills, `k0` strokes.
fn with_classes(svg: &str) -> String {
    let mut out = svg.to_owned();
    for number in 0..FIRST_LINE + COLOURS {
        for (attribute, class) in [("fill", 'f'), ("stroke", 'k')] {
            let from = format!("{attribute}=\"#{number:02X}FE01\"");
            out = out.replace(&from, &format!("class=\"{class}{number}\""));
        }
    }
    // The style sheet chooses the font.
    out.replace(" font-family=\"sans-serif\"", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(names: &[&str], ups: &[Option<f64>]) -> Plot {
        let point = |(at, up): (usize, &Option<f64>)| up.map(|up| (place(at), up, at == 1));
        Plot {
            id: "c1".to_owned(),
            title: "<title> & \"quotes\"".to_owned(),
            about: "</desc><script>".to_owned(),
            across: Across::Names(names.iter().map(|name| (*name).to_owned()).collect()),
            up: "instr.".to_owned(),
            is_share: false,
            lines: vec![Line {
                name: "<b>a".to_owned(),
                colour: None,
                points: ups.iter().enumerate().map(point).collect(),
            }],
            is_narrow: false,
        }
    }

    #[test]
    fn foreign_names_are_text_in_a_chart() {
        let svg = plot(&["<i>6.1", "x\"y"], &[Some(1.0), Some(2.0)]).svg().unwrap();
        assert!(!svg.contains("<script") && !svg.contains("<i>") && !svg.contains("<b>"), "{svg}");
        assert!(svg.contains("role=\"img\"") && svg.contains("aria-labelledby=\"c1-t c1-d\""));
    }

    #[test]
    fn colours_are_the_style_sheets() {
        let svg = plot(&["a", "b"], &[Some(1.0), Some(2.0)]).svg().unwrap();
        assert!(!svg.contains("=\"#"), "{svg}");
        assert!(svg.contains("class=\"k3\"") && svg.contains("class=\"k2\""), "{svg}");
    }

    #[test]
    fn nothing_joins_points_across_a_gap() {
        let with = plot(&["a", "b", "c"], &[Some(1.0), Some(2.0), Some(3.0)]).svg().unwrap();
        let without = plot(&["a", "b", "c"], &[Some(1.0), None, Some(3.0)]).svg().unwrap();
        let paths = |svg: &str| svg.matches("class=\"k3\"").count();
        assert_eq!((paths(&with), paths(&without)), (1, 0));
    }

    #[test]
    fn a_name_that_is_cut_says_so() {
        let name = "6.12.118-1-cloud-amd64-unsigned-debug";
        let svg = plot(&[name, "6.1"], &[Some(1.0), Some(2.0)]).svg().unwrap();
        assert!(svg.contains("6.12.118-1-cloud-amd64-…") && !svg.contains(name), "{svg}");
        assert_eq!(cut("6.1.192-2-amd64-unsigned", UNDER), "6.1.192-2-amd64-unsigned");
    }

    #[test]
    fn ticks_are_round_and_reach_the_end() {
        assert_eq!(ticks(10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(24.0, 8), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert!(ticks(f64::MAX, 6).len() < 200, "it ends");
    }

    #[test]
    fn an_empty_chart_and_one_of_thousands_are_drawn() {
        assert!(plot(&[], &[]).svg().is_ok());
        let names = vec!["20260101T000000Z-abcdef"; 3000];
        let ups = vec![Some(5.0); 3000];
        assert!(plot(&names, &ups).svg().unwrap().len() < 200_000);
    }
}
