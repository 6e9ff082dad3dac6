"""Constants, shapes in containers and modules as inputs; what has no gradient is let be."""

from collections import OrderedDict
from dataclasses import dataclass, field

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import parity
from parity import Constant, Pair, Rule, UsageError
from parity.pairs.tree import constants, flatten, rebuild


def checked(pair, dtypes=("float64",)):
    report = parity.check(pair, dtypes=dtypes, budget=0)
    names = {row.name for section in report.sections for row in section.gradients}
    return report, names


def arguments(inputs, function=lambda p, x: x):
    return Pair(jax=function, torch=function, inputs=inputs).arguments(np.random.default_rng(0))


# --- constants ---


def masked_jax(x, mask):
    return jnp.tanh(x) * mask


def masked_torch(x, mask):
    assert not mask.requires_grad
    return torch.tanh(x) * mask


def test_a_constant_is_given_in_the_dtype_under_test_without_a_gradient():
    pair = Pair(jax=masked_jax, torch=masked_torch, inputs={"x": (3, 4), "mask": Constant((3, 4))})
    report, names = checked(pair, ("float32", "float64"))
    assert report
    assert names == {"x"}


def test_a_gradient_that_differs_in_a_constant_alone_is_no_difference():
    def torch_side(x, mask):
        return torch.tanh(x) * mask.detach()

    inputs = {"x": (3, 4), "mask": np.ones((3, 4))}
    assert not checked(Pair(jax=masked_jax, torch=torch_side, inputs=inputs))[0]
    inputs["mask"] = Constant(inputs["mask"])
    assert checked(Pair(jax=masked_jax, torch=torch_side, inputs=inputs))[0]


def test_constants_stand_anywhere_and_in_a_dispute_are_held_still():
    def f(p, x):
        return p["w"] * x * p["rate"]

    def rule_backward(saved, g):
        w, rate, x = saved
        return {"w": 2 * g * x * rate, "rate": None}, g * w * rate

    rule = Rule(lambda p, x: (f(p, x), (p["w"], p["rate"], x)), rule_backward)
    inputs = lambda rng: ({"w": rng.normal(size=4), "rate": Constant(np.full(4, 0.1))},  # noqa: E731
                          rng.normal(size=4))  # fmt: skip
    report, names = checked(Pair(jax=f, torch=rule, inputs=inputs))
    assert names == {"p['w']", "x"}
    assert report.fault() == "fault: torch.rule"
    bad = {row.name for row in report.rows if not row.verdict.passes}
    assert bad == {"p['w']"}


def test_every_input_may_be_a_constant():
    report, names = checked(Pair(jax=jnp.tanh, torch=torch.tanh, inputs={"x": Constant((3,))}))
    assert report
    assert names == set()
    assert report.notes == ("every input is constant: there is no gradient to compare",)


def test_what_a_constant_holds_is_named_and_rebuilt_as_if_it_were_bare():
    tree = {"a": Constant([1.0, (2.0,)]), "b": 3.0}
    assert flatten(tree, "t") == [("t['a'][0]", 1.0), ("t['a'][1][0]", 2.0), ("t['b']", 3.0)]
    assert constants(tree, "t") == ["t['a'][0]", "t['a'][1][0]"]
    assert rebuild(tree, iter([4, 5, 6])) == {"a": [4, (5,)], "b": 6}


# --- what a framework has no gradient of ---


def norm_inputs(rng):
    return {"x": rng.normal(size=(7, 5)), "mean": rng.normal(size=5),
            "var": rng.uniform(0.5, 2, 5), "w": rng.normal(size=5)}  # fmt: skip


def test_running_statistics_have_no_gradient_in_torch_and_that_is_said():
    report, names = checked(
        Pair(
            jax=lambda x, mean, var, w: (x - mean) / jnp.sqrt(var + 1e-5) * w,
            torch=lambda x, mean, var, w: F.batch_norm(x, mean, var, w),
            inputs=norm_inputs,
        )
    )
    assert report
    assert names == {"x", "w"}
    assert [note.split(":")[0] for note in report.notes] == [
        "torch has no derivative with respect to mean",
        "torch has no derivative with respect to var",
    ]


def test_a_wrong_gradient_beside_running_statistics_is_still_found():
    report, _ = checked(
        Pair(
            jax=lambda x, mean, var, w: (x - mean) / jnp.sqrt(var + 1e-5) * w,
            torch=lambda x, mean, var, w: F.batch_norm(x.detach(), mean, var, w),
            inputs=norm_inputs,
        )
    )
    assert {row.name for row in report.rows if not row.verdict.passes} == {"x"}


