"""Sparse tensors: adjacencies that a model holds or makes, and gradients of embeddings that hold the rows touched alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.ops import BOTH
from tests.real import Does
from tests.reality import real_step
from vggcost import VggcostError, analyze, memory
from vggcost.load.layouts import entries, nbytes, sparse_meta

EDGES, NODES, WIDE, OUT = 23, 10, 8, 4


pytestmark = pytest.mark.filterwarnings("ignore:Sparse")  # of torch: its support is in beta state


def adjacency() -> torch.Tensor:
    places = torch.arange(NODES * NODES)[:: NODES * NODES // EDGES][:EDGES]
    dense = torch.zeros(NODES * NODES)
    dense[places] = 1.0
    return dense.reshape(NODES, NODES)


FORMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "coo": lambda a: a.to_sparse(),
    "coo, not coalesced": lambda a: torch.sparse_coo_tensor(a.nonzero().t(), torch.ones(EDGES), a.shape),
    "csr": lambda a: a.to_sparse_csr(),
    "csc": lambda a: a.to_sparse_csc(),
}


class Graph(nn.Module):
    """A graph convolution of torch alone."""

    def __init__(self, adjacency: torch.Tensor, product: Callable[..., Any], how: str = "buffer"):
        super().__init__()
        self.layer, self.product = nn.Linear(WIDE, OUT), product
        if how == "buffer":
            self.register_buffer("adjacency", adjacency)
        elif how == "parameter":
            self.adjacency = nn.Parameter(adjacency, requires_grad=False)
        else:
            self.adjacency = adjacency

    def forward(self, x: torch.Tensor) -> Any:
        return self.product(self.adjacency, self.layer(x))


PRODUCTS: dict[str, Callable[..., Any]] = {
    "torch.sparse.mm": torch.sparse.mm,
    "@": lambda a, y: a @ y,
    "mm": torch.mm,
    "addmm": lambda a, y: torch.sparse.addmm(y, a, y),
    "mv": lambda a, y: torch.stack([torch.mv(a, y[:, i]) for i in range(OUT)], 1),
    "turned around": lambda a, y: a.t() @ y,
}
HERE = NODES * WIDE * OUT  # MACs of the layer


@pytest.mark.parametrize("how", ["buffer", "attribute", "parameter"])
@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("form", FORMS)
def test_a_product_multiplies_the_entries_alone(form: str, product: str, how: str) -> None:
    held = FORMS[form](adjacency())
    model, x = Graph(held, PRODUCTS[product], how), torch.randn(NODES, WIDE)
    table = analyze(model, (x,))
    assert table.totals.macs == HERE + EDGES * OUT
    assert table.coverage.unknown == ()
    assert table.coverage.assumed == ()
    assert torch.equal(held.to_dense(), adjacency())  # given back
    assert (model.adjacency is held) == (how != "parameter")


@pytest.mark.parametrize("form", FORMS)
def test_its_gradient_does_too(form: str) -> None:
    table = analyze(Graph(FORMS[form](adjacency()), torch.sparse.mm), (torch.randn(NODES, WIDE),), mode="training")
    assert table.totals.backward_macs == HERE + EDGES * OUT
    assert table.totals.params == WIDE * OUT + OUT


def test_batches_of_matrices_and_blocks() -> None:
    blocks = torch.eye(8).repeat_interleave(2, 0).repeat_interleave(2, 1).to_sparse_bsr((2, 2))
    table = analyze(Graph(blocks, lambda a, y: a @ y), (torch.randn(16, WIDE),))
    assert table.totals.macs == 16 * WIDE * OUT + 8 * 4 * OUT
    batch = torch.stack([torch.eye(5), torch.eye(5)]).to_sparse()
    table = analyze(Graph(batch, lambda a, y: torch.bmm(a, y.reshape(2, 5, OUT))), (torch.randn(10, WIDE),))
    assert table.totals.macs == 10 * WIDE * OUT + 2 * 5 * OUT


def scattered(a: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    a = a.coalesce()
    rows, columns = a.indices()
    return torch.zeros(NODES, OUT).index_add(0, rows, y[columns] * a.values()[:, None])


OTHERS: dict[str, tuple[Callable[..., Any], int]] = {
    "made dense": (lambda a, y: a.to_dense() @ y, NODES * NODES * OUT),
    "softmax": (lambda a, y: torch.sparse.mm(torch.sparse.softmax(a, 1), y), EDGES * OUT),
    "scaled": (lambda a, y: (a * 0.5) @ y, EDGES * OUT),
    "degrees": (lambda a, y: y / torch.sparse.sum(a, 1).to_dense()[:, None], 0),
    "its parts": (scattered, 0),
    "in half": (lambda a, y: (a.half() @ y.half()).float(), EDGES * OUT),
    "another form": (lambda a, y: a.to_sparse_csr() @ y, EDGES * OUT),
    "twice": (lambda a, y: a @ (a @ y), 2 * EDGES * OUT),
    "left alone": (lambda a, y: y, 0),
}


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("name", OTHERS)
def test_what_else_is_done_with_one(name: str, mode: str) -> None:
    function, macs = OTHERS[name]
    table = analyze(Graph(adjacency().to_sparse(), function), (torch.randn(NODES, WIDE),), mode=mode)
    assert table.totals.macs == HERE + macs
    assert table.coverage.unknown == ()


# Made in the forward


def made_of_buffers(model: Any, y: torch.Tensor) -> Any:
    return torch.sparse.mm(torch.sparse_coo_tensor(model.places, torch.ones(EDGES), (NODES, NODES)), y)


def made_of_parameters(model: Any, y: torch.Tensor) -> Any:
    return torch.sparse.mm(torch.sparse_coo_tensor(model.places, model.weights, (NODES, NODES)), y)


def thinned(model: Any, y: torch.Tensor) -> Any:
    return torch.sparse.mm((model.weights[0] * y @ y.t()).to_sparse(), y)


class Makes(nn.Module):
    def __init__(self, function: Callable[..., Any]):
        super().__init__()
        self.layer, self.function = nn.Linear(WIDE, OUT), function
        self.weights = nn.Parameter(torch.ones(EDGES))
        self.register_buffer("places", adjacency().nonzero().t().contiguous())

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, self.layer(x))


def test_one_that_is_made_has_as_many_entries_as_values() -> None:
    x = torch.randn(NODES, WIDE)
    for function in (made_of_buffers, made_of_parameters):
        table = analyze(Makes(function), (x,))
        assert table.totals.macs == HERE + EDGES * OUT
        assert table.coverage.assumed == ()
    step = analyze(Makes(made_of_parameters), (x,), mode="training")
    # torch computes the gradient of all places and keeps those of the entries
    assert step.totals.backward_macs == HERE + EDGES * OUT + NODES * OUT * NODES
    assert step.coverage.assumed == ()


def test_entries_that_depend_on_data_are_all_that_there_can_be_or_as_stated() -> None:
    x, pairs = torch.randn(NODES, WIDE), NODES * NODES * OUT
    table = analyze(Makes(thinned), (x,))
    assert table.totals.macs == HERE + 2 * pairs
    (assumed,) = table.coverage.assumed
    assert (assumed.op, assumed.text) == ("aten.to_sparse", "every element kept, the most there can be")
    assert analyze(Makes(thinned), (x,), assume={"nonzero": 30}).totals.macs == HERE + pairs + 30 * OUT


def test_what_cannot_be_known_is_refused_in_a_line() -> None:
    def squared(model: Any, y: torch.Tensor) -> Any:
        a = torch.sparse_coo_tensor(model.places, model.weights, (NODES, NODES))
        return torch.sparse.mm(torch.sparse.mm(a, a), y)

    with pytest.raises(VggcostError, match="multiplies two sparse tensors") as error:
        analyze(Makes(squared), (torch.randn(NODES, WIDE),))
    assert "\n" not in str(error.value)
    known = Graph(adjacency().to_sparse(), lambda a, y: torch.sparse.mm(a, a) @ y)  # of two that are known it is
    made = (adjacency() @ adjacency()).count_nonzero()
    meet = (adjacency().sum(0) * adjacency().sum(1)).sum()  # each entry of a column with each of the row that it meets
    assert analyze(known, (torch.randn(NODES, WIDE),)).totals.macs == HERE + meet + made * OUT


def test_the_bytes_of_one_are_those_of_its_entries_and_indices() -> None:
    held = adjacency().to_sparse()
    assert nbytes(held) == EDGES * 4 + 2 * EDGES * 8
    found = memory(Graph(held, torch.sparse.mm), (torch.randn(NODES, WIDE),))
    assert found.totals.buffer_bytes == nbytes(held)
    for form in FORMS.values():
        made = sparse_meta(form(adjacency()))
        assert (entries(made), nbytes(made), made.is_meta) == (EDGES, nbytes(form(adjacency())), True)


# Embeddings

ROWS, WIDTH = 500, 64


def places() -> torch.Tensor:
    return (torch.arange(240).reshape(40, 6) * 7) % 187


EMBEDDINGS: dict[str, Callable[[], nn.Module]] = {
    "embedding": lambda: nn.Sequential(nn.Embedding(ROWS, WIDTH, sparse=True)),
    "bags": lambda: nn.Sequential(nn.EmbeddingBag(ROWS, WIDTH, sparse=True)),
    "then a layer": lambda: nn.Sequential(nn.Embedding(ROWS, WIDTH, sparse=True), nn.Linear(WIDTH, 3)),
}
STATES = {"none": 0, "sgd": 0, "adagrad": 4 * ROWS * WIDTH + 4, "sparseadam": 2 * 4 * ROWS * WIDTH}
ENTRIES = 240 * WIDTH * 4
GRADIENT = ENTRIES + 240 * 8
"""Where autograd copies a gradient, since that of a sum is one number; otherwise its indices are the input's."""


