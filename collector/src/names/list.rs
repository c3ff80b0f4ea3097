//! A list of names, CSV or a workbook: which rows name what, by pseudonym or by the id that becomes one.

use std::collections::BTreeMap;

use watchpost_policy::identity::{TenantKey, pseudonym};
use watchpost_policy::message::Corp;

use super::{Kind, Named, is_pseudonym, name_is_plain};
use crate::people::MISTAKES_MAX;
use crate::people::table::Row;

/// Bytes of an id.
const ID_BYTES_MAX: usize = 128;

/// What columns are called.
const PSEUDONYM: &[&str] = &["pseudonym", "假名", "代号"];
const ID: &[&str] =
    &["id", "userid", "external_userid", "roomid", "chatid", "room id", "客户id", "外部联系人id", "群id", "群聊id"];
const NAME: &[&str] = &["name", "名称", "姓名", "群名", "群名称", "客户", "客户名称", "备注"];
const KIND: &[&str] = &["kind", "type", "类型", "种类"];
const CORP: &[&str] = &["corp", "corpid", "企业", "企业id"];

/// What the list does not say of itself.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The corporation of ids, where no column says.
    pub corp: Option<&'a str>,
    /// What the names are of, where no column says.
    pub kind: Option<Kind>,
    /// Makes pseudonyms of ids; only where the tenant's key is at hand.
    pub key: Option<&'a TenantKey>,
}

#[derive(Clone, Copy, Default)]
struct Columns {
    pseudonym: Option<usize>,
    id: Option<usize>,
    name: Option<usize>,
    kind: Option<usize>,
    corp: Option<usize>,
}

/// The names of a list, each pseudonym once. No id stays.
///
/// # Errors
/// Every mistake with its line. With one of them nothing is imported.
pub fn read(rows: &[Row], given: &Given<'_>) -> Result<Vec<Named>, Vec<String>> {
    let Some((header, rows)) = rows.split_first() else { return Err(vec!["the list is empty".into()]) };
    let columns = columns(header);
    let Some(name) = columns.name.filter(|_| columns.pseudonym.is_some() || columns.id.is_some()) else {
        return Err(vec![format!(
            "line {}: the first row names the columns: name, and pseudonym or id; kind and corp where they differ",
            header.line
        )]);
    };
    let (mut named, mut mistakes) = (BTreeMap::new(), Vec::new());
    for row in rows {
        match one(row, &columns, name, given) {
            Ok(one) => drop(named.insert(one.pseudonym.clone(), one)),
            Err(mistake) if mistakes.len() < MISTAKES_MAX => mistakes.push(format!("line {}: {mistake}", row.line)),
            Err(_) => break,
        }
    }
    if mistakes.is_empty() { Ok(named.into_values().collect()) } else { Err(mistakes) }
}

fn columns(header: &Row) -> Columns {
    let find = |names: &[&str]| {
        header
            .cells
            .iter()
            .position(|cell| names.contains(&cell.to_lowercase().replace('_', " ").as_str()))
            .or_else(|| header.cells.iter().position(|cell| names.contains(&cell.to_lowercase().as_str())))
    };
    Columns { pseudonym: find(PSEUDONYM), id: find(ID), name: find(NAME), kind: find(KIND), corp: find(CORP) }
}

fn one(row: &Row, columns: &Columns, name: usize, given: &Given<'_>) -> Result<Named, String> {
    let cell = |column: Option<usize>| {
        column.and_then(|at| row.cells.get(at)).map(|cell| cell.trim()).filter(|cell| !cell.is_empty())
    };
    let name = cell(Some(name)).unwrap_or_default();
    if !name_is_plain(name) {
        return Err("the name is empty, longer than 256 bytes, or has control characters".into());
    }
    let kind = match cell(columns.kind) {
        Some(said) => kind_of(said).ok_or_else(|| format!("{said:?} is no kind; write customer or room"))?,
        None => given.kind.ok_or("no kind; add a column kind (customer or room), or say --kind")?,
    };
    let pseudonym = match (cell(columns.pseudonym), cell(columns.id)) {
        (Some(said), _) if is_pseudonym(said) => said.to_owned(),
        (Some(_), _) => return Err("the pseudonym is not p_ and 24 hexadecimal digits".into()),
        (None, Some(id)) => of_id(id, cell(columns.corp).or(given.corp), given.key)?,
        (None, None) => return Err("neither a pseudonym nor an id".into()),
    };
    Ok(Named { pseudonym, kind, name: name.to_owned() })
}

