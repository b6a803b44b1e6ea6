"""The configuration file: every key, every refusal in a sentence, and the command line in front of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from renewagent.agent.old_keys import KEEP_DAYS
from renewagent.configuration import (
    CardSettings,
    Configuration,
    Overrides,
    RaSettings,
    load,
    merged,
    parse_configuration,
    user_file,
)
from renewagent.configuration_keys import KEYS, ManagementKeySource
from renewagent.errors import ConfigurationError
from renewagent.names import parse_name
from renewagent.rules import Contact

COMPLETE = """
[ra]
url = "https://ra.example:8443/.well-known/cmp"
root = "/etc/renewagent/root.pem"
sign_in_url = "https://login.example/start"
timeout = 12

[campaign]
urls = ["https://ra.example/campaigns/eps.cms", "campaigns/local.cms", "file:more.cms", "file:///etc/last.cms"]
anchor = "anchor.pem"

[card]
management_key = "file:keys/card.key"
signing_issuers = ["CN=NHS Signing G2,O=nhs,C=GB"]
readers = "unix:/run/readers"
pkcs11_module = "/usr/lib/vendor/module.so"
keep_old_key_days = 0

[passcode]
entry = ["pad", "pinentry", "terminal"]

[console]
url = "https://console.example"
enrolment = "a-token"
root = "console-root.pem"
stream = true
machine = "Ward 7"

[desk]
url = "https://console.example"
root = "desk-root.pem"

[contact]
name = "Registration Authority"
phone = "…"
url = "https://ra.example/help"
hours = "Monday to Friday"

[agent]
state_dir = "~/state"
poll_interval = 60

[policy]
d_without_tickets = true
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(COMPLETE, "utf-8")
    return file


def test_every_key_is_read(written: Path) -> None:
    found = load(written)
    assert found.ra_url() == "https://ra.example:8443/.well-known/cmp"
    assert found.ra_root() == Path("/etc/renewagent/root.pem")
    assert found.sign_in_url() == "https://login.example/start"
    assert found.campaign.urls == (
        "https://ra.example/campaigns/eps.cms",
        str(written.parent / "campaigns" / "local.cms"),
        str(written.parent / "more.cms"),
        "/etc/last.cms",
    )
    assert found.campaign_anchor() == written.parent / "anchor.pem"
    assert found.card.management_key == ManagementKeySource("file", written.parent / "keys" / "card.key")
    assert found.card.signing_issuers == (parse_name("CN=NHS Signing G2,O=nhs,C=GB"),)
    assert found.card.readers == "unix:/run/readers"
    assert found.card.pkcs11_module == Path("/usr/lib/vendor/module.so")
    assert (found.card.keep_old_key_days, CardSettings().keep_old_key_days) == (0, KEEP_DAYS)
    assert found.passcode.entry == ("pad", "pinentry", "terminal")
    assert (found.console.url, found.console.enrolment) == ("https://console.example", "a-token")
    assert (found.desk.url, found.desk.root) == ("https://console.example", written.parent / "desk-root.pem")
    assert (found.console.root, found.console.stream) == (written.parent / "console-root.pem", True)
    assert found.console.machine == "Ward 7"
    assert "a-token" not in repr(found)
    assert found.contact == Contact("Registration Authority", "…", "https://ra.example/help", "Monday to Friday")
    assert found.agent.state_dir == Path.home() / "state"
    assert (found.agent.poll_interval, found.policy.d_without_tickets) == (60, True)


def test_the_complete_file_has_every_key_that_there_is(written: Path) -> None:
    assert set(parse_configuration(COMPLETE, written)) == set(KEYS)


def test_the_fleets_code_may_stand_in_a_file(tmp_path: Path) -> None:
    found = parse_configuration('[console]\nenrolment = "file:fleet.code"\n', tmp_path / "config.toml")
    assert found == {"console.enrolment": tmp_path / "fleet.code"}


def test_nothing_at_all_is_a_configuration_too(tmp_path: Path) -> None:
    found = load(system=tmp_path / "none.toml", user=tmp_path / "neither.toml")
    assert found == Configuration()
    assert found.card.management_key == ManagementKeySource("default")
    assert (found.card.readers, found.agent.poll_interval, found.policy.d_without_tickets) == ("pcsc", 300, False)
    assert found.agent.state_dir.name == "renewagent"


