"""Findings of cdk-nag's AwsSolutions rules for the construct."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("aws_cdk", reason="the CDK is not installed here; `make infra` installs it")
cdk_nag = pytest.importorskip("cdk_nag", reason="cdk-nag is not installed; `make infra` does it")

from aws_cdk import Validations
from tests.support.cdk_stack import NAME, make_shop

from lockgate_cdk import DatabaseMigrations, Endpoint, database_migrations, endpoints, functions
from lockgate_cdk.findings import ANSWERS, BACK_UP, ENDPOINT, FUNCTION, REACH_DATABASE

if TYPE_CHECKING:
    from pathlib import Path

ACCEPTED = {
    **BACK_UP,
    **ENDPOINT,
    **FUNCTION,
    **REACH_DATABASE,
    **ANSWERS["answer-codepipeline"],
    **ANSWERS["answer-codedeploy"],
}


def find_rules(tmp_path: Path) -> set[str]:
    """Return the rules that the construct breaks with all its options."""
    migrations = tmp_path / "migrations"
    migrations.mkdir()
    shop = make_shop(outdir=str(tmp_path / "cdk.out"))
    Validations.of(shop.app).add_plugins(cdk_nag.AwsSolutionsChecks(shop.app))
    DatabaseMigrations(
        shop.stack,
        NAME,
        vpc=shop.vpc,
        cluster=shop.cluster,
        migrations=migrations,
        endpoints=Endpoint,
        backup="snapshot",
        with_codepipeline=True,
        with_codedeploy=True,
    )
    # The test's network and database break rules of their own.
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        shop.app.synth()
    report = json.loads((tmp_path / "cdk.out/validation-report.json").read_text())
    return {
        violation["ruleName"]
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
        if construct["constructPath"].startswith(f"Shop/{NAME}/")
    }


def test_every_finding_is_accepted_with_a_reason(tmp_path: Path) -> None:
    """Every finding for the construct is accepted with a reason."""
    assert set() == find_rules(tmp_path)
    assert all(len(reason) > 30 for reason in ACCEPTED.values())


def test_every_accepted_finding_would_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every accepted finding still occurs."""
    for module in (database_migrations, endpoints, functions):
        monkeypatch.setattr(module, "accept_findings", lambda *_: None)

    assert set(ACCEPTED) == find_rules(tmp_path)
