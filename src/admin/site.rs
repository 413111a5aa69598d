//! The site of the admin server: which path leads where. (JettyAdminServer)

use std::sync::Arc;

use serde_json::json;

use crate::request::ServerState;
use crate::runtime::Now;

use super::history::History;
use super::http::{Asked, Page, Site};
use super::members::Members;
use super::sources::Sources;
use super::survey::{Survey, Surveyor};
use super::{browse, commands, overview};

/// What the operator has set for the site.
#[derive(Debug, Clone)]
pub struct SiteRules {
    /// The path of the commands, without a slash at its end.
    pub command_url: String,
    /// Whether nodes are shown.
    pub tree_browser: bool,
}

/// The site.
pub struct AdminSite {
    sources: Sources,
    rules: SiteRules,
    members: Arc<Members>,
    history: History,
    surveyor: Surveyor,
    survey: Option<Survey>,
    /// When the next walk over the tree may begin, elapsed milliseconds.
    survey_after_ms: i64,
}

impl AdminSite {
    /// A site that tells what `sources` and `members` tell.
    pub fn new(sources: Sources, rules: SiteRules, members: Arc<Members>) -> AdminSite {
        AdminSite {
            sources,
            rules,
            members,
            history: History::default(),
            surveyor: Surveyor::default(),
            survey: None,
            survey_after_ms: 0,
        }
    }

    /// Links to all commands, as Java lists them.
    fn command_list(&self) -> Page {
        let url = &self.rules.command_url;
        let links = commands::names().into_iter();
        let links = links.map(|name| format!("<a href=\"{url}/{name}\">{name}</a>\n<br/>\n"));
        Page::html(links.collect::<String>())
    }

    /// Whether the process does its work: the loop of the clients goes round, whether or not it serves.
    fn health(&self, now: Now) -> Page {
        let silent_ms = now.elapsed_ms - self.sources.status.loop_alive_ms();
        let is_well = silent_ms < LONGEST_SILENCE_MS;
        let body = json!({"healthy": is_well, "client_loop_silent_ms": silent_ms});
        Page::json(if is_well { 200 } else { 503 }, &body)
    }

    /// Whether clients are served, writes too.
    fn readiness(&self) -> Page {
        let serving = self.sources.gate.serving();
        let present = self.sources.status.roles.present();
        let state = serving
            .as_ref()
            .map_or(present.duty.name(), |serving| serving.state.name());
        let is_ready = serving.is_some_and(|serving| serving.state != ServerState::ReadOnly);
        let body = json!({"ready": is_ready, "state": state});
        Page::json(if is_ready { 200 } else { 503 }, &body)
    }

    fn overview(&mut self, now: Now) -> Page {
        self.members.want(now.elapsed_ms);
        if now.elapsed_ms >= self.survey_after_ms {
            self.survey_after_ms = now.elapsed_ms + SURVEY_EVERY_MS;
            self.surveyor.begin();
        }
        let value = overview::overview(
            &self.sources,
            &self.members,
            &self.history,
            self.survey.as_ref(),
            self.rules.tree_browser,
            now,
        );
        Page::json(200, &value)
    }

    fn node(&self, asked: &Asked) -> Page {
        let refuse = |status, reason: &str| Page::json(status, &json!({"error": reason}));
        if !self.rules.tree_browser {
            return refuse(403, "the tree browser is switched off (admin.treeBrowser)");
        }
        let Some(serving) = self.sources.gate.serving() else {
            return refuse(503, "this server is not serving at present");
        };
        let path = asked.query.get("path").map_or("/", String::as_str);
        let tree = serving.database.read_tree();
        let node = browse::node(&tree, &self.sources.auth, path);
        drop(tree);
        match node {
            Ok(node) => Page::json(200, &node),
            Err(reason) => refuse(404, reason),
        }
    }
}

impl Site for AdminSite {
    fn answer(&mut self, now: Now, asked: &Asked) -> Page {
        let command = asked.path.strip_prefix(&self.rules.command_url);
        match (command, asked.path.as_str()) {
            (Some("" | "/"), _) => self.command_list(),
            (Some(name), _) if name.starts_with('/') => {
                let answer = commands::run(&name[1..], &self.sources, now);
                Page::json(answer.status, &answer.body)
            }
            (_, "/") => Page::html(PAGE),
            (_, "/health") => self.health(now),
            (_, "/ready") => self.readiness(),
            (_, "/view/overview") => self.overview(now),
            (_, "/view/connections") => Page::json(200, &overview::connections(&self.sources)),
            (_, "/view/node") => self.node(asked),
            _ => Page::text(404, "there is nothing here; the page is at /\n"),
        }
    }

    fn tick(&mut self, now: Now) -> i64 {
        let outstanding = self.sources.gate.in_process();
        let sample_ms = self.history.look(now, &self.sources.status, outstanding);
        if !self.surveyor.is_under_way() {
            return sample_ms;
        }
        let Some(serving) = self.sources.gate.serving() else {
            return sample_ms;
        };
        for _ in 0..STEPS_A_TICK {
            let tree = serving.database.read_tree();
            let survey = self.surveyor.step(&tree, &self.sources.auth, now.wall_ms);
            drop(tree);
            if survey.is_some() {
                self.survey = survey;
                return sample_ms;
            }
        }
        sample_ms.min(now.elapsed_ms + STEP_EVERY_MS)
    }
}

const PAGE: &str = include_str!("page.html");
/// A loop that has gone round no more for so long is stuck: it never sleeps for more than a second.
const LONGEST_SILENCE_MS: i64 = 10_000;
/// While somebody looks at the page, the tree is walked over this often at most.
const SURVEY_EVERY_MS: i64 = 60_000;
/// So many short looks at the tree, each under its own lock, then a pause.
const STEPS_A_TICK: usize = 4;
const STEP_EVERY_MS: i64 = 20;
