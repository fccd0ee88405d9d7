"""What can be typed after ``lockgate``. Knows options; carries nothing out."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any

from lockgate import __version__
from lockgate.core.policy import Atomicity, FirstRun, OutOfOrder, Rollback
from lockgate.core.request import Action
from lockgate.settings import TOOLS, read_environment
from lockgate.terminal.screen import read_width

if TYPE_CHECKING:
    from collections.abc import Sequence

# Options that are fields of a request, by the names that `callers.direct.make_request` knows.
REQUEST_OPTIONS = (
    "target",
    "steps",
    "is_down",
    "accept",
    "forget",
    "mark",
    "source",
    "first_run",
    "table",
    "dry_run",
    "allow_data_loss",
    "limit",
    "reason",
)

# What can be typed first.
COMMANDS = frozenset({*(action.value for action in Action), "redo", "new", "demo"})

_FIRST_RUN = "allow, or refuse, where the database has tables already"

# Of what is no terminal.
_WIDTH = 80

_EXAMPLES = """\
examples:
  lockgate new add_email              write migrations/20261122093000_….sql
  lockgate plan --local               what would run on this folder's PostgreSQL
  lockgate up --local                 run it there
  lockgate up --secret shop/database  run it on a database, by its secret in AWS
  lockgate status --json --database-url postgresql://user:password@host/shop
  lockgate invoke shop-Migrate        run it in a deployed function, to its end

