"""A `dataclass` decorator that compiles nothing when a class is defined.

The standard library generates and compiles six methods of each class, and byte code files do not
contain them. This decorator compiles only ``__init__``, and only when the first value of a class is
created, which for most classes never happens in one run. Fields, slots, `dataclasses.fields` and
`dataclasses.replace` are the standard library's. ``docs/cold-start.md`` has the gain.
"""

from __future__ import annotations

import dataclasses
import operator
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass
else:

    def dataclass(
        *, slots: bool, frozen: bool = False, order: bool = False
    ) -> Callable[[type], type]:
        """Make a class a dataclass; other options of `dataclasses.dataclass` are not supported."""

        def make(plain: type) -> type:
            # Without a docstring, the standard library computes a signature, in 5 ms.
            plain.__doc__ = plain.__doc__ or plain.__name__
            cls = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(plain)
            for field in dataclasses.fields(cls):
                if field.kw_only or field.hash is not None:
                    raise TypeError(
                        f"{cls.__name__}.{field.name}: kw_only and hash are not supported"
                    )
            # Python sets the hash of a class that defines __eq__ to None; that one is not the
            # class's own.
            own = {name for name, found in vars(plain).items() if found is not None}
            shared = {
                "__init__": _make_first_init(cls),
                **_make_comparison(cls, frozen=frozen, order=order),
            }
            shared |= {"__repr__": _represent, "__reduce__": _reduce}
            if frozen:
                shared |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
            for name, method in shared.items():
                if name not in own:
                    setattr(cls, name, method)
            return cls

        return make


def _make_first_init(cls: type) -> Callable[..., None]:
    def __init__(self: object, *args: Any, **kwargs: Any) -> None:
        init = _compile_init(cls)
        cls.__init__ = init  # type: ignore[misc]
        init(self, *args, **kwargs)

    return __init__


def _compile_init(cls: type) -> Callable[..., None]:
    """Return the method that sets each field through its slot."""
    names: dict[str, Any] = {}
    parameters: list[str] = []
    lines: list[str] = []
    for field in dataclasses.fields(cls):
        name = field.name
        has_default = field.default is not dataclasses.MISSING
        has_factory = field.default_factory is not dataclasses.MISSING
        if not (field.init or has_default or has_factory):
            continue
        # Names that no field can have.
        set_, default, make = (f"__{word}_{name}" for word in ("set", "default", "make"))
        names |= {set_: getattr(cls, name).__set__, default: field.default}
        names[make] = field.default_factory
        value = f"{make}()" if has_factory else default
        if field.init:
            parameters.append(f"{name}={default}" if has_default or has_factory else name)
            value = f"{value} if {name} is {default} else {name}" if has_factory else name
        lines.append(f" {set_}(self, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    source = f"def __init__(self, {', '.join(parameters)}):\n" + "\n".join(lines or [" pass"])
    exec(source, names)  # noqa: S102 - built only from field names, like the standard library
    init: Callable[..., None] = names["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _make_comparison(cls: type, *, frozen: bool, order: bool) -> dict[str, Any]:
    compared = [field.name for field in dataclasses.fields(cls) if field.compare]
    read = operator.attrgetter(*compared) if compared else _read_nothing

    def __eq__(self: object, other: object) -> Any:
        return read(self) == read(other) if self.__class__ is other.__class__ else NotImplemented

    def __hash__(self: object) -> int:
        return hash(read(self))

    ordering = {name: _make_order(read, name) for name in _ORDER} if order else {}
    return {"__eq__": __eq__, "__hash__": __hash__ if frozen else None, **ordering}


_ORDER = ("__lt__", "__le__", "__gt__", "__ge__")


def _make_order(read: Callable[[object], Any], name: str) -> Callable[[object, object], Any]:
    compare = getattr(operator, name)

    def ordered(self: object, other: object) -> Any:
        if self.__class__ is other.__class__:
            return compare(read(self), read(other))
        return NotImplemented

    return ordered


def _read_nothing(_value: object) -> tuple[()]:
    return ()


def _represent(self: Any) -> str:
    shown = (field.name for field in dataclasses.fields(self) if field.repr)
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
    return f"{self.__class__.__qualname__}({fields})"


def _reduce(self: Any) -> tuple[Any, ...]:
    """Return the function and the values with which copy and pickle make a copy."""
    fields = [field for field in dataclasses.fields(self) if hasattr(self, field.name)]
    return _restore, (self.__class__, {field.name: getattr(self, field.name) for field in fields})


def _restore(cls: type, values: dict[str, Any]) -> object:
    value: object = object.__new__(cls)
    for name, content in values.items():
        getattr(cls, name).__set__(value, content)
    return value


def _refuse_to_set(_self: object, name: str, _value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: object, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
