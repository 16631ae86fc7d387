"""Ranks on two machines: network namespaces with names, addresses and a cable of their own."""

import os
import re
import shutil
import signal
import subprocess
import sys
import uuid

import pytest

from tests.ranks.harness import Running, environment, mpiexec

ADDRESSES = ("10.213.71.1", "10.213.71.2")
# What MPI's launcher calls as ssh: options, the host, and a command.
SSH = """#!/bin/sh
while case "$1" in -*) true ;; *) false ;; esac; do shift; done
host=$1
shift
exec ip netns exec {mark}-$host unshare --uts sh -c "hostname host-$host; $*"
"""
SCRIPT = """
import socket, sys
import numpy as np
import fastconv as fc

world = None
if sys.argv[1] != "alone":
    from mpi4py import MPI
    world = MPI.COMM_WORLD
rng = np.random.default_rng(0)
X, y = rng.random((200, 1, 8, 8)).astype(np.float32), rng.integers(0, 3, 200)
model = fc.Sequential([fc.Conv2d(4, 3), fc.BatchNorm2d(), fc.ReLU(), fc.Flatten(), fc.Dense(3)], (1, 8, 8))
trainer = fc.Trainer(model, optimizer=fc.Adam(0.01), communicator=world)
for epoch in range(1, 4 if sys.argv[1] != "for ever" else 10**9):
    history = trainer.fit(X, y, epochs=1, batch_size=64, validation_split=0.2, progress=False)
    if epoch == 1:
        print("begun on", socket.gethostname(), flush=True)
parameters = np.concatenate([array.ravel() for array in model.parameters().values()])
print(history["val_loss"], parameters.tobytes().hex()[:4000])
"""


def root(*words):
    subprocess.run(words, check=True, capture_output=True)


@pytest.fixture
def two_hosts(tmp_path):
    """Options of mpiexec for a rank on each of two hosts; skipped where nobody may make any."""
    if not (shutil.which("ip") and shutil.which("unshare") and os.geteuid() == 0):
        pytest.skip("only root may make network namespaces, with `ip` and `unshare`")
    mark = f"ranks-{uuid.uuid4().hex[:6]}"
    names = [f"{mark}-{address}" for address in ADDRESSES]
    made = []
    try:
        try:
            for name in names:
                root("ip", "netns", "add", name)
                made.append(name)
            root(*f"ip link add cable netns {names[0]} type veth peer cable netns {names[1]}".split())
            for name, address in zip(names, ADDRESSES, strict=True):
                for words in (f"address add {address}/24 dev cable", "link set cable up", "link set lo up"):
                    root("ip", "-n", name, *words.split())
        except (subprocess.CalledProcessError, OSError) as error:
            pytest.skip(f"no network namespaces here: {getattr(error, 'stderr', error)}")
        ssh = tmp_path / "ssh"
        ssh.write_text(SSH.format(mark=mark))
        ssh.chmod(0o755)
        options = ["-launcher", "ssh", "-launcher-exec", str(ssh), "-iface", "cable"]
        options += ["-hosts", ",".join(ADDRESSES), "-ppn", "1"]
        named = f'hostname host-{ADDRESSES[0]}; exec "$@"'
        yield options, ["ip", "netns", "exec", names[0], "unshare", "--uts", "sh", "-c", named, "sh"]
    finally:
        for name in made:
            root("ip", "netns", "delete", name)


def begin(two_hosts, kind):
    """Ranks on the two hosts; what they say to each other goes over the cable."""
    mpiexec()
    options, before = two_hosts
    env = {"UCX_TLS": "tcp,self", "FI_PROVIDER": "tcp", "FASTCONV_RANK_TIMEOUT": "4"}
    return Running(SCRIPT, 2, arguments=[kind], options=options, before=before, env=env)


def sent_over(two_hosts):
    """Bytes that the first host has sent."""
    _, before = two_hosts
    text = subprocess.run(
        [*before, "cat", "/proc/net/dev"], check=True, capture_output=True, text=True
    ).stdout
    return int(re.search(r"cable:(.*)", text).group(1).split()[8])


def test_two_hosts_end_with_the_bits_of_one_and_a_killed_rank_is_named_with_its_host(two_hosts, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), "alone"]
    alone = subprocess.run(command, env=environment(), check=True, capture_output=True, text=True).stdout
    sent = sent_over(two_hosts)
    with begin(two_hosts, "together") as running:
        done = running.wait(60)
    assert done.code == 0, done
    wanted = alone.splitlines()[1]
    for address, output in zip(ADDRESSES, done.outputs, strict=True):
        assert output.splitlines() == [f"begun on host-{address}", wanted]
    assert sent_over(two_hosts) - sent > 10_000
    with begin(two_hosts, "for ever") as running:
        running.wait_for(1, "begun")
        running.send(signal.SIGKILL, 1)
        done = running.wait(10)
    assert done.code != 0
    assert f"fastconv: rank 1 of 2 on host host-{ADDRESSES[1]} (process " in done.errors[1]
