//! Operators over windows and borders of the last dims. Each output element is gathered by one invocation, gradients too, so
//! that sums come out the same every time.

use super::device::Gpu;
use super::encoder::Dispatch;
use super::pipelines::Access;
use super::resize;
use super::rows::{self, Parameters, WORKGROUP};
use super::text::{Text, arithmetic, extremes};
use super::view::View;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::Window;
use crate::params::{AvgPoolParams, BlockParams, PadMode, PadParams, PoolParams};
use std::sync::Arc;

const PLANES: &str = include_str!("../../../../shaders/window.wgsl");
const SLIDING: &str = include_str!("../../../../shaders/window/sliding.wgsl");
const ADAPTIVE: &str = include_str!("../../../../shaders/window/adaptive.wgsl");
const DIVISOR: &str = include_str!("../../../../shaders/window/divisor.wgsl");
const MAX: &str = include_str!("../../../../shaders/window/max.wgsl");
const AVERAGE: &str = include_str!("../../../../shaders/window/average.wgsl");
const AVERAGE_GRAD: &str = include_str!("../../../../shaders/window/average_grad.wgsl");
const MAX_SHARED: &str = include_str!("../../../../shaders/window/max_shared.wgsl");
const AVERAGE_SHARED: &str = include_str!("../../../../shaders/window/average_shared.wgsl");
const EACH: &str = include_str!("../../../../shaders/window/each.wgsl");
const SHARED: &str = include_str!("../../../../shaders/window/shared.wgsl");
const SPREAD: &str = include_str!("../../../../shaders/window/spread.wgsl");
const READERS_SUM: &str = include_str!("../../../../shaders/window/readers_sum.wgsl");
const TAKE: &str = include_str!("../../../../shaders/window/take.wgsl");
const PAD: &str = include_str!("../../../../shaders/window/pad.wgsl");
const BLOCKS: &str = include_str!("../../../../shaders/blocks.wgsl");

/// Windows of at least this many elements are shared by a workgroup.
const LARGE: usize = 512;
/// The first vector of an operator's own parameters, and the words of all vectors.
const OWN: usize = 6;
const HEADER: usize = 64;

pub fn window(gpu: &Arc<Gpu>, w: &Window, ins: &[View], outs: &[View]) -> Result<()> {
    let (x, y) = (&ins[0], &outs[0]);
    match w {
        Window::MaxPool(p) => max(gpu, p.spatial, Some(p), x, outs),
        Window::AdaptiveMaxPool(s) => max(gpu, *s as usize, None, x, outs),
        Window::SpreadPlanes(s, p) => spread(gpu, *s as usize, p.as_ref(), ins, y),
        Window::TakePlanes(s) => take(gpu, *s as usize, ins, y),
        Window::AvgPool(p) => average(gpu, p.window.spatial, Some(p), x, y),
        Window::AdaptiveAvgPool(s) => average(gpu, *s as usize, None, x, y),
        Window::AvgPoolGrad(p) => average_grad(gpu, p.window.spatial, Some(p), x, y),
        Window::AdaptiveAvgPoolGrad(s) => average_grad(gpu, *s as usize, None, x, y),
        Window::Pad(p) => pad(gpu, p, false, x, y),
        Window::PadGrad(p) => pad(gpu, p, true, x, y),
        Window::Resize(p) => resize::resize(gpu, p, x, y),
        Window::ResizeGrad(p) => resize::resize_grad(gpu, p, x, y),
        Window::Im2col(p) => blocks(gpu, p, false, x, y),
        Window::Col2im(p) => blocks(gpu, p, true, x, y),
        Window::Sample(_) | Window::SampleImageGrad(_) | Window::SampleGridGrad(_) => {
            Err(Error::Internal(format!("{} is put together from other operators on a GPU", w.name())))
        }
    }
}

/// The last `spatial` entries as `[depth, height, width]`.
fn volume(of: &[usize], spatial: usize, fill: usize) -> [usize; 3] {
    let mut out = [fill; 3];
    out[3 - spatial..].copy_from_slice(&of[of.len() - spatial..]);
    out
}

/// The sizes of a tensor's planes.
pub fn sizes(v: &View, spatial: usize) -> [usize; 3] {
    volume(v.shape, spatial, 1)
}

/// One launch over the planes of its tensors.
pub struct Planes<'a> {
    pub spatial: usize,
    pub x: &'a View<'a>,
    pub z: Option<&'a View<'a>>,
    pub y: &'a View<'a>,
    /// Sizes of the operator's input and output; the gradient's are the other way around.
    pub input: [usize; 3],
    pub output: [usize; 3],
    /// The operator's own vectors: a word, then three by axis.
    pub own: Vec<[u32; 4]>,
}

