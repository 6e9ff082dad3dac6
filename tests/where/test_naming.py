"""parity.name: names change nothing, are seen through jit, remat and scan, and place a fault."""

import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import parity
from parity import Pair, check, name
from parity.frameworks import jax_taps, torch_taps
from parity.trial.trial import Trial
from parity.where.named_walk import walk
from tests.shared.sampled import few

LAYERS = 6
INPUTS = {"x": (5, 4), "w": (4, 4)}
EACH = few(range(LAYERS))


class Spoiled(torch.autograd.Function):
    """The identity, with a gradient that is 0.9 of the right one."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, dout):
        return 0.9 * dout


def jax_net(x, w):
    """Six named layers, each under jit, every other one rematerialised."""
    h = x
    for i in range(LAYERS):

        def layer(h, i=i):
            return name(jnp.tanh(h @ w) + 0.1 * h, f"h{i}")

        h = jax.jit(jax.checkpoint(layer) if i % 2 else layer)(h)
    return h.sum(1)


def torch_net(forward=-1, backward=-1):
    """The same, with one layer's value or gradient spoiled."""

    def net(x, w):
        h = x
        for i in range(LAYERS):
            h = torch.tanh(h @ w) + 0.1 * h
            h = h * (1 + 1e-6) if i == forward else h
            h = Spoiled.apply(h) if i == backward else h
            h = name(h, f"h{i}")
        return h.sum(1)

    return net


def walked(torch_side, jax_side=jax_net, inputs=INPUTS):
    trial = Trial(Pair(jax=jax_side, torch=torch_side, inputs=inputs), 0, ("float64",))
    return walk(trial.legs, trial.solved[0].values)


@pytest.mark.parametrize("fault", EACH)
def test_a_fault_in_a_value_is_placed_and_everything_downstream_inherits_it(fault):
    found = walked(torch_net(forward=fault))
    places = {s.name: s.place for s in found.steps if not s.gradient}
    assert places == {
        **{f"h{i}": "" for i in range(fault)},
        f"h{fault}": "introduced",
        **{f"h{i}": "inherited" for i in range(fault + 1, LAYERS)},
        "out": "inherited",
    }
    assert "introduced" not in {s.place for s in found.steps if s.gradient}


@pytest.mark.parametrize("fault", EACH)
def test_a_fault_in_a_gradient_is_placed_and_everything_behind_inherits_it(fault):
    found = walked(torch_net(backward=fault))
    assert {s.place for s in found.steps if not s.gradient} == {""}
    places = {s.name: s.place for s in found.steps if s.gradient}
    first = f"h{fault - 1}" if fault else "x"
    assert places == {
        **{f"h{i}": "" for i in range(fault, LAYERS)},
        **{f"h{i}": "inherited" for i in range(fault - 1)},
        "x": "inherited",
        "w": "inherited",
        first: "introduced",
    }
    (step,) = (s for s in found.steps if s.place == "introduced")
    assert step.into == f"h{fault}"
    assert str(step) == f"the gradient of {first} (the step back from h{fault})"


def test_two_faults_are_both_introduced():
    found = walked(torch_net(forward=1, backward=4))
    introduced = [(s.name, s.gradient) for s in found.steps if s.place == "introduced"]
    assert introduced == [("h1", False), ("h3", True)]


@pytest.mark.full
def test_a_healthy_pair_has_no_place():
    assert {step.place for step in walked(torch_net()).steps} == {""}


def scanned(x, w):
    def body(h, _):
        h = name(jnp.tanh(h @ w), "h")
        return h, None

    return jax.lax.scan(body, x, None, length=3)[0]


def looped(x, w):
    for _ in range(3):
        x = name(torch.tanh(x @ w), "h")
    return x


