"""Pruning: a parameter as its values times a mask of ones and zeros, which is part of the module's state."""

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable

import corten

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]


class BasePruningMethod(ABC):
    """A forward pre-hook that multiplies ``<name>_orig`` by ``<name>_mask``; subclasses say which elements go.

    A subclass has ``PRUNING_TYPE``: ``"unstructured"`` for single elements, ``"structured"`` for slices along its
    ``dim``, ``"global"`` for masks of the whole tensor.
    """

    _tensor_name: str
    PRUNING_TYPE = "unstructured"

    def __call__(self, module, inputs):
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t, default_mask):
        """The mask for scores ``t``: ``default_mask`` with more zeros."""

    def apply_mask(self, module):
        """The pruned tensor of the module."""
        name = getattr(self, "_tensor_name", None)
        assert name is not None, f"Module {module} has to be pruned"
        original = getattr(module, name + "_orig")
        return getattr(module, name + "_mask").to(original.dtype) * original

    @classmethod
    def apply(cls, module, name, *args, importance_scores=None, **kwargs):
        """Prunes ``module.<name>``, further where it is pruned already; returns the hook.

        Args:
            importance_scores: what decides instead of the tensor's values, of its shape.
            args, kwargs: those of the class.
        """
        method = cls(*args, **kwargs)
        method._tensor_name = name
        former = _find(module, name)
        again = former is not None
        if again:
            key, hook = former
            del module._forward_pre_hooks[key]
            container = hook if isinstance(hook, PruningContainer) else PruningContainer(hook)
            container.add_pruning_method(method)
            method = container
        original = getattr(module, name)
        if importance_scores is not None:
            assert importance_scores.shape == original.shape, (
                f"importance_scores should have the same shape as parameter {name} of {module}"
            )
        else:
            importance_scores = original
        if again:
            default_mask = getattr(module, name + "_mask").detach().clone(memory_format=corten.contiguous_format)
        else:
            module.register_parameter(name + "_orig", original)
            del module._parameters[name]
            default_mask = corten.ones_like(original)
        try:
            mask = method.compute_mask(importance_scores.detach(), default_mask=default_mask)
            module.register_buffer(name + "_mask", mask)
            setattr(module, name, method.apply_mask(module))
            module.register_forward_pre_hook(method)
        except Exception:
            if not again:
                module.register_parameter(name, module._parameters.pop(name + "_orig"))
            raise
        return method

    def prune(self, t, default_mask=None, importance_scores=None):
        """The pruned tensor, by scores of the same shape where they are given; changes nothing.

        Args:
            default_mask: what is pruned already; nothing where not given.
        """
        if importance_scores is not None:
            assert importance_scores.shape == t.shape, "importance_scores should have the same shape as tensor t"
        else:
            importance_scores = t
        default_mask = corten.ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(importance_scores, default_mask=default_mask)

    def remove(self, module):
        """Makes the pruned values an ordinary parameter again; the hook itself stays with who called."""
        name = self._tensor_name
        assert name is not None, f"Module {module} has to be pruned before pruning can be removed"
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters.pop(name + "_orig")
        original.data = weight.data
        del module._buffers[name + "_mask"]
        setattr(module, name, original)


def _find(module, name):
    """The key and the hook that prunes the tensor of that name, or None."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return key, hook
    return None


class PruningContainer(BasePruningMethod):
    """Several methods for one tensor; each new one acts on what the former ones left."""

    def __init__(self, *args):
        self._pruning_methods = ()
        methods = args[0] if len(args) == 1 and isinstance(args[0], Iterable) else args
        for i, method in enumerate(methods):
            if i == 0:
                self._tensor_name = method._tensor_name
            self.add_pruning_method(method)

    def add_pruning_method(self, method):
        """Appends a method.

        Raises:
            TypeError: it is none.
            ValueError: it acts on another tensor.
        """
        if not isinstance(method, BasePruningMethod) and method is not None:
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named "
                f"'{self._tensor_name}' to PruningContainer {self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self):
        return len(self._pruning_methods)

    def __iter__(self):
        return iter(self._pruning_methods)

    def __getitem__(self, index):
        return self._pruning_methods[index]

    def compute_mask(self, t, default_mask):
        """The mask after the last method, which sees what ``default_mask`` leaves."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(t.dtype).clone()
        if method.PRUNING_TYPE == "unstructured":
            place = default_mask == 1
        elif method.PRUNING_TYPE == "structured":
            rank = t.dim()
            dim = method.dim + rank if method.dim < 0 else method.dim
            others = [d for d in range(rank) if d != dim]
            # Slices of which nothing is left are not counted again.
            place = (slice(None),) * dim + (default_mask.sum(others) != 0,)
        elif method.PRUNING_TYPE == "global":
            place = (slice(None),) * t.dim()
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        mask[place] = method.compute_mask(t[place], default_mask=default_mask[place]).to(mask.dtype)
        return mask


