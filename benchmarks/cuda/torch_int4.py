#!/usr/bin/env python3
"""Times PyTorch's product of bf16 activations and int4 weights on this machine's GPU.

  torch_int4.py TOKENSxINPUTSxOUTPUTS ...

Prints a JSON object a line: the product, and the median, least and most seconds of a call. Groups
of 128 as llmcore's blocks; weights are taken in turns from copies that together exceed any cache.
Where PyTorch or a GPU that it knows is not there, one line says so: {"absent": "..."}.
"""

import json
import re
import sys

GROUP = 128
INNER_TILES = 8
BEYOND_CACHES = 256 << 20  # bytes of all copies of a weight
SAMPLES = 5
SECONDS = 0.02  # of a sample, at least


def weight(torch, inputs, outputs):
    """Packed codes, and a scale and a zero for each group of an output."""
    shape = (outputs, inputs // 2)
    codes = torch.randint(0, 256, shape, dtype=torch.uint8, device="cuda")
    packed = torch.ops.aten._convert_weight_to_int4pack(codes, INNER_TILES)
    parameters = torch.rand(inputs // GROUP, outputs, 2, dtype=torch.bfloat16, device="cuda")
    return packed, parameters


def seconds_of(torch, calls, run):
    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    begin.record()
    for i in range(calls):
        run(i)
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def measure(torch, tokens, inputs, outputs):
    copies = max(2, BEYOND_CACHES // (inputs * outputs // 2) + 1)
    weights = [weight(torch, inputs, outputs) for _ in range(copies)]
    activations = torch.rand(tokens, inputs, dtype=torch.bfloat16, device="cuda")

    def run(i):
        packed, parameters = weights[i % copies]
        torch.ops.aten._weight_int4pack_mm(activations, packed, GROUP, parameters)

    calls = copies
    while seconds_of(torch, calls, run) < SECONDS:
        calls *= 2
    samples = sorted(seconds_of(torch, calls, run) / calls for _ in range(SAMPLES))
    return {"tokens": tokens, "inputs": inputs, "outputs": outputs,
            "seconds": samples[SAMPLES // 2], "least": samples[0], "most": samples[-1]}


def main(words):
    if not words or words[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if words else 2
    products = [re.fullmatch(r"(\d+)x(\d+)x(\d+)", word) for word in words]
    if not all(products):
        print(f"torch_int4.py: {words[products.index(None)]} is not TOKENSxINPUTSxOUTPUTS",
              file=sys.stderr)
        return 2
    try:
        import torch
    except ImportError as error:
        print(json.dumps({"absent": str(error)}))
        return 0
    if not torch.cuda.is_available():
        print(json.dumps({"absent": f"PyTorch {torch.__version__} finds no GPU"}))
        return 0
    for product in products:
        print(json.dumps(measure(torch, *map(int, product.groups()))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