class Saves(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward("no tensor")
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


def as_numpy(x):
    return torch.from_numpy(2 * x.numpy())


@pytest.mark.parametrize("function", [Saves.apply, as_numpy])
def test_what_fails_where_a_gradient_is_asked_for_is_no_missing_derivative(function):
    with pytest.raises(UsageError, match="torch raised"):
        parity.check(Pair(jax=lambda x: 2 * x, torch=function, inputs={"x": (3,)}), budget=0)


def step_jax(w, g):
    return w - 0.1 * g


def step_of_optimizer(w, g):
    p = torch.nn.Parameter(w.detach().clone())
    p.grad = g.clone()
    torch.optim.SGD([p], 0.1).step()
    return p


def step_detached(w, g):
    return step_of_optimizer(w, g).detach()


def step_without_gradient(w, g):
    with torch.no_grad():
        return w - 0.1 * g


def step_in_place(w, g):
    w = w.clone()
    with torch.no_grad():
        w.sub_(0.1 * g)
    return w.detach()


@pytest.mark.parametrize(
    "step", [step_of_optimizer, step_detached, step_without_gradient, step_in_place]
)
def test_a_step_with_gradients_switched_off_is_compared_by_its_value(step):
    report, names = checked(Pair(jax=step_jax, torch=step, inputs={"w": (4,), "g": (4,)}))
    assert report
    assert names == set()
    assert report.notes[0].startswith("torch makes out with gradients switched off: its value is")
    wrong = Pair(jax=lambda w, g: w - 0.2 * g, torch=step, inputs={"w": (4,), "g": (4,)})
    assert not parity.check(wrong, dtypes=["float64"], budget=0)


def test_what_is_merely_detached_is_a_difference():
    pair = Pair(jax=jnp.tanh, torch=lambda x: x.tanh().detach(), inputs={"x": (4,)})
    assert checked(pair)[0].fault() == "fault: torch"


def test_of_two_outputs_one_may_have_no_gradient():
    def torch_side(w, g):
        with torch.no_grad():
            new = w - 0.1 * g
        return torch.tanh(w) * g, new

    pair = Pair(
        jax=lambda w, g: (jnp.tanh(w) * g, w - 0.1 * g),
        torch=torch_side,
        inputs={"w": (4,), "g": (4,)},
    )
    report, names = checked(pair)
    assert report
    assert names == {"w", "g"}
    assert report.notes[0].startswith("torch makes out[1] with gradients switched off")


# --- a function that differentiates inside ---


def penalty_jax(x, w):
    return jnp.sum(jax.grad(lambda x: jnp.tanh(x @ w).sum())(x) ** 2)


def penalty_torch(x, w):
    (g,) = torch.autograd.grad(torch.tanh(x @ w).sum(), x, create_graph=True)
    return (g**2).sum()


def inner_jax(w, x, y):
    g = jax.grad(lambda w: jnp.mean((x @ w - y) ** 2))(w)
    return jnp.mean((x @ (w - 0.1 * g) - y) ** 2)


def inner_torch(w, x, y):
    (g,) = torch.autograd.grad(F.mse_loss(x @ w, y), w, create_graph=True)
    return F.mse_loss(x @ (w - 0.1 * g), y)


def second_jax(x):
    return jax.vmap(jax.grad(jax.grad(lambda t: jnp.sin(t) * t)))(x)


def second_torch(x):
    (g,) = torch.autograd.grad((x.sin() * x).sum(), x, create_graph=True)
    return torch.autograd.grad(g.sum(), x, create_graph=True)[0]


@pytest.mark.parametrize(
    ("jax_side", "torch_side", "inputs"),
    [
        (penalty_jax, penalty_torch, {"x": (3, 4), "w": (4, 2)}),
        (inner_jax, inner_torch, {"w": (4, 2), "x": (3, 4), "y": (3, 2)}),
        (second_jax, second_torch, {"x": (5,)}),
    ],
)
def test_a_gradient_may_be_taken_inside(jax_side, torch_side, inputs):
    report, names = checked(Pair(jax=jax_side, torch=torch_side, inputs=inputs))
    assert report
    assert names == {*inputs}


# --- shapes in containers, modules, names ---


def test_shapes_are_shapes_wherever_they_stand():
    made = arguments({"p": {"w": (3, 5), "more": [(5,), ()]}, "x": (4, 3)})
    assert made.names == ("p['w']", "p['more'][0]", "p['more'][1]", "x")
    assert [x.shape for x in made.leaves] == [(3, 5), (5,), (), (4, 3)]
    assert arguments({"p": {"k": [3, 5]}, "x": 1.0}).leaves[0].shape == ()


def test_a_dictionary_of_shapes_is_a_parameter_tree():
    def jax_side(p, x):
        return jnp.tanh(x @ p["l"]["w"]) + p["l"]["b"]

    def torch_side(p, x):
        return torch.tanh(x @ p["l"]["w"]) + p["l"]["b"]

    inputs = {"p": {"l": {"w": (3, 5), "b": (5,)}}, "x": (4, 3)}
    report, names = checked(Pair(jax=jax_side, torch=torch_side, inputs=inputs))
    assert report
    assert names == {"p['l']['w']", "p['l']['b']", "x"}


def test_an_equinox_module_is_itself_again():
    module = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))

    def torch_side(m, x):
        first, second = m.layers
        hidden = F.relu(F.linear(x, first.weight, first.bias))
        return F.linear(hidden, second.weight, second.bias)

    pair = Pair(
        jax=lambda m, x: jax.vmap(m)(x),
        torch=torch_side,
        inputs=lambda rng: {"m": module, "x": rng.normal(size=(5, 3))},
    )
    report, names = checked(pair)
    assert report
    assert "m.layers[1].weight" in names


