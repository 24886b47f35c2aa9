"""The summaries of an event file: a function for each kind, with the protocol buffers of the tensorboard package."""

import io
import json
import wave

import corten
import numpy as np
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams.api_pb2 import (
    DataType,
    Experiment,
    HParamInfo,
    MetricInfo,
    MetricName,
    Status,
)
from tensorboard.plugins.hparams.metadata import EXPERIMENT_TAG, SESSION_END_INFO_TAG, SESSION_START_INFO_TAG
from tensorboard.plugins.hparams.metadata import PLUGIN_NAME as HPARAMS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.plugins.pr_curve.plugin_data_pb2 import PrCurvePluginData

from .arrays import as_array, as_bytes, as_number, pixels


def _shape(sizes):
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in sizes])


def _plugin(name, content=b""):
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=name, content=content))


def _one(**value):
    return Summary(value=[Summary.Value(**value)])


def scalar(tag, value, new_style=False, double_precision=False):
    """A number.

    Args:
        new_style: as a tensor, which newer readers prefer.
        double_precision: as a float64; without ``new_style`` it is a float32 all the same.
    """
    number = as_number(value, f"add_scalar({tag!r})")
    if not new_style:
        return _one(tag=tag, simple_value=number)
    if double_precision:
        tensor = TensorProto(double_val=[number], dtype="DT_DOUBLE")
    else:
        tensor = TensorProto(float_val=[number], dtype="DT_FLOAT")
    return _one(tag=tag, tensor=tensor, metadata=_plugin("scalars"))


_TENSORS = {
    np.dtype(np.float16): ("DT_HALF", "half_val"),
    np.dtype(np.float32): ("DT_FLOAT", "float_val"),
    np.dtype(np.float64): ("DT_DOUBLE", "double_val"),
    np.dtype(np.int8): ("DT_INT8", "int_val"),
    np.dtype(np.int16): ("DT_INT16", "int_val"),
    np.dtype(np.int32): ("DT_INT32", "int_val"),
    np.dtype(np.int64): ("DT_INT64", "int64_val"),
    np.dtype(np.uint8): ("DT_UINT8", "int_val"),
    np.dtype(bool): ("DT_BOOL", "bool_val"),
}


def tensor(tag, value):
    """A tensor of any shape.

    Raises:
        ValueError: its dtype has no name in the file format.
    """
    array = as_array(value)
    if array.dtype not in _TENSORS:
        raise ValueError(f"add_tensor: {tag} has unsupported tensor dtype {array.dtype}")
    kind, field = _TENSORS[array.dtype]
    flat = (array.view(np.uint16) if field == "half_val" else array).reshape(-1).tolist()
    proto = TensorProto(dtype=kind, tensor_shape=_shape(array.shape), **{field: flat})
    return _one(tag=tag, tensor=proto, metadata=_plugin("tensor"))


def exponential_bins():
    """The edges that TensorBoard's own histograms have: each a tenth further from zero than the last."""
    positive, edge = [], 1e-12
    while edge < 1e20:
        positive.append(edge)
        edge *= 1.1
    return [-e for e in reversed(positive)] + [0.0] + positive


def histogram(tag, values, bins, max_bins=None):
    """How many values lie between edges.

    Args:
        bins: edges, or what numpy.histogram takes for them.
        max_bins: above it, neighbouring bins are put together.

    Raises:
        ValueError: there are no values, or none lies between the edges.
    """
    values = as_array(values).astype(float).reshape(-1)
    if values.size == 0:
        raise ValueError("The input has no element.")
    counts, edges = np.histogram(values, bins=bins)
    if max_bins is not None and len(counts) > max_bins:
        together = len(counts) // max_bins
        rest = -len(counts) % together
        counts = np.pad(counts, (0, rest)).reshape(-1, together).sum(1)
        edges = np.append(edges[:-1:together], edges[-1])
    filled = np.flatnonzero(counts)
    if not len(filled):
        raise ValueError("The histogram is empty: no value lies between the edges of the bins.")
    first, last = filled[0], filled[-1]
    # A bin without values in front tells where the first one begins.
    return histogram_raw(
        tag,
        values.min(),
        values.max(),
        len(values),
        values.sum(),
        values.dot(values),
        edges[first : last + 2].tolist(),
        [0, *counts[first : last + 1].tolist()],
    )