def test_the_users_file_takes_the_place_of_the_administrators_key_by_key(tmp_path: Path) -> None:
    system, user = tmp_path / "system.toml", tmp_path / "user.toml"
    system.write_text('[ra]\nurl = "https://a.example/cmp"\nroot = "a.pem"\n[agent]\npoll_interval = 60\n')
    user.write_text('[ra]\nroot = "b.pem"\n[contact]\nname = "Ann"\n')
    found = load(system=system, user=user)
    assert (found.ra_url(), found.ra_root().name, found.agent.poll_interval) == ("https://a.example/cmp", "b.pem", 60)
    assert found.contact.name == "Ann"
    assert load(user, system=system).ra.url is None  # a file that is named stands alone


def test_the_users_file_lies_in_the_users_folder() -> None:
    assert user_file().parts[-2:] == ("renewagent", "config.toml")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://ra.example:8443/.well-known/cmp", "https://ra.example:8443/sign-in"),
        ("http://127.0.0.1:9000/.well-known/cmp/p/x", "http://127.0.0.1:9000/sign-in"),
        ("http://[::1]:9000", "http://[::1]:9000/sign-in"),
    ],
)
def test_people_sign_in_at_the_ras_origin_unless_told_otherwise(url: str, expected: str) -> None:
    assert merged(Configuration(), Overrides(ra=url)).sign_in_url() == expected


@pytest.mark.parametrize(
    "address", ["http://login.example/start", "http://10.0.0.1/sign-in", "http://127.0.0.1.example"]
)
def test_nobody_signs_in_where_others_can_listen(address: str) -> None:
    with pytest.raises(ConfigurationError, match="does not begin with https://"):
        Configuration(ra=RaSettings(sign_in_url=address)).sign_in_url()
    with pytest.raises(ConfigurationError, match="does not begin with https://"):
        merged(Configuration(), Overrides(ra=address)).sign_in_url()
    safe = Configuration(ra=RaSettings(url=address, sign_in_url="https://login.example"))
    assert safe.sign_in_url() == "https://login.example"


def test_the_command_line_comes_first(written: Path, tmp_path: Path) -> None:
    for name in ("root.pem", "a.cms", "b.cms", "anchor2.pem"):
        (tmp_path / name).write_text("")
    campaigns = (tmp_path / "a.cms", tmp_path / "b.cms")
    overrides = Overrides("http://127.0.0.1:1/cmp", tmp_path / "root.pem", campaigns, tmp_path / "anchor2.pem")
    found = load(written, overrides)
    assert (found.ra_url(), found.ra_root()) == ("http://127.0.0.1:1/cmp", tmp_path / "root.pem")
    assert found.campaign.urls == tuple(str(path) for path in campaigns)
    assert found.campaign_anchor() == tmp_path / "anchor2.pem"
    assert found.sign_in_url() == "http://127.0.0.1:1/sign-in"  # not where the configured RA signs people in
    assert found.contact.name == "Registration Authority"


def test_the_same_ra_on_the_command_line_keeps_its_sign_in_address(written: Path) -> None:
    same = Overrides(ra="https://ra.example:8443/.well-known/cmp")
    assert load(written, same).sign_in_url() == "https://login.example/start"
    assert load(written, Overrides()) == load(written)


