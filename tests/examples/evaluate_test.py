"""evaluate, tokenize and the benchmark: figures that can be checked another way."""

import json
import math
import os
import unittest

from programs import BUILTIN, ProgramTest

MODELS = os.path.dirname(BUILTIN)

TEXT = "1.1 + 2.3\nTenths: 1+3=4\nOnes: 1+2=3\nAnswer: 3.4\n" * 3


def log_probability(row, token):
    top = max(row)
    return row[token] - top - math.log(sum(math.exp(x - top) for x in row))


class EvaluateTest(ProgramTest):
    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def tokens(self, text):
        ids = self.succeed("tokenize", "--model", BUILTIN, "--text", text)
        return list(map(int, ids.split()))

    def rows(self, tokens):
        answer = self.succeed("logits", "--model", BUILTIN, "--weights", "f32", "--all",
                              "--tokens", ",".join(map(str, tokens)))
        return json.loads(answer)["logits"]

    def perplexity(self, *arguments):
        text = self.write("text", TEXT)
        answer = self.succeed("evaluate", "perplexity", "--model", BUILTIN, "--weights", "f32",
                              "--file", text, "--json", *arguments)
        return json.loads(answer)

    def expected_perplexity(self, window, stride):
        tokens = self.tokens(TEXT)
        total, count, done, begin = 0, 0, 1, 0
        while done < len(tokens):
            part = tokens[begin:begin + window]
            rows = self.rows(part)
            for i in range(max(done - begin, 1), len(part)):
                total += log_probability(rows[i - 1], part[i])
                count += 1
            done = begin + len(part)
            begin += stride
        return math.exp(-total / count), count

    def test_perplexity_of_one_window(self):
        expected, count = self.expected_perplexity(1000, 1000)
        answer = self.perplexity()
        self.assertAlmostEqual(answer["perplexity"] / expected, 1, delta=1e-5)
        self.assertEqual(answer["tokens"], count)
        self.assertIn("definition", answer)

    def test_perplexity_of_windows(self):
        for window, stride in [(16, 16), (16, 5), (7, 1), (2, 2)]:
            expected, count = self.expected_perplexity(window, stride)
            answer = self.perplexity("--window", str(window), "--stride", str(stride))
            self.assertAlmostEqual(answer["perplexity"] / expected, 1, delta=1e-5)
            self.assertEqual(answer["tokens"], count, (window, stride))

    def test_perplexity_of_the_beginning(self):
        self.assertEqual(self.perplexity("--max-tokens", "10")["tokens"], 9)

    def reply_perplexity(self, cases, kv):
        total, count = 0, 0
        for case in cases:
            tokens = case["ids"] + case["reply_ids"]
            answer = self.succeed("logits", "--model", BUILTIN, "--weights", "f32", "--kv", kv,
                                  "--all", "--tokens", ",".join(map(str, tokens)))
            rows = json.loads(answer)["logits"]
            total += sum(log_probability(rows[i - 1], tokens[i])
                         for i in range(len(case["ids"]), len(tokens)))
            count += len(case["reply_ids"])
        return math.exp(-total / count)

    def test_kv_formats_keep_the_perplexity_of_the_builtin_model(self):
        with open(os.path.join(MODELS, "golden.json"), encoding="utf-8") as file:
            cases = json.load(file)["cases"]
        exact = self.reply_perplexity(cases, "f32")
        for kv, most in [("bf16", 0.001), ("f16", 0.001), ("int8", 0.001), ("int4", 0.02)]:
            change = self.reply_perplexity(cases, kv) / exact - 1
            self.assertLess(abs(change), most, kv)
            self.assertNotEqual(change, 0, f"{kv} is not what was computed with")

    def test_kv_formats_keep_the_perplexity_of_stories(self):
        model = self.reference("models", "stories260K-f32")
        text = self.reference("text", "wikitext-2-raw-test.txt")

        def perplexity(kv):
            answer = self.succeed("evaluate", "perplexity", "--model", model, "--weights", "f32",
                                  "--kv", kv, "--file", text, "--max-tokens", "30000", "--json")
            return json.loads(answer)["perplexity"]

        exact = perplexity("f32")
        for kv, most in [("bf16", 0.001), ("f16", 0.001), ("int8", 0.001)]:
            self.assertLess(abs(perplexity(kv) / exact - 1), most, kv)
        # Keys of 8 dimensions in 4 bits are too coarse for this model (15.6% when this was written;
        # values in 4 bits cost it nothing). What is held here is that they get no coarser.
        self.assertLess(perplexity("int4") / exact - 1, 0.2)

    def test_lambada(self):
        passages = [("Answer: 3.4\nOnes: 1+2=3\nAnswer:", "3.4"), ("I am the", "Zzyzx")]
        total, right = 0, 0
        for context, word in passages:
            start = len(self.tokens(context))
            whole = self.tokens(context + " " + word)
            rows = self.rows(whole)
            total += sum(log_probability(rows[i - 1], whole[i]) for i in range(start, len(whole)))
            right += all(max(rows[i - 1]) == rows[i - 1][whole[i]] for i in range(start, len(whole)))
        for lines in [[{"context": c, "continuation": w} for c, w in passages],
                      [{"text": c + " " + w} for c, w in passages]]:
            path = self.write("lambada.jsonl", "\n".join(map(json.dumps, lines)) + "\n")
            answer = json.loads(self.succeed("evaluate", "lambada", "--model", BUILTIN, "--weights",
                                             "f32", "--file", path, "--json"))
            self.assertEqual((answer["right"], answer["total"]), (right, 2))
            self.assertAlmostEqual(answer["perplexity"] / math.exp(-total / 2), 1, delta=1e-4)

    def test_lambada_names_the_line_that_is_wrong(self):
        path = self.write("lambada.jsonl", '{"text": "a b"}\n[1]\n')
        self.fail_with("evaluate", "lambada", "--model", BUILTIN, "--file", path, says="line 2")

    def test_arithmetic_tells_right_from_wrong(self):
        path = self.write("sums.jsonl", '{"prompt": "1.1+2.3=?", "answer": "3.4"}\n'
                                        '{"prompt": "1.1+2.3=?", "answer": "3.40"}\n'
                                        '{"prompt": "1.1+2.3=?", "answer": "-3.4"}\n')
        answer = self.succeed("evaluate", "arithmetic", "--file", path).decode()
        self.assertIn("2 of 3 right (66.7%)", answer)


class BenchTest(ProgramTest):
    def test_json_has_its_keys(self):
        answer = json.loads(self.succeed("llmcore_bench", "-p", "16", "-n", "4", "-b", "2", "-t", "2",
                                         "--repetitions", "2", "--json"))
        for key in ["prompt_tokens_per_second", "generation_tokens_per_second"]:
            self.assertGreater(answer[key], 0)
            self.assertEqual(len(answer[key + "_samples"]), 2)
        for key in ["load_seconds", "peak_rss_bytes", "plan_bytes"]:
            self.assertGreater(answer[key], 0)

    def test_unknown_shapes_are_named(self):
        self.fail_with("llmcore_bench", "--model", "llama-9-9b", says=["llama-9-9b", "llama-3-8b"])


if __name__ == "__main__":
    unittest.main()
