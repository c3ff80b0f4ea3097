//! Serves the page to the users of this system over a socket: the state folder is the agent's alone, and everybody may see their own. Who asks is told
//! by the system and not by the asker.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use watchpost_policy::my_data::MyData;

use super::{MyDataConfig, Notice, Sources, account_of, acknowledge, page};
use crate::clock::Clock;
use crate::config::Folder;
use crate::goodbye::ask;
use crate::in_force::Switch;
use crate::store::{Store, StoreError};
use crate::summary::MadeUnder;

/// A request, and how long one may take from its first byte to the last of its answer.
const REQUEST_BYTES_MAX: u64 = 4 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);
/// Askers served at a time.
const AT_ONCE: usize = 4;
/// Largest answer an asker takes, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// About this account; nothing where the asker has but one.
    pub account: Option<String>,
    /// The version and digest of the notice that is to be acknowledged.
    pub acknowledge: Option<(u64, String)>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The page, as it is after what was asked was done.
    Page(Box<MyData>),
    /// Why there is none, in Chinese and English.
    Refused(String, String),
}

/// What a server answers from.
pub struct Server {
    /// Who may ask for which accounts.
    pub config: MyDataConfig,
    /// Rules and accounts in force.
    pub switch: Arc<Switch>,
    /// Ledger, outbox and tallies.
    pub store: Arc<Store>,
    /// Says when a page is made.
    pub clock: Arc<dyn Clock>,
    /// What is watched.
    pub folders: Vec<Folder>,
    /// Who can see what is sent.
    pub who: Vec<String>,
    /// The notice in force.
    pub notice: Option<Notice>,
    /// Called when something was appended to the outbox.
    pub appended: Box<dyn Fn() + Send + Sync>,
}

/// Listens where every user of the system may connect. What an earlier process left there is removed.
///
/// # Errors
/// What the system said.
pub fn listen(path: &Path) -> io::Result<StdListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else is there; remove it"));
        }
        Ok(_) => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    let listener = StdListener::bind(path)?;
    listener.set_nonblocking(true)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Answers whoever asks, until the process ends.
///
/// # Errors
/// What the system said of the socket.
pub async fn serve(server: Arc<Server>, listener: StdListener) -> io::Result<()> {
    let (listener, room) = (UnixListener::from_std(listener)?, Arc::new(Semaphore::new(AT_ONCE)));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: others will be closed.
                tracing::warn!(%error, "my-data");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let _ = tokio::time::timeout(PATIENCE, answer(&server, stream)).await;
            drop(permit);
        });
    }
}

async fn answer(server: &Arc<Server>, mut stream: UnixStream) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let mut bytes = Vec::new();
    (&mut stream).take(REQUEST_BYTES_MAX).read_to_end(&mut bytes).await?;
    let server = Arc::clone(server);
    let reply = tokio::task::spawn_blocking(move || match serde_json::from_slice(&bytes) {
        Ok(question) => server.reply(uid, &question),
        Err(_) => refused("无法识别的请求", "the request cannot be read; use the same version of the program"),
    });
    let reply = reply.await.map_err(io::Error::other)?;
    stream.write_all(&serde_json::to_vec(&reply)?).await?;
    stream.shutdown().await
}

/// Asks the agent that runs.
///
/// # Errors
/// What the system said, most often that nobody listens.
pub fn put_question(path: &Path, question: &Question) -> io::Result<Reply> {
    use std::io::{Read as _, Write as _};

    let mut stream = StdStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&serde_json::to_vec(question)?)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(serde_json::from_slice(&answer)?)
}

fn refused(zh: &str, en: &str) -> Reply {
    Reply::Refused(zh.to_owned(), en.to_owned())
}

impl Server {
    /// Answers the user with this number.
    pub fn reply(&self, uid: u32, question: &Question) -> Reply {
        let account = match self.account_for(uid, question) {
            Ok(account) => account,
            Err((zh, en)) => return Reply::Refused(zh, en),
        };
        match self.try_reply(&account, question) {
            Ok(reply) => reply,
            Err(error) => {
                tracing::warn!(%error, "my-data");
                refused("暂时无法读取数据，请稍后再试", "the data cannot be read now; try again later")
            }
        }
    }

    fn try_reply(&self, account: &str, question: &Question) -> Result<Reply, StoreError> {
        let in_force = self.switch.now();
        if let Some((version, digest)) = &question.acknowledge {
            let shown = self.notice.as_ref();
            let Some(notice) = shown.filter(|it| it.version == *version && it.digest.to_string() == *digest) else {
                return Ok(refused("告知书已更新，请重新阅读", "the notice is another one now; read it again"));
            };
            let made = MadeUnder::new(&in_force, self.clock.wall_ms());
            if acknowledge(&self.store, &made, account, notice)? {
                (self.appended)();
            }
        }
        let sources = Sources {
            engine: &in_force.engine,
            store: &self.store,
            folders: &self.folders,
            ceiling: in_force.ceiling,
            who: &self.who,
            notice: self.notice.as_ref(),
        };
        Ok(Reply::Page(Box::new(page(&sources, account, self.clock.wall_ms())?)))
    }

    /// Everybody may ask for their own accounts, and whoever administers the system for any; but nobody gives another's word.
    fn account_for(&self, uid: u32, question: &Question) -> Result<String, (String, String)> {
        let own = self.accounts_of(uid);
        let administers = uid == 0 || uid == rustix::process::geteuid().as_raw();
        let may_all = administers && question.acknowledge.is_none();
        let asked = question.account.as_deref();
        let told = |zh: &str, en: &str| Err((zh.to_owned(), en.to_owned()));
        match (asked, own.as_slice()) {
            (Some(asked), own) => match account_of(asked) {
                Some(account) if may_all || own.contains(&account) => Ok(account),
                _ => told("只能查看您本人的账号", "you can look at your own accounts only"),
            },
            (None, [account]) => Ok(account.clone()),
            (None, []) if may_all => told("请用 --account 指定账号", "name the account with --account"),
            (None, []) => told(
                "本机没有登记您的工作账号，请联系管理员",
                "no work account is registered here for you; ask your administrator",
            ),
            (None, several) => {
                let list = several.join(", ");
                told(
                    &format!("您有多个账号，请用 --account 指定其一：{list}"),
                    &format!("you have several accounts; name one with --account: {list}"),
                )
            }
        }
    }

    fn accounts_of(&self, uid: u32) -> Vec<String> {
        let mut own = self.config.users.get(&uid.to_string()).cloned().unwrap_or_default();
        // The system knows users that stand in no file of its own.
        let name = ask("id", &["-nu", &uid.to_string()]);
        let of_name = name.and_then(|name| self.config.users.get(name.trim()).cloned());
        own.extend(of_name.unwrap_or_default());
        own.sort();
        own.dedup();
        own
    }
}
