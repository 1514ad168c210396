//! Documents for outside IVRs, written as elements and attributes. They hold the token of a session, so they are wiped as
//! far as they are ours.

use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use zeroize::Zeroizing;

use crate::xml::{append, append_escaped};

/// A document in the making.
pub(super) struct Markup {
    out: Zeroizing<String>,
    open: Vec<&'static str>,
}

impl Markup {
    pub(super) fn new() -> Self {
        let mut out = Zeroizing::new(String::with_capacity(8 * 1024));
        append(&mut out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
        Self { out, open: Vec::new() }
    }

    /// Begins an element.
    pub(super) fn open(&mut self, name: &'static str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes, ">");
        self.open.push(name);
    }

    /// Ends the element that was begun last.
    pub(super) fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            append(&mut self.out, "</");
            append(&mut self.out, name);
            append(&mut self.out, ">");
        }
    }

    /// An element with nothing in it.
    pub(super) fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes, "/>");
    }

    /// An element with a text in it.
    pub(super) fn text(&mut self, name: &'static str, attributes: &[(&str, &str)], text: &str) {
        self.open(name, attributes);
        append_escaped(&mut self.out, text);
        self.close();
    }

    /// The document, with all that is open closed.
    pub(super) fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.close();
        }
        self.out.as_bytes().to_vec()
    }

    /// The document as an answer that nobody keeps.
    pub(super) fn answer(self, media_type: &'static str) -> Response {
        let mut response = self.finish().into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, &str)], end: &str) {
        append(&mut self.out, "<");
        append(&mut self.out, name);
        for (name, value) in attributes {
            append(&mut self.out, " ");
            append(&mut self.out, name);
            append(&mut self.out, "=\"");
            append_escaped(&mut self.out, value);
            append(&mut self.out, "\"");
        }
        append(&mut self.out, end);
    }
}
