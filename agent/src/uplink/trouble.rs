//! What stands between this device and its collector, in words for the help desk.

use std::error::Error as StdError;
use std::io;

/// A connection that did not come about, or broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nobody answers at the address.
    Unreachable(String),
    /// Whoever answers shows a certificate that no pinned root leads to.
    Intercepted {
        /// Who issued that certificate, as it says.
        issuer: String,
    },
    /// Whoever answers does not speak TLS.
    NotTls,
    /// The collector does not accept this device's certificate.
    CertificateRefused,
    /// The collector's certificate has ended, by every clock this device has.
    CollectorExpired,
    /// Something else; the sentence is the system's.
    Broken(String),
}

impl Way {
    /// Looks for the cause in a chain of errors.
    pub fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(error);
        let mut deepest = error;
        while let Some(cause) = next {
            if let Some(found) = cause.downcast_ref::<rustls::Error>().map(Self::of_tls) {
                return found;
            }
            // An I/O error does not name what it wraps as its source, but as itself.
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                if let Some(found) = io.get_ref().and_then(|inner| inner.downcast_ref()).map(Self::of_tls) {
                    return found;
                }
                if let Some(found) = Self::of_io(io) {
                    return found;
                }
            }
            deepest = cause;
            next = cause.source();
        }
        Self::Broken(deepest.to_string())
    }

    fn of_tls(error: &rustls::Error) -> Self {
        use rustls::{AlertDescription, CertificateError, Error};
        match error {
            Error::InvalidCertificate(CertificateError::Other(other)) => match other.0.downcast_ref::<Self>() {
                Some(way) => way.clone(),
                None => Self::Broken(error.to_string()),
            },
            Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                Self::CollectorExpired
            }
            Error::InvalidMessage(_) => Self::NotTls,
            Error::AlertReceived(
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError,
            ) => Self::CertificateRefused,
            other => Self::Broken(other.to_string()),
        }
    }

    fn of_io(error: &io::Error) -> Option<Self> {
        use io::ErrorKind as Kind;
        let unreachable = matches!(
            error.kind(),
            Kind::ConnectionRefused
                | Kind::TimedOut
                | Kind::HostUnreachable
                | Kind::NetworkUnreachable
                | Kind::AddrNotAvailable
        );
        unreachable.then(|| Self::Unreachable(error.to_string()))
    }

    /// A word for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Intercepted { .. } => "intercepted",
            Self::NotTls => "not_tls",
            Self::CertificateRefused => "certificate_refused",
            Self::CollectorExpired => "collector_expired",
            Self::Broken(_) => "broken",
        }
    }

    /// One plain sentence in Chinese.
    pub fn zh(&self) -> String {
        match self {
            Self::Unreachable(reason) => {
                format!("无法连接采集端（{reason}）；请检查网络与防火墙。数据保存在本机，恢复后自动补传。")
            }
            Self::Intercepted { issuer } => format!(
                "对方出示的证书由“{issuer}”签发，不是本设备信任的采集端：或是连到了别的采集端，或是上网网关在解密 TLS；请网络管理员将采集端地址加入免解密名单。"
            ),
            Self::NotTls => "对方不是采集端（没有使用 TLS），可能是认证门户或代理页面；请检查网络与地址。".into(),
            Self::CertificateRefused => "采集端不接受本机的证书；请管理员核对采集端的根证书，或重新注册此设备。".into(),
            Self::CollectorExpired => "采集端的证书已过期；请管理员续发采集端证书，并检查本机时钟。".into(),
            Self::Broken(reason) => format!("与采集端的连接中断（{reason}），稍后自动重试。"),
        }
    }

    /// One plain sentence in English.
    pub fn en(&self) -> String {
        match self {
            Self::Unreachable(reason) => format!(
                "The collector cannot be reached ({reason}); check network and firewall. Data is kept here and sent later."
            ),
            Self::Intercepted { issuer } => format!(
                "Whoever answers shows a certificate issued by \"{issuer}\" and is not the collector this device trusts: \
                 either another collector, or a gateway that opens TLS; have the network administrators exempt the \
                 collector's address."
            ),
            Self::NotTls => {
                "Whoever answers is no collector (it does not speak TLS), perhaps a login portal or a proxy's \
                             page; check the network and the address."
                    .into()
            }
            Self::CertificateRefused => {
                "The collector does not accept this device's certificate; have the administrator \
                                         check the collector's roots, or enrol this device again."
                    .into()
            }
            Self::CollectorExpired => {
                "The collector's certificate has ended; have the administrator renew it, and check this device's clock."
                    .into()
            }
            Self::Broken(reason) => format!("The connection to the collector broke ({reason}); it is tried again."),
        }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.en())
    }
}

impl StdError for Way {}
