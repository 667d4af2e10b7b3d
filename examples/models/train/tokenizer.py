"""A byte-level BPE tokenizer of 512 tokens: makes tokenizer.json, and encodes for training.

Every digit is a token, so that columns can be told apart. A merge only ever lengthens the beginning
of a word, and only after a space or a capital: " strawberry" is a prefix that the vocabulary knows
and then single letters, which is what a model that spells and counts letters needs.
"""

import collections
import json
import re

VOCAB_SIZE = 512
BOS, PAD, SYSTEM, USER, ASSISTANT, END = SPECIALS = [
    "<|bos|>",
    "<|pad|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
]
# The same pieces, for ASCII, in Python's dialect and in that of tokenizer.json.
PIECES = re.compile(r"[0-9]| ?[A-Za-z]+| ?[^\sA-Za-z0-9]|\s")
PIECES_JSON = r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]|\s"

CHAT_TEMPLATE = (
    "{{- bos_token }}\n"
    "{%- for message in messages %}\n"
    "    {%- if message['role'] not in ['system', 'user', 'assistant'] %}\n"
    "        {{- raise_exception('A role must be system, user or assistant, not ' + message['role']) }}\n"
    "    {%- endif %}\n"
    "    {{- '<|' + message['role'] + '|>' + message['content'] | trim + '<|end|>' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "    {{- '<|assistant|>' }}\n"
    "{%- endif %}"
)


def byte_alphabet():
    """GPT-2's printable stand-ins for the 256 bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table, spare = {}, 256
    for byte in range(256):
        if byte in printable:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(spare)
            spare += 1
    return table


def learn_merges(conversations, count):
    """The most frequent pairs, of those that lengthen the beginning of a piece."""
    alphabet = byte_alphabet()
    pieces = collections.Counter()
    for messages in conversations:
        for message in messages:
            pieces.update(PIECES.findall(message["content"]))
    words = {p: tuple(alphabet[b] for b in p.encode()) for p in pieces}
    merges = []
    while len(merges) < count:
        pairs = collections.Counter()
        for piece, symbols in words.items():
            if len(symbols) > 1 and (symbols[0][0] == alphabet[32] or symbols[0][0].isupper()):
                pairs[symbols[:2]] += pieces[piece]
        if not pairs:
            break
        # Ties by the text of the pair: the result does not depend on the order of a dictionary.
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        joined = best[0] + best[1]
        for piece, symbols in words.items():
            if best[0] in symbols:
                words[piece] = merge(symbols, best, joined)
    return merges


def merge(symbols, pair, joined):
    out, i = [], 0
    while i < len(symbols):
        if symbols[i : i + 2] == pair:
            out.append(joined)
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return tuple(out)


class Tokenizer:
    def __init__(self, merges):
        self.alphabet = byte_alphabet()
        self.merges = merges
        tokens = [self.alphabet[b] for b in range(256)] + [a + b for a, b in merges]
        self.vocab = {t: i for i, t in enumerate(tokens)}
        self.special = {t: len(tokens) + i for i, t in enumerate(SPECIALS)}
        self.ranks = {tuple(m): i for i, m in enumerate(merges)}
        self.names = {i: t for t, i in [*self.vocab.items(), *self.special.items()]}
        self.bytes_of = {c: b for b, c in self.alphabet.items()}
        self.cache = {}

    @classmethod
    def load(cls, path):
        with open(path) as file:
            return cls([tuple(m) for m in json.load(file)["model"]["merges"]])

    def __len__(self):
        return len(self.names)

    def encode_piece(self, piece):
        ids = self.cache.get(piece)
        if ids is None:
            symbols = tuple(self.alphabet[b] for b in piece.encode())
            while len(symbols) > 1:
                pair = min(zip(symbols, symbols[1:]), key=lambda p: self.ranks.get(p, len(self.ranks)))
                if pair not in self.ranks:
                    break
                symbols = merge(symbols, pair, pair[0] + pair[1])
            ids = self.cache[piece] = [self.vocab[s] for s in symbols]
        return ids

    def encode(self, text):
        """Plain text, without special tokens."""
        return [i for piece in PIECES.findall(text) for i in self.encode_piece(piece)]

    def encode_chat(self, messages, add_generation_prompt=False):
        """-> ids, and for each whether the model should learn to write it"""
        special = self.special
        ids, learn = [special[BOS]], [False]
        for message in messages:
            body = self.encode(message["content"].strip())
            ids += [special[f"<|{message['role']}|>"], *body, special[END]]
            mine = message["role"] == "assistant"
            learn += [False] + [mine] * (len(body) + 1)
        if add_generation_prompt:
            ids.append(special[ASSISTANT])
            learn.append(False)
        return ids, learn

    def decode(self, ids):
        out = bytearray()
        for i in ids:
            name = self.names[i]
            out += b"" if name in self.special else bytes(self.bytes_of[c] for c in name)
        return out.decode("utf-8", "replace")

    def to_json(self):
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {
                    "id": i,
                    "content": t,
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": False,
                    "special": True,
                }
                for t, i in self.special.items()
            ],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {
                        "type": "Split",
                        "pattern": {"Regex": PIECES_JSON},
                        "behavior": "Isolated",
                        "invert": False,
                    },
                    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
                ],
            },
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": BOS, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [
                    {"SpecialToken": {"id": BOS, "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}},
                    {"SpecialToken": {"id": BOS, "type_id": 1}},
                    {"Sequence": {"id": "B", "type_id": 1}},
                ],
                "special_tokens": {BOS: {"id": BOS, "ids": [self.special[BOS]], "tokens": [BOS]}},
            },
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": self.vocab,
                "merges": [list(m) for m in self.merges],
            },
        }

    def config_json(self, context):
        return {
            "added_tokens_decoder": {
                str(i): {
                    "content": t,
                    "lstrip": False,
                    "normalized": False,
                    "rstrip": False,
                    "single_word": False,
                    "special": True,
                }
                for t, i in self.special.items()
            },
            "bos_token": BOS,
            "chat_template": CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "eos_token": END,
            "model_max_length": context,
            "pad_token": PAD,
            "tokenizer_class": "PreTrainedTokenizerFast",
        }


def train_tokenizer(generator, conversations=20000):
    merges = learn_merges((generator.conversation() for _ in range(conversations)), VOCAB_SIZE - 256 - len(SPECIALS))
    return Tokenizer(merges)
