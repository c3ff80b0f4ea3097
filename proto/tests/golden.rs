//! Golden samples: the bytes of every message of the contract, of a record, of one sealed segment per lane, of a fork,
//! of a receipt, a checkpoint and a log entry. They are what other versions of agent and collector hold on their disks;
//! a sample, once shipped, never changes. A new version adds new samples beside them.
//!
//! `WATCHPOST_WRITE_GOLDEN=1 cargo test -p watchpost-proto --test golden` writes samples that do not exist yet. It
//! never overwrites one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::path::PathBuf;

use watchpost_proto::document::Signers;
use watchpost_proto::encryption::RecipientSecret;
use watchpost_proto::keys::{PublicKey, SigningKey, SoftwareKey};
use watchpost_proto::note::{Checkpoint, LogSigner, origin};
use watchpost_proto::policy::Policy;
use watchpost_proto::segment::{
    Encryption, Head, Link, Seal, decrypt, link, open_payload, read_statement, seal, seal_to, verify_signature,
};
use watchpost_proto::v1::{self, agent_message, collector_message, summary::Kind};
use watchpost_proto::{DeviceId, Digest, EpochId, LogId, Message, digest, log, merkle, note, receipt, record, roster};

const DEVICE: DeviceId = DeviceId([0xd1; 16]);
const EPOCH: EpochId = EpochId([0xe1; 16]);

/// The stored bytes of a sample. A missing one fails the test unless it is to be written.
fn golden(name: &str, make: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"));
    if !path.exists() && std::env::var_os("WATCHPOST_WRITE_GOLDEN").is_some() {
        let text = hex::encode(make());
        let lines: Vec<&str> = text.as_bytes().chunks(100).map(|line| std::str::from_utf8(line).unwrap()).collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("golden sample {name} is missing"));
    hex::decode(text.replace('\n', "")).unwrap()
}

/// A message whose encoding must be, byte for byte, what it was; and which must read back to the same value.
fn check_message<M: Message + Default + PartialEq + std::fmt::Debug>(name: &str, message: &M) {
    let stored = golden(name, || message.encode_to_vec());
    assert_eq!(hex::encode(message.encode_to_vec()), hex::encode(&stored), "{name} is encoded differently");
    assert_eq!(M::decode(&stored[..]).unwrap(), *message, "{name} reads back differently");
}

fn clocks() -> v1::Clocks {
    v1::Clocks {
        wall_ms: 1_795_053_600_000,
        monotonic_ms: 12_345,
        boot_id: vec![0xb0; 16],
        server_ms: 1_795_053_599_000,
    }
}

fn lane_head(lane: v1::Lane) -> v1::LaneHead {
    v1::LaneHead { lane: lane.into(), epoch: EPOCH.to_vec(), next_sequence: 7, head: vec![0x4e; 32] }
}

fn finding() -> v1::Finding {
    v1::Finding {
        finding_id: vec![0xf1; 32],
        corp: "wwEXAMPLE0001".into(),
        pack: "finance-conduct".into(),
        pack_version: 3,
        pack_digest: vec![0xaa; 32],
        rule: "fin.guaranteed-return".into(),
        category: "mis-selling".into(),
        level: v1::Level::High.into(),
        status: v1::RuleStatus::Live.into(),
        sla_s: 86_400,
        person: "wwEXAMPLE0001/li.na".into(),
        msgid: "9100000007777777777_1772416861007_external".into(),
        msgtime_ms: 1_772_416_861_007,
        msgtype: "text".into(),
        from: "wwEXAMPLE0001/li.na".into(),
        to: vec!["p_0011223344556677889900aa".into()],
        to_total: 1,
        room: "p_aabbccddeeff001122334455".into(),
        hits: vec![v1::Hit {
            selection: "promise".into(),
            field: "text.content".into(),
            start: 6,
            end: 11,
            word: "保本保收益".into(),
            ..v1::Hit::default()
        }],
        hits_capped: true,
        disclose: v1::Disclose::Masked.into(),
        excerpt: "＊保本保收益＊".into(),
        withdrawn: true,
        window: None,
    }
}

fn window() -> v1::Window {
    v1::Window {
        kind: "count".into(),
        within_ms: 600_000,
        first_ms: 1_772_416_861_007,
        last_ms: 1_772_416_922_014,
        count: 21,
        value: 22,
        msgids: vec!["9100000007777777777_1772416861007_external".into(), "m2".into()],
        open: true,
    }
}

