"""Opening a browser: what it is told stands in a file of mode 0600 and nowhere else; what there is, is tried."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from renewagent.agent.browser import NoBrowser, commands, leading_to, open_browser
from renewagent.agent.outside import outside

ADDRESS = "http://127.0.0.1:40123/open?token=0123456789&x=<y>"


def program(folder: Path, name: str, script: str) -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_the_file_leads_there_is_nobody_elses_and_goes_away(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with leading_to(ADDRESS, "A page", folder) as file:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert 'url=http://127.0.0.1:40123/open?token=0123456789&amp;x=&lt;y&gt;"' in file.read_text()
        assert "token" not in file.name
    assert not file.exists()


def test_without_a_screen_nothing_is_tried(tmp_path: Path) -> None:
    program(tmp_path, "xdg-open", f"echo > {tmp_path}/opened")
    with pytest.raises(NoBrowser) as caught:
        open_browser(tmp_path / "a.html", lambda: False, {"PATH": str(tmp_path)})
    assert caught.value.advice == "Run in a terminal: renewagent renew."
    assert not (tmp_path / "opened").exists()


def test_the_persons_own_choice_comes_first_and_the_next_is_tried(tmp_path: Path) -> None:
    first = program(tmp_path, "mine", "exit 3")
    program(tmp_path, "xdg-open", f'echo "$@" > {tmp_path}/opened')
    there = {"PATH": str(tmp_path), "DISPLAY": ":7", "BROWSER": f"missing:{first}:odd %s"}
    page = tmp_path / "a.html"
    assert [command[0] for command in commands(page, there)] == [str(first), str(tmp_path / "xdg-open")]
    open_browser(page, lambda: False, there)
    assert (tmp_path / "opened").read_text() == f"{page.as_uri()}\n"


def test_no_browser_at_all(tmp_path: Path) -> None:
    with pytest.raises(NoBrowser, match="No browser could be opened"):
        open_browser(tmp_path / "a.html", lambda: False, {"PATH": str(tmp_path), "WAYLAND_DISPLAY": "wayland-0"})


def test_a_browser_that_stays_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renewagent.agent.browser.START_LIMIT", 0.2)
    program(tmp_path, "xdg-open", f"echo > {tmp_path}/opened\nexec /bin/sleep 2")
    open_browser(tmp_path / "a.html", lambda: False, {"PATH": str(tmp_path), "DISPLAY": ":7"})
    assert (tmp_path / "opened").exists()


def test_the_persons_service_manager_starts_it_where_there_is_one(tmp_path: Path) -> None:
    """Outside the sandbox of our own unit, and not ended with it; and by plain means where that manager refuses."""
    opener = program(tmp_path, "xdg-open", f'echo "$@" >> {tmp_path}/opened')
    manager = program(tmp_path, "systemd-run", f'echo "$@" > {tmp_path}/asked; exit 1')
    runtime = tmp_path / "run"
    there = {"PATH": str(tmp_path), "DISPLAY": ":7", "XAUTHORITY": "/secret/place", "XDG_RUNTIME_DIR": str(runtime)}
    command = [str(opener), "file:///a.html"]
    assert outside(command, there) == command  # no manager answers there
    (runtime / "systemd").mkdir(parents=True)
    (runtime / "systemd" / "private").touch()
    told = outside(command, there)
    assert told[0] == str(manager) and told[-3:] == ["--", *command]
    assert {"--user", "--property=KillMode=process", "--setenv=DISPLAY", "--setenv=XAUTHORITY"} <= set(told)
    assert not any("/secret/place" in word for word in told)
    open_browser(tmp_path / "a.html", lambda: False, there)
    assert (tmp_path / "asked").exists()
    assert (tmp_path / "opened").read_text().count("\n") == 1
