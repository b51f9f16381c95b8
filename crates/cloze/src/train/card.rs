//! The model card of a fine-tuned model: what it does, what it was made from, how good it is, and how it is used.

use std::fmt::Write as _;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::Value;

use crate::Error;
use crate::checkpoint::write_file;
use crate::eval::Evaluation;
use crate::eval::thresholds::Sharing;
use crate::infer::Long;
use crate::precision;
use crate::settings::{ClassWeights, FinetuneSettings, FinetuneTask, Start, StoredSettings};

use super::events::{Event, Observer};
use super::finetune::dev_name;
use super::run::{CARD, MARK, is_ours};

/// What a card tells.
pub(super) struct Card<'a> {
    /// What was asked for.
    pub settings: &'a FinetuneSettings,
    /// What is stored with the model.
    pub stored: &'a StoredSettings,
    /// The labels of the model.
    pub labels: &'a [String],
    /// How good it is on its development set, if there was one.
    pub evaluation: Option<&'a Evaluation>,
    /// What was told while the data was read.
    pub notes: &'a [String],
    /// The metric that chose the weights.
    pub metric: &'a str,
}

/// Calls that are passed on, with the notes among them kept.
pub(super) fn noting<'a>(
    notes: &'a mut Vec<String>,
    observer: &'a mut Observer,
) -> impl FnMut(&Event) -> ControlFlow<()> + 'a {
    |event| {
        if let Event::Note(note) = event {
            notes.push(note.clone());
        }
        observer(event)
    }
}

