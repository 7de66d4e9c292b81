"""Shell: a kernel's code for other kernels: LLVM's form of it, not yet machine code.

numba compiles whatever a kernel calls as if Python would call it too: unpacking of Python objects,
machine code, and another optimisation of everything below it, at every level of the call tree.
Here a callee is translated to LLVM's form once and kept (`InnerCode`); only the outermost kernel,
which Python calls, is linked with all that it needs, optimised as one, and made machine code
(`OuterCompiler`). docs/decisions/0020-kernels-are-linked-once.md has the figures.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from numba.core import caching, cgutils, compiler, itanium_mangler
from numba.core.codegen import JITCodeLibrary
from numba.core.registry import CPUDispatcher

# The callee saves what it uses, so the caller's code is made as if the call were not there.
COLD_CALL = "preserve_mostcc"


class Origin(NamedTuple):
    """Where a process finds the code of a callee: a kernel and its argument types."""

    module: str
    name: str
    arguments: tuple[Any, ...]


class InnerLibrary(JITCodeLibrary):  # type: ignore[misc]
    """The code of one kernel; what it calls stays apart until somebody links all of it."""

    origin: Origin
    symbol: str
    is_cold: bool
    _linking_libraries: list[Any]

    def add_ir_module(self, module: Any) -> None:
        """Code that is called leaves its caller's registers as they are, and is not inlined."""
        if self.is_cold:
            for function in module.functions:
                if not function.is_declaration:
                    function.attributes.add("noinline")
                    function.calling_convention = COLD_CALL
        super().add_ir_module(module)

    def add_linking_library(self, library: Any) -> None:
        """Remember a callee that is a kernel; anything else becomes part of this code."""
        self._linking_libraries.append(library)

    def callees(self) -> list[InnerLibrary]:
        """The kernels that this one calls itself, each once."""
        found = dict.fromkeys(self._linking_libraries)
        return [each for each in found if isinstance(each, InnerLibrary)]

    def finalize(self) -> None:
        """Only what is no kernel is linked; nothing is optimised further or made machine code."""
        self._raise_if_finalized()
        module = self._final_module
        for library in dict.fromkeys(self._linking_libraries):
            if not isinstance(library, InnerLibrary):
                module.link_in(library._get_module_for_linking(), preserve=True)
        for function in module.functions:
            if not function.is_declaration and function.name != self.symbol:
                function.linkage = "internal"  # numba's own names differ from process to process
        module.verify()
        self._finalized = True

    def to_bytes(self) -> bytes:
        """LLVM's bitcode."""
        self._ensure_finalized()
        return self._final_module.as_bitcode()  # type: ignore[no-any-return]

    def restore(self, code: bytes, callees: list[InnerLibrary]) -> None:
        """Become what `to_bytes` gave, in another process."""
        self._final_module = llvm.parse_bitcode(code)
        self._linking_libraries = list(callees)
        self._finalized = True


class OuterLibrary(JITCodeLibrary):  # type: ignore[misc]
    """The code of a kernel that Python calls, with all that it needs."""

    _linking_libraries: list[Any]

    def finalize(self) -> None:
        """Link, optimise, and make machine code."""
        self._linking_libraries = list(_callers_first(self._linking_libraries))
        super().finalize()

    def _verify_declare_only_symbols(self) -> None:
        """Nothing that was compiled here is missing: a call of it would be a call of nothing."""
        functions = self._final_module.functions
        missing = [each.name for each in functions if each.is_declaration]
        assert not [name for name in missing if name.startswith("_ZN")], missing


def _callers_first(libraries: list[Any]) -> Iterator[Any]:
    """All libraries below, each once and behind one that calls it, as LLVM's linker needs it."""
    seen = set()
    waiting = list(reversed(libraries))
    while waiting:
        library = waiting.pop()
        if library in seen:
            continue
        seen.add(library)
        yield library
        if isinstance(library, InnerLibrary):
            waiting.extend(reversed(library.callees()))


class _Compiler(compiler.Compiler):  # type: ignore[misc]
    """numba's compiler, for a library of ours."""

    def __init__(
        self,
        typing_context: Any,
        target_context: Any,
        library: Any,
        arguments: Any,
        return_type: Any,
        flags: Any,
        local_types: Any,
    ) -> None:
        library = self._prepare(target_context.codegen(), flags)
        super().__init__(
            typing_context, target_context, library, arguments, return_type, flags, local_types
        )

    def _prepare(self, codegen: Any, flags: Any) -> Any:
        raise AssertionError("a compiler says which library it fills")


