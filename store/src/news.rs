//! PostgreSQL tells when there is a new revocation. That is a hint, on a connection of its own: whoever hears nothing reads the
//! list a moment later.

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// The channel on which PostgreSQL tells that there is a new revocation. A hint: it may be lost.
pub const CHANNEL: &str = "keyward_revocations";

/// How long to wait until somebody who could not listen tries again.
const AGAIN: Duration = Duration::from_secs(1);

/// Whether there may be a new revocation.
#[derive(Default)]
pub(crate) struct News {
    told: Mutex<bool>,
    changed: Condvar,
}

impl News {
    /// Blocks until there may be something new, or for that long. Says whether it was told so.
    pub(crate) fn wait(&self, most: Duration) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(told, most, |told| !*told);
        let (mut told, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut told)
    }

    fn tell(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

/// Passes on what the server tells, for as long as it is polled.
pub(crate) async fn listen(options: PgConnectOptions, news: Arc<News>) {
    loop {
        if let Ok(mut listener) = listener(&options).await {
            // What was told before it listened, it has not heard.
            news.tell();
            while let Ok(Some(_)) = listener.try_recv().await {
                news.tell();
            }
        }
        sleep(AGAIN).await;
    }
}

async fn listener(options: &PgConnectOptions) -> sqlx::Result<PgListener> {
    let pool = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).acquire_timeout(AGAIN);
    let mut listener = PgListener::connect_with(&pool.connect_lazy_with(options.clone())).await?;
    // A connection that is lost is an end, and not a reason to wait for another.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}
