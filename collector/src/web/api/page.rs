//! Lists in pages: a cursor names the last that was shown, in an order that does not change under way.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::web::problem::Problem;

/// Rows of a page where nobody says how many.
const ROWS: u32 = 50;
/// Most rows of a page.
pub(in crate::web) const ROWS_MAX: u32 = 500;

/// Part of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Page<T> {
    /// The rows.
    pub(in crate::web) items: Vec<T>,
    /// Where the next page begins; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::web) next: Option<String>,
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Turn {
    /// `next` of the page before.
    pub(in crate::web) cursor: Option<String>,
    /// Rows of the page, at most 500.
    pub(in crate::web) limit: Option<u32>,
}

/// How many rows are wanted.
pub(in crate::web) fn rows(limit: Option<u32>) -> u32 {
    limit.unwrap_or(ROWS).clamp(1, ROWS_MAX)
}

/// Writes a cursor: of which list, and the key of its last row.
pub(in crate::web) fn write(list: &str, key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{key}"))
}

/// The key in a cursor of this list.
pub(in crate::web) fn read<K: std::str::FromStr>(list: &str, cursor: Option<&str>) -> Result<Option<K>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let key = text.as_deref().and_then(|text| text.split_once(':')).filter(|(of, _)| *of == list);
    let key = key.and_then(|(_, key)| key.parse().ok());
    key.map(Some).ok_or_else(|| Problem::malformed("the cursor is not one of this list"))
}

/// A page of rows of which one more than fits was read.
pub(in crate::web) fn page<T>(list: &str, mut items: Vec<T>, limit: u32, key: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|last| write(list, &key(last)));
    Page { items, next }
}

/// A cell of a list that a spreadsheet takes for text: what would be a formula gets an apostrophe before it.
pub(in crate::web) fn plain(cell: &str) -> String {
    let begins_formula = |c: char| "=+-@\t\r\n＝＋－＠|%".contains(c);
    let shown: String = cell.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
    if cell.trim_start().starts_with(begins_formula) || cell.starts_with(begins_formula) {
        format!("'{shown}")
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_one_list() {
        let cursor = write("alerts", "17");
        assert_eq!(read("alerts", Some(&cursor)), Ok(Some(17)));
        assert_eq!(read::<u64>("alerts", None), Ok(None));
        for (list, cursor) in [("audit", &*cursor), ("alerts", "%%"), ("alerts", ""), ("alerts", &write("alerts", "x"))]
        {
            assert!(read::<u64>(list, Some(cursor)).is_err(), "{list} {cursor}");
        }
    }

    #[test]
    fn no_cell_is_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u{a0}=1", "＝1", "|calc"] {
            assert!(plain(formula).starts_with('\''), "{formula:?}");
        }
        for harmless in ["", "ww1/zhang", "a=1", "2026-11-22", "销售"] {
            assert_eq!(plain(harmless), harmless);
        }
        assert_eq!(plain("a\u{1b}[31m\r\nb"), "a [31m  b");
    }

    #[test]
    fn the_last_page_has_no_next() {
        let key = |row: &u32| row.to_string();
        assert_eq!(page("x", vec![1, 2, 3], 2, key).next, Some(write("x", "2")));
        assert_eq!(page("x", vec![1, 2], 2, key).next, None);
        assert_eq!(page("x", vec![], 2, key).next, None);
    }
}