REFUSED = [
    ("[ra", "is not valid TOML: "),
    ("ra = 1", "ra must be a section, [ra]."),
    ("[rra]", "[rra] is not a known section. Did you mean ra?"),
    ("[[ra]]", "ra must be a section, [ra]."),
    ("x-own = 1", "[x-own] is not a known section."),
    ('[ra]\nurll = "https://a"', "ra.urll is not a known setting. Did you mean ra.url?"),
    ("[policy]\nx = 1", "policy.x is not a known setting."),
    ("[ra]\nurl = 1", "ra.url must be a text in quotation marks."),
    ('[ra]\nurl = ""', "ra.url must be a text in quotation marks."),
    ('[ra]\nurl = "ra.example"', "ra.url must be an address that begins with http:// or https://, not 'ra.example'."),
    ('[ra]\nurl = "ftp://ra.example"', "ra.url must be an address"),
    ('[ra]\nurl = "https://me:secret@ra.example"', "ra.url must be an address"),
    ('[ra]\nurl = "https://ra.example:x/"', "ra.url must be an address"),
    ('[ra]\nurl = "https://"', "ra.url must be an address"),
    ('[ra]\nurl = "https://[::1"', "ra.url must be an address"),
    ('[ra]\nroot = ["a.pem"]', "ra.root must be a text in quotation marks."),
    ('[ra]\nroot = "~nobody-of-this-name/a.pem"', "ra.root names a folder that does not exist"),
    ('[campaign]\nurls = "https://a"', "campaign.urls must be an array, in square brackets."),
    ('[campaign]\nurls = ["ftp://a"]', "campaign.urls[0] must be an address"),
    ('[campaign]\nurls = ["a.cms", 7]', "campaign.urls[1] must be a text"),
    ('[card]\nmanagement_key = "010203"', 'card.management_key must be "default", "pin-protected", "ra" or "file:/'),
    ('[card]\nmanagement_key = "file:"', "card.management_key must be a text"),
    ('[card]\nsigning_issuers = ["NHS"]', "card.signing_issuers[0] is not a distinguished name: "),
    ('[card]\nreaders = "usb"', 'card.readers must be "pcsc" or "unix:/path", not \'usb\'.'),
    ('[card]\nreaders = "unix:"', "card.readers must be"),
    ('[agent]\npoll_interval = "300"', "agent.poll_interval must be a whole number of seconds from 1 to 86400."),
    ("[card]\nkeep_old_key_days = -1", "card.keep_old_key_days must be a whole number of days from 0 to 3650."),
    ("[agent]\npoll_interval = 0", "agent.poll_interval must be a whole number"),
    ("[agent]\npoll_interval = true", "agent.poll_interval must be a whole number"),
    ("[policy]\nd_without_tickets = 1", "policy.d_without_tickets must be true or false."),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        load(file)
    assert words in refused.value.message
    assert str(file) in refused.value.message
    assert refused.value.message.endswith((".", "?"))
    assert "IT support" in refused.value.advice


def test_a_key_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_configuration('[card]\nmanagement_key = "f00dfeed"', tmp_path / "c.toml")
    assert "f00dfeed" not in refused.value.message


def test_a_file_that_is_named_must_be_there_and_readable(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"There is no configuration file .*none\.toml\."):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'[contact]\nname = "Zo\xeb"')
    with pytest.raises(ConfigurationError, match="not written in UTF-8"):
        load(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("overrides", "option"),
    [
        (Overrides(ra_root=Path("/nowhere/a.pem")), "--ra-root"),
        (Overrides(campaign_anchor=Path("/nowhere/a.pem")), "--campaign-anchor"),
        (Overrides(campaigns=(Path("/nowhere/a.pem"),)), "--campaign"),
    ],
)
def test_a_file_named_on_the_command_line_must_be_there(written: Path, overrides: Overrides, option: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(written, overrides)
    assert refused.value.message == f"There is no file /nowhere/a.pem ({option})."


def test_an_ra_on_the_command_line_must_be_an_address() -> None:
    with pytest.raises(ConfigurationError, match="--ra must be an address that begins with http"):
        merged(Configuration(), Overrides(ra="ra.example"))


def test_what_is_missing_is_asked_for_when_it_is_needed() -> None:
    for ask, words, key in (
        (Configuration().ra_url, "No Registration Authority is configured.", "ra.url"),
        (Configuration().sign_in_url, "No Registration Authority is configured.", "ra.url"),
        (Configuration().ra_root, "No root certificate of the Registration Authority is configured.", "ra.root"),
        (Configuration().campaign_anchor, "No anchor to check campaigns against is configured.", "campaign.anchor"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            ask()
        assert refused.value.message == words
        assert f"Set {key} in the configuration file (/etc/renewagent/config.toml, unless" in refused.value.advice


def test_reading_it_costs_the_resident_agent_no_cryptography() -> None:
    heavy = ("cryptography", "asn1crypto", "ssl", "asyncio")
    program = (
        "import sys, pathlib\n"
        "import renewagent.agent.journal, renewagent.rules, renewagent.campaign.document\n"
        "from renewagent.configuration import load\n"
        "load()\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ, "HOME": "/none"}
    )
    assert done.stdout.strip() == "[]"