impl Card<'_> {
    /// Writes the card, unless the folder has a `README.md` of another origin; that is told and left as it is.
    pub fn write(&self, dir: &Path, observer: &mut Observer) -> Result<(), Error> {
        let path = dir.join(CARD);
        if fs::exists(&path).unwrap_or(false) && !is_ours(&path) {
            let note =
                format!("{} is none that Cloze has written; it stays, and no model card is written", path.display());
            let _ = observer(&Event::Note(note));
            return Ok(());
        }
        write_file(&path, self.text().as_bytes())
    }

    /// The card as Markdown, with the front matter of Hugging Face's Hub. The same run has the same card: there are no
    /// dates and no times in it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.front_matter(&mut text);
        let (title, does) = match self.settings.task {
            FinetuneTask::Classification => {
                ("A classifier of texts", "It gives a text, or a pair of texts, one label.")
            }
            FinetuneTask::Regression => ("A rating of texts", "It gives a text, or a pair of texts, a number."),
            FinetuneTask::MultiLabel => {
                ("Labels for texts", "It gives a text, or a pair of texts, any number of labels.")
            }
            FinetuneTask::Tokens => ("Labels for words", "It gives each word of a text a label."),
            FinetuneTask::Questions => {
                ("Answers to questions", "It answers a question with words of a text that is given with it.")
            }
        };
        put(&mut text, format_args!("\n{MARK}\n\n# {title}\n\nA BERT that was fine-tuned with Cloze. {does}\n"));
        if !matches!(self.settings.task, FinetuneTask::Regression | FinetuneTask::Questions) {
            let labels: Vec<String> = self.labels.iter().map(|label| code(label)).collect();
            put(&mut text, format_args!("\nLabels: {}\n", labels.join(", ")));
        }
        self.data(&mut text);
        match self.evaluation {
            Some(evaluation) => self.results(evaluation, &mut text),
            None => text.push_str(
                "\n## Results\n\nNothing was held out, so how good the model is was not measured. The weights are those of \
                 the last step.\n",
            ),
        }
        self.training(&mut text);
        self.limits(&mut text);
        self.usage(&mut text);
        text
    }

    fn front_matter(&self, text: &mut String) {
        let pipeline = match self.settings.task {
            FinetuneTask::Tokens => "token-classification",
            FinetuneTask::Questions => "question-answering",
            _ => "text-classification",
        };
        put(text, format_args!("---\nlibrary_name: transformers\npipeline_tag: {pipeline}\ntags:\n- bert\n- cloze\n"));
        if let Some(evaluation) = self.evaluation {
            self.model_index(evaluation, pipeline, text);
        }
        text.push_str("---\n");
    }

    /// Writes the results as the Hub reads them.
    fn model_index(&self, evaluation: &Evaluation, pipeline: &str, text: &mut String) {
        let name = Value::from(format!("bert-{}", evaluation.task));
        let data = Value::from(file_name(&dev_name(self.settings)));
        text.push_str("model-index:\n");
        put(
            text,
            format_args!(
                "- name: {name}\n  results:\n  - task:\n      type: {pipeline}\n    dataset:\n      name: {data}\n      \
                 type: {data}\n    metrics:\n"
            ),
        );
        for (name, value) in
            evaluation.metrics.iter().filter(|(name, value)| is_main(evaluation, name) && value.is_finite())
        {
            put(text, format_args!("    - type: {}\n", Value::from(name.as_str())));
            match evaluation.cross_fitted(name) {
                // Whoever compares models compares honest figures.
                Some(honest) => {
                    put(text, format_args!("      name: \"{name}, cross-fitted\"\n      value: {honest:.6}\n"))
                }
                None => put(text, format_args!("      value: {value:.6}\n")),
            }
        }
    }

    fn data(&self, text: &mut String) {
        let FinetuneSettings { train, dev, .. } = self.settings;
        let hash = self.stored.run.as_ref().map_or("", |run| run.data.as_str());
        text.push_str("\n## Data\n\n");
        put(text, format_args!("- Trained on {}\n", code(&train.display().to_string())));
        if let Some(Evaluation { examples, .. }) = self.evaluation {
            let from = match dev {
                Some(dev) => format!("of {}", code(&dev.display().to_string())),
                None => "that were held out of them".to_string(),
            };
            put(text, format_args!("- Measured on {examples} examples {from}\n"));
        }
        put(text, format_args!("- SHA-256 of the data, as the model reads it: {}\n", code(hash)));
        self.notes.iter().for_each(|note| put(text, format_args!("- {}\n", plain(note))));
    }

    fn results(&self, evaluation: &Evaluation, text: &mut String) {
        let Evaluation { metrics, details, .. } = evaluation;
        text.push_str("\n## Results\n\nOn the development set, with the weights that were the best there by ");
        put(text, format_args!("{}; on other data expect a little less.\n", code(self.metric)));
        if let Some(tuning) = &details.tuning {
            put(
                text,
                format_args!(
                    "\nThe same examples chose the thresholds of the labels, so that {} would be the best: figures \
                     marked as tuned are too good. Cross-fitted ones are honest: each of {} parts of the examples got \
                     thresholds that were tuned on the others.\n",
                    code(&tuning.metric),
                    tuning.folds
                ),
            );
        }
        if let Some(verdict) = &self.stored.verdict {
            put(text, format_args!("\nVerdict: {}.\n", plain(&verdict.text())));
        }
        text.push_str("\n| metric | value | 95 % interval |\n|---|---|---|\n");
        for (name, value) in metrics.iter().filter(|(name, _)| is_main(evaluation, name)) {
            let interval = details.intervals.iter().find(|(own, _)| own == name);
            let interval = interval.map(|(_, own)| format!("{:.4} to {:.4}", own.low, own.high)).unwrap_or_default();
            let label = details.positive_label.as_ref().filter(|_| name == "f1");
            let of_label = label.map(|label| format!(" of {}", code(label))).unwrap_or_default();
            let honest = evaluation.cross_fitted(name);
            let tuned = honest.map_or("", |_| ", tuned");
            put(text, format_args!("| {}{of_label}{tuned} | {value:.4} | {interval} |\n", code(name)));
            if let Some(honest) = honest {
                put(text, format_args!("| {}, cross-fitted | {honest:.4} | |\n", code(name)));
            }
        }
        if let Some(calibration) = &details.calibration {
            put(text, format_args!("| expected calibration error | {:.4} | |\n", calibration.error));
        }
        if !details.classes.is_empty() {
            text.push_str("\n| label | precision | recall | F1 | examples |\n|---|---|---|---|---|\n");
            for (label, own) in &details.classes {
                let (precision, recall, f1, support) = (own.precision, own.recall, own.f1, own.support);
                put(text, format_args!("| {} | {precision:.4} | {recall:.4} | {f1:.4} | {support} |\n", code(label)));
            }
        }
    }

    fn training(&self, text: &mut String) {
        let FinetuneSettings { start, epochs, max_seq_length, long, class_weights, rates, update, .. } = self.settings;
        text.push_str("\n## Training\n\n| setting | value |\n|---|---|\n");
        let mut row = |name: &str, value: String| put(text, format_args!("| {name} | {value} |\n"));
        row(
            "started from",
            match start {
                Start::Preset(name) => format!("random weights of the size {}", code(name)),
                Start::Config(path) => format!("random weights of the sizes in {}", code(&path.display().to_string())),
                Start::Model(dir) => code(&dir.display().to_string()),
            },
        );
        row("epochs", epochs.to_string());
        row("batch size", update.batch_size.to_string());
        row("optimizer", code(&word(&update.optimizer.kind)));
        row("highest learning rate", format!("{:e}", update.learning_rate));
        row("learning rate", format!("rises over {} of the steps, then {}", update.warmup, word(&update.decay)));
        if rates.layer_decay != 1.0 {
            row("learning rate for each layer down", format!("times {}", rates.layer_decay));
        }
        if let Some(rate) = rates.head_learning_rate {
            row("highest learning rate of the head", format!("{rate:e}"));
        }
        if let Some(layers) = rates.frozen_layers {
            row("left as they were", format!("embeddings and {layers} layers"));
        }
        match class_weights {
            ClassWeights::None => {}
            ClassWeights::Balanced => row("class weights", "balanced".to_string()),
            ClassWeights::Given(given) => {
                let given: Vec<String> =
                    given.iter().map(|(label, weight)| format!("{} {weight}", code(label))).collect();
                row("class weights", given.join(", "));
            }
        }
        row("longest input", format!("{max_seq_length} tokens"));
        row("longer inputs", if *long == Long::Window { "read in windows" } else { "cut at the end" }.to_string());
        row("seed", update.seed.to_string());
        row("precision", precision::name(update.precision).to_string());
        if let Some(run) = &self.stored.run {
            row("computed with", plain(&run.machine));
            row("version of Cloze", plain(&run.version));
        }
        let StoredSettings { temperature, thresholds, tuning, questions, .. } = self.stored;
        if let Some(temperature) = temperature {
            row("temperature, fitted on the development set", format!("{temperature:.4}"));
        }
        match (thresholds.as_deref(), tuning) {
            (Some([threshold, ..]), Some(tuning)) if tuning.thresholds == Sharing::One => {
                row("threshold of all labels", format!("{threshold:.4}"));
            }
            (thresholds, _) => {
                for (label, threshold) in self.labels.iter().zip(thresholds.into_iter().flatten()) {
                    row(&format!("threshold of {}", code(label)), format!("{threshold:.4}"));
                }
            }
        }
        if let Some(threshold) = questions.and_then(|questions| questions.answers.null_threshold) {
            row("no answer if its odds are above", format!("{threshold:.4}"));
        }
    }

    fn limits(&self, text: &mut String) {
        let FinetuneSettings { max_seq_length, long, .. } = self.settings;
        text.push_str(
            "\n## Limits\n\n- Language and domain are those of the data above; how the model does on others was not \
             measured.\n- Who may use data and starting model, and for what, is not known to Cloze; look there.\n",
        );
        match long {
            Long::Truncate => {
                put(text, format_args!("- Of inputs longer than {max_seq_length} tokens, the end is not read.\n"));
            }
            Long::Window => put(
                text,
                format_args!(
                    "- Inputs longer than {max_seq_length} tokens are read in windows; no window knows what stands in \
                     another.\n"
                ),
            ),
        }
        let StoredSettings { thresholds, temperature, questions, .. } = self.stored;
        let has_threshold = self.evaluation.is_some()
            && (thresholds.is_some() || questions.is_some_and(|own| own.answers.null_threshold.is_some()));
        for (what, is_there) in [("Thresholds", has_threshold), ("The temperature", temperature.is_some())] {
            if is_there {
                put(
                    text,
                    format_args!("- {what} fitted on the development set make its results look a little better.\n"),
                );
            }
        }
    }

    fn usage(&self, text: &mut String) {
        let (input, class) = match self.settings.task {
            FinetuneTask::Tokens => ("--text \"Ann Smith came from Oslo.\"", "BertForTokenClassification"),
            FinetuneTask::Questions => ("--text \"Who came?\" --text-b \"Ann came late.\"", "BertForQuestionAnswering"),
            _ => ("--text \"The milk was good.\"", "BertForSequenceClassification"),
        };
        let dev = self.settings.dev.as_deref().map_or_else(|| "FILE".to_string(), |dev| shell_word(&file_name(dev)));
        let columns = self.settings.columns.as_ref();
        let columns = columns.map_or_else(String::new, |columns| format!(" --columns {}", shell_word(columns)));
        put(
            text,
            format_args!(
                "\n## Use\n\nWith Cloze, `MODEL` being this folder{}:\n\n```sh\ncloze predict --model MODEL {input}\n\
                 cloze evaluate --model MODEL --input {dev}{columns}\n```\n",
                match self.settings.task {
                    FinetuneTask::Tokens | FinetuneTask::Questions => "",
                    _ => " (the second text of a pair is `--text-b`)",
                }
            ),
        );
        put(
            text,
            format_args!(
                "\nWith transformers:\n\n```python\nfrom transformers import AutoTokenizer, {class}\n\n\
                 tokenizer = AutoTokenizer.from_pretrained(\"MODEL\")\nmodel = {class}.from_pretrained(\"MODEL\")\n```\n\n\
                 transformers does not read `cloze.json`, where length, windows, thresholds and temperature are stored.\n"
            ),
        );
    }
}

