"""Where NaN and infinities are born: the right operation, line and number, on the right side."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import parity
from parity import Pair, Rule
from parity.frameworks import jaxpr_nonfinite, torch_nonfinite

X = {"x": np.array([-1.0, 0.0, 2.0, 3.0])}
ROWS = {"s": np.arange(8.0).reshape(2, 4) / 3, "m": np.array([[1, 0, 1, 1], [0, 0, 0, 0]], bool)}


def line(function):
    return f"test_birth.py:{function.__code__.co_firstlineno + 1}"


def births(pair, dtypes=("float64",)):
    """Return {dtype and tensor: sentences of what was born, with the corner}."""
    report = parity.check(pair, dtypes=dtypes, budget=0)
    return {
        (row.dtype, row.name): [
            (c.tensor, c.sentence) for c in row.causes if str(c.kind) == "not finite"
        ]
        for row in report.rows
    }, report


def decay_jax(dt, tau):
    return jnp.where(dt > 0, jnp.exp(-dt / tau), 0.0)


def decay_torch(dt, tau):
    return torch.where(dt > 0, torch.exp(-dt / tau), 0.0)


def decay_safe_jax(dt, tau):
    return jnp.where(dt > 0, jnp.exp(-jnp.maximum(dt, 0) / tau), 0.0)


def decay_safe_torch(dt, tau):
    return torch.where(dt > 0, torch.exp(-dt.clamp(min=0) / tau), 0.0)


@pytest.mark.parametrize(
    ("jax_side", "torch_side", "corner", "guilty"),
    [
        (decay_jax, decay_safe_torch, "jax", decay_jax),
        (decay_safe_jax, decay_torch, "torch", decay_torch),
    ],
)
def test_an_overflow_in_a_branch_not_taken(jax_side, torch_side, corner, guilty):
    inputs = {"dt": np.array([-4115.0, 3.0]), "tau": np.array([1.0, 2.0])}
    found, report = births(Pair(jax=jax_side, torch=torch_side, inputs=inputs))
    said = (
        f"born at exp, {line(guilty)}: exp(4115) is inf, in a branch that `where` does not take; "
        "its gradient is 0 * inf"
    )
    assert found["float64", "dt"] == found["float64", "tau"] == [(corner, said)]
    assert report.told().endswith(said)
    assert report.fault() == f"fault: {corner}"


def log_jax(x):
    return jnp.where(x > 0, jnp.log(x), 0.0)


def log_torch(x):
    return torch.where(x > 0, torch.log(x), 0.0)


def log_safe_jax(x):
    return jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1.0)), 0.0)


def log_safe_torch(x):
    return torch.where(x > 0, torch.log(torch.where(x > 0, x, 1.0)), 0.0)


@pytest.mark.parametrize(
    ("jax_side", "torch_side", "corner", "guilty"),
    [
        (log_jax, log_safe_torch, "jax", log_jax),
        (log_safe_jax, log_torch, "torch", log_torch),
    ],
)
def test_a_derivative_that_is_born_beside_its_own_forward(jax_side, torch_side, corner, guilty):
    inputs = {"x": np.array([0.0, 2.0, 3.0])}
    found, _ = births(Pair(jax=jax_side, torch=torch_side, inputs=inputs))
    assert found["float64", "x"] == [
        (
            corner,
            f"born at log, {line(guilty)}: log(0) is -inf, in a branch that `where` does not take; "
            "its gradient is 0/0",
        )
    ]


def norm_jax(x):
    return jnp.sqrt((x * x).sum(-1))


def norm_torch(x):
    return torch.sqrt((x * x).sum(-1))


def test_both_sides_may_be_to_blame():
    inputs = {"x": np.array([[0.0, 0.0], [1.0, 2.0]])}
    found, _ = births(Pair(jax=norm_jax, torch=norm_torch, inputs=inputs))
    (first, said), (second, other) = found["float64", "x"]
    assert (first, second) == ("jax", "torch")
    assert said == (
        f"born in the gradient of sqrt, {line(norm_jax)}: 0.5/0 is inf; then 0 * inf is NaN; "
        "torch is not finite either"
    )
    assert other.startswith(f"born in the gradient of sqrt, {line(norm_torch)}: ")


def product_forward(x):
    out = torch.prod(x, dim=1)
    return out, (x, out)


def product_backward(saved, g):
    return (g[:, None] * saved[1][:, None] / saved[0],)


def test_a_rule_by_hand_is_followed_line_by_line():
    inputs = {"x": np.array([[0.0, 2.0, 3.0], [1.5, -0.5, 2.5]])}
    rule = Rule(product_forward, product_backward)
    found, _ = births(Pair(jax=lambda x: jnp.prod(x, 1), torch=rule, inputs=inputs))
    said = f"born at div, {line(product_backward)}: 0/0 is NaN"
    assert found["float64", "x"] == [("torch.rule", said)]


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.abs()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0] / ctx.saved_tensors[0].abs()


def test_a_custom_backward_is_followed_too():
    found, _ = births(Pair(jax=jnp.abs, torch=Sign.apply, inputs=X))
    assert found["float64", "x"] == [("torch", f"born at div, {line(Sign.backward)[:-1]}".rsplit(
        ":", 1)[0] + f":{Sign.backward.__code__.co_firstlineno + 2}: 0/0 is NaN")]  # fmt: skip


def lse_jax(x):
    return jnp.log(jnp.exp(x).sum(-1))


def test_what_one_dtype_alone_cannot_hold():
    inputs = {"x": np.array([[300.0, 2.0], [1.0, 2.0]])}
    pair = Pair(jax=lse_jax, torch=lambda x: torch.logsumexp(x, -1), inputs=inputs)
    found, _ = births(pair, ("float32", "float64"))
    said = f"born at exp, {line(lse_jax)}: exp(300) is inf"
    assert found["float32", "out"] == [("jax", f"{said}, in float32 alone")]
    assert found["float32", "x"] == [("jax", f"{said}; its gradient is 0 * inf, in float32 alone")]
    assert found["float64", "out"] == found["float64", "x"] == []


def masked_jax(s, m):
    return jax.nn.softmax(jnp.where(m, s, -jnp.inf), -1)


def masked_torch(s, m):
    return torch.softmax(s.masked_fill(~m, -torch.inf), -1)


def test_an_infinity_that_is_written_in_the_code_is_not_born():
    found, _ = births(
        Pair(jax=masked_jax, torch=lambda s, m: torch.softmax(s.masked_fill(~m, -1e9), -1),
             inputs=ROWS)
    )  # fmt: skip
    assert found["float64", "out"] == [
        (
            "jax",
            f"born at sub, {line(masked_jax)}: -inf - -inf is NaN; -inf is a constant in the code",
        )
    ]
    found, _ = births(
        Pair(jax=lambda s, m: jax.nn.softmax(jnp.where(m, s, -1e9), -1), torch=masked_torch,
             inputs=ROWS)
    )  # fmt: skip
    assert found["float64", "out"] == [
        (
            "torch",
            f"born at softmax, {line(masked_torch)}: it makes NaN; -inf is a constant in the code",
        )
    ]


def test_an_infinity_that_was_given_is_the_inputs():
    inputs = {"x": np.array([np.inf, 1.0])}
    pair = Pair(jax=lambda x: x * 0, torch=torch.zeros_like, inputs=inputs)
    found, _ = births(pair)
    ((corner, said),) = found["float64", "out"]
    assert corner == "jax"
    assert said.endswith("inf * 0 is NaN; inf stands in input x")


def growing(x):
    def body(h, t):
        h = jnp.exp(h) * t
        return h, h

    return 1 / (1 + jax.lax.scan(body, x[0], x)[0])


def growing_torch(x):
    h = x[0]
    for t in x:
        h = torch.exp(h) * t
    return torch.exp(-torch.log1p(h))


def test_inside_a_scan_the_turn_is_found():
    pair = Pair(jax=growing, torch=growing_torch, inputs={"x": np.array([3.0, 2.0, 1.0, 1.0])})
    found, _ = births(pair)
    for said, place in zip(
        dict(found["float64", "x"]).values(),
        (growing.__code__.co_firstlineno + 2, growing_torch.__code__.co_firstlineno + 3),
        strict=True,
    ):
        assert said.startswith(f"born at exp, test_birth.py:{place}: exp(2.952e+26) is inf; its")


def test_what_is_finite_throughout_has_no_origin():
    values = (np.array([0.5, 2.0]), np.array([1.0, -1.0]))
    for recorder, make in ((jaxpr_nonfinite, jnp.asarray), (torch_nonfinite, torch.tensor)):
        trace, marks = recorder.traced(
            lambda x, dout: ({"out": x * dout}, {}), None, tuple(map(make, values)), ("x",)
        )
        assert marks == ({"out": {}}, {})
        assert trace.born == []


def test_a_part_written_in_place_keeps_what_the_rest_holds():
    def function(x):
        y = torch.zeros_like(x)
        y[0] = torch.log(x[0])
        y[1] = 1.0
        return {"out": y + 1}, {}

    trace, (marks, _) = torch_nonfinite.traced(function, None, (torch.tensor([0.0, 2.0]),), ("x",))
    assert marks["out"]["-inf"].step.operation == "log"
    assert trace.born == [marks["out"]["-inf"]]
