"""Imports point down, no module imports itself in a circle, and vendor libraries have their layers.

The tables define the rules. A module's layer is the first name after ``lockgate.``: that of
``lockgate.core.plan`` is ``core``. Imports in functions and for type checking count like any other.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HANDLER = Path(__file__).parents[1] / "handler"

# From top to bottom. A module imports from layers below its own, and from its own package.
LAYERS = (
    ("entry", "__main__"),
    ("awslambda", "terminal"),
    ("wiring",),
    ("engine",),
    ("check",),
    ("report",),
    ("postgres",),
    ("aws",),
    ("local",),
    ("settings",),
    ("formats",),
    ("core",),
    ("duration",),
    ("errors",),
    ("invisible", "fast_start"),
)

# Importing module and imported layer, with the reason for the exception to the layers.
ALLOWED_SIDEWAYS = {
    ("lockgate.terminal.demo_command", "awslambda"): "`lockgate demo` drives the real handler",
}

# Lower layers that only some layers may import.
ONLY_FOR = {
    "local": {"terminal"},
    "check": {"terminal"},
    # The engine and the report know only protocols; the check imports the plugins of Alembic.
    "postgres": {"awslambda", "check", "wiring"},
    "aws": {"awslambda", "terminal", "wiring"},
}

# Packages in `formats/` that are no tool's.
NOT_A_TOOL = {"shared", "tool", "names", "registry", "claims", "foreign_tables"}
# A tool's package and another module of `formats/` that it may import, with the reason.
ALLOWED_BETWEEN_TOOLS = {
    ("dbmate", "native"): "the native format reads dbmate's files",
    ("rails", "native"): "a project continues in the native format after its Ruby migrations",
    ("golang_migrate", "sqlx"): "a folder with a sign of sqlx is not golang-migrate's",
    ("yoyo", "foreign_tables"): "it looks for the lock of its table",
}

# Vendor library: the only layers that may import it.
FENCES = {
    "boto3": {"aws", "awslambda"},
    "botocore": {"aws", "awslambda"},
    "sqlalchemy": {"postgres"},
    "pg8000": {"postgres", "fast_start"},
    "aws_lambda_powertools": {"awslambda"},
    # Its operations use postgres's connection; formats read revisions without it.
    "alembic": {"postgres"},
    "rich": {"terminal"},
    "moto": {"local"},
    "cryptography": {"local"},
}

ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
READS_ENVIRONMENT = {"settings"}

# Subpackages from top to bottom. The package's own modules are above them.
INNER_LAYERS = {
    "postgres": ("apply", "tables", "server"),
    "awslambda": ("callers",),
    "core": ("sql",),
}
# A package's own modules that its subpackages may import.
LEAVES = {"postgres.quoting"}


# Import statements in functions: the commands, `postgres.apply`, Python steps, AWS, the chosen
# format's package, the caller, the terminal's commands and the embedded server.
MOST_DOORS = 40
MOST_IGNORED_RULES = 30
MOST_LINES = 400
MOST_MODULES_AT_THE_TOP = 8

# `lockgate` itself: only its version.
ROOT = ""


@dataclass(frozen=True, slots=True)
class Import:
    """An imported module and the line of the import."""

    name: str
    line: int


def find_imports(module: str, tree: ast.Module) -> Iterator[Import]:
    """Return every import of a module, including those in functions and for types."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve(module, node)
            # `from lockgate import errors` names a module only in its last word.
            yield from (Import(f"{base}.{alias.name}", node.lineno) for alias in node.names)


def resolve(module: str, node: ast.ImportFrom) -> str:
    """Return the absolute name of an import's source module; a package ends in ``__init__``."""
    if node.level == 0:
        return node.module or ""
    parents = module.split(".")[: -node.level]
    return ".".join([*parents, node.module] if node.module else parents)


def find_layer(name: str) -> str:
    """Return the first name after ``lockgate.``; a dunder such as the version belongs to the root."""
    part = [*name.split("."), ROOT][1]
    is_attribute = part.startswith("__") and part != "__main__"
    return ROOT if is_attribute else part