def histogram_raw(tag, minimum, maximum, count, total, squares, limits, counts):
    """A histogram that was counted elsewhere: upper edges of buckets, and the number of values in each."""
    proto = HistogramProto(
        min=minimum,
        max=maximum,
        num=count,
        sum=total,
        sum_squares=squares,
        bucket_limit=limits,
        bucket=counts,
    )
    return _one(tag=tag, histo=proto)


def _image_class():
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "images are encoded with pillow, which is not installed: pip install 'corten[tensorboard]'", name="PIL"
        ) from None
    return Image


def _encoded(array, rescale=1, boxes=None, labels=None):
    height, width, channels = array.shape
    image = _image_class().fromarray(array.squeeze(2) if channels == 1 else array)
    if boxes is not None:
        _draw_boxes(image, boxes, labels)
    if rescale != 1:
        image = image.resize((int(width * rescale), int(height * rescale)), _image_class().Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, format="PNG")
    return Summary.Image(
        height=image.height, width=image.width, colorspace=channels, encoded_image_string=out.getvalue()
    )


def _draw_boxes(image, boxes, labels):
    from PIL import ImageDraw, ImageFont

    draw = ImageDraw.Draw(image)
    for i, (left, top, right, bottom) in enumerate(boxes.tolist()):
        draw.line([(left, top), (left, bottom), (right, bottom), (right, top), (left, top)], width=2, fill="Red")
        if labels:
            font = ImageFont.load_default()
            box = font.getbbox(labels[i])
            width, height = box[2], box[3]
            margin = np.ceil(0.05 * height)
            draw.rectangle(
                [(left, bottom - height - 2 * margin), (left + width, bottom)],
                fill="Red",
            )
            draw.text((left + margin, bottom - height - margin), labels[i], fill="black", font=font)


def image(tag, value, rescale=1, dataformats="CHW"):
    """An image, or a batch of images in a grid, as PNG; floating-point values lie in [0, 1], bytes in [0, 255]."""
    return _one(tag=tag, image=_encoded(pixels(as_bytes(as_array(value)), dataformats), rescale))


def image_boxes(tag, value, boxes, rescale=1, dataformats="CHW", labels=None):
    """An image with boxes ``(N, 4)``, left, top, right and bottom in pixels, drawn into it."""
    boxes = as_array(boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"add_image_with_boxes: box_tensor must be (N, 4), got {boxes.shape}")
    if labels is not None:
        labels = [labels] if isinstance(labels, str) else list(labels)
        labels = labels if len(labels) == len(boxes) else None
    shown = np.ascontiguousarray(pixels(as_bytes(as_array(value)), dataformats))
    return _one(tag=tag, image=_encoded(shown, rescale, boxes, labels))


