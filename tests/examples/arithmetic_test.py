"""The promise of the built-in model: how many of 1,000 sums that it never saw it gets right."""

import json
import unittest

from programs import SANITIZED, ProgramTest


class ArithmeticTest(ProgramTest):
    def accuracy(self, weights):
        arguments = ["--limit", "20"] if SANITIZED else []
        answer = json.loads(self.succeed("evaluate", "arithmetic", "--weights", weights, "--json",
                                         *arguments, timeout=280))
        self.assertEqual(answer["total"], 20 if SANITIZED else 1000)
        return answer["accuracy"]

    def test_97_percent_in_bf16(self):
        self.assertGreaterEqual(self.accuracy("bf16"), 0.97)

    def test_95_percent_in_int4(self):
        self.assertGreaterEqual(self.accuracy("int4"), 0.95)


if __name__ == "__main__":
    unittest.main()
