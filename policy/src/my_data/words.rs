//! The words of the page, in both languages.

use super::{Lang, level};
use crate::rules::Level;

/// A text in both languages.
pub(super) type Both = (&'static str, &'static str);

impl Lang {
    pub(super) fn of<'t>(self, (zh, en): (&'t str, &'t str)) -> &'t str {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }

    /// The one that is not empty, where one is.
    pub(super) fn title<'t>(self, (zh, en): (&'t str, &'t str)) -> &'t str {
        let (first, second) = if self == Self::Zh { (zh, en) } else { (en, zh) };
        if first.is_empty() { second } else { first }
    }
}

pub(super) const TITLE: Both = ("我的数据", "My data");
pub(super) const INTRO: Both = (
    "本页用平实的语言告诉您：公司在工作账号上检查什么、按哪些规则检查、谁能看到，以及过去 90 天关于您的账号上报过什么。",
    "This page tells you in plain words what your company looks at in work accounts, by which rules, who can see it, and what was sent about your \
     account in the last 90 days.",
);
pub(super) const ACCOUNT: Both = ("账号", "Account");
pub(super) const MADE: Both = ("生成时间", "Made");

pub(super) const WATCHED: Both = ("检查什么", "What is looked at");
pub(super) const WATCHED_TEXT: Both = (
    "只检查公司依法开启的企业微信“会话内容存档”导出文件，且只检查受管工作账号参与的消息：",
    "Only exports of the WeCom session archive that your company has lawfully switched on, and only messages with a managed work account among the \
     parties:",
);
pub(super) const WATCHED_ELSEWHERE: Both = (
    "只检查公司依法开启的企业微信“会话内容存档”导出文件，且只检查受管工作账号参与的消息。导出文件在存档主机上检查，不在您的电脑或手机上。",
    "Only exports of the WeCom session archive that your company has lawfully switched on, and only messages with a managed work account among the \
     parties. Exports are looked at on an archive host, not on your computer or phone.",
);
pub(super) const MANAGED: Both = ("您的账号是受管工作账号。", "Your account is a managed work account.");
pub(super) const NOT_MANAGED: Both = (
    "您的账号不在受管名单中，不会因您而被检查。",
    "Your account is not on the list of managed accounts; no message is looked at because of you.",
);
pub(super) const IS_NEVER: Both = (
    "您的账号在“永不检查”名单中：有您参与的消息一律不检查。",
    "Your account is on the list of those never looked at: no message you take part in is.",
);
pub(super) const NEVER_SEEN: Both = ("从不检查什么", "What is never looked at");
pub(super) const NEVER_SEEN_TEXT: [Both; 5] = [
    ("屏幕、按键、摄像头、麦克风", "screens, keystrokes, camera, microphone"),
    ("企业微信或个人微信自身的数据库和聊天窗口", "the databases and chat windows of WeCom or WeChat themselves"),
    ("个人微信、个人账号、私人文件", "personal WeChat, personal accounts, private files"),
    ("网络流量和浏览记录", "network traffic and browsing history"),
    (
        "导出文件夹以外的任何文件；消息原文不离开检查它的设备，只有下面写明的片段除外",
        "any file outside the export folders; the text of a message does not leave the device it is looked at on, but for the excerpts below",
    ),
];
pub(super) const NEVER_LIST: Both = (
    "另有 {} 个账号（如工会、法务、举报热线）列入“永不检查”名单：只要其中一方在场，消息就不检查。",
    "Another {} accounts (such as the works council, counsel or a whistle-blower line) are never looked at: a message with one of them among the \
     parties is left alone.",
);

pub(super) const RULES: Both = ("按哪些规则检查", "By which rules");
pub(super) const RULES_ELSEWHERE: Both = (
    "本页由采集端生成，不含规则清单；现行规则请在设备上运行 watchpost-agent my-data 查看，或向下列负责人索取。",
    "This page was made by the collector and has no list of rules; ask those named below for it, or run watchpost-agent my-data on a device.",
);
pub(super) const RULE: Both = ("规则", "Rule");
pub(super) const LEVEL: Both = ("级别", "Level");
pub(super) const DISCLOSED: Both = ("上报多少原文", "How much text leaves");
pub(super) const TRIAL: Both = ("试运行", "on trial");
pub(super) const CONFIDENTIAL: Both = (
    "另有 {} 条规则使用保密词表（共 {} 个词），只公开数量。",
    "Another {} rules use confidential word lists ({} words); only their number is told.",
);
pub(super) const CONFIDENTIAL_RULE: Both = ("（使用保密词表的规则）", "(a rule with a confidential word list)");

pub(super) const WHO: Both = ("谁能看到", "Who can see it");
pub(super) const WHO_UNKNOWN: Both = (
    "本机没有配置说明，请向公司合规或人事部门询问。",
    "Nothing is configured here; ask your company's compliance or personnel department.",
);
pub(super) const WHO_YOU: Both = (
    "您本人可以随时查看本页。当事人不能处理关于自己的告警。",
    "You yourself can look at this page at any time. Nobody can deal with an alert about themselves.",
);

