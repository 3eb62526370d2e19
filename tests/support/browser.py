"""Chromium without a window, driven over its DevTools protocol: what a page draws, says on the console and asks the network for."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import websocket

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 30.0  # seconds, on a machine that does other things as well


class Browser:
    """One page of one browser. Nothing that it asks for gets out: its proxy is a closed port of this machine."""

    def __init__(self, port: str) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=PATIENCE) as answer:
            page = next(one for one in json.load(answer) if one["type"] == "page")
        self._socket = websocket.create_connection(page["webSocketDebuggerUrl"], timeout=PATIENCE)
        self._sent = 0
        self.requested: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """Let go of the page."""
        self._socket.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its result; what happens meanwhile is noted."""
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv())
            if told.get("id") == self._sent:
                assert "error" not in told, told
                return told["result"]
            self._note(told["method"], told["params"])

    def _note(self, event: str, about: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requested.append(about["request"]["url"])
        if event == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.complaints.append(str([one.get("value") or one.get("description") for one in about["args"]]))
        if event == "Runtime.exceptionThrown":
            self.complaints.append(str(about["exceptionDetails"]))
        if event == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.complaints.append(about["entry"]["text"])
        if event == "Page.javascriptDialogOpening":
            self.complaints.append(f"dialog: {about['message']}")

    def open(self, path: Path, *, width: int = 1280, height: int = 900, **media: str) -> None:
        """Go to a file and wait until its figures are drawn. `media`: features such as prefers_color_scheme="dark"."""
        self.requested.clear()
        self.complaints.clear()
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.until("document.documentElement?.dataset.drawn === 'true'")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, under the page's own policy; a promise is waited for."""
        options = {"returnByValue": True, "awaitPromise": True, "allowUnsafeEvalBlockedByCSP": False}
        got = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in got, got
        return got["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        self.wait(lambda: self.run(condition), condition)

    def wait(self, condition: Callable[[], bool], name: str = "") -> None:
        """Wait until something holds, while the page goes on."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"not within {PATIENCE} s: {name}; {self.complaints}"
            self.run("new Promise(done => setTimeout(done, 20))")

    def point(self, x: float, y: float) -> None:
        """Move the pointer there, in two steps, as a hand does."""
        for step in (3, 0):
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + step, y=y)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own, both gone afterwards."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = [
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
            *("--disable-component-update", "--proxy-server=http://127.0.0.1:9", "--proxy-bypass-list=<-loopback>"),
            *("--remote-debugging-port=0", "--remote-allow-origins=*", f"--user-data-dir={profile}", "about:blank"),
        ]
        process = subprocess.Popen([CHROMIUM, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with contextlib.closing(Browser(_port(Path(profile)))) as one:
                yield one
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _port(profile: Path) -> str:
    end = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(FileNotFoundError):
            port, *others = (profile / "DevToolsActivePort").read_text().splitlines() or [""]
            if others:
                return port
        assert time.monotonic() < end, "the browser does not start"
        time.sleep(0.02)