class Identity(BasePruningMethod):
    """Prunes nothing, but makes the mask."""

    def compute_mask(self, t, default_mask):
        """The mask itself."""
        return default_mask


def _check_amount(amount):
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    whole = isinstance(amount, numbers.Integral)
    if amount < 0 or (not whole and amount > 1.0):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")


def _count(amount, size):
    """How many of ``size`` elements an amount, a number or a share, is."""
    if not isinstance(amount, numbers.Integral):
        return round(amount * size)
    if amount > size:
        raise ValueError(f"amount={amount} should be smaller than the number of parameters to prune={size}")
    return int(amount)


class _ByAmount(BasePruningMethod):
    """What the methods with an amount, a number of elements or a share in [0, 1], have in common."""

    def __init__(self, amount):
        _check_amount(amount)
        self.amount = amount

    def _more_zeros(self, mask, scores, largest):
        """A copy of the mask with zeros where the scores, one for each element, are largest or least."""
        count = _count(self.amount, scores.numel())
        mask = mask.clone(memory_format=corten.contiguous_format)
        if count:
            mask.view(-1)[corten.topk(scores.reshape(-1), count, largest=largest).indices] = 0
        return mask


class RandomUnstructured(_ByAmount):
    """Prunes elements at random.

    Args:
        amount: how many, a number or a share in [0, 1].
    """

    def compute_mask(self, t, default_mask):
        """The mask with as many more zeros."""
        return self._more_zeros(default_mask, corten.rand_like(t), largest=True)

    @classmethod
    def apply(cls, module, name, amount):
        """Prunes ``module.<name>``; returns the hook."""
        return super().apply(module, name, amount=amount)


