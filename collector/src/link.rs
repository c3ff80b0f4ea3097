//! The way from a finding to its message in the company's own archive: setting `link`, a template.
//!
//! `{"template": "https://archive.example/msg/{corp}/{msgid}"}`. Both parts come from devices, so they are encoded whole: neither can
//! lead to another place than the template names.

use std::fmt::Write as _;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::derive::DeriveError;
use crate::settings;

/// The name of the setting.
pub const SETTING: &str = "link";
const TEMPLATE_BYTES_MAX: usize = 1_024;
const PARTS: [&str; 2] = ["{corp}", "{msgid}"];

/// Where messages are looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// An address over https or http with `{msgid}` and perhaps `{corp}` behind its host.
    pub template: String,
}

impl Link {
    /// The link as it is set; `None` where it is not.
    ///
    /// # Errors
    /// The database.
    pub fn read(derived: &Connection) -> Result<Option<Self>, DeriveError> {
        Ok(settings::read::<Self>(derived, SETTING)?.filter(|link| link.fits()))
    }

    /// The address of a message; `None` for one without an id.
    #[must_use]
    pub fn to(&self, corp: &str, msgid: &str) -> Option<String> {
        if msgid.is_empty() {
            return None;
        }
        Some(self.template.replace("{corp}", &encoded(corp)).replace("{msgid}", &encoded(msgid)))
    }

    /// Over http or https, to a host that the template names by itself.
    fn fits(&self) -> bool {
        let behind = ["https://", "http://"].into_iter().find_map(|scheme| self.template.strip_prefix(scheme));
        let Some((host, path)) = behind.and_then(|rest| rest.split_once('/')) else { return false };
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        let plain = PARTS.iter().fold(path.to_owned(), |path, part| path.replace(part, ""));
        // No spaces, quotes, angle or other brackets: nothing that ends an attribute or a line.
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '<' | '>' | '`' | '\\' | '{' | '}');
        self.template.len() <= TEMPLATE_BYTES_MAX
            && !host.is_empty()
            && host.chars().all(is_host)
            && plain.chars().all(is_plain)
            && path.contains("{msgid}")
    }
}

/// Whether the setting may be this.
///
/// # Errors
/// A sentence: what it is to be.
pub fn check(value: &str) -> Result<(), String> {
    let link: Option<Link> = serde_json::from_str(value).ok();
    match link.is_some_and(|link| link.fits()) {
        true => Ok(()),
        false => Err("a link is {\"template\": \"https://archive.example/msg/{corp}/{msgid}\"}, over https or http, \
                 with {msgid} behind the host"
            .into()),
    }
}

/// Everything but letters, digits and `-._~` as percent and two digits.
fn encoded(part: &str) -> String {
    part.bytes().fold(String::with_capacity(part.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(char::from(byte)),
            // Two dots alone would be a step up.
            b'.' if part.bytes().any(|other| other != b'.') => out.push('.'),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_leads_to_where_the_template_says_and_nowhere_else() {
        let link = Link { template: "https://archive.example:8443/msg/{corp}/{msgid}?v=1".into() };
        assert_eq!(link.to("ww1", "m_1.a~b").unwrap(), "https://archive.example:8443/msg/ww1/m_1.a~b?v=1");
        assert_eq!(
            link.to("..", "../../x?y=#1").unwrap(),
            "https://archive.example:8443/msg/%2E%2E/..%2F..%2Fx%3Fy%3D%231?v=1"
        );
        assert_eq!(link.to("{msgid}", "保").unwrap(), "https://archive.example:8443/msg/%7Bmsgid%7D/%E4%BF%9D?v=1");
        assert_eq!(link.to("ww1", ""), None);
    }

    #[test]
    fn only_addresses_on_the_web_are_links() {
        let sound = |template: &str| check(&serde_json::json!({ "template": template }).to_string()).is_ok();
        assert!(sound("http://archive/m?id={msgid}") && sound("https://a.example/{corp}#{msgid}"));
        for wrong in [
            "javascript:alert({msgid})//",
            "https://{corp}.example/{msgid}",
            "https:///{msgid}",
            "https://a.example/",
            "https://user@a.example/{msgid}",
            "https://a.example/{msgid}\"onclick=x",
            "https://a.example/{other}/{msgid}",
            "ftp://a.example/{msgid}",
            "//a.example/{msgid}",
        ] {
            assert!(!sound(wrong), "{wrong}");
        }
        assert!(check("{}").is_err() && check("https://a.example/{msgid}").is_err());
    }
}