fn self_check() -> v1::SelfCheck {
    v1::SelfCheck {
        number: 10,
        written_ms: 1_795_053_600_000,
        found_ms: 1_795_053_600_007,
        failed: true,
        reason: "not_found".into(),
        folders: vec![v1::FolderCheck {
            folder: vec![0xf0; 32],
            corp: "wwEXAMPLE0001".into(),
            unreadable: "permission".into(),
            exports: 12,
            expected: "daily by 09:00".into(),
            starved_ms: 1_795_050_000_000,
        }],
        folders_total: 2,
        folders_unreadable: 1,
    }
}

fn kinds() -> Vec<(&'static str, Kind)> {
    let counts = |names: [&str; 1]| names.into_iter().map(|name| (name.to_owned(), 2)).collect();
    vec![
        ("finding", Kind::Finding(finding())),
        (
            "log-change",
            Kind::LogChange(v1::LogChange { known: NOTE.into(), shown: NOTE.into(), introduced: true, kept: true }),
        ),
        (
            "tally",
            Kind::Tally(v1::Tally {
                account: "wwEXAMPLE0001/li.na".into(),
                hour: 498_625,
                revision: 4,
                sent: 10,
                received: 11,
                flagged: 1,
            }),
        ),
        (
            "file-report",
            Kind::FileReport(v1::FileReport {
                file: vec![0xf2; 32],
                corp: "wwEXAMPLE0001".into(),
                state: v1::FileState::SetAside.into(),
                reason: "vanished".into(),
                revision: 3,
                bytes: 4096,
                messages: 12,
                out_of_scope: 1,
                repeats: 2,
                findings: 3,
                defects: counts(["not_json"]),
                types: counts(["text"]),
                first_ms: 1_772_416_861_007,
                last_ms: 1_772_416_922_014,
                carrier: String::new(),
            }),
        ),
        (
            "loss",
            Kind::Loss(v1::Loss {
                reason: "file_vanished".into(),
                file: vec![0xf2; 32],
                from: 100,
                count: 200,
                unit: "bytes".into(),
            }),
        ),
        ("self-check", Kind::SelfCheck(v1::SelfCheck { number: 9, ..v1::SelfCheck::default() })),
        ("self-check-folders", Kind::SelfCheck(self_check())),
        (
            "policy-report",
            Kind::PolicyReport(v1::PolicyReport {
                policy: vec![0x71; 32],
                version: 3,
                group: "sales".into(),
                applied: true,
                reason: "rules".into(),
                detail: "a sentence".into(),
                compile_ms: 40,
                rules: 7,
                tried: 1000,
                flagged_before: 3,
                flagged_after: 4,
            }),
        ),
        ("goodbye", Kind::Goodbye(v1::Goodbye { cause: v1::GoodbyeCause::Shutdown.into(), at_ms: 1_795_053_600_000 })),
        (
            "notice-acknowledgement-text",
            Kind::NoticeAcknowledgement(v1::NoticeAcknowledgement {
                account: "wwEXAMPLE0001/li.na".into(),
                notice_version: 3,
                at_ms: 1_795_053_600_000,
                notice: vec![0x9f; 32],
            }),
        ),
        (
            "posture",
            Kind::Posture(v1::Posture {
                agent_version: "0.1.0".into(),
                os: "Windows 11".into(),
                memory_bytes: 8 << 30,
                disk_free_bytes: 1 << 30,
                backlog_records: 5,
            }),
        ),
        (
            "notice-acknowledgement",
            Kind::NoticeAcknowledgement(v1::NoticeAcknowledgement {
                account: "wwEXAMPLE0001/li.na".into(),
                notice_version: 2,
                at_ms: 1_795_053_600_000,
                ..v1::NoticeAcknowledgement::default()
            }),
        ),
        (
            "roster-report",
            Kind::RosterReport(v1::RosterReport {
                version: 8,
                digest: vec![0x7d; 32],
                refused: "older".into(),
                in_force: 9,
                managed: 10,
                never: 2,
            }),
        ),
        (
            "lookup",
            Kind::Lookup(v1::Lookup {
                msgid: "9100000007777777777_1772416861007_external".into(),
                corp: "wwEXAMPLE0001".into(),
                found: true,
                by: "archivist".into(),
                reason: "case 7".into(),
                at_ms: 1_795_053_600_000,
            }),
        ),
        (
            "unknown-accounts",
            Kind::UnknownAccounts(v1::UnknownAccounts {
                accounts: vec![v1::UnknownAccount {
                    corp: "wwEXAMPLE0001".into(),
                    pseudonym: "p_0011223344556677889900aa".into(),
                    messages: 3,
                    first_day: 20_770,
                    last_day: 20_776,
                }],
                total: 4,
            }),
        ),
        ("finding-window", Kind::Finding(v1::Finding { window: Some(window()), ..finding() })),
        ("finding-channel", Kind::Finding(v1::Finding { hits: vec![disguised()], ..finding() })),
    ]
}

