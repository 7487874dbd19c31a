"""Records: dataclasses whose making costs next to nothing, for programs that make dozens of them at every start.

The standard library writes the methods of each class as source text and compiles it, and imports `inspect` for that:
a third to a half of such a start. Here all classes share their methods. Type checkers see the standard library's
names; `dataclasses.fields`, `replace` and `asdict` take these records as they take their own. busnode has
the same file by a link, for the packages do not import each other.
"""

# ruff: noqa: ARG001 - methods take what the language hands them; `slots` is there for the type checker

from __future__ import annotations

# typing's import would cost as much as several records; type checkers know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass, field, fields, is_dataclass, replace
else:
    _put = object.__setattr__

    class _Factory:
        """A default that is made anew for every record."""

        __slots__ = ("make",)

        def __init__(self, make):
            self.make = make

    class _Field:
        """What `fields` says of one field."""

        __slots__ = ("name",)

        def __init__(self, name):
            self.name = name

    class _Standard:
        """What the standard library knows of its own classes, made when it asks for it."""

        def __get__(self, record, owner):
            import dataclasses  # noqa: PLC0415 - what all of this module is there to avoid

            body = {"__annotations__": owner.__annotations__, "__module__": owner.__module__}
            for name, value in owner.__record_defaults__.items():
                body[name] = dataclasses.field(default_factory=value.make) if type(value) is _Factory else value
            described = dataclasses.dataclass(type(owner.__name__, (), body), **owner.__record_options__)
            owner.__dataclass_fields__ = described.__dataclass_fields__
            owner.__dataclass_params__ = described.__dataclass_params__
            return getattr(described, self.name)

        def __set_name__(self, owner, name):
            self.name = name

    def field(*, default_factory):
        """A field whose default is made anew for every record."""
        return _Factory(default_factory)

    def fields(record):
        """The fields of a record, or of its class, in their order; each has its `name`."""
        of = record if isinstance(record, type) else type(record)
        known = of.__dict__.get("__record_fields__")
        if known is not None:
            return known
        import dataclasses  # noqa: PLC0415 - a class of somebody else's

        return dataclasses.fields(record)

    def is_dataclass(value):
        """Whether `value` is a record or a record's class, this module's or the standard library's."""
        of = value if isinstance(value, type) else type(value)
        return hasattr(of, "__record_fields__") or hasattr(of, "__dataclass_fields__")

    def replace(record, /, **changes):
        """A copy of `record` with other values in the fields that are named."""
        return type(record)(**{f.name: getattr(record, f.name) for f in fields(record)} | changes)

    def dataclass(*, frozen=False, slots=False, kw_only=False):
        """Make a record of a class, as `dataclasses.dataclass` does; there are always slots."""
        return lambda cls: _made(cls, frozen, kw_only)

    def _made(cls, frozen, kw_only):
        names = tuple(cls.__dict__.get("__annotations__", ()))  # noqa: RUF063 - inspect costs what is saved here
        defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
        left_out = {*names, "__dict__", "__weakref__"}
        body = {name: value for name, value in cls.__dict__.items() if name not in left_out}
        body.update(
            __slots__=names,
            __match_args__=() if kw_only else names,
            __record_fields__=tuple(map(_Field, names)),
            __record_defaults__=defaults,
            __record_options__={"frozen": frozen, "kw_only": kw_only},
            __dataclass_fields__=_Standard(),
            __dataclass_params__=_Standard(),
            __init__=_initialiser(cls.__name__, names, defaults, kw_only),
            __eq__=_equal,
            __hash__=_hash if frozen else None,
            __getstate__=_values,
            __setstate__=_set_values,
        )
        body.setdefault("__repr__", _repr)
        if frozen:
            body.update(__setattr__=_refuse_to_set, __delattr__=_refuse_to_delete)
        return type(cls)(cls.__name__, cls.__bases__, body)

    def _initialiser(of, names, defaults, kw_only):
        def __init__(self, *values, **named):  # noqa: N807 - it becomes the record's own
            if values:
                if kw_only or len(values) > len(names):
                    raise TypeError(
                        f"{of} takes {0 if kw_only else len(names)} values without a name, not {len(values)}"
                    )
                for name, value in zip(names, values, strict=False):
                    _put(self, name, value)
            for name in names[len(values) :]:
                if name in named:
                    _put(self, name, named.pop(name))
                elif name in defaults:
                    default = defaults[name]
                    _put(self, name, default.make() if type(default) is _Factory else default)
                else:
                    raise TypeError(f"{of} needs a value for {name}")
            if named:
                raise TypeError(f"{of} cannot take {', '.join(named)}")

        return __init__

    def _values(self):
        return [getattr(self, name) for name in self.__slots__]

    def _set_values(self, values):
        for name, value in zip(self.__slots__, values, strict=True):
            _put(self, name, value)

    def _equal(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def _hash(self):
        return hash(tuple(_values(self)))

    def _repr(self):
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__qualname__}({shown})"

    def _refuse_to_set(self, name, _value):
        from dataclasses import FrozenInstanceError  # noqa: PLC0415 - it means a bug

        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def _refuse_to_delete(self, name):
        from dataclasses import FrozenInstanceError  # noqa: PLC0415 - it means a bug

        raise FrozenInstanceError(f"cannot delete field {name!r}")


__all__ = ["dataclass", "field", "fields", "is_dataclass", "replace"]
