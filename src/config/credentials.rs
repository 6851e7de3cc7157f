//! Settings that systemd hands over as credentials (systemd.exec(5), `LoadCredential=`): files in
//! `$CREDENTIALS_DIRECTORY`, each called like its setting. Unlike the environment, no child of the
//! box inherits them.

use std::path::Path;

use super::{ConfigError, SETTINGS, read_bounded};
use crate::limits::ENV_FILE_BYTES_MAX;

/// Name and value of each that is there.
pub(super) fn read(folder: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let mut found = Vec::new();
    for setting in SETTINGS {
        for name in setting.names() {
            let refused = |why: String| ConfigError::Credential { name, why };
            let bytes =
                read_bounded(&folder.join(name)).map_err(|error| refused(error.to_string()))?;
            let Some(bytes) = bytes else { continue };
            if bytes.len() > ENV_FILE_BYTES_MAX {
                return Err(refused("it is too long".into()));
            }
            let text = String::from_utf8(bytes).map_err(|_| refused("it is no text".into()))?;
            // Whoever writes a file with an editor or echo ends it with a line's end.
            found.push((
                name.to_owned(),
                text.trim_end_matches(['\r', '\n']).to_owned(),
            ));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_setting_of_its_name_and_others_are_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("CLAUDE_API_KEY"), b"sk-1\n").unwrap();
        std::fs::write(folder.path().join("SERVER_PORT"), b"81").unwrap();
        std::fs::write(folder.path().join("something.else"), b"x").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = vec![pair("SERVER_PORT", "81"), pair("CLAUDE_API_KEY", "sk-1")];
        assert_eq!(read(folder.path()).unwrap(), expected);
        assert_eq!(read(&folder.path().join("not there")).unwrap(), Vec::new());
    }

    #[test]
    fn what_cannot_be_one_is_refused_by_name_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let long = vec![b's'; ENV_FILE_BYTES_MAX + 1];
        for bytes in [b"sk-\xff".to_vec(), long] {
            std::fs::write(folder.path().join("OPENAI_API_KEY"), bytes).unwrap();
            let text = read(folder.path()).unwrap_err().to_string();
            assert!(
                text.contains("OPENAI_API_KEY") && !text.contains("sk"),
                "{text}"
            );
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }
}
