use super::Start;
use crate::Config;

impl Start {
    /// Longest sequence in tokens that a training from here can use; none if the configuration cannot be read, which the
    /// training itself will tell.
    pub fn max_seq_length(&self) -> Option<usize> {
        let config = match self {
            Start::Preset(name) => Config::preset(name),
            Start::Config(path) => Config::read(path).ok(),
            Start::Model(dir) => Config::read(&dir.join("config.json")).ok(),
        };
        config.map(|config| config.max_position_embeddings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_sequence_is_that_of_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let config = Config { max_position_embeddings: 64, ..Config::tiny() };
        config.write(&path).unwrap();
        assert_eq!(Start::Model(dir.path().into()).max_seq_length(), Some(64));
        assert_eq!(Start::Config(path).max_seq_length(), Some(64));
        assert_eq!(Start::Preset("tiny".to_string()).max_seq_length(), Some(512));
        assert_eq!(Start::Model("nowhere".into()).max_seq_length(), None);
    }
}