def find_height(layer: str) -> int | None:
    """Return a layer's height, with errors at 1; None if it is in no layer."""
    if layer == ROOT:
        return 0
    heights = {name: len(LAYERS) - depth for depth, names in enumerate(LAYERS) for name in names}
    return heights.get(layer)


def find_violations(module: str, source: str) -> list[str]:
    """Return one sentence for each rule that a module's source breaks."""
    tree = ast.parse(source)
    layer = find_layer(module)
    if find_height(layer) is None:
        return [f"{module}: '{layer}' is in no layer. Give it a place in LAYERS and in DESIGN."]
    imports = list(find_imports(module, tree))
    found = [
        f"{module}:{item.line} imports {item.name}: {reason}"
        for item in imports
        for reason in judge(module, item.name)
    ]
    return found + judge_environment(module, layer, tree)


def judge(module: str, name: str) -> Iterator[str]:
    """Yield the reason why a module must not import a name."""
    layer = find_layer(module)
    package = name.split(".", maxsplit=1)[0]
    if package != "lockgate":
        allowed = FENCES.get(package)
        if allowed is not None and layer not in allowed:
            yield f"{package} belongs to {say(allowed)}."
        return
    target = find_layer(name)
    if target == layer or (module, target) in ALLOWED_SIDEWAYS:
        return
    above, below = find_height(layer), find_height(target)
    if below is None:
        yield f"'{target}' is in no layer. Give it a place in LAYERS and in DESIGN."
    elif above is not None and above <= below:
        yield f"{target} is not below {layer}. Pass it in from above, or move what both need down."
    elif layer not in ONLY_FOR.get(target, {layer}):
        yield f"{target} is only for {say(ONLY_FOR[target])}."


def judge_environment(module: str, layer: str, tree: ast.Module) -> list[str]:
    """Return the lines in which a module reads the environment without being allowed to."""
    if layer in READS_ENVIRONMENT:
        return []
    reads = [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and is_environment(node))
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and not ENVIRONMENT.isdisjoint(alias.name for alias in node.names)
        )
    ]
    return [
        f"{module}:{line} reads the environment: that belongs to {say(READS_ENVIRONMENT)}."
        for line in reads
    ]


def is_environment(node: ast.Attribute) -> bool:
    """Return whether an expression is os.environ or a similar attribute."""
    return isinstance(node.value, ast.Name) and node.value.id == "os" and node.attr in ENVIRONMENT


def say(layers: set[str]) -> str:
    """Return the names joined with "and"."""
    return " and ".join(sorted(layers))


def list_modules() -> list[str]:
    """Return the dotted names of all modules under handler/lockgate."""
    files = sorted((HANDLER / "lockgate").rglob("*.py"))
    return [".".join(file.relative_to(HANDLER).with_suffix("").parts) for file in files]


@pytest.mark.parametrize("module", list_modules())
def test_module_imports_only_from_below(module: str) -> None:
    """A module respects its layer, the fences and the ban on reading the environment."""
    file = HANDLER.joinpath(*module.split(".")).with_suffix(".py")
    assert find_violations(module, file.read_text("utf-8")) == []


