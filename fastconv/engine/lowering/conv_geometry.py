"""The geometries of convolutions, made in Python.

A layer needs few of them, once: Python makes those of a LeNet in 10 ms, and those of 96x96 images in 50 ms a
layer. To compile what makes them would take half as long as to compile all operations of a LeNet.
"""

from ...kernels.lanes import conv_geometry
from ...simd.compiling import interpreted

conv_forward = interpreted(conv_geometry.conv_forward)
conv_grad_input = interpreted(conv_geometry.conv_grad_input)
conv_grad_weight = interpreted(conv_geometry.conv_grad_weight)
forward_halo = interpreted(conv_geometry.forward_halo)
grad_input_halo = interpreted(conv_geometry.grad_input_halo)
