"""The backward rules by hand in a torch function: `autograd.Function`. Found, run alone, exchanged.

`jax_rules.py` answers to the same names. A class is given another backward pass for as long as one
run takes, and has its own again after it. Judges nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import BackwardCFunction
from torch.utils._pytree import tree_iter

from parity.frameworks import torch_side
from parity.frameworks.rules import Call, Instead, drawn, first_of_each


def calls(
    forward: Callable[..., Any], values: Sequence[Any], still: Collection[int], seed: int
) -> list[Call]:
    """Return calls of every rule in ``forward`` on these values, with what each should answer.

    Upstream gradients are random numbers. What its function's own derivative cannot be had of is
    left out.
    """
    with ExitStack() as stack:
        seen: list[tuple[Any, tuple[Any, ...]]] = []
        for rule in _rules(forward, values, still):
            stack.enter_context(_keeping(rule, partial(_seen, seen, rule)))
        with torch.enable_grad():
            forward(*_leaves(values, still))
    return first_of_each((rule, partial(_alone, rule, inputs, seed)) for rule, inputs in seen)


def gradients(
    forward: Callable[..., Any],
    values: Sequence[Any],
    douts: Mapping[str, Any],
    still: Collection[int],
    instead: Instead,
) -> tuple[Any, ...]:
    """Return the gradients of the float inputs with other rules; None: the function's own."""
    with ExitStack() as stack:
        for rule, backward in instead.items():
            if backward is None:
                stack.enter_context(_keeping(rule, _remember))
                backward = partial(_derivative, rule)
            stack.enter_context(_changed(rule, "backward", backward))
        grads: tuple[Any, ...] = torch_side.vjp(forward, tuple(values), dict(douts), still)[1]
    return grads


