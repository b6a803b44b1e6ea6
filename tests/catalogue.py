"""The template of catalogues, made from the source with Babel: `python -m tests.catalogue` writes it (`./dev words`).

And the pseudo-language of the tests: every sentence of the template in brackets, accented and longer by a third. What
stands outside brackets on a screen is in no catalogue.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from tests.sentences import ROOT

TEMPLATE = ROOT / "renewagent" / "locale" / "renewagent.pot"
TREES = (ROOT / "drivers", ROOT / "renewagent")
METHODS = [("**.py", "python"), ("**/window_templates/**.html", "jinja2")]
KEYWORDS = {name: DEFAULT_KEYWORDS[name] for name in ("_", "N_", "ngettext")}
_HEADER = """\
# Every sentence of renewagent that a catalogue may hold, written by ./dev words.
# docs/languages.md says how to translate it.
#"""
_LEFT_OUT = tuple(f'"{name}:'.encode() for name in ("POT-Creation-Date", "Generated-By", "Report-Msgid-Bugs-To"))
Sentence = str | list[str] | tuple[str, ...]
"""As it stands in the source; both forms of a plural."""
_ACCENTS = str.maketrans("aceinouyACEINOUY", "áçéíñóúýÁÇÉÍÑÓÚÝ")


def template() -> bytes:
    """The template as it must be. Places are files without lines: a sentence that moves changes nothing."""
    catalogue = Catalog(project="renewagent", version="", header_comment=_HEADER, fuzzy=False)
    for tree in TREES:
        for name, _line, sentence, comments, _context in extract_from_dir(
            tree, METHODS, keywords=KEYWORDS, comment_tags=("Translators:",), strip_comment_tags=True
        ):
            place = ((tree / name).relative_to(ROOT).as_posix(), 0)
            catalogue.add(sentence, locations=[place], auto_comments=comments)
    written = io.BytesIO()
    write_po(written, catalogue, width=116, sort_by_file=True, include_lineno=False)
    lines = written.getvalue().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(_LEFT_OUT))


def sentences() -> Catalog:
    """The committed template."""
    return read_po(io.BytesIO(TEMPLATE.read_bytes()))


def pseudo(text: str) -> str:
    """`[Réñéw ít bý {date}.~~~]`: no vowel stays plain but in placeholders."""
    kept = re.split(r"(\{\w*\}|%\(\w+\)[sr])", text)
    accented = "".join(part if number % 2 else part.translate(_ACCENTS) for number, part in enumerate(kept))
    return f"[{accented}{'~' * (1 + len(text) * 3 // 10)}]"


def untranslated(text: str, *data: str) -> list[str]:
    """Words of `text` that no catalogue has been asked for: those outside brackets, and those that were put between
    brackets as they were. `data`: names, addresses and the like, which nobody translates."""
    for known in sorted(data, key=len, reverse=True):
        text = text.replace(known, " ")
    plain = re.findall(r"[A-Za-z]*[aeiouyAEIOUY][A-Za-z]*", text)
    while (outside := re.sub(r"\[[^][]*\]", " ", text)) != text:
        text = outside
    return plain + re.findall(r"[^\W\d_]{2,}", text)


def write_pseudo(folder: Path, language: str = "cy") -> Path:
    """A catalogue of the pseudo-language under `folder`/locale, compiled as anybody's is."""
    made = Catalog(locale=language)
    said: dict[Sentence, str | tuple[str, ...]]
    said = {message.id: _translated(message, made.num_plurals) for message in sentences() if message.id}
    return write(folder, language, said)


def write(folder: Path, language: str, said: Mapping[Sentence, str | tuple[str, ...]]) -> Path:
    """A catalogue that has the sentences `said`, compiled, under `folder`/locale."""
    made = Catalog(locale=language, charset="utf-8")
    for sentence, translated in said.items():
        made.add(sentence, translated)
    file = folder / "locale" / language / "LC_MESSAGES" / "renewagent.mo"
    file.parent.mkdir(parents=True)
    with file.open("wb") as stream:
        write_mo(stream, made)
    return file


def _translated(message: Message, plurals: int) -> str | tuple[str, ...]:
    if isinstance(message.id, str):
        return pseudo(message.id)
    return (pseudo(message.id[0]), *[pseudo(message.id[1])] * (plurals - 1))


if __name__ == "__main__":
    TEMPLATE.parent.mkdir(exist_ok=True)
    TEMPLATE.write_bytes(template())
