"""Watch a small network learn: what each of its neurons says of every point of the plane, drawn while it trains.

Two spirals of points are to be told apart. Each column of small pictures is a hidden layer, each picture a neuron's
activation over the plane, from -1 (blue) over 0 (white) to 1 (orange); the large picture is the network's output with
the points on it. corten trains, wgpu-py draws, and the activations pass from one to the other as buffers. Without a
window, or with --offscreen, only the last frame is kept, as a picture.
"""

from __future__ import annotations

import math
from itertools import pairwise

import corten
import wgpu
from corten import nn
from corten.interop.wgpu import to_wgpu
from matplotlib import pyplot
from rendercanvas.offscreen import OffscreenRenderCanvas
from tqdm import tqdm

from common import arguments, parse, positive, print_result

LAYERS = 3
WIDTH = 8  # neurons of a layer, and the height of the picture in tiles
POINTS = 128  # of a spiral
SIDE = 64  # pixels of the plane that a tile shows, along each side
TILE = 80  # pixels of a tile in the window
EXTENT = 1.2  # the plane that is drawn reaches from -EXTENT to EXTENT
TARGET = 0.98

SHADER = """
const LAYERS = {LAYERS}u;
const WIDTH = {WIDTH}u;
const SIDE = {SIDE}u;
const TILE = {TILE}.0;
const EXTENT = {EXTENT};

// The tiles of the layers, one below the other, and then the output: each SIDE x SIDE.
@group(0) @binding(0) var<storage, read> activations: array<f32>;

fn colour(value: f32) -> vec3<f32> {
    let end = select(vec3<f32>(0.05, 0.35, 0.75), vec3<f32>(0.95, 0.50, 0.10), value > 0.0);
    return mix(vec3<f32>(1.0), end, min(abs(value), 1.0));
}

// One triangle that covers the window.
@vertex fn window(@builtin(vertex_index) i: u32) -> @builtin(position) vec4<f32> {
    return vec4<f32>(f32(i & 1u) * 4.0 - 1.0, f32(i >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment fn tiles(@builtin(position) pixel: vec4<f32>) -> @location(0) vec4<f32> {
    let place = pixel.xy / TILE;
    let small = place.x < f32(LAYERS);
    var tile = LAYERS * WIDTH;
    var inside = (place - vec2<f32>(f32(LAYERS), 0.0)) / f32(WIDTH);
    if small {
        tile = u32(place.x) * WIDTH + u32(place.y);
        inside = fract(place);
        if any(inside < vec2<f32>(0.03)) {
            return vec4<f32>(0.2, 0.2, 0.2, 1.0);
        }
    }
    let at = min(vec2<u32>(inside * f32(SIDE)), vec2<u32>(SIDE - 1u));
    return vec4<f32>(colour(activations[(tile * SIDE + at.y) * SIDE + at.x]), 1.0);
}

struct Point {
    @builtin(position) position: vec4<f32>,
    @location(0) corner: vec2<f32>,
    @location(1) label: f32,
}

// A square around each point: x, y and -1 or 1 for its class.
@vertex fn square(@builtin(vertex_index) i: u32, @location(0) point: vec3<f32>) -> Point {
    let corner = vec2<f32>(f32(i & 1u), f32(i >> 1u)) * 2.0 - 1.0;
    let size = vec2<f32>(f32(LAYERS + WIDTH), f32(WIDTH));
    let middle = vec2<f32>(f32(LAYERS), 0.0) + (point.xy / EXTENT + 1.0) * 0.5 * f32(WIDTH);
    let place = (middle + corner * 0.09) / size * 2.0 - 1.0;
    return Point(vec4<f32>(place.x, -place.y, 0.0, 1.0), corner, point.z);
}

@fragment fn disc(p: Point) -> @location(0) vec4<f32> {
    let distance = length(p.corner);
    if distance > 1.0 {
        discard;
    }
    return vec4<f32>(select(colour(p.label), vec3<f32>(0.1), distance > 0.7), 1.0);
}
"""


def spirals() -> tuple[corten.Tensor, corten.Tensor]:
    """Points `(2N, 2)` of two spirals that wind around each other once, and their classes -1 and 1 `(2N, 1)`."""
    radius = corten.linspace(0.1, 1, POINTS)
    points, classes = [], []
    for turn, label in ((0.0, -1.0), (math.pi, 1.0)):
        angle = 2 * math.pi * radius + turn
        spiral = corten.stack([radius * angle.cos(), radius * angle.sin()], 1)
        points.append(spiral + 0.01 * corten.randn(POINTS, 2))
        classes.append(corten.full((POINTS, 1), label))
    return corten.cat(points), corten.cat(classes)


def plane() -> corten.Tensor:
    """The middles of the pixels of a tile `(SIDE * SIDE, 2)`, rows from top to bottom."""
    middles = ((corten.arange(SIDE) + 0.5) / SIDE * 2 - 1) * EXTENT
    y, x = corten.meshgrid(middles, middles, indexing="ij")
    return corten.stack([x, y], 2).reshape(-1, 2)


class Network(nn.Module):
    """Points `(N, 2)` to scores `(N, 1)` through hidden layers of `tanh`; remembers what they said."""

    def __init__(self) -> None:
        super().__init__()
        widths = [2] + [WIDTH] * LAYERS
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.output = nn.Linear(WIDTH, 1)

    def layers(self, x: corten.Tensor) -> list[corten.Tensor]:
        """The activations of every hidden layer `(N, WIDTH)`, and the scores `(N, 1)`."""
        said = []
        for layer in self.hidden:
            x = layer(x).tanh()
            said.append(x)
        return [*said, self.output(x)]

    def forward(self, x: corten.Tensor) -> corten.Tensor:
        return self.layers(x)[-1]


