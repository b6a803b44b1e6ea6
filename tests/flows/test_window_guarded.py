"""Who else is on this computer, and what else is in the browser: none of them gets into the page of a renewal, whose
buttons work for the person alone. Over the real server, and with a malicious site in the same browser."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_connection
from typing import Any

import pytest
from playwright.sync_api import Browser

from renewagent.agent import words
from renewagent.agent.prompts import ChannelPrompter
from renewagent.agent.window_guard import COOKIE
from renewagent_fixtures.readers import VirtualReaders
from tests.browser import CHROMIUM, FLAGS, chromium
from tests.flows.desk import PIN, READER, Desk
from tests.window import Reading, Shown, Typist, window

OTHER_USER = 65534


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Shown]:
    """A window that asks whether to start; what was answered is in the result."""

    def work(prompter: ChannelPrompter) -> dict[str, Any]:
        return {"agreed": prompter.confirm(words.before(None, 3)), "renewed": True}

    with window(tmp_path / "run", work, VirtualReaders(("Desk reader",)), Typist()) as shown:
        yield shown
        if not shown.browser.cookie:
            shown.browser.open()
        shown.browser.look()
        shown.browser.until("Start renewal")
        shown.browser.press("Not now")
        assert shown.result["cards"] == [{"agreed": False, "renewed": True}]  # nobody else has pressed Start


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_every_answer_is_locked_down(one: Shown) -> None:
    page = one.browser
    page.open()
    for path in ("/", "/static/style.css", "/static/live.js", "/arrived", "/nothing", "/open?token=x"):
        _, headers, _ = page.ask("GET", path)
        assert headers["content-security-policy"].startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert (headers["cache-control"], headers["x-frame-options"]) == ("no-store", "DENY")
        assert "server" not in headers
    assert page.ask("GET", "/")[0] == 200


def test_the_token_works_once_and_leaves_the_address(one: Shown) -> None:
    page = one.browser
    status, headers, _ = page.ask("GET", page.first)
    assert (status, headers["location"]) == (303, "/arrived")
    name, _, facts = headers["set-cookie"].partition("=")
    assert name == COOKIE and {"HttpOnly", "SameSite=strict", "Path=/"} <= set(facts.split("; "))
    token = page.first.partition("token=")[2]
    assert len(token) == 43 and token not in facts
    assert page.ask("GET", page.first)[0] == 403  # the second use, by whoever
    page.cookie = headers["set-cookie"].partition(";")[0]
    page.look()
    assert token not in page.page


def test_guesses_come_to_nothing(one: Shown) -> None:
    page = one.browser
    for guess in ("", "x", page.first.partition("token=")[2][:-1] + "~", "A" * 43, "%00", "é"):
        assert page.ask("GET", f"/open?token={guess.encode().hex() if guess == 'é' else guess}")[0] == 403
    for cookie in ("", f"{COOKIE}=", f"{COOKIE}=x", f"{COOKIE}={'A' * 43}"):
        for path in ("/", "/live", "/?after=0"):
            assert page.ask("GET", path, headers={"Cookie": cookie})[0] == 403
        assert page.ask("POST", "/pressed", "verb=yes&number=1&form=x", {"Cookie": cookie})[0] == 403
    page.open()  # and the true one still is good


def test_a_name_rebound_to_this_computer(one: Shown) -> None:
    """DNS rebinding: evil.example leads here, and its page is of one origin with ours, as far as the browser knows."""
    page = one.browser
    page.open()
    page.until("Start renewal")
    evil = f"evil.example:{page.port}"
    for host in (
        evil,
        f"localhost:{page.port}",
        f"127.0.0.1.evil.example:{page.port}",
        "127.0.0.1",
        f"[::1]:{page.port}",
    ):
        for path in ("/", "/live", page.first, "/arrived"):
            assert page.ask("GET", path, headers={"Host": host})[0] == 421
        given = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert page.ask("POST", "/pressed", page.form("Start renewal"), given)[0] == 421


def test_what_other_sites_have_a_browser_send(one: Shown) -> None:
    """Cross-site request forgery, with the cookie even, as a browser sends it where a page of another port asks."""
    page = one.browser
    page.open()
    page.until("Start renewal")
    form = page.form("Start renewal")
    for given in (
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:9", "Sec-Fetch-Site": "same-site"},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "", "Sec-Fetch-Site": ""},
        {"Origin": "", "Sec-Fetch-Site": "none"},
    ):
        assert page.ask("POST", "/pressed", form, given)[0] == 403
    wrong = re.sub(r"form=[^&]+", "form=" + "A" * 43, form)
    assert page.ask("POST", "/pressed", wrong)[0] == 403
    assert page.ask("POST", "/pressed", form.replace("&number", "&x"))[0] == 303  # of no state: nothing happens
    page.look()
    assert page.buttons == ["Start renewal", "Not now"]


def test_requests_are_bounded(one: Shown) -> None:
    page = one.browser
    page.open()
    assert page.ask("POST", "/pressed", "x" * 5000)[0] == 413
    with create_connection((page.host, page.port)) as line:  # a body without a length, and without an end
        line.settimeout(10)
        said = f"Host: {page.host}:{page.port}\r\nOrigin: {page.origin}\r\nCookie: {page.cookie}"
        line.sendall(f"POST /pressed HTTP/1.1\r\n{said}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        with suppress(OSError):
            for _ in range(200):
                line.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
                time.sleep(0.001)
        with suppress(ConnectionResetError):
            assert b" 303 " not in line.recv(4096)
    with create_connection((page.host, page.port)) as line:
        line.settimeout(10)
        with suppress(ConnectionResetError, BrokenPipeError):
            line.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)
            assert line.recv(100).startswith(b"HTTP/1.1 400")
    page.look()


AS_ANOTHER = """
import encodings.idna, os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
port, path, cookie = int(sys.argv[1]), sys.argv[2], sys.argv[3]
try:
    line = socket.create_connection(("127.0.0.1", port)); line.settimeout(5)
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Cookie: {cookie}", "", ""]
    line.sendall("\\r\\n".join(lines).encode())
    print(len(line.recv(100)))
