"""What taking a card out does to the desktop: read from GNOME's own settings, and said before it is asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from renewagent.agent import removal
from renewagent.agent.removal import OnRemoval, is_remote, on_removal
from renewagent.agent.removal_words import sign_in_again
from renewagent.agent.workstation import filled_readers
from renewagent.errors import NoReader
from renewagent.model import CardIdentity
from renewagent_fixtures.readers import VirtualReaders
from tests.programs import require

CARD = CardIdentity("chuid", "00004821")
SCHEMA = """<schemalist>
  <enum id="org.gnome.settings-daemon.GsdSmartcardRemovalAction">
    <value nick="none" value="0"/><value nick="lock-screen" value="1"/><value nick="force-logout" value="2"/>
  </enum>
  <schema id="org.gnome.settings-daemon.peripherals.smartcard"
          path="/org/gnome/settings-daemon/peripherals/smartcard/">
    <key name="removal-action" enum="org.gnome.settings-daemon.GsdSmartcardRemovalAction">
      <default>'none'</default>
    </key>
  </schema>
</schemalist>
"""


@pytest.fixture
def gnome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """GNOME's settings as GLib keeps them, in a folder of the test's own."""
    require("gsettings")
    require("glib-compile-schemas")
    schemas = tmp_path / "glib-2.0" / "schemas"
    schemas.mkdir(parents=True)
    (schemas / "smartcard.gschema.xml").write_text(SCHEMA)
    subprocess.run(["glib-compile-schemas", str(schemas)], check=True)
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))
    monkeypatch.setenv("GSETTINGS_BACKEND", "keyfile")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.mark.parametrize(
    "action, expected",
    [("none", OnRemoval.NOTHING), ("lock-screen", OnRemoval.LOCKS), ("force-logout", OnRemoval.SIGNS_OUT)],
)
def test_gnomes_setting_is_read(gnome: Path, action: str, expected: OnRemoval) -> None:
    schema = "org.gnome.settings-daemon.peripherals.smartcard"
    subprocess.run(["gsettings", "set", schema, "removal-action", action], check=True)
    assert on_removal() is expected


def test_without_gnome_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))
    assert on_removal() is OnRemoval.UNKNOWN
    monkeypatch.setattr(removal, "_ASK_GNOME", (str(tmp_path / "no such program"),))
    assert on_removal() is OnRemoval.UNKNOWN


def test_settings_that_never_answer_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "_ASK_GNOME", ("sleep", "60"))
    monkeypatch.setattr(removal, "_LIMIT", 0.2)
    assert on_removal() is OnRemoval.UNKNOWN


@pytest.mark.parametrize(
    "what, said",
    [
        (OnRemoval.SIGNS_OUT, "Save your work first: removing the smartcard signs you out of this computer."),
        (OnRemoval.DISCONNECTS, "ends your connection to the remote computer"),
        (OnRemoval.LOCKS, "locks your screen: unlock it, then put the smartcard back in"),
    ],
)
@pytest.mark.parametrize("ends", [True, False])
def test_what_will_happen_is_said_before_it_is_asked_for(what: OnRemoval, said: str, ends: bool) -> None:
    text = sign_in_again(CARD, removal_ends_session=ends, on_removal=what).text
    assert said in text and "does not sign you out" not in text


def test_where_nothing_happens_or_nothing_is_known_the_profile_speaks() -> None:
    for what in (OnRemoval.NOTHING, OnRemoval.UNKNOWN):
        ends = sign_in_again(CARD, removal_ends_session=True, on_removal=what)
        assert ends == sign_in_again(CARD, removal_ends_session=True)
        assert "ends your session" in ends.text


@pytest.mark.parametrize("name", ["SSH_CONNECTION", "XRDP_SESSION"])
def test_a_remote_session_without_readers_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for one in ("SSH_CONNECTION", "XRDP_SESSION", "VNCDESKTOP", "CITRIX_SESSION_ID"):
        monkeypatch.delenv(one, raising=False)
    assert not is_remote()
    with pytest.raises(NoReader) as here:
        filled_readers(VirtualReaders([]), None)
    assert "from another one" not in here.value.advice
    monkeypatch.setenv(name, "192.0.2.7 50000 192.0.2.1 22")
    assert is_remote()
    with pytest.raises(NoReader) as there:
        filled_readers(VirtualReaders([]), None)
    assert "connected to this computer from another one" in there.value.advice
