//! A caller with an ear: dials the real server with our own telephone, and knows what it hears by comparing audio.

use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use passline::call::phone::ear::Ear;
use passline::call::phone::report::CallReport;
use passline::call::phone::vocabulary::{self, Word};
use passline::call::phone::{Dialling, Phone, PhoneCall, PhoneError, PhoneEvent};
use passline::digit::Digits;
use passline::speech::cache::{self, Cache};
use passline::speech::phrase::Character;
use passline::speech::synthesizer::{self, Engines};
use passline::speech::{Language, Speech};
use passline::telephony::codec::{Clip, Codec};

use super::block_on;
use super::server::{Server, root};

/// The question of the sample people that the engine speaks.
pub(crate) const SPOKEN_QUESTION: &str = "What is the number on the back of your badge?";

/// How long a caller waits for something to be said.
const PATIENCE: Duration = Duration::from_secs(45);

/// A password is over when nothing more was spelled for this much audio: longer than the slowest pause between two
/// characters and the second one itself.
const AFTER_PASSWORD: u64 = 6 * 8_000;

/// The prompts, read once.
fn speech() -> &'static Speech {
    static SPEECH: OnceLock<Speech> = OnceLock::new();
    SPEECH.get_or_init(|| {
        block_on(async {
            let (engines, problems) = Engines::start(&synthesizer::Config::default());
            assert!(problems.is_empty(), "{problems:?}: scripts/setup");
            let cache = Cache::open(&cache::Config::default()).expect("no folder is needed");
            Speech::load(&root().join("prompts"), engines, cache)
                .await
                .expect("good prompts")
                .0
        })
    })
}

/// An ear that knows every prompt, every spelled character and the spoken question.
pub(crate) fn ear(codec: Codec) -> Ear<Word> {
    static EARS: Mutex<Vec<(Codec, Ear<Word>)>> = Mutex::new(Vec::new());
    let mut ears = EARS.lock().expect("no test panics in here");
    if let Some((_, ear)) = ears.iter().find(|(known, _)| *known == codec) {
        return ear.clone();
    }
    let language: Language = "en-US".parse().expect("a language");
    let ear = block_on(vocabulary::ear(speech(), &language, codec, [SPOKEN_QUESTION])).expect("an ear");
    ears.push((codec, ear.clone()));
    ear
}

/// An ear for samples that were decoded and are encoded again. It must not tell the two zeros of mu-law apart.
pub(crate) fn ear_for_recordings() -> Ear<Word> {
    let again = |clip: &Clip| Codec::Pcmu.encode(&Codec::Pcmu.decode(clip.payload(Codec::Pcmu)));
    let language: Language = "en-US".parse().expect("a language");
    let catalog = speech().catalog();
    let prompts = catalog.prompts(&language).expect("prompts");
    let said = prompts.ids().filter(|id| !id.starts_with("spell."));
    let said = said.filter_map(|id| Some((Word::Prompt(id.to_owned()), again(prompts.clip(id)?))));
    let spelled = ('!'..='~').filter_map(|c| Some((Word::Character(c), again(prompts.character(Character::of(c)?)?))));
    Ear::new(said.chain(spelled), |byte| Codec::Pcmu.decode_sample(byte) == 0)
}

/// How a character of a password sounds on the line.
pub(crate) fn character(character: char) -> Vec<i16> {
    let language: Language = "en-US".parse().expect("a language");
    let catalog = speech().catalog();
    let prompts = catalog.prompts(&language).expect("prompts");
    let clip = Character::of(character)
        .and_then(|character| prompts.character(character))
        .expect("a clip");
    Codec::Pcmu.decode(clip.payload(Codec::Pcmu))
}

/// What was recognised, in a word: the id of a prompt, a text, `<character>`.
pub(crate) fn told(word: &Word) -> String {
    match word {
        Word::Prompt(id) => id.clone(),
        Word::Text(text) => text.clone(),
        Word::Character(c) => format!("<{c}>"),
    }
}

/// A call in progress.
pub(crate) struct Caller {
    phone: Phone,
    call: PhoneCall,
    ear: Ear<Word>,
    /// Words that were recognised and not yet asked for.
    waiting: Vec<Word>,
    over: bool,
    /// Samples heard, and how many of them when the last character of a password was complete.
    position: u64,
    last_character: u64,
    /// Everything that was said, in order.
    pub said: Vec<String>,
}

impl Caller {
    /// Dials a server over UDP.
    pub(crate) fn dial(server: &Server) -> Self {
        Self::dial_with(&format!("sip:100@{}", server.udp), server.udp, Dialling::default())
    }

    /// Dials as told.
    pub(crate) fn dial_with(uri: &str, server: SocketAddr, dialling: Dialling) -> Self {
        Self::try_dial(uri, server, dialling).unwrap_or_else(|error| panic!("{uri}: {error}"))
    }