/// Never says the id: it may be anybody's.
fn of_id(id: &str, corp: Option<&str>, key: Option<&TenantKey>) -> Result<String, String> {
    let corp = corp.ok_or("an id needs its corporation; add a column corp, or say --corp")?;
    let key = key.ok_or("ids need the tenant's key, which is not on this collector; import pseudonyms")?;
    if id.len() > ID_BYTES_MAX {
        return Err("the id is longer than 128 bytes".into());
    }
    Ok(pseudonym(key, &Corp::new(corp), id))
}

fn kind_of(said: &str) -> Option<Kind> {
    match said.to_lowercase().as_str() {
        "customer" | "external" | "客户" | "外部联系人" => Some(Kind::Customer),
        "room" | "group" | "群" | "群聊" | "客户群" => Some(Kind::Room),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::table;

    const KEY: TenantKey = TenantKey([7; 32]);
    const ANNA: &str = "p_0011223344556677889900aa";

    fn named(text: &str, given: &Given<'_>) -> Result<Vec<Named>, Vec<String>> {
        read(&table::read(text.as_bytes()).unwrap(), given)
    }

    #[test]
    fn ids_become_pseudonyms_and_stay_nowhere() {
        let given = Given { corp: Some("ww1"), kind: Some(Kind::Customer), key: Some(&KEY) };
        let list = format!("客户ID,姓名,类型\nWMabc,王芳,\nwrRoom,理财一群,群聊\n{ANNA},x,\n");
        let rows = named(&list, &given).unwrap();
        assert_eq!(rows.len(), 3);
        let of = |id: &str| pseudonym(&KEY, &Corp::new("ww1"), id);
        let kind_of =
            |pseudonym: &str| rows.iter().find(|it| it.pseudonym == pseudonym).map(|it| (it.kind, it.name.as_str()));
        assert_eq!(kind_of(&of("wmABC")), Some((Kind::Customer, "王芳")), "ids are taken without case");
        assert_eq!(kind_of(&of("wrroom")), Some((Kind::Room, "理财一群")));
        assert!(!format!("{rows:?}").contains("WMabc"));
        let rows = named(
            &format!("pseudonym,name,kind\n{ANNA},Anna,customer\n"),
            &Given { corp: None, kind: None, key: None },
        );
        assert_eq!(rows.unwrap()[0].pseudonym, ANNA);
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_without_the_id() {
        let none = Given { corp: None, kind: None, key: None };
        for (list, told) in [
            ("a,b\n1,2\n", "line 1: the first row names the columns"),
            ("id,name,kind\nwmSECRET,Anna,customer\n", "line 2: an id needs its corporation"),
            ("id,corp,name,kind\nwmSECRET,ww1,Anna,customer\n", "line 2: ids need the tenant's key"),
            ("pseudonym,name,kind\np_1,Anna,customer\n", "line 2: the pseudonym is not"),
            ("pseudonym,name\np_0011223344556677889900aa,Anna\n", "line 2: no kind"),
            ("pseudonym,name,kind\np_0011223344556677889900aa,Anna,pet\n", "\"pet\" is no kind"),
            ("pseudonym,name,kind\n,Anna,room\n", "neither a pseudonym nor an id"),
            ("pseudonym,name,kind\np_0011223344556677889900aa,,room\n", "the name is empty"),
        ] {
            let mistakes = named(list, &none).unwrap_err();
            assert!(mistakes[0].contains(told), "{list}: {mistakes:?}");
            assert!(!mistakes[0].contains("SECRET"));
        }
    }
}
