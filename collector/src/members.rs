//! Tokens, the queue and the list of expected assets, as people see them.

use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::Serialize;
use watchpost_proto::v1::{EnrolmentVerb, TokenTerms};

use crate::alerts::device_name;
use crate::derive::DeriveError;

/// Characters of a key's id that people compare and write.
const CODE_CHARS: usize = 12;

/// A token as people see it. Its credential is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TokenView {
    /// Digest of its credential, hexadecimal.
    pub token: String,
    /// `valid`, `expired`, `used-up` or `revoked`.
    pub state: &'static str,
    /// The policy group it enrols into.
    pub group: String,
    /// The site it enrols into.
    pub site: String,
    /// `open`, `listed` or `approval`.
    pub terms: &'static str,
    /// How often it was used.
    pub uses: u32,
    /// How often it may be.
    pub uses_max: u32,
    /// When it was made, milliseconds since 1970.
    pub made_ms: i64,
    /// By whom.
    pub made_by: String,
    /// When it ends, milliseconds since 1970.
    pub expires_ms: i64,
}

/// All tokens, the latest first.
///
/// # Errors
/// The database.
pub fn tokens(db: &Connection, now_ms: i64) -> Result<Vec<TokenView>, DeriveError> {
    let mut statement = db.prepare(
        "SELECT token, grp, site, terms, uses, uses_max, made_ms, made_by, expires_ms, revoked_ms IS NOT NULL
         FROM token ORDER BY made_ms DESC, token",
    )?;
    let rows = statement.query_map([], |row| {
        let token: Vec<u8> = row.get(0)?;
        let (uses, uses_max, expires_ms): (u32, u32, i64) = (row.get(4)?, row.get(5)?, row.get(8)?);
        let state = match (row.get(9)?, expires_ms <= now_ms, uses >= uses_max) {
            (true, ..) => "revoked",
            (_, true, _) => "expired",
            (_, _, true) => "used-up",
            _ => "valid",
        };
        Ok(TokenView {
            token: hex::encode(token),
            state,
            group: row.get(1)?,
            site: row.get(2)?,
            terms: terms(row.get(3)?),
            uses,
            uses_max,
            made_ms: row.get(6)?,
            made_by: row.get(7)?,
            expires_ms,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn terms(number: i32) -> &'static str {
    match TokenTerms::try_from(number) {
        Ok(TokenTerms::Open) => "open",
        Ok(TokenTerms::Listed) => "listed",
        Ok(TokenTerms::Approval) => "approval",
        _ => "unknown",
    }
}

/// One key on its way to a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Applicant {
    /// The beginning of its key's id: what the device shows, too.
    pub code: String,
    /// `waiting`, `admitted`, `rejected` or `enrolled`.
    pub state: &'static str,
    /// As the device says.
    pub hostname: String,
    /// As the device says.
    pub asset: String,
    /// Whether the asset is on the list.
    pub expected: bool,
    /// Whether another has enrolled as this asset, or asks to.
    pub contested: bool,
    /// Where it asked from.
    pub address: String,
    /// The group it is to belong to.
    pub group: String,
    /// The site it is to belong to.
    pub site: String,
    /// When it first asked, milliseconds since 1970.
    pub asked_ms: i64,
    /// Why it was decided so.
    pub reason: String,
}

/// Who waits to be admitted; with `all`, also who was admitted or rejected and has not enrolled since.
///
/// # Errors
/// The database.
pub fn queue(db: &Connection, all: bool) -> Result<Vec<Applicant>, DeriveError> {
    let mut statement = db.prepare(
        "SELECT key_id, step, hostname, asset, EXISTS (SELECT 1 FROM expected WHERE expected.asset = enrolment.asset),
                address, grp, site, asked_ms, reason,
                asset <> '' AND EXISTS (SELECT 1 FROM enrolment AS other WHERE other.asset = enrolment.asset
                    AND other.key_id <> enrolment.key_id AND (other.device IS NOT NULL OR other.step = ?1))
         FROM enrolment WHERE step = ?1 OR (?2 AND step IN (?3, ?4)) ORDER BY asked_ms, key_id",
    )?;
    let steps = (EnrolmentVerb::Asked as i32, all, EnrolmentVerb::Admitted as i32, EnrolmentVerb::Rejected as i32);
    let rows = statement.query_map(steps, read_applicant)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read_applicant(row: &Row<'_>) -> rusqlite::Result<Applicant> {
    let key: Vec<u8> = row.get(0)?;
    let state = match EnrolmentVerb::try_from(row.get::<_, i32>(1)?) {
        Ok(EnrolmentVerb::Admitted) => "admitted",
        Ok(EnrolmentVerb::Rejected) => "rejected",
        Ok(EnrolmentVerb::Enrolled) => "enrolled",
        _ => "waiting",
    };
    Ok(Applicant {
        code: hex::encode(key).chars().take(CODE_CHARS).collect(),
        state,
        hostname: row.get(2)?,
        asset: row.get(3)?,
        expected: row.get(4)?,
        address: row.get(5)?,
        group: row.get(6)?,
        site: row.get(7)?,
        asked_ms: row.get(8)?,
        reason: row.get(9)?,
        contested: row.get(10)?,
    })
}

/// One asset of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExpectedView {
    /// As in the imported list.
    pub asset: String,
    /// As in the imported list.
    pub group: String,
    /// As in the imported list.
    pub site: String,
    /// `missing`, `waiting`, `enrolled` (has a certificate) or `seen` (has connected with it).
    pub state: &'static str,
    /// The device, once it has a certificate.
    pub device: Option<String>,
}

/// Every asset of the list with what has become of it.
///
/// # Errors
/// The database.
pub fn expected(db: &Connection) -> Result<Vec<ExpectedView>, DeriveError> {
    // Of several that call themselves the same asset, the latest that has enrolled, else the latest that asked.
    let mut statement = db.prepare(
        "SELECT expected.asset, expected.grp, expected.site, enrolment.step, enrolment.device,
                certificate.proved_ms IS NOT NULL,
                max(coalesce((enrolment.device IS NOT NULL) * 4611686018427387904 + enrolment.at_ms, 0))
         FROM expected
         LEFT JOIN enrolment ON enrolment.asset = expected.asset
         LEFT JOIN certificate ON certificate.device = enrolment.device
         GROUP BY expected.asset ORDER BY expected.asset",
    )?;
    let rows = statement.query_map([], |row| {
        let (step, device): (Option<i32>, Option<Vec<u8>>) = (row.get(3)?, row.get(4)?);
        let state = match (step, &device, row.get(5)?) {
            (None, ..) => "missing",
            (_, Some(_), true) => "seen",
            (_, Some(_), false) => "enrolled",
            _ => "waiting",
        };
        Ok(ExpectedView {
            asset: row.get(0)?,
            group: row.get(1)?,
            site: row.get(2)?,
            state,
            device: device.map(|bytes| device_name(&bytes)),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
