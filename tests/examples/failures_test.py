"""Broken models and impossible wishes: one sentence, status 1, soon, nothing on stdout."""

import json
import os
import re
import unittest

from programs import ProgramTest, edit_json, run, shard

LOOP = "{% for a in range(100000) %}{% for b in range(100000) %}{% set c = b %}{% endfor %}{% endfor %}"


class FailuresTest(ProgramTest):
    def fail_everywhere(self, model, says, programs=("chat", "logits", "plan", "evaluate")):
        arguments = {
            "chat": ["--model", model, "--prompt", "hello"],
            "logits": ["--model", model, "--tokens", "1,2"],
            "plan": ["--model", model],
            "evaluate": ["arithmetic", "--model", model, "--limit", "1"],
            "tokenize": ["--model", model, "--text", "hello"],
            "quantize": [model, os.path.join(self.folder, "quantized"), "--weights", "int4"],
        }
        for program in programs:
            self.fail_with(program, *arguments[program], says=says)

    def test_missing_folder(self):
        missing = os.path.join(self.folder, "no", "model")
        self.fail_everywhere(missing, "no/model", ["chat", "logits", "plan", "evaluate", "tokenize",
                                                   "quantize"])

    def test_a_file_instead_of_a_folder(self):
        path = os.path.join(self.folder, "file")
        open(path, "w").close()
        self.fail_everywhere(path, "file", ["chat", "logits", "plan", "tokenize", "quantize"])

    def test_empty_files(self):
        for name in ["config.json", "model.safetensors"]:
            model = self.copy_of_builtin(name)
            open(os.path.join(model, name), "w").close()
            self.fail_everywhere(model, name)
        model = self.copy_of_builtin("tokenizer.json")
        open(os.path.join(model, "tokenizer.json"), "w").close()
        self.fail_everywhere(model, "tokenizer.json", ["chat", "evaluate", "tokenize"])

    def test_truncated_weights(self):
        model = self.copy_of_builtin()
        path = os.path.join(model, "model.safetensors")
        os.truncate(path, os.path.getsize(path) - 1000)
        self.fail_everywhere(model, "model.safetensors")

    def test_truncated_shard(self):
        model = self.copy_of_builtin()
        shard(model)
        path = os.path.join(model, "model-00002-of-00002.safetensors")
        os.truncate(path, os.path.getsize(path) - 1)
        self.fail_everywhere(model, "model-00002-of-00002.safetensors")
        os.remove(path)
        self.fail_everywhere(model, "model-00002-of-00002.safetensors")

    def test_shards_work_when_whole(self):
        model = self.copy_of_builtin()
        before = self.succeed("logits", "--model", model, "--tokens", "1,2,3")
        shard(model)
        self.assertEqual(self.succeed("logits", "--model", model, "--tokens", "1,2,3"), before)

    def test_tokenizer_with_an_unknown_part(self):
        for part in ["pre_tokenizer", "normalizer", "decoder", "post_processor", "model"]:
            model = self.copy_of_builtin(part)
            edit_json(os.path.join(model, "tokenizer.json"),
                      lambda value: value.__setitem__(part, {"type": "Frobnicator"}))
            self.fail_everywhere(model, "Frobnicator", ["chat", "tokenize", "evaluate"])

    def test_config_that_is_not_understood(self):
        model = self.copy_of_builtin()
        edit_json(os.path.join(model, "config.json"), lambda config: config.update(
            rope_scaling={"rope_type": "frobnicated", "factor": 2.0}))
        self.fail_everywhere(model, "frobnicated")
        edit_json(os.path.join(model, "config.json"), lambda config: config.update(
            architectures=["FrobnicatorForCausalLM"], model_type="frobnicator"))
        self.fail_everywhere(model, "robnicator")

    def test_budget_that_is_too_small(self):
        arguments = ["--prompt", "hello", "--temperature", "0", "--memory-budget"]
        for budget in ["1M", "1"]:
            message = self.fail_with("chat", *arguments, budget, says="bytes")
        # The sentence says how many would do.
        needed = max(map(int, re.findall(r"\d+", message)))
        self.assertEqual(run("chat", *arguments, str(needed)).status, 0)
        self.fail_with("chat", *arguments, str(needed - 1), says=str(needed))

    def test_template_that_loops_for_ever(self):
        model = self.copy_of_builtin()
        edit_json(os.path.join(model, "tokenizer_config.json"),
                  lambda config: config.update(chat_template=LOOP))
        self.fail_with("chat", "--model", model, "--prompt", "hello", says="template")
        messages = os.path.join(self.folder, "messages.json")
        with open(messages, "w", encoding="utf-8") as file:
            json.dump([{"role": "user", "content": "hello"}], file)
        self.fail_with("render_chat", "--model", model, "--messages", messages, says="template")

    def test_template_that_refuses(self):
        model = self.copy_of_builtin()
        edit_json(os.path.join(model, "tokenizer_config.json"), lambda config: config.update(
            chat_template="{{ raise_exception('not\nwith me') }}"))
        self.fail_with("chat", "--model", model, "--prompt", "hello", says="with me")

    def test_no_tokenizer(self):
        model = self.copy_of_builtin()
        os.remove(os.path.join(model, "tokenizer.json"))
        self.fail_everywhere(model, "tokenizer", ["chat", "tokenize", "evaluate"])
        self.succeed("logits", "--model", model, "--tokens", "1")

    def test_tokens_outside_the_vocabulary(self):
        model = self.copy_of_builtin()
        self.fail_with("logits", "--model", model, "--tokens", "1,512", says="512")

    def test_a_prompt_that_is_too_long(self):
        self.fail_with("chat", "--max-context", "8", "--prompt", "What is 1.1 + 2.3 + 4.5?", says="8")

    def test_files_that_are_not_there(self):
        model = self.copy_of_builtin()
        missing = os.path.join(self.folder, "missing")
        self.fail_with("tokenize", "--model", model, "--file", missing, says="missing")
        self.fail_with("render_chat", "--model", model, "--messages", missing, says="missing")
        self.fail_with("evaluate", "perplexity", "--model", model, "--file", missing, says="missing")

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_output_that_cannot_be_written(self):
        import subprocess
        from programs import path_of
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([path_of("plan")], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"output", done.stderr)


if __name__ == "__main__":
    unittest.main()
