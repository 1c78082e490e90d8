//! The switch as the configuration file keeps it: which text follows from which. Whoever may write the file does the rest
//! (see [`crate::system::keeper`]).

use crate::uci;

/// The text of `/etc/config/lanward` with `lan_only.enabled` set so, and nothing else changed; a section that is missing comes at its end. A file that is
/// empty, or was deleted (which is the same to this), is not made anew.
/// `None`: it says so already, and flash is not written for nothing.
///
/// # Errors
/// Why it cannot be set there, to be read behind the file's name.
pub fn saved(text: &[u8], on: bool) -> Result<Option<Vec<u8>>, String> {
    let value = if on { "1" } else { "0" };
    if says(text, value) {
        return Ok(None);
    }
    if uci::says_nothing(text) {
        return Err(
            "it is not there, or has no section: one that says only this would let go of what else it said".into(),
        );
    }
    match uci::set_option(text, "lan_only", "enabled", value) {
        Ok(text) => Ok(Some(text)),
        // A second section would make the file one that is refused from now on.
        Err(uci::EditError::NoSection) if has_lan_only(text) => {
            Err("its section lan_only has no name: config lan_only 'lan_only'".into())
        }
        Err(uci::EditError::NoSection) => {
            let section = format!("\nconfig lan_only 'lan_only'\n\toption enabled '{value}'\n");
            Ok(Some([text, section.as_bytes()].concat()))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Whether `lan_only.enabled` has this value in a configuration file.
fn says(text: &[u8], value: &str) -> bool {
    uci::parse(text).is_ok_and(|package| {
        let mut named = package
            .of_kind("lan_only")
            .filter(|section| section.name.as_deref() == Some("lan_only"));
        named
            .next()
            .is_some_and(|section| section.option("enabled") == Some(value))
            && named.next().is_none()
    })
}

fn has_lan_only(text: &[u8]) -> bool {
    uci::parse(text).is_ok_and(|package| package.of_kind("lan_only").next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str, on: bool) -> Result<Option<String>, String> {
        let text = saved(text.as_bytes(), on)?;
        Ok(text.map(|text| String::from_utf8(text).unwrap()))
    }

    #[test]
    fn the_option_changes_and_nothing_else() {
        let text =
            "# mine\nconfig lan_only 'lan_only'\n\toption level \"strict\" # so\n\toption enabled '0'\n\nconfig gate 'ssh'\n";
        let on = after(text, true).unwrap().unwrap();
        assert_eq!(on, text.replace("'0'", "'1'"));
        assert_eq!(after(&on, true), Ok(None), "it says so");
        assert_eq!(after(&on, false).unwrap().unwrap(), text);
    }

    #[test]
    fn a_file_that_says_nothing_is_not_made_anew() {
        for text in ["", "\n", "# all gone\n"] {
            assert!(after(text, true).unwrap_err().contains("no section"), "{text:?}");
        }
    }

    #[test]
    fn a_missing_section_is_added_at_the_end() {
        for text in ["config gate 'ssh'\n", "config gate 'ssh'"] {
            let on = after(text, true).unwrap().unwrap();
            assert!(on.starts_with(text), "{on}");
            assert_eq!(after(&on, true), Ok(None), "{on}");
            assert!(crate::config::read_text(Some(on.as_bytes())).0.lan_only.enabled, "{on}");
        }
    }

    #[test]
    fn what_cannot_be_set_is_told_and_not_guessed() {
        assert!(after("config lan_only\n\toption enabled '0'\n", true)
            .unwrap_err()
            .contains("no name"));
        assert!(after("config lan_only 'lan_only", true)
            .unwrap_err()
            .contains("never closed"));
        // Said twice: what counts is set, and then it is said once more than needed, not wrongly.
        let twice =
            "config lan_only 'lan_only'\n\toption enabled '1'\nconfig lan_only 'lan_only'\n\toption enabled '0'\n";
        assert_ne!(after(twice, true), Ok(None));
    }
}
