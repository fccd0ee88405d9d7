"""Reads the options of a Python migration from its syntax, without running it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from lockgate.core.migration import Obstacle
from lockgate.core.python_source import (
    PythonInvalid,
    find_deferred_work,
    is_empty,
    only_raises,
    parse_python,
)
from lockgate.errors import MigrationFileInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.python_source import DeferredWork


@dataclass(frozen=True, slots=True)
class PythonOptions:
    """``transaction`` is ``None`` where the module does not set it."""

    transaction: bool | None
    has_down: bool
    up_obstacle: Obstacle | None = None
    down_obstacle: Obstacle | None = None
    is_down_empty: bool = False


def read_python_options(text: str, path: str) -> PythonOptions:
    """Return the options that the module sets at its top level.

    A function whose body would not run when it is called (a generator, a coroutine) is an obstacle.

    Raises:
        MigrationFileInvalid: it is not Python, has no ``up(connection)``, or sets ``transaction`` to
            anything but True or False.
    """
    try:
        module = parse_python(text, path)
    except PythonInvalid as error:
        raise MigrationFileInvalid(
            f"{path}:{error.line}: Python syntax error: {error.reason}.",
            hint="Correct the file.",
            file=path,
            line=error.line,
            column=error.column,
        ) from None
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    if "up" not in functions:
        raise _refuse_without_up(module, path)
    for name in ("up", "down"):
        if name in functions:
            _check_parameters(functions[name], path)
    down = functions.get("down")
    return PythonOptions(
        transaction=_read_transaction(module, path),
        has_down=down is not None and not only_raises(down),
        up_obstacle=make_idle_obstacle("up", find_deferred_work(module, "up"))
        or make_idle_obstacle("verify", find_deferred_work(module, "verify")),
        down_obstacle=make_idle_obstacle("down", find_deferred_work(module, "down")),
        is_down_empty=is_down_empty(functions["up"], down),
    )


def is_down_empty(up: ast.FunctionDef | None, down: ast.FunctionDef | None) -> bool:
    """Return whether the down function is empty although the up function is not."""
    is_idle = down is not None and is_empty(down)
    return is_idle and not (up is not None and is_empty(up))


def make_idle_obstacle(name: str, idle: DeferredWork | None) -> Obstacle | None:
    """Return the obstacle for a function whose body would not run; ``None`` without ``idle``."""
    if idle is None:
        return None
    return Obstacle(
        f"defines {name} as {idle.what}, so that calling it does nothing",
        f"Write {name} as a plain function that does its work before it returns, without async, await"
        " and yield.",
        idle.line,
        is_mistake=True,
    )


def _refuse_without_up(module: ast.Module, path: str) -> MigrationFileInvalid:
    idle = find_deferred_work(module, "up")
    why = "has no function up(connection)" if idle is None else f"defines up as {idle.what}"
    return MigrationFileInvalid(
        f"{path} {why}.",
        hint="Define up(connection), and down(connection) to make it reversible.",
        file=path,
        line=None if idle is None else idle.line,
    )


def _check_parameters(function: ast.FunctionDef, path: str) -> None:
    arguments = function.args
    count = len(arguments.posonlyargs) + len(arguments.args)
    required = count - len(arguments.defaults)
    if (count == 0 and arguments.vararg is None) or required > 1:
        raise MigrationFileInvalid(
            f"{path}:{function.lineno}: {function.name} must take one argument, the connection.",
            hint=f"Write it as: def {function.name}(connection): …",
            file=path,
            line=function.lineno,
        )


def _read_transaction(module: ast.Module, path: str) -> bool | None:
    """Return the value of ``transaction``; anything but True or False would have to be run."""
    for node in module.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="transaction")], value=value)
                | ast.AnnAssign(target=ast.Name(id="transaction"), value=ast.expr() as value)
            ):
                if isinstance(value, ast.Constant) and isinstance(value.value, bool):
                    return value.value
                raise MigrationFileInvalid(
                    f"{path}:{node.lineno}: transaction must be a literal True or False.",
                    hint="Write transaction = False, or give the variable another name.",
                    file=path,
                    line=node.lineno,
                )
            case _:
                pass
    return None