impl<'a> Planes<'a> {
    /// From the operator's input to its output.
    pub fn onward(spatial: usize, x: &'a View<'a>, y: &'a View<'a>) -> Planes<'a> {
        Planes { spatial, x, z: None, y, input: sizes(x, spatial), output: sizes(y, spatial), own: Vec::new() }
    }

    /// From the gradient of the output to that of the input.
    pub fn backward(spatial: usize, x: &'a View<'a>, y: &'a View<'a>) -> Planes<'a> {
        Planes { spatial, x, z: None, y, input: sizes(y, spatial), output: sizes(x, spatial), own: Vec::new() }
    }

    pub fn axes(&mut self, first: u32, axes: [usize; 3]) {
        let [d, h, w] = axes.map(|n| n as u32);
        self.own.push([first, d, h, w]);
    }

    fn parameters(&self) -> Parameters {
        let leading = self.y.shape.len() - self.spatial;
        let mut words = [0; HEADER];
        let mut put = |k: usize, v: [u32; 4]| words[4 * k..4 * k + 4].copy_from_slice(&v.map(|w| w as usize));
        let with = |first: usize, axes: [usize; 3]| [first, axes[0], axes[1], axes[2]].map(|n| n as u32);
        let strides = |v: &View| volume(v.strides, self.spatial, 0);
        put(0, [self.y.numel() as u32, 0, 0, 0]);
        put(1, with(0, strides(self.x)));
        put(2, self.z.map_or([0; 4], |z| with(0, strides(z))));
        put(3, with(0, strides(self.y)));
        put(4, with(0, self.input));
        put(5, with(0, self.output));
        for (k, v) in self.own.iter().enumerate() {
            put(OWN + k, *v);
        }
        put(15, with(0, sizes(self.y, self.spatial)));
        let mut p = Parameters::new(&words);
        p.point(4, self.x.offset, &rows::axes(self.x, 0..leading));
        match self.z {
            Some(z) => p.point(8, z.offset, &rows::axes(z, 0..leading)),
            None => p.point(8, 0, &[]),
        }
        p.point(12, 0, &rows::axes(self.y, 0..leading));
        p
    }

    /// Launches a kernel whose text declares x, z where there is one, and y, with a body that computes one element.
    pub fn launch(
        &self,
        gpu: &Gpu,
        name: &'static str,
        key: Vec<u32>,
        text: impl FnOnce(Text) -> Text,
        body: &str,
    ) -> Result<()> {
        self.launch_as(gpu, name, key, text, body, None)
    }

    /// As [`Planes::launch`]; with `shared`, the fields of an accumulator, the body is that of a workgroup an
    /// element.
    fn launch_as(
        &self,
        gpu: &Gpu,
        name: &'static str,
        mut key: Vec<u32>,
        text: impl FnOnce(Text) -> Text,
        body: &str,
        shared: Option<&[&str]>,
    ) -> Result<()> {
        let elements = self.y.numel();
        if elements == 0 {
            return Ok(());
        }
        let p = self.parameters();
        key.extend([self.x.dtype as u32, self.y.dtype as u32, u32::from(shared.is_some()), self.spatial as u32]);
        key.extend(p.key());
        let places = format!("const FIRST = {}u;\n{}", 3 - self.spatial, p.text());
        let main = match shared {
            Some(fields) => format!("{}{SHARED}", rows::frame(gpu, WORKGROUP, fields)),
            None => EACH.into(),
        };
        let pipeline =
            gpu.pipeline((name, key), || text(Text::new().line(&places)).finish(&format!("{body}{PLANES}{main}")))?;
        let mut buffers = vec![self.x.memory];
        buffers.extend(self.z.map(|z| z.memory));
        buffers.push(self.y.memory);
        let groups = Gpu::grid(if shared.is_some() { elements } else { elements.div_ceil(WORKGROUP) });
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })
    }
}

/// The dtype of sums: float32, or int64 that wraps.
fn sums(dtype: DType) -> DType {
    if dtype.is_float() { DType::F32 } else { DType::I64 }
}

/// The dtype in which elements are only moved.
pub fn moved(dtype: DType) -> DType {
    if dtype == DType::Bool { DType::U8 } else { dtype }
}

