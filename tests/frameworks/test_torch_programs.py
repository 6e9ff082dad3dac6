"""What of a recorded torch program may be turned: no counts, of which 0 ends the process."""

import torch

from parity.frameworks.torch_program import record


def test_the_heads_of_a_fused_attention_are_no_constant():
    attention = torch.nn.MultiheadAttention(4, 2, batch_first=True).eval()

    def run(x):
        return {"out": attention(x, x, x, need_weights=False)[0]}

    with torch.no_grad():
        programs = record(run, [torch.randn(1, 3, 4)])
    kinds = [operation.kind for program in programs for operation in program.operations]
    assert "_native_multi_head_attention" in kinds
    names = {constant.name for program in programs for constant in program.constants}
    assert names.isdisjoint({"num_head", "embed_dim"})
