"""Values that are made again where a later stage reads them, so that none of a whole batch is kept.

Between two stages every block goes to memory and comes back. What a normalisation makes is read again in the
backward pass, which reads its input there in any case: to make it again of that costs less than to write it,
keep it and read it, and the memory that it needs is that of a block.
"""

from dataclasses import replace

from .plan import Emitted


class MadeAgain:
    """Which memory holds what can be made again, and by which operations.

    Those are a normalisation and cheap layers that work in place on what it gave. Random numbers or
    exponentials cost more than the way to memory and back.
    """

    def __init__(self):
        self._makers = {}

    def note(self, layer, storage, operations):
        """Take note of what a layer has emitted to make what is in `storage`."""
        own = [made for made in operations if any(_in(operand, storage) for operand in made[1])]
        if layer.made_again:
            self._makers[storage] = own
        elif layer.repeated and storage in self._makers:
            self._makers[storage] += own
        else:
            self._makers.pop(storage, None)

    def emit(self, plan):
        """Make what a plan reads in later stages again there, in memory of their own."""
        for storage, made in self._makers.items():
            users = [k for k, (_, operations) in enumerate(plan.stages) if _uses(operations, storage)]
            if any(plan.stages[k][0] != "block" for k in users):
                continue
            for k in users[1:]:
                kind, operations = plan.stages[k]
                first = next(n for n, one in enumerate(operations) if _uses([one], storage))
                operations = [*operations[:first], *made, *operations[first:]]
                own = plan.storage_like(storage)
                plan.stages[k] = kind, [_moved(one, storage, own) for one in operations]


def _in(operand, storage):
    return operand is not None and operand.storage is storage


def _uses(operations, storage):
    return any(_in(operand, storage) for _, operands, _ in operations for operand in operands)


def _moved(one, storage, own):
    """An operation with the memory `own` in place of `storage`."""
    operation, operands, geometry = one
    moved = [replace(operand, storage=own) if _in(operand, storage) else operand for operand in operands]
    owner = one.owner and one.owner._replace(part="backward")
    return Emitted((operation, moved, geometry), owner)