def test_a_name_in_a_scan_stands_for_all_its_turns():
    found = walked(looped, scanned)
    assert [(s.name, s.gradient) for s in found.steps] == [
        ("h", False), ("out", False), ("h", True), ("x", True), ("w", True),
    ]  # fmt: skip
    assert {step.place for step in found.steps} == {""}
    with jax.enable_x64(True):
        x, w = jnp.ones((5, 4)), jnp.eye(4)
        _, seen = jax_taps.visited(lambda x, w: {"out": scanned(x, w)}, {}, False)(x, w)
    assert seen["h"].shape == (3, 5, 4)


def test_the_gradient_at_a_name_under_jit_is_not_zero():
    """A tap that is one level deep adds its zeros outside the jitted function, and sees none."""

    def out(x):
        return {"out": jax.jit(lambda x: jnp.sin(name(x * x, "h")))(x)}

    with jax.enable_x64(True):
        x = jnp.arange(1.0, 4.0)
        tapped = jax_taps.visited(out, {"h": jnp.zeros(3)}, True)
        assert np.array_equal(tapped(x)[0]["out"], out(x)["out"])
        found = jax.grad(lambda tap: jax_taps.visited(out, {"h": tap}, True)(x)[0]["out"].sum())
        assert np.allclose(found(jnp.zeros(3)), np.cos(np.arange(1.0, 4.0) ** 2))


def test_a_custom_rule_is_kept_whole():
    """Its own backward is what is under test; differentiating its body would hide it."""
    wrong = jax.custom_vjp(jnp.sin)
    wrong.defvjp(lambda x: (jnp.sin(x), x), lambda x, dout: (-dout * jnp.cos(x),))

    def jax_side(x):
        return wrong(name(2 * x, "h"))

    def torch_side(x):
        return torch.sin(name(2 * x, "h"))

    found = walked(torch_side, jax_side, {"x": (3,)})
    assert {(s.name, s.place) for s in found.steps if s.gradient} == {
        ("h", "introduced"),
        ("x", "inherited"),
    }


def test_a_name_changes_nothing():
    x = torch.linspace(-1, 1, 5, dtype=torch.float64, requires_grad=True)
    assert name(x, "x") is x
    assert np.array_equal(jax.jit(lambda x: name(x, "x"))(jnp.arange(3)), np.arange(3))
    assert jax.grad(lambda x: name(x, "x") ** 2)(3.0) == 6.0
    assert torch_taps.named(x, "x") is x


def test_what_only_one_side_names_is_said():
    report = check(
        Pair(jax=lambda x: jnp.sin(name(x, "h")), torch=lambda x: torch.cos(x), inputs={"x": (3,)})
    )
    assert "h is named on the jax side alone" in report.notes


def test_the_summary_passes_over_what_is_inherited():
    pair = Pair(jax=jnp.sin, torch=torch.cos, inputs={"x": (3,)})
    report = check(pair, dtypes=["float64"])
    (section,) = report.sections
    (out,), (grad,) = section.forward, section.gradients
    follows = replace(section, forward=(replace(out, place="inherited"),), gradients=(grad,))
    assert report.summary().startswith("convention: first in out, and in 1 more")
    said = replace(report, sections=(follows,)).summary()
    assert said.startswith("convention: first in the gradient of x, and in 1 more")


def test_the_report_says_where_it_starts():
    def jax_side(x):
        return jnp.sin(name(x * x, "h4"))

    def torch_side(x):
        return torch.sin(name(x * x * (1 + 1e-6), "h4"))

    pair = Pair(jax=jax_side, torch=torch_side, inputs={"x": (3,)})
    report = check(pair, dtypes=["float64"])
    assert "introduced in h4" in report.summary()
    assert "where it starts" in report.text()
    section = report.as_dict()["sections"][0]
    assert [s["tensor"] for s in section["walk"] if s["place"] == "introduced"] == ["h4"]
    assert {row["place"] for row in section["forward"]} == {"inherited"}


def test_naming_imports_no_framework():
    code = """if True:
        import sys, parity
        parity.name(1.0, "x")
        print("jax" in sys.modules, "torch" in sys.modules)
    """
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]
    assert parity.name is name
