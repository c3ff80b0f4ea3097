//! Publishing a signed policy: what it would change is shown first. It is signed elsewhere.

use maud::{Markup, html};
use serde::Deserialize;

use super::to;
use crate::operators::Act;
use crate::policies::difference::{Difference, PackChange, RuleChange};
use crate::web::api::policies::{self, Checked, Publish};
use crate::web::ask::Ask;
use crate::web::console::frame::Room;
use crate::web::console::parts::{self, Tone, badge, card, facts};
use crate::web::console::view::View;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Body, Route, form, page};

/// The largest policy, and what a form has around it.
const BYTES_MAX: usize = 34 * 1024 * 1024;

pub(super) fn routes() -> Vec<Route> {
    let publish = Act::PublishPolicies;
    vec![
        page("/rules/publish", publish, ("Publish a policy", "发布策略"), show),
        form("/rules/publish", publish, ("Bring a signed policy", "上传已签名策略"), bring).with_files(BYTES_MAX),
        form("/rules/publish/confirm", publish, ("Publish it", "确认发布"), confirm),
    ]
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Held {
    held: String,
}

#[derive(Deserialize)]
struct Confirmed {
    held: String,
    rings: String,
    soak: String,
    #[serde(default)]
    fall_back: Option<String>,
    reason: String,
}

fn show(ask: &Ask<'_>, asked: Held) -> Result<Body, Problem> {
    let view = View::of(ask);
    let title = view.say("发布策略", "Publish a policy");
    let sentence = view.say(
        "上传在别处签好的策略文件，先看会改变什么，再分批发布。签名密钥不在采集端。",
        "Bring a policy that was signed elsewhere, see what it changes, then publish it ring by ring. The key that signs is not here.",
    );
    let held = if asked.held.is_empty() { None } else { ask.site.uploads.find(ask.by()?, &asked.held, ask.now_ms) };
    let checked = held.map(|file| policies::checked(ask, &file)).transpose()?;
    let body = html! {
        (parts::heading(title, Some(sentence), Some(html! { a.button href="/rules" { (view.say("全部规则", "All rules")) } })))
        @match checked {
            Some(checked) => (decide(&view, &checked, &asked.held)),
            None => (choose(&view, !asked.held.is_empty())),
        }
    };
    Ok(view.page(Some(Room::Rules), title, body))
}

fn choose(view: &View<'_>, is_gone: bool) -> Markup {
    let tongue = view.tongue();
    html! {
        @if is_gone { (parts::notice(Tone::Warn, html! { p { (view.say("文件已不在，请重新上传。", "The file is no longer held; bring it again.")) } })) }
        div.columns {
            (card(view.say("上传", "Bring a file"), parts::form(view, "/rules/publish", true, html! {
                (parts::field("policy", view.say("已签名的策略文件", "The signed policy"), html! { input type="file" id="policy" name="policy" required; }, None))
                button.first type="submit" { (view.say("查看会改变什么", "See what it changes")) }
            })))
            (card(view.say("如何得到它", "Where it comes from"), html! {
                p { (view.say("在保管密钥的机器上签名；之前导出已批准的词表：", "It is signed where the key is kept; approved words are exported first:")) }
                (parts::copied(tongue, "watchpost-collector words export products --out packs/words/products.txt --config collector.toml"))
                (parts::copied(tongue, "watchpost-collector policy sign builtin packs/sales.yaml --key policy.key --config collector.toml --out next.policy"))
            }))
        }
    }
}

fn bring(ask: &Ask<'_>, _: Held) -> Result<Body, Problem> {
    let file = ask.file("policy").ok_or_else(|| Problem::malformed("choose the file of a policy"))?;
    // What is wrong is said at once, and nothing is held.
    policies::checked(ask, &file.bytes)?;
    let held = ask.site.uploads.keep(ask.by()?, file.bytes.clone(), ask.now_ms);
    Ok(Body::see(to("/rules/publish", &[("held", &held)])))
}

fn confirm(ask: &Ask<'_>, sent: Confirmed) -> Result<Body, Problem> {
    let file = ask.site.uploads.find(ask.by()?, &sent.held, ask.now_ms);
    let file =
        file.ok_or_else(|| Problem::new(Kind::NotPossible).because("the file is no longer held; bring it again"))?;
    let checked = policies::checked(ask, &file)?;
    let publish = Publish {
        policy: String::new(),
        rings: sent.rings,
        soak: sent.soak,
        fall_back: sent.fall_back.is_some(),
        reason: sent.reason,
    };
    policies::publish_file(ask, &file, publish)?;
    Ok(Body::see(to("/rules", &[("group", &checked.group), ("said", "published")])))
}

fn decide(view: &View<'_>, checked: &Checked, held: &str) -> Markup {
    let tongue = view.tongue();
    let version = if checked.before == 0 {
        view.say("内置规则包", "packs that ship").to_owned()
    } else {
        checked.before.to_string()
    };
    html! {
        @if let Some(why) = &checked.refused {
            (parts::notice(Tone::Bad, html! { p.title { (view.say("现在不能发布", "It cannot be published as it is")) } p { (why) } }))
        }
        (card(view.say("这份策略", "This policy"), facts([
            (view.say("分组", "Group"), html! { (checked.group) }),
            (view.say("版本", "Version"), html! { (version) " → " strong { (checked.version) } }),
            (view.say("说明", "Note"), html! { @if checked.note.is_empty() { "—" } (checked.note) }),
            (view.say("签名", "Signatures"), html! {
                (checked.signatures)
                @if checked.signatures_missing > 0 { " " (badge(Tone::Bad, &tongue.of(format!("还差 {}", checked.signatures_missing), format!("{} missing", checked.signatures_missing)))) }
            }),
            (view.say("最多上报", "Most that is disclosed"), html! {
                @match &checked.disclose {
                    Some((before, after)) => { (before) " → " strong { (after) } },
                    None => (view.say("不变", "as before")),
                }
            }),
        ])))
        (changes(view, &checked.difference))
        @if checked.refused.is_none() { (card(view.say("发布", "Publish"), send(view, held))) }
    }
}

fn send(view: &View<'_>, held: &str) -> Markup {
    parts::form(
        view,
        "/rules/publish/confirm",
        false,
        html! {
            input type="hidden" name="held" value=(held);
            div.filters {
                (parts::text_field("rings", view.say("分批", "Rings"), "canary:5%,25%,100%", true, Some(view.say("按设备比例递增，最后一批为 100%", "Shares that rise to 100%"))))
                (parts::text_field("soak", view.say("每批至少", "A ring stands for"), "24h", true, Some(view.say("如 30m、24h、0", "Such as 30m, 24h, 0"))))
            }
            label.check { input type="checkbox" name="fall_back" value="yes"; (view.say("暂停时，已收到的设备退回备用策略", "Where it halts, devices that have it go back to its fallback")) }
            (parts::text_field("reason", view.say("理由", "Reason"), "", true, Some(view.say("写入审计记录", "Goes into the audit trail"))))
            button.first type="submit" { (view.say("发布", "Publish")) }
        },
    )
}

fn changes(view: &View<'_>, difference: &Difference) -> Markup {
    let is_same =
        difference.packs.is_empty() && difference.filters_added.is_empty() && difference.filters_removed.is_empty();
    card(
        view.say("会改变什么", "What it changes"),
        html! {
            @if is_same { p.soft { (view.say("规则、词和过滤器都与现行相同。", "Rules, words and filters are as they are now.")) } }
            @for pack in &difference.packs { (pack_change(view, pack)) }
            @for filter in &difference.filters_added { p { (badge(Tone::Note, view.say("新增过滤器", "Filter added"))) " " code { (filter) } } }
            @for filter in &difference.filters_removed { p { (badge(Tone::Warn, view.say("移除过滤器", "Filter removed"))) " " code { (filter) } } }
        },
    )
}

fn pack_change(view: &View<'_>, pack: &PackChange) -> Markup {
    let (tone, text) = match (pack.before, pack.after) {
        (None, _) => (Tone::Note, view.say("新增规则包", "Pack added")),
        (_, None) => (Tone::Warn, view.say("移除规则包", "Pack removed")),
        _ => (Tone::Plain, view.say("规则包有变", "Pack changed")),
    };
    let version = |version: Option<u64>| version.map_or_else(|| "—".to_owned(), |version| version.to_string());
    html! {
        div.change {
            h3 { (badge(tone, text)) " " (pack.pack) " " small { (version(pack.before)) " → " (version(pack.after)) } }
            ul.plain { @for rule in &pack.rules { (rule_change(view, rule)) } }
        }
    }
}

fn rule_change(view: &View<'_>, rule: &RuleChange) -> Markup {
    let (tone, text) = match rule.change {
        "added" => (Tone::Note, view.say("新增", "Added")),
        "removed" => (Tone::Warn, view.say("移除", "Removed")),
        _ => (Tone::Plain, view.say("修改", "Changed")),
    };
    let title = view.say(&rule.title.0, &rule.title.1);
    html! {
        li {
            (badge(tone, text)) " " (title) " " small.id { (rule.rule) }
            @for detail in &rule.details { br; small { (detail) } }
            (words(view.say("加词 ", "words added "), "added", &rule.words_added, rule.words_added_count))
            (words(view.say("减词 ", "words removed "), "removed", &rule.words_removed, rule.words_removed_count))
        }
    }
}

fn words(label: &str, class: &str, words: &[String], count: usize) -> Markup {
    html! {
        @if count > 0 {
            p.words { (label) (count) ": " @for word in words { span class={ "chip " (class) } { (word) } " " } @if count > words.len() { "…" } }
        }
    }
}
