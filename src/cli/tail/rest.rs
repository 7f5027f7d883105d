//! What is read by REST: pages of history, and the members' names.

use std::{collections::HashMap, time::Duration};

use awc::{Client, ClientResponse, http::StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    super::endpoint::{Endpoint, unanswered},
    trouble::Trouble,
};
use crate::ids::{MessageId, RoomId, UserId};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest answer: 100 messages of 5,000 characters of four bytes, and room for the names.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// Messages of a page.
const PAGE: u32 = 100;

/// Reads one room.
pub(super) struct Rest {
    client: Client,
    room: String,
}

/// A page of history, oldest first.
pub(super) struct Page {
    pub(super) messages: Vec<Box<RawValue>>,
    pub(super) has_more: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedMember {
    user_id: UserId,
    display_name: String,
}

impl Rest {
    pub(super) fn new(endpoint: &Endpoint, room_id: RoomId) -> Self {
        let client = Client::builder().timeout(TIMEOUT).disable_redirects();
        Self {
            client: client.finish(),
            room: endpoint.http(&format!("/rooms/{room_id}")),
        }
    }

    /// Returns the newest messages.
    pub(super) async fn newest(&self, token: &str, limit: u32) -> Result<Page, Trouble> {
        self.page(token, &format!("limit={limit}")).await
    }

    /// Returns the messages just after one.
    pub(super) async fn after(&self, token: &str, id: MessageId) -> Result<Page, Trouble> {
        self.page(token, &format!("limit={PAGE}&after={id}")).await
    }

    /// Returns the members' names.
    pub(super) async fn names(&self, token: &str) -> Result<HashMap<UserId, String>, Trouble> {
        let (members, _): (Vec<NamedMember>, bool) = self.get(token, "members").await?;
        let names = members.into_iter();
        Ok(names
            .map(|member| (member.user_id, member.display_name))
            .collect())
    }

    async fn page(&self, token: &str, query: &str) -> Result<Page, Trouble> {
        let (messages, has_more) = self.get(token, &format!("messages?{query}")).await?;
        Ok(Page { messages, has_more })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        token: &str,
        path: &str,
    ) -> Result<(T, bool), Trouble> {
        let url = format!("{}/{path}", self.room);
        let request = self.client.get(&url).bearer_auth(token);
        let mut answer = request
            .send()
            .await
            .map_err(|error| Trouble::passing(unanswered(&url, &error)))?;
        if !answer.status().is_success() {
            let detail = detail(&mut answer).await;
            return Err(refusal(answer.status(), &detail));
        }
        let more = answer.headers().get("X-Has-More");
        let has_more = more.is_some_and(|value| value.as_bytes() == b"true");
        let body = answer.json().limit(MAX_ANSWER_BYTES).await;
        let body = body.map_err(|error| {
            Trouble::lasting(format!(
                "{url} answers something else than expected: {error}"
            ))
        })?;
        Ok((body, has_more))
    }
}

async fn detail<S>(answer: &mut ClientResponse<S>) -> String
where
    S: futures_util::Stream<Item = Result<bytes::Bytes, awc::error::PayloadError>> + Unpin,
{
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let problem = answer.json::<Problem>().await;
    problem.map_or_else(|_| answer.status().to_string(), |problem| problem.detail)
}

/// A server that cannot now may later; one that does not want to never will.
fn refusal(status: StatusCode, detail: &str) -> Trouble {
    let why = format!("the server refuses: {detail}");
    match status {
        StatusCode::TOO_MANY_REQUESTS => Trouble::passing(why),
        status if status.is_server_error() => Trouble::passing(why),
        _ => Trouble::lasting(why),
    }
}