impl Planes<'_> {
    /// The vectors of a sliding window, or none for an adaptive one.
    fn windows(&mut self, p: Option<&PoolParams>) {
        for axes in p.iter().flat_map(|p| [p.kernel, p.stride, p.padding, p.dilation]) {
            self.axes(0, axes);
        }
    }

    /// Whether windows hold so much that one invocation would take long.
    fn large(&self, p: Option<&PoolParams>) -> bool {
        let length = |a: usize| match p {
            Some(p) => p.kernel[a].min(self.input[a]),
            None => self.input[a].div_ceil(self.output[a].max(1)),
        };
        (0..3).map(length).product::<usize>() >= LARGE
    }

    /// What finds windows.
    fn finder(&self, p: Option<&PoolParams>) -> Finder {
        // Products of two sizes have to fit a word, or are computed in two.
        let wide = (0..3).any(|a| (self.input[a] + 1) * (self.output[a] + 1) > u32::MAX as usize);
        let Some(p) = p else {
            return Finder {
                body: ADAPTIVE,
                constants: format!("const WIDE = {wide};\nconst TILING = false;"),
                variant: u32::from(wide),
            };
        };
        let dilated = p.dilation.iter().any(|&d| d != 1);
        let tiling = !dilated && p.kernel == p.stride;
        Finder {
            body: SLIDING,
            constants: format!("const DILATED = {dilated};\nconst TILING = {tiling};"),
            variant: 4 | u32::from(dilated) << 1 | u32::from(tiling),
        }
    }
}

/// The text that finds windows, the constants that it needs, and what tells its variants apart.
struct Finder {
    body: &'static str,
    constants: String,
    variant: u32,
}

/// Arithmetic for windows that only look for elements.
fn looking(t: Text, compute: DType, finder: &Finder) -> Text {
    t.line(arithmetic(compute)).line(&finder.constants)
}

/// Arithmetic for windows of averages.
fn dividing(t: Text, compute: DType, finder: &Finder) -> Text {
    let (count, fixed, over) = match compute {
        DType::F32 => ("f32(n)", "bitcast<f32>(parameters[10].y)", "f_div(a, b)"),
        _ => ("vec2<u32>(n, 0u)", "parameters[10].zw", "i64_trunc_divide(a, b)"),
    };
    looking(t, compute, finder)
        .line(&format!("fn of_count(n: u32) -> T {{ return {count}; }}"))
        .line(&format!("fn fixed_divisor() -> T {{ return {fixed}; }}"))
        .line(&format!("fn over(a: T, b: T) -> T {{ return {over}; }}"))
}

fn max(gpu: &Gpu, spatial: usize, p: Option<&PoolParams>, x: &View, outs: &[View]) -> Result<()> {
    let compute = match x.dtype {
        d if d.is_float() => DType::F32,
        DType::I64 => DType::I64,
        _ => DType::I32,
    };
    let mut planes = Planes { z: Some(&outs[1]), ..Planes::onward(spatial, x, &outs[0]) };
    planes.windows(p);
    let finder = planes.finder(p);
    let text = |t: Text| {
        let exceeds = if compute == DType::F32 { "f_gt(a, b)" } else { "less(b, a)" };
        let t = t.input("x", x.dtype, compute).output("z", DType::I64, DType::I64).output("y", x.dtype, compute);
        looking(t, compute, &finder)
            .line(&format!("fn exceeds(a: T, b: T) -> bool {{ return {exceeds}; }}"))
            .line(&format!("fn lowest() -> T {{ return {}; }}", extremes(compute).0))
    };
    let shared = planes.large(p);
    let body = if shared { MAX_SHARED } else { MAX };
    planes.launch_as(
        gpu,
        "max_pool",
        vec![finder.variant],
        text,
        &format!("{}{body}", finder.body),
        shared.then_some(&["v", "i"]),
    )
}

fn spread(gpu: &Gpu, spatial: usize, p: Option<&PoolParams>, ins: &[View], y: &View) -> Result<()> {
    let (x, z) = (&ins[0], &ins[1]);
    let compute = sums(x.dtype);
    let mut planes = Planes { z: Some(z), ..Planes::backward(spatial, x, y) };
    planes.windows(p);
    let finder = planes.finder(p);
    let text = |t: Text| {
        let t = t.input("x", x.dtype, compute).input("z", DType::I64, DType::I64).output("y", y.dtype, compute);
        looking(t, compute, &finder)
    };
    planes.launch(
        gpu,
        "max_pool_backward",
        vec![finder.variant],
        text,
        &format!("{}{SPREAD}{READERS_SUM}", finder.body),
    )
}

fn take(gpu: &Gpu, spatial: usize, ins: &[View], y: &View) -> Result<()> {
    let (x, z) = (&ins[0], &ins[1]);
    let planes = Planes { z: Some(z), ..Planes::onward(spatial, x, y) };
    let same = moved(x.dtype);
    let text = |t: Text| t.input("x", x.dtype, same).input("z", DType::I64, DType::I64).output("y", y.dtype, same);
    planes.launch(gpu, "take_planes", vec![], text, TAKE)
}

