//! Paths in stored settings: how they are written, and when two of them mean the same file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::{Serialize, Serializer};

use super::difference::Difference;
use super::{RunSettings, Start, StoredRun};

/// Writes a path; what is not UTF-8 in it is replaced, since JSON has no place for it.
pub(super) fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// The same of a path that may be absent.
pub(super) fn lossy_option<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(serializer)
}

/// The same of a list.
pub(super) fn lossy_list<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

/// All paths of a run, under names; those that name data come with true.
fn paths(settings: &mut RunSettings) -> Vec<(String, bool, &mut PathBuf)> {
    fn of_start(start: &mut Start) -> Option<&mut PathBuf> {
        match start {
            Start::Preset(_) => None,
            Start::Config(path) | Start::Model(path) => Some(path),
        }
    }
    let mut named = Vec::new();
    let mut list = |name: &str, paths| {
        let paths: &mut Vec<PathBuf> = paths;
        for (number, path) in paths.iter_mut().enumerate() {
            named.push((format!("{name}.{number}"), true, path));
        }
    };
    match settings {
        RunSettings::Pretrain(settings) => {
            list("input", &mut settings.input);
            list("instances", &mut settings.instances);
            list("dev", &mut settings.dev);
            named.extend(settings.tokenizer.as_mut().map(|path| ("tokenizer".to_string(), false, path)));
            named.extend(of_start(&mut settings.start).map(|path| ("start".to_string(), false, path)));
        }
        RunSettings::Finetune(settings) => {
            named.push(("train".to_string(), true, &mut settings.train));
            named.extend(settings.dev.as_mut().map(|path| ("dev".to_string(), true, path)));
            named.extend(settings.tokenizer.as_mut().map(|path| ("tokenizer".to_string(), false, path)));
            named.extend(of_start(&mut settings.start).map(|path| ("start".to_string(), false, path)));
        }
    }
    named
}

/// Where the files of a run are, seen from its folder: found again from any working directory, and when all is moved
/// together.
pub(crate) fn places(settings: &RunSettings, output: &Path) -> BTreeMap<String, String> {
    let base = resolved(output);
    let mut settings = settings.clone();
    let place = |path: &Path| relative(&resolved(path), &base).to_string_lossy().into_owned();
    paths(&mut settings).into_iter().map(|(name, _, path)| (name, place(path))).collect()
}

/// Takes paths that are spelt otherwise but mean the same file for equal. Data of other names is taken for equal, too, as
/// its contents are compared later; it is returned. Lists of other lengths differ, and stay as they are.
pub(crate) fn adopt_paths(run: &mut StoredRun, now: &RunSettings, output: &Path) -> Option<Difference> {
    let mut now = now.clone();
    let mut now: BTreeMap<String, PathBuf> =
        paths(&mut now).into_iter().map(|(name, _, path)| (name, std::mem::take(path))).collect();
    let base = resolved(output);
    let mut moved = None;
    let (then, list) = (paths(&mut run.settings), |name: &str| name.split('.').next().unwrap_or_default().to_string());
    let lengths = |names: &mut dyn Iterator<Item = &String>| {
        let mut lengths = BTreeMap::new();
        names.for_each(|name| *lengths.entry(list(name)).or_insert(0) += 1);
        lengths
    };
    let lengths = [lengths(&mut then.iter().map(|(name, _, _)| name)), lengths(&mut now.keys())];
    for (name, is_data, then) in then {
        if lengths[0].get(&list(&name)) != lengths[1].get(&list(&name)) {
            continue;
        }
        let Some(now) = now.remove(&name) else { continue };
        let place = run.places.get(&name).map(|place| lexical(&base.join(place)));
        let is_same = match place.filter(|place| place.exists()) {
            Some(place) => resolved(&place) == resolved(&now),
            // A name that is not UTF-8 is stored with replacement characters.
            None => then.to_string_lossy() == now.to_string_lossy() || resolved(then) == resolved(&now),
        };
        if is_same {
            *then = now;
        } else if is_data {
            let name = list(&name);
            moved.get_or_insert(Difference { name, then: then.display().to_string(), now: now.display().to_string() });
            *then = now;
        }
    }
    moved
}

/// The one name of a file; of one that is not there, or of a pattern, without `.` and `..`.
fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| lexical(&std::path::absolute(path).unwrap_or(path.to_path_buf())))
}

