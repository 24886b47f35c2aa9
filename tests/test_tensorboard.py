"""Event files: the tensorboard package reads what `SummaryWriter` wrote."""

from __future__ import annotations

import io
import wave

import corten
import matplotlib
import numpy as np
import pytest
from corten.utils.tensorboard import SummaryWriter
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

pytestmark = pytest.mark.cpu
matplotlib.use("Agg")


def read(folder):
    """What the package finds in a folder, nothing thinned out."""
    found = EventAccumulator(
        str(folder), size_guidance=dict.fromkeys(("scalars", "histograms", "images", "tensors"), 0)
    )
    return found.Reload()


def only_value(folder):
    """The one summary value of the one event file in a folder."""
    (path,) = folder.glob("events.out.tfevents.*")
    events = [Event.FromString(raw) for raw in RawEventFileLoader(str(path)).Load()]
    (value,) = [value for event in events for value in event.summary.value]
    return value


def picture(encoded):
    return np.array(Image.open(io.BytesIO(encoded)))


def noise(*shape):
    return corten.from_numpy(np.random.default_rng(0).random(shape))


def test_scalars_come_back_with_step_and_time(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 0.5, 1, walltime=10.0)
        writer.add_scalar("loss", corten.tensor(0.25, requires_grad=True), 2)
        writer.add_scalar("precise", 0.1, 3, new_style=True, double_precision=True)
    found = read(tmp_path)
    first, second = found.Scalars("loss")
    assert (first.step, first.wall_time, first.value) == (1, 10.0, 0.5)
    assert (second.step, second.value) == (2, 0.25)
    assert found.Tensors("precise")[0].tensor_proto.double_val == [0.1]


