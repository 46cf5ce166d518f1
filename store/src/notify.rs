//! Notifications by PostgreSQL of new revocations. They are hints, on a separate connection: a node
//! that receives none reads the list a moment later.

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// The channel on which PostgreSQL announces new revocations. A notification is a hint: it may be
/// lost.
pub const CHANNEL: &str = "keyward_revocations";

/// The delay before listening is retried.
const AGAIN: Duration = Duration::from_secs(1);

/// A flag that is set when there may be a new revocation.
#[derive(Default)]
pub(crate) struct News {
    told: Mutex<bool>,
    changed: Condvar,
}

impl News {
    /// Blocks until there may be a new revocation, or for `max`. Returns whether there was a
    /// notification.
    pub(crate) fn wait(&self, max: Duration) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(told, max, |told| !*told);
        let (mut told, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut told)
    }

    fn notify(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

/// Forwards notifications of the server, for as long as it is polled.
pub(crate) async fn listen(options: PgConnectOptions, news: Arc<News>) {
    loop {
        if let Ok(mut listener) = listener(&options).await {
            // Notifications before it listened were missed.
            news.notify();
            while let Ok(Some(_)) = listener.try_recv().await {
                news.notify();
            }
        }
        sleep(AGAIN).await;
    }
}

async fn listener(options: &PgConnectOptions) -> sqlx::Result<PgListener> {
    let pool = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).acquire_timeout(AGAIN);
    let mut listener = PgListener::connect_with(&pool.connect_lazy_with(options.clone())).await?;
    // A lost connection must return an error, and not wait for another.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}
