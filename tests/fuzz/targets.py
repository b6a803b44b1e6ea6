"""All targets by name."""

from __future__ import annotations

from tests.fuzz import cards, messages, seed_files, sockets, texts

TARGETS = {
    t.name: t for t in (*cards.TARGETS, *texts.TARGETS, *seed_files.TARGETS, *messages.TARGETS, *sockets.TARGETS)
}
