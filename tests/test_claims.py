"""The 3×3 argument, the ledger of claims, and which definition gives a number."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import html5lib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT, command, published
from vggcost import analyze, compare_stack
from vggcost.claims import Finding, check, explain, ledger
from vggcost.claims.numbers import agrees, read_number, readings
from vggcost.cost.stack import Side, break_even, output_size, side_of, stack_form
from vggcost.records import LayerCost
from vggcost.report.claims import CLAIM_FORMATS, EXPLAIN_FORMATS, render_claims, render_explanation
from vggcost.report.stack import STACK_FORMATS, render_stack

# 3×3 against k×k


@given(
    st.sampled_from([3, 5, 7, 9]), st.integers(1, 6), st.integers(1, 6), st.integers(9, 20), st.booleans(), st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_trace_and_closed_form_agree(
    kernel: int, c: int, cin: int, size: int, bias: bool, relu: bool, same: bool
) -> None:
    found = compare_stack(kernel, c, cin, size, bias=bias, relu=relu, same=same)
    assert found.single.receptive_field == found.stack.receptive_field == kernel
    assert found.single.output_size == found.stack.output_size
    layers = (kernel - 1) // 2
    assert found.single.weights == kernel * kernel * cin * c
    assert found.stack.weights == 9 * cin * c + 9 * (layers - 1) * c * c
    if same and cin == c:
        assert found.stack.activations == layers * found.single.activations
        assert found.stack.saved_bytes == layers * found.single.saved_bytes
        assert found.stack.nonlinearities == layers * found.single.nonlinearities
    ratio = break_even(kernel)
    if ratio is not None:
        assert (found.stack.weights > found.single.weights) == (c > ratio * cin)


def test_a_closed_form_that_is_wrong_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_one(*arguments: int, **options: bool) -> Side:
        side = side_of(*arguments, **options)
        return replace(side, macs=side.macs + 1)

    monkeypatch.setattr("vggcost._stack.side_of", off_by_one)
    with pytest.raises(Exception, match="closed form and trace differ"):
        compare_stack(3, 2, size=5)


def test_the_seven_by_seven_of_the_paper() -> None:
    form = stack_form(7)
    assert (form.stack, form.single, form.saved, form.percent_more) == (27, 49, 22, 81)
    assert (stack_form(5).stack, stack_form(5).single) == (18, 25)
    assert all(output_size(n, 7, 1, False) == output_size(n, 3, 3, False) == n - 6 for n in range(7, 300))


def test_stack_as_json() -> None:
    done = command("stack", "--kernel", "7", "--channels", "512", "--size", "14", "--format", "json")
    data = json.loads(done.stdout)
    assert data["stack"]["weights"] == 7_077_888
    assert data["single"]["weights"] == 12_845_056
    assert data["stack"]["activations"] == 3 * data["single"]["activations"]
    assert data["stack"]["saved_bytes"] == 3 * data["single"]["saved_bytes"]
    assert (data["single"]["nonlinearities"], data["stack"]["nonlinearities"]) == (1, 3)
    assert [e["model"] for e in data["experiments"]] == ["vgg-b", "vgg-b-5x5", "vgg-c", "vgg-d"]


@pytest.mark.parametrize("format_", STACK_FORMATS)
def test_stack_in_every_format(format_: str) -> None:
    text = render_stack(compare_stack(7, 64, size=14), format_)
    assert text == render_stack(compare_stack(7, 64, size=14), format_)
    if format_ == "html":
        html5lib.HTMLParser(strict=True).parse(text)
        assert "7 % higher than B" in text
    if format_ in ("table", "markdown"):
        assert "27C² weights; one 7×7: 49C²; 22C² fewer, the 7×7 has 81% more" in text
        assert "20/9 = 2.22" in text


# The ledger


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    return {finding.claim.id: finding for finding in check(ledger(), analyze)}


READ_OTHERWISE = {
    # 7.5 is one of two published errors, validation and test, and not a rounded one
    "c078": "matches",
}


@pytest.mark.parametrize("row", published("seed_claims.csv"), ids=lambda row: row["id"])
def test_the_computation_judges_as_a_careful_reader_does(row: dict[str, str], findings: dict[str, Finding]) -> None:
    finding = findings[row["id"]]
    assert (finding.claim.source, finding.claim.value) == (row["source"], row["value"])
    assert finding.verdict == READ_OTHERWISE.get(row["id"], row["verdict"])


def test_what_the_sources_claim(findings: dict[str, Finding]) -> None:
    assert Counter(f.verdict for f in findings.values()).keys() <= {"exact", "rounds", "matches", "wrong"}
    assert len(findings) == len(ledger()) >= 103 + 6 + 40 + 16 + 9
    for claim_id, finding in findings.items():
        if claim_id.startswith(("t2-", "tv-", "timm-", "cb-", "rn-")):
            assert finding.verdict != "wrong", finding
    # CS231n: its own rows add up to 15,237,608 elements, 58.13 MiB
    assert findings["cs-1"].verdict == findings["cs-2"].verdict == "wrong"
    assert findings["cs-1"].computed == "60,950,432 = 58.13 MiB"
    assert findings["cs-2"].computed == "15,237,608"
    assert "convolutions alone" in findings["rn-1"].note
    assert "convnet-burden" in findings["cb-33"].note


def test_a_claim_that_is_off_is_wrong() -> None:
    for claim in ledger()[:60]:
        if claim.value.isdigit():
            (finding,) = check((replace(claim, value=str(int(claim.value) + 1)),), analyze)
            assert finding.verdict == "wrong"


def test_the_ledger_holds_statements_and_no_verdicts() -> None:
    assert "verdict" not in ledger()[0].__dataclass_fields__
    assert len({claim.id for claim in ledger()}) == len(ledger())


def test_claims_as_json_and_by_model() -> None:
    data = json.loads(command("claims", "--format", "json").stdout)["claims"]
    assert len([claim for claim in data if claim["id"].startswith("c") and claim["id"][1:].isdigit()]) == 103
    assert {"id", "source", "model", "quantity", "value", "unit", "verdict", "computed", "note"} == data[0].keys()
    one = command("claims", "vgg16", "--source", "CS231n")
    assert "wrong: the value is 60,950,432" in one.stdout


def test_the_table_of_claims_in_the_docs_is_the_present_one(findings: dict[str, Finding]) -> None:
    assert render_claims(list(findings.values()), "markdown") in (ROOT / "docs" / "claims.md").read_text(
        encoding="utf-8"
    )
    assert set(CLAIM_FORMATS) == {"table", "markdown", "json"}


# Which definition?


@pytest.mark.parametrize(
    ("model", "number", "first"),
    [
        ("vgg16", "15.3G", "MACs of the convolutions alone, forward"),
        ("vgg16", "15.5 GFLOPs", "MACs, forward"),
        ("vgg16", "30.9G", "FLOPs, forward, 2 per MAC"),
        ("vgg16", "92.6 GFLOPs", "FLOPs, forward and backward, 2 per MAC"),
        ("vgg16", "51.68MB", "outputs of convolutions in float32, forward"),
        ("vgg16", "103.36MB", "outputs of convolutions in float32, forward and backward (each with its gradient)"),
        ("vgg16", "138.3M", "params without biases"),
        ("vgg16", "138.36M", "params"),
        ("vgg16", "528MB", "bytes of the params in float32"),
        ("vgg-f", "232 MB", "bytes of the params in float32"),
        ("vgg16", "13547520", "outputs of convolutions, elements"),
        ("vgg16", "69.87 MiB", "saved for the backward pass in a training step"),
        ("vgg19", "19.6 billion", "MACs, forward"),
    ],
)
def test_the_simplest_definition_comes_first(model: str, number: str, first: str) -> None:
    found = explain(model, number, analyze)
    assert found.matches[0].definition == first
    assert [match.cost for match in found.matches] == sorted(match.cost for match in found.matches)
    assert found.nearest is None


def test_fifty_eight_megabytes() -> None:
    data = json.loads(command("explain", "vgg16", "58MB", "--format", "json").stdout)
    assert any("convnet-burden" in match["definition"] and match["value"] == 60_352_320 for match in data["matches"])
    # the rows of the CS231n note
    assert any(match["value"] == 60_950_432 for match in data["matches"])


@pytest.mark.parametrize("number", ["93MB", "24M"])
def test_the_most_copied_figure_of_all_has_no_definition(number: str) -> None:
    found = explain("vgg16", number, analyze)
    assert found.matches == ()
    assert found.nearest is not None
    assert found.nearest.off > 0.05
    text = render_explanation(found, "table")
    assert "no definition gives it to its printed precision; the nearest are" in text
    assert json.loads(render_explanation(found, "json"))["nearest"]["value"] == found.nearest.value
    assert set(EXPLAIN_FORMATS) == {"table", "json"}


@given(st.integers(1, 10**12), st.sampled_from(["", "k", "M", "G"]), st.integers(0, 3))
def test_a_number_agrees_with_itself_as_printed(value: int, scale: str, decimals: int) -> None:
    factor = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[scale]
    text = f"{Decimal(value) / factor:.{decimals}f}{scale}"
    printed = read_number(text)
    assert agrees(value, printed, factor)
    assert not agrees(value + 2 * int(printed.step * factor) + 2, printed, factor)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8B", [(8 * 10**9, ""), (8, "bytes")]),
        ("512 B", [(512 * 10**9, ""), (512, "bytes")]),
        ("1.5B", [(1_500_000_000, "")]),  # no half bytes
        ("8b", [(8 * 10**9, "")]),
        ("7bn", [(7 * 10**9, "")]),
        ("7 bn params", [(7 * 10**9, "params")]),
        ("8B params", [(8 * 10**9, "params")]),
        ("3 BFLOPs", [(3 * 10**9, "flops")]),
        ("8 bytes", [(8, "bytes")]),
        ("8GB", [(8 * 10**9, "bytes")]),
        ("2 KiB", [(2048, "bytes")]),
        ("25.6m", [(25_600_000, "")]),
        ("405 billion parameters", [(405 * 10**9, "params")]),
        ("1.2 trillion", [(1_200_000_000_000, "")]),
        ("1.2T", [(1_200_000_000_000, "")]),
        ("4.1 gflops", [(4_100_000_000, "flops")]),
        ("1e9 MACs", [(10**9, "macs")]),
    ],
)
def test_a_number_is_read_in_every_way_it_can_be_meant(text: str, expected: list[tuple[int, str]]) -> None:
    assert [(int(printed.value * printed.scale), printed.unit) for printed in readings(text)] == expected


def test_a_b_after_a_number_is_a_billion_or_bytes() -> None:
    table = analyze("vgg16")
    billions = replace(table, layers=(replace_params(table.layers[0], 8_030_261_248),))
    found = explain("a model of 8 billion", "8B", lambda *_, **__: billions)
    assert (found.matches[0].definition, found.matches[0].value) == ("params", 8_030_261_248)
    few = replace(table, layers=(replace_params(table.layers[0], 2),))
    found = explain("a model of 2", "8B", lambda *_, **__: few)
    assert [match.definition for match in found.matches if match.definition.startswith("bytes of the params in")] == [
        "bytes of the params in float32"
    ]
    assert "8B (8,000,000,000 or 8 bytes) of a model of 2: " in render_explanation(found, "table")
    assert json.loads(render_explanation(found, "json"))["readings"] == [
        {"value": 8_000_000_000, "unit": ""},
        {"value": 8, "unit": "bytes"},
    ]


def replace_params(layer: LayerCost, params: int) -> LayerCost:
    return layer._replace(params=params, weights=params, biases=0)
