"""The compiled loop: step, stage, piece, block, operation.

The work of a stage comes in pieces: a shard of the blocks, or a part of what an operation produces, on the
whole batch or on a block. A thread claims a piece before it works on it, first of those that are its own
(every so many-th); then, if it has waited for long or somebody is missing, of those that nobody has begun. So
a stage ends when all of its pieces are done, whoever did them: nobody waits for a thread that comes late, or
never, or is kept from its processor. Which thread does a piece makes no difference to a single bit.
"""

from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..kernels.lanes.operation import STATE, STATE_SIZE, offsets_of, operation_types, share
from ..kernels.lanes.shard_sums import first_block
from ..simd import advance
from ..simd.compiling import compiled
from .atomics import SPINS, atomic_add, atomic_load, cells_at, compare_and_swap, spin
from .clock import ticks
from .denormals import flush_denormals, restore_denormals
from .tables import (
    BATCH,
    CALL,
    CHAIN,
    CHAIN_CHANNELS,
    CHAIN_END,
    CHAIN_STEPS,
    DIVIDED,
    FIRST_OPERAND,
    MAX_SHARDS,
    OPERAND_FIELDS,
    OPERANDS,
    ROW,
    STAGE,
)


class Job(NamedTuple):
    """What `run_steps` does: the tables of a plan, by address, and which steps to take."""

    operations: int
    operation_count: int
    stages: int
    stage_count: int
    calls: int  # for each thread
    held: int  # for each thread
    held_count: int
    states: int  # for each thread
    claims: int
    chains: int
    threads: int
    lanes: int  # samples in a block
    batch_size: int
    rank: int = 0  # which part of a batch's shards is taken, of how many
    ranks: int = 1
    adds: int = 1  # whether the sums of all shards are added up here: see exchange.py
    first_stage: int = 0
    last_stage: int = 0  # the one after the last
    samples: int = 0
    first_step: int = 0
    steps: int = 0
    step: int = 0  # of the call, the number of the first of these
    update: int = 0  # steps that the optimizer took before the first of these


JOB = offsets_of(Job)

# Claims: how many pieces are done in all stages so far, how many threads have come, and for each piece the
# last stage that it was begun in, each number in a cache line of its own.
LINE = 8
DONE, JOINED, PIECES = 0, LINE, 2 * LINE

MOST_PARTS = 16  # of the work on a block: what operations produce has seldom more tiles


@compiled
def parts_of_block(blocks, threads):
    """In how many parts threads share the work on each of so many blocks, where they share it: 1 to 16.

    That many pieces are done in rounds, one for each thread; fewer parts are better than more.
    """
    best, best_rounds = 1, (blocks + threads - 1) // threads
    for parts in range(2, MOST_PARTS + 1):
        rounds = (blocks * parts + threads - 1) // threads
        if 10 * rounds * best < 9 * best_rounds * parts:
            best, best_rounds = parts, rounds
    return best


def claims_size(pieces):
    """How many int64 the claims of so many pieces of a stage take."""
    return PIECES + LINE * pieces


@compiled
def point(operations, calls, first, last, block, thread, shard):
    """Point the calls first..last to the copies of their memory that belong to this block."""
    for k in range(first, last):
        row, call = advance(operations, k * ROW), advance(calls, k * CALL)
        for n in range(FIRST_OPERAND):
            call[n] = row[n]
        for n in range(OPERANDS):
            at = FIRST_OPERAND + n * OPERAND_FIELDS
            call[FIRST_OPERAND + n] = (
                row[at] + block * row[at + 1] + thread * row[at + 2] + shard * row[at + 3]
            )


@compiled
def run_calls(calls, chains, first, last, state, times):
    """Call the operations first..last; `times`, unless it is at address 0, gets what each takes, in ticks."""
    k = first
    while k < last:
        end = k
        while end < last and chains[end * CHAIN + CHAIN_CHANNELS] == 0:
            end += 1
        _run_in_a_row(calls, k, end, state, times)
        if end < last:
            k = min(chains[end * CHAIN + CHAIN_END], last)
            _run_chain(calls, chains, end, k, state, times)
        else:
            k = end


