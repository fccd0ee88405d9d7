"""CloudFormation templates as values: resources for given parameters, and dependencies between them.

Supports parameters, rules, conditions and references; calls no service. References to what SAM
generates for a function (its version, alias and URL) are allowed as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NO_VALUE = "AWS::NoValue"
PSEUDO_PARAMETERS = {
    "AWS::AccountId": "111122223333",
    "AWS::NoValue": "",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/lockgate/1",
    "AWS::StackName": "lockgate",
    "AWS::URLSuffix": "amazonaws.com",
}
_PLACEHOLDER = re.compile(r"\$\{([^!][^}]*)\}")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A template for given parameters: resources, outputs, dangling references and broken rules."""

    resources: dict[str, Any]
    outputs: dict[str, Any]
    dangling: list[str]
    broken_rules: list[str]

    def find_needs(self, name: str) -> set[str]:
        """Return all direct and indirect dependencies of a resource."""
        found: set[str] = set()
        pending = [name]
        while pending:
            for needed in _list_needs(self.resources[pending.pop()]) & set(self.resources):
                if needed not in found:
                    found.add(needed)
                    pending.append(needed)
        return found


def read_template(path: Path) -> dict[str, Any]:
    """Return a template with its short forms expanded: ``!Ref X`` is ``{"Ref": "X"}``."""
    # S506: the loader is safe; it only adds tags.
    template: dict[str, Any] = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506
    return template


def resolve(template: Mapping[str, Any], given: Mapping[str, Any]) -> Resolved:
    """Resolve a template for the given parameters, with defaults for the others."""
    declared = template.get("Parameters", {})
    parameters = {name: given.get(name, one.get("Default")) for name, one in declared.items()}
    evaluate = _Evaluation(template, parameters)
    resources = evaluate.keep(template["Resources"])
    outputs = evaluate.keep(template.get("Outputs", {}))
    known = {*parameters, *resources, *_list_generated(resources), *PSEUDO_PARAMETERS}
    entries = [*resources.items(), *outputs.items()]
    used = [(name, need) for name, entry in entries for need in _list_needs(entry)]
    return Resolved(
        resources,
        outputs,
        dangling=sorted(f"{name} -> {need}" for name, need in used if need not in known),
        broken_rules=sorted(evaluate.list_broken_rules()),
    )


def substitute(text: Any, values: Mapping[str, str]) -> str:
    """Return the result of ``Fn::Sub``, with values by their names in the text."""
    template, own = (text, {}) if isinstance(text, str) else text
    inner = {name: substitute(value["Fn::Sub"], values) for name, value in own.items()}
    return _PLACEHOLDER.sub(
        lambda found: inner[found[1]] if found[1] in inner else values[found[1]], template
    )


@dataclass(frozen=True, slots=True)
class _Evaluation:
    template: Mapping[str, Any]
    parameters: Mapping[str, Any]

    def keep(self, section: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entries whose condition holds, without the parts that conditions remove."""
        return {
            name: self._prune(entry)
            for name, entry in section.items()
            if "Condition" not in entry or self.holds({"Condition": entry["Condition"]})
        }

    def list_broken_rules(self) -> Iterator[str]:
        """Yield the description of each assertion that fails."""
        for rule in self.template.get("Rules", {}).values():
            if "RuleCondition" not in rule or self.holds(rule["RuleCondition"]):
                for one in rule["Assertions"]:
                    if not self.holds(one["Assert"]):
                        yield one["AssertDescription"]

    def holds(self, condition: Any) -> bool:
        """Return whether a condition holds."""
        ((kind, argument),) = condition.items()
        match kind:
            case "Condition":
                return self.holds(self.template["Conditions"][argument])
            case "Fn::Not":
                return not self.holds(argument[0])
            case "Fn::And":
                return all(self.holds(one) for one in argument)
            case "Fn::Or":
                return any(self.holds(one) for one in argument)
            case "Fn::Equals":
                left, right = (self._value(one) for one in argument)
                return bool(left == right)
        raise AssertionError(f"{kind} is no condition that is known here.")

    def _value(self, value: Any) -> Any:
        return self.parameters[value["Ref"]] if isinstance(value, dict) else value

    def _prune(self, value: Any) -> Any:
        if isinstance(value, list):
            items = [self._prune(item) for item in value]
            return [item for item in items if not _is_nothing(item)]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Fn::If"}:
            condition, then, otherwise = value["Fn::If"]
            return self._prune(then if self.holds({"Condition": condition}) else otherwise)
        kept = {key: self._prune(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if not _is_nothing(item)}


def _list_generated(resources: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the resources that SAM generates for functions."""
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        if "FunctionUrlConfig" in properties:
            yield f"{name}Url"
        if "AutoPublishAlias" in properties:
            yield f"{name}Alias{properties['AutoPublishAlias']}"


def _is_nothing(value: Any) -> bool:
    return bool(value == {"Ref": NO_VALUE})


def _list_needs(value: Any) -> set[str]:
    """Return the names that an entry references or lists in DependsOn."""
    needs = set(_list_references(value))
    if isinstance(value, dict):
        named = value.get("DependsOn", [])
        needs |= {named} if isinstance(named, str) else set(named)
    return {need.partition(".")[0] for need in needs}


def _list_references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _list_references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Ref":
                yield item
            elif key == "Fn::GetAtt":
                yield item[0] if isinstance(item, list) else item
            elif key == "Fn::Sub":
                own = {} if isinstance(item, str) else item[1]
                text = item if isinstance(item, str) else item[0]
                yield from (name for name in _PLACEHOLDER.findall(text) if name not in own)
                yield from _list_references(own)
            else:
                yield from _list_references(item)


class _Loader(yaml.SafeLoader):
    """A loader that expands CloudFormation's short forms."""


def _read_tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        content: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        content = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        content = loader.construct_mapping(node, deep=True)
    if suffix in {"Ref", "Condition"}:
        return {suffix: content}
    if suffix == "GetAtt" and isinstance(content, str):
        content = content.split(".", maxsplit=1)
    return {f"Fn::{suffix}": content}


_Loader.add_multi_constructor("!", _read_tag)
