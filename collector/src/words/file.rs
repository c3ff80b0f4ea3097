//! Lists of words as files: the workbook or CSV that officers keep, and the plain file of words that a pack names.

use std::collections::BTreeMap;

use super::Word;
use super::desk::{self, New};
use crate::clock::day_begins_in_china;
use crate::people::MISTAKES_MAX;
use crate::people::table::{self, Row};

/// Bytes of a file that is read.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What columns are called.
const WORD: &[&str] = &["word", "词", "词语", "敏感词", "关键词"];
const NOTE: &[&str] = &["note", "remark", "备注", "说明", "理由"];
const EXPIRES: &[&str] = &["expires", "until", "到期", "到期日", "有效期", "有效期至"];

/// Reads a workbook, a CSV or a plain file with one word a line. Of a word that stands twice the later row counts.
///
/// # Errors
/// Every mistake with its line. With one of them nothing is taken.
pub fn read(bytes: &[u8]) -> Result<Vec<New>, Vec<String>> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(vec![format!("the file has more than {} MiB", FILE_BYTES_MAX / 1024 / 1024)]);
    }
    let rows = table::read(bytes)?;
    let Some((first, rest)) = rows.split_first() else { return Err(vec!["the file has no words".into()]) };
    let find = |names: &[&str]| first.cells.iter().position(|cell| names.contains(&cell.to_lowercase().as_str()));
    let columns = find(WORD).map(|word| Columns { word, note: find(NOTE), expires: find(EXPIRES) });
    // Without a row that names columns it is a plain list.
    let (columns, rows) = columns.map_or((Columns::default(), &rows[..]), |columns| (columns, rest));
    let (mut words, mut mistakes) = (BTreeMap::new(), Vec::new());
    for row in rows.iter().filter(|row| !row.cells.first().is_some_and(|cell| cell.starts_with('#'))) {
        match one(row, columns) {
            Ok(new) => drop(words.insert(new.word.clone(), new)),
            Err(mistake) if mistakes.len() < MISTAKES_MAX => mistakes.push(format!("line {}: {mistake}", row.line)),
            Err(_) => break,
        }
    }
    if words.len() > desk::STEP_WORDS_MAX {
        mistakes.push(format!("the file has more than {} words; import it in parts", desk::STEP_WORDS_MAX));
    }
    if mistakes.is_empty() { Ok(words.into_values().collect()) } else { Err(mistakes) }
}

#[derive(Clone, Copy, Default)]
struct Columns {
    word: usize,
    note: Option<usize>,
    expires: Option<usize>,
}

fn one(row: &Row, columns: Columns) -> Result<New, String> {
    let cell = |at: usize| row.cells.get(at).map(|cell| cell.trim()).unwrap_or_default();
    let word = unguarded(cell(columns.word));
    desk::check(word).map_err(|why| format!("{:?}: {why}", word.chars().take(40).collect::<String>()))?;
    let until = columns.expires.map(cell).filter(|cell| !cell.is_empty());
    let expires_ms = until.map(expiry).transpose()?;
    Ok(New {
        word: word.to_owned(),
        note: columns.note.map(cell).unwrap_or_default().to_owned(),
        expires_ms,
        replaces: None,
    })
}

/// Without the apostrophe that keeps a spreadsheet from taking a cell for a formula.
fn unguarded(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| rest.starts_with(['=', '+', '-', '@'])).unwrap_or(cell)
}

/// The moment a day begins at +08:00, `YYYY-MM-DD`; a workbook may add a time.
///
/// # Errors
/// It is no day.
pub fn expiry(day: &str) -> Result<i64, String> {
    let day = day.trim().split([' ', 'T']).next().unwrap_or_default().replace('/', "-");
    day_begins_in_china(&day).ok_or_else(|| format!("{day:?} is no day; write 2027-06-30"))
}

/// The plain file of words that counts, for the pack to name and the policy to be signed with.
#[must_use]
pub fn plain(words: &[Word]) -> String {
    let mut counting: Vec<&str> =
        words.iter().filter(|word| word.counts()).filter_map(|word| word.word.as_deref()).collect();
    counting.sort_unstable();
    counting.dedup();
    counting.into_iter().fold(String::new(), |text, word| text + word + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_with_columns_or_without() {
        let words =
            read("关键词,说明,有效期至\n保本,监管要求,2027/06/30\n零风险,,\n保本,后来的,\n".as_bytes()).unwrap();
        let of = |word: &str| words.iter().find(|new| new.word == word).unwrap();
        assert_eq!((words.len(), of("保本").note.as_str(), of("保本").expires_ms), (2, "后来的", None));
        let words = read("# 注释\n稳赚不赔\n内幕消息\n".as_bytes()).unwrap();
        assert_eq!(words.iter().map(|new| new.word.as_str()).collect::<Vec<_>>(), ["内幕消息", "稳赚不赔"]);
        let dated = read("word,expires\n保本,2027-06-30 00:00:00\n".as_bytes()).unwrap();
        assert_eq!(dated[0].expires_ms, Some(1_814_284_800_000));
    }

    #[test]
    fn mistakes_are_told_with_their_line_and_nothing_is_taken() {
        for (text, told) in [
            ("word,expires\n保本,soon\n", "line 2: \"soon\" is no day"),
            ("word,note\n保本,x\n，,y\n", "line 3: "),
            ("", "no words"),
        ] {
            let mistakes = read(text.as_bytes()).unwrap_err();
            assert!(mistakes[0].contains(told), "{text}: {mistakes:?}");
        }
    }
}
