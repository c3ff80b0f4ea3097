//! What is told of a device's health, to people.

use watchpost_proto::v1::GoodbyeCause;

use super::{CheckOf, Facts, GoodbyeOf, Standing, StarvedOf, State};
use crate::clock::minute_in_china;
use crate::liveness::LiveDevice;

fn standing(state: State, since_ms: Option<i64>, reason: &str, (zh, en): (String, String)) -> Standing {
    Standing { state, since_ms: since_ms.filter(|ms| *ms > 0), reason: reason.to_owned(), zh, en }
}

fn at(ms: Option<i64>) -> (String, String) {
    match ms.filter(|ms| *ms > 0).and_then(minute_in_china) {
        Some(time) => (time.clone(), time),
        None => ("从未".into(), "never".into()),
    }
}

fn minutes(ms: u64) -> u64 {
    ms / 60_000
}

pub(super) fn parted(goodbye: &GoodbyeOf) -> Standing {
    let (word, zh, en) = match goodbye.cause {
        GoodbyeCause::Shutdown => {
            ("shutdown", "设备已关机，开机后自动恢复", "the device was shut down; it comes back when it is switched on")
        }
        GoodbyeCause::Uninstalled => (
            "uninstalled",
            "设备端已被卸载；如属正常回收请撤销该设备，否则请查明原因并重新安装",
            "the agent was removed; revoke the device if it was taken back, else find out why and install it again",
        ),
        _ => (
            "stopped",
            "设备端已被停止；请确认原因并重新启动服务",
            "the agent was stopped; find out why and start its service again",
        ),
    };
    let (when_zh, when_en) = at(Some(goodbye.at_ms));
    standing(State::Offline, Some(goodbye.at_ms), word, (format!("{zh}（{when_zh}）"), format!("{en} ({when_en})")))
}

pub(super) fn vanished(last_ms: Option<i64>) -> Standing {
    let (zh, en) = at(last_ms);
    standing(
        State::Offline,
        last_ms,
        "no_goodbye",
        (
            format!("未道别即失联，最后一次联系：{zh}；请检查设备电源、网络与服务是否运行"),
            format!(
                "it went away without a goodbye, last heard from: {en}; check power, network and whether the service runs"
            ),
        ),
    )
}

pub(super) fn failed(check: &CheckOf) -> Standing {
    let word = &check.reason;
    standing(
        State::Blind,
        Some(check.received_ms),
        &check.reason,
        (
            format!(
                "自检未通过（{word}）：该设备可能看不到任何消息；请在设备上运行 watchpost-agent status 并按提示处理"
            ),
            format!(
                "the self-check failed ({word}): the device may see nothing at all; run watchpost-agent status on it and do what it says"
            ),
        ),
    )
}

pub(super) fn unreadable(check: &CheckOf) -> Standing {
    let (count, why) = (check.unreadable, check.why.join(", "));
    standing(
        State::Blind,
        Some(check.received_ms),
        "folder_unreadable",
        (
            format!("{count} 个导出文件夹无法读取（{why}）；请恢复文件夹或授予读取权限"),
            format!(
                "{count} export folder(s) cannot be read ({why}); bring the folder back or grant the right to read it"
            ),
        ),
    )
}

pub(super) fn unchecked(passed_ms: Option<i64>) -> Standing {
    let (zh, en) = at(passed_ms);
    standing(
        State::Blind,
        passed_ms,
        "unchecked",
        (
            format!("当前策略超过 26 小时没有通过自检，最近一次：{zh}；请检查设备端版本与状态"),
            format!(
                "no self-check of the present policy has come through for 26 hours, the last one: {en}; check the agent's version and status"
            ),
        ),
    )
}

pub(super) fn starved(folder: &StarvedOf) -> Standing {
    let (corp, expected) = (&folder.corp, &folder.expected);
    let (zh, en) = at(Some(folder.since_ms));
    standing(
        State::Starved,
        Some(folder.since_ms),
        "no_export",
        (
            format!("{corp} 的导出文件未按约定（{expected}）到达，自 {zh} 起缺失；请检查会话存档导出任务"),
            format!(
                "exports of {corp} do not come as expected ({expected}), missing since {en}; look at the archive job"
            ),
        ),
    )
}

pub(super) fn resting(device: &LiveDevice) -> Standing {
    let (zh, en) = match device.resting.as_str() {
        "disk_full" => ("磁盘空间不足，已暂停读取；请清理磁盘", "its disk is full and reading rests; free some space"),
        "roster_awaited" => (
            "尚未收到花名册，已暂停读取；请发布花名册，或检查设备拒绝的原因（device show）",
            "it has no roster yet and reading rests; publish one, or see with device show why it was refused",
        ),
        _ => (
            "待发数据已满，已暂停读取；请检查到采集端的网络带宽",
            "its outbox is full and reading rests; check the line to the collector",
        ),
    };
    standing(State::Behind, None, &device.resting, (zh.into(), en.into()))
}

pub(super) fn records_wait(device: &LiveDevice) -> Standing {
    let (count, waited) = (device.backlog_records, minutes(device.record_waits_ms));
    standing(
        State::Behind,
        None,
        "records_wait",
        (
            format!("{count} 条记录尚未回执，最早的已等待 {waited} 分钟；请检查网络"),
            format!("{count} records have no receipt yet, the oldest for {waited} minutes; check the line"),
        ),
    )
}

pub(super) fn exports_wait(device: &LiveDevice) -> Standing {
    let (count, waited) = (device.files_waiting, minutes(device.export_waits_ms));
    standing(
        State::Behind,
        None,
        "exports_wait",
        (
            format!("{count} 个导出文件等待读取，最早的已等待 {waited} 分钟"),
            format!("{count} exports wait to be read, the oldest for {waited} minutes"),
        ),
    )
}

pub(super) fn unknown(facts: &Facts) -> Standing {
    let (zh, en) = at(facts.last_entry_ms);
    standing(
        State::Unknown,
        None,
        "no_server",
        (
            format!("采集端未运行，无法判断设备是否在线；最近一次上报：{zh}"),
            format!("no collector runs, so nobody knows whether it is heard from; its last record came: {en}"),
        ),
    )
}

pub(super) fn quiet(since_ms: Option<i64>) -> Standing {
    standing(
        State::Quiet,
        since_ms,
        "nothing_found",
        ("一切正常，近日没有命中".into(), "all is well, and nothing was found for days".into()),
    )
}

pub(super) fn well(last_ms: i64) -> Standing {
    standing(State::Well, Some(last_ms), "found", ("一切正常".into(), "all is well".into()))
}
