"""`SummaryWriter`: adds what a program tells to event files in a folder."""

import os
import socket
import time
from datetime import datetime

import corten
from tensorboard.compat.proto import event_pb2
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from . import summary
from .arrays import as_array, as_number
from .embedding import encoded


class FileWriter:
    """One event file in a folder; a thread writes to it.

    Args:
        log_dir: the folder.
        max_queue: how many events may wait.
        flush_secs: how often they are written, in seconds.
        filename_suffix: put behind the file's name.
    """

    def __init__(self, log_dir, max_queue=10, flush_secs=120, filename_suffix=""):
        self.event_writer = EventFileWriter(os.fspath(log_dir), max_queue, flush_secs, filename_suffix)

    def get_logdir(self):
        """The folder."""
        return self.event_writer.get_logdir()

    def add_event(self, event, step=None, walltime=None):
        """Adds an event, with its step and its time in seconds, now where none is given."""
        event.wall_time = time.time() if walltime is None else walltime
        if step is not None:
            event.step = int(step)
        self.event_writer.add_event(event)

    def add_summary(self, summary, global_step=None, walltime=None):
        """Adds an event of a summary."""
        self.add_event(Event(summary=summary), global_step, walltime)

    def add_graph(self, graph, walltime=None):
        """Adds an event of a graph."""
        self.add_event(Event(graph_def=graph.SerializeToString()), None, walltime)

    def flush(self):
        """Writes what waits."""
        self.event_writer.flush()

    def close(self):
        """Writes what waits and closes the file."""
        self.event_writer.close()

    def reopen(self):
        """Refused: a closed file stays closed; a `SummaryWriter` begins another one by itself."""
        raise NotImplementedError("FileWriter.reopen: make another FileWriter in the same folder")


