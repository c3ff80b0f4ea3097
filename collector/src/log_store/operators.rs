//! How operators and their tokens stand: a fold over the entries about them.

use rusqlite::{Connection, OptionalExtension as _, Row};
use watchpost_proto::v1::{AccessEntry, AccessVerb, OperatorEntry, OperatorGrant, OperatorVerb};
use watchpost_proto::{Digest, Message as _};

use super::StoreError;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS operator (
        name TEXT PRIMARY KEY,
        -- An OperatorGrant.
        may BLOB NOT NULL,
        -- Digest of the one-time secret that is open, and when it ends.
        secret BLOB,
        secret_ends_ms INTEGER NOT NULL,
        -- Digests of what is kept beside the log.
        password BLOB,
        totp BLOB,
        disabled INTEGER NOT NULL,
        -- The last entry that changed how they come in or what they may do.
        changed INTEGER NOT NULL,
        made_ms INTEGER NOT NULL,
        signed_in_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS operator_token (
        token BLOB PRIMARY KEY,
        operator TEXT NOT NULL,
        label TEXT NOT NULL,
        -- Words with spaces between.
        scopes TEXT NOT NULL,
        made_ms INTEGER NOT NULL,
        made_by TEXT NOT NULL,
        expires_ms INTEGER NOT NULL,
        withdrawn INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// The tables [`apply`] writes.
pub(super) const NAMES: [&str; 2] = ["operator", "operator_token"];

/// An operator as the entries say.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorFacts {
    /// Login name.
    pub name: String,
    /// What they may do.
    pub grant: OperatorGrant,
    /// Digest of the one-time secret that is open, and when it ends.
    pub invitation: Option<(Digest, i64)>,
    /// Names what is kept of the password.
    pub password: Option<Digest>,
    /// Names the seed of one-time codes.
    pub totp: Option<Digest>,
    /// Is not let in.
    pub disabled: bool,
    /// The last entry that changed how they come in or what they may do.
    pub changed: u64,
    /// When they were invited, milliseconds since 1970.
    pub made_ms: i64,
    /// When they came in last; 0 for never.
    pub signed_in_ms: i64,
}

/// A token as the entries say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorTokenFacts {
    /// Its digest.
    pub token: Digest,
    /// Whose it is.
    pub operator: String,
    /// What it is for.
    pub label: String,
    /// What it may do of what its owner may.
    pub scopes: Vec<String>,
    /// When it was made, milliseconds since 1970.
    pub made_ms: i64,
    /// Who made it.
    pub made_by: String,
    /// When it ends.
    pub expires_ms: i64,
    /// Does not count any more.
    pub withdrawn: bool,
}

/// Makes the tables where they are missing.
pub(super) fn create(db: &Connection) -> Result<(), StoreError> {
    Ok(db.execute_batch(TABLES)?)
}

/// Takes one entry into the tables.
pub(super) fn apply(db: &Connection, log_index: u64, header: &[u8]) -> Result<(), StoreError> {
    let malformed = || StoreError::Damaged(format!("entry {log_index} is malformed"));
    let entry = OperatorEntry::decode(header).map_err(|_| malformed())?;
    match entry.verb() {
        OperatorVerb::Invited => invited(db, log_index, &entry),
        OperatorVerb::CredentialSet => {
            set(
                db,
                "UPDATE operator SET secret = NULL, password = ?2, totp = coalesce(?3, totp), changed = ?4
                 WHERE name = ?1",
                (&entry.operator, &entry.password, named(&entry.totp), log_index),
            )?;
            withdraw_tokens(db, &entry.operator)
        }
        OperatorVerb::Granted => {
            let grant = entry.grant.as_ref().ok_or_else(malformed)?.encode_to_vec();
            set(db, "UPDATE operator SET may = ?2, changed = ?3 WHERE name = ?1", (&entry.operator, grant, log_index))?;
            withdraw_tokens(db, &entry.operator)
        }
        verb @ (OperatorVerb::Disabled | OperatorVerb::Enabled) => {
            set(
                db,
                "UPDATE operator SET disabled = ?2, changed = ?3 WHERE name = ?1",
                (&entry.operator, verb == OperatorVerb::Disabled, log_index),
            )?;
            withdraw_tokens(db, &entry.operator)
        }
        OperatorVerb::Reset => reset(db, log_index, &entry),
        OperatorVerb::TotpEnrolled => set(
            db,
            "UPDATE operator SET totp = ?2, changed = ?3 WHERE name = ?1",
            (&entry.operator, &entry.totp, log_index),
        ),
        OperatorVerb::TokenMade => token_made(db, &entry),
        OperatorVerb::TokenWithdrawn => {
            set(db, "UPDATE operator_token SET withdrawn = 1 WHERE token = ?1", [&entry.token])
        }
        OperatorVerb::Unspecified => Ok(()),
    }
}

/// Notes when an operator came in: a one-time code of that moment or before does not count any more.
pub(super) fn came_in(db: &Connection, entry: &AccessEntry) -> Result<(), StoreError> {
    if entry.verb() != AccessVerb::SignedIn {
        return Ok(());
    }
    set(db, "UPDATE operator SET signed_in_ms = max(signed_in_ms, ?2) WHERE name = ?1", (&entry.by, entry.at_ms))
}