def test_scalars_of_one_chart_lie_in_folders_of_their_own(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalars("a/b", {"train": 1.0, "test": 2.0}, 3)
    assert read(tmp_path / "a_b_train").Scalars("a/b")[0].value == 1.0
    assert read(tmp_path / "a_b_test").Scalars("a/b")[0].value == 2.0


def test_a_histogram_counts_every_value_once(tmp_path):
    values = noise(1000) * 4 - 2
    with SummaryWriter(tmp_path) as writer:
        writer.add_histogram("own", values, 1)
        writer.add_histogram("equal", values, 1, bins=10)
        writer.add_histogram("few", values, 1, bins=10, max_bins=5)
        writer.add_histogram_raw("raw", 0, 1, 4, 3, 2.5, [0.5, 1], [1, 3], 1)
    found = read(tmp_path)
    for tag in ("own", "equal", "few"):
        histogram = found.Histograms(tag)[0].histogram_value
        assert sum(histogram.bucket) == histogram.num == 1000
        assert histogram.sum == pytest.approx(values.sum().item())
        assert histogram.sum_squares == pytest.approx(values.square().sum().item())
    expected, edges = np.histogram(values.numpy(), bins=10)
    equal = found.Histograms("equal")[0].histogram_value
    assert list(equal.bucket) == [0, *expected]
    assert list(equal.bucket_limit) == edges.tolist()
    assert list(found.Histograms("few")[0].histogram_value.bucket) == [0, *expected.reshape(5, 2).sum(1)]
    assert list(found.Histograms("raw")[0].histogram_value.bucket) == [1, 3]


@pytest.mark.parametrize("dataformats, axes", [("CHW", (0, 1, 2)), ("HWC", (1, 2, 0)), ("WHC", (2, 1, 0))])
def test_an_image_is_the_same_in_every_order_of_its_dims(tmp_path, dataformats, axes):
    image = noise(3, 4, 5)
    with SummaryWriter(tmp_path) as writer:
        writer.add_image("image", image.permute(axes), 1, dataformats=dataformats)
    found = read(tmp_path).Images("image")[0]
    assert (found.height, found.width) == (4, 5)
    expected = (image.float() * 255).byte().permute(1, 2, 0).numpy()
    assert np.array_equal(picture(found.encoded_image_string), expected)


def test_bytes_and_single_channels_are_images_too(tmp_path):
    grey = corten.arange(20, dtype=corten.uint8).reshape(4, 5)
    with SummaryWriter(tmp_path) as writer:
        writer.add_image("grey", grey, dataformats="HW")
    shown = picture(read(tmp_path).Images("grey")[0].encoded_image_string)
    assert np.array_equal(shown, np.stack([grey.numpy()] * 3, 2))


def test_a_batch_is_a_grid_of_eight_in_a_row(tmp_path):
    images = (noise(10, 3, 2, 4) * 255).byte()
    with SummaryWriter(tmp_path) as writer:
        writer.add_images("batch", images)
        writer.add_images("last", images.permute(0, 2, 3, 1), dataformats="NHWC")
    found = read(tmp_path)
    shown = picture(found.Images("batch")[0].encoded_image_string)
    assert shown.shape == (4, 32, 3)
    assert np.array_equal(shown[2:4, 4:8], images[9].permute(1, 2, 0).numpy())
    assert not shown[2:, 8:].any()
    assert np.array_equal(picture(found.Images("last")[0].encoded_image_string), shown)


def test_boxes_are_drawn_where_they_lie(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_image_with_boxes("boxes", corten.zeros(3, 30, 40), corten.tensor([[5.0, 6, 20, 25]]))
    shown = picture(read(tmp_path).Images("boxes")[0].encoded_image_string)
    assert shown[6, 12].tolist() == [255, 0, 0]
    assert shown[15, 12].tolist() == [0, 0, 0]
    assert shown[15, 35].tolist() == [0, 0, 0]


def test_a_figure_is_an_image_and_closed(tmp_path):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(2, 1), dpi=50)
    axes.plot([1, 2])
    with SummaryWriter(tmp_path) as writer:
        writer.add_figure("figure", figure, 1)
    found = read(tmp_path).Images("figure")[0]
    assert (found.height, found.width) == (50, 100)
    assert not plt.fignum_exists(figure.number)


def test_a_film_has_its_frames_and_their_time(tmp_path):
    film = (noise(1, 5, 3, 8, 6) * 255).byte()
    with SummaryWriter(tmp_path) as writer:
        writer.add_video("film", film, fps=10)
    shown = Image.open(io.BytesIO(only_value(tmp_path).image.encoded_image_string))
    assert (shown.format, shown.n_frames, shown.size, shown.info["duration"]) == ("GIF", 5, (6, 8), 100)


def test_sound_is_pcm_of_sixteen_bits(tmp_path):
    sound = noise(1, 100) * 2 - 1
    with SummaryWriter(tmp_path) as writer:
        writer.add_audio("sound", sound, sample_rate=8000)
    found = read(tmp_path).Audio("sound")[0]
    with wave.open(io.BytesIO(found.encoded_audio_string)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (1, 8000, 2)
        samples = np.frombuffer(file.readframes(100), "<i2")
    assert np.array_equal(samples, (sound[0] * 32767).short().numpy())
    with SummaryWriter(tmp_path) as writer, pytest.warns(UserWarning, match="amplitude out of range"):
        writer.add_audio("loud", sound * 3)


def test_text_tensors_and_curves_are_tensors_of_plugins(tmp_path):
    labels, predictions = corten.tensor([0, 1, 1, 0]), corten.tensor([0.1, 0.9, 0.6, 0.7])
    with SummaryWriter(tmp_path) as writer:
        writer.add_text("note", "*said*", 1)
        writer.add_tensor("table", corten.arange(6).reshape(2, 3))
        writer.add_pr_curve("curve", labels, predictions, num_thresholds=3)
    found = read(tmp_path)
    assert found.Tensors("note/text_summary")[0].tensor_proto.string_val == [b"*said*"]
    assert list(found.Tensors("table")[0].tensor_proto.int64_val) == list(range(6))
    curve = np.array(found.Tensors("curve")[0].tensor_proto.float_val).reshape(6, 3)
    assert curve[:4].tolist() == [[2, 2, 0], [2, 1, 0], [0, 1, 2], [0, 0, 2]]
    assert np.allclose(curve[4:], [[0.5, 2 / 3, 0], [1, 1, 0]])
    plugins = [found.summary_metadata[t].plugin_data.plugin_name for t in ("note/text_summary", "table", "curve")]
    assert plugins == ["text", "tensor", "pr_curves"]


def test_a_mesh_is_points_faces_and_colours(tmp_path):
    points, faces = noise(1, 4, 3), corten.tensor([[[0, 1, 2]]])
    with SummaryWriter(tmp_path) as writer:
        writer.add_mesh("mesh", points, faces=faces, config_dict={"camera": {"fov": 75}}, global_step=1)
    found = read(tmp_path)
    vertices = found.Tensors("mesh_VERTEX")[0].tensor_proto
    assert np.allclose(vertices.float_val, points.reshape(-1).numpy())
    assert list(found.Tensors("mesh_FACE")[0].tensor_proto.float_val) == [0, 1, 2]


def test_charts_name_the_scalars_they_show(tmp_path):
    from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

    with SummaryWriter(tmp_path) as writer:
        writer.add_custom_scalars(
            {"losses": {"both": ["Multiline", ["train", "test"]], "m": ["Margin", ["a", "b", "c"]]}}
        )
        with pytest.raises(AssertionError, match="three tags"):
            writer.add_custom_scalars_marginchart(["a"])
    layout = Layout.FromString(read(tmp_path).Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    both, margin = layout.category[0].chart
    assert list(both.multiline.tag) == ["train", "test"]
    assert (margin.margin.series[0].value, margin.margin.series[0].lower) == ("a", "b")


def test_hyperparameters_have_a_run_of_their_own(tmp_path):
    values = {"lr": 0.1, "batch": 4, "name": "adam", "flag": True, "none": None}
    with SummaryWriter(tmp_path) as writer:
        writer.add_hparams(values, {"accuracy": corten.tensor(0.5)}, {"batch": [2, 4]}, run_name="first", global_step=7)
    found = read(tmp_path / "first")
    assert (found.Scalars("accuracy")[0].value, found.Scalars("accuracy")[0].step) == (0.5, 7)
    content = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    start = HParamsPluginData.FromString(content).session_start_info.hparams
    assert {k: v.WhichOneof("kind") for k, v in start.items()} == {
        "lr": "number_value", "batch": "number_value", "name": "string_value", "flag": "bool_value",
    }  # fmt: skip
    content = found.summary_metadata["_hparams_/experiment"].plugin_data.content
    infos = {i.name: i for i in HParamsPluginData.FromString(content).experiment.hparam_infos}
    assert [v.number_value for v in infos["batch"].domain_discrete.values] == [2, 4]


def test_a_graph_has_the_operators_in_their_modules(tmp_path):
    model = corten.nn.Sequential(corten.nn.Linear(3, 4), corten.nn.ReLU(), corten.nn.Linear(4, 2))
    with SummaryWriter(tmp_path) as writer:
        writer.add_graph(model, corten.ones(5, 3))
    graph = GraphDef()
    graph.CopyFrom(read(tmp_path).Graph())
    steps = {node.name: node for node in graph.node}
    linear = steps["Sequential/Linear[2]/linear"]
    assert set(linear.input) == {"Sequential/ReLU[1]/relu", "Sequential/2/weight", "Sequential/2/bias"}
    assert [d.size for d in linear.attr["_output_shapes"].list.shape[0].dim] == [5, 2]
    assert list(steps["output/output"].input) == [linear.name]
    assert steps["Sequential/Linear[0]/linear"].input[0] == "input/x"
    with SummaryWriter(tmp_path) as writer, pytest.raises(TypeError, match="expected a corten"):
        writer.add_graph(3)


def test_embeddings_are_files_for_the_projector(tmp_path):
    vectors = noise(4, 3)
    with SummaryWriter(tmp_path) as writer:
        writer.add_embedding(vectors, ["a", "b", "c", "d"], noise(4, 3, 5, 6), global_step=1, tag="some/tag")
        writer.add_embedding(vectors, [["x", i] for i in range(4)], metadata_header=["name", "number"])
        with pytest.raises(AssertionError, match="#labels"):
            writer.add_embedding(vectors, ["a"])
    place = tmp_path / "00001" / "some%%2ftag"
    assert np.allclose(np.loadtxt(place / "tensors.tsv"), vectors.numpy())
    assert (place / "metadata.tsv").read_text() == "a\nb\nc\nd\n"
    with Image.open(place / "sprite.png") as sprite:
        assert sprite.size == (12, 10)
    assert (tmp_path / "00000" / "default" / "metadata.tsv").read_text().splitlines()[:2] == ["name\tnumber", "x\t0"]
    config = (tmp_path / "projector_config.pbtxt").read_text()
    assert config.count("embeddings {") == 2
    assert 'tensor_name: "some/tag:00001"' in config


def test_files_are_flushed_closed_and_begun_again(tmp_path):
    writer = SummaryWriter(tmp_path / "runs", filename_suffix=".end")
    writer.add_scalar("x", 1.0, 1)
    writer.flush()
    assert read(tmp_path / "runs").Scalars("x")[0].value == 1.0
    writer.close()
    writer.add_scalar("y", 1.0, 1)
    writer.close()
    assert len(list((tmp_path / "runs").glob("*.end"))) >= 1
    assert read(tmp_path / "runs").Tags()["scalars"] == ["x", "y"]


def test_what_a_crashed_run_left_is_purged(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        for step in range(5):
            writer.add_scalar("x", step, step)
    with SummaryWriter(tmp_path, purge_step=3, filename_suffix=".again") as writer:
        writer.add_scalar("x", 30, 3)
    assert [event.value for event in read(tmp_path).Scalars("x")] == [0, 1, 2, 30]


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda w: w.add_scalar("x", corten.ones(2)), AssertionError, "one element"),
        (lambda w: w.add_scalar("x", [1.0]), NotImplementedError, "list"),
        (lambda w: w.add_histogram("x", corten.empty(0)), ValueError, "no element"),
        (lambda w: w.add_histogram("x", corten.tensor([float("nan")])), ValueError, "empty"),
        (lambda w: w.add_image("x", corten.ones(2, 3)), AssertionError, "input format are different"),
        (lambda w: w.add_image("x", corten.ones(3, 3, 3), dataformats="CHH"), AssertionError, "twice"),
        (lambda w: w.add_video("x", corten.ones(2, 3)), ValueError, r"\(N, T, C, H, W\)"),
        (lambda w: w.add_audio("x", corten.ones(2, 5)), AssertionError, "1 dimensional"),
        (lambda w: w.add_pr_curve("x", corten.ones(2), corten.ones(3)), ValueError, "2 labels and 3"),
        (lambda w: w.add_mesh("x", corten.ones(3)), ValueError, "BxNx3"),
        (lambda w: w.add_text("x", 3), TypeError, "must be a str"),
        (lambda w: w.add_hparams([1], {}), TypeError, "dictionary"),
        (lambda w: w.add_hparams({"a": [1]}, {}), ValueError, "int, float, str, bool"),
        (lambda w: w.add_hparams({"a": 1}, {}, {"b": [1]}), TypeError, "same type"),
        (lambda w: w.add_tensor("x", np.array(["a"])), ValueError, "unsupported tensor dtype"),
        (lambda w: w.add_onnx_graph("x"), NotImplementedError, "no ONNX"),
    ],
)
def test_what_no_entry_can_hold_is_refused(tmp_path, call, error, text):
    with SummaryWriter(tmp_path) as writer, pytest.raises(error, match=text):
        call(writer)
