//! Bounds of the contract. Both sides check them: the agent so that it never makes what would be refused, the
//! collector because it trusts nobody.

/// Longest record, salt included, in bytes.
pub const RECORD_BYTES_MAX: usize = 16 * 1024;
/// Longest payload of a segment in bytes.
pub const SEGMENT_BYTES_MAX: usize = 512 * 1024;
/// Most records in one segment. Bounds the work a small payload of empty records could cause.
pub const SEGMENT_RECORDS_MAX: usize = 8 * 1024;
/// Longest encoded statement in bytes; about four times what one needs.
pub const STATEMENT_BYTES_MAX: usize = 2 * 1024;
/// Longest message on the wire: a segment with its statement and signature, and room to spare.
pub const MESSAGE_BYTES_MAX: usize = SEGMENT_BYTES_MAX + 16 * 1024;
/// Longest tenant name in bytes.
pub const TENANT_BYTES_MAX: usize = 32;
/// Segments an agent may have under way in one lane before a receipt.
pub const LANE_CREDIT: u32 = 64;
