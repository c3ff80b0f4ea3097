//! One module per subcommand of `watchpost-collector`.

pub mod alert;
pub mod coverage;
pub mod device;
pub mod finding;
pub mod health;
pub mod init;
pub mod log;
pub mod output;
pub mod serve;
