//! Golden scripts: `tests/scripts/election/*.txt`. A line with `>` is a command, the lines below it are what could
//! be seen. With `REWRITE_SCRIPTS=1` in the environment the files are written anew, for a person to review.
//!
//! ```text
//! > servers 1 2 3           the voters; `observers 4`; `weight 1 group weight`: all before the first `look`
//! > delay 5                 every message takes 5 ms
//! > version 2 0             server 2 sends messages of version 0
//! > look 1 epoch=1 zxid=0x100000005
//! > run 1000                virtual milliseconds
//! > cut 1 2   > heal        two servers cannot reach each other; all can again
//! > crash 3
//! > lost 3 by 2             server 2 hears that server 3 cannot be reached; `found 3 by 2` that it can again
//! > established 3 2         server 3 has established epoch 2
//! ```

use super::*;

#[path = "../../../tests/golden/runner.rs"]
mod runner;

#[derive(Default)]
struct Script {
    voters: Vec<i64>,
    observers: Vec<i64>,
    weights: Vec<(i64, i64, u32)>,
    hall: Option<Hall>,
}

impl Script {
    fn hall(&mut self) -> &mut Hall {
        let Script {
            voters,
            observers,
            weights,
            hall,
        } = self;
        let calm = Weather {
            least_delay_ms: 1,
            most_delay_ms: 1,
            loss_percent: 0,
        };
        hall.get_or_insert_with(|| Hall::new(ensemble(voters, observers, weights), calm, 1))
    }

    fn obey(&mut self, command: &str) {
        let mut words = command.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let words: Vec<&str> = words.collect();
        let numbers: Vec<i64> = words.iter().filter_map(|word| word.parse().ok()).collect();
        match (verb, numbers.as_slice()) {
            ("servers", sids) => self.voters = sids.to_vec(),
            ("observers", sids) => self.observers = sids.to_vec(),
            ("weight", &[sid, group, weight]) => {
                let weight = weight.try_into().expect("a weight");
                self.weights.push((sid, group, weight));
            }
            ("delay", &[delay_ms]) => {
                let delay_ms = delay_ms.try_into().expect("a delay");
                let weather = &mut self.hall().weather;
                (weather.least_delay_ms, weather.most_delay_ms) = (delay_ms, delay_ms);
            }
            ("version", &[sid, version]) => {
                self.hall().server(Sid(sid)).version = version.try_into().expect("a version");
            }
            ("look", &[sid]) => self.look(Sid(sid), &words),
            ("run", &[span_ms]) => {
                let end_ms = self.hall().now_ms + span_ms;
                self.hall().run_until(end_ms);
            }
            ("cut", &[a, b]) => {
                self.hall().cuts.insert((Sid(a.min(b)), Sid(a.max(b))));
            }
            ("heal", []) => self.hall().cuts.clear(),
            ("crash", &[sid]) => self.hall().crash(Sid(sid)),
            ("lost" | "found", &[sid, by]) => {
                let (sid, is_up) = (Sid(sid), verb == "found");
                self.hall().give(Sid(by), Event::Reach { sid, is_up });
            }
            ("established", &[sid, epoch]) => {
                self.hall().give(Sid(sid), Event::EpochEstablished(Epoch(epoch)));
            }
            _ => panic!("no such command: {command}"),
        }
    }

    fn look(&mut self, sid: Sid, words: &[&str]) {
        let server = self.hall().server(sid);
        for word in words {
            if let Some(epoch) = word.strip_prefix("epoch=") {
                server.current_epoch = Epoch(epoch.parse().expect("an epoch"));
            } else if let Some(zxid) = word.strip_prefix("zxid=0x") {
                server.last_zxid = Zxid(i64::from_str_radix(zxid, 16).expect("a zxid"));
            }
        }
        self.hall().look(sid);
    }
}

#[test]
fn elections_go_as_the_scripts_say() {
    runner::play_all("election", 8, Script::default, |script, command| {
        script.obey(command);
        let seen = script.hall.iter_mut().flat_map(|hall| hall.seen.drain(..));
        seen.collect()
    });
}
