//! Colours and letters: a [`Picture`] as SVG.
//!
//! Letters are monospaced, so that the width of a text is known without a font. Colours follow the reader's light or
//! dark setting; every kind of step also has its name, so nothing depends on colour. Names in boxes are links to the
//! step's box.

use std::fmt::Write as _;

use super::super::model::StepKind;
use super::layout::{Graph, GraphLine, Layout, Point, Route, lay_out};
use super::picture::{Picture, StepBox};

/// Width of a letter: 0.6 em in every common monospaced font.
const LETTER: f64 = 7.2;
const LINE_HEIGHT: f64 = 17.0;
const PADDING: f64 = 10.0;
const MARGIN: f64 = 28.0;
const HEADER: f64 = 92.0;

const STYLE: &str = "\
text{font:12px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1c2430}\
.bg{fill:#fff}.h1{font-size:19px;font-weight:700}.dim{fill:#5a6675}.name{font-weight:700;font-size:13px}\
.box{stroke-width:1.5}.play{fill:#eef3fb;stroke:#5b7db1}.menu,.collect{fill:#fdf5e2;stroke:#b58a25}\
.operation{fill:#ebf6ee;stroke:#4c9163}.transfer{fill:#f4ecf9;stroke:#8a5bb1}.hangup{fill:#fbecec;stroke:#b55a5a}\
.start{stroke-width:3.5}.line{fill:none;stroke:#5a6675;stroke-width:1.5}.back{stroke:#a0568c;stroke-dasharray:6 3}\
.tip{fill:#5a6675}.tip-back{fill:#a0568c}.plate{fill:#fff}a:hover text,a:focus text{text-decoration:underline}\
@media(prefers-color-scheme:dark){text{fill:#e4e9f0}.bg,.plate{fill:#12161c}.dim{fill:#9aa7b8}\
.play{fill:#1b2638;stroke:#7fa3d9}.menu,.collect{fill:#332a12;stroke:#d9ae4a}.operation{fill:#15291c;stroke:#6fbf8a}\
.transfer{fill:#291a36;stroke:#b78ade}.hangup{fill:#361b1b;stroke:#de8484}.line{stroke:#9aa7b8}.back{stroke:#d48bc0}\
.tip{fill:#9aa7b8}.tip-back{fill:#d48bc0}}";

pub(super) fn draw(picture: &Picture) -> String {
    let sizes: Vec<(f64, f64)> = picture.boxes.iter().map(size).collect();
    let drawn: Vec<usize> = (0..picture.boxes.len())
        .filter(|index| !picture.boxes[*index].is_shared)
        .collect();
    let layout = lay_out(&graph(picture, &drawn, &sizes));
    let shared: Vec<usize> = (0..picture.boxes.len())
        .filter(|index| picture.boxes[*index].is_shared)
        .collect();
    let width = layout.width.max(820.0);
    let left = MARGIN + (width - layout.width) / 2.0;
    let bottom = HEADER + layout.height + 40.0;
    let (places, shared_height) = shelf(&shared, &sizes, width);
    let height = bottom + if shared.is_empty() { 0.0 } else { 34.0 + shared_height } + MARGIN;

    let mut svg = Svg(String::new());
    svg.open(picture, width + 2.0 * MARGIN, height);
    svg.legend(picture);
    svg.push(&format!("<g transform=\"translate({left:.1} {HEADER})\">"));
    svg.lines(picture, &layout);
    for (place, index) in layout.boxes.iter().zip(&drawn) {
        svg.step(&picture.boxes[*index], *place, sizes[*index]);
    }
    svg.push("</g>");
    if !shared.is_empty() {
        svg.text(
            MARGIN,
            bottom + 12.0,
            "dim",
            "Steps that many others lead to, and ends for when things go wrong:",
        );
        svg.push(&format!("<g transform=\"translate({MARGIN} {:.1})\">", bottom + 30.0));
        for (place, index) in places.iter().zip(&shared) {
            svg.step(&picture.boxes[*index], *place, sizes[*index]);
        }
        svg.push("</g>");
    }
    svg.push("</svg>");
    svg.0
}

