//! The files that pages load: a style sheet, a script, an icon. Their addresses change with what is in them.

use std::sync::LazyLock;

use watchpost_proto::digest::hash;

use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Body, Nothing, Route, page};

const CSS: &str = include_str!("../../../console/console.css");
const JS: &str = include_str!("../../../console/console.js");
const ICON: &str = include_str!("../../../console/icon.svg");

/// One of them.
pub(super) struct Asset {
    /// Where it lies.
    pub(super) path: String,
    name: String,
    kind: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(stem: &str, ending: &str, kind: &'static str, text: &'static str) -> Self {
        let digest = hash("watchpost/asset", &[text.as_bytes()]).to_string();
        let name = format!("{stem}.{}.{ending}", digest.get(..12).unwrap_or_default());
        Self { path: format!("/assets/{name}"), name, kind, text }
    }
}

pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("console", "css", "text/css; charset=utf-8", CSS));
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("console", "js", "text/javascript; charset=utf-8", JS));
pub(super) static SIGN: LazyLock<Asset> = LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", ICON));

pub(super) fn routes() -> Vec<Route> {
    vec![page("/assets/{file}", None, ("Style, script, icon", "样式、脚本与图标"), show)]
}

fn show(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    let name = ask.param("file")?;
    let all = [&*STYLE, &*SCRIPT, &*SIGN];
    let asset = all.into_iter().find(|asset| asset.name == name).ok_or(Problem::new(Kind::NotFound))?;
    Ok(Body { kind: asset.kind, bytes: asset.text.into(), is_forever: true, ..Body::default() })
}
