"""Writes ../golden.json: prompts, their token ids, and the greedy replies in f32 on the bf16 weights.

With --check it also compares the tokenizer with Hugging Face `tokenizers` and the chat template
with Jinja2, both of which must then be installed.
"""

import argparse
import json
import os

import torch

import export
import tasks
from evaluate import KINDS
from tokenizer import ASSISTANT, BOS, CHAT_TEMPLATE, END, SPECIALS


def user(*texts):
    return [{"role": "assistant" if i % 2 else "user", "content": t} for i, t in enumerate(texts)]


CASES = [
    user("1.1+2.3=?"),
    user("Compute 12.5 - 3.7"),
    user("What is 3.7 - 12.5?"),
    user("Which is larger, 9.11 or 9.9?"),
    user("How many r's are in strawberry?"),
    user("Spell \"llama\""),
    user("Count from 7 to 12"),
    user("Hello!"),
    user("What can you do?"),
    user("What is the capital of France?"),
    [{"role": "system", "content": "You are a helpful assistant."}, *user("Add 99.9 and 0.1")],
    user("47.8+5.4", tasks.solve_sum("47.8", "+", "5.4")[0], "Now subtract 3.2"),
]


def render(messages, add_generation_prompt=True):
    text = BOS + "".join(f"<|{m['role']}|>{m['content'].strip()}{END}" for m in messages)
    return text + ASSISTANT * add_generation_prompt


def check(folder, model, tokenizer):
    import jinja2
    import tokenizers

    hf = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))

    def refuse(message):
        raise ValueError(message)

    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(CHAT_TEMPLATE)
    generator = tasks.Generator(7)
    for i in range(5000):
        messages = CASES[i] if i < len(CASES) else generator.conversation()
        text = template.render(
            messages=messages, add_generation_prompt=True, bos_token=BOS, eos_token=END, raise_exception=refuse
        )
        ids = tokenizer.encode_chat(messages, add_generation_prompt=True)[0]
        assert text == render(messages), messages
        assert hf.encode(text, add_special_tokens=False).ids == ids, messages
        assert hf.decode(ids, skip_special_tokens=False) == text, messages
    for text in ("", " ", "a  b\n\n\tc", "\u4f60\u597d, na\u00efve caf\u00e9 \U0001f600!", "x" * 1000, "1234,5\u0664"):
        assert hf.decode(hf.encode(text, add_special_tokens=False).ids) == text, text
    assert hf.encode("a").ids[0] == tokenizer.special[BOS]
    assert hf.get_vocab_size() == len(tokenizer) == model.config.vocab_size
    for i, name in enumerate(SPECIALS):
        assert hf.token_to_id(name) == tokenizer.special[name]
    try:
        template.render(messages=[{"role": "tool", "content": ""}], raise_exception=refuse)
        raise AssertionError("an unknown role was taken")
    except ValueError:
        pass
    print("tokenizer and template agree")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=export.DEFAULT)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    model, tokenizer = export.read(args.model)
    if args.check:
        check(args.model, model, tokenizer)
    model.prepare(KINDS["f32"])
    cases = []
    for messages in CASES:
        prompt = tokenizer.encode_chat(messages, add_generation_prompt=True)[0]
        reply = model.generate([prompt], tokenizer.special[END])[0]
        # How far ahead of the second the chosen token was, at the closest of the choices.
        with torch.no_grad():
            top = model(torch.tensor([prompt + reply]))[0, len(prompt) - 1 : -1].topk(2, dim=-1).values
        cases.append(
            {
                "messages": messages,
                "text": render(messages),
                "ids": prompt,
                "reply_ids": reply,
                "reply": tokenizer.decode(reply),
                "smallest_margin": round((top[:, 0] - top[:, 1]).min().item(), 3),
            }
        )
    first = torch.tensor([cases[0]["ids"]])
    with torch.no_grad():
        logits = model(first)[0, -1]
    value = {
        "about": "Greedy replies in f32 on the bf16 weights; <|end|> is the last id of each. Written by train/golden.py.",
        "cases": cases,
        "logits_after_first_prompt": [round(x, 5) for x in logits.tolist()],
    }
    with open(os.path.join(os.path.dirname(export.DEFAULT), "golden.json"), "w", encoding="utf-8") as out:
        out.write("{\n")
        out.write(f' "about": {json.dumps(value["about"])},\n "cases": [\n')
        out.write(",\n".join("  " + json.dumps(c) for c in cases))
        out.write(f'\n ],\n "logits_after_first_prompt": {json.dumps(value["logits_after_first_prompt"])}\n}}\n')
    for case in cases:
        print(case["messages"][-1]["content"], "->", case["reply"].replace("\n", " / "), case["smallest_margin"])


if __name__ == "__main__":
    main()
