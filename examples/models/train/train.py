"""Trains the model from nothing and writes a Hugging Face model directory. See ../README.md."""

import argparse
import datetime
import os
import random
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F

import export
import tasks
from evaluate import sums
from model import Arithmetic, Config, Llama
from tokenizer import train_tokenizer


def orthogonalize(g):
    """The nearest matrix with equal singular values, roughly: five Newton-Schulz steps (Muon, Jordan et al. 2024)."""
    tall = g.shape[0] > g.shape[1]
    x = (g.T if tall else g) / (g.norm() + 1e-7)
    for _ in range(5):
        s = x @ x.T
        x = 3.4445 * x + (-4.7750 * s + 2.0315 * s @ s) @ x
    return x.T if tall else x


class Muon:
    """For the matrices of the layers. The embedding and the norms are left to Adam."""

    def __init__(self, params, momentum=0.95):
        self.params = list(params)
        self.momentum = momentum
        self.average = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, rate, decay):
        for p, average in zip(self.params, self.average):
            average.lerp_(p.grad, 1 - self.momentum)
            update = orthogonalize(p.grad.lerp(average, self.momentum))
            p.mul_(1 - rate * decay)
            p.add_(update, alpha=-rate * max(1, p.shape[0] / p.shape[1]) ** 0.5)


def batches(generator, tokenizer, tokens, context, long_share):
    """Conversations of like length side by side, so that little is padding."""
    order = random.Random(generator.rng.random())
    pad = tokenizer.special["<|pad|>"]
    while True:
        pool = []
        for _ in range(512):
            ids, learn = tokenizer.encode_chat(generator.conversation(long=order.random() < long_share))
            pool.append((ids[:context], learn[:context]))
        pool.sort(key=lambda row: len(row[0]))
        groups, group = [], []
        for row in pool:
            if group and len(row[0]) * (len(group) + 1) > tokens:
                groups.append(group)
                group = []
            group.append(row)
        groups.append(group)
        order.shuffle(groups)
        for group in groups:
            width = max(len(ids) for ids, _ in group)
            ids = torch.full((len(group), width), pad)
            learn = torch.zeros((len(group), width), dtype=torch.bool)
            for i, (row, mask) in enumerate(group):
                ids[i, : len(row)] = torch.tensor(row)
                learn[i, : len(row)] = torch.tensor(mask)
            yield ids, learn


def arithmetic_at(share, rng, from_share):
    """Weights in full first; then int4 in two steps of three, with int8 activations in a third of those."""
    if share < from_share:
        return Arithmetic()
    if rng.random() < 0.34:
        return Arithmetic("bf16", "bf16", "int8" if rng.random() < 0.2 else "f32")
    embedding = "int4" if rng.random() < 0.5 else "bf16"
    return Arithmetic("int4", embedding, "int8" if rng.random() < 0.35 else "f32")


def rate_at(step, steps, fall_from, warm=80):
    share = step / steps
    return min(step / warm, 1.0, (1 - share) / (1 - fall_from) if fall_from < 1 else 1.0)


def average_gradients(params):
    """Over the processes. One message a step: they wait for each other once, however busy the machine is."""
    flat = torch.cat([p.grad.flatten() for p in params])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for p, part in zip(params, flat.split([p.numel() for p in params])):
        p.grad.copy_(part.view_as(p))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True, help="the model directory to write")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--start", help="a model directory to go on from, instead of from nothing")
    parser.add_argument("--tokens", type=int, default=4096, help="in a batch of all processes, padding included")
    parser.add_argument("--processes", type=int, default=2, help="of one thread each")
    parser.add_argument("--fall-from", type=float, default=0.55, help="share of the steps before the rate falls to 0")
    parser.add_argument("--quantize-from", type=float, default=0.5, help="share of the steps before int4")
    parser.add_argument("--muon-rate", type=float, default=0.02)
    parser.add_argument("--adam-rate", type=float, default=0.004)
    args = parser.parse_args()
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(29000 + os.getpid() % 1000))
    torch.multiprocessing.spawn(train, args=(args,), nprocs=args.processes)


def train(rank, args):
    dist.init_process_group("gloo", rank=rank, world_size=args.processes, timeout=datetime.timedelta(hours=1))
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    held_out = tasks.make_held_out()
    if args.start:
        model, tokenizer = export.read(args.start)
        config = model.config
    else:
        tokenizer = train_tokenizer(tasks.Generator(args.seed, held_out))
        config = Config(vocab_size=len(tokenizer))
        model = Llama(config)
    layers = [p for n, p in model.weights.items() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in model.weights.items() if p.dim() == 1 or "embed" in n]
    muon = Muon(layers)
    adam = torch.optim.Adam(others, lr=args.adam_rate, betas=(0.9, 0.98))
    generator = tasks.Generator(args.seed + 1 + 1000 * rank, held_out)
    stream = batches(
        generator, tokenizer, args.tokens // args.processes, config.max_position_embeddings, long_share=0.02
    )
    rng = random.Random(args.seed + 2)  # the same in all processes

    def say(text):
        if rank == 0:
            print(text, flush=True)

    say(f"{sum(p.numel() for p in model.parameters())} weights, {len(tokenizer)} tokens")
    began, seen, losses = time.time(), 0, []
    for step in range(args.steps):
        share = step / args.steps
        ids, learn = next(stream)
        model.prepare(arithmetic_at(share, rng, args.quantize_from))
        rows = learn[:, 1:]
        wanted = F.pad(rows, (0, 1)).flatten().nonzero().squeeze(1)
        loss = F.cross_entropy(model(ids, rows=wanted), ids[:, 1:][rows])
        model.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(layers + others)
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        rate = rate_at(step, args.steps, args.fall_from)
        muon.step(args.muon_rate * rate, decay=0.1)
        for group in adam.param_groups:
            group["lr"] = args.adam_rate * rate
        adam.step()
        seen += ids.numel() * args.processes
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            elapsed = time.time() - began
            say(
                f"step {step + 1} loss {sum(losses) / len(losses):.5f} rate {rate:.3f} tokens {seen} "
                f"seconds {elapsed:.0f} ({seen / elapsed:.0f} tokens/s)"
            )
            losses = []
        if rank == 0 and ((step + 1) % 500 == 0 or step + 1 == args.steps):
            few = held_out[:200]
            for kind in ("bf16", "int4"):
                right = sums(model, tokenizer, few, Arithmetic(kind, kind))[0]
                say(f"step {step + 1} {kind}: {right} of {len(few)} held-out sums")
            export.write(args.out, model, tokenizer)
    say(f"{args.steps} steps, {seen} tokens, {time.time() - began:.0f} s")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