UP = "is not below {}. Pass it in from above, or move what both need down."


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("core.plan", "import lockgate.errors", None),
        ("core.plan", "from lockgate.core.sql.script import split", None),
        ("core.plan", "from . import sql", None),
        ("awslambda.app", "from lockgate import __version__", None),
        ("terminal.demo_command", "from lockgate.awslambda.app import handle", None),
        (
            "terminal.cli",
            "from lockgate.awslambda.app import handle",
            "lockgate.awslambda.app.handle: awslambda " + UP.format("terminal"),
        ),
        ("terminal.cli", "from lockgate.local.server import EmbeddedServer", None),
        ("settings", "import os\nos.environ", None),
        (
            "core.plan",
            "import lockgate.engine.run",
            "lockgate.engine.run: engine " + UP.format("core"),
        ),
        (
            "core.plan",
            "from lockgate import engine",
            "lockgate.engine: engine " + UP.format("core"),
        ),
        ("core.plan", "from ..aws import x", "lockgate.aws.x: aws " + UP.format("core")),
        ("core.__init__", "from ..aws import x", "lockgate.aws.x: aws " + UP.format("core")),
        (
            "core.plan",
            "def f():\n  from lockgate.aws import x",
            "lockgate.aws.x: aws " + UP.format("core"),
        ),
        (
            "awslambda.app",
            "import lockgate.terminal.cli",
            "lockgate.terminal.cli: terminal " + UP.format("awslambda"),
        ),
        (
            "awslambda.app",
            "import lockgate.local.server",
            "lockgate.local.server: local is only for terminal.",
        ),
        ("errors", "import lockgate.core", "lockgate.core: core " + UP.format("errors")),
        (
            "core.plan",
            "import lockgate.utils",
            "lockgate.utils: 'utils' is in no layer. Give it a place in LAYERS and in DESIGN.",
        ),
        (
            "engine.run",
            "from boto3.session import Session",
            "boto3.session.Session: boto3 belongs to aws and awslambda.",
        ),
        (
            "awslambda.callers.direct",
            "import pg8000",
            "pg8000: pg8000 belongs to fast_start and postgres.",
        ),
    ],
)
def test_checker_judges_an_import(module: str, source: str, expected: str | None) -> None:
    """The checker accepts allowed imports, and names line, import and reason of the others."""
    found = find_violations(f"lockgate.{module}", source)
    line = len(source.splitlines())
    assert found == ([] if expected is None else [f"lockgate.{module}:{line} imports {expected}"])


@pytest.mark.parametrize("source", ["import os\nos.environ['A']", "\nfrom os import getenv"])
def test_checker_finds_a_reader_of_the_environment(source: str) -> None:
    """The checker finds both spellings of reading the environment."""
    expected = "lockgate.awslambda.app:2 reads the environment: that belongs to settings."
    assert find_violations("lockgate.awslambda.app", source) == [expected]


def test_checker_finds_a_module_in_no_layer() -> None:
    """The checker reports a module that is in no layer."""
    expected = "lockgate.utils: 'utils' is in no layer. Give it a place in LAYERS and in DESIGN."
    assert find_violations("lockgate.utils", "") == [expected]


def test_values_are_made_by_the_quick_decorator() -> None:
    """No module uses the standard library's dataclass, which makes every start slower."""
    slow = [
        path.name
        for path in (HANDLER / "lockgate").rglob("*.py")
        if path.name != "dataclass.py"
        and re.search(r"^from dataclasses import .*\bdataclass\b", path.read_text(), re.MULTILINE)
    ]
    assert [] == slow


# Circles, doors, sizes.


def read_package() -> dict[str, ast.Module]:
    """Return the syntax tree of each module by name; a package has its own name."""
    return {
        module.removesuffix(".__init__"): ast.parse(find_file(module).read_text("utf-8"))
        for module in list_modules()
    }


def find_file(module: str) -> Path:
    """Return a module's file."""
    return HANDLER.joinpath(*module.split(".")).with_suffix(".py")