/// True for metrics of the whole, not of one class: the loss, and those that have an interval.
fn is_main(evaluation: &Evaluation, name: &str) -> bool {
    name == "loss" || evaluation.details.intervals.iter().any(|(own, _)| own == name)
}

/// Writing to a string cannot fail.
fn put(text: &mut String, parts: std::fmt::Arguments) {
    let _ = text.write_fmt(parts);
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The name under which a setting is stored.
fn word(setting: &impl serde::Serialize) -> String {
    serde_json::to_value(setting).ok().and_then(|value| Some(value.as_str()?.to_string())).unwrap_or_default()
}

/// Text that is no markup, on one line.
fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' => escaped.extend(['\\', char]),
            _ if char.is_control() => escaped.push(' '),
            _ => escaped.push(char),
        }
    }
    escaped
}

/// Text as code, in a table, too. Where it holds what would end the code or the cell, it is plain text.
fn code(text: &str) -> String {
    if text.is_empty() || text.contains(['`', '|']) || text.contains(char::is_control) {
        return plain(text);
    }
    format!("`{text}`")
}

/// A word for a shell.
pub fn shell_word(text: &str) -> String {
    let is_safe = |char: char| char.is_alphanumeric() || "._-/+".contains(char);
    if text.chars().all(is_safe) { text.to_string() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::bootstrap::Interval;
    use crate::eval::confusion::ClassFigures;
    use crate::eval::{Details, Tuning};
    use crate::settings::{RunSettings, StoredRun};

    fn evaluation() -> Evaluation {
        let figures = ClassFigures { precision: 0.5, recall: 0.25, f1: 1.0 / 3.0, support: 8 };
        Evaluation {
            task: "multi-label",
            examples: 408,
            metrics: vec![("loss".into(), 0.5), ("f1".into(), 0.84375), ("odd_f1".into(), 0.125)],
            details: Details {
                intervals: vec![("f1".into(), Interval { low: 0.8, high: 0.875, undefined: 0 })],
                classes: vec![("a|b".into(), figures), ("<script>".into(), figures)],
                ..Details::default()
            },
            answers: None,
        }
    }

    fn text_of(settings: &FinetuneSettings) -> String {
        let run = StoredRun {
            settings: RunSettings::Finetune(settings.clone()),
            data: "00ff".into(),
            machine: "cpu".into(),
            version: "1".into(),
            steps: None,
            eval_steps: None,
            replans: Vec::new(),
            places: Default::default(),
            finished: true,
        };
        let stored = StoredSettings { thresholds: Some(vec![0.25, 0.75]), run: Some(run), ..StoredSettings::default() };
        let (labels, notes) = (["a|b".to_string(), "<script>".to_string()], ["3 of 20 texts are longer".to_string()]);
        let evaluation = evaluation();
        Card { settings, stored: &stored, labels: &labels, evaluation: Some(&evaluation), notes: &notes, metric: "f1" }
            .text()
    }

    fn settings(task: FinetuneTask) -> FinetuneSettings {
        FinetuneSettings::new(task, Start::Model("start".into()), "some/train.tsv", "some/my dev.tsv")
    }

    #[test]
    fn a_card_tells_data_settings_results_and_use() {
        let text = text_of(&settings(FinetuneTask::MultiLabel));
        for part in [
            "---\nlibrary_name: transformers\npipeline_tag: text-classification\n",
            "    - type: \"f1\"\n      value: 0.843750\n---\n",
            "- Trained on `some/train.tsv`\n- Measured on 408 examples of `some/my dev.tsv`\n",
            "`00ff`",
            "- 3 of 20 texts are longer\n",
            "| a\\|b | 0.5000 | 0.2500 | 0.3333 | 8 |\n",
            "| started from | `start` |\n",
            "| highest learning rate | 2e-5 |\n",
            "| threshold of `<script>` | 0.7500 |\n",
            "| `f1` | 0.8438 | 0.8000 to 0.8750 |\n",
            "cloze evaluate --model MODEL --input 'my dev.tsv'\n",
            "BertForSequenceClassification.from_pretrained",
        ] {
            assert!(text.contains(part), "{part}\n--- is not in\n{text}");
        }
        assert!(!text.contains("odd_f1"), "what one label has stands in the table of labels");
    }

    #[test]
    fn tuned_figures_are_told_from_honest_ones() {
        let tuning = |thresholds| Tuning { metric: "f1".into(), thresholds, folds: 5, examples: "00".into() };
        let text = |tuning: Tuning| {
            let mut evaluation = evaluation();
            evaluation.metrics.push(("cross_fitted_f1".into(), 0.75));
            evaluation.details.tuning = Some(tuning.clone());
            let (labels, settings) = (["a".to_string(), "b".to_string()], settings(FinetuneTask::MultiLabel));
            let stored = StoredSettings {
                thresholds: Some(vec![0.25, 0.25]),
                tuning: Some(tuning),
                ..StoredSettings::default()
            };
            let (settings, evaluation) = (&settings, Some(&evaluation));
            Card { settings, stored: &stored, labels: &labels, evaluation, notes: &[], metric: "f1" }.text()
        };
        let one = text(tuning(Sharing::One));
        for part in [
            "    - type: \"f1\"\n      name: \"f1, cross-fitted\"\n      value: 0.750000\n",
            "| `f1`, tuned | 0.8438 | 0.8000 to 0.8750 |\n| `f1`, cross-fitted | 0.7500 | |\n",
            "so that `f1` would be the best",
            "| threshold of all labels | 0.2500 |\n",
        ] {
            assert!(one.contains(part), "{part}\n--- is not in\n{one}");
        }
        assert!(text(tuning(Sharing::ByLabel)).contains("| threshold of `b` | 0.2500 |\n"));
    }

    #[test]
    fn each_task_names_its_class_of_transformers() {
        for (task, class, pipeline) in [
            (FinetuneTask::Classification, "BertForSequenceClassification", "text-classification"),
            (FinetuneTask::Regression, "BertForSequenceClassification", "text-classification"),
            (FinetuneTask::Tokens, "BertForTokenClassification", "token-classification"),
            (FinetuneTask::Questions, "BertForQuestionAnswering", "question-answering"),
        ] {
            let text = text_of(&settings(task));
            assert!(text.contains(&format!("import AutoTokenizer, {class}\n")), "{text}");
            assert!(text.contains(&format!("pipeline_tag: {pipeline}\n")), "{text}");
        }
    }

    #[test]
    fn a_readme_of_another_origin_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CARD);
        let (settings, stored, evaluation) =
            (settings(FinetuneTask::MultiLabel), StoredSettings::default(), evaluation());
        let card = Card {
            settings: &settings,
            stored: &stored,
            labels: &[],
            evaluation: Some(&evaluation),
            notes: &[],
            metric: "f1",
        };
        let mut notes = Vec::new();
        let mut nobody = |_: &Event| ControlFlow::Continue(());
        card.write(dir.path(), &mut noting(&mut notes, &mut nobody)).unwrap();
        assert!(is_ours(&path), "a card of ours");
        card.write(dir.path(), &mut noting(&mut notes, &mut nobody)).unwrap();
        assert!(notes.is_empty(), "a card of ours is replaced: {notes:?}");
        fs::write(&path, "# My project\n").unwrap();
        card.write(dir.path(), &mut noting(&mut notes, &mut nobody)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "# My project\n");
        assert!(notes.len() == 1 && notes[0].contains("README.md"), "{notes:?}");
    }

    #[test]
    fn markup_in_names_is_text() {
        assert_eq!(plain("a_b <i> [x](y)\n"), "a\\_b &lt;i> \\[x\\](y) ");
        assert_eq!(code("a_b"), "`a_b`");
        assert_eq!(code("a`b"), "a\\`b");
    }
}