/// A hit that says how it was recognised; the older sample has none.
fn disguised() -> v1::Hit {
    v1::Hit { channel: v1::Channel::Skipped.into(), obfuscated: true, ..finding().hits.remove(0) }
}

fn summary(kind: Kind) -> v1::Summary {
    v1::Summary {
        made_at_ms: 1_795_053_600_000,
        policy: vec![0x90; 32],
        roster_version: 6,
        retro: true,
        kind: Some(kind),
    }
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: origin("default", &LogId([0x10; 16])), size: 42, root: Digest([0x99; 32]) }
}

const NOTE: &str = "a checkpoint note";

fn a_policy(keys: v1::DocumentKeys) -> Policy {
    let said = v1::PolicyHeader {
        tenant: "default".into(),
        group: "sales".into(),
        version: 2,
        previous: vec![0x71; 32],
        fallback: vec![0x71; 32],
        keys: Some(keys),
        made_at_ms: 1_795_053_600_000,
        note: "more words".into(),
        settings: Some(v1::PolicySettings {
            disclose: 2,
            report_unknown_accounts: true,
            recipient: Some(v1::RecipientKey { suite: 1, public: vec![0x44; 32] }),
        }),
        roots: vec![vec![0x30, 0x01]],
        collectors_denied: vec![vec![0x55; 32]],
        ..v1::PolicyHeader::default()
    };
    let files = [
        (v1::PolicyRole::Pack, "1/a.yaml".to_owned(), b"pack: a".to_vec()),
        (v1::PolicyRole::Named, "1/words.txt".to_owned(), "保本\n".into()),
    ];
    Policy::make(said, &files).unwrap()
}

/// A policy that is on a disk is read, holds its signature and is called the same for ever.
#[test]
fn a_stored_policy_still_holds() {
    let stored = golden("policy", || {
        let key = sample_key();
        let mut policy = a_policy(Signers::pinned(key.public().id()).write());
        policy.sign(key).unwrap();
        policy.encode()
    });
    let read = Policy::read(&stored).unwrap();
    let made = a_policy(read.header.signers.write());
    assert_eq!((&read.header.bytes, read.contents()), (&made.header.bytes, made.contents()));
    assert_eq!(read.header.check_signed_by(&read.header.signers), Ok(()));
    let name = golden("policy-digest", || made.header.digest.to_vec());
    assert_eq!(read.header.digest.to_vec(), name);
    check_message(
        "policy-entry",
        &v1::PolicyEntry {
            verb: v1::PolicyVerb::Publish.into(),
            policy: vec![0x71; 32],
            header: vec![1, 2, 3],
            signatures: vec![v1::DocumentSignature { spki: vec![4], signature: vec![5] }],
            rollout: Some(v1::Rollout { rings: vec![500, 10_000], soak_ms: 6, fall_back: true }),
            ring: 1,
            by: "operator".into(),
            reason: "reason".into(),
            at_ms: 7,
        },
    );
}

fn a_receipt() -> v1::Receipt {
    v1::Receipt {
        format: receipt::FORMAT,
        tenant: "default".into(),
        device: DEVICE.to_vec(),
        epoch: EPOCH.to_vec(),
        lane: v1::Lane::Urgent.into(),
        through_sequence: 6,
        statement_digest: vec![0x4e; 32],
        received_at_ms: 1_795_053_601_000,
        checkpoint: NOTE.into(),
        log_id: vec![0x10; 16],
    }
}

fn a_log_key() -> v1::LogKey {
    v1::LogKey {
        format: receipt::FORMAT,
        tenant: "default".into(),
        log_id: vec![0x10; 16],
        origin: checkpoint().origin,
        ed25519: vec![0xed; 32],
        at_ms: 1_795_053_600_000,
        previous_log_id: vec![0x11; 16],
        previous_size: 41,
        previous_root: vec![0x98; 32],
    }
}

#[test]
fn every_kind_of_summary() {
    for (name, kind) in kinds() {
        check_message(&format!("summary-{name}"), &summary(kind));
    }
}

