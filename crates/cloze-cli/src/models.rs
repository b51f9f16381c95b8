//! Model directories on the command line.

use std::path::Path;

use anyhow::bail;

/// Refuses a model directory that is not there, with how to get one: names of models on Hugging Face's Hub are a common
/// guess.
pub fn need(dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        return Ok(());
    }
    let name = dir.display().to_string();
    let how = match on_the_hub(&name) {
        Some((repository, folder)) => {
            format!(
                "; if you mean the model of this name on Hugging Face's Hub, get it first, as cloze opens no connections: \
                 hf download {repository} --local-dir {folder}, then give --model {folder}"
            )
        }
        None => String::new(),
    };
    bail!("there is no folder {name}: a model is a folder with config.json, model.safetensors and vocab.txt{how}")
}

/// Repository and a folder for what may be the name of a model on the Hub.
fn on_the_hub(name: &str) -> Option<(String, String)> {
    let is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|char| char.is_alphanumeric() || "-_.".contains(char))
    };
    match name.split_once('/') {
        Some((owner, model)) if is_name(owner) && is_name(model) => Some((name.to_string(), model.to_string())),
        None if is_name(name) => {
            let owner = if name.starts_with("bert-") { "google-bert" } else { "OWNER" };
            Some((format!("{owner}/{name}"), name.to_string()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_hub_is_told_how_to_get() {
        let message = |name: &str| need(Path::new(name)).unwrap_err().to_string();
        let bert = message("bert-base-uncased");
        assert!(bert.contains("hf download google-bert/bert-base-uncased --local-dir bert-base-uncased,"), "{bert}");
        let mini = message("sentence-transformers/all-MiniLM-L6-v2");
        assert!(
            mini.contains("hf download sentence-transformers/all-MiniLM-L6-v2 --local-dir all-MiniLM-L6-v2,"),
            "{mini}"
        );
        for path in ["/nowhere/model", "./model", "../a/b", "a/b/c", "my model"] {
            assert!(!message(path).contains("hf download"), "{path}");
        }
        assert!(need(Path::new(".")).is_ok());
    }
}
