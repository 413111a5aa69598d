//! What the client loop answers by itself.

use crate::clients::Asked;
use crate::proto::{Encode, ErrorCode, OpCode, Xid, Zxid};
use crate::request::reads::Reading;
use crate::request::reply::{write_answer, write_event, write_frame, write_header};

use super::table::Socket;

/// Writes one answer of the loop's own. Gives the operation if it counts in the figures.
pub(super) fn answer<S>(
    socket: &mut Socket<S>,
    reading: &Reading<'_>,
    asked: &Asked,
    xid: Xid,
    bytes: &[u8],
) -> Option<OpCode> {
    let zxid = reading.tree.last_zxid();
    match asked {
        Asked::Read(op, record) => {
            let body = bytes.get(record.clone()).unwrap_or_default();
            answer_read(socket, reading, *op, body, xid, zxid);
            Some(*op)
        }
        Asked::Ping => {
            socket
                .cnxn
                .on_answer(|out| write_header(out, Xid::PING, zxid, ErrorCode::Ok));
            Some(OpCode::Ping)
        }
        Asked::Header(zxid, error) => {
            socket.cnxn.on_answer(|out| write_header(out, xid, *zxid, *error));
            None
        }
        Asked::SaslToken(token) => {
            let record = |out: &mut Vec<u8>| {
                token.as_deref().encode(out);
                Ok(())
            };
            socket
                .cnxn
                .on_answer(|out| write_answer(out, xid, Zxid(0), record));
            None
        }
    }
}

fn answer_read<S>(
    socket: &mut Socket<S>,
    reading: &Reading<'_>,
    op: OpCode,
    body: &[u8],
    xid: Xid,
    zxid: Zxid,
) {
    let mut refused = None;
    if matches!(op, OpCode::SetWatches | OpCode::SetWatches2) {
        // Its events stand before its answer, which is a header alone.
        let mut missed = Vec::new();
        refused = reading.set_watches(op, body, &mut missed).err();
        for event in &missed {
            socket
                .cnxn
                .on_answer(|out| write_frame(out, |out| write_event(event, out)));
        }
    }
    socket.cnxn.on_answer(|out| {
        write_answer(out, xid, zxid, |out| match refused {
            Some(error) => Err(error),
            None => reading.answer(op, body, out),
        });
    });
}