class L1Unstructured(_ByAmount):
    """Prunes the elements of least magnitude.

    Args:
        amount: how many, a number or a share in [0, 1].
    """

    def compute_mask(self, t, default_mask):
        """The mask with as many more zeros."""
        return self._more_zeros(default_mask, t.abs(), largest=False)

    @classmethod
    def apply(cls, module, name, amount, importance_scores=None):
        """Prunes ``module.<name>``; returns the hook."""
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class _Structured(_ByAmount):
    """What the methods that prune whole slices along a dim have in common."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount, dim=-1):
        super().__init__(amount)
        self.dim = dim

    def _checked_count(self, t):
        if t.dim() <= 1:
            raise ValueError(
                "Structured pruning can only be applied to multidimensional tensors. Found tensor of shape "
                f"{t.shape} with {t.dim()} dims"
            )
        if self.dim >= t.dim():
            raise IndexError(f"Invalid index {self.dim} for tensor of size {t.shape}")
        return _count(self.amount, t.shape[self.dim])

    def _mask(self, t, default_mask, kept):
        """``default_mask`` without the slices that ``kept`` ``(size of the dim,)`` leaves out."""
        shape = [1] * t.dim()
        shape[self.dim] = -1
        return default_mask * kept.to(default_mask.dtype).reshape(shape)


class RandomStructured(_Structured):
    """Prunes slices along a dim at random.

    Args:
        amount: how many, a number or a share in [0, 1].
        dim: the dim whose slices are meant.
    """

    def compute_mask(self, t, default_mask):
        """The mask with as many more slices of zeros."""
        count = self._checked_count(t)
        if not count:
            return default_mask
        drawn = corten.rand(t.shape[self.dim])
        kept = drawn > corten.kthvalue(drawn, count).values
        return self._mask(t, default_mask, kept.to(t.device))

    @classmethod
    def apply(cls, module, name, amount, dim=-1):
        """Prunes ``module.<name>``; returns the hook."""
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(_Structured):
    """Prunes the slices along a dim whose norm is least.

    Args:
        amount: how many, a number or a share in [0, 1].
        n: the norm's order, as ``corten.norm`` takes it.
        dim: the dim whose slices are meant.
    """

    def __init__(self, amount, n, dim=-1):
        super().__init__(amount, dim)
        self.n = n

    def compute_mask(self, t, default_mask):
        """The mask with as many more slices of zeros."""
        count = self._checked_count(t)
        if not count:
            return default_mask
        dim = self.dim % t.dim()
        norms = corten.norm(t, p=self.n, dim=[d for d in range(t.dim()) if d != dim])
        best = corten.topk(norms, t.shape[dim] - count).indices
        kept = corten.zeros_like(norms, dtype=corten.bool)
        kept[best] = True
        return self._mask(t, default_mask, kept)

    @classmethod
    def apply(cls, module, name, amount, n, dim, importance_scores=None):
        """Prunes ``module.<name>``; returns the hook."""
        return super().apply(module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)


class CustomFromMask(BasePruningMethod):
    """Prunes where a given mask is 0."""

    PRUNING_TYPE = "global"

    def __init__(self, mask):
        self.mask = mask

    def compute_mask(self, t, default_mask):
        """The product of both masks."""
        assert default_mask.shape == self.mask.shape, (
            f"the mask has shape {self.mask.shape}, the tensor {default_mask.shape}"
        )
        return default_mask * self.mask.to(default_mask.dtype)

    @classmethod
    def apply(cls, module, name, mask):
        """Prunes ``module.<name>``; returns the hook."""
        return super().apply(module, name, mask=mask)


def identity(module, name):
    """Gives ``module.<name>`` a mask of ones; returns the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module, name, amount):
    """Prunes elements of ``module.<name>`` at random, as many as ``amount`` says; returns the module."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module, name, amount, importance_scores=None):
    """Prunes the elements of ``module.<name>`` of least magnitude, or of least score; returns the module."""
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module, name, amount, dim):
    """Prunes slices of ``module.<name>`` along ``dim`` at random; returns the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module, name, amount, n, dim, importance_scores=None):
    """Prunes the slices of ``module.<name>`` along ``dim`` whose ``n``-norm is least; returns the module."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module, name, mask):
    """Prunes ``module.<name>`` where ``mask`` is 0; returns the module."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(parameters, pruning_method, importance_scores=None, **kwargs):
    """Prunes several parameters as one: the elements that go are chosen among all of them.

    Args:
        parameters: pairs of a module and a name.
        pruning_method: a class of unstructured pruning.
        importance_scores: by pair, what decides instead of the parameter's values.
        kwargs: those of the class, such as ``amount``.

    Raises:
        TypeError: ``parameters`` is not iterable, the scores are no dictionary, or the method is not unstructured.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores is not of type dict")
    parameters = list(parameters)
    values = [scores.get(pair, getattr(*pair)).detach() for pair in parameters]
    masks = [getattr(m, name + "_mask", corten.ones_like(getattr(m, name))).detach() for m, name in parameters]
    container = PruningContainer()
    container._tensor_name = "temp"
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    container.add_pruning_method(method)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    together = corten.nn.utils.parameters_to_vector
    mask = container.compute_mask(together(values), together(masks))
    pieces = mask.split([value.numel() for value in values])
    for (module, name), value, piece in zip(parameters, values, pieces, strict=True):
        custom_from_mask(module, name, mask=piece.view_as(value))


def remove(module, name):
    """Makes the pruned values of ``module.<name>`` an ordinary parameter again; returns the module.

    Raises:
        ValueError: it is not pruned.
    """
    found = _find(module, name)
    if found is None:
        raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")
    key, hook = found
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module


def is_pruned(module):
    """Whether anything in the module or below it is pruned."""
    return any(isinstance(hook, BasePruningMethod) for m in module.modules() for hook in m._forward_pre_hooks.values())
