//! Follows a room over any number of connections, each from where the last one ended.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    super::failure::{Failure, print_line, remark},
    TailOptions,
    rest::Rest,
    socket::{Frame, Socket},
    trouble::Trouble,
    view::{Joined, Missing, RoomView},
};
use crate::ids::UserId;

/// The id of the one request.
const JOIN: u64 = 1;

/// Follows one room.
pub(super) struct Follower {
    options: TailOptions,
    rest: Rest,
    view: RoomView,
    socket: Option<Socket>,
    /// Who looks, as `ready` says.
    me: Option<UserId>,
    /// When the server said to come back.
    come_back: Option<Duration>,
    was_live: bool,
    progressed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    user_id: UserId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    user_id: UserId,
    display_name: String,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    message: String,
    retryable: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reconnect {
    after_ms: u64,
}

impl Follower {
    pub(super) fn new(options: TailOptions) -> Self {
        Self {
            rest: Rest::new(&options.endpoint, options.room_id),
            view: RoomView::new(options.room_id, options.is_json),
            options,
            socket: None,
            me: None,
            come_back: None,
            was_live: false,
            progressed: false,
        }
    }

    /// Returns whether the room was ever joined.
    pub(super) fn was_live(&self) -> bool {
        self.was_live
    }

    /// Returns whether the room was joined since the last call.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progressed)
    }

    /// Says good-bye, where there is anybody to say it to.
    pub(super) async fn close(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.close().await;
        }
    }

    /// Follows the room over one connection, until something ends it.
    pub(super) async fn follow(&mut self) -> Trouble {
        let trouble = match self.connect().await {
            Ok(token) => self.read_frames(&token).await,
            Err(trouble) => trouble,
        };
        self.socket = None;
        match (trouble, self.come_back.take()) {
            (Trouble::Passing { why, .. }, after @ Some(_)) => Trouble::Passing { why, after },
            (trouble, _) => trouble,
        }
    }

    /// Shows the latest messages, the first time, and asks to join; returns the token.
    async fn connect(&mut self) -> Result<String, Trouble> {
        let token = self.options.credentials.token(self.view.room_id()).await;
        let token = token.map_err(Failure::from)?;
        if self.view.shows_names() {
            self.view.learn_names(self.rest.names(&token).await?);
        }
        if self.view.is_new() && self.options.last > 0 {
            let page = self.rest.newest(&token, self.options.last).await?;
            self.print_all(&page.messages)?;
            self.view.begin();
        }
        let url = self.options.endpoint.websocket();
        let mut socket = Socket::open(&url, &token).await?;
        socket.send(&self.view.join_request(JOIN)).await?;
        self.socket = Some(socket);
        Ok(token)
    }

    async fn read_frames(&mut self, token: &str) -> Trouble {
        loop {
            let Some(socket) = &mut self.socket else {
                return Trouble::passing("the connection ended");
            };
            let taken = match socket.next().await {
                Ok(frame) => self.take(&frame, token).await,
                Err(trouble) => Err(trouble),
            };
            if let Err(trouble) = taken {
                return trouble;
            }
        }
    }

    async fn take(&mut self, frame: &Frame, token: &str) -> Result<(), Trouble> {
        match frame.event.as_str() {
            "ready" => self.me = Some(read::<Ready>(&frame.data)?.user_id),
            "newMessage" => self.print(&frame.data)?,
            "roomJoined" => self.joined(&read(&frame.data)?, token).await?,
            "memberJoined" => {
                let member: Member = read(&frame.data)?;
                self.view
                    .learn_names([(member.user_id, member.display_name)]);
            }
            "memberLeft" if Some(read::<Member>(&frame.data)?.user_id) == self.me => {
                return Err(Trouble::lasting(
                    "the room is over: its follower is no member any more",
                ));
            }
            "reconnect" => {
                let after_ms = read::<Reconnect>(&frame.data)?.after_ms;
                self.come_back = Some(Duration::from_millis(after_ms));
            }
            "error" if frame.is_reply_to(JOIN) => return Err(refused(&read(&frame.data)?)),
            _ => {}
        }
        Ok(())
    }

    async fn joined(&mut self, joined: &Joined, token: &str) -> Result<(), Trouble> {
        (self.was_live, self.progressed) = (true, true);
        match self.view.joined(joined) {
            Missing::Nothing => {}
            Missing::Lost(why) => remark(why),
            Missing::After(mut id) => loop {
                let page = self.rest.after(token, id).await?;
                self.print_all(&page.messages)?;
                match self.view.last_id().filter(|_| page.has_more) {
                    Some(last) => id = last,
                    None => break,
                }
            },
        }
        Ok(())
    }

    fn print_all(&mut self, messages: &[Box<RawValue>]) -> Result<(), Trouble> {
        messages.iter().try_for_each(|raw| self.print(raw))
    }

    fn print(&mut self, raw: &RawValue) -> Result<(), Trouble> {
        if let Some(line) = self.view.show(raw).map_err(|error| unexpected(&error))? {
            print_line(&line)?;
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(data: &RawValue) -> Result<T, Trouble> {
    serde_json::from_str(data.get()).map_err(|error| unexpected(&error))
}

fn unexpected(error: &serde_json::Error) -> Trouble {
    Trouble::lasting(format!(
        "the server sent something else than expected: {error}"
    ))
}

fn refused(refusal: &Refusal) -> Trouble {
    let why = format!(
        "the room cannot be joined: {} ({})",
        refusal.message, refusal.code
    );
    match refusal.retryable {
        true => Trouble::passing(why),
        false => Trouble::lasting(why),
    }
}
