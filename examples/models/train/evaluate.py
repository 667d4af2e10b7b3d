"""Answers held-out sums and fresh conversations of every kind, in each arithmetic."""

import argparse
import collections
import json
import os
import time

import torch

import export
import tasks
from model import Arithmetic

KINDS = {
    "f32": Arithmetic("bf16", "bf16", "f32"),  # bf16 weights, as the checkpoint holds them
    "int4": Arithmetic("int4", "bf16", "f32"),
    "int4 all": Arithmetic("int4", "int4", "f32"),  # the embedding, which is the head too
    "bf16 a8": Arithmetic("bf16", "bf16", "int8"),
    "int4 a8": Arithmetic("int4", "bf16", "int8"),
    "int4 all a8": Arithmetic("int4", "int4", "int8"),
}


def reply_all(model, tokenizer, conversations):
    end = tokenizer.special["<|end|>"]
    prompts = [tokenizer.encode_chat(c, add_generation_prompt=True)[0] for c in conversations]
    return [tokenizer.decode(r) for r in model.generate(prompts, end)]


def sums(model, tokenizer, rows, arithmetic):
    """-> how many are right, and the wrong ones. The answer is the last number of the reply."""
    model.prepare(arithmetic)
    replies = reply_all(model, tokenizer, [[{"role": "user", "content": r["prompt"]}] for r in rows])
    wrong = [(row, reply) for row, reply in zip(rows, replies) if tasks.last_number(reply) != tasks.Decimal(row["answer"])]
    return len(rows) - len(wrong), wrong


def fresh(generator, count):
    """Conversations that end where the model must speak, the right reply, and their kind."""
    kinds = {
        "sum": lambda: generator.sum()[:2],
        "comparison": generator.comparison,
        "counting": generator.counting,
        "letters": generator.letters,
        "spelling": generator.spelling,
        "chat": generator.chat,
        "refusal": generator.refusal,
    }
    for kind, make in kinds.items():
        for _ in range(count):
            prompt, reply = make()
            yield kind, [{"role": "user", "content": generator.styled(prompt)}], reply
    for kind, long in (("several turns", False), ("many turns", True)):
        for _ in range(count):
            messages = generator.conversation(long)
            if not long:
                messages += generator.conversation()
                messages = [m for m in messages if m["role"] != "system"]
            yield kind, messages[:-1], messages[-1]["content"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=export.DEFAULT)
    parser.add_argument("--count", type=int, default=200, help="fresh conversations of each kind")
    parser.add_argument("--sums", type=int, default=1000, help="held-out sums to answer")
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--show", type=int, default=3, help="wrong replies to print of each kind")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, tokenizer = export.read(args.model)
    with open(tasks.held_out_path()) as file:
        rows = [json.loads(line) for line in file]
    cases = list(fresh(tasks.Generator(args.seed, tasks.make_held_out()), args.count))
    for name in args.kinds.split(","):
        began = time.time()
        right, wrong = sums(model, tokenizer, rows[: args.sums], KINDS[name])
        print(f"{name}: held-out sums {right} of {len(rows[: args.sums])}, {time.time() - began:.0f} s", flush=True)
        for row, reply in wrong[: args.show]:
            print(f"    {row['prompt']!r} -> {reply!r}")
        score = collections.Counter()
        shown = collections.Counter()
        if args.count:
            for (kind, messages, reply), said in zip(cases, reply_all(model, tokenizer, [c[1] for c in cases])):
                score[kind] += said == reply
                if said != reply and shown[kind] < args.show:
                    shown[kind] += 1
                    print(f"    {kind}: {messages[-1]['content']!r} -> {said!r}, not {reply!r}")
            print("  " + ", ".join(f"{k} {100 * score[k] / args.count:.1f}%" for k in dict.fromkeys(c[0] for c in cases)))


if __name__ == "__main__":
    main()