def video(tag, value, fps=4):
    """Films ``(N, T, C, H, W)`` beside each other as an animated GIF."""
    films = as_bytes(as_array(value))
    if films.ndim != 5:
        raise ValueError(f"add_video: vid_tensor must be (N, T, C, H, W), got {films.shape}")
    count, frames, channels, height, width = films.shape
    # A grid with as many places as the next power of two, at least as wide as it is high.
    places = 1 << max(count - 1, 0).bit_length()
    rows = 1 << ((places.bit_length() - 1) // 2)
    padded = np.zeros((places, *films.shape[1:]), films.dtype)
    padded[:count] = films
    tiled = padded.reshape(rows, places // rows, frames, channels, height, width).transpose(2, 0, 4, 1, 5, 3)
    tiled = tiled.reshape(frames, rows * height, places // rows * width, channels)
    if channels not in (1, 3):
        raise ValueError(f"add_video: vid_tensor must have 1 or 3 channels, got {channels}")
    pictures = [_image_class().fromarray(frame[..., 0] if channels == 1 else frame) for frame in tiled]
    if not pictures:
        raise ValueError("add_video: vid_tensor has no frames")
    out = io.BytesIO()
    # Durations of GIF are hundredths of a second; frames that are equal must not be put together.
    pictures[0].save(
        out, format="GIF", save_all=True, append_images=pictures[1:], duration=1000 / fps, loop=0, optimize=False
    )
    proto = Summary.Image(
        height=tiled.shape[1], width=tiled.shape[2], colorspace=channels, encoded_image_string=out.getvalue()
    )
    return _one(tag=tag, image=proto)


def audio(tag, value, sample_rate=44100):
    """Sound of one channel ``(1, L)`` in [-1, 1] as WAV of 16 bits; what lies outside is cut off, with a warning."""
    array = as_array(value).squeeze()
    if np.abs(array).max(initial=0) > 1:
        import warnings

        warnings.warn("add_audio: audio amplitude out of range, auto clipped.", stacklevel=3)
        array = array.clip(-1, 1)
    if array.ndim != 1:
        raise AssertionError(f"input tensor should be 1 dimensional, got {array.shape}")
    samples = (array * np.iinfo(np.int16).max).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.tobytes())
    proto = Summary.Audio(
        sample_rate=sample_rate,
        num_channels=1,
        length_frames=len(samples),
        encoded_audio_string=out.getvalue(),
        content_type="audio/wav",
    )
    return _one(tag=tag, audio=proto)


def text(tag, value):
    """A text, which TensorBoard reads as Markdown."""
    if not isinstance(value, str):
        raise TypeError(f"add_text: text_string must be a str, got {type(value).__name__}")
    proto = TensorProto(dtype="DT_STRING", string_val=[value.encode()], tensor_shape=_shape([1]))
    return _one(tag=f"{tag}/text_summary", tensor=proto, metadata=_plugin("text"))


# -- curves -----------------------------------------------------------------------------------------------------------


def pr_curve(tag, labels, predictions, num_thresholds=127, weights=None):
    """Precision and recall of predictions in [0, 1] at thresholds, as TensorBoard's plugin counts them."""
    num_thresholds = min(num_thresholds, 127)
    labels, predictions = as_array(labels).reshape(-1).astype(bool), as_array(predictions).reshape(-1)
    if labels.shape != predictions.shape:
        raise ValueError(f"add_pr_curve: {labels.size} labels and {predictions.size} predictions")
    weights = 1.0 if weights is None else as_array(weights).reshape(-1)
    place = np.int32(np.floor(predictions * (num_thresholds - 1)))
    counts = [
        np.bincount(place, weights=np.float64(kind) * weights, minlength=num_thresholds)[::-1].cumsum()[::-1]
        for kind in (labels, ~labels)
    ]
    true_positive, false_positive = counts
    true_negative = false_positive[0] - false_positive
    false_negative = true_positive[0] - true_positive
    precision = true_positive / np.maximum(1e-7, true_positive + false_positive)
    recall = true_positive / np.maximum(1e-7, true_positive + false_negative)
    rows = (true_positive, false_positive, true_negative, false_negative, precision, recall)
    return pr_curve_raw(tag, rows, num_thresholds)


def pr_curve_raw(tag, rows, num_thresholds=127):
    """A curve that was counted elsewhere: true and false positives and negatives, precision and recall."""
    data = np.stack([np.asarray(row.cpu() if isinstance(row, corten.Tensor) else row) for row in rows])
    content = PrCurvePluginData(version=0, num_thresholds=min(num_thresholds, 127)).SerializeToString()
    proto = TensorProto(dtype="DT_FLOAT", float_val=data.reshape(-1).tolist(), tensor_shape=_shape(data.shape))
    return _one(tag=tag, tensor=proto, metadata=_plugin("pr_curves", content))


def custom_scalars(layout):
    """Charts of several scalars: ``{category: {title: ["Multiline" or "Margin", tags]}}``."""
    categories = []
    for name, charts in layout.items():
        made = []
        for title, (kind, tags) in charts.items():
            if kind == "Margin":
                if len(tags) != 3:
                    raise AssertionError(f"a Margin chart has three tags, value, lower and upper, got {tags}")
                content = layout_pb2.MarginChartContent(
                    series=[layout_pb2.MarginChartContent.Series(value=tags[0], lower=tags[1], upper=tags[2])]
                )
                made.append(layout_pb2.Chart(title=title, margin=content))
            else:
                made.append(layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=tags)))
        categories.append(layout_pb2.Category(title=name, chart=made))
    content = layout_pb2.Layout(category=categories).SerializeToString()
    proto = TensorProto(dtype="DT_STRING", string_val=[content], tensor_shape=TensorShapeProto())
    return _one(tag="custom_scalars__config__", tensor=proto, metadata=_plugin("custom_scalars"))


