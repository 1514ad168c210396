//! A flow as a picture: SVG drawn here, without any other program, or DOT for those who have one.
//!
//! What is drawn: a box for each step, with what it says. A line for each way, with its outcome. Ways that would only
//! make a knot are written into the box instead ("noinput → nobody_there"): those to steps that many others lead to.
//! Such steps stand at the bottom.
//!
//! [`picture`] decides that; [`layout`] knows only sizes and lines; [`svg`] knows only colours and letters.

mod dot;
mod layout;
mod order;
mod picture;
mod place;
mod svg;

use super::model::Flow;

impl Flow {
    /// The flow as a complete SVG document, for light and dark backgrounds.
    #[must_use]
    pub fn to_svg(&self) -> String {
        svg::draw(&picture::Picture::of(self))
    }

    /// The flow in the DOT language of Graphviz, with every way as a line.
    #[must_use]
    pub fn to_dot(&self) -> String {
        dot::write(self)
    }
}
