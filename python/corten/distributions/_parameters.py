"""The two forms in which discrete families take their parameter: probabilities, or log odds."""

import corten

from .utils import broadcast_all, lazy_property, logits_to_probs, one_of, probs_to_logits


class BinaryParameter:
    """One probability, or its log odds; the other follows when it is read."""

    def _set_parameter(self, probs, logits, *others):
        """Keeps the one that is given, and returns ``others`` broadcast with it."""
        name, value = one_of(probs, logits)
        *others, self._param = broadcast_all(*others, value)
        setattr(self, name, self._param)
        return others

    @lazy_property
    def logits(self):
        """The log odds of 1."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self):
        """The probability of 1."""
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def param_shape(self):
        """The shape of the parameter that was given."""
        return self._param.size()

    def _new(self, *args, **kwargs):
        return self._param.new(*args, **kwargs)


class CategoricalParameter:
    """Probabilities or log probabilities along the last dim, kept by the distribution ``_categorical``."""

    @property
    def logits(self):
        """The log probabilities of the events, normalised where they were given as such."""
        return self._categorical.logits

    @property
    def probs(self):
        """The probabilities of the events."""
        return self._categorical.probs

    @property
    def param_shape(self):
        """The shape of the parameter that was given."""
        return self._categorical.param_shape

    def _new(self, *args, **kwargs):
        return self._categorical._new(*args, **kwargs)


def cross_entropy(logits, target):
    """The cross entropy of bits with the probabilities of log odds, element by element."""
    return corten.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
