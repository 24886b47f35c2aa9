"""Views of a module's parameters, buffers and modules, beside PyTorch's views of scripted modules."""

import corten
import pytest

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("ignore")]
NAMES = ("p", "b", "0", "absent", "none")


def views(library):
    module = library.nn.Sequential(library.nn.Linear(2, 2), library.nn.BatchNorm1d(2))
    module.register_buffer("b", library.ones(1))
    module.p = library.nn.Parameter(library.ones(2))
    module.register_parameter("none", None)
    scripted = library.jit.script(module)
    handle = scripted._c if library is torch else scripted
    return [getattr(library._C, f"{kind}Dict")(handle) for kind in ("Parameter", "Buffer", "Module")]


def outcome(call):
    try:
        return call()
    except RuntimeError:
        return "RuntimeError"


def said(library):
    found = []
    for view in views(library):
        found.append([name for name, _ in view.items()])
        found.append([view.contains(name) for name in NAMES])
        found.append([outcome(lambda name=name, view=view: view.getattr(name) is None) for name in NAMES])
        found.append(outcome(lambda view=view: view.setattr("p", library.nn.Parameter(library.zeros(2)))))
        found.append(view.getattr("p").tolist())
        found.append(outcome(lambda view=view: view.setattr("p", 3)))
        found.append(outcome(lambda view=view: view.setattr("new", library.zeros(2))))
        found.append(outcome(lambda view=view: view.setattr("b", library.zeros(1))))
        with pytest.raises(TypeError):
            type(view)(3)
    return found


def test_views_are_pytorchs():
    assert said(corten) == said(torch)


def test_what_a_view_sets_shows_in_the_module():
    module = corten.nn.Linear(2, 2)
    weight = corten.nn.Parameter(corten.zeros(2, 2))
    corten.ParameterDict(module).setattr("weight", weight)
    assert module.weight is weight and next(module.parameters()) is weight
    corten.ModuleDict(outer := corten.nn.Sequential(module)).setattr("0", corten.nn.ReLU())
    assert isinstance(outer[0], corten.nn.ReLU)
    assert corten.ModuleDict(outer).items() == [("0", outer[0])]
