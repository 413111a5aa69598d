#!/usr/bin/env python3
"""The admin page in a headless Chromium: a healthy ensemble, an election, a
lost member; wide and narrow, light and dark, by mouse and by keyboard.

    admin_page.py [directory]      keeps screenshots there

It needs Debian's `chromium` (or $CHROMIUM) and Python's `playwright`, which
install.sh does not install; nothing else runs it.
"""

import os
import pathlib
import shutil
import signal
import sys
import urllib.request

from playwright.sync_api import sync_playwright

import peers
import wire

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 360, "height": 780}


def main():
    shots = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    passed = failed = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        ensemble = Ensemble()
        try:
            for test in TESTS:
                try:
                    test(browser, ensemble, shots)
                    passed += 1
                    print(f"ok {test.__name__}", flush=True)
                except (AssertionError, OSError) as problem:
                    failed += 1
                    print(f"FAILED {test.__name__}: {str(problem)[:600]}", flush=True)
        finally:
            ensemble.kill()
            browser.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


class Ensemble:
    """Three servers with an admin port each, and some nodes and clients."""

    def __init__(self):
        ports = {n: (peers.free_port(), peers.free_port(), peers.free_port(), peers.free_port()) for n in (1, 2, 3)}
        members = ",".join(f"{n}=127.0.0.1:{client}" for n, (client, *_) in ports.items())
        listed = [f"server.{n}=127.0.0.1:{quorum}:{election}" for n, (_, quorum, election, _) in ports.items()]
        self.admin = {n: admin for n, (*_, admin) in ports.items()}
        self.servers = {}
        for n, (client, _, _, admin) in ports.items():
            data = peers.temporary_directory(f"page-{n}")
            (data / "myid").write_text(f"{n}\n")
            config = ["initLimit=20", "syncLimit=10", f"admin.serverPort={admin}", f"admin.members={members}",
                      "admin.treeBrowser=true", *listed]
            self.servers[n] = peers.Server("oxkeeper", data, 500, config, port=client)
            self.servers[n].start(wait=False)
        for server in self.servers.values():
            server.wait_serving()
        client = wire.Client(self.servers[1].port)
        for path, size in (("/config", 10), ("/config/app", 20_000), ("/queue", 0), ("/queue/item-1", 3_000)):
            client.create(path, b"x" * size)
        client.close()

    def leader(self):
        modes = {n: self.mode(n) for n in self.servers}
        return next((n for n, mode in modes.items() if mode == "leader"), None)

    def mode(self, number):
        try:
            words = self.servers[number].word("srvr").split("Mode: ")
        except OSError:
            return None
        return words[1].split()[0] if len(words) > 1 else None

    def url(self, number, path="/"):
        return f"http://127.0.0.1:{self.admin[number]}{path}"

    def kill(self):
        for server in self.servers.values():
            if server.process is not None:
                server.kill()


class Page:
    """The page of one server; nothing may go wrong in it."""

    def __init__(self, browser, ensemble, number, size=WIDE, scheme="light"):
        self.context = browser.new_context(viewport=size, color_scheme=scheme)
        self.page = self.context.new_page()
        self.troubles, self.asked = [], set()
        # Servers are lost on purpose: what the network says then is no trouble.
        self.page.on("console", lambda m: self.troubles.append(m.text)
                     if m.type in ("error", "warning") and "Failed to load resource" not in m.text else None)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: self.asked.add(request.url.split("/")[2]))
        self.page.goto(ensemble.url(number))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()

    def news(self, part, seconds=30):
        def has():
            self.page.wait_for_timeout(100)
            return part in self.page.inner_text("#news")
        peers.wait_until(has, seconds, f"{part!r} in {self.page.inner_text('#news')!r}")

    def shoot(self, shots, name):
        if shots:
            self.page.wait_for_timeout(1_500)
            self.page.screenshot(path=shots / f"{name}.png", full_page=True)

    def is_sound(self):
        width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert self.page.evaluate(width) <= 0, "the page is wider than the window"
        assert not self.troubles, self.troubles
        assert len(self.asked) == 1, f"the page asks others: {self.asked}"


