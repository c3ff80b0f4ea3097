//! What the columns of a list are called, and what their cells mean.

use time::macros::offset;
use time::{Date, Month};
use watchpost_policy::accounts::is_plain;
use watchpost_proto::roster::ACCOUNT_BYTES_MAX;

use super::MISTAKES_MAX;
use super::table::Row;

/// Rows above the header: titles, empty ones.
const ROWS_ABOVE_MAX: usize = 20;
/// Labels of one row.
const LABELS_MAX: usize = 32;
/// Longest cell, in bytes.
const CELL_BYTES_MAX: usize = 128;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Employee,
    Userid,
    Corp,
    Name,
    /// One label each, as are the next two.
    Department,
    Post,
    Site,
    /// Several labels in a cell.
    Labels,
    Status,
    From,
    Until,
    Never,
}

const NAMES: [(Column, &[&str]); 12] = [
    (
        Column::Employee,
        &["工号", "员工号", "员工编号", "人员编号", "employee", "employee id", "employee no", "staff id"],
    ),
    (
        Column::Userid,
        &[
            "账号",
            "帐号",
            "企业微信账号",
            "企业微信帐号",
            "企微账号",
            "成员账号",
            "userid",
            "user id",
            "account",
            "wecom id",
        ],
    ),
    (Column::Corp, &["企业", "企业id", "企业号", "corp", "corpid", "corp id"]),
    (Column::Name, &["姓名", "名字", "name", "full name"]),
    (Column::Department, &["部门", "department", "dept"]),
    (Column::Post, &["岗位", "职位", "职务", "post", "position", "title"]),
    (Column::Site, &["地点", "工作地", "站点", "site", "location"]),
    (Column::Labels, &["标签", "labels", "label", "tags"]),
    (Column::Status, &["状态", "在职状态", "员工状态", "status"]),
    (
        Column::From,
        &[
            "入职",
            "入职日期",
            "入职时间",
            "生效日期",
            "开始日期",
            "起",
            "from",
            "start",
            "joined",
            "hire date",
            "start date",
        ],
    ),
    (
        Column::Until,
        &[
            "离职",
            "离职日期",
            "离职时间",
            "最后工作日",
            "失效日期",
            "结束日期",
            "止",
            "leave",
            "left",
            "to",
            "until",
            "end",
            "leave date",
            "end date",
            "last day",
        ],
    ),
    (Column::Never, &["不监测", "永不监测", "免检", "不检查", "never", "exempt"]),
];

/// One row of a list, as it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it stands.
    pub line: u64,
    /// The corporation.
    pub corp: String,
    /// In ASCII lower case.
    pub userid: String,
    /// Number of the employee; may be empty.
    pub employee: String,
    /// May be empty.
    pub name: String,
    /// Department, post, site, and what the list calls labels.
    pub labels: Vec<String>,
    /// Which of them is the department; may be empty.
    pub department: String,
    /// Which of them is the site; may be empty.
    pub site: String,
    /// As in the list.
    pub status: String,
    /// The first moment; 0 = from the beginning.
    pub from_ms: i64,
    /// The first moment after it; 0 = it goes on.
    pub until_ms: i64,
    /// Never looked at.
    pub never: bool,
}

/// Reads the rows below the header. `corp` is taken where the list has no such column, or leaves it empty.
///
/// # Errors
/// Every mistake with its line, up to a hundred.
pub fn lines(rows: &[Row], corp: Option<&str>) -> Result<Vec<Line>, Vec<String>> {
    let header = rows.iter().take(ROWS_ABOVE_MAX).position(|row| columns(row).contains(&Some(Column::Userid)));
    let Some((header, below)) = header.and_then(|at| rows.get(at..)?.split_first()) else {
        return Err(vec![
            "there is no column for the account: the header must say 账号 or userid (see docs/people.md)".into(),
        ]);
    };
    let columns = columns(header);
    let mut mistakes = doubled(&columns, header);
    if corp.is_none() && !columns.contains(&Some(Column::Corp)) {
        mistakes.push(format!("line {}: there is no column 企业 or corp; add it, or say --corp", header.line));
    }
    let mut lines = Vec::with_capacity(below.len());
    for row in below {
        if mistakes.len() >= MISTAKES_MAX {
            break;
        }
        match line(row, &columns, corp) {
            Ok(line) => lines.push(line),
            Err(mistake) => mistakes.push(format!("line {}: {mistake}", row.line)),
        }
    }
    if lines.is_empty() && mistakes.is_empty() {
        mistakes.push("the list has no rows below its header".into());
    }
    if mistakes.is_empty() { Ok(lines) } else { Err(mistakes) }
}

fn columns(row: &Row) -> Vec<Option<Column>> {
    let named = |cell: &String| {
        let name = cell.to_lowercase().replace('_', " ");
        NAMES.iter().find(|(_, names)| names.contains(&name.trim())).map(|(column, _)| *column)
    };
    row.cells.iter().map(named).collect()
}

