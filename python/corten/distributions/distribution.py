"""The base of every distribution: shapes, validation, and the methods that families fill in."""

import warnings

import corten

from . import constraints
from .utils import lazy_property

__all__ = ["Distribution"]


class Distribution:
    """A batch of probability distributions.

    A sample has the shape ``sample_shape + batch_shape + event_shape``: independent draws, then distributions with
    parameters of their own, then the dims of one draw.

    Args:
        batch_shape: the shape of the batch of parameters.
        event_shape: the shape of one draw from one distribution.
        validate_args: check parameters here and values in ``log_prob`` and ``cdf``; by default as
            :meth:`set_default_validate_args` says.

    Raises:
        ValueError: where a parameter violates its constraint and arguments are validated.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value):
        """Turns validation on or off for all distributions that do not say; it is off under ``python -O``."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args(): expected a bool, got {value!r}")
        Distribution._validate_args = value

    def __init__(self, batch_shape=(), event_shape=(), validate_args=None):
        self._batch_shape = corten.Size(batch_shape)
        self._event_shape = corten.Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._validate_parameters()
        super().__init__()

    def _validate_parameters(self):
        try:
            arg_constraints = self.arg_constraints
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or initialize "
                "the distribution with `validate_args=False` to turn off validation.",
                stacklevel=4,
            )
            return
        for name, constraint in arg_constraints.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name), lazy_property):
                continue  # Follows from another parameter.
            value = getattr(self, name)
            if not constraint.check(value).all():
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of "
                    f"distribution {self!r} to satisfy the constraint {constraint!r}, but found invalid values:\n"
                    f"{value}"
                )

    def expand(self, batch_shape, _instance=None):
        """The distribution with parameters expanded to ``batch_shape``, as views.

        Args:
            _instance: the object to fill, for classes that extend a family.
        """
        raise NotImplementedError

    @property
    def batch_shape(self):
        """The shape of the batch of parameters."""
        return self._batch_shape

    @property
    def event_shape(self):
        """The shape of one draw from one distribution."""
        return self._event_shape

    @property
    def arg_constraints(self):
        """The constraints of parameters by their names."""
        raise NotImplementedError

    @property
    def support(self):
        """The constraint that every sample satisfies."""
        raise NotImplementedError

    @property
    def mean(self):
        """The mean, of the shape ``batch_shape + event_shape``."""
        raise NotImplementedError

    @property
    def mode(self):
        """The value of the highest density, of the shape ``batch_shape + event_shape``."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self):
        """The variance, of the shape ``batch_shape + event_shape``."""
        raise NotImplementedError

    @property
    def stddev(self):
        """The standard deviation, of the shape ``batch_shape + event_shape``."""
        return self.variance.sqrt()

    def sample(self, sample_shape=()):
        """Draws of the shape ``sample_shape + batch_shape + event_shape``, without gradients."""
        with corten.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=()):
        """Draws through which gradients reach the parameters, where ``has_rsample`` says so."""
        raise NotImplementedError

    def sample_n(self, n):
        """``sample((n,))``, the older form."""
        warnings.warn(
            "`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", category=FutureWarning, stacklevel=2
        )
        return self.sample((n,))

    def log_prob(self, value):
        """The logarithm of the density or probability of a value, which broadcasts against the batch."""
        raise NotImplementedError

    def cdf(self, value):
        """The probability of everything up to a value."""
        raise NotImplementedError

    def icdf(self, value):
        """The value up to which the probability is the one given."""
        raise NotImplementedError

    def enumerate_support(self, expand=True):
        """All values of a discrete distribution along a new first dim.

        Args:
            expand: repeat them over the batch; else the batch's dims have size 1.
        """
        raise NotImplementedError

    def entropy(self):
        """The entropy in nats, of the shape ``batch_shape``."""
        raise NotImplementedError

    def perplexity(self):
        """The exponential of the entropy."""
        return self.entropy().exp()

    def _extended_shape(self, sample_shape=()):
        return corten.Size(sample_shape) + self._batch_shape + self._event_shape

    def _full(self, value, like):
        """One value everywhere, of the shape ``batch_shape + event_shape``."""
        return corten.full(self._extended_shape(), value, dtype=like.dtype, device=like.device)

    def _validate_sample(self, value):
        """Raises ValueError for a value whose shape or elements no sample can have."""
        if not isinstance(value, corten.Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        shape, expected = value.shape, self._batch_shape + self._event_shape
        if shape[len(shape) - len(self._event_shape) :] != self._event_shape:
            raise ValueError(f"The right-most size of value must match event_shape: {shape} vs {self._event_shape}.")
        if any(i != 1 and j != 1 and i != j for i, j in zip(reversed(shape), reversed(expected))):
            raise ValueError(f"Value is not broadcastable with batch_shape+event_shape: {shape} vs {expected}.")
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support` to enable sample validation. Please initialize the "
                "distribution with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        if not support.check(value).all():
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(shape)}) to be within the support "
                f"({support!r}) of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def _get_checked_instance(self, cls, _instance=None):
        if _instance is None and type(self).__init__ != cls.__init__:
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ method must also "
                "define a custom .expand() method."
            )
        return self.__new__(type(self)) if _instance is None else _instance

    def _expanded(self, cls, batch_shape, instance, *names, kept=()):
        """:meth:`expand` of the family ``cls``.

        Args:
            names: attributes that begin with the batch's dims, tensors and distributions; those not computed yet
                stay so.
            kept: attributes that are the same for every batch shape.
        """
        new = self._get_checked_instance(cls, instance)
        batch_shape = corten.Size(batch_shape)
        for name in names:
            value = self.__dict__.get(name)
            if isinstance(value, Distribution):
                new.__dict__[name] = value.expand(batch_shape)
            elif value is not None:
                new.__dict__[name] = value.expand(batch_shape + value.shape[len(self._batch_shape) :])
        for name in kept:
            new.__dict__[name] = self.__dict__[name]
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def __repr__(self):
        own = {name: self.__dict__[name] for name in self.arg_constraints if name in self.__dict__}
        shown = ", ".join(f"{name}: {v if v.numel() == 1 else v.size()}" for name, v in own.items())
        return f"{type(self).__name__}({shown})"
