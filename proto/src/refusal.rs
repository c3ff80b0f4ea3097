//! Refusals: a code for machines, one plain sentence in two languages for the help desk, and when to try again.
//! None is terminal.

use std::time::Duration;

use crate::v1::Refusal;

const SOON: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Why a collector does not go on with an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The device is on the deny-list.
    DeviceRevoked,
    /// The device's certificate has ended.
    CertificateExpired,
    /// The device's certificate is not valid yet by the collector's clock.
    CertificateNotYetValid,
    /// Hello names another device than the certificate.
    WrongDevice,
    /// Hello or a statement names another tenant than the certificate.
    WrongTenant,
    /// The first message was not a Hello, or a message came out of turn.
    OutOfTurn,
    /// The agent speaks a version this collector does not.
    ProtocolUnsupported,
    /// A newer process of the same device has connected.
    Superseded,
    /// A message is malformed.
    Malformed,
    /// A segment is larger than allowed.
    TooLarge,
    /// A statement names a key the collector has never seen a valid certificate for.
    KeyUnknown,
    /// A signature does not hold.
    SignatureInvalid,
    /// A payload is not the one that was signed.
    PayloadAltered,
    /// A statement needs a format, compression or encryption this collector does not know.
    FormatUnsupported,
    /// A segment is encrypted to a key the collector does not hold.
    RecipientUnknown,
    /// A second statement for the same place in a chain.
    Fork,
    /// More segments are under way than the credit allows.
    OverCredit,
    /// The collector cannot store anything now.
    StorageFailed,
    /// The collector is stopping.
    Stopping,
    /// No token has this credential.
    TokenUnknown,
    /// The token's time is over.
    TokenExpired,
    /// The token has been used as often as it may be.
    TokenUsedUp,
    /// The token was withdrawn.
    TokenRevoked,
    /// Somebody has to admit the device first.
    ApprovalPending,
    /// Somebody decided not to admit the device.
    ApprovalRejected,
    /// The certificate request is not one, or not signed by its own key.
    RequestInvalid,
    /// This collector issues no certificates.
    EnrolmentClosed,
    /// Too many ask at once.
    Busy,
    /// The connection was made for another service.
    WrongService,
}

impl Code {
    /// Every code, for documents and tests.
    pub const ALL: [Self; 29] = [
        Self::DeviceRevoked,
        Self::CertificateExpired,
        Self::CertificateNotYetValid,
        Self::WrongDevice,
        Self::WrongTenant,
        Self::OutOfTurn,
        Self::ProtocolUnsupported,
        Self::Superseded,
        Self::Malformed,
        Self::TooLarge,
        Self::KeyUnknown,
        Self::SignatureInvalid,
        Self::PayloadAltered,
        Self::FormatUnsupported,
        Self::RecipientUnknown,
        Self::Fork,
        Self::OverCredit,
        Self::StorageFailed,
        Self::Stopping,
        Self::TokenUnknown,
        Self::TokenExpired,
        Self::TokenUsedUp,
        Self::TokenRevoked,
        Self::ApprovalPending,
        Self::ApprovalRejected,
        Self::RequestInvalid,
        Self::EnrolmentClosed,
        Self::Busy,
        Self::WrongService,
    ];

    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// Reads a code from the wire; `None` for one of a later version.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// How long an agent waits before it tries again.
    pub fn retry_after(self) -> Duration {
        self.facts().1
    }

    /// The message that tells the agent.
    pub fn refusal(self) -> Refusal {
        let (code, retry_after, zh, en) = self.facts();
        Refusal {
            code: code.into(),
            sentence_zh: zh.into(),
            sentence_en: en.into(),
            retry_after_ms: retry_after.as_millis() as u64,
        }
    }

