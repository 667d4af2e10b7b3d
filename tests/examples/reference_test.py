"""Answers that other implementations gave, through the programs."""

import json
import os
import unittest

from programs import ProgramTest

NOW = "1752148800"  # 2025-07-10 12:00:00 UTC, of golden.json


class ReferenceTest(ProgramTest):
    def test_logits_equal_those_of_transformers(self):
        for name in ["tiny-llama", "tiny-llama-sharded", "tiny-qwen2", "tiny-qwen3"]:
            model = self.reference("models", name)
            with open(self.reference("models", name, "logits.json"), encoding="utf-8") as file:
                golden = json.load(file)
            for tokens, expected in zip(golden["sequences"], golden["logits"]):
                arguments = ["--model", model, "--weights", "f32",
                             "--tokens", ",".join(map(str, tokens))]
                answer = json.loads(self.succeed("logits", *arguments, "--all"))
                self.assertEqual(answer["tokens"], tokens)
                self.assertEqual(len(answer["logits"]), len(expected))
                worst = max(abs(a - b) for row, want in zip(answer["logits"], expected)
                            for a, b in zip(row, want))
                self.assertLess(worst, 2e-5, f"{name} {tokens}")
                last = json.loads(self.succeed("logits", *arguments))["logits"]
                self.assertEqual(last, answer["logits"][-1:])

    def test_stories260k_tells_its_story(self):
        model = self.reference("models", "stories260K-f32")
        with open(self.reference("models", "stories260K-golden.json"), encoding="utf-8") as file:
            golden = json.load(file)
        ids = golden["variants"]["f32"]["greedy_ids"]
        prompt = golden["prompt_ids"]
        expected = self.succeed("tokenize", "--model", model, "--no-special", "--decode",
                                ",".join(map(str, ids)))
        reply = self.succeed("chat", "--model", model, "--raw", "--prompt", golden["prompt"],
                             "--weights", "f32", "--temperature", "0",
                             "--max-tokens", str(len(ids) - len(prompt)))
        self.assertEqual(golden["prompt"].encode() + reply, expected + b"\n")

    def test_token_ids_equal_the_published_vectors(self):
        for name in ["gpt2", "llama-3.1", "llama2", "qwen2.5"]:
            model = self.reference("tokenizers", name)
            with open(os.path.join(model, "vectors.inp"), "rb") as file:
                texts = file.read().split(b"\n__ggml_vocab_test__\n")
            with open(os.path.join(model, "vectors.out"), encoding="utf-8") as file:
                lines = file.read().splitlines()
            for text, line in list(zip(texts, lines))[::9]:  # the unit tests check each
                path = os.path.join(self.folder, "text")
                with open(path, "wb") as file:
                    file.write(text)
                ids = self.succeed("tokenize", "--model", model, "--no-special", "--file", path)
                self.assertEqual(ids.decode().split(), line.split(), (name, text))

    def test_decoding_gives_the_text_back(self):
        model = self.reference("tokenizers", "qwen2.5")
        text = "Grüße, 世界! 🙂\n\n  def f(x): return x\t# ok"
        ids = self.succeed("tokenize", "--model", model, "--text", text).decode().strip()
        self.assertEqual(self.succeed("tokenize", "--model", model, "--decode", ids).decode(), text)

    def test_chat_templates_render_as_jinja_does(self):
        with open(self.reference("chat_templates", "golden.json"), encoding="utf-8") as file:
            golden = json.load(file)
        checked = 0
        for template in golden["templates"][::6]:  # the unit tests check each
            checked += self.check_template(golden, template)
        self.assertGreater(checked, 10)

    def check_template(self, golden, template):
        """Returns how many renderings were compared."""
        with open(os.path.join(self.folder, "tokenizer_config.json"), "w", encoding="utf-8") as file:
            json.dump({"chat_template": template["template"]}, file)
        messages = os.path.join(self.folder, "messages.json")
        checked = 0
        for name, rendering in template["renderings"].items():
            if "expected" not in rendering:
                continue
            with open(messages, "w", encoding="utf-8") as file:
                json.dump(golden["contexts"][name], file)
            text = self.succeed("render_chat", "--model", self.folder, "--messages", messages,
                                environment={"SOURCE_DATE_EPOCH": NOW})
            self.assertEqual(text.decode(), rendering["expected"], (template["name"], name))
            checked += 1
        return checked


if __name__ == "__main__":
    unittest.main()
