//! How this program is called, for commands that are printed to be pasted.

use std::path::Path;

use cloze::train::shell_word;

/// `cloze` if the shell finds this very program by that name, else its path, as a word for a shell.
pub fn program() -> String {
    let name = "cloze".to_string();
    let Ok(own) = std::env::current_exe().and_then(|path| path.canonicalize()) else { return name };
    let here = std::env::current_dir().and_then(|path| path.canonicalize()).unwrap_or_default();
    let on_path = std::env::var_os("PATH").is_some_and(|path| {
        let first = std::env::split_paths(&path).map(|dir| dir.join(&name)).find(|path| path.is_file());
        first.and_then(|path| path.canonicalize().ok()).is_some_and(|path| path == own)
    });
    if on_path { name } else { shell_word(&short(&own, &here)) }
}

/// The path from here, where the program lies below.
fn short(own: &Path, here: &Path) -> String {
    match own.strip_prefix(here) {
        // A name without a slash would be looked for elsewhere.
        Ok(below) if below.components().count() == 1 => format!("./{}", below.display()),
        Ok(below) => below.display().to_string(),
        Err(_) => own.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_below_this_folder_has_a_short_path() {
        let short = |own: &str| short(Path::new(own), Path::new("/home/ann"));
        assert_eq!(short("/home/ann/target/release/cloze"), "target/release/cloze");
        assert_eq!(short("/home/ann/cloze"), "./cloze");
        assert_eq!(short("/opt/cloze"), "/opt/cloze");
    }
}