    fn facts(self) -> (&'static str, Duration, &'static str, &'static str) {
        match self {
            Self::DeviceRevoked => (
                "device_revoked",
                HOUR,
                "此设备已被停用；如属误操作，请管理员执行 device release。",
                "This device has been revoked; if that was a mistake, an administrator can run device release.",
            ),
            Self::CertificateExpired => (
                "certificate_expired",
                HOUR,
                "设备证书已过期，请续发证书；本机数据仍安全保存。",
                "The device certificate has expired and must be renewed; data on the device is kept.",
            ),
            Self::CertificateNotYetValid => (
                "certificate_not_yet_valid",
                MINUTE,
                "设备证书尚未生效，请检查本机与采集端的时钟。",
                "The device certificate is not valid yet; check the clocks of the device and the collector.",
            ),
            Self::WrongDevice => (
                "wrong_device",
                HOUR,
                "设备标识与证书不符，请检查证书文件是否属于本机。",
                "The device id does not match the certificate; check that the certificate belongs to this machine.",
            ),
            Self::WrongTenant => (
                "wrong_tenant",
                HOUR,
                "租户与证书不符，请检查是否连接了正确的采集端。",
                "The tenant does not match the certificate; check that this is the right collector.",
            ),
            Self::OutOfTurn => (
                "out_of_turn",
                MINUTE,
                "通信次序有误，请将设备端与采集端升级到相容的版本。",
                "A message came out of turn; update agent and collector to versions that fit.",
            ),
            Self::ProtocolUnsupported => (
                "protocol_unsupported",
                HOUR,
                "采集端不支持此设备端的协议版本，请先升级采集端。",
                "The collector does not speak this agent's protocol version; update the collector first.",
            ),
            Self::Superseded => (
                "superseded",
                MINUTE,
                "同一设备的另一进程已连接；若本机只运行一个，请检查是否有克隆的机器。",
                "Another process of this device has connected; if only one runs here, look for a cloned machine.",
            ),
            Self::Malformed => (
                "malformed",
                MINUTE,
                "收到的数据格式有误，请检查中间设备是否改动了流量。",
                "The data received is malformed; check whether something on the way alters traffic.",
            ),
            Self::TooLarge => (
                "too_large",
                MINUTE,
                "数据段超过允许的大小，请升级设备端。",
                "A segment is larger than allowed; update the agent.",
            ),
            Self::KeyUnknown => (
                "key_unknown",
                MINUTE,
                "采集端不认识签名所用的密钥，请用该密钥的证书重新连接一次。",
                "The collector does not know the signing key; connect once with that key's certificate.",
            ),
            Self::SignatureInvalid => (
                "signature_invalid",
                MINUTE,
                "签名无效，数据未被接收；请检查设备密钥与证书是否成对。",
                "A signature does not hold and nothing was taken; check that key and certificate belong together.",
            ),
            Self::PayloadAltered => (
                "payload_altered",
                MINUTE,
                "数据与签名不符，未被接收；请检查磁盘与中间设备。",
                "Data differs from what was signed and was not taken; check the disk and anything on the way.",
            ),
            Self::FormatUnsupported => (
                "format_unsupported",
                HOUR,
                "采集端不支持此数据格式，请先升级采集端。",
                "The collector does not know this data format; update the collector first.",
            ),
            Self::RecipientUnknown => (
                "recipient_unknown",
                MINUTE,
                "采集端没有解密此设备数据的密钥，数据仍保存在本机；请管理员将该密钥放回采集端（key encryption list）。",
                "The collector does not hold the key this device encrypts to, and the data is kept on the device; an administrator has to put the key back (key encryption list).",
            ),
            Self::Fork => (
                "fork",
                SOON,
                "同一序号出现两份不同的记录，设备已被隔离；请检查是否有克隆或还原的机器。",
                "Two different records exist for one place, and the device is quarantined; look for a clone or a restored disk.",
            ),
            Self::OverCredit => (
                "over_credit",
                SOON,
                "在途数据超过限额，稍后自动重试。",
                "More data is under way than allowed; it is sent again shortly.",
            ),
            Self::StorageFailed => (
                "storage_failed",
                MINUTE,
                "采集端暂时无法写入磁盘，数据仍保存在本机，稍后自动重试。",
                "The collector cannot write to its disk now; data is kept on the device and sent again.",
            ),
            Self::Stopping => (
                "stopping",
                SOON,
                "采集端正在重启，稍后自动重试。",
                "The collector is restarting; the agent tries again shortly.",
            ),
            Self::TokenUnknown => (
                "token_unknown",
                HOUR,
                "采集端不认识此注册码；请核对是否复制完整、是否为本采集端签发。",
                "The collector does not know this token; check that it was copied whole and made by this collector.",
            ),
            Self::TokenExpired => (
                "token_expired",
                HOUR,
                "注册码已过期，请向管理员索取新的注册码。",
                "The token has expired; ask the administrator for a new one.",
            ),
            Self::TokenUsedUp => (
                "token_used_up",
                HOUR,
                "注册码的使用次数已满，请向管理员索取新的注册码。",
                "The token has been used as often as it may be; ask the administrator for a new one.",
            ),
            Self::TokenRevoked => (
                "token_revoked",
                HOUR,
                "注册码已被撤销，请向管理员索取新的注册码。",
                "The token has been withdrawn; ask the administrator for a new one.",
            ),
            Self::ApprovalPending => (
                "approval_pending",
                MINUTE,
                "注册申请已提交，等待管理员批准；设备会自动重试。",
                "The device waits to be admitted by an administrator; it asks again by itself.",
            ),
            Self::ApprovalRejected => (
                "approval_rejected",
                HOUR,
                "注册申请未获批准；如属误操作，请管理员执行 device admit。",
                "The device was not admitted; if that was a mistake, an administrator can run device admit.",
            ),
            Self::RequestInvalid => (
                "request_invalid",
                HOUR,
                "证书申请无效，请升级设备端后重试。",
                "The certificate request is not valid; update the agent and try again.",
            ),
            Self::EnrolmentClosed => (
                "enrolment_closed",
                HOUR,
                "此采集端不签发设备证书，请联系管理员。",
                "This collector issues no device certificates; ask the administrator.",
            ),
            Self::Busy => (
                "busy",
                SOON,
                "同时申请的设备过多，稍后自动重试。",
                "Too many devices ask at once; the device asks again shortly.",
            ),
            Self::WrongService => (
                "wrong_service",
                HOUR,
                "此连接不能使用该服务，请升级设备端。",
                "This connection was made for another service; update the agent.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_speaks_both_languages() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(code));
            let refusal = code.refusal();
            assert!(refusal.sentence_zh.ends_with('。') && refusal.sentence_en.ends_with('.'), "{code:?}");
            assert!(refusal.retry_after_ms >= 1000, "{code:?} would be hammered");
        }
        assert_eq!(Code::parse("of_a_later_version"), None);
    }
}
