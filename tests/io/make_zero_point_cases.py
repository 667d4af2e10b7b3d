"""Writes zero_point_cases.json: small matrices as AWQ and GPTQ checkpoints pack them, and as
lib/tensor/int4.h holds them. Bytes are little-endian, in hexadecimal.

    python3 make_zero_point_cases.py > zero_point_cases.json

The packing follows the definitions of the two formats alone: a word is the sum of code << shift.
"""
import json
import struct

GROUP = 128
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # the output whose code is shifted by 0, 4, 8, ... bits


def numbers(seed):
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 33


def words(rows):
    return b"".join(struct.pack("<I", word) for row in rows for word in row).hex()


def halves(rows):
    return b"".join(struct.pack("<e", value) for row in rows for value in row).hex()


def pack(codes, order):
    """Words of eight codes that follow each other."""
    return [
        sum(codes[start + order[i]] << (4 * i) for i in range(8)) for start in range(0, len(codes), 8)
    ]


def case(method, zero_offset, outputs, inputs, seed):
    draw = numbers(seed)
    groups = -(-inputs // GROUP)
    weight = [[next(draw) % 16 for _ in range(inputs)] for _ in range(outputs)]
    zero = [[next(draw) % 16 + zero_offset for _ in range(outputs)] for _ in range(groups)]
    scale = [[(next(draw) % 2000 - 1000) / 4096 for _ in range(outputs)] for _ in range(groups)]
    plain = tuple(range(8))
    order = AWQ_ORDER if method == "awq" else plain
    if method == "awq":  # a row of words an input
        qweight = [pack([weight[o][i] for o in range(outputs)], order) for i in range(inputs)]
    else:  # a row of words eight inputs
        qweight = [
            [pack([weight[o][i + j] for j in range(8)], plain)[0] for o in range(outputs)]
            for i in range(0, inputs, 8)
        ]
    padded = [row + [0] * (inputs % 2) for row in weight]
    return {
        "method": method,
        "zero_offset": zero_offset,
        "outputs": outputs,
        "inputs": inputs,
        "qweight": words(qweight),
        "qzeros": words([pack([z - zero_offset for z in row], order) for row in zero]),
        "scales": halves(scale),
        "g_idx": words([[i // GROUP for i in range(inputs)]]),
        "expected_codes": "".join(f"{code:x}" for row in padded for code in row),
        "expected_scales": halves([[scale[g][o] for g in range(groups)] for o in range(outputs)]),
        "expected_zeros": bytes(zero[g][o] for o in range(outputs) for g in range(groups)).hex(),
    }


print(
    json.dumps(
        [
            case("awq", 0, 8, 4, 1),
            case("awq", 0, 24, 131, 2),
            case("gptq", 1, 8, 8, 3),
            case("gptq", 1, 24, 136, 4),
            case("gptq", 0, 16, 264, 5),
        ],
        indent=1,
    )
)
