"""Every model gets its map: a sample of the sweep with the layer that is right for each, and the script's own parts."""

from __future__ import annotations

import json

import pytest
import torch
from benchmarks.sweep.__main__ import left, main
from benchmarks.sweep.place import MANY_DRAWS, Answer, answer, canonical
from benchmarks.sweep.processes import Nursery
from benchmarks.sweep.registered import candidates as registered
from benchmarks.sweep.registered import smallest
from benchmarks.sweep.rows import FAILED, MAP, NO_CLASSIFIER, REFUSED, Candidate, Row, append, noise, read
from benchmarks.sweep.run import examine, no_classifier, wake
from benchmarks.sweep.table import table
from torch import nn

# small models with little in common: name, the layer, its grid
SAMPLE = [
    (
        "cait_xxs24_224",
        "blocks",
        "14×14 tokens",
    ),  # the class token joins after the last block with patches only
    ("coat_lite_tiny", "serial_blocks4.1.norm1", "7×7 tokens + 1 prefix"),
    (
        "convit_tiny",
        "blocks.11.norm1",
        "14×14 tokens + 1 prefix",
    ),  # and not attn.qkv, whose class says nothing
    (
        "crossvit_tiny_240",
        "blocks.2.blocks.1",
        "14×14 tokens + 1 prefix",
    ),  # two branches with grids of their own
    ("cspnext_tiny", "stages", "7×7"),
    ("efficientvim_m1", "norm.3", "4×4"),
    ("gmlp_ti16_224", "norm", "14×14 tokens"),
    (
        "levit_128s",
        "stages.0",
        "14×14 tokens",
    ),  # untrained, its attention that halves the grid sees no places
    ("mambaout_femto", "stages", "7×7 (channels last)"),
    ("nest_tiny", "norm", "14×14 (channels last)"),  # inside, the grid is cut into windows
    ("pit_ti_224", "transformers.2.blocks.3.norm1", "7×7 tokens + 1 prefix"),
    ("xcit_nano_12_p8_224", "cls_attn_blocks.0", "28×28 tokens + 1 prefix"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layer", "grid"), SAMPLE, ids=[name for name, *_ in SAMPLE])
def test_the_layer_is_the_one_an_expert_would_take(name, layer, grid):
    row = examine(Candidate("timm", "", name))
    assert (row.result, row.layer, row.grid) == (MAP, layer, grid)


# ---------------------------------------------------------------------- the script


def row(name: str, result: str = MAP, library: str = "timm", family: str = "vgg", **more) -> Row:
    return Row(library, family, name, result=result, **more)


ROWS = [
    row(
        "vgg11",
        parameters=10,
        input=(3, 224, 224),
        layer="features.19",
        kind="ReLU",
        grid="14×14",
        channels=512,
    ),
    row("vgg13", status="all-negative", layer="features.23"),
    row("vit_tiny", REFUSED, family="vit", reason="LayerError: no | grid"),
    row("sam", family="sam", head_added=True, layer="neck"),
    row("encoder", NO_CLASSIFIER, family="encoders", reason="puts out features of shape (1, 9, 4)"),
    row("alexnet", FAILED, "torchvision", "alexnet", reason="RuntimeError: it broke"),
]


def test_the_table_counts_and_gives_every_reason():
    text = table(ROWS)
    timm, torchvision = text.split("## torchvision")
    assert "3 of 4 models have a map; 2 of 3 families (66.7%). No classifiers: 1." in timm
    assert "0 of 1 models have a map; 0 of 1 families (0.0%)." in torchvision
    assert "| vgg | `vgg11` | 224×224 | `features.19` | ReLU | 512 | 14×14 |  | map |  |" in timm
    assert "map (all-negative)" in timm
    assert "`sam` \\*" in timm
    assert "### Refused\n\n- `vit_tiny` (vit): LayerError: no | grid" in timm
    assert "### No classifier\n\n- `encoder` (encoders): puts out features of shape (1, 9, 4)" in timm
    assert "### Failed\n\n- `alexnet` (alexnet): RuntimeError: it broke" in torchvision
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {10, 11}, "the overview, and a table for each library"


def test_a_sweep_goes_on_where_it_was(tmp_path):
    path = tmp_path / "sweep.jsonl"
    assert read(path) == []
    for one in ROWS[:2]:
        append(path, one)
    path.write_text(path.read_text() + '{"library": "timm", "na')  # stopped in the middle of a line
    append(path, ROWS[2])
    rows = read(path)
    assert [json.dumps(vars(r)) for r in rows] == [
        json.dumps({**vars(r), "input": list(r.input)}) for r in ROWS[:3]
    ]
    candidates = [Candidate("timm", "vgg", name) for name in ("vgg11", "vgg13", "vgg16")]
    assert [c.name for c in left(candidates, rows, every=True)] == ["vgg16"]
    assert list(left(candidates, rows, every=False)) == []
    by_cost = left([Candidate("timm", "vgg", name) for name in ("vgg19", "vgg11", "vgg13")], [], every=True)
    assert [c.name for c in by_cost] == ["vgg11", "vgg13", "vgg19"]


def test_a_command_runs_what_is_left_and_writes_the_table(tmp_path, monkeypatch, capsys):
    out, doc = tmp_path / "rows.jsonl", tmp_path / "sweep.md"
    ran = []

    def ran_as(_nursery, candidate, seconds, gigabytes):
        ran.append(candidate.name)
        return row(candidate.name, library=candidate.library, family=candidate.family, layer="features")

    monkeypatch.setattr(Nursery, "isolated", ran_as)
    for _ in range(2):
        main(["--torchvision", "alexnet", "vgg1?", "--out", str(out)])
    assert ran == ["alexnet", "vgg11", "vgg13", "vgg16", "vgg19"]
    assert "map  vgg/vgg11: features" in capsys.readouterr().out
    main(["--out", str(out), "--markdown", str(doc)])
    assert doc.read_text() == table(read(out))
    with pytest.raises(SystemExit):
        main(["nonesuch", "--out", str(out)])


def test_the_registries_are_whole():
    families = {c.family for c in registered("timm")}
    assert len(families) > 90
    assert {"vision_transformer", "resnet", "swin_transformer"} <= families
    assert {"alexnet", "vgg", "swin_transformer"} <= {c.family for c in registered("torchvision")}


def test_the_smallest_of_a_family_has_a_classifier():
    candidates = [
        Candidate("timm", "vit", name)
        for name in (
            "vit_small_patch14_dinov2",
            "vit_tiny_patch16_224",
            "vit_tiny_patch16_384",
            "deit_tiny_patch16_224",
        )
    ]
    assert [c.name for c in smallest(candidates)] == ["vit_tiny_patch16_224"]
    assert list(smallest(candidates, done=["vit"])) == []


def test_zeros_are_drawn_anew_but_not_biases():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    nn.init.zeros_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    kept = model[0].weight.clone()
    wake(model)
    assert model[2].weight.all()
    assert not model[2].bias.any()
    assert not model[1].bias.any()
    assert torch.equal(model[0].weight, kept)


def test_what_has_no_classes_is_no_classifier():
    model = nn.Identity()
    assert not no_classifier(model, torch.zeros(1, 10))
    assert "features of shape (1, 8, 4)" in no_classifier(model, torch.zeros(1, 8, 4))
    model.num_classes = 0
    assert "without classes" in no_classifier(model, torch.zeros(1, 10))


@pytest.mark.slow
def test_a_model_runs_in_a_process_of_its_own():
    """The map of a good one; a name that does not exist, too little time and too little memory are failures."""
    with Nursery() as nursery:
        good = nursery.isolated(Candidate("timm", "byobnet", "test_byobnet"), 300, 16)
        unknown = nursery.isolated(Candidate("timm", "vit", "nonesuch"), 300, 16)
        slow = nursery.isolated(Candidate("timm", "vgg", "vgg19"), 0.01, 16)
        big = nursery.isolated(Candidate("timm", "vgg", "vgg19"), 300, 0.6)
    assert (good.result, good.layer, good.status) == (MAP, "stages", "ok")
    assert (unknown.result, unknown.name) == (FAILED, "nonesuch")
    assert "nonesuch" in unknown.reason
    assert slow.reason == "not done after 0 s"
    assert big.result == FAILED
    assert "memory" in big.reason.lower()


def test_the_check_of_place_knows_a_grid_that_is_read_in_another_order():
    """A pooling network in order is in place; transposed, rolled or turned round it is not."""
    pool = nn.AvgPool2d(4)
    orders = {
        "in order": lambda a: a,
        "transposed": lambda a: a.mT,
        "rolled": lambda a: a.roll(4, 2),
        "turned round": lambda a: a.flip(1, 2),
    }
    x = noise(1, 3, 32, 32)
    answers = {name: answer(lambda x, f=f: f(pool(x)[0]), x, (2, 3)) for name, f in orders.items()}
    in_order = {"in order": True, "transposed": False, "rolled": False, "turned round": False}
    assert {name: found.in_place for name, found in answers.items()} == in_order
    assert {name: not found.elsewhere for name, found in answers.items()} == in_order
    signal = noise(1, 3, 64)
    assert answer(lambda x: nn.AvgPool1d(4)(x)[0], signal, (2,)).in_place
    assert not answer(lambda x: nn.AvgPool1d(4)(x)[0].roll(4, 1), signal, (2,)).in_place


def test_what_sees_everything_from_everywhere_is_blurred_and_in_another_order_it_is_wrong():
    """Each position is nearly the mean over all: many draws tell the order from chance, and refute no right one."""
    x = noise(1, 3, 32, 32)
    pool = nn.AvgPool2d(4)

    def mixed(x):
        pooled = pool(x)[0]
        return pooled * 0.2 + 2 * (pooled.mean((1, 2), keepdim=True) * 8).sin()

    blurred = answer(mixed, x, (2, 3), MANY_DRAWS)
    assert not blurred.in_place
    assert not blurred.elsewhere
    assert answer(lambda x: mixed(x).mT, x, (2, 3), MANY_DRAWS).elsewhere


def test_parts_that_answer_in_no_order_are_not_of_a_wrong_place():
    """Which part answers more is no chance, but no order of the parts: blurred. Exchanged parts are wrong."""
    uneven, draws = 1 + 0.05 * noise(1, 8, 8), 0.0001 * noise(MANY_DRAWS, 8, 8)
    assert not Answer(uneven + draws).in_place
    assert not Answer(uneven + draws).elsewhere
    exchanged = 1 + 0.05 * torch.eye(8)[[1, 0, 2, 3, 4, 5, 7, 6]][None]
    assert Answer(exchanged + draws).elsewhere.count("answers more") == 4


def test_a_grid_is_read_by_its_words():
    grid = noise(5, 3, 4)
    tokens = grid.flatten(1).T
    with_prefix = torch.cat([torch.zeros(2, 5), tokens])
    by_columns = grid.mT.flatten(1).T
    assert torch.equal(canonical(grid[None], "3×4", 5), grid)
    assert torch.equal(canonical(grid.movedim(0, -1)[None], "3×4 (channels last)", 5), grid)
    assert torch.equal(canonical(tokens[None], "3×4 tokens", 5), grid)
    assert torch.equal(canonical(with_prefix[None], "3×4 tokens + 2 prefix", 5), grid)
    assert torch.equal(canonical(by_columns[None], "3×4 tokens (column by column)", 5), grid)
    video = noise(5, 2, 3, 4)
    places = video.permute(2, 3, 1, 0).flatten(0, 2)
    assert torch.equal(canonical(places[None], "2×3×4 tokens (place by place)", 5), video)
    backwards = video.permute(3, 2, 1, 0).flatten(0, 2)
    assert torch.equal(canonical(backwards[None], "2×3×4 tokens (axes in order (2, 1, 0))", 5), video)
