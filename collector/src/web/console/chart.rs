//! Charts as SVG, each with a table behind it for those who read and those who listen. Colours come from classes.

use maud::{Markup, html};

/// One bar: what it is called, how much it is, and how that is written.
pub(in crate::web) struct Bar {
    pub(in crate::web) name: String,
    pub(in crate::web) amount: u64,
    pub(in crate::web) to: Option<String>,
}

const WIDTH: u64 = 640;
const HEIGHT: u64 = 150;
const FOOT: u64 = 20;

/// Amounts over time, as upright bars; names are written below as far as there is room.
pub(in crate::web) fn over_time(title: &str, heads: (&str, &str), bars: &[Bar]) -> Markup {
    let most = bars.iter().map(|bar| bar.amount).max().unwrap_or(0).max(1);
    let count = u64::try_from(bars.len()).unwrap_or(1).max(1);
    let step = WIDTH / count;
    let every = count.div_ceil(7);
    let tall = |amount: u64| (HEIGHT - FOOT - 14).saturating_mul(amount) / most;
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(title) {
                line.axis x1="0" x2=(WIDTH) y1=(HEIGHT - FOOT) y2=(HEIGHT - FOOT) {}
                text.scale x="0" y="10" { (most) }
                @for (bar, place) in bars.iter().zip(0_u64..) {
                    @let height = tall(bar.amount).max(u64::from(bar.amount > 0) * 2);
                    rect.bar x=(place * step + step / 6) y=(HEIGHT - FOOT - height) width=((step * 2 / 3).max(1)) height=(height) rx="2" {
                        title { (bar.name) ": " (bar.amount) }
                    }
                    @if place % every == 0 { text.name x=(place * step + step / 2) y=(HEIGHT - 6) text-anchor="middle" { (short(&bar.name)) } }
                }
            }
            (behind(title, heads, bars))
        }
    }
}

/// What is most, as lying bars with their names; each leads somewhere where it can.
pub(in crate::web) fn ranking(title: &str, heads: (&str, &str), bars: &[Bar]) -> Markup {
    let most = bars.iter().map(|bar| bar.amount).max().unwrap_or(0).max(1);
    html! {
        table.ranking {
            caption.unseen { (title) }
            thead.unseen { tr { th scope="col" { (heads.0) } th scope="col" { (heads.1) } } }
            tbody {
                @for bar in bars {
                    tr {
                        td {
                            @if let Some(to) = &bar.to { a href=(to) { (bar.name) } } @else { span { (bar.name) } }
                            svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
                                rect.ground x="0" y="0" width="100" height="4" rx="1" {}
                                rect.bar x="0" y="0" width=(bar.amount.saturating_mul(100) / most) height="4" rx="1" {}
                            }
                        }
                        td.number { (bar.amount) }
                    }
                }
            }
        }
    }
}

fn behind(title: &str, heads: (&str, &str), bars: &[Bar]) -> Markup {
    html! {
        details.behind {
            summary { (title) }
            table {
                thead { tr { th scope="col" { (heads.0) } th.number scope="col" { (heads.1) } } }
                tbody { @for bar in bars { tr { td { (bar.name) } td.number { (bar.amount) } } } }
            }
        }
    }
}

/// Of a day, month and day.
fn short(name: &str) -> &str {
    if name.len() == 10 && name.as_bytes().get(4) == Some(&b'-') { name.get(5..).unwrap_or(name) } else { name }
}
