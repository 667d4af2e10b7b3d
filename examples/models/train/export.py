"""Reads and writes the model as a Hugging Face directory. safetensors is simple enough to be written here."""

import json
import os
import struct

import torch

from model import Config, Llama
from tokenizer import Tokenizer

DEFAULT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "abacus")


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=None if name == "tokenizer.json" else 2, ensure_ascii=False)
        file.write("\n")


def write(folder, model, tokenizer):
    os.makedirs(folder, exist_ok=True)
    config = model.config
    write_json(folder, "config.json", config.to_json(tokenizer))
    write_json(
        folder,
        "generation_config.json",
        {
            "bos_token_id": tokenizer.special["<|bos|>"],
            "do_sample": False,
            "eos_token_id": tokenizer.special["<|end|>"],
            "pad_token_id": tokenizer.special["<|pad|>"],
        },
    )
    write_json(folder, "tokenizer.json", tokenizer.to_json())
    write_json(folder, "tokenizer_config.json", tokenizer.config_json(config.max_position_embeddings))
    write_json(
        folder,
        "special_tokens_map.json",
        {"bos_token": "<|bos|>", "eos_token": "<|end|>", "pad_token": "<|pad|>"},
    )
    header, parts, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, tensor in sorted(model.state().items()):
        data = tensor.to(torch.bfloat16).contiguous().view(torch.uint16).numpy().tobytes()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(data)]}
        parts.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def read(folder):
    """-> model, tokenizer"""
    with open(os.path.join(folder, "config.json")) as file:
        model = Llama(Config.from_json(json.load(file)))
    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        body = file.read()
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            raw = torch.frombuffer(bytearray(body[begin:end]), dtype=torch.bfloat16)
            tensors[name] = raw.float().view(entry["shape"])
    model.load_state(tensors)
    return model, Tokenizer.load(os.path.join(folder, "tokenizer.json"))
