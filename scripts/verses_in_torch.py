"""What PyTorch reaches with the network, the pairs and the recipe of examples/verses_translation.py.

The network is the package's own file, read with PyTorch in corten's place; tokens, batches and their order come from
the program. PyTorch has to be installed. On one core the whole takes about 50 minutes:

    python scripts/verses_in_torch.py --out out/verses_in_torch

It ends with the line that the program ends with, and the program's target is one point less.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from torch.utils import _pytree

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))


def network_in_torch():
    """`T5` of `corten.models` with PyTorch's modules and functions."""
    import corten.models

    package = types.ModuleType("in_torch")
    package.__path__ = []
    models = types.ModuleType("in_torch.models")
    models.__path__ = corten.models.__path__
    names = {"": package, ".models": models, ".nn": torch.nn, ".nn.functional": F, ".utils._pytree": _pytree}
    package.nn = torch.nn
    replaced = {f"in_torch{name}": module for name, module in names.items()}
    with mock.patch.dict(sys.modules, {"corten": torch, "in_torch.utils": types.ModuleType("utils"), **replaced}):
        return importlib.import_module("in_torch.models.t5").T5


def main() -> None:
    from corten.metrics import chrf

    import verses_translation as program
    from common import parse, print_result, sized, total_steps

    args = parse(program.options())
    words, training, test, held_out, shape = program.prepared(args)
    torch.manual_seed(args.seed)
    model = network_in_torch()(**shape)
    batches = program.in_batches(training, sized(args, args.batch_size, args.batch_size, 4))
    steps = total_steps(args, len(batches))
    learners, schedules = program.optimizers(model, steps, args.matrix_lr, args.lr, torch.optim)

    done = 0
    while done < steps:
        for source, target in batches:
            loss = program.loss_of(model, torch.from_numpy(source.numpy()), torch.from_numpy(target.numpy()), F)
            model.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for one in (*learners, *schedules):
                one.step()
            done += 1
            if done % 100 == 0 or done == steps:
                print(f"{done} of {steps} steps, loss {loss.item():.3f}", flush=True)
            if done == steps:
                break

    model.eval()

    def generate(part, *options, **named):
        return model.generate(torch.from_numpy(part.numpy()), *options, **named)

    with torch.no_grad():
        spanish = program.translated(generate, words, held_out.source, sized(args, 120, 60, 5))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "translations.json").write_text(json.dumps(spanish, ensure_ascii=False, indent=0), "utf-8")
    print_result("verses_in_torch", "chrf", chrf(spanish, [truth for _, truth in test]), program.TARGET + 1)


if __name__ == "__main__":
    main()
