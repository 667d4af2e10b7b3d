"""The scripts that made the built-in model still make what needs no training, byte for byte."""

import json
import os
import sys
import unittest

from programs import BUILTIN, SOURCE_DIR

MODELS = os.path.join(SOURCE_DIR, "examples", "models")
SEED = 20
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(MODELS, "train"))

import tasks  # noqa: E402
from tokenizer import train_tokenizer  # noqa: E402


class TrainingTest(unittest.TestCase):
    def test_the_held_out_sums(self):
        with open(os.path.join(MODELS, "arithmetic.jsonl"), encoding="utf-8") as file:
            committed = [json.loads(line) for line in file]
        made = [{"prompt": row["prompt"], "answer": row["answer"]} for row in tasks.make_held_out()]
        self.assertEqual(made, committed)
        self.assertEqual(len(made), 1000)

    def test_no_held_out_pair_is_trained_on(self):
        held_out = tasks.make_held_out()
        pairs = {tasks.pair_key(row["a"], row["b"]) for row in held_out}
        generator = tasks.Generator(SEED + 1, held_out)
        for _ in range(2000):
            self.assertNotIn(tasks.pair_key(*generator.numbers()), pairs)

    def test_the_tokenizer(self):
        made = train_tokenizer(tasks.Generator(SEED, tasks.make_held_out())).to_json()
        with open(os.path.join(BUILTIN, "tokenizer.json"), encoding="utf-8") as file:
            self.assertEqual(json.dumps(made, ensure_ascii=False) + "\n", file.read())


if __name__ == "__main__":
    unittest.main()
