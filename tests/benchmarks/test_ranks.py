"""Steps that ranks share, measured: what is measured, what is said of it, and what becomes of failures."""

import json
import math

import pytest

from fastconv.benchmarks import rank_table
from fastconv.benchmarks.ranks import LARGE, SMALL, Found, Work, link_of
from fastconv.cli import main
from fastconv.inspection.scaling import Exchange, Link
from tests.cli.answers import strict

MODELLED = Link(3e-6, 5e9, 1e-6)
FOUND = [
    Found(Work("lenet5", 512, 512), 1, 8e-3, 0.0, 8e-3, None, 8e-3),
    Found(Work("lenet5", 512, 512), 2, 5e-3, 0.2, 8e-3, 4.5e-3, 4.8e-3),
    Found(Work("lenet5", 1024, 512), 2, 9e-3, 0.1, 8.1e-3, 8.4e-3, 9e-3),
]


def test_each_batch_is_that_of_all_ranks_and_that_of_each():
    assert rank_table.works(["lenet5", "mlp"], None, 4) == [
        Work("lenet5", 512, 512),
        Work("lenet5", 2048, 512),
        Work("mlp", 128, 128),
        Work("mlp", 512, 128),
    ]
    assert rank_table.works(["mlp"], [32, 64], 1) == [Work("mlp", 32, 32), Work("mlp", 64, 64)]


@pytest.mark.parametrize("ranks", [2, 3, 4, 9])
def test_the_link_is_that_whose_exchanges_take_what_was_measured(ranks):
    said = [Exchange("gather", ranks * size, (ranks - 1) * size) for size in (SMALL, LARGE)]
    times = [MODELLED.seconds(one, ranks) for one in said]
    found = link_of(ranks, MODELLED.call, *times)
    assert found.call == MODELLED.call
    assert found.latency == pytest.approx(MODELLED.latency, rel=0.01)
    assert found.bandwidth == pytest.approx(MODELLED.bandwidth, rel=0.01)


def test_a_link_that_seems_to_take_no_time_is_still_a_link():
    found = link_of(2, 2e-6, 1e-6, 1e-6)
    assert found.latency == 0
    assert 0 < found.bandwidth < math.inf


def test_the_efficiency_is_that_of_one_rank_at_the_same_work():
    assert rank_table.efficiency(FOUND[0]) == 1.0
    assert rank_table.efficiency(FOUND[1]) == pytest.approx(0.8)  # 8 ms of one, 2 x 5 ms of two
    assert rank_table.efficiency(FOUND[2]) == pytest.approx(0.9)


def test_the_tables_have_a_row_for_each_number_of_ranks(monkeypatch):
    monkeypatch.setattr(rank_table, "processors", lambda: 2)
    text = rank_table.markdown(FOUND, {1: None, 2: MODELLED}, {"CPU": "abacus"})
    head = "| network | ranks | batch | step | exchange | efficiency | model | off by | x threads |"
    rule = "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    one = "| LeNet-5 | 1 | 512 | 8.00 ms |  | 100% | 8.00 ms | +0% |  |"
    assert text.splitlines() == [
        "CPU abacus.",
        "",
        "float32, 1 thread a rank, 2 processors. Messages take, between 2 ranks 3.00 us and 5 GB/s.",
        "",
        "**One batch for all ranks**",
        "",
        head,
        rule,
        one,
        "| LeNet-5 | 2 | 512 | 5.00 ms | 20% | 80% | 4.80 ms | +4% | 0.90 |",
        "",
        "**A batch for each rank**",
        "",
        head,
        rule,
        one,
        "| LeNet-5 | 2 | 1,024 | 9.00 ms | 10% | 90% | 9.00 ms | +0% | 0.93 |",
        "",
        "Where each rank has a processor, the model is off by 2% in the mean and 4% at most.",
    ]


@pytest.fixture
def launcher():
    try:
        return rank_table.mpiexec()
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("launcher")
def test_ranks_are_measured_and_what_they_found_is_kept(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{rank_table.BEGIN}\nold\n{rank_table.END}\nafter\n")
    command = ["bench", "--ranks", "1,2", "--networks", "reference_cnn", "--batches", "32"]
    files = {"--save": tmp_path / "table.md", "--json": tmp_path / "table.json", "--update-readme": page}
    assert main([*command, "--seconds", "0.02", *(str(word) for pair in files.items() for word in pair)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("| 15-parameter network |") == 4
    assert (tmp_path / "table.md").read_text() == printed
    assert page.read_text() == f"before\n{rank_table.BEGIN}\n{printed}{rank_table.END}\nafter\n"
    data = json.loads((tmp_path / "table.json").read_text())
    assert [(row["ranks"], row["batch"]) for row in data["rows"]] == [(1, 32), (2, 32), (2, 64)]
    assert [link["ranks"] for link in data["links"]] == [2]
    two = data["rows"][1]
    assert 0 < two["exchange"] < 1
    assert min(two["seconds"], two["alone"], two["modelled"]) > 0


def test_json_without_a_file_is_printed_instead_of_the_table(capsys, monkeypatch):
    monkeypatch.setattr(rank_table, "mpiexec", lambda: "mpiexec")
    monkeypatch.setattr(rank_table, "_measure", lambda *args: (MODELLED, FOUND[1:2]))
    assert main(["bench", "--ranks", "2", "--json"]) == 0
    row = strict(capsys.readouterr().out)["rows"][0]
    assert (row["network"], row["efficiency"]) == ("lenet5", pytest.approx(0.8))


def test_ranks_that_fail_are_an_error_of_one_line(launcher, capfd):
    with pytest.raises(RuntimeError, match="1 ranks have ended with exit code 1: see above"):
        rank_table._measure(launcher, 1, [Work("alexnet", 1, 1)], 0.01)
    assert "alexnet" in capfd.readouterr().err


def test_without_mpi4py_or_mpiexec_there_is_an_error_of_one_line(monkeypatch, capsys):
    def missing(*args):
        raise ImportError("--ranks needs mpi4py: pip install mpi4py")

    monkeypatch.setattr(rank_table.shutil, "which", lambda name: None)
    monkeypatch.setattr(rank_table.sys, "executable", "/nowhere/python")
    monkeypatch.setattr(rank_table, "require", lambda *args: None)
    assert main(["bench", "--ranks", "2"]) == 1
    message = "fastconv: error: --ranks needs mpiexec, a part of every MPI: pip install mpich\n"
    assert capsys.readouterr().err == message
    monkeypatch.setattr(rank_table, "require", missing)
    assert main(["bench", "--ranks", "2"]) == 1
    assert "needs mpi4py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--ranks", "1,0"), "argument --ranks: must be an int >= 1, got '0'"),
        (("--ranks", "1,,2"), "argument --ranks: must be an int >= 1, got ''"),
        (("--ranks", "2", "--compare", "torch"), "--compare does not go with --ranks"),
        (("--ranks", "2", "--threads", "2"), "--threads does not go with --ranks"),
        (("--ranks", "2", "--parts", "steps"), "--parts does not go with --ranks"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message, capsys):
    assert main(["bench", *options]) == 2
    assert message in capsys.readouterr().err