@compiled
def _run_in_a_row(calls, first, last, state, times):
    """Call each of the operations first..last once."""
    if not times:
        for k in range(first, last):
            call_operation(calls, k, state)
    else:
        before, totals = ticks(), cells_at(times)
        for k in range(first, last):
            call_operation(calls, k, state)
            now = ticks()
            totals[k] += now - before
            before = now


@compiled
def _run_chain(calls, chains, first, last, state, times):
    """Take one channel after the other through the operations first..last, or a share of the channels."""
    channels, part, parts = chains[first * CHAIN + CHAIN_CHANNELS], state[STATE.part], state[STATE.parts]
    begin, end = share(channels, state)
    _move_operands(calls, chains, first, last, begin)
    state[STATE.parts] = channels
    for channel in range(begin, end):
        state[STATE.part] = channel
        _run_in_a_row(calls, first, last, state, times)
        _move_operands(calls, chains, first, last, 1)
    state[STATE.part], state[STATE.parts] = part, parts
    _move_operands(calls, chains, first, last, -end)


@compiled
def _move_operands(calls, chains, first, last, channels):
    """Move the pointers to operands that have a single channel back by so many channels."""
    for k in range(first, last):
        for n in range(OPERANDS):
            calls[k * CALL + FIRST_OPERAND + n] -= channels * chains[k * CHAIN + CHAIN_STEPS + n]


@compiled
def point_at(operations, calls, first, last):
    """`point` by addresses, to the first block of all memory."""
    point(cells_at(operations), cells_at(calls), first, last, 0, 0, 0)


@compiled
def run_calls_at(calls, chains, first, last, state):
    """`run_calls` by addresses."""
    run_calls(cells_at(calls), cells_at(chains), first, last, cells_at(state), 0)


@compiled
def _run_piece(job, stage, piece, thread, times):
    """Run the operations of piece number `piece` of stage number `stage`."""
    operations, chains = cells_at(job[JOB.operations]), cells_at(job[JOB.chains])
    calls = advance(cells_at(job[JOB.calls]), thread * job[JOB.operation_count] * CALL)
    held = advance(cells_at(job[JOB.held]), thread * job[JOB.held_count] + stage)
    state = advance(cells_at(job[JOB.states]), thread * STATE_SIZE)
    numbers = advance(cells_at(job[JOB.stages]), stage * STAGE)
    first, last = numbers[1], numbers[2]
    if numbers[0] == BATCH:
        if held[0] < 0:
            point(operations, calls, first, last, 0, thread, 0)
            held[0] = 0
        state[STATE.part], state[STATE.parts] = piece, job[JOB.threads]
        run_calls(calls, chains, first, last, state, times)
        return
    state[STATE.part], state[STATE.parts] = 0, 1
    if numbers[0] == DIVIDED:
        state[STATE.parts] = state[STATE.parts_of_block]
        piece, state[STATE.part] = piece // state[STATE.parts], piece % state[STATE.parts]
    lanes, blocks, shards = job[JOB.lanes], state[STATE.blocks], state[STATE.shards]
    begin = first_block(piece, blocks, shards)
    for block in range(begin, first_block(piece + 1, blocks, shards)):
        place = block * MAX_SHARDS + piece
        if held[0] != place:
            point(operations, calls, first, last, block, thread, piece)
            held[0] = place
        state[STATE.first_sample] = block * lanes
        state[STATE.valid] = min(lanes, state[STATE.samples] - block * lanes)
        state[STATE.fresh] = block == begin
        run_calls(calls, chains, first, last, state, times)


@compiled
def _claim(job, piece, epoch):
    """Whether this thread is the first that begins a piece in the stage of this number."""
    claims = advance(cells_at(job[JOB.claims]), PIECES + piece * LINE)
    before = atomic_load(claims, 0)
    return before < epoch and compare_and_swap(claims, 0, before, epoch)


@compiled
def _run_claimed(job, stage, epoch, first, step, begin, pieces, thread, times):
    """Run every `step`-th piece from `first` on that nobody has begun; returns how many these were.

    Pieces are counted from the first of this process, number `begin` of all.
    """
    done = 0
    for piece in range(first, pieces, step):
        if _claim(job, piece, epoch):
            _run_piece(job, stage, begin + piece, thread, times)
            done += 1
    return done


