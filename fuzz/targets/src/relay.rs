//! The relay's own files.

use std::path::Path;

use sealpost_relay::Users;
use sealpost_relay::config::Config;

use crate::choice::text;
use crate::lines::check_shown;

/// Settings and users: read, or refused with a place, without a word of what is secret in them.
pub fn settings(input: &[u8]) {
    let text = text(input);
    match Config::parse("sealpost.toml", &text, Path::new("/etc/sealpost")) {
        Ok(config) => {
            assert!(config.data_dir.is_absolute() || !text.contains("data_dir") || config.data_dir.starts_with("/etc/sealpost"));
            let again = Config::parse("sealpost.toml", &text, Path::new("/etc/sealpost")).expect("the same text");
            assert_eq!(format!("{again:?}"), format!("{config:?}"));
        }
        Err(error) => {
            check_shown(&error.to_string());
            assert!(error.to_string().contains("sealpost.toml"), "{error}");
        }
    }
    if let Err(error) = Users::parse("users", &text) {
        check_shown(&error.to_string());
        // A hash in a line that is wrong is not repeated.
        for hash in text.split(['\n', ':']).filter(|part| part.starts_with("$argon2") && part.len() > 24) {
            assert!(!error.to_string().contains(hash), "{error}");
        }
    }
}