class Scaled(eqx.Module):
    scale: jax.Array
    size: int
    quiet: bool = False

    def __init__(self, size):
        self.scale, self.size = jnp.ones(size), size


@dataclass(frozen=True, kw_only=True)
class Plain:
    w: object
    twice: object = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "twice", 2)


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        (Scaled(3), ["t.scale"]),
        (eqx.nn.Dropout(0.5), ["t.p"]),
        (OrderedDict(b=1.0, a=2.0), ["t['b']", "t['a']"]),
        ([Scaled(2), {"k": eqx.nn.Identity()}], ["t[0].scale"]),
        (Plain(w=1.0), ["t.w", "t.twice"]),
    ],
)
def test_what_is_registered_keeps_its_type_and_what_is_no_array(tree, names):
    leaves = flatten(tree, "t")
    assert [name for name, _ in leaves] == names
    again = rebuild(tree, iter([leaf for _, leaf in leaves]))
    assert type(again) is type(tree)
    if isinstance(again, Scaled):
        assert (again.size, again.quiet) == (3, False)


def test_inputs_that_a_function_takes_together_are_named_after_it():
    given = (1.0, 2.0, 3.0)
    assert arguments(given, lambda params, *x: x).names == ("params", "x[0]", "x[1]")
    assert arguments(given, lambda *args: args).names == ("args[0]", "args[1]", "args[2]")
    assert arguments((1.0, 2.0), max).names == ("argument 1", "argument 2")
    assert Pair(jax=lambda *x: x, torch=lambda a, b: a, inputs=(1.0, 2.0)).arguments(
        np.random.default_rng(0)
    ).names == ("a", "b")


# --- what is said of a mistake ---


def refused(**sides):
    with pytest.raises(UsageError) as caught:
        parity.check(Pair(**{"jax": jnp.tanh, **sides}, inputs={"x": (3,), "y": (4,)}), budget=0)
    return str(caught.value)


def test_the_inputs_are_spoken_of_where_the_error_is_about_them():
    def wrong_key(x, y):
        return {}["a"]

    place = f"at test_inputs.py:{wrong_key.__code__.co_firstlineno + 1}"
    said = refused(jax=lambda x, y: x, torch=wrong_key)
    assert said.startswith(f"torch raised KeyError: 'a', {place} (inputs: x [3], y [4])")
    assert "in this order" not in said
    assert "in this order" in refused(jax=lambda x, y: x @ y, torch=lambda x, y: x @ y)
    assert "in this order" in refused(torch=lambda x: x)


def test_which_input_was_changed_is_said():
    def changing(x, y):
        y += 1
        return x

    def changing_quietly(x, y):
        with torch.no_grad():
            return x * y.mul_(2)

    for torch_side in (changing, changing_quietly):
        pair = Pair(jax=lambda x, y: x * y, torch=torch_side, inputs={"x": (3,), "y": (3,)})
        report = parity.check(pair, dtypes=["float64"])
        assert "torch changed its own input y; " in report.told()


def test_which_leaves_were_changed_is_said():
    def changing(p, x):
        with torch.no_grad():
            p["b"].clamp_(min=0)
            x[0] = 0
        return x * p["w"]

    inputs = {"p": {"w": (3,), "b": np.array([-1.0, 2.0])}, "x": np.array([1.0, 2.0, 3.0])}
    pair = Pair(jax=lambda p, x: x * p["w"], torch=changing, inputs=inputs)
    report = parity.check(pair, dtypes=["float64"], budget=0)
    assert "torch changed its own inputs p['b'] and x; " in report.told()


@pytest.mark.parametrize(("framework", "version"), [("jax", "0.8.3"), ("torch", "2.6.0+cpu")])
def test_a_framework_that_is_too_old_is_said_to_be(framework, version, monkeypatch):
    monkeypatch.setattr({"jax": jax, "torch": torch}[framework], "__version__", version)
    with pytest.raises(
        UsageError, match=rf"^{framework} {version.replace('+', '.')} is installed, "
    ):
        parity.check(Pair(jax=jnp.tanh, torch=torch.tanh, inputs={"x": (3,)}))


def test_the_versions_are_those_of_the_package():
    from pathlib import Path

    from parity.frameworks.supported import LEAST

    project = (Path(parity.__file__).parents[1] / "pyproject.toml").read_text()
    for framework, least in LEAST.items():
        assert f'"{framework}>={least}"' in project


def test_a_factor_of_a_constant_is_named_too():
    pair = Pair(
        jax=masked_jax,
        torch=lambda x, mask: masked_torch(x, 0.5 * mask),
        inputs={"x": (3, 4), "mask": Constant((3, 4))},
    )
    report = parity.check(pair, dtypes=["float64"])
    assert report.verdict == "convention"
    assert "0.5" in report.told()
