"""Scalar functions that users write, compiled into fastconv's own loops at full speed.

    @njit                                      for k in range(n):
    def softsign(x):                 ---->         y[k] = softsign(x[k])        LLVM makes vectors of it
        return x / (1 + abs(x))

Left alone, two things would keep such a loop slow: Numba computes `1 + x` in float64 where x is float32, and
`math.exp` is a call of the C library for each number. So a function is compiled anew, with numbers that it
names in the dtype of its arguments (as NumPy and PyTorch treat Python numbers), and with fastconv's own
exponentials and logarithms, which have no branches.
"""

import builtins
import hashlib
import inspect
import math
import operator
import types as python_types
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numba.core import ir
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.dispatcher import Dispatcher
from numba.core.ir_utils import mk_unique_var
from numba.core.untyped_passes import ReconstructSSA
from numba.extending import register_jitable

from .compiling import compiled
from .vector_math import scalar_exp, scalar_log, scalar_sqrt, scalar_tanh


@register_jitable
def exp(x):
    """e to the power x."""
    return scalar_exp(float(x))


@register_jitable
def log(x):
    """The natural logarithm; NaN of a negative number."""
    v = float(x)
    return scalar_log(v) if v >= 0 else v * math.nan


@register_jitable
def tanh(x):
    """The hyperbolic tangent."""
    return scalar_tanh(float(x))


@register_jitable
def sqrt(x):
    """The square root; the C library's would tell of negative numbers, which keeps LLVM from vectors."""
    return scalar_sqrt(float(x))


@register_jitable
def expm1(x):
    """exp(x) - 1 without the digits that the subtraction loses (Kahan's (u - 1) x / log u, u = exp x)."""
    u = exp(x)
    if u == 1:
        return x
    return u - 1 if u - 1 == -1 or u == math.inf else (u - 1) * x / log(u)


@register_jitable
def log1p(x):
    """log(1 + x) without the digits that the addition loses (Kahan's log(u) x / (u - 1), u = 1 + x)."""
    u = 1 + x
    return x if u == 1 else log(u) if u == math.inf else log(u) * x / (u - 1)


@register_jitable
def power(x, y):
    """x to the power y, as one operation: LLVM takes it out of a loop where neither depends on the loop."""
    return math.pow(float(x), float(y))


class _Identical:
    """Whether a value is one of these objects: constants that a function names need not be hashable."""

    def __init__(self, *things: Any) -> None:
        self.things = things

    def __contains__(self, value: Any) -> bool:
        return any(value is thing for thing in self.things)


OWN = {"exp": exp, "log": log, "tanh": tanh, "expm1": expm1, "log1p": log1p, "sqrt": sqrt}
_THE_SAME = {name: _Identical(getattr(math, name), getattr(np, name)) for name in OWN}
FLOAT_CALLS = _Identical(
    abs, max, min, power, *OWN.values()
)  # of numbers: their results are of the arguments' dtype
ARITHMETIC = {
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod,
    operator.neg, operator.pos,
    operator.iadd, operator.isub, operator.imul, operator.itruediv,
}  # fmt: skip
COMPARISONS = {operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne}


