"""chat --device cuda on the emulated device tells the story that was published, as the CPU does:

chat_test.py CHAT_WITH_THE_EMULATOR CHAT REFERENCE_DIRECTORY
"""

import json
import os
import subprocess
import sys

emulated, chat, reference = sys.argv[1:]


def tell(program, model, *arguments):
    done = subprocess.run([program, "--model", os.path.join(reference, "models", model), "--raw",
                           "--temperature", "0", *arguments], capture_output=True, timeout=280)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout


golden_path = os.path.join(reference, "models", "stories260K-golden.json")
if not os.path.exists(golden_path):
    print(f"no published story at {golden_path}")
    sys.exit(77)
with open(golden_path, encoding="utf-8") as file:
    golden = json.load(file)

# The CPU's story is compared with the published ids by tests/examples/reference_test.py.
TOKENS = {"f32": 120, "bf16": 60}
for variant, count in TOKENS.items():
    arguments = ["--prompt", golden["prompt"], "--weights", variant, "--kv", "f32",
                 "--max-tokens", str(count)]
    expected = tell(chat, f"stories260K-{variant}", "--device", "cpu", *arguments)
    story = tell(emulated, f"stories260K-{variant}", "--device", "cuda", *arguments)
    assert len(expected) > count, expected
    assert story == expected, (variant, story, expected)

# int4 with exact products: the weights are quantized to the same bits on the device.
arguments = ["--prompt", golden["prompt"], "--weights", "int4", "--activations", "f32", "--kv",
             "f32", "--max-tokens", "40"]
expected = tell(chat, "stories260K-f32", "--device", "cpu", *arguments)
story = tell(emulated, "stories260K-f32", "--device", "cuda", *arguments)
assert story == expected, (story, expected)
