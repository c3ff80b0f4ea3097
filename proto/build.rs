//! Compiles the contract in `proto/` to Rust without any tool beside cargo.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = [
        "record",
        "segment",
        "document",
        "policy",
        "roster",
        "uplink",
        "enrol",
        "log",
        "desk",
        "alert",
        "operator",
        "names",
        "notification",
        "words",
    ]
    .map(|name| format!("proto/watchpost/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