except OSError as error:
    print(type(error).__name__)
try:
    print(len(open(sys.argv[4]).read()))
except OSError as error:
    print(type(error).__name__)
"""


def test_another_user_of_this_computer_even_with_the_token_and_the_cookie(one: Shown, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can be another user")
    page = one.browser
    assert stat.S_IMODE(one.file.stat().st_mode) == 0o600

    def as_another(path: str) -> list[str]:
        command = [sys.executable, "-c", AS_ANOTHER, str(page.port), path, page.cookie, str(one.file)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
        return done.stdout.split()

    connected, read = as_another(page.first)
    assert connected in ("0", "ConnectionResetError") and read == "PermissionError"
    page.open()  # the token was not used up
    assert as_another("/")[0] in ("0", "ConnectionResetError")


class Evil(BaseHTTPRequestHandler):
    """A site that knows the port and tries everything that a page can."""

    target = ""

    def do_GET(self) -> None:
        octets = self.page().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def page(self) -> str:
        at = self.target
        return f"""<body><iframe id=f src="{at}/"></iframe><img id=i src="{at}/static/icon.svg">
        <form id=p method=post action="{at}/pressed"><input name=verb value=yes><input name=number value=1></form>
        <script>
        window.tried = (async () => {{
          const out = [];
          for (const path of ["/", "/live", "/arrived", "/static/live.js"]) for (const mode of ["cors", "no-cors"]) {{
            try {{
              const answer = await fetch("{at}" + path, {{mode, credentials: "include"}});
              out.push(answer.type + answer.status);
            }} catch {{ out.push("refused"); }}
          }}
          try {{ await fetch("{at}/pressed", {{method: "POST", mode: "no-cors", credentials: "include",
                 body: new URLSearchParams({{verb: "yes", number: "1"}})}}); }} catch {{}}
          const image = document.getElementById("i");
          out.push("image" + image.naturalWidth);
          return out;
        }})();
        </script>"""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def evil(target: str) -> Iterator[int]:
    class Own(Evil):
        pass

    Own.target = target
    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_malicious_page_in_the_same_browser(browser: Browser, one: Shown, host: str) -> None:
    """Of another port of this very host, which shares its cookies, and of another site."""
    context = browser.new_context()
    try:
        mine = context.new_page()
        mine.goto(one.file.as_uri())
        mine.get_by_role("button", name="Start renewal").wait_for()
        with evil(one.browser.origin) as port:
            page = context.new_page()
            page.goto(f"http://{host}:{port}/")
            tried = page.evaluate("window.tried")
            # What is not refused outright comes as "opaque": without a status, and nothing of it can be read.
            assert {answer for answer in tried if "image" not in answer} <= {"refused", "opaque0"}
            assert "image0" in tried
            frame = next(frame for frame in page.frames if frame.parent_frame is not None)
            assert "Start renewal" not in frame.content()
            page.evaluate(f"window.opened = window.open('{one.browser.origin}/')")
            page.wait_for_timeout(300)
            assert page.evaluate("window.opened === null || window.opened.closed || window.opened.length === 0")
            with page.expect_response("**/pressed") as posted:
                page.evaluate("document.getElementById('p').submit()")
            assert posted.value.status == 403
        mine.get_by_role("button", name="Start renewal").wait_for()
        one.browser.cookie = "; ".join(f"{c['name']}={c['value']}" for c in context.cookies())
    finally:
        context.close()


def test_a_rebound_name_in_a_real_browser(browser: Browser, one: Shown) -> None:
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    rebound = browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, rules])
    try:
        page = rebound.new_page()
        answer = page.goto(f"http://evil.example:{one.browser.port}/")
        assert answer is not None and answer.status == 421
        assert page.evaluate("fetch('/pressed', {method: 'POST'}).then(a => a.status)") == 421
    finally:
        rebound.close()


def eyes(found: set[str], over: threading.Event) -> None:
    """All command lines of this computer, read again and again."""
    while not over.is_set():
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    found.add((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        time.sleep(0.01)


PINENTRY = f"""#!/bin/sh
echo "OK at your service"
while read -r command rest; do
  case $command in
    GETPIN) echo "D {PIN}"; echo OK ;;
    BYE) echo OK; exit 0 ;;
    *) echo OK ;;
  esac
