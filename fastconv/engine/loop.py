"""The compiled loop: step, stage, block, operation."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..kernels.lanes.operation import STATE, operation_types
from ..simd.compiling import compiled
from .clock import ticks
from .denormals import flush_denormals, restore_denormals
from .plan import BATCH, FIRST_OPERAND, MAX_SHARDS, OPERAND_FIELDS, OPERANDS
from .threads import wait_for_all


@compiled
def point(operations, calls, first, last, block, thread, shard):
    """Point the calls first..last to the copies of their memory that belong to this block."""
    for k in range(first, last):
        row = operations[k]
        for n in range(FIRST_OPERAND):
            calls[k, n] = row[n]
        for n in range(OPERANDS):
            at = FIRST_OPERAND + n * OPERAND_FIELDS
            calls[k, FIRST_OPERAND + n] = (
                row[at] + block * row[at + 1] + thread * row[at + 2] + shard * row[at + 3]
            )


@compiled
def _first_block(shard, blocks, shards):
    """The first block of a shard; mostly there is one in each."""
    return shard if shards == blocks else shard * blocks // shards


@compiled
def run_calls(calls, first, last, state, times):
    """Call the operations first..last; `times`, unless it is None, gets what each takes, in ticks."""
    if times is None:
        for k in range(first, last):
            call_operation(calls, k, state)
    else:
        before = ticks()
        for k in range(first, last):
            call_operation(calls, k, state)
            now = ticks()
            times[k] += now - before
            before = now


@compiled
def run_steps(
    operations,
    stages,
    all_calls,
    all_held,
    states,
    barrier,
    lanes,
    batch_size,
    samples,
    first_step,
    steps,
    thread,
    threads,
    times,
):
    """Take `steps` steps from `first_step` on; every thread calls this with its own number.

    Ends early where another thread was kept from coming to the barrier. `times` is None, which Numba compiles
    into no code, or an array of ticks to add to: one for each operation, and one for waiting.
    """
    control = flush_denormals()
    calls, held, state = all_calls[thread], all_held[thread], states[thread]
    state[STATE.thread], state[STATE.threads] = thread, threads
    for step in range(steps):
        position = (first_step + step) * batch_size
        count = min(batch_size, samples - position)
        if state[STATE.samples] != count:  # small networks would notice the division
            state[STATE.samples], state[STATE.blocks] = count, (count + lanes - 1) // lanes
            state[STATE.shards] = min(state[STATE.blocks], MAX_SHARDS)
        blocks, shards = state[STATE.blocks], state[STATE.shards]
        state[STATE.position], state[STATE.step] = position, step
        state[STATE.update] += 1
        for stage in range(stages.shape[0]):
            first, last = stages[stage, 1], stages[stage, 2]
            if stages[stage, 0] == BATCH:
                if held[stage] < 0:
                    point(operations, calls, first, last, 0, 0, 0)
                    held[stage] = 0
                run_calls(calls, first, last, state, times)
            else:
                for shard in range(thread, shards, threads):
                    begin = _first_block(shard, blocks, shards)
                    for block in range(begin, _first_block(shard + 1, blocks, shards)):
                        place = block * MAX_SHARDS + shard
                        if held[stage] != place:
                            point(operations, calls, first, last, block, thread, shard)
                            held[stage] = place
                        state[STATE.first_sample] = block * lanes
                        state[STATE.valid] = min(lanes, count - block * lanes)
                        state[STATE.fresh] = block == begin
                        run_calls(calls, first, last, state, times)
            arrived = 0 if times is None else ticks()
            if not wait_for_all(barrier, threads):
                restore_denormals(control)
                return
            if times is not None:
                times[-1] += ticks() - arrived
    restore_denormals(control)


# Calls by address


@intrinsic
def call_operation(typingctx, calls, index, state):
    """Call a lane kernel by row `index` of `calls`: its function, geometry and buffers.

    Numba's own entry to the kernel is called: a C callback would move the arguments once more, through the
    stack, which takes 4 ns. What the status says is of no interest, since kernels raise nothing.
    """
    arguments = operation_types(types.float32)  # to a call, all pointers are alike

    def codegen(context, b, sig, args):
        table = context.make_array(sig.args[0])(context, b, args[0])
        state_array = context.make_array(sig.args[2])(context, b, args[2])
        row = b.mul(args[1], b.extract_value(table.shape, 1))
        fields = [b.load(b.gep(table.data, [b.add(row, ir.Constant(row.type, n))])) for n in range(2 + 6)]
        signature = context.call_conv.get_function_type(types.none, arguments)
        function = b.inttoptr(fields[0], signature.as_pointer())
        pointers = [
            b.inttoptr(field, context.get_value_type(kind))
            for field, kind in zip([*fields[2:], fields[1]], arguments, strict=False)
        ]
        context.call_conv.call_function(b, function, types.none, arguments, [*pointers, state_array.data])
        return context.get_dummy_value()

    return types.void(calls, types.intp, state), codegen
