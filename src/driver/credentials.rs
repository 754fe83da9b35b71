//! What a dialer shows to the acceptor's application (rule S7).

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use super::environment::BoxFuture;
use crate::error::{ConfigError, ConnectError};
use crate::wire::MAX_CREDENTIALS;

/// A token for the acceptor's application, at most 4 KiB: always the same, or asked for anew at every attach.
#[derive(Clone, Default)]
pub struct Credentials(Kind);

#[derive(Clone, Default)]
enum Kind {
    #[default]
    None,
    Fixed(Bytes),
    Renewed(Arc<dyn Fn() -> BoxFuture<Result<Bytes, String>> + Send + Sync>),
}

impl Credentials {
    /// Asks `renew` before every attach, the first one and those after a loss of the connection. Its error is the
    /// reason why the dial failed; a session that was attached before goes on trying.
    pub fn renewed_by<F, R>(renew: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Bytes, String>> + Send + 'static,
    {
        Self(Kind::Renewed(Arc::new(move || Box::pin(renew()))))
    }

    /// What to show this time.
    pub(super) async fn renew(&self) -> Result<Bytes, ConnectError> {
        let credentials = match &self.0 {
            Kind::None => Bytes::new(),
            Kind::Fixed(credentials) => credentials.clone(),
            Kind::Renewed(renew) => renew().await.map_err(|reason| ConnectError::Credentials { reason })?,
        };
        if credentials.len() > MAX_CREDENTIALS {
            let found = format!("{} bytes", credentials.len());
            let wanted = format!("at most {MAX_CREDENTIALS} bytes");
            return Err(ConfigError { knob: "credentials", found, wanted }.into());
        }
        Ok(credentials)
    }
}

impl<T: Into<Bytes>> From<T> for Credentials {
    fn from(credentials: T) -> Self {
        Self(Kind::Fixed(credentials.into()))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::None => "Credentials(none)",
            Kind::Fixed(_) | Kind::Renewed(_) => "Credentials(..)",
        })
    }
}
