"""What goes wrong between processes."""


class DistError(RuntimeError):
    """Something went wrong between the processes of a group."""


class DistBackendError(DistError):
    """A collective failed, or did not end in time."""


class DistNetworkError(DistError):
    """The processes of a group did not find each other."""


class DistStoreError(DistError):
    """A key of a store was not set in time."""


class QueueEmptyError(DistStoreError):
    """A queue of a store has no value."""