@register_pass(mutates_CFG=False, analysis_only=False)
class _InTheDtypeOfTheArguments(FunctionPass):
    """Gives numbers that meet a float the dtype of the first argument, and calls fastconv's own functions.

    A variable is a float if it comes from an argument by arithmetic; int counters of loops stay ints.
    """

    _name = "in_the_dtype_of_the_arguments"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        dtype = next((t for t in state.args if isinstance(t, types.Float)), types.float64)
        self.number = {types.float32: np.float32, types.float64: np.float64}[dtype]
        assigns = [
            s for block in state.func_ir.blocks.values() for s in block.body if isinstance(s, ir.Assign)
        ]
        self.values = {assign.target.name: assign.value for assign in assigns}
        self._use_own_functions(assigns)
        for block in state.func_ir.blocks.values():
            block.body = [new for statement in block.body for new in self._without_loops(statement)]
        self._find_floats(assigns)
        for assign in assigns:
            value = assign.value
            if isinstance(value, ir.Expr) and self._makes_floats(value):
                self._convert_numbers(state.func_ir, value)
        return True

    def _use_own_functions(self, assigns: list[Any]) -> None:
        for assign in assigns:
            value = assign.value
            if isinstance(value, ir.Expr) and value.op == "getattr" and value.attr in OWN:
                if self._constant(value.value) in (math, np):
                    assign.value = self.values[assign.target.name] = ir.Global(
                        f"own_{value.attr}", OWN[value.attr], value.loc
                    )
            elif isinstance(value, (ir.Global, ir.FreeVar)):
                for name in OWN:
                    if value.value in _THE_SAME[name]:
                        assign.value = self.values[assign.target.name] = ir.Global(
                            f"own_{name}", OWN[name], value.loc
                        )

    def _without_loops(self, statement: Any) -> Any:
        """x ** y as a call of `power`, but x ** 2, which Numba multiplies."""
        value: Any = getattr(statement, "value", None)
        is_power = isinstance(value, ir.Expr) and value.op == "binop" and value.fn is operator.pow
        if is_power and type(self._constant(value.rhs)) is not int:
            function = ir.Var(statement.target.scope, mk_unique_var("$power"), value.loc)
            yield self._assign(ir.Assign(ir.Global("own_power", power, value.loc), function, value.loc))
            statement.value = ir.Expr.call(function, [value.lhs, value.rhs], (), value.loc)
            self._assign(statement)
        yield statement

    def _assign(self, assign: Any) -> Any:
        self.values[assign.target.name] = assign.value
        return assign

    def _constant(self, variable: Any) -> Any:
        value = self.values.get(variable.name)
        return value.value if isinstance(value, (ir.Global, ir.FreeVar, ir.Const)) else None

    def _is_mathematical(self, function: Any) -> bool:
        """Whether a called variable is a function of numbers: a builtin, our own, of `math` or of `numpy`."""
        value = self.values.get(function.name)
        if isinstance(value, ir.Expr) and value.op == "getattr":
            return self._constant(value.value) in (math, np)
        return self._constant(function) in FLOAT_CALLS

    def _find_floats(self, assigns: list[Any]) -> None:
        self.floats: set[str] = set()
        before = -1
        while len(self.floats) != before:
            before = len(self.floats)
            for assign in assigns:
                value = assign.value
                if isinstance(value, ir.Arg) or self._is_float(value):
                    self.floats.add(assign.target.name)

    def _is_float(self, value: Any) -> bool:
        if isinstance(value, ir.Var):
            return value.name in self.floats
        if isinstance(value, (ir.Const, ir.Global, ir.FreeVar)):
            return type(value.value) is float
        if not isinstance(value, ir.Expr):
            return False
        if value.op == "phi":
            return any(v is not ir.UNDEFINED and v.name in self.floats for v in value.incoming_values)
        if value.op in ("binop", "inplace_binop") and value.fn in COMPARISONS:
            return False
        if value.op == "getattr":  # of the options of an optimizer
            return value.value.name in self.floats
        if value.op == "call":  # whatever is called
            return any(v.name in self.floats for v in value.args)
        return self._makes_floats(value)

    def _makes_floats(self, value: Any) -> bool:
        """Whether an expression combines floats: with numbers, these become floats of the same dtype."""
        if value.op in ("binop", "inplace_binop"):
            known = value.fn in ARITHMETIC or value.fn in COMPARISONS
            return known and any(v.name in self.floats for v in (value.lhs, value.rhs))
        if value.op == "unary":
            return value.value.name in self.floats
        if value.op == "call":
            return self._is_mathematical(value.func) and any(v.name in self.floats for v in value.args)
        return False

    def _convert_numbers(self, func_ir: Any, value: Any) -> None:
        operands = value.args if value.op == "call" else list(value.list_vars())
        for operand in operands:
            number = self._constant(operand)
            if type(number) in (int, float):
                definition = self.values[operand.name]
                self._replace(func_ir, definition, number)

    def _replace(self, func_ir: Any, definition: Any, number: float) -> None:
        for block in func_ir.blocks.values():
            for statement in block.body:
                if isinstance(statement, ir.Assign) and statement.value is definition:
                    new = ir.Const(self.number(number), definition.loc)
                    statement.value = self.values[statement.target.name] = new


