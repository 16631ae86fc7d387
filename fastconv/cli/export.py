"""`fastconv export`."""

import argparse
import os
from typing import Any

from ..checks.waiting import waiting
from ..formats import json_text, model_file
from . import options, output

SUFFIXES = (".onnx", *model_file.SUFFIXES)
EXAMPLES = f"""\
export {options.DEFAULT_MODEL} model.onnx --softmax
export {options.DEFAULT_MODEL} model.safetensors"""


def add_to(commands: Any) -> None:
    """Describe the options."""
    text = "write a saved model in another format, told by the suffix"
    command = options.add_command(commands, "export", run, text, EXAMPLES, "MODEL FILE")
    options.add_model(command)
    command.add_argument(
        "output", metavar="FILE", help=f"ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
    )
    command.add_argument(
        "--softmax", action="store_true", help="the .onnx file gives probabilities instead of logits"
    )
    options.add_json(command)


def run(args: argparse.Namespace) -> int:
    """Read the model and write it."""
    import fastconv as fc

    output.check_output(args.output, "FILE", *SUFFIXES)
    output.check_distinct({"FILE": args.output}, {"MODEL": args.model})
    if args.softmax and not args.output.endswith(".onnx"):
        args.refuse("--softmax is for .onnx files: with others, fastconv makes the probabilities itself")
    with waiting(f"reading {args.model}"):
        model: Any = fc.load(args.model)
    with waiting(f"writing {args.output}"), output.writing(args.output):
        if args.output.endswith(".onnx"):
            model.to_onnx(args.output, softmax=args.softmax)
        else:
            model.save(args.output)
    size = os.path.getsize(args.output)
    if args.json:
        facts = {"model": args.model, "output": args.output, "bytes": size}
        print(json_text.to_json({**facts, "parameters": model.num_parameters}))
    else:
        output.say(f"saved {args.output}: {model.num_parameters} parameters, {size} bytes")
    return 0
