#!/usr/bin/env python3
"""Makes the data of random_test.cc: small tokenizers and the hashes of what Hugging Face's
`tokenizers` and Google's `sentencepiece` make of random strings.

    pip install tokenizers==0.23.* sentencepiece==0.2.*
    tests/tokenizer/generate_vectors.py [--train] [--reference DIR]

--train trains the small tokenizers in data/ again (with another version their pieces may differ);
without it only the hashes are made. The strings come from a pseudo-random generator that
random_strings.h repeats, so that only hashes are stored: a line for each 25 strings.
"""
import argparse
import io
import json
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "data")
MASK = (1 << 64) - 1
STRINGS_PER_LINE = 25

# Inclusive ranges of code points, all in Unicode 9. The same table is in random_strings.h.
POOLS = [
    [(0x20, 0x7E)],
    [(0x61, 0x7A)],
    [(0x30, 0x39), (0xB2, 0xB3), (0x2160, 0x216B), (0x660, 0x669), (0xBC, 0xBE)],
    [(0x20, 0x20), (0x09, 0x0D), (0x85, 0x85), (0xA0, 0xA0), (0x2000, 0x200F), (0x2028, 0x2029),
     (0x3000, 0x3000), (0x180E, 0x180E), (0xFEFF, 0xFEFF)],
    [(0x20, 0x20), (0x0A, 0x0A), (0x0D, 0x0D), (0x20, 0x20)],
    [(0xA1, 0x24F)],
    [(0x300, 0x34E), (0x61, 0x65)],
    [(0x391, 0x3A1), (0x3B1, 0x3C9), (0x410, 0x44F)],
    [(0x5D0, 0x5EA), (0x621, 0x64A), (0x64B, 0x652)],
    [(0x905, 0x939), (0x93C, 0x93C), (0x93E, 0x94D), (0x995, 0x9A8), (0xE01, 0xE3A)],
    [(0x1100, 0x1112), (0x1161, 0x1175), (0x11A7, 0x11C2)],
    [(0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FA5)],
    [(0xAC00, 0xD7A3)],
    [(0x1F300, 0x1F5FF), (0x1F600, 0x1F64F), (0x200D, 0x200D), (0xFE0F, 0xFE0F),
     (0x1F1E6, 0x1F1FF)],
    [(0xFF01, 0xFF5E), (0xFB00, 0xFB06), (0x2070, 0x2071), (0x2100, 0x2138)],
    [(0x2010, 0x2027), (0x2030, 0x205E), (0x20A0, 0x20BE), (0x2190, 0x21FF)],
    [(0x01, 0x1F), (0x7F, 0x9F), (0xE000, 0xE0FF), (0xFFFD, 0xFFFD)],
    [(0x1D400, 0x1D454), (0x10400, 0x1044F), (0x20000, 0x20100)],
]
SNIPPETS = [
    "the", " of", " and", "ing", "'s", "'S", "'ll", "'re", "n't", "'\u017f", "'", "\u2581",
    "<0x41>", "  ", "   ", "\n\n", " \n", "1234567", "...", "!!", "\u0120", "Hello", " World",
    "<s>", "</s>", "<unk>", "[SPECIAL]", " [LEFT] ", " [RIGHT] ", "[WORD]", "[NORMAL]", "[normal]",
    "<|endoftext|>", "<|im_start|>", "<|eot_id|>", "##a", "ab ab",
]
LENGTHS = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55]


