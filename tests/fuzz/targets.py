"""All targets by name."""

from __future__ import annotations

from tests.fuzz import cards, messages, sockets, texts

TARGETS = {t.name: t for t in (*cards.TARGETS, *texts.TARGETS, *messages.TARGETS, *sockets.TARGETS)}
