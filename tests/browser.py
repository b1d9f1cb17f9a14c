"""A real Chromium for tests, driven over the DevTools protocol: no driver program and no other browser needed."""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from minigrad.install import install_command


def missing() -> str:
    """Why there is no browser here; empty if there is one."""
    if program() is None:
        return "there is no Chromium (Debian: apt-get install chromium; or set CHROMIUM to its path)"
    try:
        import websocket  # noqa: F401
    except ImportError:
        return f"websocket-client is not installed: {install_command('test-browser')}"
    return ""


def program() -> str | None:
    """The path of Chromium."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for found in map(shutil.which, filter(None, names)) if found), None)


needs_browser = pytest.mark.skipif(bool(missing()), reason=missing() or "a browser is here")


class Browser:
    """One headless Chromium with one page.

    Attributes:
        complaints: what the page wrote to the console as an error or warning, and exceptions that nobody caught.
        requests: the addresses that it asked for.
    """

    def __init__(self) -> None:
        import websocket

        self.folder = tempfile.mkdtemp()
        command = [
            str(program()), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--remote-debugging-port=0", "--remote-allow-origins=*", "--no-first-run", "--disable-extensions",
            "--hide-scrollbars", f"--user-data-dir={self.folder}", "about:blank",
        ]  # fmt: skip
        self.log = Path(self.folder, "log.txt")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.socket = websocket.create_connection(self._address(), timeout=120)
        self._last = 0
        self._session = ""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(domain + ".enable")

    def _address(self) -> str:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = re.search(r"DevTools listening on (ws://\S+)", self.log.read_text(errors="replace"))
            if found:
                return found.group(1)
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.process.kill()
        raise RuntimeError("Chromium did not start:\n" + self.log.read_text(errors="replace"))

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol, and wait for its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        method, what = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(what["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(what["args"]))
        elif method == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.complaints.append(what["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"][:200])

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"])[:2000])
        return result["result"].get("value")

    def open(self, path: Path, width: int = 1280, height: int = 900, dark: bool = False, phone: bool = False) -> None:
        """Show a file in a window of this size."""
        self.complaints.clear()
        self.requests.clear()
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.scheme(dark)
        self.ask("Page.navigate", url=path.resolve().as_uri())
        end = time.monotonic() + 120
        while self.run("document.readyState + location.protocol") != "completefile:":
            assert time.monotonic() < end, "the page did not load"
            time.sleep(0.02)

    def scheme(self, dark: bool, still: bool = True) -> None:
        """Light or dark, and whether motion is to be reduced."""
        self.ask(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
            ],
        )

    def press(self, key: str) -> None:
        """Press and release a key, such as "ArrowRight"."""
        codes = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "Tab": 9, " ": 32, "Enter": 13}
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" and key == " " else {}
            self.ask(
                "Input.dispatchKeyEvent", type=kind, key=key, code={" ": "Space"}.get(key, key),
                windowsVirtualKeyCode=codes[key], **text,
            )  # fmt: skip

    def click(self, selector: str) -> None:
        """Click with the mouse into the middle of an element."""
        script = """(() => {
            const element = document.querySelector(SELECTOR);
            element.scrollIntoView({block: "center"});
            const box = element.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        })()"""
        at = self.run(script.replace("SELECTOR", json.dumps(selector)))
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)

    def screenshot(self, path: Path, whole: bool = False) -> bytes:
        """A PNG of what is seen, or of the whole page."""
        picture = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        content = base64.b64decode(picture["data"])
        path.write_bytes(content)
        return content

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}
