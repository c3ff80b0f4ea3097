//! Validators: numbers and addresses that prove themselves by a checksum, a date or their shape, however they are written.
//!
//! Text is read character by character through width, circled and other digit forms; Chinese numerals (一三八…) count as digits because
//! every number here has eleven or more of them in a row. Zero-width characters are passed over. Nothing crosses a line break.
//!
//! | name | what it is |
//! |---|---|
//! | `resident_id` | 居民身份证号: 17 digits and a check character (ISO 7064 mod 11-2), a province, a day that exists |
//! | `bank_card` | 12 to 19 digits with Luhn's check digit that begin like a card, not all the same |
//! | `mobile` | 1, 3–9 and nine digits; `+86` and `0086` may stand before |
//! | `email` | an address with a domain |
//! | `uscc` | 统一社会信用代码: 18 characters, check character mod 31 |
//! | `wechat_id` | a letter and 5 to 19 letters, digits, `_` or `-`, with a word for WeChat shortly before |
//! | `url` | with a scheme, with `www.`, or a bare host under a usual top-level domain |

use std::fmt;

use crate::normalise::is_zero_width;

mod addresses;
mod digits;
mod glyphs;
mod wechat;

pub use addresses::host_of;
use glyphs::Glyphs;

/// One validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Validator {
    /// Chinese resident identity number.
    ResidentId,
    /// Bank card number.
    BankCard,
    /// Chinese mobile number.
    Mobile,
    /// E-mail address.
    Email,
    /// Unified social credit code.
    Uscc,
    /// WeChat id.
    WechatId,
    /// Web address.
    Url,
}

/// A place where a validator found something, in characters of the original text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// First character.
    pub start: u32,
    /// Behind the last character.
    pub end: u32,
}

/// Places one validator reports in one text: a bound on the memory, far beyond what anybody writes.
pub const FOUND_MAX: usize = 100_000;

/// A number of any kind here has at least so many digits.
const DIGITS_MIN: usize = 11;

impl Validator {
    /// All validators.
    pub const ALL: [Self; 7] =
        [Self::ResidentId, Self::BankCard, Self::Mobile, Self::Email, Self::Uscc, Self::WechatId, Self::Url];

    /// Name as in packs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ResidentId => "resident_id",
            Self::BankCard => "bank_card",
            Self::Mobile => "mobile",
            Self::Email => "email",
            Self::Uscc => "uscc",
            Self::WechatId => "wechat_id",
            Self::Url => "url",
        }
    }

    /// Whether the validator could find anything in the text. Cheap, and never wrongly `false`.
    #[must_use]
    pub fn may_hit(self, text: &str) -> bool {
        let (count, is) = self.needs();
        text.chars().filter(|c| is(*c)).nth(count - 1).is_some()
    }

    /// How many characters, and of which kind, a text must at least have for the validator to find anything.
    pub(crate) fn needs(self) -> (usize, fn(char) -> bool) {
        match self {
            Self::ResidentId | Self::BankCard | Self::Mobile => (DIGITS_MIN, |c| glyphs::digit(c).is_some()),
            Self::Uscc => (18, |c| glyphs::plain(c).is_ascii_alphanumeric()),
            Self::WechatId => (6, |c| wechat::is_id(glyphs::plain(c))),
            Self::Email => (1, |c| glyphs::plain(c) == '@'),
            Self::Url => (1, |c| glyphs::plain(c) == '.'),
        }
    }

    /// All places in the text, in order; overlapping ones are left out but for the first.
    #[must_use]
    pub fn find(self, text: &str) -> Vec<Found> {
        if !self.may_hit(text) {
            return Vec::new();
        }
        let glyphs = Glyphs::of(text);
        let mut found = match self {
            Self::ResidentId => digits::resident_ids(&glyphs),
            Self::BankCard => digits::bank_cards(&glyphs),
            Self::Mobile => digits::mobiles(&glyphs),
            Self::Uscc => digits::usccs(&glyphs),
            Self::Email => addresses::emails(&glyphs),
            Self::Url => addresses::urls(&glyphs),
            Self::WechatId => wechat::ids(&glyphs),
        };
        found.truncate(FOUND_MAX);
        found
    }
}

impl fmt::Display for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What two ways of writing one value have in common: forms folded, lower case, no space, and for a number nothing but its digits,
/// without the country in front.
#[must_use]
pub fn value(text: &str) -> String {
    let glyphs = Glyphs::of(text);
    let number: String = glyphs.iter().filter_map(|glyph| glyph.digit()).collect();
    let others = glyphs.iter().filter(|glyph| glyph.digit().is_none());
    let others: String = others.map(|glyph| glyph.c).filter(|c| c.is_alphanumeric() || *c == '@').collect();
    if number.len() >= DIGITS_MIN && matches!(others.as_str(), "" | "x") {
        let national = number.strip_prefix("0086").or_else(|| number.strip_prefix("86"));
        let mobile = national.filter(|rest| rest.len() == 11 && rest.starts_with('1'));
        return format!("{}{others}", mobile.unwrap_or(&number));
    }
    glyphs.iter().map(|glyph| glyph.c).filter(|c| !c.is_whitespace()).collect()
}

/// Whether what is written is on a list of exceptions, which is sorted and in the form of [`value`]. `@example.com` stands for every address there,
/// a bare host for every web address on it.
#[must_use]
pub fn is_excepted(validator: Validator, written: &str, except: &[Box<str>]) -> bool {
    let listed = |value: &str| except.binary_search_by(|entry| (**entry).cmp(value)).is_ok();
    if except.is_empty() {
        return false;
    }
    match validator {
        // Of addresses only the width is folded: what looks like a known one belongs to somebody else.
        Validator::Email => {
            let address = narrow(written);
            listed(&address) || address.find('@').is_some_and(|at| listed(&address[at..]))
        }
        Validator::Url => {
            listed(&narrow(written)) || host_of(written).is_some_and(|host| host_suffixes(&host).any(listed))
        }
        _ => listed(&value(written)),
    }
}

/// An address in lower case and narrow letters, without what nobody sees.
pub(crate) fn narrow(address: &str) -> String {
    let narrow = |c: char| match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        other => other,
    };
    let seen = address.chars().filter(|c| !is_zero_width(*c) && !c.is_whitespace());
    seen.map(narrow).flat_map(char::to_lowercase).collect()
}

/// A host and the domains it is in: `a.b.com`, `b.com`, `com`.
pub(crate) fn host_suffixes(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(host), |host| host.split_once('.').map(|parts| parts.1))
}

#[cfg(test)]
mod tests;
