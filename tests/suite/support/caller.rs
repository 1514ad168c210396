//! A caller with an ear: dials the real server with our own telephone, and knows what it hears by comparing audio.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use passline::call::phone::ear::Ear;
use passline::call::phone::report::CallReport;
use passline::call::phone::vocabulary::{self, Word};
use passline::call::phone::{Dialling, Phone, PhoneCall, PhoneEvent};
use passline::digit::Digits;
use passline::speech::cache::{self, Cache};
use passline::speech::synthesizer::{self, Engines};
use passline::speech::{Language, Speech};
use tokio::runtime::Runtime;

use super::server::root;

/// The question of the sample people that the engine speaks.
pub const SPOKEN_QUESTION: &str = "What is the number on the back of your badge?";

/// How long a caller waits for something to be said.
const PATIENCE: Duration = Duration::from_secs(45);

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime"))
}

/// The prompts, read once.
fn speech() -> &'static Speech {
    static SPEECH: OnceLock<Speech> = OnceLock::new();
    SPEECH.get_or_init(|| {
        runtime().block_on(async {
            let (engines, problems) = Engines::start(&synthesizer::Config::default());
            assert!(problems.is_empty(), "{problems:?}: scripts/setup");
            let cache = Cache::open(&cache::Config::default()).expect("no folder is needed");
            Speech::load(&root().join("prompts"), engines, cache).await.expect("good prompts").0
        })
    })
}

fn language() -> Language {
    "en-US".parse().expect("a language")
}

/// A call in progress, from a test that does not know of tasks.
pub struct Caller {
    phone: Phone,
    call: PhoneCall,
    ear: Ear<Word>,
    /// Words that were recognised and not yet asked for.
    waiting: Vec<Word>,
    over: bool,
    /// Everything that was said, in order: prompt ids, texts, `<character>` for spelled ones.
    pub said: Vec<String>,
}

impl Caller {
    /// Dials a server over UDP.
    pub fn dial(server: SocketAddr) -> Self {
        Self::dial_with(&format!("sip:100@{server}"), server, Dialling::default())
    }

    /// Dials as told. Only mu-law is offered: the ear compares its bytes.
    pub fn dial_with(uri: &str, server: SocketAddr, dialling: Dialling) -> Self {
        let dialling = Dialling { codecs: vec!["PCMU".to_owned()], ..dialling };
        let speech = speech();
        runtime().block_on(async {
            let phone = Phone::start(server.ip()).expect("a telephone");
            let ear = vocabulary::ear(speech, &language(), [SPOKEN_QUESTION]).await.expect("an ear");
            let call = phone.dial(uri, dialling).await.expect("the call is answered");
            Self { phone, call, ear, waiting: Vec::new(), over: false, said: Vec::new() }
        })
    }

    /// Waits until a prompt has been said to its end, or cut short after half a second of it.
    pub fn hear(&mut self, prompt: &str) {
        self.hear_any(&[prompt]);
    }

    /// Waits for one of several prompts or texts and gives the one that was said.
    pub fn hear_any(&mut self, prompts: &[&str]) -> String {
        loop {
            while !self.waiting.is_empty() {
                let (Word::Prompt(said) | Word::Text(said)) = self.waiting.remove(0) else { continue };
                if prompts.contains(&said.as_str()) {
                    return said;
                }
            }
            assert!(!self.over, "hung up before {prompts:?}; said was {:?}", self.said);
            self.listen(&format!("{prompts:?}"));
        }
    }

    /// Listens to a password that is spelled, until something else is said; gives it.
    pub fn hear_password(&mut self) -> String {
        let mut password = String::new();
        loop {
            while !self.waiting.is_empty() {
                match &self.waiting[0] {
                    Word::Character(c) => password.push(*c),
                    _ if !password.is_empty() => return password,
                    _ => {}
                }
                self.waiting.remove(0);
            }
            assert!(!self.over, "hung up before a password; said was {:?}", self.said);
            self.listen("a password");
        }
    }

    /// Waits until the far end hangs up.
    pub fn hear_hang_up(&mut self) {
        while !self.over {
            self.listen("hanging up");
        }
    }

    /// Listens for a while.
    pub fn listen_for(&mut self, length: Duration) {
        let deadline = std::time::Instant::now() + length;
        while !self.over {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return;
            }
            let event = runtime().block_on(async { tokio::time::timeout(left, self.call.next_event()).await });
            let Ok(event) = event else { return };
            self.take(event);
        }
    }

    fn listen(&mut self, what: &str) {
        let event = runtime().block_on(async { tokio::time::timeout(PATIENCE, self.call.next_event()).await });
        let event = event.unwrap_or_else(|_| panic!("waited too long for {what}; said was {:?}", self.said));
        self.take(event);
        assert!(self.call.length() < Duration::from_secs(300), "waited too long for {what}; said was {:?}", self.said);
    }

    fn take(&mut self, event: PhoneEvent) {
        match event {
            PhoneEvent::Heard(audio) => {
                for heard in self.ear.hear(&audio.payload) {
                    self.said.push(match &heard.label {
                        Word::Prompt(id) => id.clone(),
                        Word::Text(text) => text.clone(),
                        Word::Character(c) => format!("<{c}>"),
                    });
                    self.waiting.push(heard.label);
                }
            }
            PhoneEvent::KeysSent => {}
            PhoneEvent::HungUp => self.over = true,
        }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        for &digit in Digits::parse(keys).expect("keys").expose() {
            runtime().block_on(self.call.press(digit));
        }
    }

    /// Hangs up and gives the report.
    pub fn hang_up(self) -> CallReport {
        runtime().block_on(async {
            let (report, _) = self.call.finish().await.expect("a report");
            self.phone.shutdown().await;
            report
        })
    }

    /// Identifies and answers as the first of the sample people, up to the main menu.
    pub fn verify_as_anna(&mut self) {
        self.hear("identify.ask");
        self.press("4711#");
        for _ in 0..2 {
            match self.hear_any(&["question.start_year", SPOKEN_QUESTION]).as_str() {
                SPOKEN_QUESTION => self.press("835164#"),
                _ => self.press("2009#"),
            }
        }
        self.hear("menu.main");
    }
}
