//! Who looks, in which language and theme, and the pages that change these two.

use axum::http::{HeaderMap, Method, Uri, header};
use maud::Markup;
use serde::Deserialize;

use super::frame::{self, Room};
use super::tongue::Tongue;
use crate::operators::Act;
use crate::web::ask::Ask;
use crate::web::auth;
use crate::web::problem::Problem;
use crate::web::route::{Body, Route, form};

const TONGUE_COOKIE: &str = "watchpost-tongue";
const THEME_COOKIE: &str = "watchpost-theme";
/// How long a browser keeps them, seconds.
const KEPT_S: i64 = 400 * 24 * 3600;

/// Light, dark, or as the system has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::web) enum Theme {
    #[default]
    Auto,
    Light,
    Dark,
}

impl Theme {
    pub(in crate::web) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// Somebody with a browser.
#[derive(Clone, Debug)]
pub(in crate::web) struct Visitor {
    pub(in crate::web) tongue: Tongue,
    pub(in crate::web) theme: Theme,
    /// Where they are, with the query.
    pub(in crate::web) path: String,
    /// They look at something, and send nothing.
    pub(in crate::web) is_looking: bool,
}

impl Visitor {
    pub(in crate::web) fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let theme = match auth::cookie(headers, THEME_COOKIE) {
            Some("light") => Theme::Light,
            Some("dark") => Theme::Dark,
            _ => Theme::Auto,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Self { tongue: spoken(headers), theme, path, is_looking: method.is_safe() }
    }
}

/// What they chose, else what their browser asks for; Chinese where it says nothing.
fn spoken(headers: &HeaderMap) -> Tongue {
    let asked = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match auth::cookie(headers, TONGUE_COOKIE) {
        Some("en") => Tongue::En,
        Some("zh") => Tongue::Zh,
        _ if asked.is_empty() || asked.starts_with("zh") || asked.contains(",zh") => Tongue::Zh,
        _ => Tongue::En,
    }
}

/// A request for a page, with whoever it is for.
pub(in crate::web) struct View<'a> {
    pub(in crate::web) ask: &'a Ask<'a>,
    pub(in crate::web) visitor: Visitor,
}

impl<'a> View<'a> {
    pub(in crate::web) fn of(ask: &'a Ask<'a>) -> Self {
        let parts = &ask.heard.parts;
        Self { ask, visitor: Visitor::of(&parts.method, &parts.uri, &parts.headers) }
    }

    pub(in crate::web) fn tongue(&self) -> Tongue {
        self.visitor.tongue
    }

    /// The one of the two that is spoken.
    pub(in crate::web) fn say<T>(&self, zh: T, en: T) -> T {
        self.visitor.tongue.of(zh, en)
    }

    pub(in crate::web) fn may(&self, act: Act) -> bool {
        self.ask.may(act, None)
    }

    /// A whole page: what is around it, and this in the middle.
    pub(in crate::web) fn page(&self, here: Option<Room>, title: &str, middle: Markup) -> Body {
        frame::page(self, here, title, middle)
    }
}

/// How a page is to speak and look from now on.
#[derive(Deserialize)]
struct Look {
    tongue: Option<String>,
    theme: Option<Theme>,
    /// Where to go on.
    #[serde(default)]
    back: String,
}

pub(super) fn routes() -> Vec<Route> {
    vec![form("/look", None, ("Language and theme", "语言与外观"), look)]
}

fn look(ask: &Ask<'_>, wanted: Look) -> Result<Body, Problem> {
    if let Some(tongue) = wanted.tongue.filter(|tongue| ["zh", "en"].contains(&tongue.as_str())) {
        ask.set_cookie(ask.site.cookie_of(TONGUE_COOKIE, &tongue, Some(KEPT_S)));
    }
    if let Some(theme) = wanted.theme {
        ask.set_cookie(ask.site.cookie_of(THEME_COOKIE, theme.as_str(), Some(KEPT_S)));
    }
    Ok(Body::see(own_path(&wanted.back)))
}

/// An address of this console; the first page for any other.
pub(in crate::web) fn own_path(path: &str) -> &str {
    let is_own = path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n', '\t']);
    if is_own { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_another_site() {
        for own in ["/", "/alerts?state=open", "/a/b"] {
            assert_eq!(own_path(own), own);
        }
        for foreign in ["", "//evil", "https://evil", "/\\evil", "javascript:1", "/\t/evil"] {
            assert_eq!(own_path(foreign), "/", "{foreign}");
        }
    }

    #[test]
    fn the_browser_says_which_language() {
        let said = |cookie: &str, asked: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            headers.insert(header::ACCEPT_LANGUAGE, asked.parse().unwrap());
            spoken(&headers)
        };
        assert_eq!(said("a=b", ""), Tongue::Zh);
        assert_eq!(said("a=b", "en-US,en;q=0.9"), Tongue::En);
        assert_eq!(said("a=b", "en-US,en;q=0.9,zh;q=0.8"), Tongue::Zh);
        assert_eq!(said("watchpost-tongue=en", "zh-CN"), Tongue::En);
        assert_eq!(said("watchpost-tongue=fr", "de"), Tongue::En);
    }
}