fn lexical(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            other => result.push(other),
        }
    }
    result
}

/// The way from one folder to a path, both absolute.
fn relative(to: &Path, from: &Path) -> PathBuf {
    let common = to.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    if common == 0 {
        return to.to_path_buf();
    }
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{FinetuneSettings, FinetuneTask, PretrainSettings, difference};

    fn settings(model: &Path, train: &Path, dev: &Path) -> RunSettings {
        let start = Start::Model(model.to_path_buf());
        RunSettings::Finetune(FinetuneSettings::new(FinetuneTask::Classification, start, train, dev))
    }

    fn run(settings: &RunSettings, output: &Path) -> StoredRun {
        StoredRun {
            settings: settings.clone(),
            data: "00".into(),
            machine: "cpu".into(),
            version: "0".into(),
            steps: None,
            eval_steps: None,
            replans: Vec::new(),
            places: places(settings, output),
            finished: false,
        }
    }

    #[test]
    fn a_path_spelt_otherwise_is_the_same_setting() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        fs::create_dir_all(path("out")).unwrap();
        for name in ["model", "train.tsv", "dev.tsv", "other.tsv"] {
            fs::write(path(name), name).unwrap();
        }
        let given = settings(&path("model"), &path("train.tsv"), &path("dev.tsv"));
        let mut stored = run(&given, &path("out"));
        assert_eq!(stored.places["train"], "../train.tsv");
        let spelt = settings(&path("out/../model"), &path("./train.tsv"), &path("out/../dev.tsv"));
        assert_eq!(adopt_paths(&mut stored, &spelt, &path("out")), None);
        assert_eq!(difference(&stored.settings, &spelt), None);

        // Other data is told, and its contents decide; another model is another setting.
        let mut stored = run(&given, &path("out"));
        let other = settings(&path("model"), &path("other.tsv"), &path("dev.tsv"));
        let moved = adopt_paths(&mut stored, &other, &path("out")).unwrap();
        assert_eq!(moved.name, "train");
        assert!(moved.then.ends_with("train.tsv") && moved.now.ends_with("other.tsv"));
        let other = settings(&path("other.tsv"), &path("train.tsv"), &path("dev.tsv"));
        let mut stored = run(&given, &path("out"));
        assert_eq!(adopt_paths(&mut stored, &other, &path("out")), None);
        assert!(difference(&stored.settings, &other).is_some());
    }

    #[test]
    fn inputs_of_another_number_are_told_as_they_were() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        fs::create_dir_all(path("out")).unwrap();
        ["one.txt", "two.txt", "store"].iter().for_each(|name| fs::write(path(name), name).unwrap());
        let given = |names: &[&str]| {
            let input = names.iter().map(|name| path(name)).collect();
            RunSettings::Pretrain(PretrainSettings::new(input, "", Start::Model("model".into()), 1))
        };
        let mut stored = run(&given(&["store", "one.txt"]), &path("out"));
        let now = given(&["two.txt", "store", "one.txt"]);
        assert_eq!(adopt_paths(&mut stored, &now, &path("out")), None);
        let told = difference(&stored.settings, &now).unwrap();
        assert_eq!(told, difference(&given(&["store", "one.txt"]), &now).unwrap());
        assert!(told.name == "input" && !told.then.contains("two.txt"), "{}", told.then);
    }

    #[test]
    fn what_is_moved_together_stays_the_same() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        fs::create_dir_all(path("here/out")).unwrap();
        for name in ["here/model", "here/train.tsv", "here/dev.tsv"] {
            fs::write(path(name), name).unwrap();
        }
        let mut stored =
            run(&settings(&path("here/model"), &path("here/train.tsv"), &path("here/dev.tsv")), &path("here/out"));
        fs::rename(path("here"), path("there")).unwrap();
        let now = settings(&path("there/model"), &path("there/train.tsv"), &path("there/dev.tsv"));
        assert_eq!(adopt_paths(&mut stored, &now, &path("there/out")), None);
        assert_eq!(difference(&stored.settings, &now), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_utf_8_is_stored() {
        use std::os::unix::ffi::OsStrExt as _;
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"tr\xe4in.tsv"));
        let given = settings(odd, odd, Path::new("dev.tsv"));
        let text = serde_json::to_string(&given).unwrap();
        let read: RunSettings = serde_json::from_str(&text).unwrap();
        assert_eq!(difference(&read, &given), None);
    }
}
