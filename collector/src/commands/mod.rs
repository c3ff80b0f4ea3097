//! One module per subcommand of `watchpost-collector`.

pub mod init;
pub mod serve;
