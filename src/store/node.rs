//! The names of nodes: each is held, for as long as its process lives, by a lock of the server.
//!
//! What a node has left open is taken up at once by the next process of its name, so two live ones of the same name would
//! take up each other's work. The lock is that of a session: it is free when its process dies, and half a minute after
//! its machine has gone. A database in a file is for one node, and nothing is held there.

use sqlx::{AnyConnection, AssertSqlSafe, Executor as _};
use tokio::time::timeout;

use super::postgresql::{self, PING, late};
use super::{Store, StoreError};
use crate::time::Timestamp;

/// The name of this node, held or not.
#[derive(Debug)]
pub struct NodeName {
    name: String,
    session: Option<AnyConnection>,
}

/// What came of holding a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// It is ours; on a server, with what its clock says.
    Held(Option<Timestamp>),
    /// Another process has it.
    Taken,
}

impl NodeName {
    /// A name that is not held yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            session: None,
        }
    }

    /// Takes the name, or makes sure that it is still held and takes it again if it is not.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn keep(&mut self, store: &Store) -> Result<Holding, StoreError> {
        let Some(server) = store.server() else {
            return Ok(Holding::Held(None));
        };
        if let Some(mut session) = self.session.take()
            && let Ok(now) = clock(&mut session).await
        {
            self.session = Some(session);
            return Ok(Holding::Held(Some(now)));
        }
        let mut session = server.connect().await?;
        let settings = session.execute(sqlx::raw_sql(postgresql::KEEP_ALIVE));
        timeout(PING, settings).await.map_err(|_| late())??;
        let digits: String = self.name.bytes().map(|byte| format!("{byte:02x}")).collect();
        // Text without a meaning of its own, since a name can be anything.
        let statement = AssertSqlSafe(format!("select pg_try_advisory_lock({CLASS}, hashtext('{digits}'))"));
        let taking = sqlx::query_scalar::<_, bool>(statement).fetch_one(&mut session);
        if !timeout(PING, taking).await.map_err(|_| late())?? {
            return Ok(Holding::Taken);
        }
        let now = clock(&mut session).await?;
        self.session = Some(session);
        Ok(Holding::Held(Some(now)))
    }
}

/// Sets these locks apart from others in the same database.
const CLASS: i32 = 7_277_547;

async fn clock(session: &mut AnyConnection) -> Result<Timestamp, StoreError> {
    let asking = sqlx::query_scalar::<_, i64>("select cast(extract(epoch from clock_timestamp()) * 1000 as bigint)")
        .fetch_one(session);
    let now = timeout(PING, asking).await.map_err(|_| late())??;
    Ok(Timestamp::from_millis(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    #[tokio::test]
    async fn a_name_is_held_once_and_free_when_its_process_has_died() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::open(folder.path().join("a.db")).await;
        let (mut first, mut second) = (NodeName::new("a'b"), NodeName::new("a'b"));
        assert!(matches!(first.keep(&store).await.unwrap(), Holding::Held(_)));
        assert!(matches!(first.keep(&store).await.unwrap(), Holding::Held(_)));
        let mut other = NodeName::new("c");
        assert!(matches!(other.keep(&store).await.unwrap(), Holding::Held(_)));
        if store.server().is_none() {
            return;
        }
        assert_eq!(second.keep(&store).await.unwrap(), Holding::Taken);
        drop(first);
        for _ in 0..100 {
            match second.keep(&store).await.unwrap() {
                Holding::Taken => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                Holding::Held(_) => return,
            }
        }
        panic!("the name is not free");
    }
}
