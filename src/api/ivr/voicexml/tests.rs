//! Every way of every shipped flow, walked by a voice browser that knows nothing but the pages; each page is checked
//! with the document type definition of the W3C.

mod browser;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use browser::{Browser, Shown};

use super::*;
use crate::call::outside::script::Script;
use crate::dialplan::operation::Outcome;
use crate::dialplan::tests::branches::shortest_paths;
use crate::dialplan::tests::{SHIPPED, flow};
use crate::dialplan::{Edge, EdgeKind, Flow, StepKind};

/// Of Debian's `w3c-sgml-lib`.
const DTD: &str = "/usr/share/xml/w3c-sgml-lib/schema/dtd/REC-voicexml21-20070619/vxml.dtd";

/// A browser in a call.
struct Walk {
    script: Script,
    flow: Arc<Flow>,
    /// The page that the browser shows, while it is waited for.
    shown: Option<Shown>,
    pages: Vec<Vec<u8>>,
}

impl Walk {
    fn new(flow: &Arc<Flow>) -> Self {
        let mut walk = Self {
            script: Script::new(Arc::clone(flow)),
            flow: Arc::clone(flow),
            shown: None,
            pages: Vec::new(),
        };
        walk.show();
        walk
    }

    fn show(&mut self) {
        let Some(page) = self.script.page() else { return };
        self.read(&page);
    }

    fn read(&mut self, page: &Page) {
        let text = write(page, "TOKEN", "").finish();
        self.shown = Some(Browser::read(&text));
        self.pages.push(text);
    }

    fn step(&self) -> &str {
        self.script.steps.last().expect("a step").as_str()
    }

    fn post(&mut self, fields: &str) {
        let form = Form::parse(fields.as_bytes());
        assert_eq!(
            (form.get(SESSION), form.get("page")),
            (Some("TOKEN"), Some(&*self.pages_given()))
        );
        let heard = told_in(&form).expect("understood");
        self.shown = None;
        self.script.hear(&heard);
        self.show();
    }

    fn pages_given(&self) -> String {
        self.pages.len().to_string()
    }

    fn do_with(&mut self, act: impl Fn(&Shown) -> String) {
        let fields = act(self.shown.as_ref().expect("a page"));
        self.post(&fields);
    }

    /// Takes one way out of the step that the call is in.
    fn take(&mut self, edge: &Edge) {
        let flow = Arc::clone(&self.flow);
        let from = flow.step(edge.from);
        let name = from.name().as_str();
        // A step that only speaks, or was passed by already.
        if edge.kind == EdgeKind::Next {
            return;
        }
        assert_eq!(self.step(), name, "{:?}", edge.kind);
        match &edge.kind {
            EdgeKind::Key(key) => self.do_with(|shown| shown.press(&key.as_char().to_string())),
            EdgeKind::Digits => self.do_with(|shown| shown.press("47#")),
            EdgeKind::NoInput => self.again(name, Shown::be_silent),
            EdgeKind::NoMatch if from.kind() == StepKind::Menu => self.again(name, |shown| shown.press("0")),
            EdgeKind::NoMatch => self.again(name, |shown| shown.press("#")),
            EdgeKind::Outcome(word) => {
                self.script.end_operation(Outcome::parse(word));
                self.show();
            }
            EdgeKind::Error => {
                self.script.end_operation(None);
                self.show();
            }
            EdgeKind::Next => {}
        }
    }

    /// Until the step is left.
    fn again(&mut self, step: &str, act: impl Fn(&Shown) -> String) {
        for _ in 0..10 {
            let before = self.script.steps.len();
            self.do_with(&act);
            if self.script.steps.len() > before {
                return;
            }
        }
        panic!("{step} is never left");
    }
}