class Picture:
    """Draws activations into a canvas of rendercanvas."""

    def __init__(self, canvas, points: corten.Tensor, classes: corten.Tensor) -> None:
        adapter = wgpu.gpu.request_adapter_sync(power_preference="high-performance")
        self.device = adapter.request_device_sync()
        self.context = canvas.get_wgpu_context()
        target = {"format": self.context.get_preferred_format(adapter)}
        self.context.configure(device=self.device, format=target["format"])
        constants = {name: globals()[name] for name in ("LAYERS", "WIDTH", "SIDE", "TILE", "EXTENT")}
        text = SHADER
        for name, value in constants.items():
            text = text.replace("{" + name + "}", str(value))
        module = self.device.create_shader_module(code=text)
        self.points = to_wgpu(corten.cat([points, classes], 1), self.device)
        self.count = len(points)
        self.activations = to_wgpu(corten.zeros(LAYERS * WIDTH + 1, SIDE, SIDE), self.device)
        attribute = {"format": "float32x3", "offset": 0, "shader_location": 0}
        layout = {"array_stride": 12, "step_mode": "instance", "attributes": [attribute]}

        def pipeline(vertex: str, fragment: str, topology: str, buffers: list):
            return self.device.create_render_pipeline(
                layout="auto",
                vertex={"module": module, "entry_point": vertex, "buffers": buffers},
                primitive={"topology": topology},
                fragment={"module": module, "entry_point": fragment, "targets": [target]},
            )

        self.tiles = pipeline("window", "tiles", "triangle-list", [])
        self.discs = pipeline("square", "disc", "triangle-strip", [layout])
        self.group = self.device.create_bind_group(
            layout=self.tiles.get_bind_group_layout(0),
            entries=[{"binding": 0, "resource": {"buffer": self.activations}}],
        )

    def draw(self, network: Network, pixels: corten.Tensor) -> None:
        """Shows what the network's neurons say of the pixels of the plane."""
        with corten.no_grad():
            *hidden, scores = network.layers(pixels)
            tiles = corten.cat([*hidden, (scores / 2).tanh()], 1).T
        to_wgpu(tiles, self.device, out=self.activations)
        encoder = self.device.create_command_encoder()
        view = self.context.get_current_texture().create_view()
        attachment = {"view": view, "load_op": "clear", "store_op": "store", "clear_value": (0, 0, 0, 1)}
        drawing = encoder.begin_render_pass(color_attachments=[attachment])
        drawing.set_pipeline(self.tiles)
        drawing.set_bind_group(0, self.group)
        drawing.draw(3)
        drawing.set_pipeline(self.discs)
        drawing.set_vertex_buffer(0, self.points)
        drawing.draw(4, self.count)
        drawing.end()
        self.device.queue.submit([encoder.finish()])


def train(network: Network, optimizer, points: corten.Tensor, classes: corten.Tensor, steps: int) -> float:
    """Takes some steps on all points; the loss of the last."""
    for _ in range(steps):
        loss = nn.functional.softplus(-classes * network(points)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def open_window(size: tuple[int, int]):
    """A window and its loop, or none where this system has no way to show one."""
    try:
        from rendercanvas.auto import RenderCanvas, loop

        return RenderCanvas(size=size, title="live activations", update_mode="continuous", max_fps=60), loop
    except (ImportError, RuntimeError) as error:
        print("no window:", str(error).splitlines()[0], "`pip install glfw` brings windows.")
        return None


def parse_arguments():
    parser = arguments(__doc__, epochs=1500, out="live_activations", resumes=False)
    parser.add_argument("--epochs-per-frame", type=positive, default=10, help="steps of training between two frames")
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--offscreen", action="store_true", help="no window: keep the last frame as a picture")
    return parse(parser)


def main() -> None:
    args = parse_arguments()
    points, classes = spirals()
    network = Network().to(args.device)
    optimizer = corten.optim.AdamW(network.parameters(), lr=args.lr)
    there = [t.to(args.device) for t in (points, classes, plane())]
    size = ((LAYERS + WIDTH) * TILE, WIDTH * TILE)
    opened = None if args.offscreen else open_window(size)
    canvas = OffscreenRenderCanvas(size=size, pixel_ratio=1) if opened is None else opened[0]
    picture = Picture(canvas, points, classes)
    frames = -(-args.epochs // args.epochs_per_frame)
    progress = tqdm(total=frames, desc="training", unit="frame")

    def frame() -> None:
        if progress.n < frames:
            loss = train(network, optimizer, there[0], there[1], args.epochs_per_frame)
            progress.set_postfix(loss=f"{loss:.4f}")
            progress.update()
        picture.draw(network, there[2])
        if progress.n == frames and opened is not None:
            canvas.set_title("live activations: trained; close the window to end")

    canvas.request_draw(frame)
    if opened is None:
        for _ in range(frames):
            image = canvas.draw()
        pyplot.imsave(args.out / "activations.png", image)
        print("wrote", args.out / "activations.png")
    else:
        opened[1].run()
    progress.close()
    with corten.no_grad():
        right = (network(there[0]) * there[1] > 0).float().mean().item()
    print_result("live_activations", "accuracy", right, TARGET)


if __name__ == "__main__":
    main()