/// Of these there may be several columns; of department and site the first is the one.
fn is_label(column: Column) -> bool {
    matches!(column, Column::Department | Column::Post | Column::Site | Column::Labels)
}

/// Two columns for one thing: nobody could say which of them counts.
fn doubled(columns: &[Option<Column>], header: &Row) -> Vec<String> {
    let known = columns.iter().zip(&header.cells).filter_map(|(column, name)| Some(((*column)?, name)));
    let known: Vec<_> = known.filter(|(column, _)| !is_label(*column)).collect();
    let twice = known.iter().enumerate().filter(|(at, (column, _))| known.iter().take(*at).any(|(it, _)| it == column));
    twice
        .map(|(_, (_, name))| format!("line {}: the column {name} means the same as another; remove one", header.line))
        .collect()
}

fn line(row: &Row, columns: &[Option<Column>], corp: Option<&str>) -> Result<Line, String> {
    let cell = |wanted: Column| {
        let at = columns.iter().position(|column| *column == Some(wanted));
        at.and_then(|at| row.cells.get(at)).map(String::as_str).unwrap_or_default()
    };
    if let Some(cell) =
        row.cells.iter().zip(columns).find_map(|(cell, column)| column.and(Some(cell)).filter(|cell| is_odd(cell)))
    {
        return Err(format!(
            "{cell:?} is a formula, too long, or holds a character nobody sees; write the plain value"
        ));
    }
    let userid = cell(Column::Userid).to_ascii_lowercase();
    let corp = Some(cell(Column::Corp)).filter(|cell| !cell.is_empty()).or(corp).unwrap_or_default();
    if userid.is_empty() || corp.is_empty() {
        return Err("the account and its corporation must both be filled in".into());
    }
    let is_account = is_plain(&userid) && is_plain(corp) && !userid.contains('/') && !corp.contains('/');
    if !is_account || corp.len() + userid.len() >= ACCOUNT_BYTES_MAX {
        return Err(format!("{corp}/{userid} is no account; write one plain id, as WeCom has it"));
    }
    let (from, until) = (cell(Column::From), cell(Column::Until));
    let from_ms = day_ms(from).map_err(|()| date_mistake(from))?.map_or(0, |(begins, _)| begins);
    let until_ms = day_ms(until).map_err(|()| date_mistake(until))?.map_or(0, |(_, ends)| ends);
    if until_ms != 0 && until_ms <= from_ms {
        return Err(format!("it ends ({until}) before it begins ({from})"));
    }
    let status = cell(Column::Status);
    if until_ms == 0 && has_left(status) {
        return Err(format!("{status} without the last day; write it into a column 离职 or leave"));
    }
    let never = flag(cell(Column::Never)).ok_or_else(|| format!("{:?} is neither yes nor no", cell(Column::Never)))?;
    Ok(Line {
        line: row.line,
        corp: corp.to_owned(),
        userid,
        employee: cell(Column::Employee).to_owned(),
        name: cell(Column::Name).to_owned(),
        labels: labels(row, columns)?,
        department: cell(Column::Department).to_owned(),
        site: cell(Column::Site).to_owned(),
        status: status.to_owned(),
        from_ms,
        until_ms,
        never,
    })
}

fn date_mistake(text: &str) -> String {
    format!("{text:?} is no day; write it like 2026-11-20")
}

fn labels(row: &Row, columns: &[Option<Column>]) -> Result<Vec<String>, String> {
    let mut labels: Vec<String> = Vec::new();
    for (cell, column) in row.cells.iter().zip(columns) {
        let more: Vec<&str> = match column {
            Some(Column::Department | Column::Post | Column::Site) => vec![cell.as_str()],
            Some(Column::Labels) => cell.split(['|', ';', '；', '、']).map(str::trim).collect(),
            _ => continue,
        };
        for label in more.into_iter().filter(|label| !label.is_empty()) {
            if !labels.iter().any(|known| known == label) {
                labels.push(label.to_owned());
            }
        }
    }
    if labels.len() > LABELS_MAX { Err(format!("there are more than {LABELS_MAX} labels")) } else { Ok(labels) }
}

fn is_odd(cell: &str) -> bool {
    let is_unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    cell.starts_with('=') || cell.len() > CELL_BYTES_MAX || cell.chars().any(is_unseen)
}

fn has_left(status: &str) -> bool {
    let status = status.to_lowercase();
    ["离职", "已离职", "辞职", "离任", "left", "resigned", "terminated"].contains(&status.as_str())
}

fn flag(cell: &str) -> Option<bool> {
    match cell.to_lowercase().as_str() {
        "" | "否" | "no" | "n" | "false" | "0" => Some(false),
        "是" | "yes" | "y" | "true" | "1" | "√" | "✓" => Some(true),
        _ => None,
    }
}