fn graph(picture: &Picture, drawn: &[usize], sizes: &[(f64, f64)]) -> Graph {
    let position = |index: usize| drawn.iter().position(|drawn| *drawn == index);
    let line = |line: &super::picture::Line| {
        let widest = line.labels.iter().map(|label| text_width(label)).fold(0.0, f64::max);
        let height = line.labels.len() as f64 * (LINE_HEIGHT - 2.0);
        Some(GraphLine {
            from: position(line.from)?,
            to: position(line.to)?,
            label: (widest + 8.0, height),
        })
    };
    Graph {
        boxes: drawn.iter().map(|index| sizes[*index]).collect(),
        // No line touches a shared step, so none is lost here.
        lines: picture.lines.iter().filter_map(line).collect(),
        start: drawn
            .iter()
            .position(|index| picture.boxes[*index].is_start)
            .unwrap_or(0),
    }
}

/// Shared steps side by side in rows.
fn shelf(shared: &[usize], sizes: &[(f64, f64)], width: f64) -> (Vec<Point>, f64) {
    let gap = 18.0;
    let (mut x, mut y, mut row) = (0.0, 0.0, 0.0_f64);
    let mut places = Vec::new();
    for index in shared {
        let (w, h) = sizes[*index];
        if x > 0.0 && x + w > width {
            (x, y, row) = (0.0, y + row + gap, 0.0);
        }
        places.push(Point {
            x: x + w / 2.0,
            y: y + h / 2.0,
        });
        x += w + gap;
        row = row.max(h);
    }
    (places, y + row)
}

fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

fn row_text(label: &str, target: &str) -> String {
    format!("{label} → {target}")
}

fn heading(step: &StepBox) -> String {
    format!("{}{}", if step.is_start { "▶ " } else { "" }, step.name)
}

fn size(step: &StepBox) -> (f64, f64) {
    let heading = (heading(step).chars().count() as f64) * 7.9 + text_width(step.kind.name()) + 22.0;
    let texts = step.texts.iter().map(|text| text_width(text));
    let rows = step
        .rows
        .iter()
        .map(|(label, target)| text_width(&row_text(label, target)));
    let width = texts.chain(rows).fold(heading, f64::max) + 2.0 * PADDING;
    let separator = if step.rows.is_empty() { 0.0 } else { 7.0 };
    let count = 1 + step.texts.len() + step.rows.len();
    (width.ceil(), count as f64 * LINE_HEIGHT + separator + 11.0)
}

/// SVG text that grows.
struct Svg(String);

impl Svg {
    fn push(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn open(&mut self, picture: &Picture, width: f64, height: f64) {
        let (title, description) = (escaped(&picture.title), escaped(&picture.description));
        self.push(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\" aria-labelledby=\"title desc\">\n<title id=\"title\">{title}</title>\n\
             <desc id=\"desc\">{description}</desc>\n<style>{STYLE}</style>\n<defs>"
        ));
        for (id, class) in [("tip", "tip"), ("tip-back", "tip-back")] {
            self.push(&format!(
                "<marker id=\"{id}\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"8\" markerHeight=\"8\" \
                 orient=\"auto\"><path class=\"{class}\" d=\"M0 0L10 5L0 10z\"/></marker>"
            ));
        }
        self.push("</defs>\n<rect class=\"bg\" width=\"100%\" height=\"100%\"/>");
    }

    /// Title, version, and what the colours mean.
    fn legend(&mut self, picture: &Picture) {
        self.text(MARGIN, 36.0, "h1", &picture.title);
        let mut x = MARGIN;
        for kind in StepKind::ALL {
            let width = text_width(kind.name()) + 16.0;
            self.push(&format!(
                "<rect class=\"box {}\" x=\"{x:.1}\" y=\"50\" width=\"{width:.1}\" height=\"20\" rx=\"{}\"/>",
                kind.name(),
                corner(kind)
            ));
            self.text(x + 8.0, 64.0, "", kind.name());
            x += width + 8.0;
        }
        self.push(&format!(
            "<path class=\"line back\" d=\"M{x:.1} 60H{:.1}\" marker-end=\"url(#tip-back)\"/>",
            x + 34.0
        ));
        self.text(x + 42.0, 64.0, "", "back to an earlier step");
        self.text(x + 226.0, 64.0, "dim", &format!("version {}", picture.version));
    }

