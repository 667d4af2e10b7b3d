"""What int8 activations may cost: half a percent of perplexity, half a point of sums."""

import json
import os
import unittest

from programs import BUILTIN, REFERENCE_DIR, SANITIZED, SOURCE_DIR, ProgramTest

STORIES = os.path.join(REFERENCE_DIR, "models", "stories260K-f32")
WIKITEXT = os.path.join(REFERENCE_DIR, "text", "wikitext-2-raw-test.txt")


@unittest.skipIf(SANITIZED, "takes minutes under sanitizers, and finds nothing that others do not")
class QualityTest(ProgramTest):
    def perplexity(self, model, text, *options):
        path = os.path.join(self.folder, "text")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        answer = self.succeed("evaluate", "perplexity", "--model", model, "--file", path, "--json",
                              *options)
        return json.loads(answer)["perplexity"]

    def check(self, model, text):
        for weights in ["int4", "int8"]:
            exact = self.perplexity(model, text, "--weights", weights, "--activations", "f32")
            fast = self.perplexity(model, text, "--weights", weights, "--activations", "int8")
            self.assertNotEqual(fast, exact)
            self.assertAlmostEqual(fast / exact, 1, delta=0.005, msg=weights)

    def test_stories(self):
        if not os.path.exists(WIKITEXT):
            self.skipTest(f"no reference text at {WIKITEXT}")
        with open(WIKITEXT, encoding="utf-8") as file:
            self.check(STORIES, file.read(20000))

    def test_own_model(self):
        with open(os.path.join(SOURCE_DIR, "examples", "models", "golden.json"),
                  encoding="utf-8") as file:
            replies = [case["reply"] for case in json.load(file)["cases"]]
        self.check(BUILTIN, "\n".join(replies) + "\n")

    def test_sums(self):
        right = [json.loads(self.succeed("evaluate", "arithmetic", "--weights", "int4", "--activations",
                                         activations, "--limit", "400", "--json",
                                         timeout=280))["accuracy"]
                 for activations in ["f32", "int8"]]
        self.assertAlmostEqual(right[0], right[1], delta=0.005)


if __name__ == "__main__":
    unittest.main()
