"""All targets by name."""

from __future__ import annotations

from tests.fuzz import cards, messages, pictures, seed_files, sockets, texts

TARGETS = {
    t.name: t
    for t in (
        *cards.TARGETS,
        *texts.TARGETS,
        *seed_files.TARGETS,
        *pictures.TARGETS,
        *messages.TARGETS,
        *sockets.TARGETS,
    )
}
