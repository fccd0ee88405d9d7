"""The state after a failed run: decided from facts, worded in one place."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

import lockgate
from lockgate.core.request import Action
from lockgate.core.state_after import (
    NOT_BEGUN,
    Evidence,
    RunFacts,
    StateAfter,
    describe_briefly,
    describe_state,
    find_state,
    make_unknown,
)

HANDLER = Path(lockgate.__file__).parent
RENDERER = HANDLER / "core/state_after.py"
SENT = RunFacts(has_tried=True, has_lock=True, has_sent=True)
# A sentence that claims a state, in any wording.
CLAIM = re.compile(
    r"[Nn]othing (more |of it )?(was|is|has been) (changed|run|done|written|undone|applied|lost)"
    r"|(was|were|is|are) (all )?rolled back|(is|are) as (it|they) (was|were)"
    r"|still there[.:]|(it did|holds now|outcome) is not known|is in the database; the rest"
)
# Sentences about something other than a failed run's work.
ELSEWHERE = {
    "the transaction had failed and was rolled back": "what the server answered to a script's COMMIT",
    "Nothing was done.": "CodePipeline's summary of a success",
    "Nothing was applied, and no lock was taken.": "a check of the demo",
}


@pytest.mark.parametrize(
    ("facts", "state", "evidence", "sentence"),
    [
        (RunFacts(), "unchanged", "not_begun", "Nothing was changed."),
        (RunFacts(is_in_doubt=True), "unchanged", "not_begun", "Nothing was changed."),
        (RunFacts(has_tried=True), "unchanged", "no_lock", "No migration was run."),
        (
            RunFacts(has_tried=True, has_lock=True, is_in_doubt=True),
            "unchanged",
            "nothing_sent",
            "No migration was run.",
        ),
        (
            replace(SENT, is_in_doubt=True, kept=("1",)),
            "unknown",
            "none",
            "The state of the database is unknown: the connection was lost while the run worked.",
        ),
        (
            replace(SENT, has_failed_step=True),
            "rolled_back",
            "answer",
            "It was rolled back; the schema is as it was.",
        ),
        (
            replace(SENT, was_read=True),
            "rolled_back",
            "history",
            "What this run did was rolled back; the schema is as it was.",
        ),
        (
            replace(SENT, has_failed_step=True, undone_own=("1", "2")),
            "rolled_back",
            "answer",
            "It was rolled back, and so was what this run had applied before it: 1, 2.",
        ),
        (
            replace(SENT, has_failed_step=True, kept=("1",)),
            "kept",
            "answer",
            "The failed migration was rolled back. Applied before it by this run, and still there: 1.",
        ),
        (
            replace(SENT, kept=("1",)),
            "kept",
            "answer",
            "Applied by this run, and still there: 1.",
        ),
        (
            replace(SENT, has_failed_step=True, undone_others=("9",)),
            "kept",
            "answer",
            "The failed migration was rolled back. Undone by this run: 9.",
        ),
        (
            replace(SENT, has_failed_step=True, in_part="2", kept=("1",)),
            "partly_applied",
            "answer",
            (
                "Migration 2 runs outside a transaction: what was done before the failure stays, and the"
                " next run resumes after that or says why it cannot. Applied before it by this run, and"
                " still there: 1."
            ),
        ),
        (
            replace(SENT, in_part="2", is_outcome_unknown=True),
            "partly_applied",
            "answer",
            "Migration 2 runs outside a transaction: what was done before the failure stays.",
        ),
        (
            replace(SENT, in_part="2", action=Action.DOWN),
            "partly_applied",
            "answer",
            (
                "The down script of migration 2 runs outside a transaction: what was done before"
                " the failure stays, and the next run resumes after that or says why it cannot."
            ),
        ),
        (
            RunFacts(has_tried=True, action=Action.DOWN),
            "unchanged",
            "no_lock",
            "No migration was undone.",
        ),
        (
            RunFacts(has_tried=True, has_lock=True, action=Action.REPAIR),
            "unchanged",
            "nothing_sent",
            "The history is as it was.",
        ),
        (
            replace(SENT, action=Action.BASELINE),
            "rolled_back",
            "answer",
            "What this run wrote was rolled back; the history is as it was.",
        ),
        (
            replace(SENT, action=Action.REPAIR, was_read=True, has_amended=True),
            "kept",
            "history",
            "What this run wrote to the history stays.",
        ),
        (
            RunFacts(has_tried=True, has_lock=True, stub="public.knex_migrations"),
            "partly_applied",
            "answer",
            (
                "What this run did was rolled back, but the empty table public.knex_migrations, which"
                " this run made for the migrations, may still be there."
            ),
        ),
        (
            replace(SENT, has_failed_step=True, stub="goose", undone_own=("1",)),
            "partly_applied",
            "answer",
            (
                "It was rolled back, but the empty table goose, which this run made for the migrations,"
                " may still be there. Undone by this run: 1."
            ),
        ),
        (
            replace(SENT, kept=("1",), stub="goose"),
            "kept",
            "answer",
            "Applied by this run, and still there: 1.",
        ),
        (
            replace(SENT, in_part="2", has_committed=True),
            "partly_applied",
            "answer",
            "What it committed itself stays; check what that is before you continue.",
        ),
    ],
)
def test_state_follows_from_what_the_run_knows(
    facts: RunFacts, state: str, evidence: str, sentence: str
) -> None:
    """The state follows from the facts, and the sentence from the state."""
    claim = find_state(facts)
    assert (state, evidence, sentence) == (claim.state, claim.evidence, describe_state(claim))


def test_state_of_a_request_that_never_began_is_unchanged() -> None:
    """Without a connection, the state is unchanged."""
    assert (StateAfter.UNCHANGED, Evidence.NOT_BEGUN) == (NOT_BEGUN.state, NOT_BEGUN.evidence)


def test_unknown_state_names_its_reason() -> None:
    """The sentence about an unknown state gives the reason."""
    claim = make_unknown("nobody looked")
    assert "The state of the database is unknown: nobody looked." == describe_state(claim)


def test_every_state_has_a_sentence_and_a_short_form() -> None:
    """Every state has a sentence, and a short form unless nothing needs saying."""
    brief = {state: describe_briefly(state) for state in StateAfter}
    assert {StateAfter.ROLLED_BACK, StateAfter.KEPT} == {s for s, text in brief.items() if not text}


def list_texts(file: Path) -> list[str]:
    """Return all strings of a module except docstrings; of an f-string, its fixed parts joined."""
    tree = ast.parse(file.read_text("utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
            texts.append("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts += [] if id(node) in docstrings else [node.value]
    return texts


def test_no_place_but_the_renderer_words_a_state() -> None:
    """Only the renderer writes sentences about the state of the database."""
    found = {
        (str(file.relative_to(HANDLER)), text)
        for file in HANDLER.rglob("*.py")
        if file != RENDERER
        for text in list_texts(file)
        if CLAIM.search(text) and text not in ELSEWHERE
    }
    assert set() == found
