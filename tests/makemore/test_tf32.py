"""What TF32 costs is measured and said before anything is trained with it."""

import json
import re

import jax
from jax import lax

import jax_impl.mlp
from parity.__main__ import main
from parity.makemore import tf32
from parity.makemore.data import load
from parity.makemore.training import Config


def test_factors_of_eleven_digits_lose_three_of_seven(monkeypatch):
    """A device that has TF32, played: the network's matrices rounded as it rounds factors."""
    exact = jax_impl.mlp.loss_and_grads

    def coarse(params, Xb, Yb):
        if jax.config.values["jax_default_matmul_precision"] == "tensorfloat32":
            W1, W2 = (lax.reduce_precision(w, 8, 10) for w in (params.W1, params.W2))
            params = params._replace(W1=W1, W2=W2)
        return exact(params, Xb, Yb)

    monkeypatch.setattr(jax_impl.mlp, "loss_and_grads", coarse)
    said = tf32.cost(Config(n_hidden=20), load())
    found = re.fullmatch(
        r"tf32: the first step's gradients are up to ([\d,]+) sigma from float64 \(d\w+\), at full "
        r"precision (\d\.\d) \(rounding ends at 32\): (\d\.\d) decimal digits are lost",
        said,
    )
    assert found, said
    assert 500 < float(found[1].replace(",", "")) < 50_000
    assert float(found[2]) < 20
    assert 2 < float(found[3]) < 4  # 13 binary digits are 3.9 decimal ones, of one factor alone


def test_a_device_that_has_none_says_so_and_the_folder_keeps_it(tmp_path, capsys):
    out = tmp_path / "run"
    words = ["train", "--out", str(out), "--steps", "2", "--n-hidden", "8", "--framework", "torch"]
    assert main([*words, "--matmul-precision", "tf32"]) == 0
    assert "tf32 changes nothing: products are computed at full precision here" in (
        capsys.readouterr().out
    )
    assert json.loads((out / "config.json").read_text())["matmul_precision"] == "tf32"
    assert main([*words, "--matmul-precision", "highest", "--resume"]) == 2
    assert "is trained with --matmul-precision tf32, not highest" in capsys.readouterr().err
