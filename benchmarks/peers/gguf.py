"""Writes GGUF files of random weights, so that peers can be timed on shapes whose weights are not here.

A file has the tensors of a Llama or Qwen2 model, all linears in one format, and no tokenizer ("no_vocab" with
the size of the vocabulary, which peers take). Contents are valid blocks with finite scales, drawn once a format
and repeated: timing does not depend on them, memory stays small, and a file is the same whoever writes it.
"""

import os
import random
import struct
from dataclasses import dataclass

VERSION = 3
ALIGNMENT = 32

# Codes of the GGUF format.
TYPE_UINT32, TYPE_FLOAT32, TYPE_STRING = 4, 6, 8


@dataclass(frozen=True)
class Format:
    """How a row of weights is stored: `row_bytes` of its own, then blocks."""

    name: str
    code: int  # ggml's number of the type
    block: int  # weights
    block_bytes: int
    row_bytes: int = 0

    def bytes_of(self, columns):
        if columns % self.block:
            raise ValueError(f"{self.name} needs rows of a multiple of {self.block} weights, not {columns}")
        return self.row_bytes + columns // self.block * self.block_bytes


FORMATS = {
    f.name: f
    for f in (
        Format("f32", 0, 1, 4),
        Format("q4_0", 2, 32, 18),  # an f16 scale, 32 codes of 4 bits around 8
        Format("q8_0", 8, 32, 34),  # an f16 scale, 32 signed bytes
        Format("bf16", 30, 1, 2),
        # An f32 scale a row; a block is 8 bytes of scales (7 bits around 127 and a shift) and 256 codes.
        Format("iq4_ks", 144, 256, 136, row_bytes=4),
    )
}

SPREAD = 0.02  # standard deviation of a weight, about


def _block(format, draw):
    if format.name == "q4_0":
        return struct.pack("<e", SPREAD / 4.6 * draw.uniform(0.5, 1.5)) + draw.randbytes(16)
    if format.name == "q8_0":
        return struct.pack("<e", SPREAD / 74 * draw.uniform(0.5, 1.5)) + draw.randbytes(32)
    if format.name == "iq4_ks":
        return draw.randbytes(136)
    if format.name == "bf16":
        return struct.pack("<f", draw.gauss(0, SPREAD))[2:]
    raise ValueError(f"no random blocks of {format.name}")


class _Rows:
    """Endless rows of random weights: a pool of blocks, a prime number of them, over and over."""

    POOL = 4093

    def __init__(self, format, columns):
        self._format = format
        self._columns = columns
        draw = random.Random(format.name)
        if format.row_bytes:  # whole rows, each with its scale
            blocks = columns // format.block
            scale = struct.pack("<f", SPREAD / (70 * 74))
            self._pool = b"".join(
                scale + b"".join(_block(format, draw) for _ in range(blocks))
                for _ in range(max(self.POOL // blocks, 1))
            )
        else:
            self._pool = b"".join(_block(format, draw) for _ in range(self.POOL))

    def write(self, file, rows):
        left = rows * self._format.bytes_of(self._columns)
        while left > 0:
            piece = self._pool if left >= len(self._pool) else self._pool[:left]
            file.write(piece)
            left -= len(piece)


def _string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value):
    if isinstance(value, str):
        return struct.pack("<I", TYPE_STRING) + _string(value)
    if isinstance(value, float):
        return struct.pack("<If", TYPE_FLOAT32, value)
    return struct.pack("<II", TYPE_UINT32, value)


def metadata(shape):
    of = shape.architecture
    return {
        "general.architecture": of,
        "general.name": shape.name,
        "general.alignment": ALIGNMENT,
        f"{of}.vocab_size": shape.vocabulary,
        f"{of}.context_length": shape.context,
        f"{of}.embedding_length": shape.hidden,
        f"{of}.block_count": shape.layers,
        f"{of}.feed_forward_length": shape.intermediate,
        f"{of}.attention.head_count": shape.heads,
        f"{of}.attention.head_count_kv": shape.kv_heads,
        f"{of}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{of}.rope.dimension_count": shape.head_dim,
        f"{of}.rope.freq_base": float(shape.rope_theta),
        "tokenizer.ggml.model": "no_vocab",
    }


def tensors(shape, format):
    """(name, format, rows, columns) in the order of the file; vectors have one row."""
    f32 = FORMATS["f32"]
    queries = shape.heads * shape.head_dim
    keys = shape.kv_heads * shape.head_dim
    yield "token_embd.weight", format, shape.vocabulary, shape.hidden
    yield "output_norm.weight", f32, 1, shape.hidden
    if not shape.tied:
        yield "output.weight", format, shape.vocabulary, shape.hidden
    for layer in range(shape.layers):
        of = f"blk.{layer}."
        yield of + "attn_norm.weight", f32, 1, shape.hidden
        for part, rows in (("q", queries), ("k", keys), ("v", keys)):
            yield of + f"attn_{part}.weight", format, rows, shape.hidden
            if shape.qkv_bias:
                yield of + f"attn_{part}.bias", f32, 1, rows
        yield of + "attn_output.weight", format, shape.hidden, queries
        yield of + "ffn_norm.weight", f32, 1, shape.hidden
        yield of + "ffn_gate.weight", format, shape.intermediate, shape.hidden
        yield of + "ffn_up.weight", format, shape.intermediate, shape.hidden
        yield of + "ffn_down.weight", format, shape.hidden, shape.intermediate


def _padding(offset):
    return -offset % ALIGNMENT


def write(path, shape, format_name, progress=lambda done, total: None):
    """Writes the file, or leaves none: it gets its name when it is complete."""
    format = FORMATS[format_name]
    listed = list(tensors(shape, format))
    header = bytearray(b"GGUF" + struct.pack("<IQQ", VERSION, len(listed), len(metadata(shape))))
    for key, value in metadata(shape).items():
        header += _string(key) + _value(value)
    offset = 0
    for name, tensor_format, rows, columns in listed:
        dimensions = (columns,) if rows == 1 else (columns, rows)  # the fastest first
        header += _string(name) + struct.pack("<I", len(dimensions))
        header += b"".join(struct.pack("<Q", d) for d in dimensions)
        header += struct.pack("<IQ", tensor_format.code, offset)
        offset += rows * tensor_format.bytes_of(columns)
        offset += _padding(offset)
    header += bytes(_padding(len(header)))

    partial = f"{path}.partial"
    total, pools = len(header) + offset, {}
    try:
        with open(partial, "wb") as file:
            file.write(header)
            for name, tensor_format, rows, columns in listed:
                if tensor_format.name == "f32":
                    value = 0.0 if name.endswith("bias") else 1.0
                    file.write(struct.pack("<f", value) * (rows * columns))
                else:
                    if columns not in pools:
                        pools[columns] = _Rows(tensor_format, columns)
                    pools[columns].write(file, rows)
                file.write(bytes(_padding(file.tell())))
                progress(file.tell(), total)
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise
