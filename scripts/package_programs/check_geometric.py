"""Graph networks of torch_geometric, without the packages of compiled kernels that it may use."""

import pytest
import torch
from torch.nn import functional as F
from torch_geometric import nn, transforms
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.utils import (
    add_self_loops,
    degree,
    dense_to_sparse,
    softmax,
    subgraph,
    to_dense_adj,
    to_torch_coo_tensor,
    to_undirected,
)


def ring(n=12):
    """A ring with chords, whose nodes tell in which half they lie."""
    places = torch.arange(n)
    edges = torch.stack([torch.cat([places, places]), torch.cat([(places + 1) % n, (places + 3) % n])])
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    return Data(x=x, edge_index=to_undirected(edges), y=(places >= n // 2).long())


LAYERS = {
    "gcn": lambda i, o: nn.GCNConv(i, o),
    "gat": lambda i, o: nn.GATConv(i, o, heads=2, concat=False),
    "gatv2": lambda i, o: nn.GATv2Conv(i, o),
    "sage": lambda i, o: nn.SAGEConv(i, o),
    "gin": lambda i, o: nn.GINConv(torch.nn.Linear(i, o)),
    "transformer": lambda i, o: nn.TransformerConv(i, o),
    "cheb": lambda i, o: nn.ChebConv(i, o, K=2),
    "graph": lambda i, o: nn.GraphConv(i, o),
    "pna": lambda i, o: nn.PNAConv(i, o, ["mean", "max", "std"], ["identity"], deg=torch.tensor([0, 0, 0, 0, 12])),
}
# The loss after 30 steps that PyTorch 2.13 computes.
AFTER = {
    "gcn": 0.298211,
    "gat": 0.073805,
    "gatv2": 0.00613968,
    "sage": 0.00902356,
    "gin": 0.214439,
    "transformer": 2.00957e-05,
    "cheb": 0.00772576,
    "graph": 0.0129453,
    "pna": 0.0,
}


@pytest.mark.parametrize("name", LAYERS)
def test_nodes_are_classified(name):
    torch.manual_seed(0)
    graph, layers = ring(), torch.nn.ModuleList([LAYERS[name](4, 16), LAYERS[name](16, 2)])
    optimizer, found = torch.optim.Adam(layers.parameters(), lr=0.02), []
    for _ in range(30):
        hidden = layers[0](graph.x, graph.edge_index).relu()
        loss = F.cross_entropy(layers[1](hidden, graph.edge_index), graph.y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert found[-1] < 0.7 * found[0] and found[-1] == pytest.approx(AFTER[name], rel=1e-3, abs=1e-6)


def test_graphs_are_batched_and_pooled():
    torch.manual_seed(0)
    graphs = [ring(n) for n in (6, 8, 10, 12)]
    for graph, label in zip(graphs, (0.0, 0.0, 1.0, 1.0), strict=True):
        graph.y = torch.tensor([label])
    model = nn.GraphSAGE(4, 8, num_layers=2, out_channels=8, norm="batch_norm")
    head = torch.nn.Linear(8, 1)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=0.02)
    losses = []
    for _ in range(15):
        for batch in DataLoader(graphs, batch_size=4):
            coded = model(batch.x, batch.edge_index)
            pooled = nn.global_mean_pool(coded, batch.batch) + nn.global_max_pool(coded, batch.batch)
            loss = F.binary_cross_entropy_with_logits(head(pooled).squeeze(1), batch.y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    # PyTorch 2.13 computes this.
    assert losses[-1] < 0.7 * losses[0] and losses[-1] == pytest.approx(0.306515, rel=1e-3)
    assert batch.num_graphs == 4
    assert [g.num_nodes for g in batch.to_data_list()] == [6, 8, 10, 12]


def test_messages_of_an_own_layer():
    class Largest(nn.MessagePassing):
        def __init__(self):
            super().__init__(aggr="max")

        def forward(self, x, edge_index):
            return self.propagate(edge_index, x=x)

        def message(self, x_i, x_j):
            return x_j - x_i

    graph = ring()
    found = Largest()(graph.x, graph.edge_index)
    near = to_dense_adj(graph.edge_index)[0].bool()
    torch.testing.assert_close(found, torch.stack([graph.x[near[:, i]].amax(0) - graph.x[i] for i in range(12)]))


def test_kinds_of_nodes_and_edges():
    data = HeteroData()
    data["user"].x, data["item"].x = torch.randn(3, 4), torch.randn(5, 6)
    edges = torch.tensor([[0, 1, 2, 2], [0, 3, 4, 1]])
    data["user", "buys", "item"].edge_index, data["item", "of", "user"].edge_index = edges, edges.flip(0)
    layer = nn.HeteroConv({kind: nn.SAGEConv((-1, -1), 8) for kind in data.edge_types})
    found = layer(data.x_dict, data.edge_index_dict)
    assert {kind: tuple(x.shape) for kind, x in found.items()} == {"user": (3, 8), "item": (5, 8)}
    sum(x.square().sum() for x in found.values()).backward()
    assert transforms.ToUndirected()(data).num_edges == 16


def test_functions_of_graphs():
    graph = ring()
    assert degree(graph.edge_index[0], 12).tolist() == [4.0] * 12
    assert add_self_loops(graph.edge_index)[0].shape[1] == graph.num_edges + 12
    assert torch.equal(dense_to_sparse(to_dense_adj(graph.edge_index))[0], graph.edge_index)
    total = torch.zeros(12).index_add(0, graph.edge_index[1], softmax(torch.randn(48), graph.edge_index[1]))
    torch.testing.assert_close(total, torch.ones(12))
    assert subgraph([0, 1, 2], graph.edge_index)[0].max() == 2
    sparse = to_torch_coo_tensor(graph.edge_index, size=12)
    torch.testing.assert_close(sparse @ graph.x, to_dense_adj(graph.edge_index)[0] @ graph.x)
    laplacian = transforms.AddLaplacianEigenvectorPE(2)(graph).laplacian_eigenvector_pe
    assert laplacian.shape == (12, 2)
