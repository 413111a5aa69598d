//! Elections under faults, by seeds: crashes, restarts, cuts, losses. When the faults are over there must soon be
//! one leader whom all follow, and none that lost could have known more than the quorum behind it.

use super::*;

/// How a server that has settled finds out that it was in vain: as the later phases would, roughly.
impl Hall {
    /// Those that follow a leader and can reach it, and the leader.
    fn supporters(&self, leader: Sid) -> Vec<Sid> {
        let supports = |&sid: &Sid| {
            let decided = self.servers[&sid].decided;
            let mine = decided.is_some_and(|(_, of, _)| of == leader) && self.is_reachable(sid, leader);
            mine && self.ensemble.is_voter(sid)
        };
        self.up().filter(supports).collect()
    }

    fn leads(&self, sid: Sid) -> bool {
        let decided = self.servers[&sid].decided;
        decided.is_some_and(|(state, _, _)| state == ServerState::Leading)
    }

    fn has_quorum(&self, leader: Sid) -> bool {
        let supporters = self.supporters(leader);
        self.leads(leader) && self.ensemble.verifier().contains_quorum(supporters)
    }

    /// One look at everybody: new epochs are established, broken relations end.
    fn tend(&mut self) {
        let up: Vec<Sid> = self.up().collect();
        for &sid in &up {
            let Some((_, leader, since_ms)) = self.servers[&sid].decided else {
                continue;
            };
            let is_up = self.servers[&leader].election.is_some();
            let holds = is_up && self.is_reachable(sid, leader) && self.has_quorum(leader);
            let ahead = self.ensemble.is_voter(sid) && self.knows_more(sid, leader);
            if (!holds && self.now_ms - since_ms > PATIENCE_MS) || ahead {
                self.look(sid);
            }
        }
        for leader in up
            .into_iter()
            .filter(|&sid| self.has_quorum(sid))
            .collect::<Vec<_>>()
        {
            self.establish(leader);
        }
    }

    fn knows_more(&self, sid: Sid, than: Sid) -> bool {
        let credentials = |sid: Sid| {
            let server = &self.servers[&sid];
            (server.current_epoch, server.last_zxid)
        };
        credentials(sid) > credentials(than)
    }

    /// All who follow take over the leader's epoch and history.
    fn establish(&mut self, leader: Sid) {
        let supporters = self.supporters(leader);
        let is_new = |sid: &Sid| self.standing(*sid).is_some_and(|s| s.vote_before_epoch.is_none());
        if !supporters.iter().any(is_new) {
            return;
        }
        let epoch = if is_new(&leader) {
            let epochs = self.servers.values().map(|server| server.current_epoch.0);
            Epoch(epochs.max().unwrap_or(0) + 1)
        } else {
            self.servers[&leader].current_epoch
        };
        let zxid = Zxid::of(epoch, 1);
        let new: Vec<Sid> = supporters.into_iter().filter(is_new).collect();
        for sid in new {
            (self.server(sid).current_epoch, self.server(sid).last_zxid) = (epoch, zxid);
            self.give(sid, Event::EpochEstablished(epoch));
        }
    }

    fn run_tended_until(&mut self, end_ms: i64) {
        while self.now_ms < end_ms {
            let next_ms = self.now_ms + 50;
            self.run_until(next_ms);
            self.tend();
        }
    }

    /// Whether there is one leader with a quorum, and everybody who is up is with it.
    fn is_at_peace(&self) -> bool {
        let leaders: Vec<Sid> = self.up().filter(|&sid| self.leads(sid)).collect();
        let [leader] = leaders[..] else { return false };
        let with_it = |sid| self.servers[&sid].decided.is_some_and(|(_, of, _)| of == leader);
        self.has_quorum(leader) && self.up().all(with_it)
    }

