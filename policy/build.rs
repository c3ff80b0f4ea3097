//! Writes the table of traditional characters and their simplified forms, one character each, from the dictionaries of OpenCC
//! (Apache-2.0) that the build dependency carries. The table becomes code, so nothing is loaded or parsed at run time.

use std::fmt::Write as _;
use std::path::Path;

use ferrous_opencc::OpenCC;
use ferrous_opencc::config::BuiltinConfig;

/// CJK ideographs: Extension A to the end of the ideographic planes.
const IDEOGRAPHS: std::ops::RangeInclusive<char> = '\u{3400}'..='\u{3FFFF}';

#[expect(
    clippy::disallowed_methods,
    reason = "a build script reads where to write, and writes; the crate itself stays pure"
)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let opencc = OpenCC::from_config(BuiltinConfig::T2s)?;
    let mut table = String::from("&[");
    for traditional in IDEOGRAPHS {
        let converted = opencc.convert(traditional.encode_utf8(&mut [0; 4]));
        let mut chars = converted.chars();
        if let (Some(simplified), None) = (chars.next(), chars.next())
            && simplified != traditional
        {
            write!(table, "({traditional:?},{simplified:?}),")?;
        }
    }
    table.push(']');
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("simplified.rs"), table)?;
    Ok(())
}
