"""Sizes and windows of convolutions and pools: how large an output is, and whether there is one."""

from numba.extending import register_jitable

from .jit import LARGEST_TOTAL, checked

# Sizes


@register_jitable
def conv_output_size(size, kernel, stride, pads, dilation):
    """How many windows fit; less than 1 where the kernel is larger than the padded image.

    `pads` are (before, after), here and below.
    """
    return (size + pads[0] + pads[1] - dilation * (kernel - 1) - 1) // stride + 1


@register_jitable
def pool_output_size(size, kernel, stride, pads, dilation, ceil_mode):
    """How many windows there are; with `ceil_mode`, also one that starts inside and hangs over the end."""
    room = size + pads[0] + pads[1] - dilation * (kernel - 1) - 1
    if room < 0 and not ceil_mode:
        return 0
    count = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + pads[0]:
        count -= 1
    return count


@checked
def check_conv(x_shape, weight_shape, stride, pads, dilation, groups, kernel_name):
    """(OH, OW) of a convolution, if its arguments fit each other; `kernel_name` is the one with the kernel.

    Raises
    ------
    ValueError
        If the channels, the groups or the sizes do not.
    """
    channels, out_channels = x_shape[1], weight_shape[0]
    if weight_shape[2] < 1 or weight_shape[3] < 1:
        raise ValueError(
            f"`{kernel_name}` must have a kernel of at least (1, 1), "
            f"got ({weight_shape[2]}, {weight_shape[3]})"
        )
    if channels % groups != 0:
        raise ValueError(f"`groups` must divide the {channels} input channels, got {groups}")
    if out_channels % groups != 0:
        raise ValueError(f"`groups` must divide the {out_channels} output channels, got {groups}")
    if weight_shape[1] * groups != channels:
        raise ValueError(
            f"`weight` must have {channels // groups} input channels ({channels} in {groups} groups), "
            f"got {weight_shape[1]}"
        )
    height = conv_output_size(x_shape[2], weight_shape[2], stride[0], pads[0], dilation[0])
    width = conv_output_size(x_shape[3], weight_shape[3], stride[1], pads[1], dilation[1])
    rows, columns = x_shape[2] + pads[0][0] + pads[0][1], x_shape[3] + pads[1][0] + pads[1][1]
    if height < 1 or width < 1:
        raise ValueError(
            f"`{kernel_name}` must fit the padded image: ({weight_shape[2]}, {weight_shape[3]}) with "
            f"dilation ({dilation[0]}, {dilation[1]}) does not fit ({rows}, {columns})"
        )
    check_total(x_shape[0], max(channels, out_channels), rows, columns, "padding")
    return height, width


@register_jitable
def conv_transpose_output_size(size, kernel, stride, pads, output_padding, dilation):
    """How far the windows of `size` positions reach, and `output_padding` further, without the padding."""
    return (size - 1) * stride + dilation * (kernel - 1) + 1 + output_padding - pads[0] - pads[1]


@checked
def check_conv_transpose(x_shape, weight_shape, stride, pads, output_padding, dilation, groups, kernel_name):
    """(OH, OW) of a transposed convolution, if its arguments fit each other.

    Raises
    ------
    ValueError
        If the channels, the groups or the sizes do not, or nothing is left of the output.
    """
    channels, out_channels = x_shape[1], weight_shape[1] * groups
    kernel = weight_shape[2], weight_shape[3]
    if kernel[0] < 1 or kernel[1] < 1:
        raise ValueError(
            f"`{kernel_name}` must have a kernel of at least (1, 1), got ({kernel[0]}, {kernel[1]})"
        )
    if channels % groups != 0:
        raise ValueError(f"`groups` must divide the {channels} input channels, got {groups}")
    if weight_shape[0] != channels:
        raise ValueError(f"`weight` must have {channels} input channels, got {weight_shape[0]}")
    if x_shape[2] < 1 or x_shape[3] < 1:
        raise ValueError(f"`x` must have images of at least (1, 1), got ({x_shape[2]}, {x_shape[3]})")
    if output_padding[0] >= max(stride[0], dilation[0]) or output_padding[1] >= max(stride[1], dilation[1]):
        raise ValueError(
            f"`output_padding` must be smaller than the stride or the dilation, "
            f"got ({output_padding[0]}, {output_padding[1]})"
        )
    height = conv_transpose_output_size(
        x_shape[2], kernel[0], stride[0], pads[0], output_padding[0], dilation[0]
    )
    width = conv_transpose_output_size(
        x_shape[3], kernel[1], stride[1], pads[1], output_padding[1], dilation[1]
    )
    rows, columns = height + pads[0][0] + pads[0][1], width + pads[1][0] + pads[1][1]
    if height < 1 or width < 1:
        raise ValueError(f"`padding` must leave something of the output, got ({height}, {width})")
    check_total(x_shape[0], max(channels, out_channels), rows, columns, "stride")
    return height, width


@checked
def check_pool(x_shape, kernel, stride, pads, dilation, ceil_mode):
    """(OH, OW) of a pooling, if its arguments fit each other.

    Raises
    ------
    ValueError
        If the padding of a side is more than half the kernel, no window fits, or the images have no elements.
    """
    (top, bottom), (left, right) = pads
    if 2 * max(top, bottom) > kernel[0] or 2 * max(left, right) > kernel[1]:
        raise ValueError(
            f"`padding` must be at most half of `kernel_size` ({kernel[0]}, {kernel[1]}), "
            f"got (({top}, {bottom}), ({left}, {right}))"
        )
    height = pool_output_size(x_shape[2], kernel[0], stride[0], pads[0], dilation[0], ceil_mode)
    width = pool_output_size(x_shape[3], kernel[1], stride[1], pads[1], dilation[1], ceil_mode)
    if height < 1 or width < 1:
        raise ValueError(
            f"`kernel_size` must fit the padded image: ({kernel[0]}, {kernel[1]}) with dilation "
            f"({dilation[0]}, {dilation[1]}) does not fit ({x_shape[2] + pads[0][0] + pads[0][1]}, "
            f"{x_shape[3] + pads[1][0] + pads[1][1]})"
        )
    check_images(x_shape[2], x_shape[3], "x")
    return height, width


@checked
def check_images(height, width, name):
    """Raise ValueError where images have no elements."""
    if height < 1 or width < 1:
        raise ValueError(f"`{name}` must have images of at least (1, 1), got ({height}, {width})")


@checked
def check_total(n, channels, height, width, name):
    """Raise ValueError where an array of this shape could not be counted; floats do not overflow.

    Neither could a single sample or channel of it: blocks of samples are laid out for empty batches too.
    """
    if float(max(n, 1)) * float(max(channels, 1)) * float(height) * float(width) > LARGEST_TOTAL:
        raise ValueError(
            f"`{name}` must make arrays that memory can hold, got shape ({n}, {channels}, {height}, {width})"
        )