class Random:
    """SplitMix64 (Steele, Lea, Flood 2014)."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % limit


def random_string(random):
    length = LENGTHS[random.below(len(LENGTHS))]
    pools = [random.below(len(POOLS) + 2) for _ in range(1 + random.below(4))]
    text = ""
    for _ in range(length):
        pool = pools[random.below(len(pools))]
        if pool >= len(POOLS):
            text += SNIPPETS[random.below(len(SNIPPETS))]
            continue
        first, last = POOLS[pool][random.below(len(POOLS[pool]))]
        text += chr(first + random.below(last - first + 1))
    return text


def random_strings(seed, count):
    random = Random(seed)
    return [random_string(random) for _ in range(count)]


class Hash:
    """FNV-1a, 64 bits."""

    def __init__(self):
        self.value = 0xCBF29CE484222325

    def add(self, data):
        for byte in data:
            self.value = ((self.value ^ byte) * 0x100000001B3) & MASK

    def add_result(self, ids, text):
        self.add(struct.pack("<%di" % len(ids), *ids))
        self.add(b"\xff")
        self.add(text.encode())
        self.add(b"\xff")


def write_hashes(name, count, run):
    lines = []
    value = Hash()
    for i, text in enumerate(random_strings(20240607, count)):
        value.add_result(*run(text))
        if (i + 1) % STRINGS_PER_LINE == 0:
            lines.append("%016x" % value.value)
            value = Hash()
    with open(os.path.join(DATA, name + ".hashes"), "w") as file:
        file.write("\n".join(lines) + "\n")


# --- the small tokenizers ---------------------------------------------------------------------

def corpus():
    """Sentences of a made-up language, with scripts, digits and punctuation mixed in."""
    random = Random(1)
    syllables = ["an", "ber", "co", "del", "en", "fi", "ga", "hu", "ing", "jo", "ka", "lo", "mer",
                 "ne", "ou", "pre", "qui", "re", "st", "the", "un", "ver", "wo", "xa", "y", "ze"]
    words = ["".join(syllables[random.below(len(syllables))] for _ in range(1 + random.below(4)))
             for _ in range(300)]
    foreign = ["\u043f\u0440\u0438\u0432\u0435\u0442", "\u65e5\u672c\u8a9e", "caf\u00e9", "na\u00efve",
               "\u0928\u092e\u0938\u094d\u0924\u0947", "\ud55c\uad6d\uc5b4", "\U0001f600\U0001f680"]
    lines = []
    for _ in range(1500):
        line = []
        for _ in range(3 + random.below(10)):
            kind = random.below(20)
            if kind == 0:
                line.append(foreign[random.below(len(foreign))])
            elif kind == 1:
                line.append(str(random.below(10000)))
            else:
                word = words[random.below(1 + random.below(len(words)))]
                line.append(word.capitalize() if kind == 2 else word + ",.!?"[kind - 3:kind - 2])
        lines.append(" ".join(line))
    return lines


def train():
    from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                            pre_tokenizers, processors, trainers)
    import sentencepiece
    lines = corpus()
    llama3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
              r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    flags = [AddedToken("[LEFT]", lstrip=True, normalized=False),
             AddedToken("[RIGHT]", rstrip=True, normalized=False),
             AddedToken("[WORD]", single_word=True, normalized=False),
             AddedToken("[NORMAL]", normalized=True)]

    def save(name, tokenizer, **changes):
        content = json.loads(tokenizer.to_str())
        for path, value in changes.items():
            content["model"][path] = value
        with open(os.path.join(DATA, name + ".json"), "w") as file:
            json.dump(content, file, ensure_ascii=False, separators=(",", ":"))

    # GPT-2: the regular expression of ByteLevel.
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=450, special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_tokens(flags)
    t.post_processor = processors.RobertaProcessing(("<|endoftext|>", 0), ("<|endoftext|>", 0))
    save("byte_bpe", t)

    # Llama 3, with a normalizer, in both orders of ids and with merges as lines.
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(llama3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_special_tokens(["<s>", "<|eot_id|>", "[SPECIAL]"])
    t.add_tokens(flags)
    t.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", t.token_to_id("<s>"))])
    merges = json.loads(t.to_str())["model"]["merges"]
    save("llama3_bpe", t, merges=[" ".join(pair) for pair in merges])

    # Llama 2: SentencePiece's BPE with byte fallback.
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"),
                                         normalizers.Replace(" ", "\u2581")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(),
                                   decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=600, limit_alphabet=60,
        special_tokens=["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]))
    content = json.loads(t.to_str())
    content["added_tokens"] = content["added_tokens"][:3]
    content["pre_tokenizer"] = None
    t = Tokenizer.from_str(json.dumps(content))
    t.add_tokens(flags)
    save("byte_fallback_bpe", t)

    # Mistral: Metaspace on the first stretch only, no bytes, unknown characters fused.
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    t.decoder = decoders.Metaspace(prepend_scheme="first")
    t.train_from_iterator([w for l in lines for w in l.split()], trainers.BpeTrainer(
        vocab_size=350, limit_alphabet=50, special_tokens=["<unk>", "<s>", "</s>"]))
    t.add_tokens(flags)
    save("metaspace_bpe", t)

    # The original BPE: parts of words are marked.
    t = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##",
                             end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Lowercase()
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.decoder = decoders.BPEDecoder("</w>")
    t.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=350, limit_alphabet=50, special_tokens=["<unk>"],
        continuing_subword_prefix="##", end_of_word_suffix="</w>"))
    t.add_tokens(flags)
    save("suffix_bpe", t)

    # SentencePiece files: both model types, a small character map, user-defined pieces.
    rules = os.path.join(DATA, "rules.tsv")
    with open(rules, "w") as file:
        for source, target in [(0xFB01, "fi"), (0xFF21, "A"), (0xFF01, "!"), (0x3000, " "),
                               (0xA0, " "), (0x09, " "), (0x200B, ""), (0x01, ""), (0xE9, "e"),
                               (0x2026, "...")]:
            file.write("%X\t%s\n" % (source, " ".join("%X" % ord(c) for c in target)))
        file.write("65 301\tE9\n")
    for name, options in [
            ("bpe", dict(model_type="bpe", vocab_size=620, byte_fallback=True,
                         remove_extra_whitespaces=False, normalization_rule_name="identity",
                         split_digits=True)),
            ("unigram", dict(model_type="unigram", vocab_size=260, normalization_rule_tsv=rules))]:
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=model, character_coverage=0.98,
            user_defined_symbols=["[NORMAL]", "ab ab"], minloglevel=2,
            max_sentencepiece_length=12, **options)
        with open(os.path.join(DATA, "sentencepiece_%s.model" % name), "wb") as file:
            file.write(model.getvalue())
    os.remove(rules)

    # T5 and the like: Unigram behind a character map.
    import base64
    spm = sentencepiece.SentencePieceProcessor(
        model_file=os.path.join(DATA, "sentencepiece_unigram.model"))
    vocab = [[spm.id_to_piece(i), spm.get_score(i)] for i in range(spm.get_piece_size())]
    charsmap = base64.b64encode(charsmap_of(
        os.path.join(DATA, "sentencepiece_unigram.model"))).decode()
    content = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [dict(id=i, content=vocab[i][0], single_word=False, lstrip=False,
                              rstrip=False, normalized=False, special=True) for i in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": charsmap},
            {"type": "Strip", "strip_left": False, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581",
                          "prepend_scheme": "always", "split": True},
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"Sequence": {"id": "A", "type_id": 0}},
                                      {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
                           "special_tokens": {"</s>": {"id": "</s>", "ids": [2],
                                                       "tokens": ["</s>"]}}},
        "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always",
                    "split": True},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": False}}
    save("unigram", Tokenizer.from_str(json.dumps(content)))
    content["model"]["vocab"] = (vocab[:3] + [["<0x%02X>" % b, 0.0] for b in range(256)] +
                                 vocab[3:])
    content["model"]["byte_fallback"] = True
    content["added_tokens"] = content["added_tokens"][:1]
    content["post_processor"] = None
    content["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Nmt"}, {"type": "NFKC"},
        {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}]}
    content["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "ByteFallback"},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}]}
    save("byte_fallback_unigram", Tokenizer.from_str(json.dumps(content)))

    # BERT.
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=40))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(lines, trainers.WordPieceTrainer(
        vocab_size=300, limit_alphabet=60, special_tokens=["[UNK]", "[CLS]", "[SEP]"]))
    t.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    save("wordpiece", t)

    # Whole words, and no decoder.
    t = Tokenizer(models.WordLevel(unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(),
                                         normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                               pre_tokenizers.Punctuation("contiguous")])
    t.train_from_iterator(lines, trainers.WordLevelTrainer(vocab_size=150,
                                                           special_tokens=["<unk>"]))
    save("wordlevel", t)


def charsmap_of(path):
    """Field 2 of field 3 of the model file."""
    def fields(data):
        at = 0

        def varint():
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return value
        while at < len(data):
            tag = varint()
            if tag & 7 == 0:
                varint()
            elif tag & 7 == 2:
                size = varint()
                yield tag >> 3, data[at:at + size]
                at += size
            else:
                at += 4 if tag & 7 == 5 else 8
    with open(path, "rb") as file:
        normalizer = [value for number, value in fields(file.read()) if number == 3][0]
    return [value for number, value in fields(normalizer) if number == 2][0]


# One component changed in byte_bpe.json (its trained pieces show where words end) or, for decoders,
# in byte_fallback_bpe.json.
def split(pattern, behavior, invert=False):
    kind = "Regex" if pattern.startswith("(") else "String"
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
VARIANTS = (
    [("normalizer", n) for n in [
        {"type": "NFD"}, {"type": "NFKC"}, {"type": "NFKD"}, {"type": "Lowercase"},
        {"type": "Nmt"}, {"type": "StripAccents"}, {"type": "ByteLevel"},
        {"type": "Strip", "strip_left": True, "strip_right": False},
        {"type": "Strip", "strip_left": True, "strip_right": True},
        {"type": "Prepend", "prepend": "x"},
        {"type": "Replace", "pattern": {"String": "e"}, "content": "ee"},
        {"type": "Replace", "pattern": {"Regex": "[^\\S\\n]+|\\p{Lu}(?=\\w)"}, "content": "_"},
        {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
         "strip_accents": None, "lowercase": True},
        {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": False,
         "strip_accents": True, "lowercase": False},
    ]] +
    [("pre_tokenizer", {"type": "Sequence", "pretokenizers": [p, BYTES]}) for p in [
        {"type": "Whitespace"}, {"type": "WhitespaceSplit"}, {"type": "BertPreTokenizer"},
        {"type": "Digits", "individual_digits": True},
        {"type": "Digits", "individual_digits": False},
        {"type": "Punctuation", "behavior": "Isolated"},
        {"type": "Punctuation", "behavior": "Contiguous"},
        {"type": "Punctuation", "behavior": "MergedWithPrevious"},
        {"type": "CharDelimiterSplit", "delimiter": "e"},
        {"type": "FixedLength", "length": 3},
        {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "never", "split": False},
    ] + [split(pattern, behavior, invert)
         for pattern in ["e", "(\\s+|\\d{2,3}|[aeiou]{,2}n)"]
         for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                          "Contiguous"]
         for invert in [False, True]] + [
        split(pattern, "Isolated") for pattern in [
            # o200k, DeepSeek, BLOOM
            "([^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}"
            "\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}"
            "\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}"
            "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)",
            "([!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?"
            "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)",
            "( ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+)",
            "(\\p{Han}+|[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+|\\p{N}|\\w+|\\W)",
            "(^\\S|.$|\\D+)",
        ]]] +
    [("pre_tokenizer", {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                        "use_regex": False})] +
    [("decoder", d) for d in [
        None, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "ByteLevel",
         "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "never", "split": True},
        {"type": "WordPiece", "prefix": "a", "cleanup": True},
        {"type": "BPEDecoder", "suffix": "\u2581"},
        {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"Regex": "[aeiou]+"}, "content": "*"},
            {"type": "Fuse"}, {"type": "Strip", "content": "\u2581", "start": 3, "stop": 0}]},
        {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            {"type": "Fuse"}]},
    ]])


def variants():
    """A line a variant: the part, its JSON, and the hash of the results for 300 strings."""
    from tokenizers import Tokenizer
    lines = []
    for part, value in VARIANTS:
        base = "byte_fallback_bpe" if part == "decoder" else "byte_bpe"
        with open(os.path.join(DATA, base + ".json")) as file:
            content = json.load(file)
        content[part] = value
        content["post_processor"] = None
        tokenizer = Tokenizer.from_str(json.dumps(content))
        result = Hash()
        for text in random_strings(20240608, 300):
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            # Decoders of an empty sequence fail in Hugging Face's implementation.
            result.add_result(ids, tokenizer.decode(ids, skip_special_tokens=False) if ids else "")
        lines.append("%s\t%s\t%016x" % (part, json.dumps(value, ensure_ascii=True), result.value))
    with open(os.path.join(DATA, "variants.tsv"), "w") as file:
        file.write("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--reference", help="the folder of third-party tokenizers and models")
    arguments = parser.parse_args()
    os.makedirs(DATA, exist_ok=True)
    if arguments.train:
        train()
    import sentencepiece
    from tokenizers import Tokenizer

    def hashes_of(name, path):
        tokenizer = Tokenizer.from_file(path)

        def run(text):
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            return ids, tokenizer.decode(ids, skip_special_tokens=False) if ids else ""
        write_hashes(name, 10000, run)

    for name in ["byte_bpe", "llama3_bpe", "byte_fallback_bpe", "metaspace_bpe", "suffix_bpe",
                 "unigram", "byte_fallback_unigram", "wordpiece", "wordlevel"]:
        hashes_of(name, os.path.join(DATA, name + ".json"))
    for name in ["bpe", "unigram"]:
        processor = sentencepiece.SentencePieceProcessor(
            model_file=os.path.join(DATA, "sentencepiece_%s.model" % name))
        write_hashes("sentencepiece_" + name, 10000,
                     lambda text: (processor.encode(text), ""))
    variants()
    if arguments.reference:
        for name, path in [("reference_gpt2", "tokenizers/gpt2"),
                           ("reference_llama-3.1", "tokenizers/llama-3.1"),
                           ("reference_llama2", "tokenizers/llama2"),
                           ("reference_qwen2.5", "tokenizers/qwen2.5"),
                           ("reference_stories260K", "models/stories260K-f32"),
                           ("reference_babyllama105", "models/babyllama105-f32")]:
            hashes_of(name, os.path.join(arguments.reference, path, "tokenizer.json"))


if __name__ == "__main__":
    main()
