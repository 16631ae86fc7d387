"""Batch normalisation that scales the weights before it, where its statistics are given: in predictions."""

from .lowering.norm import BatchNorm2dLowering


def fold_norms(layers, outputs):
    """The layers without the batch normalisations that those before them take over.

    Parameters
    ----------
    layers : list of Lowering
    outputs : list of ints
        The values that somebody beside the layers reads.

    Returns
    -------
    list of Lowering
        Of which some make what a normalisation after them made.
    """
    writer = {layer.output: layer for layer in layers}
    readers = {}
    for layer in layers:
        for value in layer.inputs:
            readers.setdefault(value, []).append(layer)
    left = []
    for layer in layers:
        before = writer.get(layer.inputs[0])
        alone = len(readers[layer.inputs[0]]) == 1 and layer.inputs[0] not in outputs
        if isinstance(layer, BatchNorm2dLowering) and alone and before is not None and before.folds:
            before.take_over(layer)
            writer[layer.output] = before
        else:
            left.append(layer)
    return left