#[test]
fn every_message_of_an_agent() {
    use agent_message::Kind::{Heartbeat, Hello, Ready, Segment};
    let messages = [
        (
            "hello",
            Hello(v1::Hello {
                protocol: 1,
                tenant: "default".into(),
                device: DEVICE.to_vec(),
                instance: vec![0x15; 16],
                agent_version: "0.1.0".into(),
                epoch: EPOCH.to_vec(),
                lanes: vec![lane_head(v1::Lane::Urgent), lane_head(v1::Lane::Bulk)],
                clocks: Some(clocks()),
                checkpoint: NOTE.into(),
                policy: vec![0x90; 32],
                ..v1::Hello::default()
            }),
        ),
        (
            "hello-receipts",
            Hello(v1::Hello {
                receipts: vec![v1::SignedReceipt {
                    receipt: a_receipt().encode_to_vec(),
                    signature: vec![7; 8],
                    key_id: vec![0x1d; 32],
                }],
                ..v1::Hello::default()
            }),
        ),
        ("ready", Ready(v1::Ready { nonce: vec![0x0c; 16] })),
        ("segment", Segment(v1::Segment { statement: vec![1, 2], signature: vec![3, 4], payload: vec![5, 6] })),
        (
            "heartbeat",
            Heartbeat(v1::Heartbeat {
                clocks: Some(clocks()),
                backlog_records: 3,
                backlog_bytes: 4,
                resting: "outbox_full".into(),
                files_waiting: 5,
                ..v1::Heartbeat::default()
            }),
        ),
        (
            "heartbeat-waits",
            Heartbeat(v1::Heartbeat {
                every_ms: 60_000,
                record_waits_ms: 7,
                export_waits_ms: 8,
                ..v1::Heartbeat::default()
            }),
        ),
    ];
    for (name, kind) in messages {
        check_message(&format!("agent-{name}"), &v1::AgentMessage { kind: Some(kind) });
    }
}

#[test]
fn every_message_of_a_collector() {
    use collector_message::Kind::{Heads, HeartbeatReply, Held, Receipt, Refusal, Welcome};
    let signed_receipt =
        v1::SignedReceipt { receipt: a_receipt().encode_to_vec(), signature: vec![7; 8], key_id: vec![0x1d; 32] };
    let signed_log_key =
        v1::SignedLogKey { log_key: a_log_key().encode_to_vec(), signature: vec![8; 8], key_id: vec![0x1d; 32] };
    let messages = [
        (
            "welcome",
            Welcome(v1::Welcome {
                server_ms: 1_795_053_601_000,
                nonce: vec![0x0c; 16],
                log_id: vec![0x10; 16],
                lanes: vec![v1::LaneWelcome {
                    held: Some(lane_head(v1::Lane::Urgent)),
                    standing: v1::Standing::Behind.into(),
                    receipt: Some(signed_receipt.clone()),
                    credit: 64,
                }],
                pace: Some(v1::Pace {
                    slot_ms: 1,
                    bytes_per_second: 2,
                    lanes: vec![v1::Lane::Urgent.into()],
                    heartbeat_ms: 3,
                }),
                checkpoint: NOTE.into(),
                consistency: vec![vec![0x77; 32]],
                checkpoint_unknown: true,
                signer_chain: vec![vec![0x30, 0x01]],
                log_key: Some(signed_log_key),
                policy_offer: vec![0x91; 32],
                ..v1::Welcome::default()
            }),
        ),
        (
            "welcome-restored",
            Welcome(v1::Welcome {
                missing: vec![lane_head(v1::Lane::Urgent)],
                earlier_logs: vec![v1::SignedLogKey {
                    log_key: a_log_key().encode_to_vec(),
                    signature: vec![8; 8],
                    key_id: vec![0x1d; 32],
                }],
                ..v1::Welcome::default()
            }),
        ),
        ("receipt", Receipt(signed_receipt)),
        ("held", Held(v1::Held { lane: v1::Lane::Bulk.into(), epoch: EPOCH.to_vec(), through_sequence: 3 })),
        ("heads", Heads(v1::Heads { lanes: vec![lane_head(v1::Lane::Bulk)] })),
        (
            "refusal",
            Refusal(v1::Refusal {
                code: "device_revoked".into(),
                sentence_zh: "此设备已被停用。".into(),
                sentence_en: "This device has been revoked.".into(),
                retry_after_ms: 3_600_000,
            }),
        ),
        (
            "heartbeat-reply",
            HeartbeatReply(v1::HeartbeatReply { server_ms: 1_795_053_601_000, checkpoint: NOTE.into() }),
        ),
    ];
    for (name, kind) in messages {
        check_message(&format!("collector-{name}"), &v1::CollectorMessage { kind: Some(kind) });
    }
}

