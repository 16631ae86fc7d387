"""The geometries of convolutions, made in Python.

A layer needs few of them, once: Python makes those of a LeNet in 10 ms, and those of 96x96 images in 50 ms a
layer. To compile what makes them would take half as long as to compile all operations of a LeNet.
"""

from ...kernels.lanes import conv, conv_geometry, depthwise, depthwise_geometry, depthwise_grad_weight
from ...simd.compiling import interpreted

conv_forward = interpreted(conv_geometry.conv_forward)
conv_grad_input = interpreted(conv_geometry.conv_grad_input)
conv_grad_weight = interpreted(conv_geometry.conv_grad_weight)
add_to_target = interpreted(conv_geometry.add_to_target)
forward_halo = interpreted(conv_geometry.forward_halo)
grad_input_halo = interpreted(conv_geometry.grad_input_halo)
depthwise_forward = interpreted(depthwise_geometry.depthwise_forward)
depthwise_grad_input = interpreted(depthwise_geometry.depthwise_grad_input)
depthwise_weight_geometry = interpreted(depthwise_grad_weight.depthwise_weight_geometry)
takes = interpreted(depthwise.takes)
takes_grad_weight = interpreted(depthwise_grad_weight.takes_grad_weight)
channels_at_once = interpreted(conv.channels_at_once)