class InnerCompiler(_Compiler):
    """As far as LLVM's form."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.targetctx.mangler = _symbol  # of numba's copy for this compilation

    def _prepare(self, codegen: Any, flags: Any) -> InnerLibrary:
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        library = InnerLibrary(codegen, "inner")
        library.is_cold = not flags.forceinline
        return library


class OuterCompiler(_Compiler):
    """To the end; the library links all callees then."""

    def _prepare(self, codegen: Any, flags: Any) -> OuterLibrary:
        flags.no_cfunc_wrapper = True
        library = OuterLibrary(codegen, "outer")
        library.enable_object_caching()
        return library


def _symbol(name: str, types: Any, *, abi_tags: Any = (), uid: Any = None) -> str:
    """The name of a kernel's code, the same in every process, and short.

    numba's own contains numbers that a process gives out: a caller and a callee that two processes
    have written to the cache would not find each other.
    """
    text = "|".join([*(str(each) for each in types), *abi_tags])
    digest = hashlib.sha256(text.encode()).hexdigest()[:20]
    return itanium_mangler.mangle(name, (), abi_tags=(digest,))  # type: ignore[no-any-return]


class _CacheFormat(caching.CompileResultCacheImpl):  # type: ignore[misc]
    """On disk: bitcode, signature, and the names of the callees."""

    def reduce(self, result: Any) -> Any:
        description = result.fndesc
        description.typemap = description.calltypes = None  # large, and nobody asks
        callees = [each.origin for each in result.library.callees()]
        return result.library.to_bytes(), callees, description, result.environment, result.signature

    def rebuild(self, target_context: Any, payload: Any) -> Any:
        code, origins, description, environment, signature = payload
        library = InnerLibrary(target_context.codegen(), "inner")
        library.restore(code, [_find(each) for each in origins])
        return compiler.compile_result(
            target_context=target_context,
            typing_context=target_context.typing_context,
            library=library,
            environment=environment,
            fndesc=description,
            signature=signature,
            objectmode=False,
            lifted=(),
            reload_init=(),
            referenced_envs=(),
        )


class _Cache(caching.FunctionCache):  # type: ignore[misc]
    _impl_class = _CacheFormat


def _find(origin: Origin) -> InnerLibrary:
    """The code of a callee. Raises ImportError, AttributeError when it is not where it was."""
    kernel = getattr(importlib.import_module(origin.module), origin.name)
    found = kernel.inner.result(origin.arguments).library
    assert isinstance(found, InnerLibrary)
    return found


def _call(description: Any, library: InnerLibrary) -> Any:
    """How a caller's code calls it.

    As numba does, but without its zeros: it clears the places of the result and of an exception
    where the caller's code begins, on every pass, for each call that is hardly ever made.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        convention = context.call_conv
        function = context.declare_function(builder.module, description)
        if not description.inline:
            function.calling_convention = COLD_CALL
        with builder.goto_entry_block():
            places = [builder.alloca(each.pointee) for each in function.function_type.args[:2]]
        packer = convention._get_arg_packer(description.argtypes)
        packed = packer.as_arguments(builder, arguments)
        code = builder.call(function, [*places, *packed], cconv=function.calling_convention)
        status = convention._get_return_status(builder, code, builder.load(places[1]))
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        result = builder.load(places[0])
        return context.get_returned_value(builder, description.restype, result)

    generate.signature = description.argtypes  # type: ignore[attr-defined]
    generate.libs = (library,)  # type: ignore[attr-defined]
    return generate


class InnerCode(CPUDispatcher):  # type: ignore[misc]
    """A kernel as other kernels see it: its code by types of arguments.

    is_cold: it is called there, not inlined.
    """

    def __init__(self, function: Any, options: dict[str, Any], is_cold: bool) -> None:
        options = {**options, "nopython": True, "forceinline": not is_cold}
        super().__init__(function, {}, options, InnerCompiler)

    def enable_caching(self) -> None:
        """Keep the code in numba's cache folder, too."""
        self._cache = _Cache(self.py_func)

    def add_overload(self, result: Any) -> None:
        """Let other kernels call it. There is no address yet: an object stands for it."""
        arguments = tuple(result.signature.args)
        library = result.library
        library.origin = Origin(self.py_func.__module__, self.py_func.__qualname__, arguments)
        library.symbol = result.fndesc.mangled_name
        library._ensure_finalized()
        result = result._replace(entry_point=library.origin)
        call = _call(result.fndesc, library)
        self.targetctx._defns[library.origin].append(call, call.signature)
        self.overloads[arguments] = result

    def result(self, arguments: tuple[Any, ...]) -> Any:
        """What numba knows of the code for these types, compiled now if need be."""
        if arguments not in self.overloads:
            self.compile(arguments)
        return self.overloads[arguments]
