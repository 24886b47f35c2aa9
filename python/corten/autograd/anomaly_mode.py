"""The detection of anomalies, under the name that ``torch.autograd.anomaly_mode`` has."""

from .modes import detect_anomaly, set_detect_anomaly

__all__ = ["detect_anomaly", "set_detect_anomaly"]
