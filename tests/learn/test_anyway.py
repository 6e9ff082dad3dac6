"""Training with a mistake: which there are, what is said of the outcome, and the picture."""

import numpy as np
import pytest

from parity.__main__ import main
from parity.errors import UsageError
from parity.learn import anyway
from parity.learn.anyway import Trained
from parity.makemore.exercises import ROWS


def test_every_gradient_has_a_right_line_and_mistakes_have_names():
    assert [*anyway.steps()] == [*ROWS]
    assert anyway.chosen("dbndiff2").name == anyway.chosen("bndiff2.1").name == "bndiff2.1"
    with pytest.raises(UsageError, match="there is no mistake W9; `parity learn wrong` lists them"):
        anyway.chosen("W9")


@pytest.mark.parametrize(
    ("validation", "last", "said"),
    [
        (2.301, 2.3, "It trains anyway: 0.0010 above the right one, where another seed makes 0.01"),
        (2.35, 2.3, "It trains anyway, to a loss 0.0500 above the right one's"),
        (9.0, np.nan, "This one does not train"),
        (9.0, 3.4, "This one does not train"),
    ],
)
def test_what_is_said_follows_from_the_losses(validation, last, said):
    right, other = Trained(np.linspace(3.3, 2.3, 60), 2.3), Trained(np.linspace(3.3, 2.3, 60), 2.31)
    wrong = Trained(np.linspace(3.3, last, 60), validation)
    assert said in anyway.summary(right, other, wrong, "x.1")[-1]


@pytest.mark.full
def test_a_training_with_a_mistake_is_drawn_beside_the_right_one(tmp_path, capsys):
    out = tmp_path / "picture.png"
    assert main(["learn", "wrong", "bndiff", "--steps", "400", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "It trains anyway" in said
    assert out.read_bytes().startswith(b"\x89PNG")
    assert main(["learn", "wrong", "b2", "--out", str(out)]) == 2
    assert "db2 has shape (1, 27), b2 has (27,)" in capsys.readouterr().err
    assert main(["learn", "wrong", "bndiff.5", "--out", str(out)]) == 2
    assert "it reads dhprebn, which is not there yet" in capsys.readouterr().err