@compiled
def _run_with_others(job, stage, epoch, before, begin, pieces, thread, times):
    """Run a stage of `pieces` pieces together with other threads; before it, `before` have been done.

    The pieces of this process are those from number `begin` on.
    """
    claims, threads = cells_at(job[JOB.claims]), job[JOB.threads]
    done = _run_claimed(job, stage, epoch, thread, threads, begin, pieces, thread, times)
    atomic_add(claims, DONE, done)
    arrived, spins = ticks(), 0
    while atomic_load(claims, DONE) < before + pieces:
        spins = spin(spins)
        if spins % SPINS == 0 or atomic_load(claims, JOINED) < threads:
            waited = ticks()
            atomic_add(claims, DONE, _run_claimed(job, stage, epoch, 0, 1, begin, pieces, thread, times))
            arrived += ticks() - waited
    if times:
        waiting = advance(cells_at(times), job[JOB.operation_count])
        waiting[0] += ticks() - arrived


@compiled
def run_steps(job_address, thread, times):
    """Take the steps of a job; every thread calls this with its own number, and the claims at 0 before.

    `times` is 0, or the address of ticks to add to: one for each operation, and one for waiting.
    """
    job = cells_at(job_address)
    control = flush_denormals()
    state = advance(cells_at(job[JOB.states]), thread * STATE_SIZE)
    threads, lanes, batch_size = job[JOB.threads], job[JOB.lanes], job[JOB.batch_size]
    if threads > 1:
        atomic_add(cells_at(job[JOB.claims]), JOINED, 1)
    pieces_done = 0  # of all stages so far
    for step in range(job[JOB.steps]):
        position = (job[JOB.first_step] + step) * batch_size
        count = min(batch_size, job[JOB.samples] - position)
        if state[STATE.samples] != count:  # small networks would notice the division
            state[STATE.samples], state[STATE.blocks] = count, (count + lanes - 1) // lanes
            shards = min(state[STATE.blocks], MAX_SHARDS)
            state[STATE.shards], state[STATE.sums] = shards, shards if job[JOB.adds] else 1
            state[STATE.first_shard] = shards * job[JOB.rank] // job[JOB.ranks]
            state[STATE.last_shard] = shards * (job[JOB.rank] + 1) // job[JOB.ranks]
            state[STATE.parts_of_block] = parts_of_block(
                state[STATE.last_shard] - state[STATE.first_shard], threads
            )
        own = state[STATE.last_shard] - state[STATE.first_shard]
        state[STATE.position], state[STATE.step] = position, job[JOB.step] + step
        state[STATE.update] = job[JOB.update] + job[JOB.step] + step + 1
        for stage in range(job[JOB.first_stage], job[JOB.last_stage]):
            begin, pieces = state[STATE.first_shard], own
            kind = cells_at(job[JOB.stages])[stage * STAGE]
            if kind == BATCH:
                begin, pieces = 0, threads
            elif kind == DIVIDED:
                parts = state[STATE.parts_of_block]
                begin, pieces = begin * parts, pieces * parts
            if threads == 1:
                for piece in range(begin, begin + pieces):
                    _run_piece(job, stage, piece, thread, times)
            else:
                epoch = 1 + step * job[JOB.stage_count] + stage
                _run_with_others(job, stage, epoch, pieces_done, begin, pieces, thread, times)
                pieces_done += pieces
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
        row = b.mul(args[1], ir.Constant(args[1].type, CALL))
        fields = [b.load(b.gep(args[0], [b.add(row, ir.Constant(row.type, n))])) for n in range(CALL)]
        signature = context.call_conv.get_function_type(types.none, arguments)
        function = b.inttoptr(fields[0], signature.as_pointer())
        pointers = [
            b.inttoptr(field, context.get_value_type(kind))
            for field, kind in zip([*fields[2:], fields[1]], arguments, strict=False)
        ]
        context.call_conv.call_function(b, function, types.none, arguments, [*pointers, args[2]])
        return context.get_dummy_value()

    cells = types.CPointer(types.int64)
    return types.void(cells, types.intp, cells), codegen