    fn lines(&mut self, picture: &Picture, layout: &Layout) {
        for route in &layout.lines {
            let (class, tip) = if route.is_back {
                ("line back", "tip-back")
            } else {
                ("line", "tip")
            };
            self.push(&format!(
                "<path class=\"{class}\" d=\"{}\" marker-end=\"url(#{tip})\"/>",
                path(route)
            ));
        }
        for (line, route) in picture.lines.iter().zip(&layout.lines) {
            self.label(&line.labels, route.label);
        }
    }

    fn label(&mut self, labels: &[String], at: Point) {
        let step = LINE_HEIGHT - 2.0;
        let width = labels.iter().map(|label| text_width(label)).fold(0.0, f64::max) + 6.0;
        let height = labels.len() as f64 * step;
        let top = at.y - height / 2.0;
        self.push(&format!(
            "<rect class=\"plate\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>",
            at.x - width / 2.0
        ));
        for (index, label) in labels.iter().enumerate() {
            let x = at.x - text_width(label) / 2.0;
            self.text(x, top + index as f64 * step + 11.5, "", label);
        }
    }

    fn step(&mut self, step: &StepBox, centre: Point, (width, height): (f64, f64)) {
        let (left, top) = (centre.x - width / 2.0, centre.y - height / 2.0);
        let start = if step.is_start { " start" } else { "" };
        let (kind, radius) = (step.kind.name(), corner(step.kind));
        self.push(&format!(
            "<g id=\"step-{}\"><rect class=\"box {kind}{start}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\" rx=\"{radius}\"/>",
            step.name
        ));
        let inner = left + PADDING;
        let mut y = top + 18.0;
        self.text(inner, y, "name", &heading(step));
        self.text(left + width - PADDING - text_width(kind), y, "dim", kind);
        for text in &step.texts {
            y += LINE_HEIGHT;
            self.text(inner, y, "", text);
        }
        if !step.rows.is_empty() {
            y += 7.0;
            self.push(&format!(
                "<path class=\"box {kind}\" style=\"stroke-width:.7\" d=\"M{left:.1} {:.1}h{width:.1}\"/>",
                y - 2.0
            ));
        }
        for (label, target) in &step.rows {
            y += LINE_HEIGHT;
            let own = if target == "itself" { &step.name } else { target };
            self.push(&format!("<a href=\"#step-{own}\">"));
            self.text(inner, y - 1.0, "dim", &row_text(label, target));
            self.push("</a>");
        }
        self.push("</g>");
    }

    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let class = if class.is_empty() {
            String::new()
        } else {
            format!(" class=\"{class}\"")
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.0,
            "<text{class} x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
            escaped(text)
        );
    }
}

/// Questions have round corners, everything else hardly any.
fn corner(kind: StepKind) -> u8 {
    match kind {
        StepKind::Menu | StepKind::Collect => 10,
        StepKind::HangUp => 2,
        _ => 4,
    }
}

/// Straight through rows, curved between them.
fn path(route: &Route) -> String {
    let mut points = route.points.iter();
    let Some(first) = points.next() else {
        return String::new();
    };
    let mut path = format!("M{:.1} {:.1}", first.x, first.y);
    let mut last = *first;
    for point in points {
        let middle = (last.y + point.y) / 2.0;
        let (x, y) = (point.x, point.y);
        let _ = if (last.x - x).abs() < 0.5 {
            write!(path, "L{x:.1} {y:.1}")
        } else {
            write!(path, "C{:.1} {middle:.1} {x:.1} {middle:.1} {x:.1} {y:.1}", last.x)
        };
        last = *point;
    }
    path
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{MINIMAL, SHIPPED, flow};

    #[test]
    fn every_step_has_its_box_and_every_link_a_target() {
        for (name, text) in SHIPPED {
            let flow = flow(name, text);
            let svg = flow.to_svg();
            for step in flow.steps() {
                assert_eq!(
                    svg.matches(&format!("id=\"step-{}\"", step.name())).count(),
                    1,
                    "{}",
                    step.name()
                );
            }
            for link in svg.split("href=\"#").skip(1) {
                let target = link.split('"').next().unwrap();
                assert!(svg.contains(&format!("id=\"{target}\"")), "{target}");
            }
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
        }
    }

    #[test]
    fn what_a_title_contains_cannot_break_the_document() {
        let svg = flow("x", &MINIMAL.replace("Account state", "</title><script>&")).to_svg();
        assert!(svg.contains("&lt;/title&gt;&lt;script&gt;&amp;") && !svg.contains("<script>"));
    }
}