class SummaryWriter:
    """Adds entries to event files in a folder, for TensorBoard to show; also a context manager.

    Every method takes ``global_step``, the step to record, and ``walltime``, seconds since 1970 in place of now.

    Args:
        log_dir: the folder, by default ``runs/TIME_HOST`` with ``comment`` behind it.
        purge_step: entries of this step and later ones, which a run that crashed left in the folder, are hidden.
        max_queue: how many events may wait before one more writes them.
        flush_secs: how often they are written, in seconds.
        filename_suffix: put behind the names of files.
    """

    def __init__(self, log_dir=None, comment="", purge_step=None, max_queue=10, flush_secs=120, filename_suffix=""):
        if not log_dir:
            now = datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir, self.purge_step = log_dir, purge_step
        self.max_queue, self.flush_secs, self.filename_suffix = max_queue, flush_secs, filename_suffix
        self.file_writer, self.all_writers = None, None
        self._embeddings = []
        self._get_file_writer()
        self.default_bins = summary.exponential_bins()

    def _writer_in(self, folder):
        return FileWriter(folder, self.max_queue, self.flush_secs, self.filename_suffix)

    def _get_file_writer(self):
        if self.all_writers is None or self.file_writer is None:
            self.file_writer = self._writer_in(self.log_dir)
            self.all_writers = {self.file_writer.get_logdir(): self.file_writer}
            if self.purge_step is not None:
                step = self.purge_step
                self.file_writer.add_event(Event(step=step, file_version="brain.Event:2"))
                self.file_writer.add_event(Event(step=step, session_log=event_pb2.SessionLog(status=SessionLog.START)))
                self.purge_step = None
        return self.file_writer

    def get_logdir(self):
        """The folder."""
        return self.log_dir

    def _add(self, made, global_step, walltime):
        self._get_file_writer().add_summary(made, global_step, walltime)

    # -- numbers ------------------------------------------------------------------------------------------------------

    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None, new_style=False, double_precision=False):
        """A number, or a tensor with one element.

        Args:
            new_style: as a tensor, with ``double_precision`` of float64.
        """
        made = summary.scalar(tag, scalar_value, new_style=new_style, double_precision=double_precision)
        self._add(made, global_step, walltime)

    def add_scalars(self, main_tag, tag_scalar_dict, global_step=None, walltime=None):
        """Numbers of one chart, each in a folder of its own, which TensorBoard shows as a run."""
        walltime = time.time() if walltime is None else walltime
        folder = self._get_file_writer().get_logdir()
        for tag, value in tag_scalar_dict.items():
            place = f"{folder}/{main_tag.replace('/', '_')}_{tag}"
            if place not in self.all_writers:
                self.all_writers[place] = self._writer_in(place)
            self.all_writers[place].add_summary(summary.scalar(main_tag, value), global_step, walltime)

    def add_tensor(self, tag, tensor, global_step=None, walltime=None):
        """A tensor of any shape, as it is."""
        self._add(summary.tensor(tag, tensor), global_step, walltime)

    def add_histogram(self, tag, values, global_step=None, bins="tensorflow", walltime=None, max_bins=None):
        """How values of any shape are distributed.

        Args:
            bins: "tensorflow" for TensorBoard's own edges, or what `numpy.histogram` takes.
            max_bins: above it, neighbouring bins are put together.
        """
        if isinstance(bins, str) and bins == "tensorflow":
            bins = self.default_bins
        elif isinstance(bins, corten.Tensor):
            bins = bins.tolist()
        self._add(summary.histogram(tag, values, bins, max_bins), global_step, walltime)

    def add_histogram_raw(
        self,
        tag,
        min,
        max,
        num,
        sum,
        sum_squares,
        bucket_limits,
        bucket_counts,
        global_step=None,
        walltime=None,
    ):
        """A histogram that was counted elsewhere.

        Args:
            bucket_limits: the upper edge of each bucket.
            bucket_counts: the number of values in each, as many.
        """
        if len(bucket_limits) != len(bucket_counts):
            raise ValueError(
                f"len(bucket_limits) != len(bucket_counts): {len(bucket_limits)} limits and {len(bucket_counts)} counts"
            )
        limits, counts = (v.tolist() if hasattr(v, "tolist") else list(v) for v in (bucket_limits, bucket_counts))
        made = summary.histogram_raw(tag, min, max, num, sum, sum_squares, limits, counts)
        self._add(made, global_step, walltime)

    # -- pictures and sound -------------------------------------------------------------------------------------------

    def add_image(self, tag, img_tensor, global_step=None, walltime=None, dataformats="CHW"):
        """An image of 1, 3 or 4 channels, floating-point in [0, 1] or bytes in [0, 255].

        Args:
            dataformats: what its dims are: "CHW", "HWC" or "HW".
        """
        self._add(summary.image(tag, img_tensor, dataformats=dataformats), global_step, walltime)

    def add_images(self, tag, img_tensor, global_step=None, walltime=None, dataformats="NCHW"):
        """A batch of images as a grid with eight of them in a row.

        Args:
            dataformats: what its dims are: "NCHW" or "NHWC".
        """
        self._add(summary.image(tag, img_tensor, dataformats=dataformats), global_step, walltime)

    def add_image_with_boxes(
        self,
        tag,
        img_tensor,
        box_tensor,
        global_step=None,
        walltime=None,
        rescale=1,
        dataformats="CHW",
        labels=None,
    ):
        """An image with boxes drawn into it.

        Args:
            box_tensor: ``(N, 4)``, left, top, right and bottom in pixels.
            labels: a text for each box.
        """
        made = summary.image_boxes(tag, img_tensor, box_tensor, rescale, dataformats, labels)
        self._add(made, global_step, walltime)

    def add_figure(self, tag, figure, global_step=None, close=True, walltime=None):
        """A figure of matplotlib, or a list of figures of one size, as an image.

        Args:
            close: the figures are closed afterwards.
        """
        from .figures import as_pixels

        several = isinstance(figure, (list, tuple))
        self.add_image(tag, as_pixels(figure, close), global_step, walltime, "NCHW" if several else "CHW")

    def add_video(self, tag, vid_tensor, global_step=None, fps=4, walltime=None):
        """Films ``(N, T, C, H, W)``, floating-point in [0, 1] or bytes, as an animated GIF of ``fps`` frames a second.

        pillow encodes it; PyTorch's needs moviepy.
        """
        self._add(summary.video(tag, vid_tensor, fps), global_step, walltime)

    def add_audio(self, tag, snd_tensor, global_step=None, sample_rate=44100, walltime=None):
        """Sound ``(1, L)`` in [-1, 1] at a rate in Hz."""
        self._add(summary.audio(tag, snd_tensor, sample_rate=sample_rate), global_step, walltime)

    # -- text, curves, meshes -----------------------------------------------------------------------------------------

    def add_text(self, tag, text_string, global_step=None, walltime=None):
        """A text, shown as Markdown."""
        self._add(summary.text(tag, text_string), global_step, walltime)

    def add_pr_curve(self, tag, labels, predictions, global_step=None, num_thresholds=127, weights=None, walltime=None):
        """Precision over recall.

        Args:
            labels: truth values.
            predictions: as many probabilities of being true, in [0, 1].
            weights: a weight for each.
        """
        made = summary.pr_curve(tag, labels, predictions, num_thresholds, weights)
        self._add(made, global_step, walltime)

    def add_pr_curve_raw(
        self,
        tag,
        true_positive_counts,
        false_positive_counts,
        true_negative_counts,
        false_negative_counts,
        precision,
        recall,
        global_step=None,
        num_thresholds=127,
        weights=None,
        walltime=None,
    ):
        """Precision over recall that was counted elsewhere, a number for each threshold."""
        rows = (
            true_positive_counts,
            false_positive_counts,
            true_negative_counts,
            false_negative_counts,
            precision,
            recall,
        )
        self._add(summary.pr_curve_raw(tag, rows, num_thresholds), global_step, walltime)

    def add_custom_scalars(self, layout):
        """Charts of several scalars: ``{category: {title: ["Multiline" or "Margin", tags]}}``; once for a writer."""
        self._add(summary.custom_scalars(layout), None, None)

    def add_custom_scalars_multilinechart(self, tags, category="default", title="untitled"):
        """One chart with a line for each tag."""
        self.add_custom_scalars({category: {title: ["Multiline", tags]}})

    def add_custom_scalars_marginchart(self, tags, category="default", title="untitled"):
        """One chart with a line and a band: the tags of value, lower and upper end."""
        if len(tags) != 3:
            raise AssertionError(f"a margin chart has three tags, value, lower and upper, got {tags}")
        self.add_custom_scalars({category: {title: ["Margin", tags]}})

    def add_mesh(self, tag, vertices, colors=None, faces=None, config_dict=None, global_step=None, walltime=None):
        """Points in space ``(B, N, 3)`` with colours ``(B, N, 3)`` and faces ``(B, M, 3)``, indices of points.

        Args:
            config_dict: camera, light and material for Three.js.
        """
        self._add(summary.mesh(tag, vertices, colors, faces, config_dict), global_step, walltime)

    # -- models, embeddings, hyperparameters --------------------------------------------------------------------------

    def add_graph(self, model, input_to_model=None, verbose=False, use_strict_trace=True):
        """The operators that a module calls, recorded while it is called once without gradients.

        Args:
            input_to_model: the module's arguments, a tensor or a tuple.
            verbose: print the steps as well.
            use_strict_trace: accepted; nothing is traced.
        """
        from .graph import graph

        self._get_file_writer().add_graph(graph(model, input_to_model, verbose))

    def add_onnx_graph(self, prototxt):
        """Refused: there is no ONNX."""
        raise NotImplementedError("add_onnx_graph: corten has no ONNX; add_graph shows a module")

    def add_embedding(self, mat, metadata=None, label_img=None, global_step=None, tag="default", metadata_header=None):
        """Vectors for the projector.

        Args:
            mat: ``(N, D)``.
            metadata: a label for each, or a list of columns where there is a ``metadata_header``.
            label_img: an image for each, ``(N, C, H, W)``.
        """
        from . import embedding

        vectors = as_array(mat)
        if vectors.ndim != 2:
            raise AssertionError(
                f"mat should be 2D, where mat.size(0) is the number of data points, got {vectors.shape}"
            )
        if metadata is not None and len(metadata) != len(vectors):
            raise AssertionError(f"#labels should equal with #data points, got {len(metadata)} and {len(vectors)}")
        pictures = None
        if label_img is not None:
            pictures = as_array(label_img)
            if len(pictures) != len(vectors):
                raise AssertionError(f"#images should equal with #data points, got {len(pictures)} and {len(vectors)}")
        step = 0 if global_step is None else global_step
        subfolder = f"{str(step).zfill(5)}/{encoded(tag)}"
        folder = self._get_file_writer().get_logdir()
        info = embedding.write(folder, subfolder, tag, step, vectors, metadata, metadata_header, pictures)
        # Vectors of the same tag and step take the place of the former ones, whose files they overwrote.
        self._embeddings = [e for e in self._embeddings if e.tensor_name != info.tensor_name] + [info]
        embedding.write_config(folder, self._embeddings)

    def add_hparams(self, hparam_dict, metric_dict, hparam_domain_discrete=None, run_name=None, global_step=None):
        """Hyperparameters of a run and the metrics to compare, in a folder of their own.

        Args:
            hparam_dict: numbers, texts, truth values or None by name.
            metric_dict: numbers by tag.
            hparam_domain_discrete: for names, the values that are possible.
            run_name: the folder's name, by default the time.
        """
        made = summary.hparams(hparam_dict, metric_dict, hparam_domain_discrete)
        metrics = {tag: as_number(value, "add_hparams") for tag, value in metric_dict.items()}
        folder = os.path.join(self._get_file_writer().get_logdir(), run_name or str(time.time()))
        with SummaryWriter(log_dir=folder) as writer:
            for one in made:
                writer.file_writer.add_summary(one, global_step)
            for tag, value in metrics.items():
                writer.add_scalar(tag, value, global_step)

    # -- the files ----------------------------------------------------------------------------------------------------

    def flush(self):
        """Writes what waits to the files."""
        for writer in (self.all_writers or {}).values():
            writer.flush()

    def close(self):
        """Writes what waits and closes the files; an entry after it begins another file."""
        for writer in (self.all_writers or {}).values():
            writer.flush()
            writer.close()
        self.file_writer = self.all_writers = None

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_val, exc_tb):
        self.close()