pub(super) const NOTICE: Both = ("告知书", "Notice");
pub(super) const NOTICE_VERSION: Both = ("第 {} 版，文本摘要", "Version {}, digest of its text");
pub(super) const ACKNOWLEDGED: Both = ("您已于 {} 确认阅读。", "You acknowledged it on {}.");
pub(super) const NOT_ACKNOWLEDGED: Both = (
    "您尚未确认阅读。确认方法：在设备上运行 watchpost-agent my-data acknowledge，或按公司通知办理。",
    "You have not acknowledged it yet. To do so run watchpost-agent my-data acknowledge on the device, or follow your company's instructions.",
);

pub(super) const SENT: Both = ("过去 90 天关于我上报了什么", "What was sent about me in the last 90 days");
pub(super) const SENT_NONE: Both = ("没有关于您的记录。", "There is no record about you.");
pub(super) const SENT_COUNT: Both = ("共 {} 条记录，最新的在前。", "{} records, the newest first.");
pub(super) const SENT_MORE: Both = ("这里列出最新的 {} 条。", "The newest {} are listed here.");
pub(super) const MENTIONED: Both = (
    "另有 {} 条关于他人的记录把您的账号列为消息的一方。",
    "Another {} records about others name your account as a party of the message.",
);
pub(super) const MESSAGE_AT: Both = ("消息时间", "Time of the message");
pub(super) const EXCERPT: Both = ("离开设备的文字", "Text that left the device");
pub(super) const NO_EXCERPT: Both = ("无", "none");
pub(super) const RECEIPTED: Both = ("采集端已收到", "received");
pub(super) const WAITING: Both = ("尚未发出", "not sent yet");
pub(super) const WITHDRAWN: Both = ("已撤回", "withdrawn");

pub(super) const DAYS: Both = ("消息计数", "Counts of messages");
pub(super) const DAYS_TEXT: Both = (
    "除记录外，还会上报每个账号每小时的消息条数（不含内容），按天合计如下：",
    "Beside records the number of messages of each account and hour is sent, without content; by day:",
);
pub(super) const DAY: Both = ("日期", "Day");
pub(super) const DAY_SENT: Both = ("发出", "sent");
pub(super) const DAY_RECEIVED: Both = ("收到", "received");
pub(super) const DAY_FLAGGED: Both = ("命中规则", "with a finding");

pub(super) fn level_word(lang: Lang, word: &str) -> &str {
    match (level(word), lang) {
        (Some(Level::Info), Lang::Zh) => "提示",
        (Some(Level::Low), Lang::Zh) => "低",
        (Some(Level::Medium), Lang::Zh) => "中",
        (Some(Level::High), Lang::Zh) => "高",
        (Some(Level::Critical), Lang::Zh) => "严重",
        _ => word,
    }
}

pub(super) fn disclose_word(lang: Lang, word: &str) -> &str {
    match word {
        "none" => lang.of(("不上报原文", "no text")),
        "masked" => lang.of(("只上报命中的词，其余遮盖", "the words found, everything around them masked")),
        "context" => lang.of(("命中处前后最多 80 字", "up to 80 characters around what was found")),
        other => other,
    }
}

/// What packs call a category, in Chinese where that is known.
pub(super) fn category_word(lang: Lang, name: &str) -> &str {
    if lang == Lang::En {
        return name;
    }
    CATEGORIES.iter().find(|(known, _)| *known == name).map_or(name, |(_, zh)| zh)
}

const CATEGORIES: [(&str, &str); 41] = [
    ("advertising", "违规宣传"),
    ("bid-rigging", "围标串标"),
    ("bribery", "商业贿赂"),
    ("cash-out", "套现"),
    ("collections", "催收行为"),
    ("complaint", "客户投诉"),
    ("complaint-handling", "投诉处理"),
    ("confidentiality", "保密信息"),
    ("credentials", "账号口令"),
    ("customer-diversion", "飞单与客户转移"),
    ("data-rights", "个人信息权利请求"),
    ("data-trade", "买卖数据"),
    ("discrimination", "歧视"),
    ("drugs", "毒品"),
    ("employee-safety", "员工安全"),
    ("fake-invoice", "虚开发票"),
    ("flooding", "刷屏"),
    ("forgery", "伪造"),
    ("fraud", "欺诈"),
    ("gambling", "赌博"),
    ("harassment", "骚扰"),
    ("insult", "辱骂"),
    ("leaver-risk", "离职风险"),
    ("legal-risk", "法律风险"),
    ("market-abuse", "市场操纵与内幕"),
    ("mis-selling", "不当销售"),
    ("money-laundering", "洗钱"),
    ("names", "昵称与群名"),
    ("personal-data", "个人信息"),
    ("reputation", "声誉"),
    ("response-time", "回复时效"),
    ("sensitive-action", "敏感操作"),
    ("sexual-content", "色情"),
    ("suitability", "适当性"),
    ("threat", "威胁"),
    ("unauthorised-advice", "无资质荐股"),
    ("unauthorised-trading", "代客操作"),
    ("usury", "高利贷"),
    ("weapons", "武器"),
    ("welfare", "员工关怀"),
    ("work-time", "工作时间"),
];
