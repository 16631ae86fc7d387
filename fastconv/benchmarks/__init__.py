"""What `python -m fastconv bench` and `bench/` measure, and what they compare it with.

nets.py          the three networks as plain data, their operation counts
im2col.py        the baseline's kernels: NumPy, sliding windows and matrix products
im2col_nets.py   the baseline's training step
torch_kernels.py torch_nets.py   the same in PyTorch
onnx_nets.py     the networks for ONNX Runtime
lane_kernels.py  the engine's convolutions alone
processes.py     start-up time and peak memory of whole processes
networks.py      the networks that everybody trains and predicts with, their samples and losses
network_contenders.py network_checks.py network_works.py
                 who trains them, what shows that all train the same, and both as works
jax_nets.py jax_process.py
                 the networks in JAX, which runs in processes of its own
kernel_grid.py   the public convolutions on a grid of shapes
work.py          a work, its contenders, and the comparison of their results
workloads.py     works that are written out by hand, with their contenders
choice.py        which works a run measures
measuring.py     one work after the other, and nobody's failure ends it
timing.py        several contenders timed in turns, best of many
machine.py       threads and versions
results.py       one measured piece of work
errors.py        rounding errors of layers against float64
curves.py        training curves at both precisions
table.py         the table of ratios
rank_table.py    the table of steps that ranks share
ranks.py         what each of these ranks does
pages.py         what tables are made of
goals.py         what fastconv wants to reach, with the measured figures
chart.py         the bar chart
"""