@pytest.mark.parametrize("name", ["embedding", "bags"])
def test_a_sparse_gradient_holds_the_rows_that_are_looked_up(name: str) -> None:
    for optimizer, nbytes_of_states in STATES.items():
        found = memory(EMBEDDINGS[name](), (places(),), optimizer=optimizer, loss=lambda y: y.sum())
        assert found.totals.gradient_bytes == (GRADIENT if name == "embedding" else ENTRIES)
        assert found.totals.optimizer_bytes == nbytes_of_states
    dense = memory(nn.Sequential(nn.Embedding(ROWS, WIDTH)), (places(),), loss=lambda y: y.sum())
    assert dense.totals.gradient_bytes == ROWS * WIDTH * 4


def test_its_momentum_grows_by_the_rows_of_each_step() -> None:
    found = memory(EMBEDDINGS["embedding"](), (places(),), optimizer="sgd-momentum", loss=lambda y: y.sum())
    assert found.totals.optimizer_bytes == 2 * GRADIENT  # as far as two steps touch other rows
    (assumed,) = found.assumed
    assert (assumed.op, assumed.text) == ("aten.add", "every index distinct, the most there can be")


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_the_peak_of_a_step_with_one_is_that_of_a_real_step(name: str) -> None:
    plain: Callable[[Any], torch.Tensor] = lambda y: y.sigmoid().sum()  # noqa: E731
    real = real_step(EMBEDDINGS[name], lambda: (places(),), plain, lambda p: torch.optim.SGD(p, lr=0.1))
    found = memory(EMBEDDINGS[name](), (places(),), optimizer="sgd", loss=plain)
    assert found.totals.peak_bytes == pytest.approx(real.peak, rel=0.01)