    /// One random mishap.
    fn harm(&mut self) {
        let sids: Vec<Sid> = self.servers.keys().copied().collect();
        let pick = |random: &mut Random| sids[usize::try_from(random.below(sids.len() as u64)).unwrap_or(0)];
        let (a, b) = (pick(&mut self.random), pick(&mut self.random));
        match self.random.below(10) {
            0..3 => self.crash(a),
            3..7 if self.servers[&a].election.is_none() => self.look(a),
            7 if a != b => {
                self.cuts.insert((a.min(b), a.max(b)));
            }
            8 => self.cuts.clear(),
            _ => self.weather.loss_percent = self.random.below(40),
        }
    }
}

/// How long a server waits for its leader or its followers.
const PATIENCE_MS: i64 = 1_500;

/// An ensemble of some size, some with observers, some with groups and weights.
fn any_ensemble(random: &mut Random) -> Ensemble {
    let size = [1, 2, 3, 3, 4, 5, 5, 7][random.below(8) as usize];
    let voters: Vec<i64> = (1..=size).collect();
    let observers: Vec<i64> = (10..10 + random.below(3) as i64).collect();
    let groups: Vec<(i64, i64, u32)> = match random.below(3) {
        0 => voters
            .iter()
            .map(|&sid| (sid, sid % 3, 1 + (sid % 2) as u32))
            .collect(),
        1 if size > 2 => voters.iter().map(|&sid| (sid, 1, u32::from(sid != 1))).collect(),
        _ => Vec::new(),
    };
    ensemble(&voters, &observers, &groups)
}

fn any_hall(seed: u64) -> Hall {
    let mut random = Random::new(seed);
    let weather = Weather {
        least_delay_ms: 1,
        most_delay_ms: 1 + random.below(60),
        loss_percent: 0,
    };
    let mut hall = Hall::new(any_ensemble(&mut random), weather, seed);
    for server in hall.servers.values_mut() {
        let zxid = Zxid::of(Epoch(1 + random.below(2) as i64), random.below(3) as u32);
        (server.last_zxid, server.current_epoch) = (zxid, zxid.epoch());
    }
    hall
}

/// Without faults all settle at once on the best of those that may lead.
#[test]
fn without_faults_the_best_is_elected_by_all_in_a_second() {
    for seed in 0..500 {
        let mut hall = any_hall(seed);
        let all: Vec<Sid> = hall.servers.keys().copied().collect();
        for &sid in &all {
            hall.now_ms = 0;
            hall.look(sid);
        }
        // One that weighs nothing but knows most sticks to itself until its second reminder is answered.
        hall.run_until(1_000);
        let may_lead = |sid: &Sid| hall.ensemble.is_voter(*sid) && hall.ensemble.verifier().weight(*sid) > 0;
        let candidates = all.iter().filter(|sid| may_lead(sid));
        let best = candidates.map(|&sid| hall.servers[&sid].credentials(sid)).max();
        for &sid in &all {
            let decided = hall.servers[&sid].decided.map(|(_, leader, _)| leader);
            assert_eq!(decided, best.map(|vote| vote.leader), "server {sid}, seed {seed}");
        }
    }
}

#[test]
fn after_the_faults_there_is_one_leader_whom_all_follow() {
    for seed in 0..100 {
        let mut hall = any_hall(seed);
        for _ in 0..100 {
            hall.harm();
            let span_ms = hall.random.below(1_000) as i64;
            let end_ms = hall.now_ms + span_ms;
            hall.run_tended_until(end_ms);
        }
        hall.cuts.clear();
        hall.weather.loss_percent = 0;
        let down: Vec<Sid> = hall.servers.keys().copied().collect();
        for sid in down {
            if hall.election(sid).is_none() {
                hall.look(sid);
            }
        }
        let end_ms = hall.now_ms + 130_000;
        while !hall.is_at_peace() && hall.now_ms < end_ms {
            let next_ms = hall.now_ms + 1_000;
            hall.run_tended_until(next_ms);
        }
        let last = hall.seen.split_off(hall.seen.len().saturating_sub(40));
        assert!(hall.is_at_peace(), "seed {seed}:\n{}", last.join("\n"));
    }
}
