"""What all tests share: the fixtures for readers and soft tokens."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st

from tests.pcsc import pcsc_directory, private_pcscd, virtual_readers
from tests.soft import between_module, soft_tokens

__all__ = ["between_module", "pcsc_directory", "private_pcscd", "soft_tokens", "unicode_table", "virtual_readers"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every", action="store_true", help="at every moment of every story, where else every third would do"
    )


def pytest_configure() -> None:
    """A shell without job control starts what runs in the background with SIGINT ignored, and so would be all that the
    tests start: Ctrl-C is what some of them are about."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def every(pytestconfig: pytest.Config) -> bool:
    """Whether the tests that go through all moments of a story leave none out: `./dev test --every`, for half an hour
    and before a release; else they take a spread of them, always the same."""
    return bool(pytestconfig.getoption("--every"))


@pytest.fixture(scope="session", autouse=True)
def unicode_table() -> None:
    """In a fresh checkout hypothesis builds a table of Unicode at its first use, for a second or more, and would blame
    the test that it happens in for being slow."""
    st.characters(codec="utf-8").validate()


@pytest.fixture(scope="session", autouse=True)
def no_desktop() -> Iterator[None]:
    """The agents of the tests show nothing to whoever runs them; a test that wants a desktop brings its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
        yield
