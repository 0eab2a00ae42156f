//! Rule files to an engine.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use hydrophone_inspect::{
    engine::Engine,
    rule::{Diagnostic, RuleSetBuilder, STARTER, STARTER_NAME, Severity, Variables},
};

use super::{DaemonError, shown};
use crate::config;

/// Rules that loaded, and what was wrong with the others.
pub struct Rules {
    /// Compiled.
    pub engine: Arc<Engine>,
    /// What is wrong, with the source line.
    pub diagnostics: Vec<(Diagnostic, String)>,
    /// Rules that were left out.
    pub errors: usize,
    files: String,
}

/// Reads the starter set, unless it is not wanted, and the files of the configuration.
///
/// # Errors
/// When a file cannot be read: all of them are named.
pub fn load_rules(config: &config::Rules) -> Result<Rules, DaemonError> {
    let mut variables = match config.meaning {
        config::AddressMeaning::Identity => Variables::default(),
        config::AddressMeaning::Classic => Variables::classic(),
    };
    for (name, value) in &config.variables {
        variables.set(name, value);
    }
    let mut builder = RuleSetBuilder::new(variables);
    let mut files = Files::default();
    let mut rules = Vec::new();
    if !config.no_default_rules {
        rules.push((STARTER_NAME.to_owned(), STARTER.to_owned()));
    }
    rules.extend(files.read("rule file", &config.files));
    let classes = files.read("classification", config.classification.as_slice());
    let reputation = &config.reputation;
    let categories = files.read("categories", reputation.categories.as_slice());
    let reputations = files.read("reputation file", &reputation.files);
    let filters = files.read("threshold file", &config.threshold);
    if !files.unreadable.is_empty() {
        return Err(DaemonError::Rules(files.unreadable.join("\n")));
    }
    for (name, text) in &classes {
        builder.add_classifications(name, text);
    }
    for (name, text) in &categories {
        builder.add_categories(name, text);
    }
    for (name, text) in &reputations {
        builder.add_reputations(name, text);
    }
    for (name, text) in &rules {
        // Lists that rules name stand beside the rule file.
        let beside = Path::new(name).parent().unwrap_or(Path::new("."));
        let load = |file: &str| fs::read(beside.join(file)).ok();
        builder.add_source_with(name, text, &load);
    }
    for (name, text) in &filters {
        builder.add_filters(name, text);
    }
    let sources = [rules, classes, categories, reputations, filters].concat();
    let (set, diagnostics) = builder.build();
    let errors = diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .count();
    Ok(Rules {
        engine: Arc::new(Engine::new(&set)),
        diagnostics: with_lines(diagnostics, &sources),
        errors,
        files: shown(&config.files),
    })
}

/// Each complaint with the line it is about, out of the files by name and text.
fn with_lines(
    diagnostics: Vec<Diagnostic>,
    sources: &[(String, String)],
) -> Vec<(Diagnostic, String)> {
    let shown = |diagnostic: Diagnostic| {
        let source = sources.iter().find(|(name, _)| **name == *diagnostic.file);
        let shown = source.map_or_else(
            || diagnostic.to_string(),
            |(_, text)| diagnostic.render(text),
        );
        (diagnostic, shown)
    };
    diagnostics.into_iter().map(shown).collect()
}

/// Reads files, and remembers which could not be.
#[derive(Default)]
struct Files {
    unreadable: Vec<String>,
}

impl Files {
    /// Name and text of those that can be read.
    fn read(&mut self, what: &str, paths: &[PathBuf]) -> Vec<(String, String)> {
        let mut texts = Vec::new();
        for path in paths {
            match fs::read(path) {
                // They are ASCII but for messages: what is not UTF-8 there is shown as such.
                Ok(bytes) => texts.push((
                    path.display().to_string(),
                    String::from_utf8_lossy(&bytes).into_owned(),
                )),
                Err(error) => {
                    let path = path.display();
                    self.unreadable
                        .push(format!("cannot read {what} {path}: {error}"));
                }
            }
        }
        texts
    }
}

impl Rules {
    /// Tells what loaded, and each complaint.
    pub fn log(&self) {
        for (diagnostic, shown) in &self.diagnostics {
            match diagnostic.severity {
                Severity::Error => tracing::error!("left out: {shown}"),
                Severity::Warning => tracing::warn!("{shown}"),
            }
        }
        let rules = self.engine.rules().len();
        tracing::info!(
            rules,
            left_out = self.errors,
            files = self.files,
            "rules loaded"
        );
    }
}