def a_healthy_ensemble_is_shown_in_any_width_and_light(browser, ensemble, shots):
    for name, size, scheme in (("wide-light", WIDE, "light"), ("wide-dark", WIDE, "dark"), ("narrow-light", NARROW, "light"),
                               ("narrow-dark", NARROW, "dark")):
        # It says nothing more, so its session ends after a while.
        client = wire.Client(ensemble.servers[1].port)
        with Page(browser, ensemble, 1, size, scheme) as page:
            page.news("Healthy: 3 of 3 voters serve")
            assert page.page.locator("#members tr").count() == 3
            peers.wait_until(lambda: page.page.wait_for_timeout(200) or "/config" in page.page.inner_text("#trees"), 30,
                             "the largest subtrees")
            peers.wait_until(lambda: page.page.wait_for_timeout(200) or page.page.locator("#clients tr").count(), 30, "the clients")
            back = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (back == "rgb(245, 246, 248)") == (scheme == "light"), back
            page.shoot(shots, f"healthy-{name}")
            page.is_sound()
        client.close()


def the_keyboard_is_enough(browser, ensemble, shots):
    with Page(browser, ensemble, 2) as page:
        page.news("Healthy")
        page.page.keyboard.press("Tab")
        assert page.page.evaluate("document.activeElement.id") == "pause"
        page.page.keyboard.press("Enter")
        assert page.page.get_attribute("#pause", "aria-pressed") == "true"
        page.page.keyboard.press("p")
        assert page.page.get_attribute("#pause", "aria-pressed") == "false"
        page.page.keyboard.press("/")
        assert page.page.evaluate("document.activeElement.id") == "path"
        page.page.keyboard.type("/config/app")
        page.page.keyboard.press("Enter")
        peers.wait_until(lambda: page.page.wait_for_timeout(100) or "19.5 KiB" in page.page.inner_text("#node"), 20, "the node")
        page.shoot(shots, "tree-wide-light")
        page.page.fill("#path", "/no/such/node")
        page.page.keyboard.press("Enter")
        peers.wait_until(lambda: page.page.wait_for_timeout(100) or "no such node" in page.page.inner_text("#node"), 20, "the refusal")
        page.is_sound()


def a_lost_member_and_an_election_are_seen(browser, ensemble, shots):
    leader = ensemble.leader()
    watcher, other = (n for n in ensemble.servers if n != leader)
    with Page(browser, ensemble, watcher) as page, Page(browser, ensemble, watcher, NARROW, "dark") as narrow:
        page.news("Healthy")
        narrow.news("Healthy")
        ensemble.servers[leader].kill()
        page.news(f"No answer from server {leader}", 60)
        narrow.news(f"No answer from server {leader}", 60)
        page.shoot(shots, "lost-wide-light")
        narrow.shoot(shots, "lost-narrow-dark")
        assert "This server looks for a leader" in page.page.inner_text("#events")
        # Without a quorum the election does not end.
        ensemble.servers[other].kill()
        page.news("No leader here: this server is looking", 60)
        page.shoot(shots, "election-wide-light")
        narrow.news("No leader here", 60)
        narrow.shoot(shots, "election-narrow-dark")
        with urllib.request.urlopen(ensemble.url(watcher, "/health"), timeout=10) as answer:
            assert answer.status == 200
        for number in (leader, other):
            ensemble.servers[number].start()
        page.news("Healthy: 3 of 3", 90)
        page.shoot(shots, "recovered-wide-light")
        page.is_sound()
        narrow.is_sound()


def a_page_whose_server_is_gone_says_so(browser, ensemble, shots):
    with Page(browser, ensemble, 3) as page:
        page.news("Healthy")
        ensemble.servers[3].process.send_signal(signal.SIGSTOP)
        try:
            page.news("This server does not answer", 40)
            page.shoot(shots, "gone-wide-light")
        finally:
            ensemble.servers[3].process.send_signal(signal.SIGCONT)
        page.news("Healthy", 60)


TESTS = (
    a_healthy_ensemble_is_shown_in_any_width_and_light,
    the_keyboard_is_enough,
    a_page_whose_server_is_gone_says_so,
    a_lost_member_and_an_election_are_seen,
)

if __name__ == "__main__":
    sys.exit(main())
