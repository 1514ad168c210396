//! `passline check`: everything that `serve` would read, checked without starting anything.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use super::{ConfigArgs, output};
use crate::api::server::TlsFile;
use crate::app::{api, flows, trunks};
use crate::call::SPOKEN_BY_PROGRAM;
use crate::checked_toml::Mistake;
use crate::config::{self, Config};
use crate::dialplan::Library;
use crate::identity::question::Channel;
use crate::language::Language;
use crate::service::NewQuestion;
use crate::speech::catalog::{self, Depth, Severity};
use crate::speech::synthesizer::Engines;
use crate::time::{Clock as _, SystemClock};

/// Find every mistake in the configuration, certificates, trunks, flows and prompts at once: file, line, key, remedy.
///
/// Nothing is started and nothing is changed. Exit code 0 means that `passline serve` will start, unless a port is taken
/// or the folder of data cannot be used.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// One JSON list of mistakes, for scripts.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut told = Told {
        mistakes: Vec::new(),
        notes: Vec::new(),
    };
    let (config, mistakes) = config::read(&args.config.config);
    told.mistakes = mistakes;
    if let Some(config) = config {
        check(&config, &args.config.config, &mut told);
    }
    if args.json {
        output::json(&told.mistakes)?;
    } else {
        for note in &told.notes {
            output::note(note);
        }
        for mistake in &told.mistakes {
            output::line(mistake);
        }
        output::line(output::counted(told.mistakes.len(), "mistake"));
    }
    Ok(if told.mistakes.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

struct Told {
    mistakes: Vec<Mistake>,
    notes: Vec<String>,
}

impl Told {
    fn mistake(&mut self, file: &Path, key: &str, message: String) {
        self.mistakes.push(Mistake {
            file: file.to_owned(),
            line: None,
            key: key.to_owned(),
            message,
        });
    }
}

fn check(config: &Config, file: &Path, told: &mut Told) {
    check_api(config, file, told);
    let (engines, problems) = Engines::start(&config.speech.synthesis);
    told.notes
        .extend(problems.iter().map(|problem| format!("note: {problem}")));
    told.notes.extend(too_few_questions(config));
    let loaded = catalog::load(&config.speech.prompts, Depth::Load, &|language| {
        engines.for_language(language).is_ok()
    });
    for finding in loaded
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
    {
        let message = format!("{}; {}", finding.problem, finding.remedy);
        told.mistake(&finding.file, finding.key.as_deref().unwrap_or_default(), message);
    }
    check_spoken_by_program(config, &loaded.catalog, told);
    check_spoken_names(config, file, &loaded.catalog, &engines, told);
    told.notes
        .extend(questions_in_other_languages(config, &loaded.catalog, &engines));
    let library = Library::new();
    match flows::check_folder(&config.dialplans, &flows::prompt_index(&loaded.catalog)) {
        Err(error) => told.mistake(file, "dialplans", format!("{error:#}")),
        Ok(flows) => {
            for (flow_file, checked) in flows {
                let checked = match checked {
                    Ok(checked) => checked,
                    Err(error) => {
                        told.mistake(&flow_file, "", format!("{:#}", error.root_cause()));
                        continue;
                    }
                };
                for finding in checked
                    .report
                    .findings
                    .iter()
                    .filter(|finding| finding.severity == crate::dialplan::Severity::Error)
                {
                    told.mistakes.push(Mistake {
                        file: checked.file.clone(),
                        line: Some(finding.line),
                        key: finding.step.clone().unwrap_or_default(),
                        message: format!("{}; {}", finding.message, finding.remedy),
                    });
                }
                if let Some(flow) = checked.flow {
                    library.put(flow);
                }
            }
        }
    }
    if let Err(mistakes) = trunks::load(&config.trunks, &library) {
        told.mistakes.extend(mistakes);
    }
}

/// The server of the API does not start without its files, and its clients do not come without their being valid.
fn check_api(config: &Config, file: &Path, told: &mut Told) {
    let Some(section) = &config.api else { return };
    let files = section.tls_files();
    for (which, error) in files.check(SystemClock.now()) {
        let key = match which {
            TlsFile::Certificate => "api.certificate",
            TlsFile::Key => "api.key",
            TlsFile::ClientCa => "api.client_ca",
        };
        told.mistake(file, key, format!("{:#}", anyhow::Error::from(error)));
    }
    if let Some(Err(error)) = section.twilio_token.as_deref().map(api::twilio_token) {
        told.mistake(file, "api.twilio_token", format!("{error:#}"));
    }
    if files.key_is_open() {
        let key = files.key.display();
        told.notes.push(format!(
            "note: others than its owner can read the private key {key}; chmod 600 it"
        ));
    }
}

/// Names of systems and questions need a recording, or an engine that says them.
fn check_spoken_names(config: &Config, file: &Path, catalog: &catalog::Catalog, engines: &Engines, told: &mut Told) {
    let Some(language) = catalog.closest(&config.language) else {
        return;
    };
    let is_recorded = |id: &str| catalog.prompts(language).is_some_and(|prompts| prompts.contains(id));
    let can_speak = engines.for_language(language).is_ok();
    for question in &config.questions {
        match question.prompt.as_deref() {
            Some(id) if !is_recorded(id) => {
                told.mistake(
                    file,
                    "question.prompt",
                    format!("there is no prompt {id:?}; add it to prompts.toml, or leave the key out"),
                );
            }
            None if !can_speak => {
                told.mistake(
                    file,
                    "question",
                    format!(
                        "{:?} has no recording and there is no speech engine; give it a prompt",
                        question.text
                    ),
                );
            }
            _ => {}
        }
    }
    for target in config
        .targets
        .iter()
        .filter(|target| !can_speak && !is_recorded(&target.prompt))
    {
        let message = format!(
            "{:?} has no recording {:?} and there is no speech engine",
            target.label, target.prompt
        );
        told.mistake(file, "target.prompt", message);
    }
}

/// Questions that are asked in the language of the house where another one is spoken, or not at all, and texts in languages
/// that nobody speaks here.
fn questions_in_other_languages(config: &Config, catalog: &catalog::Catalog, engines: &Engines) -> Vec<String> {
    let mut notes = Vec::new();
    let house = &config.language;
    for language in catalog.languages().filter(|spoken| spoken.primary() != house.primary()) {
        let Some(prompts) = catalog.prompts(language) else {
            continue;
        };
        let is_recorded = |question: &&NewQuestion| question.prompt.as_deref().is_some_and(|id| prompts.contains(id));
        let (with_text, without): (Vec<_>, Vec<_>) = config
            .questions
            .iter()
            .filter(|question| !is_recorded(question))
            .partition(|question| has_text_in(question, language));
        if !without.is_empty() {
            notes.push(format!(
                "note: callers in {language} are asked in {house}: {}; add translations = {{ \"{language}\" = \"...\" }}, or a \
                 recording",
                quoted(&without)
            ));
        }
        if !with_text.is_empty() && engines.for_language(language).is_err() {
            notes.push(format!(
                "note: callers in {language} cannot be asked: {}; there is no speech engine for it, and no recording",
                quoted(&with_text)
            ));
        }
    }
    let translated: BTreeSet<&Language> = config
        .questions
        .iter()
        .flat_map(|question| question.translations.keys())
        .collect();
    for language in translated {
        if catalog.closest(language).is_none() {
            notes.push(format!(
                "note: questions have texts in {language}, but nobody hears them: there are no prompts in it; add \
                 {}",
                config.speech.prompts.join(language.as_str()).display()
            ));
        }
    }
    notes
}

fn has_text_in(question: &NewQuestion, language: &Language) -> bool {
    language.closest(question.translations.keys()).is_some()
}

fn quoted(questions: &[&NewQuestion]) -> String {
    let texts: Vec<_> = questions
        .iter()
        .map(|question| format!("{:?}", question.text))
        .collect();
    texts.join(", ")
}

/// Nobody could be verified, and every caller would hear that it cannot be done by phone.
fn too_few_questions(config: &Config) -> Option<String> {
    let for_phone = config
        .questions
        .iter()
        .filter(|question| question.channels.contains(Channel::Phone));
    let (count, ask) = (for_phone.count(), usize::from(config.services.questions.ask));
    (count < ask).then(|| {
        format!(
            "note: {} for the phone, but questions.ask is {ask}: nobody can be verified; add [[question]] or lower \
             questions.ask and questions.right",
            output::counted(count, "question")
        )
    })
}

fn check_spoken_by_program(config: &Config, catalog: &catalog::Catalog, told: &mut Told) {
    if catalog.closest(&config.language).is_none() {
        let message = format!("there are no prompts for {}", config.language);
        told.mistake(&config.speech.prompts, "speech.language", message);
    }
    for language in catalog.languages() {
        let Some(prompts) = catalog.prompts(language) else {
            continue;
        };
        for id in SPOKEN_BY_PROGRAM.iter().filter(|id| !prompts.contains(id)) {
            let file = config.speech.prompts.join(language.as_str()).join("prompts.toml");
            told.mistake(
                &file,
                id,
                "missing; Passline says this prompt by itself: add its text and render it".to_owned(),
            );
        }
    }
}