#[test]
fn every_header_of_the_log() {
    check_message(
        "log-opened",
        &v1::LogOpened {
            log_key: Some(v1::SignedLogKey {
                log_key: a_log_key().encode_to_vec(),
                signature: vec![8; 8],
                key_id: vec![0x1d; 32],
            }),
            signer_chain: vec![vec![0x30, 0x01]],
            ..v1::LogOpened::default()
        },
    );
    check_message(
        "log-opened-successor",
        &v1::LogOpened {
            cause: v1::SuccessionCause::Contradicted.into(),
            closing: NOTE.into(),
            highest: NOTE.into(),
            shown_by: DEVICE.to_vec(),
            ..v1::LogOpened::default()
        },
    );
    check_message(
        "log-shown",
        &v1::LogShown { device: DEVICE.to_vec(), checkpoint: NOTE.into(), at_ms: 1_795_053_600_000 },
    );
    check_message(
        "log-shortfall",
        &v1::Shortfall {
            device: DEVICE.to_vec(),
            missing: vec![v1::MissingRun {
                receipt: Some(v1::SignedReceipt {
                    receipt: a_receipt().encode_to_vec(),
                    signature: vec![7; 8],
                    key_id: vec![0x1d; 32],
                }),
                from_sequence: 3,
            }],
            at_ms: 1_795_053_600_000,
        },
    );
    check_message(
        "log-key-event",
        &v1::KeyEvent {
            device: DEVICE.to_vec(),
            key_id: vec![0x1d; 32],
            chain: vec![vec![0x30, 0x02]],
            at_ms: 1_795_053_600_000,
            cause: 0,
        },
    );
    check_message(
        "log-segment",
        &v1::SegmentEntry {
            statement: vec![1, 2],
            signature: vec![3, 4],
            key_id: vec![0x1d; 32],
            received_at_ms: 1_795_053_601_000,
        },
    );
    check_message(
        "log-acknowledgements",
        &v1::AcknowledgementsEntry {
            rows: vec![v1::ImportedAcknowledgement {
                account: "wwEXAMPLE0001/li.na".into(),
                notice_version: 3,
                at_ms: 1_795_053_600_000,
                source: "OA".into(),
            }],
            list: vec![0x9e; 32],
            by: "ops".into(),
            reason: "paper forms".into(),
            at_ms: 1_795_053_601_000,
        },
    );
    check_message(
        "log-names",
        &v1::NamesEntry {
            added: vec![vec![0x9a; 32], vec![0x9b; 32]],
            removed: vec![vec![0x9c; 32]],
            by: "ops".into(),
            reason: "new list".into(),
            at_ms: 1_795_053_601_000,
            ..v1::NamesEntry::default()
        },
    );
    check_message(
        "log-words",
        &v1::WordsEntry {
            verb: v1::WordsVerb::Propose.into(),
            list: "products".into(),
            pack: "sales".into(),
            file: "words/products.txt".into(),
            words: vec![vec![0x3a; 32], vec![0x3b; 32]],
            replaces: vec![vec![], vec![0x3c; 32]],
            by: "li.na".into(),
            reason: "new products".into(),
            at_ms: 1_795_053_601_000,
        },
    );
    check_message(
        "word-row",
        &v1::WordRow { word: "保本".into(), note: "监管要求".into(), expires_ms: 1_795_053_601_000 },
    );
    check_message(
        "named-row",
        &v1::NamedRow {
            pseudonym: "p_0011223344556677889900aa".into(),
            kind: v1::NameKind::Room.into(),
            name: "理财一群".into(),
        },
    );
    check_message(
        "log-device-action",
        &v1::DeviceAction {
            device: DEVICE.to_vec(),
            verb: v1::DeviceVerb::Quarantine.into(),
            by: "collector".into(),
            reason: "fork".into(),
            at_ms: 1_795_053_601_000,
        },
    );
    check_message(
        "log-erasure",
        &v1::Erasure {
            scope: Some(v1::erasure::Scope::Device(v1::DeviceRecords {
                device: DEVICE.to_vec(),
                before_ms: 1_795_053_600_000,
            })),
            by: "wang".into(),
            reason: "retention".into(),
            at_ms: 1_795_053_601_000,
            records: vec![v1::ErasedRecords { log_index: 300, places: vec![0, 200] }],
        },
    );
    check_message(
        "log-hold",
        &v1::Hold {
            scope: Some(v1::hold::Scope::Person("wwEXAMPLE0001/li.na".into())),
            lifted: true,
            by: "wang".into(),
            reason: "case closed".into(),
            at_ms: 1_795_053_602_000,
        },
    );
}