/// The vectors of a window of averages.
fn averages(planes: &mut Planes, p: Option<&AvgPoolParams>) {
    planes.windows(p.map(|p| &p.window));
    if let Some(p) = p {
        let fixed = p.divisor_override.unwrap_or(1);
        let kind = if p.divisor_override.is_some() { 2 } else { u32::from(p.count_include_pad) };
        planes.own.push([kind, (fixed as f32).to_bits(), fixed as u32, (fixed >> 32) as u32]);
    }
}

fn average(gpu: &Gpu, spatial: usize, p: Option<&AvgPoolParams>, x: &View, y: &View) -> Result<()> {
    let mut planes = Planes::onward(spatial, x, y);
    averages(&mut planes, p);
    let shared = planes.large(p.map(|p| &p.window));
    let body = if shared { AVERAGE_SHARED } else { AVERAGE };
    averaging(gpu, &planes, p, "avg_pool", body, shared)
}

fn average_grad(gpu: &Gpu, spatial: usize, p: Option<&AvgPoolParams>, x: &View, y: &View) -> Result<()> {
    let mut planes = Planes::backward(spatial, x, y);
    averages(&mut planes, p);
    averaging(gpu, &planes, p, "avg_pool_backward", &[AVERAGE_GRAD, READERS_SUM].concat(), false)
}

fn averaging(
    gpu: &Gpu,
    planes: &Planes,
    p: Option<&AvgPoolParams>,
    name: &'static str,
    body: &str,
    shared: bool,
) -> Result<()> {
    let (x, y) = (planes.x.dtype, planes.y.dtype);
    let finder = planes.finder(p.map(|p| &p.window));
    let text = |t: Text| dividing(t.input("x", x, sums(x)).output("y", y, sums(x)), sums(x), &finder);
    planes.launch_as(
        gpu,
        name,
        vec![finder.variant],
        text,
        &format!("{}{DIVISOR}{body}", finder.body),
        shared.then_some(&["v"]),
    )
}

fn pad(gpu: &Gpu, p: &PadParams, grad: bool, x: &View, y: &View) -> Result<()> {
    let mut planes = if grad { Planes::backward(p.spatial, x, y) } else { Planes::onward(p.spatial, x, y) };
    planes.axes(0, p.left.map(|n| n as usize));
    // Circular padding repeats what cropping leaves.
    let crop = p.left.map(|n| (-n).max(0));
    let kept = [0, 1, 2].map(|a| {
        let (n, out) = (planes.input[a] as i64, planes.output[a] as i64);
        (n - crop[a] - (n + p.left[a] - out).max(0)).max(1) as usize
    });
    planes.axes(0, crop.map(|n| n as usize));
    planes.axes(0, kept);
    let mode = match p.mode {
        PadMode::Reflect => 0,
        PadMode::Replicate => 1,
        PadMode::Circular => 2,
    };
    let compute = if grad { sums(x.dtype) } else { moved(x.dtype) };
    let text = |t: Text| {
        t.input("x", x.dtype, compute)
            .output("y", y.dtype, compute)
            .line(arithmetic(compute))
            .line(&format!("const MODE = {mode}u;\nconst GRAD = {grad};"))
    };
    planes.launch(gpu, "pad", vec![mode, u32::from(grad)], text, PAD)
}

/// im2col, or with `fold` col2im.
fn blocks(gpu: &Gpu, p: &BlockParams, fold: bool, x: &View, y: &View) -> Result<()> {
    let (image, columns) = if fold { (y, x) } else { (x, y) };
    if y.numel() == 0 {
        return Ok(());
    }
    let counts = [0, 1].map(|a| p.output_size(a, image.shape[2 + a]).max(0) as usize);
    let mut words: Vec<u32> = Vec::with_capacity(28);
    let mut push = |v: &[usize]| words.extend(v.iter().map(|&n| n as u32));
    push(&[y.numel(), x.offset, 0, 0]);
    push(image.strides);
    push(columns.strides);
    push(&[0]);
    push(image.shape);
    push(&[p.kernel, p.stride].concat());
    push(&[p.padding, p.dilation].concat());
    push(&counts);
    let compute = if fold { sums(x.dtype) } else { moved(x.dtype) };
    let text = || -> (String, Vec<Access>) {
        Text::new()
            .input("x", x.dtype, compute)
            .output("y", y.dtype, compute)
            .line(arithmetic(compute))
            .line(&format!("const FOLD = {fold};"))
            .finish(BLOCKS)
    };
    let pipeline = gpu.pipeline(("blocks", vec![u32::from(fold), x.dtype as u32, y.dtype as u32]), text)?;
    let groups = Gpu::grid(y.numel().div_ceil(WORKGROUP));
    gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &[x.memory, y.memory], parameters: &words, groups })
}