    /// Dials as told; it may be refused. One codec is offered, mu-law if nothing else is said: the ear compares its bytes.
    pub(crate) fn try_dial(uri: &str, server: SocketAddr, mut dialling: Dialling) -> Result<Self, PhoneError> {
        if dialling.codecs.is_empty() {
            dialling.codecs.push("PCMU".to_owned());
        }
        let codec = Codec::from_encoding_name(&dialling.codecs[0]).expect("a codec");
        let ear = ear(codec);
        block_on(async {
            let phone = Phone::start(server.ip())?;
            match phone.dial(uri, dialling).await {
                Ok(call) => Ok(Self {
                    phone,
                    call,
                    ear,
                    waiting: Vec::new(),
                    over: false,
                    position: 0,
                    last_character: 0,
                    said: Vec::new(),
                }),
                Err(error) => {
                    phone.shutdown().await;
                    Err(error)
                }
            }
        })
    }

    /// Waits until a prompt has been said to its end, or cut short after half a second of it.
    pub(crate) fn hear(&mut self, prompt: &str) {
        self.hear_any(&[prompt]);
    }

    /// Waits for one of several prompts or texts and gives the one that was said.
    pub(crate) fn hear_any(&mut self, prompts: &[&str]) -> String {
        loop {
            while !self.waiting.is_empty() {
                let (Word::Prompt(said) | Word::Text(said)) = self.waiting.remove(0) else {
                    continue;
                };
                if prompts.contains(&said.as_str()) {
                    return said;
                }
            }
            assert!(!self.over, "hung up before {prompts:?}; said was {:?}", self.said);
            self.listen(&format!("{prompts:?}"));
        }
    }

    /// Listens to a password that is spelled, until nothing more of it comes.
    pub(crate) fn hear_password(&mut self) -> String {
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
            if !password.is_empty() && self.position - self.last_character > AFTER_PASSWORD {
                return password;
            }
            assert!(!self.over, "hung up before a password; said was {:?}", self.said);
            self.listen("a password");
        }
    }

    /// Listens to the first characters of a password.
    pub(crate) fn hear_characters(&mut self, count: usize) -> String {
        let mut characters = String::new();
        while characters.len() < count {
            while self.waiting.is_empty() {
                assert!(!self.over, "hung up before a password; said was {:?}", self.said);
                self.listen("a character");
            }
            if let Word::Character(c) = self.waiting.remove(0) {
                characters.push(c);
            }
        }
        characters
    }

    /// Waits until the far end hangs up, and gives the report.
    pub(crate) fn hear_hang_up(mut self) -> CallReport {
        while !self.over {
            self.listen("hanging up");
        }
        let report = self.hang_up();
        assert_eq!(report.ended_by, "far end");
        report
    }

    /// Waits until the far end makes a sound.
    pub(crate) fn hear_something(&mut self) {
        while self
            .call
            .silent_for()
            .is_none_or(|silence| silence > Duration::from_millis(20))
        {
            self.listen("a sound");
        }
    }

    /// Audio heard so far.
    pub(crate) fn heard(&self) -> Duration {
        Duration::from_micros(self.position * 125)
    }

    fn listen(&mut self, what: &str) {
        let event = block_on(async { tokio::time::timeout(PATIENCE, self.call.next_event()).await });
        let event = event.unwrap_or_else(|_| panic!("waited too long for {what}; said was {:?}", self.said));
        self.take(event);
        assert!(
            self.call.length() < Duration::from_secs(240),
            "waited too long for {what}; said was {:?}",
            self.said
        );
    }

    fn take(&mut self, event: PhoneEvent) {
        match event {
            PhoneEvent::Heard(audio) => {
                self.position += audio.payload.len() as u64;
                for heard in self.ear.hear(&audio.payload) {
                    self.said.push(told(&heard.label));
                    if matches!(heard.label, Word::Character(_)) {
                        self.last_character = self.position;
                    }
                    self.waiting.push(heard.label);
                }
            }
            PhoneEvent::KeysSent => {}
            PhoneEvent::HungUp => self.over = true,
        }
    }

    /// Presses keys; returns at once, they are sent one after the other.
    pub(crate) fn press(&mut self, keys: &str) {
        for &digit in Digits::parse(keys).expect("keys").expose() {
            block_on(self.call.press(digit));
        }
    }

    /// Hangs up and gives the report.
    pub(crate) fn hang_up(self) -> CallReport {
        block_on(async {
            let (report, _) = self.call.finish().await.expect("a report");
            self.phone.shutdown().await;
            report
        })
    }

    /// Identifies and answers as the first of the sample people, typing ahead, where one question is asked.
    pub(crate) fn verify(&mut self) {
        self.press("4711#2009#");
        self.hear("question.verified");
    }

    /// Verifies, hears a new password and takes it for all systems; what becomes of it is heard next.
    pub(crate) fn reset_everything(&mut self) -> String {
        self.verify();
        self.press("1");
        self.hear("password.lead_in");
        let password = self.hear_password();
        self.press("4");
        password
    }

    /// Identifies and answers as the first of the sample people, where two questions are asked.
    pub(crate) fn verify_with_two_questions(&mut self) {
        self.hear("identify.ask");
        self.press("4711#");
        for _ in 0..2 {
            match self.hear_any(&["question.start_year", SPOKEN_QUESTION]).as_str() {
                SPOKEN_QUESTION => self.press("835164#"),
                _ => self.press("2009#"),
            }
        }
        self.hear("question.verified");
    }
}
