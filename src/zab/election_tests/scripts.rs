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

use std::path::Path;

use super::*;

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

/// The script with what it makes happen now.
fn play(text: &str) -> String {
    let mut script = Script::default();
    let mut result = String::new();
    for line in text.lines() {
        let is_command = line.starts_with('>');
        if is_command || line.starts_with('#') || line.is_empty() {
            result += line;
            result += "\n";
        }
        if let Some(command) = line.strip_prefix('>') {
            script.obey(command);
            for seen in script.hall.iter_mut().flat_map(|hall| hall.seen.drain(..)) {
                result += &seen;
                result += "\n";
            }
        }
    }
    result
}

#[test]
fn elections_go_as_the_scripts_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/election");
    let rewrite = std::env::var_os("REWRITE_SCRIPTS").is_some();
    let mut count = 0;
    for entry in std::fs::read_dir(&dir).expect("the scripts") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a script");
        let played = play(&text);
        if rewrite {
            std::fs::write(&path, &played).expect("the script");
        } else {
            assert_eq!(played, text, "{}", path.display());
        }
        count += 1;
    }
    assert!(count >= 8, "{count} scripts");
}
