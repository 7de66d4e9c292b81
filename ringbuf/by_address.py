"""Shell: what a `State` is in compiled code: the address of its arrays' addresses.

numba passes a named tuple by its leaves, seven words an array: the state of a market is two
hundred words that every call pushes. A State is two words an array (first byte, number of items)
that lie on the stack of the first kernel, and one word for each kernel that it calls. Nobody
changes them while a kernel runs, and LLVM is told so: what it has loaded once, it need not load
again after a store.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import NativeValue, register_model, typeof_impl, unbox
from numba.np import arrayobj

from ringbuf.state import State

_WORD = ir.IntType(64)


class ByAddress(types.Type):  # type: ignore[misc]
    """numba's type of such a tuple: its class, and the types of its fields."""

    def __init__(self, state: type, fields: tuple[Any, ...]) -> None:
        self.state = state
        self.fields = fields
        self.names: tuple[str, ...] = state._fields  # type: ignore[attr-defined]
        super().__init__(f"{state.__name__}({', '.join(str(each) for each in fields)})")

    @property
    def key(self) -> Any:
        """What makes two of them equal."""
        return self.state, self.fields

    def place(self, number: int) -> int:
        """Words before field `number`; behind the last field: words in all."""
        return sum(2 if isinstance(each, types.Array) else 1 for each in self.fields[:number])


@typeof_impl.register(State)
def _type_of(value: Any, context: Any) -> ByAddress:
    fields = tuple(typeof_impl(each, context) for each in value)
    for name, kind in zip(value._fields, fields, strict=True):
        plain = isinstance(kind, types.Array) and (kind.ndim, kind.layout) == (1, "C")
        if not plain and not isinstance(kind, ByAddress) and kind != types.int64:
            raise TypeError(f"{type(value).__name__}.{name}: {kind} cannot be passed by address")
    return ByAddress(type(value), fields)


@register_model(ByAddress)
class _Address(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: ByAddress) -> None:
        super().__init__(manager, kind, _WORD.as_pointer())


@infer_getattr
class _Fields(AttributeTemplate):  # type: ignore[misc]
    key = ByAddress

    def generic_resolve(self, kind: ByAddress, name: str) -> Any:
        return kind.fields[kind.names.index(name)] if name in kind.names else None


@lower_getattr_generic(ByAddress)
def _load_field(context: Any, builder: Any, kind: ByAddress, address: Any, name: str) -> Any:
    number = kind.names.index(name)
    field = kind.fields[number]

    def load(place: int, of_type: Any) -> Any:
        pointer = builder.gep(address, [_WORD(place)])
        found = builder.load(builder.bitcast(pointer, of_type.as_pointer()))
        found.set_metadata("invariant.load", builder.module.add_metadata([]))
        return found

    place = kind.place(number)
    if not isinstance(field, types.Array):
        return load(place, context.get_value_type(field))
    array = arrayobj.make_array(field)(context, builder)
    size = field.dtype.size if isinstance(field.dtype, types.Record) else field.dtype.bitwidth // 8
    arrayobj.populate_array(
        array,
        data=load(place, array.data.type),
        shape=[load(place + 1, _WORD)],
        strides=[_WORD(size)],
        itemsize=_WORD(size),
        meminfo=None,
    )
    return array._getvalue()


@unbox(ByAddress)
def _unbox(kind: ByAddress, value: Any, c: Any) -> NativeValue:
    """Write the words; they live as long as the call that Python made."""
    builder = c.builder
    words = cgutils.alloca_once(builder, ir.ArrayType(_WORD, kind.place(len(kind.fields))))
    address = builder.bitcast(words, _WORD.as_pointer())
    is_error = cgutils.false_bit
    for number, field in enumerate(kind.fields):
        native = c.unbox(field, c.pyapi.tuple_getitem(value, number))
        is_error = builder.or_(is_error, native.is_error)
        place = builder.gep(address, [_WORD(kind.place(number))])
        content = native.value
        if isinstance(field, types.Array):
            array = arrayobj.make_array(field)(c.context, builder, native.value)
            builder.store(array.nitems, builder.gep(place, [_WORD(1)]))
            content = array.data
        builder.store(content, builder.bitcast(place, content.type.as_pointer()))
    return NativeValue(address, is_error=is_error)