Every LOCKGATE_ variable of the environment counts; options go before them.
exit status: 0 done, 1 failed, 2 refused, 3 another run is at work, 4 incomplete
"""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of one command; ends the process where they cannot be understood."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options, unknown = make_parser(given[0] if given else "").parse_known_args(given)
    if unknown:
        word = unknown[0].partition("=")[0]
        known = re.findall(r"--[a-z-]+", options.parser.format_usage())
        import difflib  # noqa: PLC0415 - for who has mistyped

        near = difflib.get_close_matches(word, known, n=1)
        advice = f"; did you mean {near[0]}?" if near else ""
        options.parser.error(f"{word} is not understood{advice}")
    for name, value in vars(options).items():
        if value == []:
            # argparse reads ``--option=--`` as an option that was given nothing.
            setattr(options, name, "--")
    return options


_MOST_DIGITS = 6


class _Help(argparse.HelpFormatter):
    """As wide as the terminal: argparse makes one for each option, and would import more to ask."""

    def __init__(self, prog: str) -> None:
        given = read_environment().get("COLUMNS", "")
        columns = (
            int(given)
            if given.isdecimal() and len(given) < _MOST_DIGITS and int(given)
            else read_width(sys.stdout)
        )
        super().__init__(prog, width=(columns or _WIDTH) - 2)


class _VerbatimHelp(_Help, argparse.RawDescriptionHelpFormatter):
    """Leaves the examples as they are."""


def make_parser(typed: str = "") -> argparse.ArgumentParser:
    """Return the parser of every command; of one alone if that is what was typed.

    Building all of them takes longer than looking into the database.
    """
    parser = argparse.ArgumentParser(
        prog="lockgate",
        description="Bring a PostgreSQL database to the schema that a deploy needs.",
        epilog=_EXAMPLES,
        formatter_class=_VerbatimHelp,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lockgate {__version__}")
    built: Any = parser.add_subparsers(metavar="COMMAND", required=True, prog=parser.prog)
    commands = _OnlyTyped(built, typed) if typed in COMMANDS else built
    _add_engine(commands)
    _add_invoke(commands)
    _add_new(commands)
    _add_demo(commands)
    return parser


class _OnlyTyped:
    """Builds the parser of one command, and for the others what takes their options and drops them."""

    def __init__(self, commands: Any, typed: str) -> None:
        self._commands, self._typed = commands, typed

    def add_parser(self, name: str, **options: Any) -> Any:
        return self._commands.add_parser(name, **options) if name == self._typed else _Nothing()


class _Nothing:
    """Has every attribute, which can be called with anything; each is nothing again."""

    def __getattr__(self, _name: str) -> _Nothing:
        return self

    def __call__(self, *_arguments: object, **_options: object) -> _Nothing:
        return self


def _add_engine(commands: Any) -> None:
    up = _add_action(commands, Action.UP, "apply what is pending")
    plan = _add_action(commands, Action.PLAN, "show what up would do; change nothing")
    plan.add_argument("--down", action="store_true", dest="is_down", help="what down would do")
    _add_action(commands, Action.STATUS, "show where the database stands")
    validate = _add_action(commands, Action.VALIDATE, "check files and database against each other")
    history = _add_action(commands, Action.HISTORY, "show who ran what, and how it ended")
    history.add_argument(
        "--limit", metavar="COUNT", type=_count, help="how many runs (default: 20)"
    )
    down = _add_action(commands, Action.DOWN, "undo applied migrations by their down scripts")
    redo = _add_action(commands, Action.DOWN, "undo the last migration and apply it again", "redo")
    redo.set_defaults(run="redo", steps=1, reason="redo")
    redo.add_argument("--steps", metavar="COUNT", type=_count, help="how many (default: 1)")
    baseline = _add_action(commands, Action.BASELINE, "say what an existing database holds already")
    adopt = _add_action(commands, Action.ADOPT, "take over the history of another tool")
    adopt.add_argument(
        "--from", metavar="TOOL", dest="source", choices=TOOLS, help=", ".join(TOOLS)
    )
    adopt.add_argument(
        "--table", metavar="NAME", help="its history table, where several tables could be it"
    )
    repair = _add_repair(commands)
    unlock = _add_action(commands, Action.UNLOCK, "take the lock from a run, and end it")
    for command, what in (
        (up, "go no further than this version"),
        (plan, "go no further than this version"),
        (down, "undo what is above this version; 0 undoes all"),
        (baseline, "the last version that is there already"),
    ):
        command.add_argument("--target", metavar="VERSION", help=what)
    for command in (plan, down):
        command.add_argument("--steps", metavar="COUNT", type=_count, help="undo so many")
    for command in (down, redo):
        command.add_argument(
            "--allow-data-loss", action="store_true", help="even where rows are dropped by it"
        )
    for command in (baseline, adopt):
        command.add_argument("--dry-run", action="store_true", help="show it, and change nothing")
    for command in (up, plan, validate):
        command.add_argument(
            "--first-run", metavar="CHOICE", type=FirstRun, choices=list(FirstRun), help=_FIRST_RUN
        )
    up.add_argument("--reason", metavar="TEXT", help="why; kept with the run")
    for command in (down, baseline, adopt, repair, unlock):
        command.add_argument(
            "--reason", metavar="TEXT", required=True, help="why; kept in the history"
        )
    for command in (up, down, redo, baseline, adopt, repair, unlock):
        command.add_argument(
            "--requested-by", metavar="NAME", help="who wants it (default: the OS user)"
        )


def _add_repair(commands: Any) -> argparse.ArgumentParser:
    repair = _add_action(commands, Action.REPAIR, "mend one row of the history")
    mend = repair.add_mutually_exclusive_group(required=True)
    mend.add_argument("--accept", metavar="VERSION", help="take the checksums of its edited file")
    mend.add_argument("--forget", metavar="VERSION", help="drop its row; it is pending again")
    mend.add_argument("--mark", metavar="VERSION", help="count it as applied, without a run of it")
    repair.add_argument(
        "--apply", action="store_false", dest="dry_run", help="do it (else it is only shown)"
    )
    return repair


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 1")
    return int(text)


def _add_command(commands: Any, name: str, purpose: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    command.set_defaults(parser=command)
    command.add_argument(
        "--dir", metavar="DIR", help="folder of the migrations (default: migrations)"
    )
    command.add_argument("--no-color", action="store_true", help="plain text on a terminal, too")
    command.add_argument("--debug", action="store_true", help="show where a defect showed itself")
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
        "--local", action="store_true", help="a PostgreSQL of this folder, kept in .lockgate"
    )
    rules = command.add_argument_group("how")
    rules.add_argument("--ca-file", metavar="PEM", help="further authorities to trust")
    rules.add_argument("--schema", metavar="NAME", help="schema of Lockgate's own tables")
    rules.add_argument("--set-role", metavar="ROLE", help="role to act as")
    rules.add_argument("--atomicity", metavar="MODE", help=", ".join(Atomicity))
    rules.add_argument("--out-of-order", metavar="POLICY", help=", ".join(OutOfOrder))
    rules.add_argument("--rollback", metavar="LEVEL", help=", ".join(Rollback))
    rules.add_argument("--format", metavar="TOOL", help="whose migrations these are, or auto")
    rules.add_argument("--lock-wait", metavar="TIME", help="for another run to end, such as 30s")
    rules.add_argument(
        "--connect-budget", metavar="TIME", help="for the database to wake up (default: 10s)"
    )
    rules.add_argument("--lock-timeout", metavar="TIME", help="for locks on tables, such as 5s")
    _add_output(command)
    return command


def _add_output(command: argparse.ArgumentParser) -> None:
    output = command.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="the report as one JSON value")
    output.add_argument("--quiet", action="store_true", help="no progress; a success in one line")


def _add_invoke(commands: Any) -> None:
    invoke = _add_command(commands, "invoke", "run in a deployed function, and wait for its end")
    invoke.set_defaults(run="invoke")
    invoke.add_argument(
        "function", metavar="FUNCTION", help="name or ARN, with an alias or without"
    )
    invoke.add_argument(
        "--action", choices=[str(action) for action in Action], default="up", help="default: up"
    )
    aws = invoke.add_argument_group("which account and region")
    aws.add_argument("--region", metavar="REGION", help="default: the ARN's, or the environment's")
    aws.add_argument("--profile", metavar="NAME", help="of the AWS configuration")
    command = invoke.add_argument_group("the command")
    command.add_argument(
        "--target", metavar="VERSION", help="the last version to apply, or to keep"
    )
    command.add_argument("--steps", metavar="COUNT", type=_count, help="undo so many")
    command.add_argument(
        "--down", action="store_true", dest="is_down", help="plan what down would do"
    )
    command.add_argument(
        "--allow-data-loss", action="store_true", default=None, help="even where rows are dropped"
    )
    command.add_argument(
        "--first-run", metavar="CHOICE", type=FirstRun, choices=list(FirstRun), help=_FIRST_RUN
    )
    mend = command.add_mutually_exclusive_group()
    for name in ("accept", "forget", "mark"):
        mend.add_argument(f"--{name}", metavar="VERSION", help="for a repair")
    command.add_argument(
        "--from", metavar="TOOL", dest="source", choices=TOOLS, help="for an adopt"
    )
    command.add_argument("--table", metavar="NAME", help="of that tool's history, for an adopt")
    shown = command.add_mutually_exclusive_group()
    shown.add_argument(
        "--dry-run", action="store_true", default=None, help="show it, and change nothing"
    )
    shown.add_argument(
        "--apply", action="store_false", dest="dry_run", default=None, help="do a repair"
    )
    command.add_argument(
        "--limit", metavar="COUNT", type=_count, help="how many runs of the history"
    )
    command.add_argument("--reason", metavar="TEXT", help="why; kept with the run")
    command.add_argument(
        "--requested-by", metavar="NAME", help="who wants it (default: the OS user)"
    )
    command.add_argument("--execution", metavar="ID", help="of the CI job, say; kept with the run")
    _add_output(invoke)


def _add_new(commands: Any) -> None:
    new = _add_command(commands, "new", "write a new migration file")
    new.set_defaults(run="new")
    new.add_argument("name", metavar="NAME", help="what it does, such as add_email_to_customers")
    kind = new.add_mutually_exclusive_group()
    kind.add_argument("--repeatable", action="store_true", help="runs again when it changes")
    kind.add_argument("--python", action="store_true", help="for data that SQL cannot change")


def _add_demo(commands: Any) -> None:
    purpose = "bring an embedded PostgreSQL through a deploy, a failure and its rollback"
    _add_command(commands, "demo", purpose).set_defaults(run="demo")
