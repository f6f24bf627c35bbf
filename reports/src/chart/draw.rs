//! The SVG itself. Plotters maps and draws; title and labels are placed here, so that nothing
//! depends on the fonts of the machine that draws.

use super::{ChartError, Data, Series};
use crate::record::Vendor;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::io;

/// Legible on white and on black.
const INK: RGBColor = RGBColor(0x76, 0x76, 0x76);
const AMD: RGBColor = RGBColor(0xc9, 0x62, 0x1c);
const INTEL: RGBColor = RGBColor(0x2f, 0x7f, 0xd2);
const PVM: RGBColor = RGBColor(0x3a, 0x8c, 0x4d);

const TITLE: &str = "What one DR exit costs, in instructions, by kernel version";
const WIDTH: i32 = 960;
const LEFT: i32 = 24;
/// Room for the title above the plot, for the scale and for the lines' names beside it.
const ABOVE: i32 = 84;
const SCALE: i32 = 46;
const BESIDE: i32 = 140;
const PLOT_HEIGHT: i32 = 300;
/// Height of a line of text.
const LINE: i32 = 17;
/// From so many kernels on their names stand upright, and points have no figures.
const CROWDED: usize = 13;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;
type Point = (i32, i32);

pub(super) fn svg(data: &Data<'_>) -> Result<String, ChartError> {
    let mut svg = String::new();
    let height = ABOVE + PLOT_HEIGHT + below(data);
    {
        let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let drawn = draw(&root, data).and_then(|()| root.present());
        drawn.map_err(|error| ChartError::Draw(error.to_string()))?;
    }
    Ok(described(&svg, data))
}

fn is_crowded(data: &Data<'_>) -> bool {
    data.kernels.len() >= CROWDED
}

/// Room for the kernels' names under the plot.
fn below(data: &Data<'_>) -> i32 {
    const LETTER: i32 = 8;
    let longest = data.kernels.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let upright = 30 + LETTER * i32::try_from(longest).unwrap_or(0).min(40);
    if is_crowded(data) { upright } else { 48 }
}

#[allow(clippy::cast_precision_loss)] // a place on the axis, below the number of kernels
fn place(at: usize) -> f64 {
    at as f64
}

fn draw(root: &Area<'_>, data: &Data<'_>) -> Drawn {
    let title = TextStyle { font: font(20).style(FontStyle::Bold), ..text(20, INK, HPos::Left) };
    root.draw_text(TITLE, &title, (LEFT, 26))?;
    root.draw_text(&data.notes(), &text(13, INK, HPos::Left), (LEFT, 52))?;

    let across = -0.4..place(data.kernels.len()) - 0.6;
    let mut chart = ChartBuilder::on(root)
        .margin_left(LEFT)
        .margin_top(ABOVE)
        .margin_right(BESIDE)
        .margin_bottom(below(data))
        .set_label_area_size(LabelAreaPosition::Left, SCALE)
        .build_cartesian_2d(across, 0.0..data.highest() * 1.12)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .bold_line_style(INK.mix(0.3))
        .light_line_style(TRANSPARENT)
        .axis_style(TRANSPARENT)
        .y_labels(6)
        .y_label_formatter(&|value| format!("{value:.0}"))
        .y_label_style(text(13, INK, HPos::Right))
        .draw()?;

    let pixel = |at: usize, cost: f64| chart.backend_coord(&(place(at), cost));
    for (at, name) in data.kernels.iter().enumerate() {
        kernel_name(root, name, pixel(at, 0.0), is_crowded(data))?;
    }
    for (number, series) in data.series.iter().enumerate() {
        let points: Vec<_> =
            (0..).zip(&series.costs).map(|(at, cost)| Some(pixel(at, (*cost)?))).collect();
        let same_colour = |other: &Series<'_>| other.target.vendor == series.target.vendor;
        let hollow = data.series[..number].iter().any(same_colour);
        line(root, colour(series), &points, hollow)?;
        if !is_crowded(data) {
            figures(root, series, &points, data.is_squeezed(series))?;
        }
    }
    names(root, data, &|cost| pixel(0, cost).1)
}

