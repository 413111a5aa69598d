//! What kind of world a seed draws: how many servers, which roles, how small the limits.

use oxkeeper::config::{Origin, SystemProperties};

use super::rng::Rng;

/// An ensemble and its configuration.
#[derive(Debug, Clone)]
pub struct Shape {
    pub servers: u64,
    pub observers: u64,
    /// Groups of voters with weights, as lines of zoo.cfg.
    pub groups: Vec<String>,
    pub tick_ms: u64,
    pub init_limit: u64,
    pub sync_limit: u64,
    pub snap_count: u64,
    pub outstanding: u64,
    pub prealloc_kib: u64,
    pub committed_limit: usize,
    pub clients: usize,
    /// What is special about clients, from the first on.
    pub habits: Vec<Habit>,
    /// The server with the largest number, which leads first, may have a `syncLimit` of its own.
    pub sync_limit_of_last: Option<u64>,
    /// The counter with which each epoch begins, if not 0. (zookeeper.testingonly.initialZxid)
    pub initial_counter: u32,
}

/// What is special about a client.
#[derive(Debug, Clone, Copy, Default)]
pub struct Habit {
    /// It calls this server only.
    pub home: Option<u64>,
    /// It writes nothing.
    pub only_reads: bool,
    /// For how long its session is to last without a word of it.
    pub timeout_ticks: Option<u64>,
}

impl Shape {
    /// Three voters with small limits.
    pub fn three() -> Shape {
        Shape {
            servers: 3,
            observers: 0,
            groups: Vec::new(),
            tick_ms: 200,
            init_limit: 10,
            sync_limit: 5,
            snap_count: 100,
            outstanding: 100,
            prealloc_kib: 4,
            committed_limit: 500,
            clients: 3,
            habits: Vec::new(),
            sync_limit_of_last: None,
            initial_counter: 0,
        }
    }

    pub fn drawn(rng: &mut Rng) -> Shape {
        let voters = *rng.pick(&[1, 3, 3, 3, 3, 5]);
        // A server that stands alone has nobody who observes it.
        let observers = *rng.pick(&[0, 0, 0, 1]) * u64::from(voters > 1);
        let mut groups = Vec::new();
        if voters == 5 && rng.one_in(3) {
            groups = vec![
                "group.1=1:2:3".to_owned(),
                "group.2=4:5".to_owned(),
                format!("weight.1={}", rng.between(1, 2)),
                format!("weight.4={}", rng.between(1, 2)),
            ];
        }
        let servers = voters + observers;
        let clients = rng.between(1, 6) as usize;
        let habits = (0..clients).map(|_| Habit::drawn(rng, servers)).collect();
        Shape {
            servers,
            observers,
            groups,
            tick_ms: rng.between(100, 400),
            init_limit: rng.between(5, 20),
            sync_limit: rng.between(2, 8),
            snap_count: *rng.pick(&[3, 6, 12, 40, 200]),
            outstanding: *rng.pick(&[1, 4, 1_000]),
            prealloc_kib: *rng.pick(&[0, 1, 4]),
            committed_limit: *rng.pick(&[2, 8, 30, 500]),
            clients,
            habits,
            sync_limit_of_last: rng.one_in(4).then(|| rng.between(8, 30)),
            initial_counter: if voters > 1 && rng.one_in(8) {
                u32::MAX - rng.between(3, 400) as u32
            } else {
                0
            },
        }
    }

    /// What is special about a client.
    pub fn habit(&self, client: usize) -> Habit {
        self.habits.get(client).copied().unwrap_or_default()
    }

    pub fn voters(&self) -> u64 {
        self.servers - self.observers
    }

    pub fn is_observer(&self, sid: u64) -> bool {
        sid > self.voters()
    }

    /// The counter of the first transaction of an epoch.
    pub fn first_counter(&self) -> u32 {
        self.initial_counter + 1
    }

    pub fn system_properties(&self) -> SystemProperties {
        let mut system = SystemProperties::default();
        let check = CONTAINERS_CHECKED_EACH_MS.to_string();
        system.set("znode.container.checkIntervalMs", check, Origin::CommandLine);
        if self.initial_counter > 0 {
            let counter = self.initial_counter.to_string();
            system.set("zookeeper.testingonly.initialZxid", counter, Origin::CommandLine);
        }
        system
    }

    pub fn zoo_cfg(&self, sid: u64) -> String {
        let own_limit = self.sync_limit_of_last.filter(|_| sid == self.servers);
        let mut text = format!(
            "tickTime={}\ninitLimit={}\nsyncLimit={}\ndataDir=/data\nclientPort=2181\nsnapCount={}\n\
             globalOutstandingLimit={}\npreAllocSize={}\nmaxClientCnxns=0\n",
            self.tick_ms,
            self.init_limit,
            own_limit.unwrap_or(self.sync_limit),
            self.snap_count,
            self.outstanding,
            self.prealloc_kib
        );
        for other in 1..=self.servers {
            let role = if self.is_observer(other) { ":observer" } else { "" };
            text.push_str(&format!("server.{other}=10.0.0.{other}:2888:3888{role}\n"));
        }
        if self.is_observer(sid) {
            text.push_str("peerType=observer\n");
        }
        self.groups.iter().for_each(|line| {
            text.push_str(line);
            text.push('\n');
        });
        text
    }
}

impl Habit {
    /// A patient client of one server.
    pub fn at(home: u64, only_reads: bool) -> Habit {
        Habit {
            home: Some(home),
            only_reads,
            timeout_ticks: Some(20),
        }
    }

    fn drawn(rng: &mut Rng, servers: u64) -> Habit {
        Habit {
            home: rng.one_in(5).then(|| rng.between(1, servers)),
            only_reads: rng.one_in(6),
            timeout_ticks: None,
        }
    }
}

/// Often enough that containers and nodes with a time to live go while faults befall.
const CONTAINERS_CHECKED_EACH_MS: u64 = 700;
