"""A GPT that writes the King James Bible: four layers of 256 features over tokens that were learned from the text.

The data are 4.15 million characters. The last 5 % are held out; the vocabulary of 2048 tokens (byte-level BPE) is
learned from the other 95 %, as the network is. Bits per character are the sum of −log₂ p over all held-out tokens,
divided by their characters, so vocabularies can be compared. Each token is read behind at least half a context of
those before it.
"""

from __future__ import annotations

import math

import corten
import corten.nn.functional as F
from corten.models import GPT, ByteLevelBPE
from corten.training import parameter_groups

from common import arguments, draw_history, draw_texts, parse, positive, print_result, sized, total_steps, train
from datasets import bible
from datasets.text import Windows

TARGET = 1.80
HELD_OUT = 0.05
AT_ONCE = 16  # windows that are read at once when bits are counted


def split(text: str) -> tuple[str, str]:
    """What is learned from, and the last 5 %; the cut is at the end of a verse."""
    end = text.index("\n", round(len(text) * (1 - HELD_OUT))) + 1
    return text[:end], text[end:]


def overlapping(context: corten.Tensor, ids: corten.Tensor, length: int) -> tuple[corten.Tensor, corten.Tensor]:
    """Windows `(N, length)` over a text, and what follows each token; targets that another window counts are -100.

    Windows advance by half their length, and of each the second half counts.
    """
    half = length // 2
    before = context[-half - 1 :]
    missing = -len(ids) % half
    text = corten.cat([before, ids, ids.new_zeros(missing)])
    starts = corten.arange(0, len(ids), half)[:, None] + corten.arange(length, device="cpu")
    starts = starts[: (len(ids) + missing) // half].to(ids.device)
    target = text[1:].clone()
    target[len(target) - missing :] = -100
    following = target[starts]
    following[:, : length - half] = -100
    return text[starts], following


@corten.no_grad()
def losses(model: GPT, windows: corten.Tensor, following: corten.Tensor):
    """Scores and targets of the tokens that count, window by window."""
    for given, target in zip(windows.split(AT_ONCE), following.split(AT_ONCE)):
        counts = target != -100
        yield F.linear(model.hidden(given)[counts], model.wte.weight), target[counts]


def bits_per_character(model: GPT, windows: corten.Tensor, following: corten.Tensor, characters: int) -> float:
    """Of all held-out characters, whose number does not depend on the vocabulary."""
    model.eval()
    nats = sum(F.cross_entropy(*part, reduction="sum").item() for part in losses(model, windows, following))
    return nats / characters / math.log(2)


def costs(model: GPT, words: ByteLevelBPE, windows: corten.Tensor, following: corten.Tensor, count: int):
    """The first held-out tokens with their bits: 1 where a token costs twelve or more."""
    found, some = [], -(-count // (windows.shape[1] // 2))
    for scores, target in losses(model, windows[:some], following[:some]):
        bits = F.cross_entropy(scores, target, reduction="none") / math.log(2) / 12
        found += zip([words.decode([number]) for number in target.tolist()], bits.clamp(max=1).tolist())
    return found[:count]


def main() -> None:
    parser = arguments(__doc__, epochs=4, quick_epochs=1, out="gpt_bible")
    parser.add_argument("--batch-size", type=positive, default=16)
    parser.add_argument("--lr", type=float, default=1.5e-3, help="peak learning rate")
    args = parse(parser)
    text = bible()
    learned, held_out = split(text[: sized(args, len(text), 600_000, 20_000)])
    words = ByteLevelBPE.train([learned], sized(args, 2048, 1024, 300))
    training, test = (corten.tensor(words.encode(part)).to(args.device) for part in (learned, held_out))
    print(
        f"{len(learned)} characters, {len(training)} tokens to learn from; "
        f"{len(held_out)} characters, {len(test)} tokens held out"
    )

    context, width, layers = sized(args, (256, 256, 4), (128, 128, 3), (32, 16, 1))
    if args.smoke:
        test = test[:100]
        held_out = words.decode(test.tolist())
    model = GPT(len(words.tokens), context, width, layers, 4, dropout=0.1).to(args.device)
    windows = Windows(training, context, sized(args, args.batch_size, args.batch_size, 2))
    optimizer = corten.optim.AdamW(parameter_groups(model, lr=args.lr, weight_decay=0.1), betas=(0.9, 0.95))
    schedule = corten.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=args.lr, total_steps=total_steps(args, len(windows)), pct_start=0.1, cycle_momentum=False
    )
    measured = overlapping(training, test, context)
    history = train(
        args,
        model,
        windows,
        lambda scores, target: F.cross_entropy(scores.flatten(0, 1), target.flatten()),
        optimizer,
        step_scheduler=schedule,
        clip_norm=1.0,
        validation=lambda model: {"bits_per_character": bits_per_character(model, *measured, len(held_out))},
    )

    draw_history(args.out / "curves.png", history)
    model.eval()
    prompt = "And it came to pass"
    written = model.generate(
        corten.tensor([words.encode(prompt)]).to(args.device), sized(args, 200, 100, 4), temperature=0.8, top_p=0.95
    )
    story = words.decode(written[0].tolist())
    print(story)
    draw_texts(
        args.out / "texts.png",
        {
            "written behind the first five words": [
                (word + " ", 0.0) for line in story.split("\n") for word in line.split()
            ],
            "bits of held-out tokens": costs(model, words, *measured, sized(args, 250, 250, 20)),
        },
    )
    print_result("gpt_bible", "bits_per_character", history["val_bits_per_character"][-1], TARGET)


if __name__ == "__main__":
    main()
