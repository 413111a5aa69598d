//! What goes out to a connection, and its end.

use std::io::{ErrorKind, Read, Write};

use crate::clients::{Fate, Hangup};
use crate::proto::{ConnId, SessionId};

use super::acceptor::Stream;
use super::desk::Desk;
use super::table::{Socket, Table};

/// Writes until all is written or the socket takes no more.
pub(super) fn write(socket: &mut Socket<impl Write>, desk: &mut Desk) {
    while socket.writable && !socket.cnxn.unsent().is_empty() {
        match socket.stream.write(socket.cnxn.unsent()) {
            Ok(count) => {
                desk.tally.bytes_sent += count as u64;
                desk.status.count_sent(socket.cnxn.sent(count));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => socket.writable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                socket.writable = false;
                socket.cnxn.hang_up(&Hangup::Io(error), &mut desk.round());
            }
        }
    }
}

/// Closes a connection now: what the socket takes of its last words is written, the rest is lost.
pub(super) fn close(conn: ConnId, table: &mut Table<impl Stream>, desk: &mut Desk) {
    let Some(mut socket) = table.remove(conn) else {
        return;
    };
    if socket.cnxn.fate() != Fate::Close {
        write(&mut socket, desk);
    }
    desk.forget_watches(conn);
    desk.status.count_connections(-1);
    desk.tally.dropped += 1;
    desk.say_closed(&socket.cnxn);
    socket.stream.end();
    discard_input(&mut socket.stream);
}

/// Reads what the client has sent in vain, up to a bound: a socket closed with input unread is reset, and the
/// client may lose what was written to it last.
fn discard_input(stream: &mut impl Read) {
    let mut rubbish = [0; 4 * 1024];
    for _ in 0..16 {
        if !matches!(stream.read(&mut rubbish), Ok(count) if count > 0) {
            return;
        }
    }
}

pub(super) fn close_session(session: SessionId, table: &mut Table<impl Stream>, desk: &mut Desk) {
    if let Some(conn) = table.of_session(session) {
        close(conn, table, desk);
    }
}

pub(super) fn close_all(table: &mut Table<impl Stream>, desk: &mut Desk) {
    let all: Vec<ConnId> = table.iter().map(|socket| socket.cnxn.id()).collect();
    all.into_iter().for_each(|conn| close(conn, table, desk));
}
