"""The command line: commands, options and their help."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any

from lockgate import __version__
from lockgate.core.policy import Atomicity, OutOfOrder, Rollback
from lockgate.core.request import Action
from lockgate.core.similar import find_similar
from lockgate.formats.names import list_tools
from lockgate.terminal.argument_types import read_count, read_first_run, read_reason
from lockgate.terminal.help_format import Help, VerbatimHelp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FIRST_RUN = "allow or refuse a database that already has tables"


_EXAMPLES = """\
examples:
  lockgate new add_email              write migrations/20261122093000_….sql
  lockgate check                      whether the files can run; no database
  lockgate plan --local               what would run on this folder's PostgreSQL
  lockgate up --local                 run it there
  lockgate up --secret shop/database  run it on a database, by its secret in AWS
  lockgate status --json --database-url postgresql://user:password@host/shop
  lockgate invoke shop-Migrate        run it in a deployed function to the end

Environment variables named LOCKGATE_… are settings; options override them.
exit status: 0 done, 1 failed, 2 refused, 3 another run is active, 4 incomplete
"""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of one command; exit with a usage message if they are invalid."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options, unknown = make_parser(given[0] if given else "").parse_known_args(given)
    if unknown:
        word = unknown[0].partition("=")[0]
        known = re.findall(r"--[a-z-]+", options.parser.format_usage())
        near = find_similar(word, known)
        advice = f"; did you mean {near}?" if near else ""
        options.parser.error(f"{word} is not understood{advice}")
    for name, value in vars(options).items():
        if value == []:
            # argparse reads ``--option=--`` as an option without a value.
            setattr(options, name, "--")
    return options


def make_parser(typed: str = "") -> argparse.ArgumentParser:
    """Return the parser of the typed command, or of all commands if it is not one of them.

    Building the parsers of all commands takes longer than a query to the database.
    """
    parser = argparse.ArgumentParser(
        prog="lockgate",
        description="Bring a PostgreSQL database to the schema that a deploy needs.",
        epilog=_EXAMPLES,
        formatter_class=VerbatimHelp,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lockgate {__version__}")
    commands: Any = parser.add_subparsers(metavar="COMMAND", required=True, prog=parser.prog)
    for name in [typed] if typed in _BUILDERS else _BUILDERS:
        _BUILDERS[name](commands)
    return parser


def _add_up(commands: Any) -> None:
    up = _add_action(commands, Action.UP, "apply pending migrations")
    _add_target(up, "stop at this version")
    _add_first_run(up)
    up.add_argument("--reason", metavar="TEXT", help="reason, recorded with the run")
    _add_requester(up)


def _add_plan(commands: Any) -> None:
    plan = _add_action(commands, Action.PLAN, "show what up would do; change nothing")
    plan.add_argument("--down", action="store_true", dest="is_down", help="show what down would do")
    _add_target(plan, "stop at this version")
    _add_steps(plan)
    _add_first_run(plan)


def _add_status(commands: Any) -> None:
    _add_action(commands, Action.STATUS, "show the database's version and what is pending")


def _add_check(commands: Any) -> None:
    check = _add_command(commands, "check", "check the files, without a database")
    check.set_defaults(run="check")
    rules = check.add_argument_group("how to read and run the files")
    _add_file_rules(rules)
    _add_output(check, "result")


def _add_validate(commands: Any) -> None:
    validate = _add_action(commands, Action.VALIDATE, "compare files and database")
    _add_first_run(validate)


def _add_history(commands: Any) -> None:
    history = _add_action(
        commands, Action.HISTORY, "list past runs, who started them, how they ended"
    )
    history.add_argument(
        "--limit", metavar="COUNT", type=read_count, help="number of runs (default: 20)"
    )


def _add_down(commands: Any) -> None:
    down = _add_action(commands, Action.DOWN, "undo applied migrations with their down scripts")
    _add_target(down, "undo everything above this version; 0 undoes all")
    _add_steps(down)
    _add_data_loss(down)
    _add_required_reason(down)


def _add_redo(commands: Any) -> None:
    redo = _add_action(commands, Action.DOWN, "undo the last migration and apply it again", "redo")
    redo.set_defaults(run="redo", steps=1, reason="redo")
    redo.add_argument("--steps", metavar="COUNT", type=read_count, help="how many (default: 1)")
    _add_data_loss(redo)
    _add_requester(redo)


def _add_baseline(commands: Any) -> None:
    baseline = _add_action(commands, Action.BASELINE, "record what an existing database contains")
    _add_target(baseline, "the last version that it contains")
    _add_dry_run(baseline)
    _add_required_reason(baseline)


def _add_adopt(commands: Any) -> None:
    adopt = _add_action(commands, Action.ADOPT, "take over the history of another tool")
    adopt.add_argument(
        "--from", metavar="TOOL", dest="source", choices=list_tools(), help=", ".join(list_tools())
    )
    adopt.add_argument(
        "--table", metavar="NAME", help="its history table, if there are several candidates"
    )
    _add_dry_run(adopt)
    _add_required_reason(adopt)


def _add_unlock(commands: Any) -> None:
    unlock = _add_action(commands, Action.UNLOCK, "end a run and release its lock")
    _add_required_reason(unlock)


def _add_target(command: argparse.ArgumentParser, purpose: str) -> None:
    command.add_argument("--target", metavar="VERSION", help=purpose)


def _add_steps(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--steps", metavar="COUNT", type=read_count, help="undo this many migrations"
    )


def _add_first_run(command: Any) -> None:
    command.add_argument("--first-run", metavar="CHOICE", type=read_first_run, help=_FIRST_RUN)


def _add_data_loss(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--allow-data-loss", action="store_true", help="run even if this deletes rows"
    )


def _add_dry_run(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--dry-run", action="store_true", help="show the changes without making them"
    )


def _add_required_reason(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--reason",
        metavar="TEXT",
        required=True,
        type=read_reason,
        help="reason, recorded with the run",
    )
    _add_requester(command)


def _add_requester(command: Any) -> None:
    command.add_argument(
        "--requested-by", metavar="NAME", help="who asked for it (default: the OS user)"
    )


def _add_repair(commands: Any) -> None:
    repair = _add_action(commands, Action.REPAIR, "fix one row of the history")
    change = repair.add_mutually_exclusive_group(required=True)
    change.add_argument(
        "--accept", metavar="VERSION", help="accept its edited file: store the new checksums"
    )
    change.add_argument("--forget", metavar="VERSION", help="delete its row; it becomes pending")
    change.add_argument("--mark", metavar="VERSION", help="record it as applied without running it")
    repair.add_argument(
        "--apply",
        action="store_false",
        dest="dry_run",
        help="make the change (default: only show it)",
    )
    _add_required_reason(repair)


def _add_command(commands: Any, name: str, purpose: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        formatter_class=Help,
        allow_abbrev=False,
    )
    command.set_defaults(parser=command)
    command.add_argument(
        "--dir", metavar="DIR", help="folder of the migrations (default: migrations)"
    )
    command.add_argument("--no-color", action="store_true", help="plain text, also on a terminal")
    command.add_argument(
        "--debug", action="store_true", help="show the traceback of an unexpected failure"
    )
    return command


def _add_action(
    commands: Any, action: Action, purpose: str, name: str | None = None
) -> argparse.ArgumentParser:
    command = _add_command(commands, name or action.value, purpose)
    command.set_defaults(run="engine", action=action, requested_by=None)
    database = command.add_argument_group("which database").add_mutually_exclusive_group()
    database.add_argument(
        "--database-url", metavar="URL", help="postgresql://user:password@host/db"
    )
    database.add_argument("--secret", metavar="ARN", help="ARN or name of its secret in AWS")
    database.add_argument(
        "--local", action="store_true", help="this folder's own PostgreSQL, in .lockgate"
    )
    rules = command.add_argument_group("how to run")
    rules.add_argument(
        "--ca-file", metavar="PEM", help="additional certificate authorities to trust"
    )
    rules.add_argument("--schema", metavar="NAME", help="schema of Lockgate's own tables")
    rules.add_argument("--set-role", metavar="ROLE", help="role to act as")
    rules.add_argument("--out-of-order", metavar="POLICY", help=", ".join(OutOfOrder))
    rules.add_argument("--rollback", metavar="LEVEL", help=", ".join(Rollback))
    _add_file_rules(rules)
    rules.add_argument(
        "--lock-wait", metavar="TIME", help="how long to wait for another run, such as 30s"
    )
    rules.add_argument(
        "--connect-budget", metavar="TIME", help="how long to wait for the database (default: 10s)"
    )
    rules.add_argument(
        "--lock-timeout", metavar="TIME", help="how long to wait for table locks, such as 5s"
    )
    _add_output(command)
    return command


def _add_file_rules(rules: Any) -> None:
    rules.add_argument("--atomicity", metavar="MODE", help=", ".join(Atomicity))
    rules.add_argument(
        "--format", metavar="TOOL", help="the tool whose migration files these are, or auto"
    )


def _add_output(command: argparse.ArgumentParser, what: str = "report") -> None:
    output = command.add_argument_group("output")
    output.add_argument("--json", action="store_true", help=f"print the {what} as JSON")
    output.add_argument(
        "--quiet", action="store_true", help="show no progress, and one line on success"
    )


def _add_invoke(commands: Any) -> None:
    invoke = _add_command(
        commands, "invoke", "run an action in a deployed function and wait for its result"
    )
    invoke.set_defaults(run="invoke")
    invoke.add_argument(
        "function", metavar="FUNCTION", help="name or ARN, with or without an alias"
    )
    invoke.add_argument(
        "--action", choices=[str(action) for action in Action], default="up", help="default: up"
    )
    aws = invoke.add_argument_group("which account and region")
    aws.add_argument("--region", metavar="REGION", help="default: the ARN's, or the environment's")
    aws.add_argument("--profile", metavar="NAME", help="profile of the AWS configuration")
    command = invoke.add_argument_group("the command")
    command.add_argument(
        "--target", metavar="VERSION", help="the last version to apply, or to keep"
    )
    command.add_argument(
        "--steps", metavar="COUNT", type=read_count, help="undo this many migrations"
    )
    command.add_argument(
        "--down", action="store_true", dest="is_down", help="with plan: show what down would do"
    )
    command.add_argument(
        "--allow-data-loss", action="store_true", default=None, help="run even if this deletes rows"
    )
    command.add_argument("--first-run", metavar="CHOICE", type=read_first_run, help=_FIRST_RUN)
    change = command.add_mutually_exclusive_group()
    for name in ("accept", "forget", "mark"):
        change.add_argument(
            f"--{name}", metavar="VERSION", help=f"with repair: the version to {name}"
        )
    command.add_argument(
        "--from",
        metavar="TOOL",
        dest="source",
        choices=list_tools(),
        help="with adopt: the other tool",
    )
    command.add_argument("--table", metavar="NAME", help="with adopt: that tool's history table")
    shown = command.add_mutually_exclusive_group()
    shown.add_argument(
        "--dry-run", action="store_true", default=None, help="show the changes without making them"
    )
    shown.add_argument(
        "--apply",
        action="store_false",
        dest="dry_run",
        default=None,
        help="with repair: make the change",
    )
    command.add_argument(
        "--limit", metavar="COUNT", type=read_count, help="with history: number of runs"
    )
    command.add_argument("--reason", metavar="TEXT", help="reason, recorded with the run")
    command.add_argument(
        "--requested-by", metavar="NAME", help="who asked for it (default: the OS user)"
    )
    command.add_argument(
        "--execution", metavar="ID", help="id of a CI job or the like, recorded with the run"
    )
    _add_output(invoke)


def _add_new(commands: Any) -> None:
    new = _add_command(commands, "new", "write a new migration file")
    new.set_defaults(run="new")
    new.add_argument("name", metavar="NAME", help="what it does, such as add_email_to_customers")
    kind = new.add_mutually_exclusive_group()
    kind.add_argument("--repeatable", action="store_true", help="runs again when it changes")
    kind.add_argument("--python", action="store_true", help="for changes that SQL cannot express")


def _add_demo(commands: Any) -> None:
    purpose = "show a deploy, a failure and its rollback on an embedded PostgreSQL"
    _add_command(commands, "demo", purpose).set_defaults(run="demo")


_BUILDERS: dict[str, Callable[[Any], None]] = {
    "up": _add_up,
    "plan": _add_plan,
    "status": _add_status,
    "check": _add_check,
    "validate": _add_validate,
    "history": _add_history,
    "down": _add_down,
    "redo": _add_redo,
    "baseline": _add_baseline,
    "adopt": _add_adopt,
    "repair": _add_repair,
    "unlock": _add_unlock,
    "invoke": _add_invoke,
    "new": _add_new,
    "demo": _add_demo,
}
