//! The new contents of a folder, made beside the old ones.

use std::fs;
use std::path::{Path, PathBuf};

use cloze_tokenizer::Tokenizer;

use super::files::all_files;
use super::{Folder, files_of, sync, temporary};
use crate::Error;
use crate::error::at;
use crate::infer::Model;
use crate::settings::{FILE_NAME, StoredSettings};

/// A folder within a folder, whose files replace those of the outer one when all of them are whole. What is in the outer
/// folder stays usable until then; while files are moved, the folder is marked as unfinished.
#[derive(Debug)]
pub(crate) struct Replacement<'a> {
    folder: &'a mut Folder,
    inner: PathBuf,
    is_installed: bool,
}

impl<'a> Replacement<'a> {
    /// Begins with nothing.
    pub fn new(folder: &'a mut Folder) -> Result<Replacement<'a>, Error> {
        let inner = temporary(&folder.dir.join("new"));
        fs::create_dir(&inner).map_err(at("create", &inner))?;
        Ok(Replacement { folder, inner, is_installed: false })
    }

    /// The folder that the new files are written to.
    pub fn path(&self) -> &Path {
        &self.inner
    }

    /// Opens the new model, if it is one, and stores sizes and checksums of its files in `cloze.json`, with `settings`.
    /// Then puts all files in the place of the old ones. Files named in `obsolete` that are not among the new ones are removed first.
    pub fn install(mut self, settings: StoredSettings, obsolete: &[&str]) -> Result<(), Error> {
        let names = all_files(&self.inner)?;
        settings.write(&self.inner)?;
        if names.iter().any(|name| name == "config.json") {
            Model::check_own(&self.inner)?;
        }
        let files = Some(files_of(&self.inner, names.iter().cloned())?);
        StoredSettings { files, ..settings }.write(&self.inner)?;
        self.folder.begin()?;
        for name in obsolete.iter().filter(|name| !names.iter().any(|new| new == *name)) {
            temporary::remove(&self.folder.dir.join(name))?;
        }
        // Whoever does not know the marker finds no configuration until everything else is there.
        let is_last = |name: &String| name == "config.json";
        if names.iter().any(is_last) {
            temporary::remove(&self.folder.dir.join("config.json"))?;
        }
        let first = names.iter().filter(|name| !is_last(name));
        for name in first.chain(names.iter().filter(|name| is_last(name))).map(String::as_str).chain([FILE_NAME]) {
            let to = self.folder.dir.join(name);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(at("create", parent))?;
            }
            fs::rename(self.inner.join(name), &to).map_err(at("write to", &to))?;
            if let Some(parent) = to.parent().filter(|parent| *parent != self.folder.dir) {
                sync(parent)?;
            }
        }
        temporary::remove(&self.inner)?;
        self.is_installed = true;
        self.folder.finish()
    }
}

impl Folder {
    /// Puts a tokenizer in the place of the one that the folder holds, if it holds one.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn replace_tokenizer(&mut self, tokenizer: &Tokenizer) -> Result<(), Error> {
        let new = Replacement::new(self)?;
        tokenizer.save(new.path())?;
        new.install(StoredSettings::default(), &Tokenizer::FILES)
    }
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        if !self.is_installed {
            // On a full disk, what was begun is in the way of everything else.
            let _ = fs::remove_dir_all(&self.inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::{Depth, changes, read};

    #[test]
    fn files_are_replaced_together_and_what_is_obsolete_goes() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("model");
        let mut folder = Folder::take(&dir, "quantize").unwrap();
        let write = |replacement: &Replacement, name: &str| {
            fs::create_dir_all(replacement.path().join(name).parent().unwrap()).unwrap();
            fs::write(replacement.path().join(name), name).unwrap();
        };
        let first = Replacement::new(&mut folder).unwrap();
        for name in ["vocab.txt", "modules.json", "1_Pooling/config.json"] {
            write(&first, name);
        }
        first.install(StoredSettings::default(), &["old"]).unwrap();
        fs::write(dir.join("notes.txt"), "mine").unwrap();

        let second = Replacement::new(&mut folder).unwrap();
        write(&second, "vocab.txt");
        drop(second);
        assert!(dir.join("modules.json").exists(), "what is not installed changes nothing");

        let third = Replacement::new(&mut folder).unwrap();
        write(&third, "tokenizer.json");
        write(&third, "vocab.txt");
        third.install(StoredSettings::default(), &["modules.json", "vocab.txt"]).unwrap();

        // A model that cannot be opened takes nobody's place.
        let fourth = Replacement::new(&mut folder).unwrap();
        write(&fourth, "config.json");
        fourth.install(StoredSettings::default(), &["vocab.txt"]).unwrap_err();
        drop(folder);
        read(&dir).unwrap();
        let files = StoredSettings::read(&dir).unwrap().files.unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["tokenizer.json", "vocab.txt"]);
        assert_eq!(changes(&dir, &files, Depth::All).unwrap(), Vec::<String>::new());
        let names = all_files(&dir).unwrap();
        assert_eq!(names, ["1_Pooling/config.json", "cloze.json", "notes.txt", "tokenizer.json", "vocab.txt"]);
    }
}