fn kernel_name(root: &Area<'_>, name: &str, (x, y): Point, upright: bool) -> Drawn {
    let (style, y) = if upright {
        let style = text(13, INK, HPos::Right);
        (TextStyle { font: style.font.transform(FontTransform::Rotate270), ..style }, y + 10)
    } else {
        (text(13, INK, HPos::Center), y + 18)
    };
    root.draw_text(name, &style, (x, y))
}

/// Points, and lines between neighbours. Nothing is drawn across a kernel without a figure.
fn line(root: &Area<'_>, colour: RGBColor, points: &[Option<Point>], hollow: bool) -> Drawn {
    const RADIUS: i32 = 4;
    for run in points.split(Option::is_none) {
        let run: Vec<Point> = run.iter().copied().flatten().collect();
        root.draw(&PathElement::new(run.clone(), colour.stroke_width(2)))?;
        for point in run {
            let style = if hollow { colour.stroke_width(2) } else { colour.filled() };
            root.draw(&Circle::new(point, RADIUS, style))?;
        }
    }
    Ok(())
}

/// Each point's figure, above or below it.
fn figures(root: &Area<'_>, series: &Series<'_>, points: &[Option<Point>], below: bool) -> Drawn {
    let style = text(12, colour(series), HPos::Center);
    let distance = if below { LINE } else { -LINE };
    for (point, cost) in points.iter().zip(&series.costs) {
        if let (Some((x, y)), Some(cost)) = (point, cost) {
            root.draw_text(&format!("{cost:.0}"), &style, (*x, y + distance))?;
        }
    }
    Ok(())
}

/// The lines' names, beside their ends, apart from each other.
fn names(root: &Area<'_>, data: &Data<'_>, height: &dyn Fn(f64) -> i32) -> Drawn {
    let mut ends: Vec<_> = data
        .series
        .iter()
        .filter_map(|series| Some((height(*series.costs.iter().flatten().next_back()?), series)))
        .collect();
    ends.sort_by_key(|(y, _)| *y);
    let mut free = 0;
    for (y, series) in ends {
        let mut y = (y - LINE / 2).max(free);
        for line in series.name() {
            let style = text(14, colour(series), HPos::Left);
            root.draw_text(&line, &style, (WIDTH - BESIDE + 4, y))?;
            y += LINE;
        }
        free = y + LINE / 2;
    }
    Ok(())
}

fn colour(series: &Series<'_>) -> RGBColor {
    match series.target.vendor {
        Vendor::KvmAmd => AMD,
        Vendor::KvmIntel => INTEL,
        Vendor::KvmPvm => PVM,
    }
}

fn font(pixels: i32) -> FontDesc<'static> {
    /// Plotters divides the size by this.
    const SHRINK: f64 = 1.24;
    FontDesc::new(FontFamily::SansSerif, f64::from(pixels) * SHRINK, FontStyle::Normal)
}

/// A style of text of this height in pixels, in the middle of its line.
pub fn text(pixels: i32, colour: RGBColor, anchor: HPos) -> TextStyle<'static> {
    TextStyle {
        font: font(pixels),
        color: colour.to_backend_color(),
        pos: Pos::new(anchor, VPos::Center),
    }
}

/// Adds what is read to those who cannot see it: a title, and every figure.
fn described(svg: &str, data: &Data<'_>) -> String {
    let lines = data.series.iter().map(|series| {
        let figures = data.kernels.iter().zip(&series.costs).map(|(kernel, cost)| match cost {
            Some(cost) => format!("{kernel}: {cost:.0}"),
            None => format!("{kernel}: not measured"),
        });
        format!("{}: {}.", series.name().join(" "), figures.collect::<Vec<_>>().join(", "))
    });
    let description = format!("{} {}", data.notes(), lines.collect::<Vec<_>>().join(" "));
    let head = "<svg ";
    let labelled = svg.replacen(head, "<svg role=\"img\" aria-labelledby=\"title desc\" ", 1);
    let text = format!(
        ">\n<title id=\"title\">{}</title>\n<desc id=\"desc\">{}</desc>\n",
        escaped(TITLE),
        escaped(&description)
    );
    labelled.replacen(">\n", &text, 1)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
