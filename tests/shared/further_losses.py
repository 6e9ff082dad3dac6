"""Further mistakes of ports, of losses, samplers and optimizers: as in further_ports.py."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F

from tests.shared.further_ports import mistake, right

# --- losses ---


def binary(rng):
    return {"x": rng.normal(size=(4, 3)), "y": rng.integers(0, 2, (4, 3)).astype(float)}


def focal_torch(x, y):
    p = x.sigmoid()
    near = torch.where(y > 0.5, p, 1 - p)
    alpha = torch.where(y > 0.5, 0.25, 0.75)  # <- focal_alpha_of_the_other_class
    return (-alpha * (1 - near) ** 2 * near.log()).mean()


def focal_jax(x, y):
    p = jax.nn.sigmoid(x)
    near = y * p + (1 - y) * (1 - p)
    alpha = 0.75 * y + 0.25 * (1 - y)  # <- focal_alpha_of_the_other_class
    return -jnp.mean(alpha * (1 - near) ** 2 * jnp.log(near))


mistake("focal_alpha_of_the_other_class", focal_jax, focal_torch, binary,
        r"0\.25.*0\.75|0\.75.*0\.25|exchanged")  # fmt: skip


def labelled(rng):
    y = np.array([2, 0, 1, 2, 3, 1])
    return {"x": rng.normal(size=(6, 4)), "y": y, "w": rng.uniform(0.5, 2, 4)}


def smoothed(rng):
    return {k: x for k, x in labelled(rng).items() if k != "w"}


def smoothed_torch(x, y):
    logs = x.log_softmax(-1)
    hard = F.nll_loss(logs, y)
    return 0.9 * hard + 0.1 * -logs.mean()  # <- smoothing_of_the_sum


def smoothed_jax(summed):
    def run(x, y):
        logs = jax.nn.log_softmax(x)
        hard = -jnp.take_along_axis(logs, y[:, None], 1).mean()
        if summed:
            even = -logs.sum(-1).mean()  # <- smoothing_of_the_sum
            return 0.9 * hard + 0.1 * even
        target = 0.9 * jax.nn.one_hot(y, 4) + 0.1 / 4
        return -(target * logs).sum(-1).mean()

    return run


mistake("smoothing_of_the_sum", smoothed_jax(True), smoothed_torch, smoothed,
        r"the sum.*the mean|divi.*\b6\b.*\b24\b|only torch (divides by 4|multiplies by 0\.25)"
        r"|0\.025")  # fmt: skip
right("smoothing", smoothed_jax(False), lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1),
      smoothed)  # fmt: skip
TWO = {"x": (5, 4), "y": (5, 4)}


def huber_jax(x, y):
    far = jnp.abs(x - y)
    return jnp.where(far < 0.7, far**2, 0.7 * (far - 0.35)).mean()  # <- huber_square_not_halved


mistake("huber_square_not_halved", huber_jax, lambda x, y: F.huber_loss(x, y, delta=0.7), TWO,
        r"only torch (multiplies by 0\.5|divides by 2)|factor = 0\.5|0\.5")  # fmt: skip


def kl_jax(x, y):
    p, q = jax.nn.log_softmax(x), jax.nn.log_softmax(y)
    return (jnp.exp(q) * (q - p)).sum(-1).mean()  # <- kl_the_other_way


def kl_torch(x, y):
    p, q = x.log_softmax(-1), y.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).mean()


mistake("kl_the_other_way", kl_jax, kl_torch, TWO, r"exchanged|x and y|other way")


def dice_torch(x, y):
    p = x.sigmoid()
    both, each = (p * y).sum(-1), p.sum(-1) + y.sum(-1)
    return (1 - 2 * both / (each + 1)).mean()


def dice_jax(axis):
    def run(x, y):
        p = jax.nn.sigmoid(x)
        both = jnp.sum(p * y, axis)  # <- dice_of_the_batch
        each = jnp.sum(p, axis) + jnp.sum(y, axis)
        return jnp.mean(1 - 2 * both / (each + 1))

    return run


mistake("dice_of_the_batch", dice_jax(None), dice_torch, binary, r"over axes 0 and 1.*over axis 1")
right("dice", dice_jax(1), dice_torch, binary)


def weighted_jax(reduce):
    def run(x, y, w):
        nll = -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1)[:, 0]
        return reduce(nll, w[y])

    return run


def weighted_torch(x, y, w):
    return F.cross_entropy(x, y, weight=w)


def weighted_by_hand(x, y, w):
    each = -x.log_softmax(-1)[torch.arange(6), y]
    return (w[y] * each).sum() / w[y].sum()  # <- weights_left_out_above


mistake("weights_mean_of_examples", weighted_jax(
    lambda nll, w: (w * nll).mean()),  # <- weights_mean_of_examples
    weighted_torch, labelled, r"divides by .*divides by|by the sum|torch by what sum makes",
)  # fmt: skip
mistake("weights_by_hand_mean", weighted_jax(
    lambda nll, w: (w * nll).mean()),  # <- weights_by_hand_mean
    weighted_by_hand, labelled, r"divides by .*divides by|by the sum|torch by what sum makes",
)  # fmt: skip
mistake("weights_left_out_above", weighted_jax(
    lambda nll, w: nll.sum() / w.sum()),  # <- weights_left_out_above
    weighted_by_hand, labelled, r"only torch multiplies by what .*makes",
)  # fmt: skip
mistake("weights_forgotten", weighted_jax(
    lambda nll, w: nll.mean()),  # <- weights_forgotten
    weighted_torch, labelled, r"does not use w",
)  # fmt: skip
right("weights", weighted_jax(lambda nll, w: nll @ (w / w.sum())), weighted_torch, labelled)


def entropy_jax(z):
    return -jnp.mean(jnp.diagonal(jax.nn.log_softmax(z, -1)))


def contrast_jax(once):
    def run(x, y):
        z = x @ y.T / 0.1
        if once:
            return (entropy_jax(z) + entropy_jax(z)) / 2  # <- contrast_one_way_twice
        return entropy_jax(z.T) / 2 + entropy_jax(z) / 2

    return run


def contrast_torch(once):
    def run(x, y):
        z = (x @ y.T) / 0.1
        t = torch.arange(len(z))
        other = z if once else z.T  # <- contrast_one_way_twice
        return (F.cross_entropy(z, t) + F.cross_entropy(other, t)) / 2  # <- contrast_in_torch

    return run


mistake("contrast_one_way_twice", contrast_jax(True), contrast_torch(False), TWO, r"transpos")
mistake("contrast_in_torch", contrast_jax(False), contrast_torch(True), TWO, r"transpos")
right("contrast", contrast_jax(False), contrast_torch(False), TWO)

# --- samplers ---


def times(rng):
    return {"x": rng.normal(size=(4, 3)), "v": rng.normal(size=(4, 3)), "t": np.array([3, 1, 4, 2])}


def bars(m, like):
    return m.cumprod(1 - m.linspace(0.1, 0.5, 6, dtype=like.dtype), 0)


def velocity_torch(x, v, t):
    bar = bars(torch, x)[t][:, None]
    a, s = bar.sqrt(), (1 - bar).sqrt()
    start, noise = a * x - s * v, s * x + a * v  # <- velocity_noise_exchanged
    before = bars(torch, x)[t - 1][:, None]  # <- schedule_off_by_one
    return before.sqrt() * start + (1 - before).sqrt() * noise


def velocity_jax(wrong):
    def run(x, v, t):
        table = bars(jnp, x)
        bar = table[t][:, None]
        a, s = jnp.sqrt(bar), jnp.sqrt(1 - bar)
        start = a * x - s * v
        noise = (x - a * start) / s
        if wrong == "velocity_noise_exchanged":
            noise = a * x + s * v  # <- velocity_noise_exchanged
        before = table[t if wrong == "schedule_off_by_one" else t - 1]  # <- schedule_off_by_one
        return (
            jnp.sqrt(before)[:, None] * start  # <- schedule_off_by_one
            + jnp.sqrt(1 - before)[:, None] * noise  # <- schedule_off_by_one
        )

    return run


mistake("velocity_noise_exchanged", velocity_jax("velocity_noise_exchanged"), velocity_torch,
        times, r"exchanged|reads")  # fmt: skip
mistake("schedule_off_by_one", velocity_jax("schedule_off_by_one"), velocity_torch, times,
        r"only torch (subtracts|adds) -?1|t - 1|one (earlier|before)|reads")  # fmt: skip
right("velocity", velocity_jax(""), velocity_torch, times)
mistake(
    "gumbel_not_cooled",
    lambda x, y: jax.nn.softmax(x / 0.5 + y) ** 2,  # <- gumbel_not_cooled
    lambda x, y: torch.softmax((x + y) / 0.5, -1) ** 2,  # <- gumbel_not_cooled
    TWO,
    r"divides by 0\.5.*(before|after)|multiplies by 2.*(before|after)",
)

# --- optimizers ---


def moments(rng):
    v = rng.uniform(0.1, 1, (4, 3))
    return {**{k: rng.normal(size=(4, 3)) for k in "pgm"}, "v": v}


def adamw_torch(p, g, m, v):
    p = p * (1 - 0.1 * 0.2)
    m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
    return p - 0.1 * m / (v.sqrt() + 1e-4)  # <- adamw_decay_of_the_new


def adamw_jax(wrong):
    def run(p, g, m, v):
        m, v = m + 0.1 * (g - m), v + 0.01 * (g**2 - v)
        step = m / (jnp.sqrt(v) + 1e-4)
        if not wrong:
            return p - 0.1 * (step + 0.2 * p)
        p = p - 0.1 * step
        return p - 0.02 * p  # <- adamw_decay_of_the_new

    return run


mistake("adamw_decay_of_the_new", adamw_jax(True), adamw_torch, moments, r"before|after|reads")
right("adamw", adamw_jax(False), adamw_torch, moments)
STEP = {"p": (4, 3), "g": (4, 3), "m": (4, 3)}


def nesterov_torch(p, g, m):
    m = 0.9 * m + g
    return p - 0.1 * (g + 0.9 * m), m


def nesterov_jax(p, g, m):
    new = 0.9 * m + g
    return p - 0.1 * (g + 0.9 * m), new  # <- nesterov_of_the_old


mistake("nesterov_of_the_old", nesterov_jax, nesterov_torch, STEP, r"reads")


def clipped_torch(p, g, m):
    g = g * torch.clamp(1.5 / (g.norm() + 1e-6), max=1.0)
    g = g + 0.3 * p
    return p - 0.1 * (0.9 * m + g)


def clipped_jax(wrong):
    def run(p, g, m):
        if wrong:
            g = g + 0.3 * p
        norm = jnp.sqrt((g * g).sum())  # <- clip_after_the_decay
        g = g * jnp.minimum(1.0, 1.5 / (norm + 1e-6))
        if not wrong:
            g = g + 0.3 * p
        return p - 0.1 * (0.9 * m + g)

    return run


mistake("clip_after_the_decay", clipped_jax(True), clipped_torch, STEP, r"before|after|reads")
right("clip", clipped_jax(False), clipped_torch, STEP)


def averaged_torch(p, g, m):
    p = p - 0.1 * g
    return p, 0.9 * m + 0.1 * p


def averaged_jax(p, g, m):
    average = 0.9 * m + 0.1 * p  # <- average_of_the_old
    return p - 0.1 * g, average


mistake("average_of_the_old", averaged_jax, averaged_torch, STEP, r"reads")
