"""What a Python migration says of itself, read from its syntax. Runs nothing of it."""

from __future__ import annotations

import ast

from lockgate.errors import MigrationFileInvalid
from lockgate.value import dataclass


@dataclass(frozen=True, slots=True)
class PythonOptions:
    """``transaction`` is ``None`` where the module does not set it."""

    transaction: bool | None
    has_down: bool


def read_python_options(text: str, path: str) -> PythonOptions:
    """Return what the module defines at its top level.

    Raises:
        MigrationFileInvalid: it is no Python, has no ``up(connection)``, or sets ``transaction`` to
            anything but True or False.
    """
    try:
        module = ast.parse(text, path)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        column = getattr(error, "offset", None)
        raise MigrationFileInvalid(
            f"{path}:{line}: this is no Python: {getattr(error, 'msg', error)}. Nothing was changed.",
            hint="Correct the file.",
            file=path,
            line=line,
            column=column,
        ) from None
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    if "up" not in functions:
        raise MigrationFileInvalid(
            f"{path} has no function up(connection). Nothing was changed.",
            hint="Define up(connection), and down(connection) to make it reversible.",
            file=path,
        )
    for name in ("up", "down"):
        if name in functions:
            _check_parameters(functions[name], path)
    return PythonOptions(_read_transaction(module, path), "down" in functions)


def _check_parameters(function: ast.FunctionDef, path: str) -> None:
    arguments = function.args
    count = len(arguments.posonlyargs) + len(arguments.args)
    required = count - len(arguments.defaults)
    if (count == 0 and arguments.vararg is None) or required > 1:
        raise MigrationFileInvalid(
            f"{path}:{function.lineno}: {function.name} must take one argument, the connection."
            " Nothing was changed.",
            hint=f"Write it as: def {function.name}(connection): …",
            file=path,
            line=function.lineno,
        )


def _read_transaction(module: ast.Module, path: str) -> bool | None:
    """Read the assignment; what is no plain True or False cannot be known without running it."""
    for node in module.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="transaction")], value=value)
                | ast.AnnAssign(target=ast.Name(id="transaction"), value=ast.expr() as value)
            ):
                if isinstance(value, ast.Constant) and isinstance(value.value, bool):
                    return value.value
                raise MigrationFileInvalid(
                    f"{path}:{node.lineno}: transaction must be True or False, written as such."
                    " Nothing was changed.",
                    hint="Write transaction = False, or give the variable another name.",
                    file=path,
                    line=node.lineno,
                )
            case _:
                pass
    return None
