//! The connection of a transaction as its statements see it: each has a deadline, and one that fails spoils the
//! transaction. PostgreSQL answers the commit of such a transaction without an error, having rolled it back.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use futures_util::{FutureExt as _, stream};
use sqlx::any::{Any, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::{Describe, Either, Error, Execute, Executor, SqlStr};

use super::postgresql::late;

/// See the module.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) transaction: sqlx::Transaction<'static, Any>,
    /// How long an answer is waited for; as long as it takes if there is none.
    pub(super) limit: Option<Duration>,
    /// Whether a statement has failed.
    pub(super) failed: bool,
}

impl<'c> Executor<'c> for &'c mut Statements {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        // Whoever asks for many rows collects them, so that is done here.
        let rows = self.transaction.fetch_many(query).try_collect::<Vec<_>>();
        stream::once(watched(rows, self.limit, &mut self.failed))
            .map_ok(|rows| stream::iter(rows.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        watched(self.transaction.fetch_optional(query), self.limit, &mut self.failed).boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [AnyTypeInfo]) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        watched(
            self.transaction.prepare_with(sql, parameters),
            self.limit,
            &mut self.failed,
        )
        .boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Any>, Error>>
    where
        'c: 'e,
    {
        watched(self.transaction.describe(sql), self.limit, &mut self.failed).boxed()
    }
}

async fn watched<T>(
    work: impl Future<Output = Result<T, Error>>,
    limit: Option<Duration>,
    failed: &mut bool,
) -> Result<T, Error> {
    // Also when nobody waits for the end of it.
    *failed = true;
    let answer = match limit {
        Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late())),
        None => work.await,
    };
    *failed = answer.is_err();
    answer
}
