"""`fastconv bench`."""

import argparse
from typing import Any

from ..checks.extras import require
from . import options, output

PARTS = ("steps", "predict", "kernels", "grid", "lanes", "errors")
EXAMPLES = """\
bench
bench --quick --compare torch
bench --parts steps predict --networks resnet8 ds_cnn --batches 32 --threads 1 --seconds 0.5
bench --threads 1 2 --save table.md --chart ratios.png
bench --ranks 1,2,4 --networks lenet5 resnet8 --batches 128"""
COMPARED = ("im2col", "torch", "onnxruntime")
THREADS = [1, 2]


def add_to(commands: Any) -> None:
    """Describe the options."""
    text = "measure fastconv against a NumPy im2col baseline, PyTorch, ONNX Runtime and JAX"
    command = options.add_command(commands, "bench", run, text, EXAMPLES)
    add = command.add_argument
    add(
        "--compare",
        nargs="+",
        choices=("im2col", "im2col_inside", "torch", "torch_compile", "onnxruntime", "jax"),
        default=COMPARED,
        help="what to compare with, where it is installed (default: im2col torch onnxruntime)",
    )
    add(
        "--threads",
        type=options.number(int, 1),
        nargs="+",
        default=THREADS,
        metavar="N",
        help="a table for each of these numbers of threads (default: 1 2)",
    )
    add("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all of it)")
    add(
        "--networks",
        nargs="+",
        metavar="NAME",
        help="networks by their names in fastconv.models, or vgg_bn, cnn, mlp (default: all)",
    )
    add(
        "--batches",
        type=options.number(int, 1),
        nargs="+",
        metavar="N",
        help="batch sizes of networks and of the grid (default: 1 to 256, 16 and 128)",
    )
    add(
        "--seconds",
        type=options.number(float, 0, above=True),
        metavar="S",
        help="how long each contender is timed, more or less (default: 2)",
    )
    add(
        "--ranks",
        type=_counts,
        metavar="N,N",
        help="measure instead training steps that so many ranks share, a thread each, started by mpiexec",
    )
    add("--quick", action="store_true", help="fewer repetitions: seconds instead of minutes")
    add("--save", metavar="FILE", help="write the table to a Markdown file")
    add(
        "--json",
        metavar="FILE",
        nargs="?",
        const="-",
        help="write the measurements to a JSON file, after each one; without FILE print them at the end",
    )
    add("--chart", metavar="FILE", help="draw the ratios as bars, in a PNG, SVG or PDF file")
    add("--update-readme", metavar="FILE", help="put the table between the benchmark markers of this page")
    add("--no-goals", action="store_true", help="leave out the table of goals, which starts whole processes")


def _counts(text: str) -> list[int]:
    """An argparse type: "1,2,4"."""
    return [options.number(int, 1)(part) for part in text.split(",")]


def _run_ranks(args: argparse.Namespace) -> int:
    """Measure steps that ranks share."""
    from ..benchmarks import rank_table

    others = {
        "--compare": args.compare is not COMPARED,
        "--threads": args.threads is not THREADS,
        "--parts": args.parts is not PARTS,
        "--chart": args.chart is not None,
    }
    for option, is_given in others.items():
        if is_given:
            args.refuse(f"{option} does not go with --ranks")
    return rank_table.run(
        args.ranks,
        args.networks or rank_table.USUAL,
        args.batches,
        seconds=args.seconds or (rank_table.QUICK_SECONDS if args.quick else rank_table.SECONDS),
        save=args.save,
        json=args.json,
        update_readme=args.update_readme,
    )


def run(args: argparse.Namespace) -> int:
    """Measure."""
    from ..benchmarks import table
    from ..benchmarks.choice import Choice
    from ..benchmarks.networks import NETWORKS

    networks = tuple(args.networks or NETWORKS)
    for name in networks:
        if name not in NETWORKS:
            args.refuse(f"--networks must be some of {', '.join(NETWORKS)}, got {name!r}")
    for path, option in ((args.save, "--save"), (args.json, "--json"), (args.chart, "--chart")):
        if path not in (None, "-"):
            output.check_output(path, option)
    page = args.update_readme
    files = {"--save": args.save, "--json": None if args.json == "-" else args.json, "--chart": args.chart}
    output.check_distinct(files, {"--update-readme": page})
    if args.chart:
        require("matplotlib", "plot", "--chart")
    if args.ranks:
        return _run_ranks(args)
    return table.run(
        compare=tuple(args.compare),
        quick=args.quick,
        save=args.save,
        json=args.json,
        threads=args.threads,
        update_readme=args.update_readme,
        chart=args.chart,
        with_goals=not args.no_goals,
        choice=Choice(tuple(args.parts), networks, tuple(args.batches) if args.batches else None),
        seconds=args.seconds,
    )