done
"""


def executable(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(0o755)
    return file


def told(file: Path) -> str:
    """What was written there, once it is whole."""
    end = time.monotonic() + 20
    while not file.exists() or not file.read_text().endswith("</html>\n"):
        assert time.monotonic() < end
        time.sleep(0.05)
    return file.read_text()


@pytest.mark.parametrize("by_agent", [False, True])
def test_the_command_with_a_browser_and_what_command_lines_tell(here: Desk, tmp_path: Path, by_agent: bool) -> None:
    """`renewagent renew --browser` as a process, from Start to Done, with or without an agent: the browser is told a
    file's name, and no command line says more."""
    script = f'#!/bin/sh\necho "$1" > {tmp_path}/told\ncp "${{1#file://}}" {tmp_path}/leads\nsleep 1\n'
    executable(tmp_path / "pinentry", PINENTRY)
    here.env |= {"DISPLAY": ":none", "BROWSER": str(executable(tmp_path / "browser", script))}
    here.env["PATH"] = f"{tmp_path}:{here.env['PATH']}"
    card = here.insert()
    if by_agent:
        here.talk("agent").hear("agent.started")
    seen, over = set[str](), threading.Event()
    looking = threading.Thread(target=eyes, args=(seen, over))
    looking.start()
    try:
        talk = here.talk("renew", "--browser", "--json")
        address = re.findall(r'url=([^"]+)"', told(tmp_path / "leads"))[0]
        page = Reading(address)
        page.open()
        page.until("Start renewal")
        assert "Dr Ada Lamb" in page.card
        page.press("Start renewal")
        page.until("Remove it : now")
        here.readers.remove(READER)
        page.until("Your smartcard is out.")
        here.readers.insert(READER, card)
        page.until("You can close this page.")
        assert page.title == "Done"
        done = talk.end()
    finally:
        over.set()
        looking.join()
    assert done.status == 0 and done.document["cards"][0]["signed_in"]
    file = (tmp_path / "told").read_text().strip().removeprefix("file://")
    assert file.startswith("/") and not Path(file).exists()
    secrets = (address.partition("token=")[2], page.cookie.partition("=")[2])
    assert any(file in line for line in seen)  # the eyes were open
    assert not any(secret in line for line in seen for secret in secrets)
    with pytest.raises(OSError):
        page.look()  # nothing keeps listening


def test_the_command_without_a_screen_says_what_to_run(here: Desk) -> None:
    here.env.pop("DISPLAY", None)
    here.env.pop("WAYLAND_DISPLAY", None)
    here.insert()
    done = here.run("renew", "--browser")
    assert done.status == 1 and done.out == ""
    assert "There is no screen here to show a page on." in done.err
    assert "Run in a terminal: renewagent renew." in done.err
