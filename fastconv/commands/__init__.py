"""The commands of the command line, one a file.

Each has `add_to(commands)`, which describes its options, and `run(args)`, which does the work and returns the
exit code.

options.py   what their options have in common
output.py    what they print and write: JSON, lines of errors, files
inputs.py    what they read: models and data sets
recipes.py   which network is trained for how long
train.py evaluate.py predict.py export.py bench.py info.py
"""
