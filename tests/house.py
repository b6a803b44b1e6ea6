"""Reads the house as text: every module's imports and calls, and the floors of the house that they must keep.

Each check takes modules and returns complaints, so that `test_house` can show that it fails on a bad one. Only the
standard library's `ast` is used: nothing of the product is imported here.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREES = {"renewagent": ROOT, "renewagent_drivers": ROOT / "drivers", "renewagent_fixtures": ROOT / "fixtures"}

# The longest pattern that fits names a module's floor; it may import its own floor and those above.
FLOORS = (
    (
        "words",
        (
            "renewagent",
            "renewagent.errors",
            "renewagent.health",
            "renewagent.language",
            "renewagent.model",
            "renewagent.names",
            "renewagent.pin",
            "renewagent.tokens",
            "renewagent.tokens.errors",
            "renewagent.tokens.model",
        ),
    ),
    (
        "judgement",
        (
            "renewagent.rules",
            "renewagent.reasons",
            "renewagent.spreadsheets",
            "renewagent.renewal",
            "renewagent.statements",
            "renewagent.check_ins",
            "renewagent.algorithms",
            "renewagent.asking",
            "renewagent.certificates",
            "renewagent.chains",
            "renewagent.cms",
            "renewagent.loading",
            "renewagent.cmp",
            "renewagent.cmp.*",
            "renewagent.card",
            "renewagent.card.apdu",
            "renewagent.card.der",
            "renewagent.card.head",
            "renewagent.card.interface",
            "renewagent.card.key",
            "renewagent.card.pin_pad",
            "renewagent.campaign",
            "renewagent.campaign.document",
            "renewagent.campaign.drafting",
            "renewagent.campaign.fields",
            "renewagent.campaign.questions",
            "renewagent.campaign.typed",
            "renewagent.campaign.versions",
            "renewagent.console.charts",
            "renewagent.console.permissions",
            "renewagent.console.states",
            "renewagent.tokens.advice",
            "renewagent.tokens.approval",
            "renewagent.tokens.auditable",
            "renewagent.tokens.authority",
            "renewagent.tokens.business_days",
            "renewagent.tokens.calendar",
            "renewagent.tokens.codes",
            "renewagent.tokens.desk_words",
            "renewagent.tokens.ehr",
            "renewagent.tokens.explain",
            "renewagent.tokens.forms",
            "renewagent.tokens.grants",
            "renewagent.tokens.heic",
            "renewagent.tokens.leases",
            "renewagent.tokens.npi",
            "renewagent.tokens.pictures",
            "renewagent.tokens.places",
            "renewagent.tokens.raster",
            "renewagent.tokens.reregistration",
            "renewagent.tokens.reregistration_words",
            "renewagent.tokens.said",
            "renewagent.tokens.serials",
            "renewagent.tokens.soft_causes",
            "renewagent.tokens.soft_questions",
            "renewagent.tokens.throttle",
            "renewagent.tokens.tickets",
            "renewagent.tokens.validation",
            "renewagent.bulk.chart",
            "renewagent.bulk.dates",
            "renewagent.bulk.distinguished",
            "renewagent.bulk.exact",
            "renewagent.bulk.extensions",
            "renewagent.bulk.keys",
            "renewagent.bulk.memory",
            "renewagent.bulk.octets",
            "renewagent.bulk.rows",
            "renewagent.bulk.summary",
            "renewagent.bulk.tally",
            "renewagent.bulk.verdicts",
            "renewagent.bulk.walk",
            "renewagent.bulk.sources.base64",
            "renewagent.bulk.sources.columns",
        ),
    ),
    (
        "edges",
        (
            "renewagent_drivers",
            "renewagent_drivers.*",
            "renewagent.atomic",
            "renewagent.proxies",
            "renewagent.card.*",
            "renewagent.ra_transport",
            "renewagent.configuration*",
            "renewagent.campaign.*",
            "renewagent.agent",
            "renewagent.agent.*",
            "renewagent.console",
            "renewagent.console.*",
            "renewagent.bulk",
            "renewagent.bulk.*",
            "renewagent.tokens.*",
        ),
    ),
    ("doors", ("renewagent.cli", "renewagent.cli.*", "renewagent.__main__", "renewagent.agent.*command*")),
    ("garden", ("renewagent_fixtures", "renewagent_fixtures.*", "tests", "tests.*")),
)
ORDER = tuple(name for name, _ in FLOORS)

# The doors that load fixtures, and only when their command is called.
FIXTURE_DOORS = (
    "renewagent.cli.audit",
    "renewagent.cli.demo",
    "renewagent.cli.demo_tokens",
    "renewagent.cli.mock_epcs",
    "renewagent.cli.mock_ra",
    "renewagent.cli.virtual_card",
    "renewagent.cli.virtual_card_conformance",
    "renewagent.cli.virtual_card_traces",
)

# What judgement may not touch: the clock, the disk, the network, other processes and threads. Chance comes in as an
# argument, whose default may be `secrets`.
DOING_MODULES = frozenset(
    "asyncio http logging multiprocessing os queue random requests sched select selectors shutil signal "
    "smartcard socket sqlalchemy sqlite3 ssl subprocess tempfile threading time truststore urllib urllib3".split()
)
DOING_CALLS = frozenset(
    "open print input exec eval sleep now utcnow today read_text read_bytes write_text write_bytes mkdir unlink".split()
)

# The process that stays for the whole day imports none of these.
RESIDENT_ROOTS = (
    "renewagent.agent.process",
    "renewagent.agent.watcher",
    "renewagent.agent.inspector",
    "renewagent.agent.journal",
    "renewagent.agent.resident",
    "renewagent.agent.words",
    "renewagent.card.pcsc",
    "renewagent.renewal",
    "renewagent.rules",
    "renewagent_drivers.piv",
)
RESIDENT_MUST_NOT = frozenset(
    "asn1crypto asyncio cryptography jeepney pkcs11 sqlalchemy ssl truststore urllib3".split()
)

# What both ends of CMP may share: the words, the shape of messages on the wire, and the structures inside them.
SHARED_WIRE = (
    "renewagent.cmp",
    "renewagent.cmp.bodies",
    "renewagent.cmp.codec",
    "renewagent.cmp.crmf",
    "renewagent.cmp.der",
    "renewagent.cmp.private",
    "renewagent.cmp.wire",
    "renewagent.cms",
    "renewagent.loading",
    "renewagent.statements",
)
CMP_ANSWERING = ("renewagent.cmp.responder*", "renewagent_fixtures.mock_ra", "renewagent_fixtures.mock_ra.*")
CMP_ASKING = ("renewagent.cmp.client*", "renewagent.cmp.conversation", "renewagent.ra_transport")

VIRTUAL_CARD = ("renewagent_fixtures.virtual_card", "renewagent_fixtures.virtual_card.*")
CARD_SIDE = ("renewagent.card", "renewagent.card.*", "renewagent_drivers", "renewagent_drivers.*")

VAGUE_NAMES = frozenset(("utils", "util", "helpers", "helper", "common", "manager", "core"))
MOST_LINES = 400
MOST_BODY_LINES = 40


@dataclass(frozen=True, slots=True)
class Import:
    """`target` is dotted; `names` what was taken from it; `late` if inside a function; `typing` if for types alone."""

    target: str
    names: tuple[str, ...]
    line: int
    late: bool
    typing: bool


@dataclass(frozen=True)
class Module:
    """One file, by its dotted name."""

    name: str
    source: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, filename=self.name)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        return tuple(_imports(self.tree.body, self, late=False, typing=False))

    @property
    def floor(self) -> str | None:
        fitting = [(pattern, floor) for floor, patterns in FLOORS for pattern in patterns if fits(self.name, [pattern])]
        return max(fitting, key=lambda pair: len(pair[0]))[1] if fitting else None


def fits(name: str, patterns: Iterable[str]) -> bool:
    """True if the dotted name is one of the patterns (`*` crosses dots)."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def tracked_files() -> list[Path]:
    """What git tracks; on a machine without git, or outside a checkout, what lies here but for build leavings."""
    git = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"]
    try:
        listed = subprocess.run(git, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        return [p for p in sorted(ROOT.rglob("*")) if p.is_file() and not _is_leaving(p.relative_to(ROOT))]
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def _is_leaving(path: Path) -> bool:
    hidden = any(part.startswith(".") and part not in (".ci", ".gitignore") for part in path.parts)
    return (
        hidden
        or path.suffix == ".log"
        or any(re.fullmatch(r"__pycache__|build|dist|.*\.egg-info", part) for part in path.parts)
    )


def product_modules() -> list[Module]:
    """Every module of the three trees that the wheel carries."""
    return [_read(path, base) for package, base in TREES.items() for path in sorted((base / package).rglob("*.py"))]


def _read(path: Path, base: Path) -> Module:
    parts = path.relative_to(base).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    return Module(".".join(parts[:-1] if is_package else parts), path.read_text(encoding="utf-8"), is_package)


def _imports(body: Iterable[ast.AST], module: Module, *, late: bool, typing: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, (), node.lineno, late, typing)
        elif isinstance(node, ast.ImportFrom):
            yield Import(_absolute(node, module), tuple(a.name for a in node.names), node.lineno, late, typing)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _imports(node.body, module, late=late, typing=True)
            yield from _imports(node.orelse, module, late=late, typing=typing)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(ast.iter_child_nodes(node), module, late=late or inside, typing=typing)


def _absolute(node: ast.ImportFrom, module: Module) -> str:
    if not node.level:
        return node.module or ""
    package = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
    package = package[: len(package) - (node.level - 1)]
    return ".".join([*package, *([node.module] if node.module else [])])


def ours(wanted: Import, known: Iterable[str]) -> list[str]:
    """Which of our modules an import means: `from a import b` means module a.b if there is one, else a."""
    known = set(known)
    submodules = [f"{wanted.target}.{name}" for name in wanted.names if f"{wanted.target}.{name}" in known]
    return submodules or ([wanted.target] if wanted.target in known else [])


def reach(start: Iterable[str], modules: Iterable[Module], *, late: bool) -> dict[str, tuple[str, ...]]:
    """Every module, ours or not, that importing `start` imports, and the path there; with `late`, in functions too."""
    by_name = {m.name: m for m in modules}
    found: dict[str, tuple[str, ...]] = {}
    waiting: list[tuple[str, tuple[str, ...]]] = [(name, (name,)) for name in start if name in by_name]
    while waiting:
        name, path = waiting.pop()
        if name in found:
            continue
        found[name] = path
        for wanted in by_name[name].imports if name in by_name else ():
            if not wanted.typing and (late or not wanted.late):
                waiting += [(goal, (*path, goal)) for goal in _goals(wanted, by_name)]
    return found


def _goals(wanted: Import, by_name: dict[str, Module]) -> set[str]:
    goals = ours(wanted, by_name) or [wanted.target]
    parents = {
        goal.rsplit(".", depth)[0] for goal in goals if goal in by_name for depth in range(1, goal.count(".") + 1)
    }
    return {*goals, *parents}


# --- Checks: modules in, complaints out


def floors_kept(modules: list[Module]) -> list[str]:
    """No module without a floor; none imports a floor below its own, but for doors that load fixtures when called."""
    floor_of = {m.name: m.floor for m in modules}
    complaints = [f"{m.name}: on no floor; give it one in tests/house.py" for m in modules if m.floor is None]
    for module in modules:
        for wanted in module.imports:
            for goal in ours(wanted, floor_of) or _garden(wanted):
                if _is_below(floor_of.get(goal, "garden"), module, wanted):
                    complaints.append(f"{module.name}:{wanted.line} ({module.floor}) imports {goal}")
    return complaints


def _garden(wanted: Import) -> list[str]:
    return [wanted.target] if wanted.target.split(".")[0] in ("tests", "renewagent_fixtures") else []


def _is_below(goal_floor: str | None, module: Module, wanted: Import) -> bool:
    if goal_floor is None or module.floor is None:
        return False
    if goal_floor == "garden" and module.name in FIXTURE_DOORS and wanted.late:
        return False
    return ORDER.index(goal_floor) > ORDER.index(module.floor)


def drivers_stand_alone(modules: list[Module]) -> list[str]:
    """A driver imports no other edge."""
    floor_of = {m.name: m.floor for m in modules}
    return [
        f"{m.name}:{wanted.line} imports {goal}"
        for m in modules
        if m.name.startswith("renewagent_drivers")
        for wanted in m.imports
        for goal in ours(wanted, floor_of)
        if floor_of[goal] == "edges" and not goal.startswith("renewagent_drivers")
    ]


def pyscard_has_one_door(modules: list[Module]) -> list[str]:
    """Only card/pcsc.py imports `smartcard`, and in the garden what stands between pyscard and its users."""
    doors = ("renewagent.card.pcsc", "renewagent_fixtures.scard.switch")
    return _who_imports(modules, frozenset(["smartcard"]), but=doors)


def _who_imports(modules: list[Module], tops: frozenset[str], *, but: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{m.name}:{wanted.line} imports {wanted.target}"
        for m in modules
        if not fits(m.name, but)
        for wanted in m.imports
        if wanted.target.split(".")[0] in tops
    ]


def judgement_does_nothing(modules: list[Module]) -> list[str]:
    """Words and judgement do not open, connect, sleep, read the clock, start a thread or throw dice."""
    judging = [m for m in modules if m.floor == "judgement"]
    complaints = _who_imports(judging, DOING_MODULES)
    for module in judging:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and _called(node) in DOING_CALLS:
                complaints.append(f"{module.name}:{node.lineno} calls {ast.unparse(node.func)}")
    return complaints


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def agent_and_console_apart(modules: list[Module]) -> list[str]:
    """Neither imports the other."""
    sides = (("renewagent.agent", "renewagent.console"), ("renewagent.console", "renewagent.agent"))
    return [
        f"{m.name}:{wanted.line} imports {wanted.target}"
        for here, there in sides
        for m in modules
        if fits(m.name, (here, f"{here}.*"))
        for wanted in m.imports
        if any(
            fits(goal, (there, f"{there}.*"))
            for goal in (wanted.target, *(f"{wanted.target}.{n}" for n in wanted.names))
        )
    ]


def resident_stays_small(modules: list[Module], roots: Iterable[str] = RESIDENT_ROOTS) -> list[str]:
    """What the resident process imports, directly or not, holds no cryptography, ASN.1 library, TLS or asyncio."""
    found = reach(roots, modules, late=False)
    return [" -> ".join(path) for name, path in found.items() if name.split(".")[0] in RESIDENT_MUST_NOT]


def card_shares_nothing(modules: list[Module]) -> list[str]:
    """The virtual card reaches no code of the card side: two programs that agree because they are one prove nothing."""
    cards = [m.name for m in modules if fits(m.name, VIRTUAL_CARD)]
    return [" -> ".join(path) for name, path in reach(cards, modules, late=True).items() if fits(name, CARD_SIDE)]


def cmp_ends_apart(modules: list[Module]) -> list[str]:
    """What both the asking and the answering end of CMP reach is wire and words, no check."""
    asking = reach((m.name for m in modules if fits(m.name, CMP_ASKING)), modules, late=True)
    answering = reach((m.name for m in modules if fits(m.name, CMP_ANSWERING)), modules, late=True)
    words = dict(FLOORS)["words"]
    shared = {m.name for m in modules} & asking.keys() & answering.keys()
    return [
        f"{' -> '.join(asking[name])}, and {' -> '.join(answering[name])}"
        for name in sorted(shared)
        if not fits(name, (*words, *SHARED_WIRE))
    ]


def privacy_kept(modules: list[Module]) -> list[str]:
    """A name that begins with an underscore stays in its module; `_` alone is gettext's, and everybody's."""
    return [
        f"{m.name}:{wanted.line} takes {name} from {wanted.target}"
        for m in modules
        for wanted in m.imports
        for name in wanted.names
        if name != "_" and name.startswith("_") and not name.startswith("__") and wanted.target.split(".")[0] in TREES
    ]


def nothing_printed(modules: list[Module]) -> list[str]:
    """Library code does not print."""
    return [
        f"{m.name}:{node.lineno} prints"
        for m in modules
        for node in ast.walk(m.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def sizes_kept(modules: list[Module]) -> list[str]:
    """No module over 400 lines, no function body over 40."""
    long = [f"{m.name}: {n} lines" for m in modules if (n := len(m.source.splitlines())) > MOST_LINES]
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (n := _body_lines(node)) > MOST_BODY_LINES:
                long.append(f"{module.name}:{node.lineno} {node.name}: a body of {n} lines")
    return long


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def names_say_something(paths: Iterable[Path]) -> list[str]:
    """No file or folder has a name that could hold anything."""
    return [str(path) for path in paths if VAGUE_NAMES & {part.partition(".")[0] for part in path.parts}]


def no_place_named(texts: dict[str, str], places: Iterable[str]) -> list[str]:
    """No text names a package registry's host, or where this checkout happens to lie."""
    return [f"{name} names {place}" for name, text in texts.items() for place in places if place in text]