#[test]
fn every_way_of_every_shipped_flow_is_walked_with_valid_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in SHIPPED {
        let flow = Arc::new(flow(name, text));
        let paths = shortest_paths(&flow);
        let mut walked = 0;
        for (index, edge) in flow.edges().iter().enumerate() {
            // The step for calls over the limit is reached by time only.
            let Some(path) = paths.get(&edge.from) else { continue };
            let mut walk = Walk::new(&flow);
            for edge in path.iter().copied().chain([edge]) {
                walk.take(edge);
            }
            let (from, to) = (flow.step(edge.from).name(), flow.step(edge.to).name());
            let is_taken = walk
                .script
                .steps
                .windows(2)
                .any(|pair| (&pair[0], &pair[1]) == (from, to));
            assert!(is_taken, "{from} ─ {} → {to}: {:?}", edge.kind, walk.script.steps);
            for (number, page) in walk.pages.iter().enumerate() {
                let file = folder.path().join(format!("{name}-{index}-{number}.vxml"));
                std::fs::write(file, page).expect("written");
            }
            walked += 1;
        }
        assert!(walked > 10, "{name}: {walked}");
    }
    validate(folder.path());
}

#[test]
fn a_page_that_waits_is_valid_and_comes_back_at_once() {
    let flow = Arc::new(flow("minimal", SHIPPED[2].1));
    let mut walk = Walk::new(&flow);
    walk.do_with(|shown| shown.press("47#"));
    let page = walk.script.page_now();
    assert_eq!(page.then, Then::ComeBack);
    walk.read(&page);
    let shown = walk.shown.as_ref().expect("a page");
    assert_eq!(shown.come_back(), "passline_session=TOKEN&page=2&event=played&keys=");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("wait.vxml"), &walk.pages[1]).expect("written");
    validate(folder.path());
}

#[test]
fn the_first_page_that_is_given_as_an_example_is_valid() {
    let folder = tempfile::tempdir().expect("a folder");
    let example = include_str!("../../../../contrib/ivr/start.vxml");
    std::fs::write(folder.path().join("start.vxml"), example).expect("written");
    validate(folder.path());
}

#[test]
fn a_caller_who_hangs_up_is_told_from_any_page() {
    let flow = Arc::new(flow("minimal", SHIPPED[2].1));
    let mut walk = Walk::new(&flow);
    walk.do_with(Shown::hang_up);
    assert!(walk.shown.as_ref().is_some_and(Shown::disconnects));
}

#[test]
fn what_is_said_is_fetched_and_secrets_are_no_text() {
    let flow = Arc::new(flow("reset", SHIPPED[0].1));
    let mut walk = Walk::new(&flow);
    let text = String::from_utf8(walk.pages[0].clone()).expect("UTF-8");
    assert!(
        text.contains("<audio src=\"/ivr/prompt/en-US/greeting.welcome.wav\">greeting.welcome</audio>"),
        "{text}"
    );
    walk.take_to("ask_question");
    let text = String::from_utf8(walk.pages.last().expect("a page").clone()).expect("UTF-8");
    assert!(
        text.contains("<audio src=\"/ivr/sound/0a1b2c.wav\" maxage=\"0\" maxstale=\"0\"/>"),
        "{text}"
    );
}

impl Walk {
    /// By the shortest way.
    fn take_to(&mut self, step: &str) {
        let flow = Arc::clone(&self.flow);
        let paths = shortest_paths(&flow);
        let path = paths.iter().find(|(id, _)| flow.step(**id).name().as_str() == step);
        for edge in path.expect("a step").1 {
            self.take(edge);
        }
    }
}

fn validate(folder: &Path) {
    let files = std::fs::read_dir(folder).expect("a folder");
    let files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    assert!(!files.is_empty());
    let output = Command::new("xmllint")
        .args(["--nonet", "--noout", "--dtdvalid", DTD])
        .args(&files)
        .output()
        .expect("xmllint runs; scripts/setup test installs it");
    let told = String::from_utf8_lossy(&output.stderr);
    let told: String = told.lines().take(20).collect::<Vec<_>>().join("\n");
    assert!(output.status.success(), "{told}");
}
