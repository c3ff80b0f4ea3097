//! One module per subcommand of `watchpost-collector`.

pub mod alert;
pub mod backup;
pub mod ca;
pub mod coverage;
pub mod deed;
pub mod device;
pub mod erase;
pub mod evidence;
pub mod finding;
pub mod health;
pub mod init;
pub mod key;
pub mod log;
pub mod my_data;
pub mod notice;
pub mod notify;
pub mod output;
pub mod people;
pub mod policy;
pub mod queue;
pub mod route;
pub mod serve;
pub mod token;
pub mod verify;
