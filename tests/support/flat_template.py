"""CloudFormation resources as plain values, for comparing two templates.

References become text: ``{"Fn::GetAtt": ["Migrate", "Arn"]}`` becomes ``<Migrate.Arn>``, a parameter
becomes its value, and a pseudo parameter its value in `cfn_template`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.cfn_template import PSEUDO_PARAMETERS, read_template, resolve, substitute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
NETWORK = {"SubnetIds": "subnet-1,subnet-2", "SecurityGroupIds": "sg-00000001"}


def flatten(value: Any, known: Mapping[str, Any], name: Callable[[str], str] = str) -> Any:
    """Return a value without references. ``known`` are parameters, ``name`` gives a resource's name."""
    if isinstance(value, list):
        return [flatten(item, known, name) for item in value]
    if not isinstance(value, dict):
        return value
    referred = _read_reference(value, known, name)
    if referred is not None:
        return referred
    return {key: flatten(item, known, name) for key, item in value.items()}


def _read_reference(
    value: dict[str, Any], known: Mapping[str, Any], name: Callable[[str], str]
) -> Any:
    """Return the text of a reference, or ``None`` if the value is not a reference."""
    match value:
        case {"Ref": str(target)}:
            return {**PSEUDO_PARAMETERS, **known}.get(target, f"<{name(target)}>")
        case {"Fn::GetAtt": [str(target), str(attribute)]}:
            return f"<{name(target)}.{attribute}>"
        case {"Fn::Join": [str(separator), list(parts)]}:
            return separator.join(str(part) for part in flatten(parts, known, name))
        case {"Fn::Sub": text}:
            return substitute(text, _Names(known))
    return None


def make_by_template(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flat resources of template.yaml, with the global function settings in each function."""
    template = read_template(TEMPLATE)
    resolved = resolve(template, {**NETWORK, **parameters})
    assert [] == resolved.broken_rules
    defaults = {name: one.get("Default") for name, one in template["Parameters"].items()}
    known = {**defaults, **NETWORK, **parameters}
    common = resolve({**template, "Resources": template["Globals"]}, {**NETWORK, **parameters})
    functions = flatten(common.resources["Function"], known)
    made = flatten(resolved.resources, known)
    for one in made.values():
        if one["Type"] == "AWS::Serverless::Function":
            variables = functions["Environment"]["Variables"]
            own = one["Properties"].pop("Environment")["Variables"]
            one["Properties"] |= {**functions, "Environment": {"Variables": variables | own}}
    return dict(made)


def list_statements(role: str, resources: Mapping[str, Any]) -> list[str]:
    """Return the statements of a role's policies as sorted JSON."""
    return sorted(
        json.dumps(_normalise(statement), sort_keys=True)
        for document in _list_documents(role, resources)
        for statement in document["Statement"]
    )


def _list_documents(role: str, resources: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    own = resources[role]["Properties"]
    yield from (policy["PolicyDocument"] for policy in own.get("Policies", ()))
    for managed in own["ManagedPolicyArns"]:
        yield resources[managed.strip("<>")]["Properties"]["PolicyDocument"]
    for one in resources.values():
        properties = one.get("Properties", {})
        attached = [properties.get("RoleName"), *properties.get("Roles", ())]
        if f"<{role}>" in attached:
            yield properties["PolicyDocument"]


def _normalise(statement: Mapping[str, Any]) -> dict[str, Any]:
    """Return a statement with actions and resources as sorted lists."""
    listed = {key: sorted(_as_list(statement[key])) for key in ("Action", "Resource")}
    return {**statement, **listed}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class _Names(dict[str, str]):
    """The values for ``${…}``: pseudo parameters, parameters, and resources as they are shown."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__({**PSEUDO_PARAMETERS, **known})

    def __missing__(self, name: str) -> str:
        return f"<{name}>"
