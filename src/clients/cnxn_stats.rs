//! The figures of one connection, for `cons`. (ServerCnxn)

use crate::proto::{OpCode, SessionId, Xid, Zxid};
use crate::request::connections::SessionInfo;

/// What a connection has done since it began, or since `crst`.
#[derive(Debug, Clone)]
pub(super) struct CnxnStats {
    /// When the connection began, wall milliseconds. Not reset.
    established_ms: i64,
    received: u64,
    sent: u64,
    last_op: Option<OpCode>,
    /// The last request's number that was not one of the protocol's own; -1 if there was none.
    last_cxid: Xid,
    last_zxid: Zxid,
    last_response_ms: i64,
    last_latency_ms: i64,
    min_latency_ms: i64,
    max_latency_ms: i64,
    total_latency_ms: i64,
    answers: i64,
}

impl CnxnStats {
    pub(super) fn new(established_ms: i64) -> CnxnStats {
        CnxnStats {
            established_ms,
            received: 0,
            sent: 0,
            last_op: None,
            last_cxid: Xid(-1),
            last_zxid: Zxid(-1),
            last_response_ms: 0,
            last_latency_ms: 0,
            min_latency_ms: i64::MAX,
            max_latency_ms: 0,
            total_latency_ms: 0,
            answers: 0,
        }
    }

    pub(super) fn reset(&mut self) {
        *self = CnxnStats::new(self.established_ms);
    }

    pub(super) fn count_received(&mut self) {
        self.received += 1;
    }

    pub(super) fn count_sent(&mut self, frames: u64) {
        self.sent += frames;
    }

    /// A request was answered. Times in elapsed milliseconds. (updateStatsForResponse)
    pub(super) fn answered(&mut self, xid: Xid, zxid: Zxid, op: OpCode, received_ms: i64, now_ms: i64) {
        if xid.0 >= 0 {
            self.last_cxid = xid;
        }
        let latency_ms = now_ms - received_ms;
        self.last_zxid = zxid;
        self.last_op = Some(op);
        self.last_response_ms = now_ms;
        self.last_latency_ms = latency_ms;
        self.min_latency_ms = self.min_latency_ms.min(latency_ms);
        self.max_latency_ms = self.max_latency_ms.max(latency_ms);
        self.total_latency_ms += latency_ms;
        self.answers += 1;
    }

    /// `recved=` and `sent=`.
    pub(super) fn packets(&self) -> (u64, u64) {
        (self.received, self.sent)
    }

    /// The same as figures.
    pub(super) fn info(&self, id: SessionId, timeout_ms: i32) -> SessionInfo {
        SessionInfo {
            id,
            timeout_ms,
            last_operation: self.last_op.map_or("NA", OpCode::short_name),
            established_ms: self.established_ms,
            last_cxid: self.last_cxid,
            last_zxid: self.last_zxid,
            last_response_ms: self.last_response_ms,
            last_latency_ms: self.last_latency_ms,
            min_latency_ms: if self.answers == 0 { 0 } else { self.min_latency_ms },
            avg_latency_ms: self.total_latency_ms / self.answers.max(1),
            max_latency_ms: self.max_latency_ms,
        }
    }

    /// What `cons` writes of a connection that has a session. (dumpConnectionInfo)
    pub(super) fn describe(&self, session: SessionId, timeout_ms: i32) -> String {
        let op = self.last_op.map_or("NA", OpCode::short_name);
        let lcxid = match self.last_cxid.0 {
            cxid if cxid >= 0 => format!(",lcxid=0x{cxid:x}"),
            _ => String::new(),
        };
        let minlat = if self.answers == 0 { 0 } else { self.min_latency_ms };
        let avglat = self.total_latency_ms / self.answers.max(1);
        format!(
            ",sid={session},lop={op},est={},to={timeout_ms}{lcxid},lzxid={},lresp={},llat={},minlat={minlat},\
             avglat={avglat},maxlat={}",
            self.established_ms,
            self.last_zxid,
            self.last_response_ms,
            self.last_latency_ms,
            self.max_latency_ms,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_cons_is_java_s() {
        let mut stats = CnxnStats::new(1_700_000_000_000);
        let fresh = ",sid=0x1,lop=NA,est=1700000000000,to=4000,lzxid=0xffffffffffffffff,lresp=0,llat=0,minlat=0,\
                     avglat=0,maxlat=0";
        assert_eq!(stats.describe(SessionId(1), 4_000), fresh);
        stats.answered(Xid(10), Zxid(7), OpCode::GetData, 100, 103);
        stats.answered(Xid(-2), Zxid(8), OpCode::Ping, 200, 206);
        let used = ",sid=0x1,lop=PING,est=1700000000000,to=4000,lcxid=0xa,lzxid=0x8,lresp=206,llat=6,minlat=3,\
                    avglat=4,maxlat=6";
        assert_eq!(stats.describe(SessionId(1), 4_000), used);
        stats.reset();
        assert_eq!(stats.describe(SessionId(1), 4_000), fresh);
    }
}