fn set(db: &Connection, text: &str, values: impl rusqlite::Params) -> Result<(), StoreError> {
    db.prepare_cached(text)?.execute(values)?;
    Ok(())
}

fn invited(db: &Connection, log_index: u64, entry: &OperatorEntry) -> Result<(), StoreError> {
    let grant = entry.grant.clone().unwrap_or_default().encode_to_vec();
    set(
        db,
        "INSERT INTO operator (name, may, secret, secret_ends_ms, disabled, changed, made_ms, signed_in_ms)
         VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, 0) ON CONFLICT DO NOTHING",
        (&entry.operator, grant, named(&entry.secret), entry.expires_ms, log_index, entry.at_ms),
    )
}

fn reset(db: &Connection, log_index: u64, entry: &OperatorEntry) -> Result<(), StoreError> {
    set(
        db,
        "UPDATE operator SET secret = ?2, secret_ends_ms = ?3, password = NULL, totp = NULL, changed = ?4 WHERE name = ?1",
        (&entry.operator, named(&entry.secret), entry.expires_ms, log_index),
    )?;
    withdraw_tokens(db, &entry.operator)
}

/// Whoever knew the former password may have made some, and none is to outlive what its owner was let do.
fn withdraw_tokens(db: &Connection, operator: &str) -> Result<(), StoreError> {
    set(db, "UPDATE operator_token SET withdrawn = 1 WHERE operator = ?1", [operator])
}

fn token_made(db: &Connection, entry: &OperatorEntry) -> Result<(), StoreError> {
    set(
        db,
        "INSERT INTO operator_token (token, operator, label, scopes, made_ms, made_by, expires_ms, withdrawn)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0) ON CONFLICT DO NOTHING",
        (
            &entry.token,
            &entry.operator,
            &entry.label,
            entry.token_scopes.join(" "),
            entry.at_ms,
            &entry.by,
            entry.expires_ms,
        ),
    )
}

/// Nothing for an empty field.
fn named(bytes: &[u8]) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

/// The operator of this name.
pub(crate) fn operator_facts(db: &Connection, name: &str) -> Result<Option<OperatorFacts>, StoreError> {
    let row = db
        .prepare_cached(
            "SELECT name, may, secret, secret_ends_ms, password, totp, disabled, changed, made_ms, signed_in_ms
             FROM operator WHERE name = ?1",
        )?
        .query_row([name], read_operator)
        .optional()?;
    row.transpose()
}

fn read_operator(row: &Row<'_>) -> rusqlite::Result<Result<OperatorFacts, StoreError>> {
    let digest =
        |column| row.get(column).map(|bytes: Option<Vec<u8>>| bytes.and_then(|bytes| Digest::from_slice(&bytes)));
    let ends_ms = row.get(3)?;
    let grant = OperatorGrant::decode(row.get_ref(1)?.as_blob().unwrap_or_default());
    let Ok(grant) = grant else { return Ok(Err(StoreError::Damaged("a grant is malformed".into()))) };
    Ok(Ok(OperatorFacts {
        name: row.get(0)?,
        grant,
        invitation: digest(2)?.map(|secret| (secret, ends_ms)),
        password: digest(4)?,
        totp: digest(5)?,
        disabled: row.get(6)?,
        changed: row.get(7)?,
        made_ms: row.get(8)?,
        signed_in_ms: row.get(9)?,
    }))
}

/// The names of all operators, in order.
pub(crate) fn operator_names(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut select = db.prepare_cached("SELECT name FROM operator ORDER BY name")?;
    let rows = select.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

const TOKEN_COLUMNS: &str = "token, operator, label, scopes, made_ms, made_by, expires_ms, withdrawn";

/// The tokens of one operator, or of all, the latest last.
pub(crate) fn operator_tokens(db: &Connection, of: Option<&str>) -> Result<Vec<OperatorTokenFacts>, StoreError> {
    let text =
        format!("SELECT {TOKEN_COLUMNS} FROM operator_token WHERE ?1 IS NULL OR operator = ?1 ORDER BY made_ms, token");
    let mut select = db.prepare_cached(&text)?;
    let rows = select.query_map([of], read_token)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The token of this digest.
pub(crate) fn operator_token(db: &Connection, token: &Digest) -> Result<Option<OperatorTokenFacts>, StoreError> {
    let text = format!("SELECT {TOKEN_COLUMNS} FROM operator_token WHERE token = ?1");
    Ok(db.prepare_cached(&text)?.query_row([&token.0[..]], read_token).optional()?)
}

fn read_token(row: &Row<'_>) -> rusqlite::Result<OperatorTokenFacts> {
    let (token, scopes): (Vec<u8>, String) = (row.get(0)?, row.get(3)?);
    Ok(OperatorTokenFacts {
        token: Digest::from_slice(&token).unwrap_or(Digest([0; 32])),
        operator: row.get(1)?,
        label: row.get(2)?,
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
        made_ms: row.get(4)?,
        made_by: row.get(5)?,
        expires_ms: row.get(6)?,
        withdrawn: row.get(7)?,
    })
}