def telling(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``forward`` itself: what its rules do is known by their own lines."""
    return forward


def run(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """Return what ``function`` returns."""
    with torch.no_grad():
        return function(*arguments)


def _leaves(values: Sequence[Any], still: Collection[int]) -> list[Any]:
    return [
        x.detach().clone().requires_grad_(torch_side.is_float(x) and i not in still)
        for i, x in enumerate(values)
    ]


def _rules(forward: Callable[..., Any], values: Sequence[Any], still: Collection[int]) -> list[Any]:
    """Return the classes of `autograd.Function` that a function's graph has."""
    with torch.enable_grad():
        out = forward(*_leaves(values, still))
    waiting = [x.grad_fn for x in tree_iter(out) if isinstance(x, Tensor)]
    seen: dict[Any, None] = {}
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen[node] = None
            waiting += [before for before, _ in node.next_functions]
    nodes: list[Any] = [node for node in seen if isinstance(node, BackwardCFunction)]
    return [*dict.fromkeys(type(node)._forward_cls for node in nodes)]


@contextmanager
def _changed(rule: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Let a class have another static method for a while."""
    own = vars(rule).get(name)
    setattr(rule, name, staticmethod(function))
    try:
        yield
    finally:
        delattr(rule, name) if own is None else setattr(rule, name, own)


def _apart(rule: Any) -> bool:
    """Return whether a class prepares its context by itself, and not while it computes."""
    return rule.setup_context is not Function.setup_context


@contextmanager
def _keeping(rule: Any, keep: Callable[[Any, tuple[Any, ...]], Any]) -> Iterator[None]:
    """Let ``keep`` see every context of a class and the inputs that it is for."""
    name = "setup_context" if _apart(rule) else "forward"
    original = getattr(rule, name)

    def forward(ctx: Any, *inputs: Any) -> Any:
        keep(ctx, inputs)
        return original(ctx, *inputs)

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        keep(ctx, inputs)
        return original(ctx, inputs, output)

    with _changed(rule, name, setup_context if _apart(rule) else forward):
        yield


def _seen(seen: list[tuple[Any, tuple[Any, ...]]], rule: Any, _: Any, inputs: Any) -> None:
    seen.append((rule, inputs))


def _remember(ctx: Any, inputs: tuple[Any, ...]) -> None:
    ctx.inputs_of_the_rule = inputs


class Context:
    """What a backward pass is given beside gradients, to be copied."""

    def __init__(self, ctx: Any = None) -> None:
        self.needs_input_grad: tuple[bool, ...] = ()
        if ctx is not None:
            vars(self).update(vars(ctx))
            self.saved_tensors = tuple(
                x.detach().clone() if isinstance(x, Tensor) else x for x in ctx.saved_tensors
            )
            self.needs_input_grad = ctx.needs_input_grad

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors, as autograd's own context does."""
        self.saved_tensors = tensors

    def _ignored(self, *args: Any) -> None:
        """Take a word about outputs, which says nothing here."""

    mark_dirty = mark_non_differentiable = set_materialize_grads = save_for_forward = _ignored


def _plain(rule: Any, inputs: Sequence[Any]) -> list[Any]:
    """Return a rule's outputs as autograd differentiates them by itself."""
    ctx = Context()
    ctx.needs_input_grad = tuple(isinstance(x, Tensor) and x.requires_grad for x in inputs)
    out = rule.forward(*inputs) if _apart(rule) else rule.forward(ctx, *inputs)
    return [*out] if isinstance(out, tuple) else [out]


def _fresh(inputs: Sequence[Any]) -> list[Any]:
    """Return the same inputs as leaves."""
    return [
        x.detach().clone().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x
        for x in inputs
    ]


def _pulled(outputs: Sequence[Any], inputs: Sequence[Any], douts: Sequence[Any]) -> list[Any]:
    """Return the gradient of every input that wants one, None of others."""
    places = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    pairs = [
        (x, d)
        for x, d in zip(outputs, douts, strict=True)
        if isinstance(x, Tensor) and x.requires_grad and d is not None
    ]
    found = torch.autograd.grad(
        [x for x, _ in pairs], [inputs[i] for i in places], [d for _, d in pairs], allow_unused=True
    )
    grads: list[Any] = [None] * len(inputs)
    for i, grad in zip(places, found, strict=True):
        grads[i] = torch.zeros_like(inputs[i]) if grad is None else grad
    return grads


def _derivative(rule: Any, ctx: Any, *douts: Any) -> tuple[Any, ...]:
    """Return what a rule should: the derivative of its own forward pass."""
    with torch.enable_grad():
        inputs = _fresh(ctx.inputs_of_the_rule)
        return tuple(_pulled(_plain(rule, inputs), inputs, douts))


def _alone(rule: Any, inputs: Sequence[Any], seed: int) -> Call | None:
    """Return one call of a rule by itself; None where its function has no derivative."""
    backward = inspect.unwrap(rule.backward)
    seen: list[tuple[Any, ...]] = []

    def keeping(ctx: Any, *douts: Any) -> Any:
        seen.append((Context(ctx), *(d if d is None else d.detach() for d in douts)))
        return rule_backward(ctx, *douts)

    rule_backward = rule.backward
    wants = [isinstance(x, Tensor) and x.requires_grad for x in inputs]

    def answer(found: Any) -> list[np.ndarray]:
        entries = found if isinstance(found, tuple) else (found,)
        return [
            np.zeros(tuple(x.shape)) if grad is None else torch_side.to_numpy(grad)
            for x, grad, wanted in zip(inputs, entries, wants, strict=False)
            if wanted
        ]

    try:
        with torch.enable_grad(), _changed(rule, "backward", keeping):
            leaves = _fresh(inputs)
            given = zip(leaves, wants, strict=True)
            out = rule.apply(*(x.view_as(x) if wanted else x for x, wanted in given))
            outputs = [*out] if isinstance(out, tuple) else [out]
            rng = np.random.default_rng(seed)
            douts = [
                torch.as_tensor(drawn(rng, x.shape)).to(x.dtype) if x.requires_grad else None
                for x in outputs
            ]
            got = _pulled(outputs, leaves, douts)
            leaves = _fresh(inputs)
            wanted = _pulled(_plain(rule, leaves), leaves, douts)
    except Exception:  # the user's function, differentiated as it never was
        return None
    if not seen:
        return None
    places = [i for i, wanted in enumerate(wants) if wanted]
    own, right = ([torch_side.to_numpy(g) for g in x if g is not None] for x in (got, wanted))
    name = f"{rule.__name__}.backward"
    return Call(rule, backward, name, seen[-1], own, right, answer, run, places)
