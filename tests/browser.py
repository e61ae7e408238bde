"""A page opened in headless Chromium, and what the browser says of it over its DevTools protocol."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0"),
)
START_SECONDS, ANSWER_SECONDS = 60.0, 30.0
# of every drawing: its title, its size, and how many of its marks take up room
DRAWN = """[...document.querySelectorAll("svg.plot")].map(svg => {
  const box = svg.getBoundingClientRect(), title = svg.querySelector("title");
  const sizes = [...svg.querySelectorAll("line, rect, circle, polyline")].map(mark => mark.getBoundingClientRect());
  return {title: title ? title.textContent : "", width: box.width, height: box.height,
          marks: sizes.filter(size => size.width + size.height > 0).length};
})"""


@dataclass
class Page:
    """One tab; `said` is what the console was told, `asked` the addresses that were asked for."""

    socket: ClientConnection
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    loads: int = 0
    _last: int = 0

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The browser's answer; what it tells meanwhile is noted."""
        self._last += 1
        self.socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, address: str) -> None:
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=address)
        while not self.loads:
            self._next()

    def value(self, expression: str) -> Any:
        """What JavaScript says; the tool's own, whatever the page's policy is."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def show_as(self, width: int, scheme: str = "light") -> None:
        """In a window of that width, for a person who prefers `light` or `dark`."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def _next(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.socket.recv(timeout=ANSWER_SECONDS))
        method, params = found.get("method"), found.get("params", {})
        if method == "Page.loadEventFired":
            self.loads += 1
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif method == "Log.entryAdded":
            self.said.append(params["entry"]["text"])
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Page.javascriptDialogOpening"):
            self.said.append(f"{method}: {json.dumps(params)[:300]}")
        return found


@contextmanager
def page_at(address: str, profile: Path) -> Iterator[Page]:
    """The page at this address, loaded; AssertionError where there is no Chromium: the set-up installs it."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert program, "expected Chromium, found none: sudo apt-get install chromium"
    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with connect(_debugger(profile, process), max_size=None, proxy=None) as browser:
            tab = Page(browser).call("Target.createTarget", url="about:blank")["targetId"]
        socket = _debugger(profile, process).partition("/devtools/")[0] + f"/devtools/page/{tab}"
        with connect(socket, max_size=None, proxy=None) as connection:
            page = Page(connection)
            page.open(address)
            yield page
    finally:
        process.terminate()
        process.wait(30)


def _debugger(profile: Path, process: "subprocess.Popen[bytes]") -> str:
    """Where Chromium listens; it writes port and path into its profile."""
    written, deadline = profile / "DevToolsActivePort", time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"Chromium ended with status {process.returncode}"
        lines = written.read_text().splitlines() if written.is_file() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    raise AssertionError(f"expected Chromium within {START_SECONDS:g} s, found no port")
