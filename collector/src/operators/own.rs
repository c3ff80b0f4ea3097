//! Whose accounts are one's own: those a grant names, and all others that the roster gives to the same employee.

use rusqlite::Connection;

use super::Operator;
use crate::derive::DeriveError;

/// Accounts of one employee that are looked at.
const ACCOUNTS_MAX: u32 = 256;

/// The operator with every account of theirs.
///
/// # Errors
/// The database.
pub fn widened(mut operator: Operator, derived: &Connection) -> Result<Operator, DeriveError> {
    let mut select = derived.prepare_cached(
        "SELECT DISTINCT account FROM person WHERE employee <> '' AND employee IN (
             SELECT employee FROM person WHERE account = ?1 COLLATE NOCASE) ORDER BY account LIMIT ?2",
    )?;
    for named in operator.grant.accounts.clone() {
        let more = select.query_map((&named, ACCOUNTS_MAX), |row| row.get::<_, String>(0))?;
        for account in more {
            let account = account?;
            if !operator.grant.accounts.iter().any(|own| own.eq_ignore_ascii_case(&account)) {
                operator.grant.accounts.push(account);
            }
        }
    }
    Ok(operator)
}