class UserFunctionCompiler(CompilerBase):
    """Numba's compiler, with the dtype of a user's numbers chosen before types are inferred."""

    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_InTheDtypeOfTheArguments, ReconstructSSA)
        passes.finalize()
        return [passes]


def python_function(function: Any) -> Callable[..., Any]:
    """The Python function behind one that Numba compiles, or the function itself."""
    return getattr(function, "py_func", function)


def arguments_of(function: Any) -> int:
    """How many arguments a function takes."""
    return len(inspect.signature(python_function(function)).parameters)


def check_function(function: Any, name: str, *arguments: int) -> Any:
    """`function` as it was given, if it can be compiled into a loop; `arguments` are the numbers it may take.

    Raises
    ------
    TypeError
        If it is no function, or takes another number of arguments.
    """
    behind = python_function(function)
    if not isinstance(behind, python_types.FunctionType):
        raise TypeError(f"`{name}` must be a function, best one that @numba.njit decorates, got {function!r}")
    if arguments and arguments_of(function) not in arguments:
        wanted = " or ".join(map(str, arguments)) + (" argument" if arguments == (1,) else " arguments")
        got = f"{behind.__name__}{inspect.signature(behind)}"
        raise TypeError(f"`{name}` must take {wanted}, got {got}")
    return function


@cache
def in_loops(function: Any) -> Any:
    """The user's function as fastconv's kernels call it: inlined, in the dtype of its arguments."""
    behind = python_function(function)
    name = f"{behind.__name__}_{fingerprint(function)[:16]}"  # two of one name must not meet in a process
    copy = python_types.FunctionType(
        behind.__code__, behind.__globals__, name, behind.__defaults__, behind.__closure__
    )
    copy.__qualname__, copy.__module__ = name, behind.__module__
    return compiled(copy, cached=False, forceinline=True, pipeline_class=UserFunctionCompiler)


def fingerprint(*things: Any) -> str:
    """A hash of all that compiled code of these functions depends on: their code and what it refers to."""
    digest = hashlib.sha256()
    for thing in things:
        _add(digest, thing, set())
    return digest.hexdigest()


def _add(digest: Any, thing: Any, seen: set[int]) -> None:
    behind = python_function(thing)
    if isinstance(behind, python_types.FunctionType):
        if id(behind) not in seen:
            seen.add(id(behind))
            _add_function(digest, behind, seen)
    elif isinstance(thing, python_types.CodeType):
        digest.update(thing.co_code + repr(thing.co_names).encode())
        _add(digest, thing.co_consts, seen)
    elif isinstance(thing, (tuple, list)):
        digest.update(f"{type(thing).__name__} {len(thing)}".encode())
        for item in thing:
            _add(digest, item, seen)
    elif isinstance(thing, np.ndarray):
        digest.update(f"{thing.dtype} {thing.shape}".encode() + thing.tobytes())
    elif isinstance(thing, python_types.ModuleType):
        digest.update(f"{thing.__name__} {getattr(thing, '__version__', '')}".encode())
    elif isinstance(thing, (type, python_types.BuiltinFunctionType, np.ufunc, Dispatcher)):
        digest.update(f"{getattr(thing, '__module__', '')} {getattr(thing, '__qualname__', thing)}".encode())
    else:
        digest.update(repr((type(thing).__name__, thing)).encode())


def _add_function(digest: Any, function: Any, seen: set[int]) -> None:
    digest.update(function.__name__.encode())
    _add(digest, function.__code__, seen)
    for name in _names(function.__code__):
        if name in function.__globals__:
            digest.update(name.encode())
            _add(digest, function.__globals__[name], seen)
        elif hasattr(builtins, name):
            digest.update(name.encode())
    _add(digest, function.__defaults__ or (), seen)
    for cell in function.__closure__ or ():
        _add(digest, cell.cell_contents, seen)


def _names(code: Any) -> set[str]:
    """The names that a function's code mentions, sorted, those of functions inside it too."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, python_types.CodeType):
            names |= set(_names(constant))
    return sorted(names)  # type: ignore[return-value]
