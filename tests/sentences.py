"""Reads modules as text: which of their words no catalogue could ever hold. Only the standard library's `ast` is used.

`WORDS` says whose words a person at a workstation reads; `ALLOWED` which strings there look like words and are none, or
are for somebody else. Each check takes a module and returns complaints, so that `test_language` can show that it fails.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from string import Formatter

ROOT = Path(__file__).resolve().parent.parent

WORDS = (
    "drivers/renewagent_drivers/*.py",
    "renewagent/agent/*.py",
    "renewagent/asking.py",
    "renewagent/campaign/document.py",
    "renewagent/campaign/download.py",
    "renewagent/campaign/fetch.py",
    "renewagent/campaign/fields.py",
    "renewagent/campaign/pem.py",
    "renewagent/campaign/store.py",
    "renewagent/campaign/verify.py",
    "renewagent/card/*.py",
    "renewagent/certificates.py",
    "renewagent/chains.py",
    "renewagent/cli/__init__.py",
    "renewagent/cli/answer.py",
    "renewagent/cli/argparse_words.py",
    "renewagent/cli/at_terminal.py",
    "renewagent/cli/desk_options.py",
    "renewagent/cli/doctor.py",
    "renewagent/cli/mishaps.py",
    "renewagent/cli/prescriber.py",
    "renewagent/cli/service.py",
    "renewagent/cli/softtoken.py",
    "renewagent/cli/token*.py",
    "renewagent/cms.py",
    "renewagent/cmp/client_*.py",
    "renewagent/configuration*.py",
    "renewagent/errors.py",
    "renewagent/health.py",
    "renewagent/loading.py",
    "renewagent/model.py",
    "renewagent/names.py",
    "renewagent/proxies.py",
    "renewagent/ra_transport.py",
    "renewagent/reasons.py",
    "renewagent/rules.py",
    "renewagent/tokens/calendar.py",
    "renewagent/tokens/desk_*.py",
    "renewagent/tokens/errors.py",
    "renewagent/tokens/explain.py",
    "renewagent/tokens/form*.py",
    "renewagent/tokens/guided_*.py",
    "renewagent/tokens/heic.py",
    "renewagent/tokens/model.py",
    "renewagent/tokens/npi.py",
    "renewagent/tokens/pictures.py",
    "renewagent/tokens/raster.py",
    "renewagent/tokens/said.py",
    "renewagent/tokens/serials.py",
    "renewagent/tokens/soft_*.py",
)
"""Globs, from the root: what a person at a workstation can be shown. The console, the desk's own pages and what only
administrators, servers and testers call stays English."""

ALLOWED: Mapping[str, tuple[str, ...]] = {
    "drivers/renewagent_drivers/piv.py": ("MOVE KEY",),
    "drivers/renewagent_drivers/piv_probe.py": ("MOVE KEY",),
    "drivers/renewagent_drivers/pkcs11.py": ("Library",),
    "renewagent/agent/browser.py": ("<!doctype html>",),
    "renewagent/agent/console_child.py": ("visit the console and fetch no campaigns",),
    "renewagent/agent/console_client.py": ("Accept",),
    "renewagent/agent/console_identity.py": ("renewagent agent",),
    "renewagent/agent/console_sign_in.py": ("Accept",),
    "renewagent/agent/disk.py": ("9p acfs afs beegfs",),
    "renewagent/agent/doctor_authorities.py": ("Date",),
    "renewagent/agent/doctor_bundle.py": ("[left out]", "EPCS desk"),
    "renewagent/agent/doctor_workstation.py": ("Python",),
    "renewagent/agent/journal.py": ("BEGIN", "CREATE", "INSERT", "PRAGMA", "SELECT", "event {} makes no sense"),
    "renewagent/agent/notify_child.py": ("Active", "Display", "Notify", "another person has this screen"),
    "renewagent/agent/options.py": ("--campaign FILE",),
    "renewagent/agent/pinentry.py": ("PATH HOME LANG",),
    "renewagent/agent/power.py": ("Battery", "Device", "Discharging", "Inhibit"),
    "renewagent/agent/removal.py": ("SOFTWARE\\",),
    "renewagent/agent/service.py": ("[Unit]",),
    "renewagent/agent/window_page.py": ("text/",),
    "renewagent/agent/window_states.py": ("RA-CONFIGURATION",),
    "renewagent/campaign/fields.py": ("dict[str",),
    "renewagent/card/apdu.py": ("CommandApdu(", "ResponseApdu(", "<{} bytes>"),
    "renewagent/card/timed.py": ("card calls",),
    "renewagent/cli/__init__.py": ("renewagent {}",),
    "renewagent/cli/desk_options.py": ("--desk URL", "--password-file FILE", "--user NAME"),
    "renewagent/cli/token.py": ("--back SERIAL", "--code-file FILE", "--serial SERIAL"),
    "renewagent/cli/token_tickets.py": ("--form FILE",),
    "renewagent/configuration.py": ("--campaign-anchor FILE", "--ra URL", "--ra-root FILE"),
    "renewagent/ra_transport.py": ("Accept", "Connection", "Date", "cut off"),
    "renewagent/tokens/calendar.py": ("PRODID:",),
    "renewagent/tokens/desk_client.py": ("Accept", "Authorization", "Bearer"),
    "renewagent/tokens/explain.py": ("Failed to Transmit",),
    "renewagent/tokens/forms.py": ("{} (Serial number {}.)",),
    "renewagent/tokens/serials.py": ("Code", "Counter Number"),
}
"""By file: how strings begin that no person reads, or that are looked up by their very words."""

MARKS = frozenset({"_", "N_", "ngettext"})
FORMATS = frozenset({"of_card"})
"""Functions that take sentences and put in what is to go in."""
_SILENT = frozenset(
    "AssertionError KeyError NotImplementedError OSError RuntimeError TypeError ValueError "
    "PinentryFailed _NoAnswer _Refused".split()
)
"""Exceptions that nobody is shown the words of: they become ours at the edge, go into the log, or are faults."""
_PATTERNS = frozenset({"compile", "search"})
_LOGS = frozenset({"log", "logging"})
_LIKE_WORDS = re.compile(
    r"[A-Za-z]{2,}[,;:.]?\s+[A-Za-z]{2,}"  # two words
    r"|[a-z]{3,}\.(\s|$)"  # the end of a sentence
    r"|^[A-Z][a-z]{2,}([!?]?$|:)"  # a label
    r"|[a-z]{2,} \{|\} [a-z]{2,}"  # a word beside what is put in
)


@dataclass(frozen=True)
class Spoken:
    """A module whose words are looked at. `path` as in WORDS."""

    path: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        """Parsed."""
        return ast.parse(self.source)

    @cached_property
    def parents(self) -> Mapping[ast.AST, ast.AST]:
        """By node: what it stands in."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def calls(self) -> tuple[ast.Call, ...]:
        """All of them."""
        return tuple(node for node in ast.walk(self.tree) if isinstance(node, ast.Call))

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """What it stands in, from the inside."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def at(self, node: ast.AST) -> str:
        """For a complaint."""
        return f"{self.path}:{getattr(node, 'lineno', 0)}"


@cache
def spoken_modules() -> list[Spoken]:
    """Those of WORDS, parsed once for all checks."""
    files = sorted({file for glob in WORDS for file in ROOT.glob(glob)})
    return [Spoken(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in files]


def words_are_marked(module: Spoken) -> list[str]:
    """No words outside `_`, `N_` and `ngettext`."""
    return [f"{module.at(node)}: {text!r}" for node, text in _bare(module) if _LIKE_WORDS.search(text)]


def _bare(module: Spoken) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if not _excused(module, node) and not _allowed(module.path, text):
            yield node, text


def _excused(module: Spoken, node: ast.AST) -> bool:
    """Marked, a docstring, a log line, for programmers, a pattern, a part of an f-string (which is looked at whole)."""
    for outer in module.around(node):
        if isinstance(outer, ast.Expr | ast.Assert) or (isinstance(outer, ast.JoinedStr) and outer is not node):
            if not isinstance(outer, ast.Expr) or outer.value is node:
                return True
        if isinstance(outer, ast.Call) and _called(outer) in MARKS | _SILENT | _PATTERNS:
            return True
        if isinstance(outer, ast.Call) and _root(outer.func) in _LOGS:
            return True
        if isinstance(outer, ast.stmt):
            break
    return False


def _allowed(path: str, text: str) -> bool:
    return any(Path(path).match(glob) and text.startswith(strings) for glob, strings in ALLOWED.items())


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def marked_as_they_stand(module: Spoken) -> list[str]:
    """What goes into `_("...")` is a sentence, or a name that N_ has been at: nothing that was put together before. A
    plural stands where it is said: N_ would keep its two forms apart."""
    return [
        f"{module.at(call)}: {ast.unparse(argument)}"
        for call in _calls(module, MARKS)
        for argument in call.args[: 2 if _called(call) == "ngettext" else 1]
        if isinstance(argument, ast.JoinedStr | ast.BinOp)
        or (isinstance(argument, ast.Call) and _called(argument) == "format")
        or (_called(call) != "_" and not isinstance(argument, ast.Constant))
    ]


def marked(module: Spoken) -> Iterator[tuple[ast.Constant, str]]:
    """Every sentence that stands in `_`, `N_` or `ngettext`."""
    for call in _calls(module, MARKS):
        for one in call.args[: 2 if _called(call) == "ngettext" else 1]:
            if isinstance(one, ast.Constant) and isinstance(one.value, str):
                yield one, one.value


def placeholders_survive(module: Spoken) -> list[str]:
    """Placeholders have names, `format` gets every one of them and no other; both forms of a plural have the same."""
    complaints = []
    for call in _calls(module, frozenset({"_", "ngettext"})):
        sentences = [one.value for one in call.args[:2] if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        wanted = {name for sentence in sentences for name in _placeholders(sentence)}
        given = _given(module, call)
        if given is not None and sentences and given != wanted:
            complaints.append(f"{module.at(call)}: wants {sorted(wanted)}, gets {sorted(given)}")
        if any(not name.isidentifier() for name in wanted):
            complaints.append(f"{module.at(call)}: a placeholder without a name")
    return complaints


def _placeholders(sentence: str) -> list[str]:
    return [name for _text, name, _spec, _conversion in Formatter().parse(sentence) if name is not None]


def _given(module: Spoken, call: ast.Call) -> set[str] | None:
    """The names that `.format` gets; nothing where there is no `.format`; None where it comes later, or elsewhere."""
    attribute = module.parents.get(call)
    if not (isinstance(attribute, ast.Attribute) and attribute.attr == "format"):
        later = any(
            isinstance(outer, ast.Assign) or (isinstance(outer, ast.Call) and _called(outer) in FORMATS)
            for outer in module.around(call)
        )
        return None if later else set()
    formatted = module.parents[attribute]
    if not isinstance(formatted, ast.Call) or any(keyword.arg is None for keyword in formatted.keywords):
        return None
    return {str(keyword.arg) for keyword in formatted.keywords} | {"" for _argument in formatted.args}


def marks_keep_their_meaning(module: Spoken) -> list[str]:
    """Where `_` is called nothing else has that name: no loop, argument or assignment; and where `_` is called, it runs
    when somebody reads, not when the module is imported."""
    if not any(True for _call in _calls(module, frozenset({"_", "ngettext"}))):
        return []
    taken = [
        f"{module.at(node)}: {name} is something else here"
        for node in ast.walk(module.tree)
        for name in _bound(node)
        if name in MARKS
    ]
    early = [
        f"{module.at(call)}: said at import"
        for call in _calls(module, frozenset({"_", "ngettext"}))
        if not _in_a_body(module, call)
    ]
    return taken + early


def _in_a_body(module: Spoken, node: ast.AST) -> bool:
    """Of a function: not in its defaults, nor in its decorators."""
    inner = node
    for outer in module.around(node):
        if isinstance(outer, ast.Lambda):
            return True
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef) and inner in outer.body:
            return True
        inner = outer
    return False


def _bound(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node.id]
    if isinstance(node, ast.arg):
        return [node.arg]
    return [node.name] if isinstance(node, ast.FunctionDef | ast.MatchAs) and node.name else []


def _calls(module: Spoken, names: frozenset[str]) -> list[ast.Call]:
    return [call for call in module.calls if _called(call) in names]