/// The first moment of a day in China, and the first after it; `None` for none.
///
/// # Errors
/// It is no day.
pub(crate) fn day_ms(text: &str) -> Result<Option<(i64, i64)>, ()> {
    // A time of day says nothing here.
    let day = text.split([' ', 'T']).next().unwrap_or_default();
    if matches!(day, "" | "-" | "—" | "/" | "至今" | "长期" | "无" | "9999-12-31" | "9999/12/31") {
        return Ok(None);
    }
    let begins = date(day).ok_or(())?.midnight().assume_offset(offset!(+8));
    let begins_ms = begins.unix_timestamp().checked_mul(1000).filter(|ms| *ms > 0).ok_or(())?;
    Ok(Some((begins_ms, begins_ms + 24 * 60 * 60 * 1000)))
}

fn date(text: &str) -> Option<Date> {
    let is_digits = |text: &str| !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        vec![text.get(..4)?, text.get(4..6)?, text.get(6..)?]
    } else {
        text.trim_end_matches('日').split(['-', '/', '.', '年', '月']).collect()
    };
    let [year, month, day] = parts[..] else { return None };
    if !(year.len() == 4 && [year, month, day].into_iter().all(is_digits)) {
        return None;
    }
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::table::read;

    fn parsed(text: &str) -> Result<Vec<Line>, Vec<String>> {
        lines(&read(text.as_bytes()).unwrap(), None)
    }

    #[test]
    fn usual_headers_are_known() {
        let chinese = "花名册,,,\n工号,姓名,企业,账号,部门,岗位,地点,标签,状态,入职,离职,不监测,备注\n\
            001,李娜,ww1,Li.Na,销售部,客户经理,上海,\"理财|重点、A\",在职,2026/1/5,,否,x\n";
        let english = "employee,name,corp,userid,department,post,site,labels,status,from,leave,never\n\
            001,李娜,ww1,li.na,销售部,客户经理,上海,理财|重点;A,在职,2026-01-05,,no\n";
        let one = parsed(chinese).unwrap().remove(0);
        let other = parsed(english).unwrap().remove(0);
        assert_eq!((one.line, other.line), (3, 2));
        assert_eq!(Line { line: 0, ..one.clone() }, Line { line: 0, ..other });
        assert_eq!(one.labels, ["销售部", "客户经理", "上海", "理财", "重点", "A"]);
        assert_eq!((one.department.as_str(), one.site.as_str()), ("销售部", "上海"));
        assert_eq!((one.userid.as_str(), one.from_ms, one.until_ms), ("li.na", 1_767_542_400_000, 0));
    }

    #[test]
    fn a_workbook_is_read_as_a_person_sees_it() {
        let rows = read(include_bytes!("../../tests/fixtures/staff.xlsx")).unwrap();
        let lines = lines(&rows, None).unwrap();
        let said: Vec<_> =
            lines.iter().map(|it| (it.line, it.employee.as_str(), it.userid.as_str(), it.never)).collect();
        assert_eq!(said, [(4, "1001", "li.na", false), (6, "1002", "counsel", true)]);
        assert_eq!((lines[0].from_ms, lines[1].from_ms), (1_767_542_400_000, 0), "5 January 2026");
    }

    #[test]
    fn the_last_day_counts_whole_in_china() {
        let line = parsed("corp,userid,from,leave\nww1,a,20260105,2026年1月5日\n").unwrap().remove(0);
        assert_eq!(line.until_ms - line.from_ms, 24 * 60 * 60 * 1000);
        assert_eq!(day_ms("2026-01-05 10:30:00"), day_ms("2026.1.5"));
        assert_eq!(day_ms("长期"), Ok(None));
        for wrong in ["2026-13-01", "2026-02-30", "5.1.2026", "soon", "26-01-05", "45000", "2026--1"] {
            assert_eq!(day_ms(wrong), Err(()), "{wrong}");
        }
    }

    #[test]
    fn every_mistake_is_told_by_its_line() {
        let bad = "corp,userid,status,from,leave,never,name\n\
            ww1,,,,,,\nww1,a b,,,,,\nww1,c,离职,,,,\nww1,d,,2026-02-02,2026-02-01,,\nww1,e,,x,,,\nww1,f,,,,maybe,\n\
            ww1,g,,,,,=cmd|' /C calc'!A0\nww1,h\u{200b},,,,,\nww1,i/j,,,,,\n,k,,,,,\nww1,l,,,,,\n";
        let mistakes = parsed(bad).unwrap_err();
        let lines: Vec<&str> = mistakes.iter().map(|mistake| mistake.split(':').next().unwrap()).collect();
        assert_eq!(lines, (2..12).map(|line| format!("line {line}")).collect::<Vec<_>>(), "{mistakes:#?}");
    }

    #[test]
    fn headers_that_do_not_do_are_explained() {
        for (text, part) in [
            ("a,b\n1,2\n", "账号 or userid"),
            ("userid\na\n", "--corp"),
            ("corp,userid,帐号\nww1,a,b\n", "means the same"),
            ("corp,userid\n", "no rows"),
        ] {
            let told = parsed(text).unwrap_err();
            assert!(told.iter().any(|mistake| mistake.contains(part)), "{text:?} {told:?}");
        }
        let rows = read(b"userid\na\n").unwrap();
        assert_eq!(lines(&rows, Some("ww9")).unwrap()[0].corp, "ww9");
    }
}