#[test]
fn what_people_do_with_alerts_is_as_it_was() {
    check_message(
        "log-alert",
        &v1::AlertEntry {
            alerts: vec![vec![0xf1; 32], vec![0xf2; 32]],
            verb: v1::AlertVerb::Close.into(),
            assignee: "li.na".into(),
            resolution: v1::Resolution::Duplicate.into(),
            duplicate_of: vec![0xf3; 32],
            note: vec![0x0e; 32],
            step: 2,
            by: "wang".into(),
            at_ms: 1_795_053_603_000,
        },
    );
    check_message(
        "log-suppression",
        &v1::SuppressionEntry {
            id: vec![0x51; 16],
            verb: v1::SuppressionVerb::Begin.into(),
            kind: v1::SuppressionKind::Maintenance.into(),
            pack: "sample".into(),
            rule: "sample.rule".into(),
            person: "wwEXAMPLE0001/li.na".into(),
            department: "销售".into(),
            site: "hangzhou".into(),
            device: vec![0xd1; 16],
            from_ms: 1_795_053_600_000,
            until_ms: 1_795_140_000_000,
            by: "wang".into(),
            reason: "course".into(),
            at_ms: 1_795_053_603_000,
        },
    );
    check_message(
        "log-case",
        &v1::CaseEntry {
            id: vec![0xca; 16],
            verb: v1::CaseVerb::Close.into(),
            person: "wwEXAMPLE0001/li.na".into(),
            alerts: vec![vec![0xf1; 32]],
            outcome: v1::CaseOutcome::Warning.into(),
            note: vec![0x0e; 32],
            by: "wang".into(),
            at_ms: 1_795_053_603_000,
        },
    );
    check_message(
        "log-setting",
        &v1::SettingEntry {
            name: "calendar/hangzhou".into(),
            value: "\"base: cn\"".into(),
            by: "wang".into(),
            reason: "agreed".into(),
            at_ms: 1_795_053_603_000,
        },
    );
    check_message(
        "log-access",
        &v1::AccessEntry {
            verb: v1::AccessVerb::Exported.into(),
            by: "wang".into(),
            subject: "level:high".into(),
            reason: "weekly".into(),
            address: "192.0.2.1".into(),
            rows: 17,
            at_ms: 1_795_053_603_000,
        },
    );
}

#[test]
fn every_step_of_a_notification() {
    let planned = v1::NotificationEntry {
        id: vec![0x4e; 32],
        verb: v1::NotificationVerb::Planned.into(),
        target: "duty".into(),
        route: "night".into(),
        tells: vec![v1::ToldOf {
            alert: vec![0xa1; 32],
            what: v1::ToldWhat::Escalated.into(),
            mark: 1_795_053_600_000,
        }],
        by: "collector".into(),
        at_ms: 1_795_053_601_000,
        ..v1::NotificationEntry::default()
    };
    check_message("log-notification-planned", &planned);
    check_message(
        "log-notification-failed",
        &v1::NotificationEntry {
            id: vec![0x4e; 32],
            verb: v1::NotificationVerb::Failed.into(),
            attempt: 2,
            status: 200,
            errcode: 45009,
            reason: "too_often".into(),
            next_ms: 1_795_053_662_000,
            by: "collector".into(),
            at_ms: 1_795_053_602_000,
            ..v1::NotificationEntry::default()
        },
    );
}

#[test]
fn what_becomes_of_operators_is_as_it_was() {
    let grant = v1::OperatorGrant {
        role: v1::OperatorRole::Supervisor.into(),
        scopes: vec![v1::OperatorScope { department: "销售".into(), site: "shanghai".into() }],
        may_export: true,
        own_accounts: vec![0x0a; 32],
        sample_per_cent: 5,
        sample_until_ms: 1_795_053_700_000,
        ..v1::OperatorGrant::default()
    };
    check_message(
        "log-operator",
        &v1::OperatorEntry {
            verb: v1::OperatorVerb::Invited.into(),
            operator: "li.na".into(),
            grant: Some(grant),
            secret: vec![0x5e; 32],
            expires_ms: 1_795_053_900_000,
            password: vec![0x0b; 32],
            totp: vec![0x0c; 32],
            token: vec![0x0d; 32],
            label: "nightly".into(),
            token_scopes: vec!["see-alerts".into()],
            by: "wang".into(),
            reason: "joins".into(),
            at_ms: 1_795_053_603_000,
            ..v1::OperatorEntry::default()
        },
    );
    check_message("operator-accounts", &v1::OwnAccounts { accounts: vec!["wwEXAMPLE0001/li.na".into()] });
    check_message(
        "operator-password",
        &v1::OperatorPassword { salt: vec![7; 16], hash: vec![9; 32], memory_kib: 19 * 1024, passes: 2, lanes: 1 },
    );
}

fn a_roster_row() -> v1::RosterRow {
    v1::RosterRow {
        corp: "wwEXAMPLE0001".into(),
        userid: "li.na".into(),
        periods: vec![v1::RosterPeriod {
            from_ms: 1_795_017_600_000,
            until_ms: 1_795_104_000_000,
            labels: vec!["销售".into(), "上海".into()],
            status: "在职".into(),
            ..v1::RosterPeriod::default()
        }],
        never: true,
        details: roster::details_digest(b"details").to_vec(),
    }
}

