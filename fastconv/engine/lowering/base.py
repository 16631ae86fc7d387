"""How layers are computed: the lane operations of their forward and their backward pass.

One class a layer, in the file of the layer's family, says which record it is for:

    class ReLULowering(Lowering, layer=ReLU): ...

A record without a class of its own is computed as the record that it is a subclass of.
"""

from dataclasses import replace
from functools import cached_property
from typing import ClassVar

from ...kernels.lanes import channels, layout, shard_sums
from ...kernels.lanes.planes import plane_geometry
from ...nn.layer import Layer, entry_of
from ..memory import CopyDistance, image_of

LOWERINGS: dict[type[Layer], type["Lowering"]] = {}


class Lowering:
    """A layer in a plan. Defaults describe an elementwise layer that may work in place.

    x, y, dy and dx are planes; dx is None where nobody needs the input gradient. Of a layer that takes
    several values, x and dx are lists of them. `few` says how many samples have their channels in the lanes
    of all these; where it is 0, samples lie in the lanes.
    """

    in_place: ClassVar[bool] = True  # y may be the same memory as x
    needs_output: ClassVar[bool] = False  # backward reads y, so that no later layer may overwrite it
    fuses_relu: ClassVar[bool] = False  # forward can end in max(y, 0)
    is_relu: ClassVar[bool] = False  # it is that max(y, 0)
    is_sum: ClassVar[bool] = False  # it is the sum of its inputs
    gates: ClassVar[bool] = False  # backward can zero dx where x is not positive
    gate_is_input: ClassVar[bool] = False  # it reads x for that, which must be laid out as dx
    gates_output: ClassVar[bool] = False  # backward can read dy as 0 where a fused ReLU gave nothing positive
    joins_sum: ClassVar[bool] = False  # forward is `prepare` and `finish`, which can end in a sum
    made_again: ClassVar[bool] = False  # y is cheaper to make again of x, which backward reads, than to keep
    repeated: ClassVar[bool] = False  # so cheap, in place, that it may follow when y is made again
    adds_gradient: ClassVar[bool] = False  # backward can add to what dx holds
    finishes_gradient: ClassVar[bool] = False  # backward can make dy whole: see `unfinished`
    passes_gradient: ClassVar[bool] = False  # the gradient of every input is that of the output: no backward
    reads_scalars: ClassVar[bool] = False  # x, of few samples, may be planes of scalars
    passes_on: ClassVar[bool] = False  # where few samples are worked on in place, forward does nothing
    shares_blocks: ClassVar[bool] = False  # backward has an exchange of ranks, and calls `share_early` there
    learns_from_few: ClassVar[bool] = False  # see `learns_from_few_samples`
    takes_blocks_together: ClassVar[bool] = False  # it can read its weights once for all blocks
    folds: ClassVar[bool] = False  # forward can make what a batch normalisation after it makes
    # Set by the builder:
    reads_input_alone = False  # x is the network's input, and nobody else reads it
    together = False  # all blocks are taken together, where `takes_blocks_together`
    gated = False  # dy is that above the fused ReLU
    adds = False  # dx holds what others have given: backward adds to it
    unfinished = None  # or what is to be done with dy, in its memory: (planes to add, what gates the sum)
    follows_relu = False  # x is what a ReLU gave in the same memory, fused or not, for this layer alone

    def __init_subclass__(cls, layer=None):
        if layer is not None:
            LOWERINGS[layer] = cls

    def __init__(self, number, node, emitter):
        self.number, self.name, self.emitter = number, node.name, emitter
        self.layer = node.layer.image_layer()
        self.plan = emitter.plan
        self.input_shape, self.output_shape = (
            image_of(shape) if len(shape) == 2 else shape for shape in (node.input_shape, node.output_shape)
        )
        self.inputs, self.output = node.inputs, node.output
        self.few = emitter.few if number in emitter.layers_of_channels else 0

    @property
    def takes_several(self):
        """Whether x and dx are lists."""
        return self.layer.takes_several

    @classmethod
    def takes_few_samples(cls, layer):
        """Whether forward can work on few samples with their channels in the lanes."""
        return True

    @classmethod
    def learns_from_few_samples(cls, layer, channels):
        """Whether backward can, too, where x has so many channels."""
        return cls.learns_from_few

    def cost(self):
        """What forward takes of a block, or of one of few samples, in products of vectors."""
        products, (c, h, w) = self.layer.products(self.input_shape), image_of(self.output_shape)
        if self.few:
            return (products // c + h * w) * -(-c // self.plan.lanes)
        return products + c * h * w

    def step_cost(self):
        """What both passes take of a block, or of one of few samples, in products of vectors."""
        return 2 * self.cost()

    def packing_cost(self):
        """What it takes to lay out weights that change with every step for few samples."""
        return 0

    def input_halo(self):
        """Zeros that forward reads around x: (top, bottom, left, right)."""
        return (0, 0, 0, 0)

    def gradient_halo(self):
        """Zeros that backward reads around dy."""
        return (0, 0, 0, 0)

    def prepare(self):
        """Leave operations on the parameters to the start of the step, in `emitter.before_forward`."""

    def forward(self, x, y, relu):
        """Emit y from x; `relu` asks for max(y, 0), where `fuses_relu`."""
        raise NotImplementedError

    def backward(self, x, y, dy, dx, gate):
        """Emit the gradients; `gate` asks for dx = 0 where x is not positive, where `gates`."""
        raise NotImplementedError

    def laid_out_as(self, x, y):
        """The features x, or a copy of them in the layout of y.

        Those of few samples lie as the channels of the image that they may have been.
        """
        if not self.few or x.image == y.image:
            return x
        storage, lanes = self.plan.storage_like(y.storage), self.plan.lanes
        storage.shape = None  # not all lanes are written, so that it is nobody else's
        copy = replace(y, storage=storage, label=f"{x.label}_for_{y.label}")
        self.regroup(x.scalar_table(lanes), x, copy)
        return copy

    def regroup(self, x_table, x, y, y_table=None):
        """Emit the copy of the scalars `x_table` of few samples to y, to all of its scalars or to some."""
        lanes = self.plan.lanes
        y_table = y.scalar_table(lanes) if y_table is None else y_table
        distances = x.sample_distance(lanes), y.sample_distance(lanes)
        g = layout.regroup_geometry(y.samples, x_table, distances[0], y_table, distances[1])
        self.plan.emit(layout.regroup, [x, y], g)

    def elementwise(self, operation, operands, planes):
        """Emit an operation over planes of one size: the ones it reads, those it writes, and perhaps y."""
        self.plan.emit(operation, operands, plane_geometry(*planes, layer=self.number))


class WeightedLowering(Lowering):
    """A layer with a weight and perhaps a bias.

    `trains` says whether they change; where they don't, backward may leave out their gradients.
    """

    in_place = False
    fuses_relu = True
    gates = True
    gate_is_input = True
    norm = None  # a batch normalisation that it has taken over

    def __init__(self, *args):
        super().__init__(*args)
        self.trains = self.emitter.trains(self.name)

    def parameter(self, name):
        """The layer's parameter in memory, or None; of one that has taken over another layer, theirs."""
        if self.norm is not None:
            return self._folded[name]
        return self.emitter.parameter(f"{self.name}.{name}")

    def take_over(self, norm):
        """Make what the batch normalisation `norm` makes of the sums, with other weights."""
        self.norm, self.output = norm, norm.output

    def weight_axes(self):
        """The weight as (outer, outputs, inner)."""
        outputs = self.output_shape[0]
        return 1, outputs, self.emitter.parameter(f"{self.name}.weight").count // outputs

    @cached_property
    def _folded(self):
        """The weight and the bias that make the sums and the normalisation behind them."""
        norm, (outer, outputs, inner) = self.norm, self.weight_axes()
        weight, bias = (self.emitter.parameter(f"{self.name}.{name}") for name in ("weight", "bias"))
        rows = self.plan.rows(weight.count + outputs, label=f"folded{self.number}")
        running = self.emitter.statistic(f"{norm.name}.running_mean")
        eps = self.emitter.numbers([norm.layer.eps])
        g = channels.FoldGeometry(outer=outer, channels=outputs, inner=inner, bias=int(bias is not None))
        self.emitter.prepare(
            channels.fold_norm, [weight, bias, running, norm.parameter("weight"), eps, rows], g
        )
        first = weight.count * self.plan.dtype.itemsize
        shifts = replace(rows, first_byte=first, count=outputs, label=f"folded_bias{self.number}")
        return {"weight": replace(rows, count=weight.count), "bias": shifts}

    def gradient(self, name):
        """Where the sum of the parameter's gradient goes, or None."""
        return self.emitter.gradient(f"{self.name}.{name}", self.number)

    def sums_of_blocks(self, names=("weight", "bias")):
        """Where an operation adds up the gradients of weight and bias, or of one of them, block by block.

        Of several blocks, that is a place for each shard of them; these are added up at the end.
        """
        if self.plan.blocks == 1 and not self.plan.shared:
            return self.gradient(names[0])
        shard = self.sums_of_shards(names)
        self.add_own_shards(shard)
        return shard

    def behind_weight(self, sums):
        """Where the bias's gradient is added up, if it is: behind the weight's `sums`."""
        size, bias = self.parameter("weight").count, self.parameter("bias").count
        first_byte = sums.first_byte + size * self.plan.dtype.itemsize
        return replace(sums, first_byte=first_byte, count=bias, label=f"{sums.label}_bias")

    def sums_of_shards(self, names=("weight", "bias")):
        """Where the gradients of weight and bias, or of one of them, lie for each shard, to be added up."""
        total = self.gradient(names[0])
        parameters = [self.parameter(name) for name in names]
        size = sum(parameter.count for parameter in parameters if parameter is not None)
        shard = self.plan.rows(size, "shard", f"shards{self.number}")
        g = shard_sums.ShardSumsGeometry(size, CopyDistance(shard.storage))
        self.emitter.after_backward.append((shard_sums.add_shards, [shard, total], g))
        return shard

    def add_own_shards(self, shard):
        """Leave the sums of the shards of this process, where there are others, to before they are shared."""
        if self.plan.shared:
            g = shard_sums.ShardSumsGeometry(shard.count, CopyDistance(shard.storage))
            self.emitter.before_sharing.append((shard_sums.add_own_shards, [shard], g))


def lowering_of(layer):
    """The class that lowers a layer.

    Raises
    ------
    TypeError
        If there is none: a layer of a user's own that is not made of existing ones.
    """
    found = entry_of(LOWERINGS, layer.image_layer())
    if found is not None:
        return found
    raise TypeError(
        f"{type(layer).__name__} has no compiled form: make a layer of your own of existing ones "
        "(fastconv.Block), or of a function of single numbers (fastconv.Elementwise)"
    )
