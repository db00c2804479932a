//! A participant that is asked over HTTP, as an orchestrator asks it.

use std::time::Duration;

use async_trait::async_trait;
use keylane_core::saga::Outcome;
use keylane_core::saga::wire::CommandMessage;

use crate::participant::CarryOut;
use crate::saga::orchestrator::{HttpChannel, HttpRequest};

/// How long an answer is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A participant in another process, in whatever language.
pub struct HttpParticipant {
    url: String,
    token: Option<String>,
    channel: HttpChannel,
}

impl HttpParticipant {
    /// At this address.
    ///
    /// # Errors
    /// In words, if TLS cannot be set up.
    pub fn new(url: impl Into<String>) -> Result<Self, String> {
        Ok(HttpParticipant {
            url: url.into(),
            token: None,
            channel: HttpChannel::new()?,
        })
    }

    /// That asks for this token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }
}

#[async_trait]
impl CarryOut for HttpParticipant {
    async fn carry_out(&self, command: &CommandMessage) -> Outcome {
        let request = HttpRequest {
            url: &self.url,
            token: self.token.as_deref(),
            op: command.op,
            id: &command.id(),
            attributes: &command.attributes(),
            body: command.body().to_string().into_bytes(),
            answer_max: ANSWER_MAX,
        };
        let attempt = self.channel.send(request).await;
        attempt.outcome.unwrap_or(Outcome::Working)
    }

    fn source(&self) -> &str {
        &self.url
    }
}