def draw_graph(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Return the modules that each module imports, anywhere in its file."""
    graph: dict[str, set[str]] = {}
    for module, tree in trees.items():
        names = {item.name for item in find_imports(module, tree)}
        # `from lockgate.errors import LockLost` names a module and a class in it.
        imported = names | {name.rpartition(".")[0] for name in names if name not in trees}
        graph[module] = imported & trees.keys() - {module}
    return graph


def find_circles(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules that import themselves through others."""
    return sorted(module for module in graph if module in find_reachable(graph, module))


def find_reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """Return the modules that a module imports, directly or indirectly."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        found = graph[waiting.pop()] - seen
        seen |= found
        waiting += found
    return seen


def test_no_file_imports_itself_in_a_circle() -> None:
    """No module imports itself, directly or indirectly."""
    assert [] == find_circles(draw_graph(read_package()))


def test_circle_through_late_and_type_imports_is_found() -> None:
    """The checker follows imports in functions and imports for type checking."""
    sources = {
        "lockgate.a": "def f():\n  from lockgate.b import g",
        "lockgate.b": "if TYPE_CHECKING:\n  from lockgate import c",
        "lockgate.c": "import lockgate.a",
        "lockgate.d": "import lockgate.a",
    }
    graph = draw_graph({name: ast.parse(source) for name, source in sources.items()})
    assert ["lockgate.a", "lockgate.b", "lockgate.c"] == find_circles(graph)


def find_upward_imports(graph: dict[str, set[str]]) -> list[str]:
    """Return the imports within a package that do not point down."""
    return sorted(
        f"{module} imports {name}"
        for module, names in graph.items()
        for name in names
        if find_layer(name) == find_layer(module)
        and find_inner_height(name) > find_inner_height(module)
        and name.removeprefix("lockgate.") not in LEAVES
    )


def find_inner_height(module: str) -> int:
    """Return the height of a module within its package, 0 for the lowest subpackage."""
    parts = module.split(".")
    inner = INNER_LAYERS.get(parts[1], ()) if len(parts) > 1 else ()
    return (
        len(inner) - 1 - inner.index(parts[2]) if parts[2:3] and parts[2] in inner else len(inner)
    )


def test_subpackages_import_only_from_below() -> None:
    """Within a package, imports point down too."""
    assert [] == find_upward_imports(draw_graph(read_package()))


def find_imports_between_tools(graph: dict[str, set[str]]) -> list[str]:
    """Return the imports of a tool's package that lead to another tool, or up to the registry."""
    found = set()
    for module, names in graph.items():
        for name in names:
            if not (
                module.startswith("lockgate.formats.") and name.startswith("lockgate.formats.")
            ):
                continue
            tool, other = module.split(".")[2], name.split(".")[2]
            is_allowed = other in {tool, "shared", "tool", "names"}
            if tool not in NOT_A_TOOL and not is_allowed:
                found.add((tool, other))
    return sorted(f"{tool} imports {other}" for tool, other in found - ALLOWED_BETWEEN_TOOLS.keys())


def test_tools_do_not_import_one_another() -> None:
    """A tool's package imports only itself and what all tools share, with few exceptions."""
    assert [] == find_imports_between_tools(draw_graph(read_package()))


def test_import_of_another_tool_is_found() -> None:
    """The checker names the two tools, and accepts what is shared."""
    sources = {
        "lockgate.formats.knex.reader": "import lockgate.formats.goose.reader",
        "lockgate.formats.goose.reader": "import lockgate.formats.shared.folder",
        "lockgate.formats.shared.folder": "import lockgate.formats.registry",
        "lockgate.formats.registry": "import lockgate.formats.tool",
        "lockgate.formats.tool": "",
    }
    graph = draw_graph({name: ast.parse(source) for name, source in sources.items()})
    assert ["knex imports goose"] == find_imports_between_tools(graph)


def list_late_imports(tree: ast.Module) -> list[int]:
    """Return the lines of the imports in functions."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return sorted(
        {
            node.lineno
            for function in functions
            for node in ast.walk(function)
            if isinstance(node, (ast.Import, ast.ImportFrom))
        }
    )


def test_imports_in_functions_are_few() -> None:
    """The number of imports in functions is limited; each saves a run an import it does not need."""
    late = {
        f"{module}:{line}"
        for module, tree in read_package().items()
        for line in list_late_imports(tree)
    }
    assert len(late) <= MOST_DOORS, "\n".join(sorted(late))


def test_modules_are_short() -> None:
    """No module exceeds the maximum length."""
    sizes = {
        module: len(find_file(module).read_text("utf-8").splitlines()) for module in list_modules()
    }
    assert {} == {module: size for module, size in sizes.items() if size > MOST_LINES}


def test_few_modules_are_at_the_top() -> None:
    """Few modules are outside a package: entry points, and those that every package needs."""
    assert len(list((HANDLER / "lockgate").glob("*.py"))) <= MOST_MODULES_AT_THE_TOP


def test_ignored_rules_are_few_and_have_reasons() -> None:
    """Every noqa has a reason, and there are few."""
    ignored = [
        f"{module}:{number}: {line.strip()}"
        for module in list_modules()
        for number, line in enumerate(find_file(module).read_text("utf-8").splitlines(), start=1)
        if "# noqa" in line
    ]
    assert [] == [line for line in ignored if not re.search(r"# noqa: [A-Z0-9, ]+ - \w", line)]
    assert len(ignored) <= MOST_IGNORED_RULES, "\n".join(ignored)
