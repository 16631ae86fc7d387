"""The command line, one command a file, and what the commands share.

Each command has `add_to(commands)`, which describes its options, and `run(args)`, which does the work and
returns the exit code.

program.py   one command from its arguments: errors, exit codes
launch.py    one command in several processes, which an MPI launcher has started
options.py   what their options have in common
output.py    what they print and write: JSON, lines of errors, files
inputs.py    what they read: models and data sets
networks.py  the networks of those that measure
kept.py      what is left of a run that was interrupted
memory.py    what a model remembers of the images that it was trained on
looks.py     how bright and colourful they were, and hints where others look otherwise
recipes.py   which network is trained for how long
training_data.py training_plan.py training_results.py   the parts of `train`
report.py    the page of a training run, made of html.py
facts.py     what `info` tells
train.py evaluate.py predict.py compare.py export.py warm.py bench.py profile.py scale.py info.py
tutorial.py  with its text in tutorial.md
"""

from .program import main

__all__ = ["main"]