#[test]
fn a_signed_roster_still_counts() {
    let never = ["wwEXAMPLE0001/li.na"];
    let stored = golden("signed-roster", || {
        let key = sample_key();
        let tree = roster::Tree::of(vec![roster::leaf_of(never[0], &a_roster_row().encode_to_vec())]);
        let header = v1::RosterHeader {
            format: roster::FORMAT,
            tenant: "default".into(),
            version: 9,
            previous: vec![0x7c; 32],
            next: Some(Signers::pinned(key.public().id()).write()),
            made_at_ms: 1_795_053_600_000,
            root: tree.root().to_vec(),
            rows: 1,
            never: roster::never_digest(never).to_vec(),
            never_count: 1,
        };
        let held = v1::HeldRoster {
            header: Some(roster::sign(&header, &[key]).unwrap()),
            only: never.map(str::to_owned).to_vec(),
            never: never.map(str::to_owned).to_vec(),
            answers: vec![tree.answer(never[0], |_| None)],
            rows: vec![a_roster_row().encode_to_vec()],
        };
        held.encode_to_vec()
    });
    let held = v1::HeldRoster::decode(&stored[..]).unwrap();
    let header = roster::read_header(&held.header.unwrap(), "default").unwrap();
    assert_eq!((header.header.version, roster::check_never(&header, &held.never)), (9, Ok(())));
    assert_eq!(roster::check_all(&header, held.rows.iter().map(|row| &row[..])), Ok(vec![a_roster_row()]));
    let answer = v1::RosterAnswer { row: held.rows[0].clone(), ..held.answers[0].clone() };
    assert_eq!(roster::check_some(&header, &held.only, &[answer]), Ok(vec![a_roster_row()]));
}

#[test]
fn digests_of_records_statements_entries_and_trees() {
    let record = record::encode(&summary(kinds().remove(0).1), [0x5a; 16]).unwrap();
    let entry = log::entry_digest(v1::EntryKind::Segment, &[0x5a; 16], b"header");
    let parts = [
        merkle::leaf_hash(&record),
        watchpost_proto::segment::statement_digest(b"statement"),
        entry,
        log::entry_leaf(&entry),
        merkle::root(&[Digest([1; 32]), Digest([2; 32]), Digest([3; 32])]),
        digest::hash("domain", &[b"one", b"", b"three"]),
    ];
    let bytes: Vec<u8> = parts.iter().flat_map(|digest| digest.0).collect();
    assert_eq!(hex::encode(&bytes), hex::encode(golden("digests", || bytes.clone())));
}

/// Segments are signed with a random nonce, so the samples are kept and opened, never made again.
struct SealedSample {
    spki: Vec<u8>,
    segment: v1::Segment,
}

impl SealedSample {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = (self.spki.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.spki);
        bytes.extend(self.segment.encode_to_vec());
        bytes
    }

    fn read(bytes: &[u8]) -> Self {
        let (length, rest) = bytes.split_first_chunk::<4>().unwrap();
        let (spki, segment) = rest.split_at(u32::from_be_bytes(*length) as usize);
        Self { spki: spki.to_vec(), segment: v1::Segment::decode(segment).unwrap() }
    }
}

/// One key for all sealed samples of a run that writes them.
fn sample_key() -> &'static SoftwareKey {
    static KEY: std::sync::OnceLock<SoftwareKey> = std::sync::OnceLock::new();
    KEY.get_or_init(|| SoftwareKey::generate().unwrap().0)
}

fn sample_seal(lane: v1::Lane, head: Head) -> Seal<'static> {
    Seal {
        tenant: "default",
        device: DEVICE,
        lane,
        head,
        epoch_start: (head.next == 0).then(|| v1::EpochStart {
            previous_epoch: vec![0xe0; 16],
            next_sequence: 12,
            head: vec![0x4d; 32],
            cause: v1::EpochCause::Restored.into(),
        }),
        clocks: clocks(),
        agent_version: "0.1.0",
    }
}

fn seal_sample(lane: v1::Lane, head: Head, kind: Kind, salt: u8) -> SealedSample {
    let record = record::encode(&summary(kind), [salt; 16]).unwrap();
    let sealed = seal(&sample_seal(lane, head), &[record], sample_key()).unwrap();
    SealedSample { spki: sample_key().public().spki().to_vec(), segment: sealed.segment }
}

