"""News reach held streams: of the right kind, at once, and until the client goes; a slow one keeps nobody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from renewagent.console import news as news_module
from renewagent.console.news import News, changed, event
from renewagent.console.store import Store, raise_revision


class Client:
    """One end of a stream, as a server has it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.ended = False
        self.gate = asyncio.Event()  # closed: this client reads nothing
        self.gate.set()
        self._gone = asyncio.Event()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            await self.gate.wait()
            self.parts.append(message["body"])
            if not message["more_body"]:
                self.ended = True
                self._gone.set()

    async def receive(self) -> Any:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    def go(self) -> None:
        self._gone.set()

    def heard(self) -> bytes:
        return b"".join(self.parts)


def listen(news: News, *names: str, lasts: float = 3600.0) -> tuple[Client, asyncio.Task[None]]:
    client = Client()
    answer = news.stream(names, lambda heard: event("look-again", " ".join(sorted(heard))), lasts=lasts)
    running: Coroutine[Any, Any, None] = answer({"type": "http"}, client.receive, client.send)
    return client, asyncio.create_task(running)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


def run(story: Callable[[News], Awaitable[None]]) -> None:
    async def told() -> None:
        news = News()
        await story(news)
        await news.close()

    asyncio.run(told())


def test_a_stream_hears_its_kind_of_news_and_no_other() -> None:
    async def story(news: News) -> None:
        campaigns, both = listen(news, "campaigns"), listen(news, "campaigns", "orders")
        await until(lambda: news.held == 2)
        news.tell(frozenset({"orders", "standings"}))
        await until(lambda: b"event: look-again\ndata: orders\n\n" in both[0].heard())
        assert b"event" not in campaigns[0].heard()
        news.tell(frozenset({"campaigns"}))
        await until(lambda: b"data: campaigns\n\n" in campaigns[0].heard())

    run(story)


def test_a_stream_ends_when_its_client_goes() -> None:
    async def story(news: News) -> None:
        client, task = listen(news, "orders")
        await until(lambda: news.held == 1)
        client.go()
        await asyncio.wait_for(task, 5)
        assert news.held == 0
        assert not client.ended  # nobody is there to be told

    run(story)


def test_what_comes_while_a_slow_client_reads_is_put_together_and_others_are_not_kept_waiting() -> None:
    async def story(news: News) -> None:
        (slow, _), (quick, _) = listen(news, "a", "b"), listen(news, "a", "b")
        await until(lambda: bool(slow.parts and quick.parts))
        slow.gate.clear()
        for name in ("a", "b", "a"):
            news.tell(frozenset({name}))
            await until(lambda: quick.parts[-1].endswith(f"data: {name}\n\n".encode()))  # noqa: B023
            quick.parts.append(b"")
        slow.gate.set()
        await until(lambda: len(slow.parts) == 3)
        assert slow.parts[1:] == [event("look-again", "a"), event("look-again", "a b")]

    run(story)


def test_heartbeats_come_and_a_stream_does_not_last_for_ever(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    monkeypatch.setattr(news_module, "EVERY", 0.001)

    async def story(news: News) -> None:
        watching = asyncio.create_task(news.watch(store))
        (client, _), (short, task) = listen(news, "a"), listen(news, "a", lasts=0.0)
        await asyncio.wait_for(task, 5)
        assert short.ended
        await until(lambda: client.parts.count(b": \n\n") > 2)
        assert not client.ended
        watching.cancel()

    run(story)


def test_what_a_transaction_raised_is_heard_and_what_was_there_before_is_not(store: Store) -> None:
    async def story(news: News) -> None:
        await store.write(lambda c: raise_revision(c, "orders"))
        watching = asyncio.create_task(news.watch(store))
        client, _ = listen(news, "campaigns", "orders")
        await asyncio.sleep(0.1)
        await store.write(lambda c: raise_revision(c, "campaigns"))
        await until(lambda: len(client.parts) > 1)
        assert client.parts[1:] == [event("look-again", "campaigns")]
        watching.cancel()

    run(story)


def test_news_outlive_a_database_that_is_away(
    monkeypatch: pytest.MonkeyPatch, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(news_module, "EVERY", 0.001)

    async def story(news: News) -> None:
        watching = asyncio.create_task(news.watch(store))
        client, _ = listen(news, "orders")
        await asyncio.sleep(0.05)
        await store.write(lambda c: c.exec_driver_sql("ALTER TABLE revision RENAME TO away"))
        await until(lambda: bool(caplog.records))
        await asyncio.sleep(0.05)
        await store.write(lambda c: c.exec_driver_sql("ALTER TABLE away RENAME TO revision"))
        await store.write(lambda c: raise_revision(c, "orders"))
        await until(lambda: event("look-again", "orders") in client.parts)
        watching.cancel()

    run(story)
    assert len(caplog.records) == 1


def test_closing_ends_every_stream_also_one_whose_client_reads_nothing() -> None:
    async def story() -> None:
        news = News()
        (client, task), (stuck, _) = listen(news, "a"), listen(news, "a")
        await until(lambda: bool(client.parts and stuck.parts))
        stuck.gate.clear()
        await asyncio.wait_for(news.close(), 5)
        await asyncio.wait_for(task, 5)
        assert client.ended
        with pytest.raises(HTTPException) as refused:
            news.stream({"a"}, lambda heard: b"")
        assert refused.value.status_code == 503
        stuck.go()
        await until(lambda: news.held == 0)

    asyncio.run(story())


def test_one_too_many_is_told_to_come_back() -> None:
    async def story() -> None:
        news = News(most=1)
        listen(news, "a")
        await until(lambda: news.held == 1)
        with pytest.raises(HTTPException) as refused:
            news.stream({"a"}, lambda heard: b"")
        assert refused.value.headers == {"Retry-After": "60"}
        await news.close()

    asyncio.run(story())


def test_an_event_of_several_lines() -> None:
    assert event("news", "one\ntwo") == b"event: news\ndata: one\ndata: two\n\n"


def test_changed_is_what_is_new_or_has_another_number() -> None:
    assert changed({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 1}) == {"b", "c"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path}/console.db")
    store.migrate()
    yield store
    store.close()
