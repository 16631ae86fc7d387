"""The values of a network while its plan is made: who makes and who reads each."""


class Values:
    """Who makes and who reads each value.

    Attributes
    ----------
    writer : list of Lowering or None
        By value; None for inputs.
    readers : list of lists of Lowering
        By value, in order.
    outputs : list of ints
        The values that the losses read, or the network gives.
    """

    def __init__(self, layers, count, outputs):
        self.writer, self.outputs = [None] * count, outputs
        self.readers = [[] for _ in self.writer]
        for layer in layers:
            self.writer[layer.output] = layer
            for value in dict.fromkeys(layer.inputs):
                self.readers[value].append(layer)

    def read_as_scalars(self, value):
        """Whether all readers of a value of few samples take it as scalars, or pass it on to such."""
        readers = self.readers[value]
        if len(readers) == 1 and readers[0].passes_on and value not in self.outputs:
            return self.read_as_scalars(readers[0].output)
        return bool(readers) and all(reader.reads_scalars for reader in readers)

    def halo(self, value):
        """The zeros around a value: what its readers need, and its gradient if both are laid out alike."""
        forward, backward, apart = self._halos(value)
        return largest(*(forward if apart else forward + backward))

    def slope_halo(self, value):
        """The zeros around the gradient of a value: what its writer needs, or those of `halo`."""
        forward, backward, apart = self._halos(value)
        return largest(*(backward if apart else forward + backward))

    def _halos(self, value):
        """Zeros that the forward and the backward pass read around a value, and whether each has its own.

        Where a layer works in place, what it reads and what it makes are laid out alike. A gradient is laid
        out as the value that tells where it is 0, and wherever no batch goes to memory and back: in cache one
        layout is as good as two.
        """
        found, waiting, forward, backward = set(), [value], [], []
        apart = any(layer.made_again for layer in self.writer if layer is not None)
        while waiting:
            value = waiting.pop()
            if value in found:
                continue
            found.add(value)
            readers, writer = self.readers[value], self.writer[value]
            for layer in readers:
                forward.append(layer.input_halo())
                waiting += [layer.output] if layer.in_place else []
            if writer is not None:
                backward.append(writer.gradient_halo())
                waiting += writer.inputs if writer.in_place else []
                gated = writer.is_relu and len(readers) == 1 and self.gate(readers[0], writer)
                apart = apart and not (gated and readers[0].gate_is_input)
        return forward, backward, apart

    def gate(self, layer, relu):
        """Whether a layer is to give the gradient below the ReLU that it reads, rather than above it."""
        below = self.writer[relu.inputs[0]]
        return layer.gates and not (layer.gate_is_input and below is not None and below.gates_output)


def largest(*halos):
    """Zeros that are enough for all of them: (top, bottom, left, right)."""
    return tuple(max(sides) for sides in zip((0, 0, 0, 0), *halos, strict=True))
