//! How a connection comes by its session: a new one, the renewal of one, or a refusal.
//! (ZooKeeperServer.processConnectRequest, finishSessionInit)

use crate::proto::requests::ConnectRequest;
use crate::proto::responses::ConnectResponse;
use crate::proto::{Decode, Encode, OpCode, Reader, SessionId, Xid};
use crate::request::reply::write_frame;
use crate::request::sessions::{Renewal, password_matches, password_of};

use super::address::JavaAddress;
use super::cnxn::{Cnxn, State};
use super::hangup::Hangup;
use super::quiet::Line;
use super::{Hosting, Round};

impl Cnxn {
    /// The first frame.
    pub(super) fn on_handshake(
        &mut self,
        frame: &[u8],
        hosting: Hosting<'_>,
        round: &mut Round<'_>,
    ) -> Result<(), Hangup> {
        let remote = JavaAddress(self.remote);
        let now_ms = round.now.elapsed_ms;
        let mut reader = Reader::new(frame);
        let request = ConnectRequest::decode(&mut reader)?;
        if !round.tokens.take(now_ms) {
            return Err(Hangup::Throttled);
        }
        self.is_old = reader.remaining() == 0;
        let takes_read_only = !self.is_old && bool::decode(&mut reader)?;
        if self.is_old {
            let text = "will be dropped if server is in r-o mode";
            let text = format_args!("Connection request from old client {remote}; {text}");
            round.quiet.say(Line::Handshake, log::Level::Warn, now_ms, text);
        }
        if hosting.read_only && !takes_read_only {
            let text = format_args!("Refusing session request for not-read-only client {remote}");
            round.quiet.say(Line::Handshake, log::Level::Info, now_ms, text);
            return Err(Hangup::Refused);
        }
        if request.last_zxid_seen > hosting.applied {
            let (seen, ours) = (request.last_zxid_seen, hosting.applied);
            let text = format_args!(
                "Refusing session request for client {remote} as it has seen zxid {seen} our last zxid is \
                 {ours} client must try another server"
            );
            round.quiet.say(Line::Handshake, log::Level::Info, now_ms, text);
            return Err(Hangup::Refused);
        }
        self.timeout_ms = request
            .timeout_ms
            .max(round.rules.min_timeout_ms)
            .min(round.rules.max_timeout_ms);
        if request.session == SessionId(0) {
            self.begin_session(hosting, round);
        } else {
            // A null password is an empty one. 3.4.14 meets a null pointer on it and begins again for ever.
            self.renew_session(
                request.session,
                request.password.unwrap_or_default(),
                hosting,
                round,
            );
        }
        Ok(())
    }

    /// Asks the chain for a session; nothing is read until it exists.
    fn begin_session(&mut self, hosting: Hosting<'_>, round: &mut Round<'_>) {
        log::info!(
            "Client attempting to establish new session at {}",
            JavaAddress(self.remote)
        );
        self.session = hosting.sessions.create(self.timeout_ms, round.now.elapsed_ms);
        self.state = State::Waiting;
        round.wishes.taken.push((self.session, self.id));
        self.send_inside(Xid(0), OpCode::CreateSession, self.timeout_ms.to_bytes(), round);
    }

    /// Takes over a session. 3.4.14 closes the session's other connection before it has looked at the
    /// password, so that anybody could; here only who knows the password can.
    fn renew_session(
        &mut self,
        session: SessionId,
        password: &[u8],
        hosting: Hosting<'_>,
        round: &mut Round<'_>,
    ) {
        log::info!(
            "Client attempting to renew session {session} at {}",
            JavaAddress(self.remote)
        );
        self.session = session;
        if !password_matches(session, password) {
            return self.finish_handshake(false, round);
        }
        round.wishes.taken.push((session, self.id));
        let now_ms = round.now.elapsed_ms;
        match hosting.sessions.renew(self.id, session, self.timeout_ms, now_ms) {
            Renewal::Alive => self.finish_handshake(true, round),
            Renewal::Over => self.finish_handshake(false, round),
            Renewal::Asked => self.state = State::Waiting,
        }
    }

    /// Answers the handshake, and begins to read requests if the session is alive.
    pub(super) fn finish_handshake(&mut self, alive: bool, round: &mut Round<'_>) {
        let (session, timeout_ms) = if alive {
            (self.session, self.timeout_ms)
        } else {
            (SessionId(0), 0)
        };
        let password = if alive { password_of(session) } else { [0; 16] };
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session,
            password: &password,
        };
        let read_only = round.hosting.is_some_and(|hosting| hosting.read_only);
        let is_old = self.is_old;
        self.on_answer(|out| {
            write_frame(out, |out| {
                response.encode(out);
                if !is_old {
                    read_only.encode(out);
                }
            });
        });
        let (session, remote) = (self.session, JavaAddress(self.remote));
        if alive {
            let timeout_ms = self.timeout_ms;
            log::info!(
                "Established session {session} with negotiated timeout {timeout_ms} for client {remote}"
            );
            self.state = State::Open;
        } else {
            let text = format_args!("Invalid session {session} for client {remote}, probably expired");
            round
                .quiet
                .say(Line::Handshake, log::Level::Info, round.now.elapsed_ms, text);
            self.state = State::Closing;
        }
    }

    /// Another server has judged the session that this connection renews.
    pub fn on_verdict(&mut self, valid: bool, round: &mut Round<'_>) {
        if self.state == State::Waiting {
            self.finish_handshake(valid, round);
        }
    }
}
