"""The IAM actions that the deployed code calls, found in its source, and those that the template grants.

A call is ``anything.method``, or a string equal to the method's name, where the method belongs to a
client that the code creates somewhere. The calls for snapshots are composed from words at run time, in
one place, and are composed here too.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore import xform_name
from tests.support.cfn_template import read_template

from lockgate.aws.snapshots import _FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "handler/lockgate"
TEMPLATE = ROOT / "template.yaml"
# Not deployed (infra/build.py).
LEFT_OUT = {"local", "terminal", "__main__.py"}
SNAPSHOTS = "aws/snapshots.py"

# Operations with a different name in IAM.
RENAMED = {"lambda:Invoke": "lambda:InvokeFunction"}
# Not an operation: the token is signed offline, and the database asks IAM.
OFFLINE = {"generate_db_auth_token": "rds-db:connect"}

_ACTION = re.compile(r"\b([a-z][a-z-]+:[A-Za-z]+[a-z])\b")
_MODULE = re.compile(r"\b([\w/]+\.py)\b")


@cache
def list_calls() -> dict[str, frozenset[str]]:
    """Return each IAM action that deployed code calls, with the modules that call it."""
    trees = {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in LEFT_OUT
    }
    methods = _list_methods(sorted({name for tree in trees.values() for name in _services(tree)}))
    found: dict[str, set[str]] = defaultdict(set)
    for module, tree in trees.items():
        for name in _named_methods(tree):
            if name in methods:
                found[methods[name]].add(module)
    for action in _put_together(trees[SNAPSHOTS]):
        found[action].add(SNAPSHOTS)
    return {action: frozenset(modules) for action, modules in found.items()}


def list_dynamic_calls() -> list[str]:
    """Return the modules whose client calls cannot be found in the source."""
    return [
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if re.search(r"getattr\([^)]*client|\.get_(waiter|paginator)\(", path.read_text("utf-8"))
    ]


@cache
def list_allowed_actions() -> frozenset[str]:
    """Return the actions of every Allow statement of the roles, whatever its condition."""
    resources = read_template(TEMPLATE)["Resources"]
    kinds = {"AWS::IAM::Role", "AWS::IAM::RolePolicy", "AWS::IAM::ManagedPolicy"}
    of_roles = [one for one in resources.values() if one["Type"] in kinds]
    return frozenset(find_actions(of_roles))


def find_actions(value: Any) -> Iterator[str]:
    """Yield the actions of every Allow statement, at any depth of conditions."""
    if isinstance(value, dict):
        if value.get("Effect") == "Allow":
            actions = value["Action"]
            yield from [actions] if isinstance(actions, str) else actions
        for item in value.values():
            yield from find_actions(item)
    elif isinstance(value, list):
        for item in value:
            yield from find_actions(item)


def list_traces() -> list[tuple[int, str, frozenset[str]]]:
    """Return line and action of each permission, and the modules named in the comment above it."""
    found: list[tuple[int, str, frozenset[str]]] = []
    named: set[str] = set()
    in_comment = False
    for number, line in enumerate(TEMPLATE.read_text("utf-8").splitlines(), 1):
        is_comment = line.lstrip().startswith("#")
        if is_comment:
            named = named if in_comment else set()
            named |= {name if "/" in name else f"aws/{name}" for name in _MODULE.findall(line)}
        else:
            found += [(number, action, frozenset(named)) for action in _ACTION.findall(line)]
        in_comment = is_comment
    return found


def name_action(service: str, operation: str) -> str:
    """Return the IAM action of a service's operation."""
    action = f"{service}:{operation}"
    return RENAMED.get(action, action)


def _list_methods(services: list[str]) -> dict[str, str]:
    session = botocore.session.get_session()
    methods = dict(OFFLINE)
    for service in services:
        for operation in session.get_service_model(service).operation_names:
            methods[xform_name(operation)] = name_action(service, operation)
    return methods


def _services(tree: ast.Module) -> Iterator[str]:
    """Yield the services with clients: ``clients("rds", …)``, ``make_client("rds")``."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Name(id=function) | ast.Attribute(attr=function),
                args=[ast.Constant(str(service)), *_],
            ) if "client" in function:
                yield service


def _named_methods(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name):
                yield name
            case ast.Constant(str(text)) if "_" in text:
                yield text


def _put_together(tree: ast.Module) -> Iterator[str]:
    """Yield the actions that ``Snapshots._call`` requests, for both families."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="_call"), args=[ast.Constant(str(verb)), *_]):
                plural = "s" if verb == "describe" else ""
                for family in _FAMILIES.values():
                    yield f"rds:{verb.capitalize()}{family.noun}{plural}"