def test_rows_that_fall_together_are_known_where_the_indices_are() -> None:
    class Known(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(ROWS, WIDTH, sparse=True)
            self.register_buffer("places", places())

        def forward(self, x: torch.Tensor) -> Any:
            return self.table(self.places).sum(1) @ x

    found = memory(Known(), (torch.randn(WIDTH, 2),), optimizer="sparseadam")
    assert found.assumed == ()
    assert (
        found.totals.optimizer_flops
        < memory(
            Does(lambda f, x: f(x).sum(1), nn.Embedding(ROWS, WIDTH, sparse=True)),
            "6:int64",
            batch=40,
            optimizer="sparseadam",
        ).totals.optimizer_flops
    )  # which takes every index for another row


def test_optimizers_say_what_they_take() -> None:
    with pytest.raises(VggcostError, match="SparseAdam does not support dense gradients"):
        memory(nn.Linear(4, 4), "4", optimizer="sparseadam")
    with pytest.raises(VggcostError, match="Adam does not support sparse gradients"):
        memory(EMBEDDINGS["embedding"](), (places(),), optimizer="adam")


def test_a_factory_may_hold_one(tmp_path: Any) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(8, 4)\n"
        "        places = torch.tensor([[0, 1, 2], [2, 0, 1]])\n"
        "        self.register_buffer('kept', torch.sparse_coo_tensor(places, torch.ones(3), (10, 10)))\n"
        "        self.register_buffer('merged', torch.sparse_coo_tensor(places, torch.ones(3), (10, 10)).coalesce())\n"
        "        self.register_buffer('drawn', torch.sparse_coo_tensor(places, torch.randn(3), (10, 10)))\n"
        "    def forward(self, x):\n"
        "        return self.drawn @ (self.merged @ (self.kept @ self.layer(x)))\n",
        encoding="utf-8",
    )
    table = analyze(f"{tmp_path / 'net.py'}:Net", "8", batch=10)
    assert table.totals.macs == HERE + 3 * 3 * OUT


def test_functions_of_an_embedding_too() -> None:
    model = Does(lambda f, x: F.embedding(x, f.weight, sparse=True), nn.Linear(WIDTH, ROWS))
    assert memory(model, (places(),), optimizer="none").totals.gradient_bytes == ENTRIES