# -- meshes -----------------------------------------------------------------------------------------------------------


def mesh(tag, vertices, colors, faces, config_dict):
    """Points in space ``(B, N, 3)`` with colours ``(B, N, 3)`` and faces ``(B, M, 3)``, indices of points.

    Raises:
        ValueError: a shape differs.
    """
    from tensorboard.plugins.mesh import metadata
    from tensorboard.plugins.mesh.plugin_data_pb2 import MeshPluginData

    kinds = (MeshPluginData.VERTEX, MeshPluginData.FACE, MeshPluginData.COLOR)
    parts = [(kind, as_array(v)) for kind, v in zip(kinds, (vertices, faces, colors), strict=True) if v is not None]
    for _, array in parts:
        if array.ndim != 3 or array.shape[2] != 3:
            raise ValueError(f"Tensor shape should be of shape BxNx3, but got {array.shape}.")
    components = metadata.get_components_bitmask([kind for kind, _ in parts])
    config = json.dumps(config_dict or {}, sort_keys=True)
    values = []
    for kind, array in parts:
        proto = TensorProto(dtype="DT_FLOAT", float_val=array.reshape(-1).tolist(), tensor_shape=_shape(array.shape))
        about = metadata.create_summary_metadata(tag, "", kind, components, array.shape, "", json_config=config)
        about.ClearField("summary_description")
        values.append(Summary.Value(tag=metadata.get_instance_name(tag, kind), tensor=proto, metadata=about))
    return Summary(value=values)


# -- hyperparameters --------------------------------------------------------------------------------------------------

_KINDS = {
    bool: (DataType.DATA_TYPE_BOOL, "bool_value"),
    str: (DataType.DATA_TYPE_STRING, "string_value"),
    int: (DataType.DATA_TYPE_FLOAT64, "number_value"),
    float: (DataType.DATA_TYPE_FLOAT64, "number_value"),
}


def _plain(value):
    """A hyperparameter as a Python number, text or truth value."""
    if isinstance(value, corten.Tensor):
        return value.item()
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError("value should be one of int, float, str, bool, or corten.Tensor")


def hparams(hparam_dict, metric_dict, hparam_domain_discrete=None):
    """Hyperparameters of a run and the tags of its metrics, as three summaries: experiment, start and end.

    Raises:
        TypeError: an argument is no dict, or a domain's values are of another type than the hyperparameter.
        ValueError: a hyperparameter is no number, text, truth value or tensor of one element.
    """
    if not isinstance(hparam_dict, dict) or not isinstance(metric_dict, dict):
        raise TypeError("hparam_dict and metric_dict should be dictionary.")
    domains = hparam_domain_discrete or {}
    if not isinstance(domains, dict):
        raise TypeError("hparam_domain_discrete should be a dictionary.")
    for name, values in domains.items():
        same = name in hparam_dict and isinstance(values, list)
        if not same or not all(isinstance(v, type(hparam_dict[name])) for v in values):
            raise TypeError(
                f"parameter: hparam_domain_discrete[{name}] should be a list of same type as hparam_dict[{name}]."
            )
    start, infos = SessionStartInfo(), []
    for name, value in hparam_dict.items():
        value = _plain(value)
        if value is None:
            continue
        kind, field = _KINDS[type(value)]
        setattr(start.hparams[name], field, value)
        info = HParamInfo(name=name, type=kind)
        if name in domains:
            info.domain_discrete.extend(domains[name])
        infos.append(info)
    metrics = [MetricInfo(name=MetricName(tag=tag)) for tag in metric_dict]
    experiment = HParamsPluginData(experiment=Experiment(hparam_infos=infos, metric_infos=metrics), version=0)
    begun = HParamsPluginData(session_start_info=start, version=0)
    end = HParamsPluginData(session_end_info=SessionEndInfo(status=Status.STATUS_SUCCESS), version=0)
    tags = (EXPERIMENT_TAG, SESSION_START_INFO_TAG, SESSION_END_INFO_TAG)
    return tuple(
        _one(tag=tag, metadata=_plugin(HPARAMS, data.SerializeToString()))
        for tag, data in zip(tags, (experiment, begun, end), strict=True)
    )