fn open_sample(name: &str, make: impl FnOnce() -> SealedSample) -> watchpost_proto::segment::ReadStatement {
    let sample = SealedSample::read(&golden(name, || make().bytes()));
    let key = PublicKey::from_spki(&sample.spki).unwrap();
    verify_signature(&sample.segment.statement, &sample.segment.signature, &key).unwrap();
    let read = read_statement(&sample.segment.statement).unwrap();
    assert_eq!(open_payload(&read.statement, &sample.segment.payload).unwrap().len(), 1, "{name}");
    assert_eq!((read.device, read.key_id, read.epoch), (DEVICE, key.id(), EPOCH), "{name}");
    read
}

#[test]
fn a_sealed_segment_of_each_lane_and_a_fork_still_open() {
    let start = Head::start(EPOCH);
    let mut kinds = kinds();
    let (finding, tally, loss) = (kinds.remove(0).1, kinds.remove(0).1, kinds.remove(1).1);
    let urgent = open_sample("sealed-urgent", || seal_sample(v1::Lane::Urgent, start, finding, 1));
    let bulk = open_sample("sealed-bulk", || seal_sample(v1::Lane::Bulk, start, tally, 2));
    let fork = open_sample("sealed-fork", || seal_sample(v1::Lane::Urgent, start, loss, 3));
    assert_eq!((urgent.lane, bulk.lane), (v1::Lane::Urgent, v1::Lane::Bulk));
    assert_eq!(urgent.statement.epoch_start.as_ref().unwrap().cause(), v1::EpochCause::Restored);
    // The same place, twice, with other content.
    assert_eq!((fork.lane, fork.statement.sequence), (urgent.lane, urgent.statement.sequence));
    assert_ne!(fork.digest, urgent.digest);
    assert_eq!((link(&start, &urgent), link(&start, &fork)), (Link::Next, Link::Next));
}

/// Key and random bytes are fixed, so the encrypted bytes are pinned, too, and not only that they open.
#[test]
fn an_encrypted_segment_still_opens() {
    let (secret, der) = RecipientSecret::generate([0x5e; 32]).unwrap();
    assert_eq!(golden("recipient-secret", || der.to_vec()), *der);
    assert_eq!(
        golden("recipient-text", || secret.recipient().to_string().into()),
        secret.recipient().to_string().as_bytes()
    );
    check_message("recipient-key", &secret.recipient().key());
    let finding = kinds().remove(0).1;
    let record = record::encode(&summary(finding), [4; 16]).unwrap();
    let make = || {
        let encryption = Encryption { recipient: secret.recipient(), entropy: [0xe4; 32] };
        let what = sample_seal(v1::Lane::Urgent, Head::start(EPOCH));
        seal_to(&what, &[&record], sample_key(), Some(encryption)).unwrap().segment
    };
    let bytes = golden("sealed-encrypted", || {
        SealedSample { spki: sample_key().public().spki().to_vec(), segment: make() }.bytes()
    });
    let sample = SealedSample::read(&bytes);
    let key = PublicKey::from_spki(&sample.spki).unwrap();
    verify_signature(&sample.segment.statement, &sample.segment.signature, &key).unwrap();
    let read = read_statement(&sample.segment.statement).unwrap();
    let plain = decrypt(&read.statement, sample.segment.payload.clone(), |_| Some(&secret)).unwrap();
    assert_eq!(record::unframe(&plain).unwrap(), [&record[..]]);
    assert_eq!(hex::encode(make().payload), hex::encode(&sample.segment.payload), "it is encrypted differently");
}

#[test]
fn a_signed_receipt_log_key_and_checkpoint_still_open() {
    let (collector, _) = SoftwareKey::generate().unwrap();
    let key = PublicKey::from_spki(&golden("signer-spki", || {
        // Written together with the two samples it signs, so that they belong together.
        let receipt = receipt::sign_receipt(&a_receipt(), &collector).unwrap();
        let log_key = receipt::sign_log_key(&a_log_key(), &collector).unwrap();
        golden("signed-receipt", || receipt.encode_to_vec());
        golden("signed-log-key", || log_key.encode_to_vec());
        collector.public().spki().to_vec()
    }))
    .unwrap();
    let signed = v1::SignedReceipt::decode(&golden("signed-receipt", Vec::new)[..]).unwrap();
    assert_eq!(receipt::open_receipt(&signed, &key), Some(a_receipt()));
    let signed = v1::SignedLogKey::decode(&golden("signed-log-key", Vec::new)[..]).unwrap();
    assert_eq!(receipt::open_log_key(&signed, &key), Some(a_log_key()));

    let stored = golden("checkpoint", || {
        let (signer, _) = LogSigner::generate().unwrap();
        [&signer.public()[..], signer.sign(&checkpoint()).as_bytes()].concat()
    });
    let (public, note) = stored.split_first_chunk::<32>().unwrap();
    assert_eq!(note::open(std::str::from_utf8(note).unwrap(), public), Some(checkpoint()));
}
